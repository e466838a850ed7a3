// A till's own copy of the masterdata that it sells by: loaded whole once, then by what changed.

const MODELS = ["Product", "ProductPrice", "BusinessPartner", "Discount", "Coupon"];
const HITS_MAX = 20;

/** The copy, in memory and in the journal. */
export class Copy {
  constructor(boxes, journal) {
    [this.boxes, this.journal] = [boxes, journal];
    this.models = new Map(MODELS.map((model) => [model, new Map()]));
    /** What changed at the box and is not here yet. */
    this.pending = new Map();
  }

  /** Reads what the journal has; whether that is anything. */
  async open() {
    for (const { model, id, body } of await this.journal.records()) this.models.get(model)?.set(id, body);
    return this.models.get("Product").size > 0;
  }

  /** Loads everything; what was here stays until all of it has come. */
  async loadAll(batch, tell = () => {}) {
    const began = Date.now();
    const fresh = [];
    for (const model of MODELS) {
      let next = "";
      do {
        const page = await this.boxes.ask(`/v1/models/${model}/records?limit=${batch}${next}`, { timeoutMs: 20000 });
        page.records.forEach((record) => fresh.push([model, record]));
        next = page.next ? `&after=${encodeURIComponent(page.next)}` : "";
        tell(fresh.length);
      } while (next);
    }
    await this.journal.change(fresh, [], { clear: true });
    this.models.forEach((records) => records.clear());
    fresh.forEach(([model, record]) => this.models.get(model).set(record.id, record));
    this.pending.clear();
    return this.report("full", began, fresh);
  }

  /** Notes that records changed at the box. */
  hear({ models }) {
    for (const [model, { changed, removed }] of Object.entries(models ?? {})) {
      if (this.models.has(model)) [...changed, ...removed].forEach((id) => this.pending.set(`${model} ${id}`, [model, id]));
    }
  }

  /** Fetches what changed. */
  async loadChanges() {
    const began = Date.now();
    const [put, removed] = [[], []];
    for (const [model, id] of this.pending.values()) {
      try {
        put.push([model, await this.boxes.ask(`/v1/models/${model}/records/${encodeURIComponent(id)}`)]);
      } catch (error) {
        if (error.status !== 404) throw error;
        removed.push([model, id]);
      }
    }
    await this.journal.change(put, removed);
    put.forEach(([model, record]) => this.models.get(model).set(record.id, record));
    removed.forEach(([model, id]) => this.models.get(model).delete(id));
    this.pending.clear();
    return this.report("incremental", began, put);
  }

  report(extent, began, loaded) {
    const models = MODELS.map((model) => ({ model, records: loaded.filter(([of]) => of === model).length }));
    return { extent, succeeded: true, tookMs: Date.now() - began, models: models.filter(({ records }) => records > 0) };
  }

  /** A product by its barcode or key. */
  scan(code) {
    return [...this.models.get("Product").values()].find((product) => product.barcode === code || product.searchKey === code);
  }

  /** Records of a model whose name or key contains all of the words. */
  search(model, text) {
    const words = text.toLowerCase().split(/\s+/).filter(Boolean);
    if (words.length === 0) return [];
    const hits = [];
    for (const record of this.models.get(model).values()) {
      const name = `${record.name} ${record.searchKey}`.toLowerCase();
      if (words.every((word) => name.includes(word))) hits.push(record);
      if (hits.length >= HITS_MAX) break;
    }
    return hits;
  }

  /** The price of a product in minor units, or nothing. */
  price(product) {
    const prices = this.models.get("ProductPrice");
    const price = [...prices.values()].find((one) => one.productId === product.id);
    return price ? minor(price.listPrice) : null;
  }

  /** The discount that a coupon stands for. */
  coupon(code) {
    const coupon = [...this.models.get("Coupon").values()].find((one) => one.searchKey.toLowerCase() === code.toLowerCase());
    return coupon && this.models.get("Discount").get(coupon.discountId);
  }
}

/** A decimal with at most two places in minor units; money is never a float. */
export function minor(text) {
  const [, sign, whole, cents = ""] = /^(-?)(\d+)(?:\.(\d{1,2}))?$/.exec(String(text)) ?? [];
  if (whole === undefined) return null;
  return (sign ? -1 : 1) * (Number(whole) * 100 + Number(cents.padEnd(2, "0")));
}

/** Minor units as a decimal. */
export function decimal(units) {
  const sign = units < 0 ? "-" : "";
  const digits = String(Math.abs(units)).padStart(3, "0");
  return `${sign}${digits.slice(0, -2)}.${digits.slice(-2)}`;
}

/** Price times weight, half a cent up; the weight is a decimal text of kilograms with at most three places. */
export function priceOf(unit, kilograms) {
  const [whole, parts = ""] = kilograms.split(".");
  const grams = Number(whole) * 1000 + Number(parts.padEnd(3, "0").slice(0, 3));
  return Math.floor((unit * grams + 500) / 1000);
}
