// The box dies in mid-sale and the till goes on at the other box of the shop, which lets pages of the first one in.

import { assert, close, open, shoot, stage, until, url, wish } from "./kit.mjs";

const neighbour = await wish("neighbour");
const visit = await open();
const { page } = visit;
const sold = (text) => page.locator("#sold tr", { hasText: text });
const scan = async (code) => {
  await page.getByLabel("Scan or search").fill(code);
  await page.keyboard.press("Enter");
};
await page.goto(url("store", "/till/"));
await page.getByLabel("Token of this box").fill(stage.till);
await page.getByLabel("Address of a second box").fill(`http://${neighbour.address}`);
await page.getByLabel("Token of the second box").fill(neighbour.till);
await page.getByRole("button", { name: "Log in" }).click();
await until("products", async () => /4 products/.test(await page.locator("#said").innerText()));
await page.evaluate(() => navigator.serviceWorker.ready.then(() => true));
await wish("cut");
await scan("oat");
await page.getByRole("button", { name: "Pay" }).click();
await sold("2.19").getByText("held by a box (G1)").waitFor();

await scan("rye");
await wish("kill");
await scan("rye");
await page.getByRole("button", { name: "Pay" }).click();
await until("neighbour", async () => new RegExp(`through (${neighbour.address}|store-368)`).test(await page.locator("#link").innerText()));
// What the dead box held is given to the neighbour too: head office settles a key once.
for (const gross of ["2.19", "6.40"]) await sold(gross).getByText("settled (G3)").waitFor();
await shoot(page, "till-second-box");
await page.reload();
await scan("coffee");
await page.locator("#lines", { hasText: "Coffee" }).waitFor();
await page.getByRole("button", { name: "Pay" }).click();
await sold("7.49").getByText("settled (G3)").waitFor();

await wish("start");
await wish("mend");
await until("drained", async () => (await wish("status")).outbox.waiting === 0);
const { entries } = await wish("ledger");
assert.deepEqual(entries.map((entry) => entry.envelope.payload.gross).sort(), ["2.19", "6.40", "7.49"]);
await close(visit);
process.exit(0);
