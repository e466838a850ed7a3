// The way to the box: one token, kept for this tab alone and sent in a header, never in an address.

import { events } from "../client/events.js";

const KEY = "storebox-operator";

/** A refusal of the box (RFC 9457); act on `code`, show `message`. */
export class Refusal extends Error {
  constructor(status, problem, waitS = 0) {
    super(problem?.detail ?? `the box answered ${status}`);
    [this.status, this.waitS] = [status, waitS];
    this.code = problem?.code ?? "unknown";
  }
}

export function token() {
  return sessionStorage.getItem(KEY);
}

export function keepToken(value) {
  if (value) sessionStorage.setItem(KEY, value);
  else sessionStorage.removeItem(KEY);
}

function headers(more = {}) {
  const own = token();
  return own ? { ...more, authorization: `Bearer ${own}` } : more;
}

async function checked(answer) {
  if (answer.ok) return answer;
  const problem = await answer.json().catch(() => null);
  throw new Refusal(answer.status, problem, Number(answer.headers.get("retry-after")) || 0);
}

export async function get(path) {
  const answer = await fetch(path, { headers: headers(), cache: "no-store", signal: AbortSignal.timeout(10000) });
  return (await checked(answer)).json();
}

/** What is at a path, or nothing where the box does not have it or does not show it to this caller. */
export async function maybe(path) {
  try {
    return await get(path);
  } catch (error) {
    if (error instanceof Refusal && [401, 403, 404].includes(error.status)) return null;
    throw error;
  }
}

export async function blob(path) {
  const answer = await fetch(path, { headers: headers(), signal: AbortSignal.timeout(10000) });
  return (await checked(answer)).blob();
}

export async function post(path, body) {
  const answer = await fetch(path, {
    method: "POST",
    headers: headers({ "content-type": "application/json" }),
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(30000),
  });
  await checked(answer);
  return answer.status === 204 ? null : answer.json();
}

/** Hears events until `signal` ends it; comes back by itself, sooner first and later less often. */
export async function listen(path, hear, { signal, state = () => {} }) {
  let pause = 500;
  while (!signal.aborted) {
    try {
      const answer = await checked(await fetch(path, { headers: headers(), cache: "no-store", signal }));
      for await (const event of events(answer.body)) {
        pause = 500;
        state(true);
        hear(event);
      }
      state(false);
    } catch (error) {
      if (signal.aborted) return;
      const refusal = error instanceof Refusal ? error : undefined;
      state(false, refusal);
      if (refusal && [401, 403, 404].includes(refusal.status)) return;
    }
    await new Promise((resolve) => setTimeout(resolve, pause));
    pause = Math.min(pause * 2, 5000);
  }
}
