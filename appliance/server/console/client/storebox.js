// A client of a Storebox for programs of all kinds: browsers and Node from version 20, without anything else.
//
// import { Storebox } from "/client/storebox.js";
// const box = new Storebox({ url: location.origin, token }, { terminal: "web-1" });
// const { data } = await box.query("Product", [{ fieldName: "name", operator: "iContains", value: "choc" }]);

import { Boxes, NoBox, Refusal } from "./boxes.js";
import { forgettable, mint } from "./journal.js";
import { Shipper } from "./shipper.js";

export { Boxes, NoBox, Refusal, mint };

/** How long a box may take for what it waits for itself: head office, a printer, a scale. */
const WAIT_MS = 60000;
/** Between two attempts to hear a stream. */
const AGAIN_FIRST_MS = 500;
const AGAIN_MAX_MS = 15000;
/** The longest event that is believed. */
const EVENT_CHARS_MAX = 4 * 1024 * 1024;

/** @typedef {{url: string, token: string}} Place a box and this terminal's token there */
/** @typedef {{fieldName?: string, operator: string, value?: unknown, criteria?: Criterion[]}} Criterion */
/** @typedef {{startRow?: number, endRow?: number, options?: Record<string, boolean>}} Rows */
/** @typedef {{entity: string, startRow: number, endRow: number, totalRows: number | null, more: boolean,
 *   data: Record<string, any>[], metadata: {plan: string[], examined: number, position: string | null}}} Answer */
/** @typedef {{feed: string, position: string,
 *   models?: Record<string, {changed: string[], removed: string[]}>}} Change */
/** @typedef {{push: string, number: number, entity: string, id: string, event: "changed" | "removed" | "reset",
 *   at: string, object?: Record<string, any>}} Push */
/** @typedef {{key: string, envelope: any, grade: "kept" | "held" | "settled", problem: string | null}} Sale */
/**
 * What a journal does; that of `journal.js` keeps it on a browser's disk.
 * `tidy` forgets what is settled, but not of a session whose cash-up (`forgettable` of `journal.js`) is not: a box that
 * has only some of a session's sales wants the others from here.
 * @typedef {{
 *   sell(epoch: number, make: (sequence: number) => any): Promise<any>,
 *   sales(): Promise<Sale[]>,
 *   note(key: string, grade: Sale["grade"], problem?: string | null): Promise<void>,
 *   tidy(): Promise<void>,
 * }} Keeping
 */

/** A journal for programs that keep their transactions elsewhere: it ends with the process. */
export class MemoryJournal {
  constructor() {
    /** @type {Map<string, Sale>} */
    this.kept = new Map();
    /** @type {Map<number, number>} */
    this.sequences = new Map();
  }

  /** @param {number} epoch @param {(sequence: number) => any} make */
  async sell(epoch, make) {
    const sequence = (this.sequences.get(epoch) ?? 0) + 1;
    this.sequences.set(epoch, sequence);
    const envelope = make(sequence);
    this.kept.set(envelope.key, { key: envelope.key, envelope, grade: "kept", problem: null });
    return envelope;
  }

  async sales() {
    return [...this.kept.values()];
  }

  /** @param {string} key @param {Sale["grade"]} grade @param {string | null} [problem] */
  async note(key, grade, problem = null) {
    const sale = this.kept.get(key);
    if (sale && sale.grade !== "settled") this.kept.set(key, { ...sale, grade, problem });
  }

  async tidy() {
    for (const { key } of forgettable(await this.sales(), 0)) this.kept.delete(key);
  }
}

/** One terminal and the boxes of its shop. */
export class Storebox {
  /**
   * @param {Place | Place[]} places the preferred box first
   * @param {{terminal?: string, epoch?: number, journal?: Keeping}} [options] `terminal` and `epoch` are needed for
   *   transactions of its own; a journal that was lost begins a new epoch
   */
  constructor(places, { terminal = "", epoch = 1, journal = new MemoryJournal() } = {}) {
    this.boxes = new Boxes([places].flat());
    this.terminal = terminal;
    this.epoch = epoch;
    this.journal = journal;
    this.shipper = new Shipper(this.boxes, journal);
  }

  /**
   * Somebody logs in: the configuration of the terminal and whether to refresh.
   * @param {{cacheLost?: boolean}} [how]
   * @returns {Promise<Record<string, any>>}
   */
  async login({ cacheLost = false } = {}) {
    const answer = await this.boxes.ask("/v1/terminal/login", { method: "POST", body: { cacheLost } });
    this.boxes.follow(answer.profile?.servers ?? null);
    this.boxes.learn(answer.boxes);
    return answer;
  }

