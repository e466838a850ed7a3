// A ticket: lines, a customer, a coupon, and what it comes to in minor units.

import { decimal, priceOf } from "/console/client/masterdata.js";
import { mint } from "/console/client/journal.js";

const COLUMNS = 32;

export class Ticket {
  constructor() {
    this.lines = [];
    this.customer = null;
    this.coupon = null;
  }

  get isEmpty() {
    return this.lines.length === 0;
  }

  /** One piece, or a weight of it in kilograms as the scale said it. */
  add(product, unit, kilograms = null) {
    const known = kilograms === null && this.lines.find((line) => line.product.id === product.id && line.kilograms === null);
    if (known) known.pieces += 1;
    else this.lines.push({ product, unit, kilograms, pieces: 1 });
  }

  remove(index) {
    this.lines.splice(index, 1);
  }

  amount(line) {
    return line.kilograms === null ? line.unit * line.pieces : priceOf(line.unit, line.kilograms);
  }

  get sum() {
    return this.lines.reduce((sum, line) => sum + this.amount(line), 0);
  }

  /** What the coupon takes off, half a cent up. */
  get reduction() {
    const percent = Number(this.coupon?.discount.discount ?? 0);
    return Math.floor((this.sum * percent + 50) / 100);
  }

  get total() {
    return this.sum - this.reduction;
  }

  quantity(line) {
    return line.kilograms ?? String(line.pieces);
  }

  /** The envelope of the sale under a number of its till. */
  envelope({ terminal, epoch, session, cashier }, sequence, now = new Date()) {
    const key = mint(now.getTime());
    const payload = {
      id: key,
      documentNo: `${terminal}/${String(sequence).padStart(6, "0")}`,
      gross: decimal(this.total),
      lines: this.lines.map((line) => ({
        product: line.product.id, qty: this.quantity(line), unitPrice: decimal(line.unit), gross: decimal(this.amount(line)),
      })),
      payments: [{ paymentMethod: "cash", amount: decimal(this.total) }],
    };
    if (cashier) payload.cashier = cashier;
    if (this.customer) payload.businessPartner = this.customer.id;
    if (this.coupon) payload.discounts = [{ discount: this.coupon.discount.id, coupon: this.coupon.code, amount: decimal(this.reduction) }];
    return {
      key, kind: "Order", terminal, epoch, sequence, lane: `ticket:${key}`, session,
      occurredAt: now.toISOString(), clock: "plausible", payload,
    };
  }

  /** The receipt as ReceiptLine; names are shortened so that a row stays a row. */
  receipt(envelope) {
    const plain = (text) => String(text).replace(/[\\|{}~_"`^=-]/g, " ").slice(0, COLUMNS - 12);
    const rows = this.lines.map((line) =>
      `${plain(line.product.name)} ${line.kilograms ? `${line.kilograms} kg` : `x${line.pieces}`} | ${decimal(this.amount(line))}`);
    return [
      "^^Storebox", "Reference till, a demonstration", "-", ...rows, "-",
      ...(this.coupon ? [`Coupon ${plain(this.coupon.code)} | -${decimal(this.reduction)}`.replace("-", "")] : []),
      `^Total | ^${decimal(this.total)}`, "",
      ...(this.customer ? [plain(this.customer.name)] : []),
      `${envelope.payload.documentNo}`, "=",
    ].join("\n");
  }
}
