// Head office sees its boxes; one that never spoke is unknown.

import { assert, check, close, fitsScreen, open, shoot, signIn, stage, until, url, wish } from "./kit.mjs";

await wish("add box", { name: "store-999" });
await wish("paper out");
// One sale that head office refuses waits at the box.
await wish("settle before", { number: 1, gross: "1.00" });
await wish("sell", { number: 1, gross: "9.99" });
for (const phone of [false, true]) {
  const visit = await open({ phone, scheme: phone ? "dark" : "light" });
  const { page } = visit;
  await page.goto(url("main", "/#boxes"));
  await page.getByText("Sign in as operator to see the boxes of the chain.").waitFor();
  await signIn(page, stage.office);
  const row = (name) => page.getByRole("row", { name: new RegExp(name) });
  await until("heard", async () => /here[\s\S]*level[\s\S]*receipts[\s\S]*refused sale/.test(await row("store-367").innerText()));
  assert.match(await row("store-999").innerText(), /unknown/);
  // One that spoke three hours ago: since when it is silent, and what to do.
  await until("silent", async () => /away[\s\S]*3 h[\s\S]*silent since [^\n]*\d\d:\d\d[\s\S]*Ask the shop whether it has power and a line[\s\S]*said last: Selling/
    .test(await row("store-998").innerText()));
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

// How much waits there and since when; and how far a box is behind that no longer hears of changes.
const visit = await open();
const { page } = visit;
await page.goto(url("main", "/#boxes"));
await signIn(page, stage.office);
const row = page.getByRole("row", { name: /store-367/ });
const cell = (title) => row.locator(`td[data-title="${title}"]`).innerText();
await until("waits", async () => (await cell("Waiting")) === "1" && /^\d+ (s|min)$/.test(await cell("Oldest")) && (await cell("For a person")) === "1");
assert.match(await cell("It says"), /out of paper|refused sale/);
await page.locator(".tile", { hasText: "Silent" }).getByText("1", { exact: true }).waitFor();
await page.locator(".tile", { hasText: "Unknown" }).getByText("1", { exact: true }).waitFor();
await wish("cut");
await wish("import", { lines: '{"week":2,"model":"ProductPrice","record":{"id":"PL1-P2","priceListId":"PL1","productId":"P2","listPrice":"1.95"}}\n' });
await until("behind", async () => /catalogue 1/.test(await cell("Revisions behind")));
await check(page, "boxes behind");
await shoot(page, "boxes-behind");
await page.getByLabel("Find a box").fill("999");
await until("found", async () => (await page.getByRole("row", { name: /store-/ }).count()) === 1);
await close(visit);
process.exit(0);
