// Holds the client's rules against the cases of the protocol crate; prints how many.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [module, vectors] = process.argv.slice(2);
const { Servers } = await import(pathToFileURL(module));
const { view, cases } = JSON.parse(readFileSync(vectors, "utf8"));

for (const one of cases) {
  const servers = new Servers(view);
  for (const [server, service, at] of one.failed ?? []) servers.failed(server, service, at);
  for (const [server, service] of one.answered ?? []) servers.answered(server, service);
  assert.deepEqual(servers.route(one.address, one.timeoutMs), one.route, one.what);
  if (one.due) assert.deepEqual(servers.due(one.now), one.due, one.what);
  if (one.online !== undefined) assert.equal(servers.isOnline(), one.online, one.what);
}
console.log(cases.length);
