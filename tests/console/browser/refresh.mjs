// A refresh that is due is announced, waits for the end of the ticket, and brings the new price.

import { assert, check, close, open, shoot, stage, until, url, wish } from "./kit.mjs";

const visit = await open();
const { page } = visit;
const said = () => page.locator("#said").innerText();
await page.goto(url("store", "/till/"));
await page.getByLabel("Token of this box").fill(stage.till);
await page.getByRole("button", { name: "Log in" }).click();
await until("products", async () => /4 products/.test(await said()));
const scan = async (code) => {
  await page.getByLabel("Scan or search").fill(code);
  await page.keyboard.press("Enter");
};
await scan("oat");
await wish("change", { lines: '{"week":1,"model":"ProductPrice","record":{"id":"PL1-P2","priceListId":"PL1","productId":"P2","listPrice":"1.99"}}\n' });

// A minute later it is due: the banner comes, and nothing else happens while the ticket is open.
await page.locator("#banner").waitFor({ state: "visible", timeout: 90000 });
assert.equal(await page.locator("#banner-text").innerText(), "Master data refresh will happen after this ticket is closed");
assert.equal(await page.locator("#total").innerText(), "2.19");
await check(page, "refresh banner");
await shoot(page, "till-banner");
await page.getByRole("button", { name: "Pay" }).click();
await until("refreshed", async () => /Masterdata refreshed \(incremental, 1 records\)/.test(await said()));
assert.equal(await page.locator("#banner").isVisible(), false);
await scan("oat");
await until("new price", async () => (await page.locator("#total").innerText()) === "1.99");
await close(visit);
process.exit(0);
