// What the pages compute, without a browser: money, differences, keys, and what the till keeps to start without a box.

import { strict as assert } from "node:assert";
import { readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";

const folder = join(dirname(fileURLToPath(import.meta.url)), "../../../appliance/server/console");
const { decimal, minor, priceOf } = await import(join(folder, "client/masterdata.js"));
const { Boxes } = await import(join(folder, "client/boxes.js"));
const { events } = await import(join(folder, "client/events.js"));
const { mint } = await import(join(folder, "client/journal.js"));
const { difference } = await import(join(folder, "views/repair.js"));

// A stream that ends nowhere and says nothing more is an error, and what came before it was heard.
const encoder = new TextEncoder();
let isCancelled = false;
const silent = new ReadableStream({
  start: (stream) => stream.enqueue(encoder.encode(": alive\n\nevent: reading\ndata: 1\n\n")),
  cancel: () => { isCancelled = true; },
});
const heard = [];
await assert.rejects(async () => {
  for await (const { data } of events(silent, 30)) heard.push(data);
}, /nothing was heard/);
assert.deepEqual(heard, ["1"]);
await new Promise((resolve) => setImmediate(resolve));
assert.ok(isCancelled);

// A generator that gives the same numbers each time.
let seed = 7;
const random = (below) => {
  seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
  return seed % below;
};

for (let i = 0; i < 2000; i += 1) {
  const units = random(10_000_000) - 5_000_000;
  assert.equal(minor(decimal(units)), units);
  const [price, grams] = [random(100_000), random(30_000)];
  const kilograms = `${Math.floor(grams / 1000)}.${String(grams % 1000).padStart(3, "0")}`;
  assert.equal(BigInt(priceOf(price, kilograms)), (BigInt(price) * BigInt(grams) + 500n) / 1000n);
}
assert.equal(priceOf(299, "1.250"), 374);
for (const odd of ["", "1,50", "1.234", "x", "1e3", null]) assert.equal(minor(odd), null, String(odd));

for (let i = 0; i < 300; i += 1) {
  const text = () => Array.from({ length: random(12) }, () => "abcd"[random(4)]).join("\n");
  const [before, after] = [text(), text()];
  const lines = difference(before, after);
  const side = (other) => lines.filter(([kind]) => kind !== other).map(([, line]) => line).join("\n");
  assert.equal(side("new"), before);
  assert.equal(side("gone"), after);
}

const keys = Array.from({ length: 100 }, (_, i) => mint(1_800_000_000_000 + i));
for (const key of keys) assert.match(key, /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
assert.deepEqual([...keys].sort(), keys, "keys sort as they were minted");

// All that the till's first page needs is kept by its service worker.
const kept = new Set([...readFileSync(join(folder, "till/sw.js"), "utf8").matchAll(/"(\/(?:till|console)\/[^"]*)"/g)].map(([, path]) => path));
const file = (path) => (path === "/till/" ? "till/index.html" : path.replace(/^\/console\//, "").replace(/^\//, ""));
for (const path of kept) assert.ok(readFileSync(join(folder, file(path))).length > 0, path);
const wanted = ["/till/"];
for (let i = 0; i < wanted.length; i += 1) {
  const path = wanted[i];
  assert.ok(kept.has(path), `${path} is not kept by the service worker`);
  const text = readFileSync(join(folder, file(path)), "utf8");
  const named = path.endsWith(".js") ? [...text.matchAll(/from "([^"]+)"/g)] : [...text.matchAll(/(?:src|href)="(\/[^"]+)"/g)];
  for (const [, name] of named) {
    const full = name.startsWith("/") ? name : normalize(join(dirname(path), name));
    if (!wanted.includes(full)) wanted.push(full);
  }
}

// What boxes tell of each other: typed ones stay, found ones move, are bounded, and go when nobody names them.
const WEEK = 7 * 24 * 3600 * 1000;
const boxes = new Boxes([{ url: "http://10.0.0.1:8080", token: "sbt_1" }, { url: "http://10.0.0.9:8080", token: "sbt_9" }]);
const second = (...addresses) => ({ here: "store-1", others: [{ node: "store-2", addresses }] });
const urls = () => boxes.list().map(({ url }) => url.replace("http://10.0.0.", "").replace(":8080", "")).join(" ");
assert.equal(boxes.learn(second("http://10.0.0.2:8080"), 1), false, "nobody has answered who could tell");
boxes.found(boxes.places[0]);
assert.equal(boxes.learn(second("https://10.0.0.2:8443", "http://10.0.0.2:8080"), 1), true);
assert.equal(boxes.learn(second("http://10.0.0.2:8080"), 2), false, "nothing is new");
assert.deepEqual(boxes.list()[0], { url: "http://10.0.0.1:8080", token: "sbt_1", node: "store-1" });
assert.deepEqual(boxes.list()[2], { url: "http://10.0.0.2:8080", token: "sbt_1", node: "store-2", found: 2 });
assert.equal(boxes.learn(second("http://10.0.0.3:8080"), 3), true);
assert.equal(urls(), "1 9 3", "it has moved: nobody else gets the token at its old address");
boxes.learn({ others: [{ node: "store-1", addresses: ["http://10.0.0.7:8080"] }] }, 4);
assert.equal(urls(), "1 9 3", "the box that was typed is known by its name");
boxes.learn({ others: [{ node: "store-9", addresses: ["http://10.0.0.9:8080"] }] }, 5);
assert.equal(boxes.list()[1].token, "sbt_9", "a typed token stays");
boxes.learn({ others: Array.from({ length: 20 }, (_, index) => ({ node: `box-${index}`, addresses: [`http://10.1.0.${index}:1`] })) }, 6);
assert.equal(boxes.list().length, 10, "found boxes are bounded");
assert.equal(boxes.learn({ others: [{ node: "store-2", addresses: [] }] }, 7), false, "a box without an address yet stays");
assert.ok(urls().includes("3"));
boxes.learn({}, WEEK + 10);
assert.equal(urls(), "1 9");
assert.equal(boxes.next.url, "http://10.0.0.9:8080");

// The found box through which the till sells names itself never, and is kept all the same; that it is there is kept daily.
const DAY = WEEK / 7;
const guest = new Boxes([{ url: "http://10.0.0.1:8080", token: "sbt_1" }, { url: "http://10.0.0.2:8080", token: "sbt_1", node: "store-2", found: 1 }]);
guest.found(guest.places[1]);
let writes = 0;
for (let now = 1; now < 3 * WEEK; now += DAY / 24) writes += guest.learn({ here: "store-2", others: [] }, now) ? 1 : 0;
assert.equal(guest.here?.node, "store-2");
assert.ok(writes >= 18 && writes <= 21, `${writes} writes in three weeks`);
assert.ok(guest.list()[1].found > 3 * WEEK - DAY);
process.exit(0);
