// Head office sets something and is let in to look; the box shows a refresh that runs, its machine and its last day.

import { assert, check, close, fitsScreen, open, sentence, shoot, signIn, stage, until, url, wish } from "./kit.mjs";

const visit = await open();
const { page } = visit;
const card = (name) => page.locator("section.card", { has: page.getByRole("heading", { name, exact: true }) });
const settings = async () => (await wish("status").catch(() => null))?.settings ?? {};

// What the kernel and the steward of the box tell is on the page.
await page.goto(url("store", "/#box"));
await signIn(page, stage.operator);
await until("machine", async () => /30 % of its life used[\s\S]*61 °C/.test(await card("Machine").innerText()));
await until("slots", async () => /runs 1\.4\.0[\s\S]*starts next/.test(await card("Update slots").innerText()));

// Head office slows this box's line; the box tries it, proves it and says so.
await wish("office", { say: ["settings", "set", "slow", "masterdata.line_kb_per_s=20", "--prove-s", "5"] });
await until("proven", async () => (await settings()).state === "proven");
await wish("find");
await page.reload();
await until("settings", async () => /1[\s\S]*proven[\s\S]*everyone[\s\S]*masterdata\.line_kb_per_s = 20/.test(await card("Settings of head office").innerText()));
await check(page, "settings");
await fitsScreen(page, "settings");
await shoot(page, "settings");

// A refresh that takes its time over that line is watched while it runs, from before it begins.
await page.goto(url("store", "/#masterdata"));
const feed = page.locator("tr", { hasText: "catalogue" });
await Promise.all([
  page.getByRole("progressbar", { name: "catalogue refresh" }).waitFor(),
  feed.getByText(/behind by [1-9]/).first().waitFor(),
  wish("catalogue", { records: 8000 }),
]);
await check(page, "a refresh that runs");
await shoot(page, "refresh-runs");

// Somebody at the store lets head office look; it reads what the doctor says, and no longer when the visit is closed.
await page.goto(url("store", "/#box"));
await page.getByLabel("Who lets it").fill("anna");
await page.getByRole("button", { name: "Let head office look" }).click();
await until("open", async () => /Head office may look at this box until/.test(await page.locator("body").innerText()));
await check(page, "a visit");
const office = await open({ phone: true });
await office.page.goto(url("main", "/#boxes"));
await signIn(office.page, stage.office);
const look = office.page.getByRole("button", { name: /Look at store-367/ });
await look.waitFor();
assert.match(await office.page.getByRole("row", { name: /store-367/ }).innerText(), /1 proven, ring everyone/);
await look.click();
await office.page.getByText(/"checks"/).waitFor();
await check(office.page, "head office looks");
await fitsScreen(office.page, "head office looks");
await shoot(office.page, "look-phone");
await page.getByRole("button", { name: "Close the visit" }).click();
await until("closed", async () => !/may look/.test(await sentence(page)));
await until("gone", async () => !(await look.isVisible()));
await until("audit", async () => /closed[\s\S]*looked[\s\S]*\/doctor[\s\S]*opened[\s\S]*anna/.test(await card("Visits of head office").innerText()));
await close(office);

// The last day, as the box itself kept it.
await wish("day");
for (const scheme of ["light", "dark"]) {
  const day = await open({ scheme });
  await day.page.goto(url("store"));
  await until("drawn", async () => /most/.test(await day.page.locator(".chart").first().innerText()));
  await day.page.locator(".chart .u-over").first().hover();
  await until("told", async () => /\d\d:\d\d: waiting/.test(await day.page.locator(".chart").first().innerText()));
  const { at, waiting } = await (await day.page.request.get(url("store", "/v1/chronicle"))).json();
  assert.ok(at.length > 1300 && Math.max(...waiting) > 500, "a day with an outage");
  await check(day.page, "a day");
  await shoot(day.page, `day-desk-${scheme}`);
  await close(day);
}
await close(visit);
process.exit(0);
