// What a till hands over before it closes its session, at a box that has only some of its sales.

import assert from "node:assert/strict";
import { pathToFileURL } from "node:url";

const { MemoryJournal, Refusal, Storebox } = await import(pathToFileURL(process.argv[2]));

/** A box that takes everything and settles nothing. */
class Box {
  constructor(name) {
    [this.name, this.taken] = [name, []];
  }

  ask(path, how) {
    if (path === "/v1/transactions/have") return this.have();
    if (how?.method === "POST") {
      this.taken.push(how.body.sequence);
      return { grade: "held" };
    }
    throw new Refusal(404, { code: "not_found" });
  }

  have() {
    const numbers = [...new Set(this.taken)].sort((a, b) => a - b);
    const have = numbers.map((number) => ({ from: number, to: number }));
    return { terminal: "till-1", epochs: [{ terminal: "till-1", epoch: 9, have: [] }, { terminal: "till-1", epoch: 1, have, want: [] }] };
  }
}

const journal = new MemoryJournal();
const till = new Storebox({ url: "http://127.0.0.1:9", token: "token" }, { terminal: "till-1", journal });
const [here, beside] = [new Box("here"), new Box("beside")];
const at = (box) => (till.boxes.ask = async (path, how) => box.ask(path, how));
const settle = async (kind) => {
  for (const sale of await journal.sales()) if (sale.envelope.kind === kind) await journal.note(sale.key, "settled");
  await journal.tidy();
};
const sell = async (kind, session) => (await till.sell(kind, {}, { session })).envelope.sequence;

// 1 from before, 2 here, 3 and 4 next door, 5 here, 6 next door; all of them are settled before the till closes.
for (const [box, session] of [[here], [here, "s"], [beside, "s"], [beside, "s"], [here, "s"], [beside, "s"]]) {
  at(box);
  await sell("Order", session);
  await settle("Order");
}
assert.deepEqual((await journal.sales()).map(({ envelope }) => envelope.sequence), [2, 3, 4, 5, 6], "the session is open");
at(here);
here.taken = [1, 2, 5];
assert.equal(await sell("CashUp", "s"), 7);
assert.deepEqual(here.taken, [1, 2, 5, 3, 4, 6, 7], "what it wants, and then the cash-up");

await settle("CashUp");
assert.deepEqual(await journal.sales(), [], "the session is closed");

// A box that has nothing of this till wants nothing, and one that does not say holds up nobody.
for (const have of [() => ({ epochs: [] }), () => { throw new Refusal(403, { code: "forbidden" }); }]) {
  const box = new Box("other");
  box.have = have;
  at(box);
  const closing = await sell("CashUp", "t");
  assert.deepEqual(box.taken, [closing]);
  await settle("CashUp");
}
console.log("complete");
