// The reference till sells: scanned, weighed, with customer and coupon; with the line cut, the box dead, and nobody there.

import { cashier } from "./cashier.mjs";
import { assert, check, close, fitsScreen, open, shoot, until, url, wish } from "./kit.mjs";

const visit = await open();
const { page, context } = visit;
const { logIn, pay, scan, sold } = cashier(page);
const outcome = () => page.locator("#outcome").innerText();

await page.goto(url("store", "/till/"));
await page.getByText("A demonstration and a test instrument").waitFor();
await logIn();
await page.locator("#place", { hasText: "scanner" }).waitFor();
await page.evaluate(() => navigator.serviceWorker.ready.then(() => true));

// One scanned twice, one found by name, one weighed, a customer, a coupon.
await scan("4006381333931");
// The second of it is read by the scanner that hangs at the box.
await page.locator("#lines", { hasText: "1 at 7.49" }).waitFor();
await wish("scan", { code: "4006381333931" });
await page.locator("#lines", { hasText: "2 at 7.49" }).waitFor();
await scan("oat");
await page.locator("#lines", { hasText: "Oat milk" }).waitFor();
await scan("rye br");
await page.getByRole("list", { name: "Found products" }).getByRole("button", { name: /Rye bread/ }).click();
await wish("weigh", { kg: "1.250" });
await scan("apples");
await page.locator("#lines", { hasText: "1.250 kg" }).waitFor();
await page.getByRole("searchbox", { name: "Customer" }).fill("berg");
await page.getByRole("button", { name: "Anna Berg" }).click();
await page.getByLabel("Coupon").fill("SPRING10");
await page.getByRole("button", { name: "Apply" }).click();
// 14.98 + 2.19 + 3.20 + 3.74 = 24.11, less 10 % = 21.70.
assert.equal(await page.locator("#total").innerText(), "21.70");
await check(page, "till with a ticket");
await shoot(page, "till-ticket");
await pay();
await until("printed", async () => /Receipt: printed/.test(await outcome()));
await sold("21.70").getByText("settled (G3)").waitFor();
await shoot(page, "till-sold");

// The line is cut in mid-sale: the box holds the sale.
await scan("oat");
await wish("cut");
await scan("oat");
await pay();
await sold("4.38").getByText("held by a box (G1)").waitFor();
await shoot(page, "till-line-cut");

// The box is killed in mid-sale: the till keeps the sale.
await scan("rye");
await wish("kill");
await scan("rye");
await pay();
await sold("6.40").getByText("kept in this till").waitFor();
await until("alone", async () => /selling offline/.test(await page.locator("#link").innerText()));
await shoot(page, "till-box-dead");

// It starts anew without its box, from what it keeps, and goes on selling.
await page.reload();
await until("name", async () => (await page.locator("#till-name").innerText()) === "till-1");
await scan("coffee");
await page.locator("#lines", { hasText: "Coffee" }).waitFor();
await pay();
await sold("7.49").getByText("kept in this till").waitFor();
await check(page, "till without a box");

// The box is back before the line is: it holds them; then the line is back too.
await wish("start");
await sold("7.49").getByText("held by a box (G1)").waitFor();
await wish("mend");
for (const gross of ["4.38", "6.40", "7.49"]) await sold(gross).getByText("settled (G3)").waitFor();

// The scanner is heard again, though the box and this page have begun anew since; then there is no network at all.
await page.locator("#place", { hasText: "scanner" }).waitFor();
await wish("scan", { code: "7394376616228" });
await page.locator("#lines", { hasText: "Oat milk" }).waitFor();
await context.setOffline(true);
await pay();
await sold("2.19").getByText("kept in this till").waitFor();
await check(page, "till offline");
await shoot(page, "till-offline");
await context.setOffline(false);
await sold("2.19").getByText("settled (G3)").waitFor();

// What head office has is what was sold, each once.
const wanted = ["2.19", "21.70", "4.38", "6.40", "7.49"];
await until("ledger", async () => {
  const { entries } = await wish("ledger");
  return entries.length === wanted.length;
});
const { entries } = await wish("ledger");
assert.deepEqual(entries.map((entry) => entry.envelope.payload.gross).sort(), wanted);
assert.deepEqual(entries.map((entry) => entry.envelope.sequence).sort(), [1, 2, 3, 4, 5]);
await page.setViewportSize({ width: 390, height: 844 });
await fitsScreen(page, "till");
await check(page, "till on a phone");
await shoot(page, "till-phone");
await close(visit);
process.exit(0);
