// The way from a till to its boxes: the one that answered last, else the next; every write may be repeated, because
// whoever sold minted its key.
// Where the configuration of the terminal defines servers, they are used by its rules (`servers.js`).

import { Servers } from "./servers.js";

/** How long a box may take before the next one is asked. */
const ANSWER_MS = 4000;
/** A box that did not answer is not asked again for so long, doubled each time. */
const REST_FIRST_MS = 1000;
const REST_MAX_MS = 30000;
/** Whether a box is there is asked for no longer than this, of all boxes at once. */
const MEET_MS = 1500;
/** How often servers that are silent are looked at, when their time has come. */
const LOOK_MS = 500;
/** Found boxes that are kept, and how long after they were named last. */
const FOUND_MAX = 8;
const FOUND_KEPT_MS = 7 * 24 * 3600 * 1000;
/** When a box was named last is kept once a day. */
const FOUND_TOLD_MS = 24 * 3600 * 1000;
/** Addresses of one found box that are tried. */
const ADDRESSES_MAX = 3;
/** The port of an address that names none. */
const PORT = 8080;

/** By which the box finds everything about one request: in its log, its journal and its answers. */
const CORRELATION = "storebox-correlation";

/** The version of the interface that this client speaks; a box works with it, the one before and the one after. */
const API = 1;
const API_HEADER = "storebox-api";

/** A refusal if the box speaks a version that this client does not work with; what waits in the journal stays there. */
function skew(answer, problem, correlation) {
  // The box that refuses this till says why itself.
  if (problem?.code === "version_skew") return new Refusal(answer.status, problem, correlation);
  // A page of another origin may not be shown it.
  const theirs = Number(answer.headers.get(API_HEADER) ?? API);
  if (Math.abs(theirs - API) <= 1) return null;
  const older = theirs < API ? "the box" : "this till";
  const detail = `the box speaks version ${theirs} of the interface, this till ${API}: update ${older}; sales wait here until then`;
  return new Refusal(426, { code: "version_skew", detail, retryable: false }, correlation);
}

