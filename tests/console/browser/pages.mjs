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

// A whole day of charts, with an outage and an hour in which the box did not run.
for (const scheme of ["light", "dark"]) {
  const visit = await open({ scheme });
  await visit.page.route("**/v1/chronicle*", (route) => route.fulfill({ json: day() }));
  await visit.page.goto(url("store"));
  await until("drawn", async () => /most/.test(await visit.page.locator(".chart").first().innerText()));
  await visit.page.locator(".chart .u-over").first().hover();
  await until("told", async () => /\d\d:\d\d: waiting/.test(await visit.page.locator(".chart").first().innerText()));
  await check(visit.page, "a day");
  await shoot(visit.page, `day-desk-${scheme}`);
  await close(visit);
}

function day() {
  const now = Math.floor(Date.now() / 60000) * 60;
  const columns = { at: [], waiting: [], oldestS: [], sales: [], sent: [], lagS: [], answers: [], medianUs: [], slowUs: [] };
  let waiting = 0;
  for (let minute = 0; minute < 1440; minute += 1) {
    if (minute >= 300 && minute < 360) continue;
    const busy = Math.max(0, Math.sin(((minute - 420) / 900) * Math.PI));
    const sales = Math.round(busy * 9 + (minute % 7) * busy);
    const isCut = minute >= 760 && minute < 850;
    const sent = isCut ? 0 : Math.min(waiting + sales, 60);
    waiting += sales - sent;
    columns.at.push(now - (1439 - minute) * 60);
    columns.waiting.push(waiting);
    columns.oldestS.push(waiting ? (minute - 760) * 60 : 0);
    columns.sales.push(sales);
    columns.sent.push(sent);
    columns.lagS.push(isCut ? (minute - 759) * 60 : 0);
    columns.answers.push(sales * 11);
    columns.medianUs.push(sales ? 180 + ((minute * 37) % 90) : null);
    columns.slowUs.push(sales ? 900 + ((minute * 131) % 1400) : null);
  }
  return columns;
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
