// What the pages compute, without a browser: money, differences, keys, and what the till keeps to start without a box.

import { strict as assert } from "node:assert";
import { readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";

const folder = join(dirname(fileURLToPath(import.meta.url)), "../../../appliance/server/console");
const { decimal, minor, priceOf } = await import(join(folder, "client/masterdata.js"));
const { mint } = await import(join(folder, "client/journal.js"));
const { difference } = await import(join(folder, "views/repair.js"));

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
process.exit(0);
