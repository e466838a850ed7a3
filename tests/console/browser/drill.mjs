// The operator cuts the line on purpose from a phone, the shop sells on, and the report says what worked.

import { assert, check, close, fitsScreen, open, sentence, shoot, signIn, stage, until, url, wish } from "./kit.mjs";

const visit = await open({ phone: true });
const { page } = visit;
const says = (what, words) => until(what, async () => words.test(await sentence(page)));
await page.goto(url("store", "/#shop"));
await signIn(page, stage.operator);
await page.getByRole("button", { name: "Cut the line" }).click();
await page.locator("#drill").getByText(/say who wants it/).waitFor();
await page.getByLabel("Minutes").fill("30");
await page.getByLabel("Who cuts it").fill("anna");
await page.getByRole("button", { name: "Cut the line" }).click();
await says("cut", /A drill cuts the line to head office until .*, selling continues/);
for (let number = 1; number <= 3; number += 1) await wish("sell", { number, gross: "2.19" });
await says("waiting", /3 sales waiting/);
assert.equal((await wish("ledger")).entries.length, 0);
await check(page, "drill");
await fitsScreen(page, "drill");
await shoot(page, "drill-phone");
await page.getByRole("button", { name: "Bring the line back" }).click();
await says("well again", /Selling normally/);
const row = page.getByRole("row", { name: /anna/ });
await until("report", async () => /by anna[\s\S]*3[\s\S]*0[\s\S]*3[\s\S]*\d\.\d s/.test(await row.innerText()));
assert.equal((await wish("ledger")).entries.length, 3);
await shoot(page, "drill-report-phone");
await close(visit);
process.exit(0);