  /** @param {string} model @param {string} id @returns {Promise<Record<string, any> | null>} nothing if there is none */
  record(model, id) {
    return this.orNothing(`/v1/models/${segment(model)}/records/${segment(id)}`);
  }

  /**
   * Records that have a value in an indexed field, such as a barcode.
   * @param {string} model @param {string} field @param {string} value
   * @returns {Promise<Record<string, any>[]>}
   */
  async find(model, field, value) {
    const query = new URLSearchParams({ field, value });
    return (await this.boxes.ask(`/v1/models/${segment(model)}/records?${query}`)).records;
  }

  /**
   * All records of a model, page by page.
   * @param {string} model @param {number} [limit] records of a page
   * @returns {AsyncGenerator<Record<string, any>>}
   */
  async *records(model, limit = 500) {
    let after = "";
    for (;;) {
      const query = new URLSearchParams({ limit: String(limit), ...(after && { after }) });
      const page = await this.boxes.ask(`/v1/models/${segment(model)}/records?${query}`, { timeoutMs: WAIT_MS });
      yield* page.records;
      if (!page.next) return;
      after = page.next;
    }
  }

  /**
   * Changes of masterdata as they happen, over reconnections; `models` is missing if the feed is to be loaded anew.
   * @param {{after?: string, signal?: AbortSignal}} [how] `after` is the cursor of an earlier change
   * @returns {AsyncGenerator<{change: Change, cursor: string}>}
   */
  async *changes({ after = "", signal } = {}) {
    const path = (/** @type {string} */ id) => `/v1/changes${id && `?after=${encodeURIComponent(id)}`}`;
    for await (const { id, data } of this.events(path, after, signal)) yield { change: JSON.parse(data), cursor: id };
  }

  /**
   * Asks for rows of an entity in the language of criteria.
   * @param {string} entity @param {Criterion[]} [criteria] @param {Rows} [rows]
   * @returns {Promise<Answer>}
   */
  query(entity, criteria = [], rows = {}) {
    return this.call("query", { entity, criteria, ...rows });
  }

  /**
   * Calls a service of this terminal's channel. A change gets a key, so that it is done once however often it is sent.
   * @param {string} service such as `ticket` or `ticket-pay`
   * @param {Record<string, any>} request
   * @param {{wait?: "held" | "settled", timeoutS?: number, correlation?: string}} [how] `correlation` is a name of the
   *   caller's own for this request: up to 64 letters, digits and `-_.:`; without it there is a fresh one, and a
   *   {@link Refusal} says which
   * @returns {Promise<any>}
   */
  call(service, request, { wait, timeoutS, correlation } = {}) {
    const query = new URLSearchParams();
    if (wait) query.set("wait", wait);
    if (timeoutS !== undefined) query.set("timeout_s", String(timeoutS));
    const body = service === "query" || request.key ? request : { key: mint(), ...request };
    const path = `/v1/channel/${segment(service)}${query.size > 0 ? `?${query}` : ""}`;
    return this.boxes.ask(path, { method: "POST", body, timeoutMs: WAIT_MS, correlation });
  }

  /**
   * A transaction of this terminal: in the journal first, then at a box, and again until a box has it.
   * @param {string} kind such as `Order`
   * @param {Record<string, any>} payload
   * @param {{lane?: string, dependsOn?: string[], session?: string}} [how]
   * @returns {Promise<Sale>} as far as it is now; `ship` brings what is left further
   */
  async sell(kind, payload, { lane, dependsOn = [], session } = {}) {
    if (!this.terminal) throw new Error("a terminal is needed for transactions of its own");
    const key = mint();
    await this.journal.sell(this.epoch, (sequence) => ({
      key,
      kind,
      terminal: this.terminal,
      epoch: this.epoch,
      sequence,
      lane: lane ?? `${kind.toLowerCase()}:${payload.id ?? key}`,
      ...(dependsOn.length > 0 && { dependsOn }),
      ...(session && { session }),
      occurredAt: new Date().toISOString(),
      clock: "plausible",
      payload,
    }));
    await this.ship();
    return this.sale(key);
  }

  /** Hands over what waits in the journal and asks how far the rest is; a box that is away changes nothing. */
  async ship() {
    for (const sale of await this.journal.sales()) {
      if (sale.grade === "settled") continue;
      try {
        await this.shipper.ship(sale);
      } catch (error) {
        if (error instanceof NoBox) return;
        throw error;
      }
    }
  }

