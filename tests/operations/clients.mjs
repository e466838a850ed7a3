// What a customer of the API would write, with a check behind each step.

import assert from "node:assert/strict";
import { Boxes, Refusal, Storebox } from "./storebox.js";

const box = new Storebox({ url: process.env.BOX, token: process.env.TOKEN }, { terminal: "web-1" });

const welcome = await box.login({ cacheLost: true });
assert.ok(welcome.profile);
assert.equal((await box.record("Product", "1")).name, "Chocolate");
assert.equal(await box.record("Product", "none"), null);
assert.equal((await box.find("Product", "barcode", "4002"))[0].name, "Coffee");
const all = [];
for await (const record of box.records("Product", 1)) all.push(record.id);
assert.deepEqual(all, ["1", "2"]);

const found = await box.query("Product", [{ fieldName: "name", operator: "iStartsWith", value: "cho" }]);
assert.deepEqual(found.data.map((product) => product.id), ["1"]);
assert.ok(found.metadata.plan.length > 0);

const customer = await box.call("customer", { name: "Ada" });
assert.equal((await box.query("Customer", [{ fieldName: "id", operator: "equals", value: customer.id }])).data[0].name, "ADA");
const refusal = await box.call("customer", { name: "Bob", pin: "1234" }).catch((error) => error);
assert.ok(refusal instanceof Refusal);
assert.equal(refusal.code, "hook_refused");
assert.match(refusal.message, /hook no-bobs refuses: no Bobs/);
assert.match(refusal.correlation, /^[0-9a-f]{24}$/);
const named = await box.call("customer", { name: "Bob" }, { correlation: "kiosk-7" }).catch((error) => error);
assert.equal(named.correlation, "kiosk-7");

const ticket = { key: "0192d3a4-5b6c-7000-8000-00000000abcd", lines: [{ productId: "1", quantity: 2 }] };
const made = await box.call("ticket", ticket, { wait: "settled", timeoutS: 30 });
assert.equal(made.grade, "settled");
assert.equal((await box.call("ticket", ticket)).id, made.id);
await box.call("ticket-pay", { ticketId: made.id, payments: [{ amount: "6.98" }] });

const sale = await box.sell("Order", { id: "order-1", gross: "6.98" });
assert.ok(["held", "settled"].includes(sale.grade), sale.problem);
assert.ok(await box.progress(sale.key));
assert.deepEqual(await box.devices(), []);

// One of a session's sales goes through the box next door, and its cash-up comes here.
const session = "session-1";
await box.sell("Order", { id: "order-2", gross: "1.00" }, { session });
box.boxes.ask = async (path, how) =>
  how?.body?.payload?.id === "order-3" ? { grade: "settled" } : Boxes.prototype.ask.call(box.boxes, path, how);
const elsewhere = await box.sell("Order", { id: "order-3", gross: "2.00" }, { session });
delete box.boxes.ask;
assert.equal(elsewhere.grade, "settled");
assert.equal(await box.progress(elsewhere.key), null, "this box has not seen it");
await box.journal.tidy();
let closing = await box.sell("CashUp", { id: "cash-up-1" }, { session });
const { epochs } = await box.boxes.ask("/v1/transactions/have");
const { have, want } = epochs.find(({ epoch }) => epoch === 1);
assert.deepEqual([have, want], [[{ from: 1, to: 4 }], []]);
for (const end = Date.now() + 60000; closing.grade !== "settled"; closing = await box.sale(closing.key)) {
  assert.ok(Date.now() < end, "the cash-up still waits");
  await new Promise((resolve) => setTimeout(resolve, 100));
  await box.ship();
}
await box.ship();
await box.journal.tidy();
assert.deepEqual(await box.journal.sales().then((sales) => sales.filter((one) => one.envelope.session)), []);

const heard = new AbortController();
const [events, changes] = [[], []];
const changed = (async () => {
  for await (const { change } of box.changes({ signal: heard.signal })) {
    changes.push(change);
    if (change.models?.Product) return change;
  }
})();
const pushed = (async () => {
  for await (const push of box.pushes({ signal: heard.signal })) {
    events.push(push);
    if (push.event === "reset") console.log("listening");
    if (push.event === "changed") return push;
  }
})();
const push = await pushed;
const change = await changed;
heard.abort();
assert.deepEqual(change.models.Product.changed, ["1", "2"]);
assert.deepEqual(events.map(({ event, id }) => [event, id]), [["reset", ""], ["changed", "1"]]);
await box.boxes.ask("/v1/channel/push/taken", { method: "POST", body: { number: push.number } });
console.log(JSON.stringify({ push, sale, correlation: refusal.correlation }));
