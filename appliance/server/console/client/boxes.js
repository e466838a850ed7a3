// The way from a till to its boxes: the one that answered last, else the next; every write may be repeated, because
// whoever sold minted its key.

/** How long a box may take before the next one is asked. */
const ANSWER_MS = 4000;
/** A box that did not answer is not asked again for so long, doubled each time. */
const REST_FIRST_MS = 1000;
const REST_MAX_MS = 30000;

/** By which the box finds everything about one request: in its log, its journal and its answers. */
const CORRELATION = "storebox-correlation";

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

/** No box answers. */
export class NoBox extends Error {
  constructor(correlation = "") {
    super("no box answers");
    this.correlation = correlation;
  }
}

/** @typedef {{url: string, token: string}} Place */

/** The boxes of a shop, the preferred one first. */
export class Boxes extends EventTarget {
  /** @param {Place[]} places */
  constructor(places) {
    super();
    this.places = places.map((place) => ({ ...place, restUntil: 0, restMs: REST_FIRST_MS, up: null }));
    this.current = null;
    /** Whose token is shown instead of the till's own, at the box that gave it. @type {{place: object, token: string} | null} */
    this.person = null;
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
    const now = Date.now();
    const fit = this.places.filter((place) => place.restUntil <= now);
    for (const place of fit.length > 0 ? fit : this.places) {
      let answer;
      try {
        answer = await this.send(place, path, method, body, timeoutMs, correlation);
      } catch {
        this.lost(place);
        continue;
      }
      const problem = answer.ok ? null : await answer.json().catch(() => null);
      // A box that stops, or that cannot keep anything, is as good as away.
      if (problem && ["stopping", "storage_failed", "storage_full"].includes(problem.code)) {
        this.lost(place);
        continue;
      }
      this.found(place);
      if (answer.status === 401 && this.person?.place === place) {
        this.person = null;
        this.dispatchEvent(new CustomEvent("left", { detail: problem?.detail ?? "" }));
        return this.ask(path, { method, body, timeoutMs });
      }
      if (problem || !answer.ok) throw new Refusal(answer.status, problem, correlation, Number(answer.headers.get("retry-after")) || 0);
      return answer.status === 204 ? null : answer.json();
    }
    throw new NoBox(correlation);
  }

  send(place, path, method, body, timeoutMs, correlation = correlate()) {
    const token = this.person?.place === place ? this.person.token : place.token;
    const headers = { authorization: `Bearer ${token}`, [CORRELATION]: correlation };
    if (body !== undefined) headers["content-type"] = "application/json";
    return fetch(place.url + path, { method, headers, cache: "no-store", signal: AbortSignal.timeout(timeoutMs),
      body: body === undefined ? undefined : JSON.stringify(body) });
  }

  /** Opens a stream at the box that is used now; whoever reads it hears the end of it. */
  async stream(path, signal = undefined) {
    const place = this.here ?? this.places[0];
    const correlation = correlate();
    const headers = { authorization: `Bearer ${place.token}`, [CORRELATION]: correlation };
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
