// What a till sold, on its own disk until head office has settled it (G3) and its session is closed; only then it may
// be forgotten.

const VERSION = 1;
/** Settled sales that are kept to be looked at. */
const SETTLED_KEPT = 50;
/** Settled sales of open sessions that are kept, because a box may want them again before their cash-up goes on. */
const OPEN_KEPT = 2000;

/** The kind that closes a session. */
export const CASH_UP = "CashUp";

/** Which of these sales, oldest first, may be forgotten: settled ones whose session is closed, or that are too many. */
export function forgettable(sales, kept = SETTLED_KEPT) {
  const settled = sales.filter((sale) => sale.grade === "settled");
  const closings = settled.filter(({ envelope }) => envelope.kind === CASH_UP);
  const closed = new Set(closings.map(({ envelope }) => envelope.session));
  const isOpen = ({ envelope }) => Boolean(envelope.session) && !closed.has(envelope.session);
  const [open, done] = [settled.filter(isOpen), settled.filter((sale) => !isOpen(sale))];
  const oldest = (of, left) => of.slice(0, Math.max(of.length - left, 0));
  return [...oldest(open, OPEN_KEPT), ...oldest(done, kept)];
}

function done(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

function ended(transaction) {
  return new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve();
    transaction.onabort = () => reject(transaction.error);
    transaction.onerror = () => reject(transaction.error);
  });
}

/** A UUIDv7: a time, then randomness, so that keys sort as they were minted. */
export function mint(now = Date.now()) {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  let rest = now;
  for (let i = 5; i >= 0; i -= 1) {
    bytes[i] = rest % 256;
    rest = Math.floor(rest / 256);
  }
  bytes[6] = (bytes[6] & 0x0f) | 0x70;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

/** The disk of a till. */
export class Journal {
  static async open(name = "storebox-till") {
    const request = indexedDB.open(name, VERSION);
    request.onupgradeneeded = () => {
      const db = request.result;
      db.createObjectStore("facts");
      db.createObjectStore("sales", { keyPath: "key" });
      db.createObjectStore("records", { keyPath: ["model", "id"] });
    };
    return new Journal(await done(request));
  }

  constructor(db) {
    this.db = db;
  }

  fact(name) {
    return done(this.db.transaction("facts").objectStore("facts").get(name));
  }

  async keepFact(name, value) {
    const transaction = this.db.transaction("facts", "readwrite", { durability: "strict" });
    transaction.objectStore("facts").put(value, name);
    await ended(transaction);
  }

  /**
   * Writes a sale down under the next number of its epoch: number and sale are on the disk together or not at all.
   * @param {number} epoch
   * @param {(sequence: number) => object} make the envelope of a number
   */
  async sell(epoch, make) {
    const transaction = this.db.transaction(["facts", "sales"], "readwrite", { durability: "strict" });
    const facts = transaction.objectStore("facts");
    const counter = `sequence ${epoch}`;
    const sequence = ((await done(facts.get(counter))) ?? 0) + 1;
    const envelope = make(sequence);
    facts.put(sequence, counter);
    transaction.objectStore("sales").put({ key: envelope.key, envelope, grade: "kept", problem: null });
    await ended(transaction);
    return envelope;
  }

  /** All sales in the order of their keys. */
  sales() {
    return done(this.db.transaction("sales").objectStore("sales").getAll());
  }

  async note(key, grade, problem = null) {
    const transaction = this.db.transaction("sales", "readwrite", { durability: "strict" });
    const sales = transaction.objectStore("sales");
    const sale = await done(sales.get(key));
    // A settled sale stays settled, whatever an older answer says.
    if (sale && sale.grade !== "settled") sales.put({ ...sale, grade, problem });
    await ended(transaction);
  }

  /** Forgets the oldest sales that head office has settled and no box can want again, and no other. */
  async tidy() {
    const gone = forgettable(await this.sales());
    const transaction = this.db.transaction("sales", "readwrite");
    gone.forEach((sale) => transaction.objectStore("sales").delete(sale.key));
    await ended(transaction);
  }

  /** All records of masterdata that the till has. */
  records() {
    return done(this.db.transaction("records").objectStore("records").getAll());
  }

  /** Puts and removes records in one step. */
  async change(put, removed, { clear = false } = {}) {
    const transaction = this.db.transaction("records", "readwrite");
    const records = transaction.objectStore("records");
    if (clear) records.clear();
    put.forEach(([model, body]) => records.put({ model, id: body.id, body }));
    removed.forEach(([model, id]) => records.delete([model, id]));
    await ended(transaction);
  }
}
