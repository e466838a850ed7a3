// A sale that head office refuses is found, read, changed with the change in sight, and settled.

import { assert, check, close, fitsScreen, open, shoot, signIn, stage, until, url, wish } from "./kit.mjs";

await wish("settle before", { number: 1, gross: "1.00" });
await wish("sell", { number: 1, gross: "9.99" });
await wish("sell", { number: 2, gross: "2.00" });
for (const phone of [true, false]) {
  const visit = await open({ phone });
  const { page } = visit;
  await page.goto(url("store", "/#sales"));
  await until("told", async () => /1 refused sale waits for a person/.test(await page.locator("#sentence").innerText()));
  assert.equal(await page.locator("#quarantine").isVisible(), false, "a stranger sees no sale");
  await signIn(page, stage.operator);
  await page.getByRole("button", { name: "Look at no. 1" }).click();
  const dialog = page.getByRole("dialog");
  const content = dialog.getByLabel("Content");
  assert.match(await content.inputValue(), /9\.99/);
  await content.fill((await content.inputValue()).replaceAll("9.99", "1.00"));
  await dialog.locator("ins", { hasText: "1.00" }).first().waitFor();
  await dialog.locator("del", { hasText: "9.99" }).first().waitFor();
  await dialog.getByRole("button", { name: "Repair and offer again" }).click();
  await dialog.getByText("Write down who decides this, and why.").waitFor();
  await check(page, `repair ${phone ? "phone" : "desk"}`);
  await fitsScreen(page, "repair");
  await shoot(page, `repair-${phone ? "phone" : "desk"}`);
  if (!phone) {
    await dialog.getByLabel("Who decides").fill("anna");
    await dialog.getByLabel("Why").fill("typed the wrong price");
    await dialog.getByRole("button", { name: "Repair and offer again" }).click();
    await dialog.waitFor({ state: "detached" });
    await until("settled", async () => (await wish("status")).outbox.quarantined === 0);
    await page.getByText("typed the wrong price").waitFor();
    await shoot(page, "repaired");

    // Another sale under a key that was sold: somebody compares the two and writes down what came of it.
    await wish("sell", { number: 2, gross: "3.00", refused: 409 });
    await page.getByRole("button", { name: "Compare no. 1" }).click();
    await dialog.locator("ins", { hasText: "3.00" }).first().waitFor();
    await check(page, "contradiction");
    await dialog.getByRole("button", { name: "Dismiss" }).click();
    await dialog.getByText("Refused: ").waitFor();
    await dialog.getByLabel("Who dealt with it").fill("anna");
    await dialog.getByLabel("How").fill("a till that was cloned; the second sale was typed in anew");
    await dialog.getByRole("button", { name: "Dismiss" }).click();
    await dialog.waitFor({ state: "detached" });
    await until("dismissed", async () => (await page.getByRole("button", { name: "Compare no. 1" }).count()) === 0);
  }
  await close(visit);
}
process.exit(0);