  /** @param {string} key @returns {Promise<Sale>} */
  async sale(key) {
    const sale = (await this.journal.sales()).find((one) => one.key === key);
    if (!sale) throw new Error(`transaction ${key} is not in the journal`);
    return sale;
  }

  /** How far a transaction is, by its key. @param {string} key @returns {Promise<Record<string, any> | null>} */
  progress(key) {
    return this.orNothing(`/v1/transactions/${segment(key)}`);
  }

  /** @returns {Promise<Record<string, any>[]>} printers, scales, displays and scanners */
  async devices() {
    return (await this.boxes.ask("/v1/devices")).devices;
  }

  /**
   * Prints, once, however often it is sent under its key.
   * @param {string} printer
   * @param {{document?: any, receiptline?: string, raw?: string}} content exactly one of them
   * @param {{key?: string, waitS?: number}} [how]
   * @returns {Promise<Record<string, any>>} the job
   */
  print(printer, content, { key = mint(), waitS = 10 } = {}) {
    const path = `/v1/printers/${segment(printer)}/jobs?wait_s=${waitS}`;
    return this.boxes.ask(path, { method: "POST", body: { key, ...content }, timeoutMs: WAIT_MS });
  }

  /** @param {string} scale @returns {Promise<Record<string, any>>} a settled weight, or a refusal that says why not */
  weigh(scale) {
    return this.boxes.ask(`/v1/scales/${segment(scale)}/weight`, { timeoutMs: WAIT_MS });
  }

  /**
   * What this terminal's channel is told, over reconnections.
   * An event counts as dealt with when the next one is asked for; what was not is told again after a restart.
   * @param {{after?: number, signal?: AbortSignal}} [how]
   * @returns {AsyncGenerator<Push>}
   */
  async *pushes({ after = 0, signal } = {}) {
    const path = (/** @type {string} */ id) => `/v1/channel/push${id && `?after=${id}`}`;
    for await (const { data } of this.events(path, after > 0 ? String(after) : "", signal)) {
      const push = JSON.parse(data);
      yield push;
      await this.boxes.ask("/v1/channel/push/taken", { method: "POST", body: { number: push.number } });
    }
  }

  /**
   * Server-sent events; after a broken line it goes on behind the last one.
   * @param {(id: string) => string} path
   * @param {string} id
   * @param {AbortSignal} [signal]
   */
  async *events(path, id, signal) {
    let pause = AGAIN_FIRST_MS;
    while (!signal?.aborted) {
      try {
        for await (const event of parse(await this.boxes.stream(path(id), signal))) {
          pause = AGAIN_FIRST_MS;
          id = event.id || id;
          yield event;
        }
      } catch (error) {
        if (signal?.aborted) return;
        if (error instanceof Refusal && !error.retryable) throw error;
      }
      await rest(pause, signal);
      pause = Math.min(pause * 2, AGAIN_MAX_MS);
    }
  }

  /** @param {string} path */
  async orNothing(path) {
    try {
      return await this.boxes.ask(path);
    } catch (error) {
      if (error instanceof Refusal && error.status === 404) return null;
      throw error;
    }
  }
}

/** @param {string} text */
function segment(text) {
  return encodeURIComponent(text);
}

/**
 * The events of a stream of text.
 * @param {ReadableStream<Uint8Array>} stream
 * @returns {AsyncGenerator<{name: string, id: string, data: string}>}
 */
export async function* parse(stream) {
  const reader = stream.getReader();
  const decoder = new TextDecoder();
  let [text, event] = ["", { name: "message", id: "", data: "" }];
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      text += decoder.decode(value, { stream: true });
      if (text.length > EVENT_CHARS_MAX) throw new Error("an event is too long");
      const lines = text.split(/\r\n|\r|\n/);
      text = lines.pop() ?? "";
      for (const line of lines) {
        const [, field, rest] = /^([^:]*):? ?(.*)$/.exec(line) ?? [];
        if (field === "event") event.name = rest;
        if (field === "id") event.id = rest;
        if (field === "data") event.data += event.data && "\n";
        if (field === "data") event.data += rest;
        if (line !== "") continue;
        if (event.data) yield event;
        event = { name: "message", id: "", data: "" };
      }
    }
  } finally {
    await reader.cancel().catch(() => {});
  }
}

/** @param {number} ms @param {AbortSignal} [signal] @returns {Promise<void>} */
function rest(ms, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal?.addEventListener("abort", () => resolve(clearTimeout(timer)), { once: true });
  });
}
