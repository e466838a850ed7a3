// Nothing is typed but the first login: the till finds the second box of the shop by itself, and when its own is killed in
// mid-sale it goes on there with the token that it has.

import { cashier, settlesEachOnce } from "./cashier.mjs";
import { assert, check, close, open, shoot, until, wish } from "./kit.mjs";

const neighbour = await wish("neighbour", { found: true });
const own = await wish("peer", { address: neighbour.address });
const visit = await open();
const { page } = visit;
const { logIn, pay, scan, sold } = cashier(page);
const text = (id) => page.locator(id).innerText();
await page.goto(`http://${own}/till/`);
await logIn();
await until("the next box", async () => /next: store-368/.test(await text("#place")));
assert.equal(await text("#link"), "selling through store-367");
await page.getByRole("button", { name: "Boxes" }).click();
await page.getByRole("list", { name: "Found boxes" }).getByText(`http://${neighbour.address}`).waitFor();
assert.equal(await page.getByLabel("Address of a second box").inputValue(), "");
await check(page, "found boxes");
await shoot(page, "till-found-boxes");
await page.keyboard.press("Escape");
await page.evaluate(() => navigator.serviceWorker.ready.then(() => true));

await wish("cut");
await scan("oat");
await pay();
await sold("2.19").getByText("held by a box (G1)").waitFor();
await scan("rye");
await wish("kill");
await scan("rye");
await pay();
await until("the other box", async () => /through store-368/.test(await text("#link")));
for (const gross of ["2.19", "6.40"]) await sold(gross).getByText("settled (G3)").waitFor();
await until("alone", async () => /no other box answers/.test(await text("#place")));
await shoot(page, "till-found-box");

// The page begins anew with its own box dead: what was found is kept.
await page.reload();
await scan("coffee");
await page.locator("#lines", { hasText: "Coffee" }).waitFor();
await pay();
await sold("7.49").getByText("settled (G3)").waitFor();
const { clients } = await wish("beside");
assert.ok(clients.some(({ name }) => name === "till-1"), JSON.stringify(clients));

await settlesEachOnce(["2.19", "6.40", "7.49"]);
await close(visit);
process.exit(0);
