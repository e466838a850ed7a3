// Hands sales to a box and asks until head office has settled them; never gives one up.

import { NoBox, Refusal } from "./boxes.js";
import { CASH_UP } from "./journal.js";

const BETWEEN_MS = 1500;

/** The way of sales out of the journal. */
export class Shipper extends EventTarget {
  constructor(boxes, journal) {
    super();
    [this.boxes, this.journal] = [boxes, journal];
    this.wake = () => {};
    /** The box that has all before a cash-up, by the key of the cash-up. */
    this.completed = new Map();
  }

  /** Looks again now. */
  nudge() {
    this.wake();
  }

  /** Ships until the page ends. */
  async run() {
    for (;;) {
      await this.look().catch((error) => {
        if (!(error instanceof NoBox)) console.warn(error);
      });
      this.dispatchEvent(new Event("change"));
      await new Promise((resolve) => {
        const timer = setTimeout(resolve, BETWEEN_MS);
        this.wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  async look() {
    const open = (await this.journal.sales()).filter((sale) => sale.grade !== "settled");
    for (const sale of open) await this.ship(sale);
    if (open.length > 0) await this.journal.tidy();
  }

  async ship(sale) {
    if (sale.grade === "held") {
      const progress = await this.progress(sale.key);
      if (progress) {
        await this.journal.note(sale.key, progress.grade);
        if (progress.grade === "settled") this.completed.delete(sale.key);
        else await this.complete(sale);
        return;
      }
      // Another box than the one that holds it: it may have it too, head office settles a key once.
    }
    await this.complete(sale);
    await this.hand(sale);
  }

  /**
   * Before a cash-up, hands over again what went through another box: this one waits for all numbers between those that
   * it has, and nobody else can tell it that they are settled.
   */
  async complete({ key, envelope: { kind, epoch, sequence } }) {
    if (kind !== CASH_UP || this.completed.get(key) === (this.boxes.here ?? null)) return;
    const have = (await this.have(epoch)) ?? [];
    const isThere = (number) => have.some(({ from, to }) => from <= number && number <= to);
    const isWanted = ({ envelope: { epoch: other, sequence: number } }) =>
      other === epoch && number > (have[0]?.from ?? sequence) && number < sequence && !isThere(number);
    for (const sale of (await this.journal.sales()).filter(isWanted)) await this.hand(sale);
    this.completed.set(key, this.boxes.here);
  }

  /** Which numbers of an epoch the box has, as ranges; nothing if it does not say. */
  async have(epoch) {
    try {
      const { epochs } = await this.boxes.ask("/v1/transactions/have");
      return epochs.find((one) => one.epoch === epoch)?.have ?? null;
    } catch (error) {
      if (error instanceof Refusal) return null;
      throw error;
    }
  }

  async hand(sale) {
    try {
      const receipt = await this.boxes.ask("/v1/transactions", { method: "POST", body: sale.envelope });
      await this.journal.note(sale.key, receipt.grade);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      await this.journal.note(sale.key, sale.grade, error.message);
    }
  }

  async progress(key) {
    try {
      return await this.boxes.ask(`/v1/transactions/${key}`);
    } catch (error) {
      if (error instanceof Refusal && error.status === 404) return null;
      throw error;
    }
  }
}
