// Every page, as a stranger and as the operator, light and dark, on a desk and on a phone, by keyboard.

import { assert, check, close, fitsScreen, open, shoot, signIn, stage, until, url, wish } from "./kit.mjs";

const PAGES = ["overview", "sales", "masterdata", "devices", "shop", "box"];

await wish("sell", { number: 1, gross: "7.49" });
await wish("weigh", { kg: "1.250" });
for (const [scheme, phone] of [["light", false], ["dark", false], ["light", true]]) {
  const visit = await open({ scheme, phone });
  const { page } = visit;
  const name = (of) => `${of}-${phone ? "phone" : "desk"}-${scheme}`;
  await page.goto(url("store"));
  await page.getByRole("heading", { name: "store-367" }).waitFor();
  await until("live", async () => (await page.locator("#live").innerText()) === "live");
  assert.match(await page.title(), /^store-367: /);
  await shoot(page, name("stranger"));
  await check(page, name("stranger"));
  await signIn(page, stage.operator);
  for (const which of PAGES) {
    await page.goto(url("store", `/#${which}`));
    await page.locator(`nav a[href="#${which}"][aria-current="page"]`).waitFor();
    await page.locator(which === "overview" ? ".chart" : ".card:not([hidden])").first().waitFor();
    if (which === "devices") await page.getByText("1.25").first().waitFor();
    if (which === "shop") await page.getByRole("img", { name: /^Map/ }).waitFor();
    await fitsScreen(page, name(which));
    await check(page, name(which));
    await shoot(page, name(which));
  }
  await close(visit);
}

// By keyboard alone: past the skip link to the pages, and on to the next one.
const visit = await open();
const { page } = visit;
await page.goto(url("store"));
await page.getByRole("heading", { name: "store-367" }).waitFor();
await page.keyboard.press("Tab");
assert.equal(await page.evaluate(() => document.activeElement.textContent), "Skip to content");
for (let i = 0; i < 3; i += 1) await page.keyboard.press("Tab");
await page.keyboard.press("Enter");
await page.locator('nav a[href="#sales"][aria-current="page"]').waitFor();
// A token that nobody has is refused, and said so.
await page.getByRole("button", { name: "Sign in" }).click();
await page.getByLabel("Token", { exact: true }).fill("sbo_wrong");
await page.keyboard.press("Enter");
await page.getByText(/Not signed in: nobody has this token/).waitFor();
await check(page, "sign-in");
await shoot(page, "sign-in");
await close(visit);
process.exit(0);
