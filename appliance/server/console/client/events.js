// Server-sent events out of a stream: the browser's own reader cannot send a token.

/** @typedef {{name: string, data: string, id: string | undefined}} Told */

/** A box that has nothing to tell says so every 15 s; one that says nothing at all is gone, though no cable told of it. */
const SILENCE_MAX_MS = 40_000;

/**
 * The events of a body as they come, until it ends; a body that is silent for too long is an error.
 * @param {ReadableStream<Uint8Array>} body
 * @returns {AsyncGenerator<Told>}
 */
export async function* events(body, silenceMaxMs = SILENCE_MAX_MS) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  try {
    for (;;) {
      const { value, done } = await within(reader.read(), silenceMaxMs);
      if (done) return;
      const pieces = (text + value).split("\n\n");
      text = pieces.pop();
      for (const piece of pieces) {
        const told = understand(piece);
        if (told.data || told.id) yield told;
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

async function within(promise, ms) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`nothing was heard for ${ms / 1000} s`)), ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

function understand(piece) {
  const told = { name: "message", data: "", id: undefined };
  for (const line of piece.split("\n")) {
    const [, field, value] = /^(event|data|id): ?(.*)$/.exec(line) ?? [];
    if (field === "event") told.name = value;
    if (field === "data") told.data += value;
    if (field === "id") told.id = value;
  }
  return told;
}