/** A fresh name for one request. */
export function correlate() {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** A refusal (RFC 9457): the box is well and says no. */
export class Refusal extends Error {
  constructor(status, problem, correlation = "", waitS = 0) {
    super(problem?.detail ?? `the box answered ${status}`);
    this.status = status;
    /** Seconds after which the box would listen again, if it said so. */
    this.waitS = waitS;
    this.code = problem?.code ?? "unknown";
    this.retryable = problem?.retryable ?? status >= 500;
    /** What to tell whoever looks after the box: `storebox channel log --correlation …`. */
    this.correlation = correlation;
  }
}

/** What to do where the browser is in the way, for the person at the till. */
const ALLOW = "this browser keeps the page from the shop's network: allow it \"local network\" in the settings of the page, left of its address";

/** No box answers. */
export class NoBox extends Error {
  /** @param {string} [correlation] @param {boolean} [barred] the browser did not let the page ask */
  constructor(correlation = "", barred = false) {
    super(barred ? ALLOW : "no box answers");
    this.barred = barred;
    this.correlation = correlation;
  }
}

/**
 * Whether the browser keeps this page from boxes of other addresses until a person allows it (Local Network Access).
 * @param {{url: string}[]} places
 */
export async function isBarred(places) {
  const { location, navigator } = globalThis;
  if (!location || !navigator?.permissions || places.every(({ url }) => !url || new URL(url).origin === location.origin)) return false;
  // Newer browsers ask for the shop's network by itself, older ones for it and this machine together; others know neither.
  for (const name of ["local-network", "local-network-access"]) {
    const state = await navigator.permissions.query({ name: /** @type {any} */ (name) }).then((found) => found.state, () => null);
    if (state) return state !== "granted";
  }
  return false;
}

/** @typedef {{url: string, token: string, node?: string, found?: number}} Place `found`: when a box named it last; a typed one has none */

const fresh = (/** @type {Place} */ place) => ({ ...place, kept: place.found, restUntil: 0, restMs: REST_FIRST_MS, up: /** @type {boolean | null} */ (null), skewed: /** @type {Error | null} */ (null) });
const originOf = ({ url }) => url || globalThis.location?.origin;

/** Those of a box's addresses that this page may use: one that came over TLS speaks to nobody in the open. */
function usable(addresses) {
  const [secure, plain] = ["https:", "http:"].map((scheme) => addresses.filter((one) => one.startsWith(scheme)));
  const isSecure = globalThis.location?.protocol === "https:";
  return (isSecure || plain.length === 0 ? secure : plain).slice(0, ADDRESSES_MAX);
}

/** The addresses in what somebody typed or scanned: `10.0.0.5 storebox.local:8080` or `SBX1 host=10.0.0.5 port=8080`. */
export function addresses(text) {
  const words = text.trim().split(/[\s,]+/).filter(Boolean);
  if (words[0] !== "SBX1") return words.map((word) => address(word, PORT));
  const fields = text.trim().split(/\s+/).map((word) => word.split("="));
  const port = fields.find(([name]) => name === "port")?.[1] ?? PORT;
  return fields.filter(([name]) => name === "host").flatMap(([, hosts]) => hosts.split(",").map((host) => address(host, port)));
}

function address(word, port) {
  if (/^https?:\/\//.test(word)) return word.replace(/\/+$/, "");
  return /:\d+$/.test(word) ? `http://${word}` : `http://${word}:${port}`;
}

/** Those of these addresses where a box answers, the quickest first; all are asked at once. */
export async function seek(urls) {
  const found = [];
  await Promise.all(urls.map(async (url) => {
    const answer = await fetch(`${url}/healthz`, { cache: "no-store", signal: AbortSignal.timeout(MEET_MS) }).catch(() => null);
    if (answer?.ok) found.push(url);
  }));
  return found;
}

/** The boxes of a shop, the preferred one first. */
export class Boxes extends EventTarget {
  /** @param {Place[]} places */
  constructor(places) {
    super();
    this.places = places.map(fresh);
    this.current = null;
    this.servers = null;
    /** Whose token is shown instead of the till's own, at the box that gave it. @type {{place: object, token: string} | null} */
    this.person = null;
  }

  /** Asks all boxes at once whether they are there, so that nobody waits for one that is not. */
  async meet(places = this.places) {
    const found = await seek(places.map((place) => place.url));
    for (const place of places) {
      if (!found.includes(place.url)) this.lost(place);
      else if (place.up !== true) place.up = true;
    }
    return found.length;
  }

  /**
   * Takes over what the box that answered last says of the others of its store: they let this till in with its token.
   * Those that a person typed stay; a found one goes when it has moved or was not named for a week, the one that tells not
   * at all; a box that has no address yet stays where it was.
   * @param {{here?: string, others?: {node: string, addresses: string[]}[]}} told `boxes` of a login, or GET /v1/terminal/boxes
   * @returns {boolean} whether there is something to keep (`list`)
   */
  learn({ here = "", others = [] } = {}, now = Date.now()) {
    const teller = this.current;
    if (!teller) return false;
    const before = this.named();
    if (here) teller.node = here;
    if (teller.found) teller.found = now;
    for (const { node, addresses } of others) {
      const urls = usable(addresses);
      if (urls.length === 0) continue;
      this.places = this.places.filter((place) => !place.found || place.node !== node || urls.includes(place.url));
      for (const url of urls) this.enter({ url, token: teller.token, node, found: now });
    }
    this.places = this.places.filter((place) => !place.found || now - place.found < FOUND_KEPT_MS);
    const isOld = this.places.some(({ found, kept }) => found && found - kept > FOUND_TOLD_MS);
    if (this.named() === before && !isOld) return false;
    for (const place of this.places) place.kept = place.found;
    return true;
  }

  enter(place) {
    const known = this.places.find((one) => originOf(one) === place.url);
    if (known?.found) Object.assign(known, place);
    else if (known) known.node = place.node;
    else if (this.places.some((one) => !one.found && one.node === place.node)) return;
    else if (this.places.filter((one) => one.found).length < FOUND_MAX) this.places.push(fresh(place));
  }

  named() {
    return JSON.stringify(this.places.map(({ url, token, node }) => [url, token, node]));
  }

  /** All places as a program keeps them over a restart. @returns {Place[]} */
  list() {
    return this.places.map(({ url, token, node, found }) => ({ url, token, ...(node && { node }), ...(found && { found }) }));
  }

  /** Asks the box in use for the others of its store, and those whether they are there; whether there is something to keep. */
  async acquaint() {
    // No box answers, or an older one that knows of no others: what is known stays.
    const told = await this.ask("/v1/terminal/boxes").catch(() => null);
    const isNews = told !== null && this.learn(told);
    await this.meet(this.places.filter((place) => place !== this.here));
    return isNews;
  }

  /** The box to go to when the one in use is lost, as far as is known. */
  get next() {
    const { here } = this;
    const isOther = (place) => place !== here && place.up !== false && !(place.node && place.node === here?.node);
    return this.places.find(isOther) ?? null;
  }

  /** From now on requests go by these definitions (`servers` of the terminal's configuration); nothing: box by box. */
  follow(view) {
    clearInterval(this.looking);
    this.servers = view ? new Servers(view) : null;
    if (!this.servers) return;
    this.looking = setInterval(() => this.look(), LOOK_MS);
    // A program of Node is not kept alive by it.
    this.looking.unref?.();
  }

  /** Asks silent servers whose time has come. */
  look() {
    return Promise.all(this.servers.due(Date.now()).map(async ([name, service]) => {
      const place = this.placeOf(name);
      if (!place) return;
      const there = (await seek([place.url])).length > 0;
      if (there) this.servers.answered(name, service);
      else this.servers.failed(name, service, Date.now());
    }));
  }

  placeOf(name) {
    const url = this.servers.address(name)?.replace(/\/+$/, "");
    return this.places.find((place) => (place.url || globalThis.location?.origin) === url);
  }

  /** Where a request goes: places in order with the servers they are, how long each may take, and who is told as well. */
  ways(path, timeoutMs) {
    if (this.servers) {
      const route = this.servers.route(path, timeoutMs);
      const placed = (names) => names.map((name) => ({ name, place: this.placeOf(name) })).filter(({ place }) => place);
      const ways = placed(route.servers);
      const told = [...(route.routing === "Broadcast" ? ways.slice(1) : []), ...placed(route.copies ?? [])];
      // A token that does not fit the definitions is better than none.
      if (ways.length > 0) {
        const isDefined = (one) => [...ways, ...told].some(({ place }) => place === one);
        const beside = this.places.filter((place) => place.found && place.restUntil <= Date.now() && !isDefined(place));
        // Found boxes of the store are asked when no defined server answers.
        ways.push(...beside.map((place) => ({ name: null, place })));
        return { ways, told, service: route.service, timeoutMs: route.timeoutMs ?? timeoutMs };
      }
    }
    const now = Date.now();
    const fit = this.places.filter((place) => place.restUntil <= now);
    const ways = (fit.length > 0 ? fit : this.places).map((place) => ({ name: null, place }));
    return { ways, told: [], service: null, timeoutMs };
  }

  /** The box that is used now, if any answers. */
  get here() {
    return this.places.find((place) => place === this.current && place.up) ?? null;
  }

  /**
   * Asks the best box that answers.
   * @param {string} path
   * @param {{method?: string, body?: unknown, timeoutMs?: number, correlation?: string}} [how]
   */
  async ask(path, { method = "GET", body = undefined, timeoutMs = ANSWER_MS, correlation = correlate() } = {}) {
    const route = this.ways(path, timeoutMs);
    const pass = (name, place) => {
      if (name) this.servers.failed(name, route.service, Date.now());
      this.lost(place);
    };
    for (const { place } of route.told) this.send(place, path, method, body, route.timeoutMs, correlation).catch(() => {});
    for (const { name, place } of route.ways) {
      let answer;
      try {
        answer = await this.send(place, path, method, body, route.timeoutMs, correlation);
      } catch {
        place.skewed = null;
        pass(name, place);
        continue;
      }
      const problem = answer.ok ? null : await answer.json().catch(() => null);
      place.skewed = skew(answer, problem, correlation);
      // A box of another version, one that stops, or that cannot keep anything, is as good as away.
      if (place.skewed || ["stopping", "storage_failed", "storage_full"].includes(problem?.code)) {
        pass(name, place);
        continue;
      }
      // A found box that does not know this till is no box for it; one that was typed says so.
      if (answer.status === 401 && place.found && this.person?.place !== place) {
        pass(name, place);
        continue;
      }
      if (name) this.servers.answered(name, route.service);
      this.found(place);
      if (answer.status === 401 && this.person?.place === place) {
        this.person = null;
        this.dispatchEvent(new CustomEvent("left", { detail: problem?.detail ?? "" }));
        return this.ask(path, { method, body, timeoutMs });
      }
      if (problem || !answer.ok) throw new Refusal(answer.status, problem, correlation, Number(answer.headers.get("retry-after")) || 0);
      return answer.status === 204 ? null : answer.json();
    }
    // What a person can do something about, said by a box that was asked now or rests since it said so.
    const skewed = this.places.find((place) => place.skewed)?.skewed;
    throw skewed ?? new NoBox(correlation, await isBarred(this.places));
  }

  send(place, path, method, body, timeoutMs, correlation = correlate()) {
    const token = this.person?.place === place ? this.person.token : place.token;
    const headers = { authorization: `Bearer ${token}`, [CORRELATION]: correlation, [API_HEADER]: String(API) };
    if (body !== undefined) headers["content-type"] = "application/json";
    return fetch(place.url + path, { method, headers, cache: "no-store", signal: AbortSignal.timeout(timeoutMs),
      body: body === undefined ? undefined : JSON.stringify(body) });
  }

  /** Opens a stream at the box that is used now; whoever reads it hears the end of it. */
  async stream(path, signal = undefined) {
    const place = this.here ?? this.places[0];
    const correlation = correlate();
    const headers = { authorization: `Bearer ${place.token}`, [CORRELATION]: correlation, [API_HEADER]: String(API) };
    const answer = await fetch(place.url + path, { headers, cache: "no-store", signal });
    if (!answer.ok) throw new Refusal(answer.status, await answer.json().catch(() => null), correlation);
    return answer.body;
  }

  found(place) {
    [place.restUntil, place.restMs] = [0, REST_FIRST_MS];
    if (place.up && this.current === place) return;
    place.up = true;
    this.current = place;
    this.tell();
  }

  lost(place) {
    place.restUntil = Date.now() + place.restMs;
    place.restMs = Math.min(place.restMs * 2, REST_MAX_MS);
    if (place.up === false) return;
    place.up = false;
    this.tell();
  }

  tell() {
    this.dispatchEvent(new Event("change"));
  }
}
