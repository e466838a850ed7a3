// A refresh that is due is announced, waits for the end of the ticket, and brings the new price.

import { cashier } from "./cashier.mjs";
import { assert, check, close, open, shoot, until, url, wish } from "./kit.mjs";

const visit = await open();
const { page } = visit;
const { logIn, pay, said, scan } = cashier(page);
await page.goto(url("store", "/till/"));
await logIn();
await scan("oat");
await wish("change", { lines: '{"week":1,"model":"ProductPrice","record":{"id":"PL1-P2","priceListId":"PL1","productId":"P2","listPrice":"1.99"}}\n' });

// A minute later it is due: the banner comes, and nothing else happens while the ticket is open.
await page.locator("#banner").waitFor({ state: "visible", timeout: 90000 });
assert.equal(await page.locator("#banner-text").innerText(), "Master data refresh will happen after this ticket is closed");
assert.equal(await page.locator("#total").innerText(), "2.19");
await check(page, "refresh banner");
await shoot(page, "till-banner");
await pay();
await until("refreshed", async () => /Masterdata refreshed \(incremental, 1 records\)/.test(await said()));
assert.equal(await page.locator("#banner").isVisible(), false);
await scan("oat");
await until("new price", async () => (await page.locator("#total").innerText()) === "1.99");
await close(visit);
process.exit(0);
