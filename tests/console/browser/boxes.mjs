// Head office sees its boxes; one that never spoke is unknown.

import { assert, check, close, fitsScreen, open, shoot, signIn, stage, until, url, wish } from "./kit.mjs";

await wish("add box", { name: "store-999" });
await wish("paper out");
for (const phone of [false, true]) {
  const visit = await open({ phone, scheme: phone ? "dark" : "light" });
  const { page } = visit;
  await page.goto(url("main", "/#boxes"));
  await page.getByText("Sign in as operator to see the boxes of the chain.").waitFor();
  await signIn(page, stage.office);
  const row = (name) => page.getByRole("row", { name: new RegExp(name) });
  await until("heard", async () => /here[\s\S]*level[\s\S]*receipts[\s\S]*out of paper/.test(await row("store-367").innerText()));
  assert.match(await row("store-999").innerText(), /unknown/);
  assert.match(await row("store-367").innerText(), /0\.1\.0/);
  await fitsScreen(page, "boxes");
  await check(page, "boxes");
  await shoot(page, `boxes-${phone ? "phone-dark" : "desk-light"}`);
  for (const which of ["overview", "sales", "masterdata", "shop", "box"]) {
    await page.goto(url("main", `/#${which}`));
    await page.locator(`nav a[href="#${which}"][aria-current="page"]`).waitFor();
    await check(page, `head office ${which}`);
  }
  await close(visit);
}
process.exit(0);
