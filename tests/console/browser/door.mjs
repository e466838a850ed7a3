// A till asks to be let in; a person compares the numbers in the console and says yes, and no to another one.

import { assert, check, close, fitsScreen, open, shoot, signIn, stage, until, url, wish } from "./kit.mjs";

for (const phone of [true, false]) {
  const visit = await open({ phone });
  const { page } = visit;
  await page.goto(url("store", "/#box"));
  await page.getByText("Served at").waitFor();
  await page.getByText("TLS", { exact: true }).waitFor();
  assert.equal(await page.getByRole("link", { name: "Door" }).count(), 0, "a stranger sees no door");
  await signIn(page, stage.operator);
  await page.getByRole("link", { name: "Door" }).click();
  await page.getByText("Nobody waits.").waitFor();

  const name = phone ? "till-71" : "till-72";
  const number = await wish("knock", { name });
  await page.getByText(number).waitFor();
  const yes = page.getByRole("button", { name: `Let ${name} in` });
  await yes.click();
  await page.getByText("Write down who decides this.").waitFor();
  await page.getByLabel("Who decides").fill("Anna");
  await check(page, `door ${phone ? "phone" : "desk"}`);
  await fitsScreen(page, "door");
  await shoot(page, `door-${phone ? "phone" : "desk"}`);
  if (phone) {
    await page.getByRole("button", { name: `Send ${name} away` }).click();
    assert.equal(await wish("is in"), false, "it was sent away");
  } else {
    await yes.click();
    assert.equal(await wish("is in"), true, "it is in");
    await until("written down", async () => /enrolled/.test(await page.locator("#view").innerText()));
    assert.match(await page.locator("#view").innerText(), /Anna/);
  }
  await page.getByRole("button", { name: "Show a code" }).click();
  await until("a code", async () => /\d{4} \d{4}/.test(await page.locator("#view").getByRole("status").innerText()));
  await page.getByRole("button", { name: "Close slips and code" }).click();
  await until("no code", async () => (await wish("status")).trust.codeUntil === undefined);
  await close(visit);
}
process.exit(0);
