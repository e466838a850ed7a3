// A refresh that is announced or asked for is put off by the cashier: the ticket stays, and so do the prices until it is due
// again. The clock of the page is moved on, and what the till loaded is made older at the box.

import { cashier } from "./cashier.mjs";
import { assert, check, close, open, shoot, until, url, wish } from "./kit.mjs";

const visit = await open();
const { page } = visit;
const { logIn, pay, said, scan } = cashier(page);
const price = (text) => ({ lines: `{"week":1,"model":"ProductPrice","record":{"id":"PL1-P2","priceListId":"PL1","productId":"P2","listPrice":"${text}"}}\n` });
/** It is due, and the till looks whether it is. */
async function due(shown) {
  await wish("age", { minutes: 2 });
  await until("due", async () => {
    await page.clock.fastForward(61000);
    return shown.waitFor({ timeout: 2000 }).then(() => true, () => false);
  });
}

await page.clock.install();
await page.goto(url("store", "/till/"));
await logIn();
await scan("oat");
await wish("change", price("1.99"));
const banner = page.locator("#banner");
await due(banner);
await page.getByRole("button", { name: "Not this time" }).click();
await banner.waitFor({ state: "hidden" });
await pay();
await page.getByRole("status").getByText(/Receipt/).waitFor();
await scan("oat");
assert.equal(await page.locator("#total").innerText(), "2.19", "nothing was loaded");

// This till is to be asked without a banner.
await wish("change", { lines: '{"week":1,"model":"Terminal","record":{"id":"till-1","refreshPopupMinutes":0}}\n' });
const dialog = page.getByRole("dialog", { name: "Masterdata will be refreshed now" });
await due(dialog);
await check(page, "a refresh that is asked for");
await shoot(page, "till-asked");
await page.getByRole("button", { name: "Not now" }).click();
await dialog.waitFor({ state: "hidden" });
assert.equal(await page.locator("#total").innerText(), "2.19", "the ticket is as it was");
assert.doesNotMatch(await said(), /Masterdata refreshed/);

await close(visit);
process.exit(0);
