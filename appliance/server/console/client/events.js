// Server-sent events out of a stream: the browser's own reader cannot send a token.

/** @typedef {{name: string, data: string, id: string | undefined}} Told */

/**
 * The events of a body as they come, until it ends.
 * @param {ReadableStream<Uint8Array>} body
 * @returns {AsyncGenerator<Told>}
 */
export async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const pieces = (text + value).split("\n\n");
    text = pieces.pop();
    for (const piece of pieces) {
      const told = understand(piece);
      if (told.data || told.id) yield told;
    }
  }
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
