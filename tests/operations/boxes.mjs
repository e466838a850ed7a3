// A till among servers that come and go: it finds who is there, and moves by the definitions of its terminal.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { pathToFileURL } from "node:url";

const { Boxes, NoBox, Refusal, addresses, seek } = await import(pathToFileURL(process.argv[2]));

/** A server that says its name, on a port that it keeps. */
class Shop {
  constructor(name) {
    this.name = name;
    this.heard = [];
    this.port = 0;
  }

  async open() {
    this.server = createServer((request, response) => {
      this.heard.push(request.url);
      this.said = request.headers["storebox-api"];
      response.setHeader("content-type", "application/json");
      if (this.version) response.setHeader("storebox-api", String(this.version));
      if (this.problem) response.statusCode = 426;
      response.end(JSON.stringify(this.problem ?? { name: this.name }));
    });
    await new Promise((resolve) => this.server.listen(this.port, "127.0.0.1", resolve));
    this.port = this.server.address().port;
    this.url = `http://127.0.0.1:${this.port}`;
  }

  async close() {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }
}

const [store, main, archive] = ["store", "main", "archive"].map((name) => new Shop(name));
for (const shop of [store, main, archive]) await shop.open();
const boxes = new Boxes([main, store, archive].map(({ url }) => ({ url, token: "token" })));
const who = async (path, how) => (await boxes.ask(path, how)).name;
const until = async (holds) => {
  for (const end = Date.now() + 20000; !(await holds());) {
    assert.ok(Date.now() < end, "it did not happen within its time");
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
};

assert.equal(await who("/v1/models/Product"), "main", "without definitions box by box");
boxes.follow({
  servers: [
    { name: "store", address: store.url, priority: 5, services: ["v1/models"] },
    { name: "main", address: main.url, priority: 10, allServices: true, mainServer: true },
    { name: "archive", address: archive.url, priority: 20, services: ["v1/transactions"], copies: true },
  ],
  services: [
    { name: "v1/models", routing: "Failover", timeout: 1000 },
    { name: "v1/transactions", routing: "Transaction" },
  ],
});
assert.equal(await who("/v1/models/Product"), "store", "the first of the definition");
assert.equal(await who("/v1/transactions", { method: "POST", body: {} }), "main", "another service, another server");
await until(() => archive.heard.includes("/v1/transactions"));

await store.close();
const begun = Date.now();
assert.equal(await who("/v1/models/Product"), "main", "the next one while the first is away");
assert.ok(Date.now() - begun < 1000, "nobody waits for a closed door");
await store.open();
await until(async () => (await who("/v1/models/Product")) === "store");

await store.close();
await main.close();
await assert.rejects(who("/v1/models/Product"), NoBox);
const beside = new Shop("beside");
await beside.open();
boxes.learn({ here: "main", others: [{ node: "store-9", addresses: [beside.url] }] });
assert.equal(await who("/v1/models/Product"), "beside", "a found box goes on where no defined server answers");
await main.open();
await until(async () => (await who("/v1/models/Product")) === "main");
await main.close();
await beside.close();
await assert.rejects(who("/v1/models/Product"), NoBox);
boxes.follow(null);
assert.equal(await boxes.meet(), 1);
assert.equal(await who("/v1/anything"), "archive", "whoever is there is asked first");
assert.equal(archive.said, "1", "a till says its version");
archive.version = 2;
assert.equal(await who("/v1/anything"), "archive", "one version apart works");
archive.version = 3;
await assert.rejects(who("/v1/anything"), (refusal) => refusal instanceof Refusal && refusal.code === "version_skew"
  && refusal.message.includes("update this till") && refusal.message.includes("sales wait here"));
await store.open();
const both = new Boxes([archive, store].map(({ url }) => ({ url, token: "token" })));
const told = async () => (await both.ask("/v1/anything")).name;
assert.equal(await told(), "store", "a box of another version is passed over");
assert.equal(both.here.url, store.url);
store.version = 4;
const skewed = (refusal) => refusal instanceof Refusal && refusal.code === "version_skew";
await assert.rejects(told(), skewed, "no box fits");
store.problem = { code: "version_skew", detail: "this box speaks 4", retryable: false };
[store.version, archive.version] = [0, 0];
archive.heard.length = 0;
const refused = new Boxes([store, archive].map(({ url }) => ({ url, token: "token" })));
assert.equal((await refused.ask("/v1/anything")).name, "archive", "one that refuses this till is passed over");
await archive.close();
await assert.rejects(refused.ask("/v1/anything"), (refusal) => skewed(refusal) && refusal.message === "this box speaks 4",
  "the others are away: the one that refuses says what to do");
await archive.open();
store.problem = null;
await store.close();
assert.deepEqual(await seek([store.url, archive.url]), [archive.url]);
assert.deepEqual(addresses("10.0.0.5 box.shop:81"), ["http://10.0.0.5:8080", "http://box.shop:81"]);
assert.deepEqual(addresses("SBX1 host=10.0.0.5,storebox.local port=8443 ca=5f"),
  ["http://10.0.0.5:8443", "http://storebox.local:8443"]);
await archive.close();
console.log("moved");
process.exit(0);
