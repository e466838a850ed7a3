// What happens in the shop is on its page as it happens: a weight, a paper, a call, a refresh, slots, a neighbour.

import { assert, check, close, open, shoot, signIn, stage, until, url, wish } from "./kit.mjs";

await wish("people");
const visit = await open();
const { page } = visit;
const goTo = async (which) => {
  await page.goto(url("store", `/#${which}`));
  await page.locator(`nav a[href="#${which}"][aria-current="page"]`).waitFor();
};
const card = (title) => page.locator(".card", { has: page.getByRole("heading", { name: title, exact: true }) });
await page.goto(url("store"));
await signIn(page, stage.operator);

// Devices: the weight that lies on the scale, live, and a picture of the paper that was printed last.
await goTo("devices");
await wish("weigh", { kg: "0.755" });
await card("Scale counter").getByText("0.755").waitFor();
await wish("weigh", { kg: "1.250" });
await card("Scale counter").getByText("1.25").waitFor();
await wish("print", { key: "paper-1", text: "^^Thank you" });
const picture = card("Printer receipts").locator("img");
await picture.waitFor();
await until("drawn", async () => picture.evaluate((image) => image.complete && image.naturalWidth > 100));
await card("Printer receipts").getByText(/printed, till-1/).waitFor();
await check(page, "devices with a paper");
await shoot(page, "devices-facts");

// The box: update slots with what became of releases, its disk, channels, and the calls that came through them.
await goTo("box");
await wish("call", { service: "query", body: { entity: "Product", startRow: 0, endRow: 1 } });
await wish("call", { service: "query", body: { entity: "Unicorn" } });
const slots = card("Update slots");
await slots.getByText("runs 1.4.0").waitFor();
assert.match(await slots.innerText(), /B[\s\S]*not proved yet[\s\S]*1\.3\.9[\s\S]*fell back[\s\S]*it did not start/);
assert.match(await card("Machine").innerText(), /free of[\s\S]*30 % of its life used[\s\S]*61 °C[\s\S]*Memory/);
await card("Channels").getByText("query").first().waitFor();
const calls = card("Request log");
await calls.getByText("served").waitFor();
await calls.locator("tr", { hasText: "served" }).getByText(/till-1/).waitFor();
await calls.locator(".badge.bad").first().waitFor();
await calls.locator("summary").first().click();
await calls.getByText(/"entity"/).first().waitFor();
await check(page, "box with calls");
await shoot(page, "box-facts");

// Masterdata: revision and age, sources with their breakers, and a refresh that everybody hears of.
await goTo("masterdata");
const feeds = card("Feeds");
await feeds.locator("tr", { hasText: "catalogue" }).waitFor();
const before = await feeds.locator("tr", { hasText: "catalogue" }).innerText();
await wish("change", { lines: '{"week":1,"model":"Product","record":{"id":"P9","name":"Figs","searchKey":"figs","barcode":"4000000000001"}}\n' });
await feeds.locator("tr", { hasText: "catalogue" }).getByText("level").waitFor();
await until("newer", async () => (await feeds.locator("tr", { hasText: "catalogue" }).innerText()) !== before);
await card("Where it comes from").getByText("closed, in use").first().waitFor();
await page.getByRole("button", { name: "Fetch and verify everything" }).click();
await card("Refreshes").locator("tr", { hasText: "full" }).first().waitFor();
await check(page, "masterdata");
await shoot(page, "masterdata-facts");

// What waits for head office: how much, since when, and how long it will take; and the chart of it.
await wish("cut");
await wish("sell", { number: 1, gross: "2.19" });
await feeds.locator("tr", { hasText: "catalogue" }).getByText("unknown").waitFor();
await goTo("sales");
const waits = card("On the way to head office");
await until("waits", async () => /Waiting\s+1[\s\S]*Oldest\s+\d+ s[\s\S]*Empty in\s+.*line is back/.test(await waits.innerText()));
await card("Waiting, oldest first").locator("tr", { hasText: "till-1 no. 1" }).waitFor();
await shoot(page, "sales-cut");
await goTo("overview");
await page.locator(".tile", { hasText: "Waiting for head office" }).getByText("1", { exact: true }).waitFor();
await until("charted", async () => /waiting: now 1/.test(await page.locator(".chart").first().innerText()));
await shoot(page, "overview-cut");
await wish("mend");
await until("drained", async () => (await wish("status")).outbox.waiting === 0);

// A till that loaded masterdata is listed with the generation it has, and a neighbour is on the map.
const neighbour = await wish("neighbour");
await wish("peer", { address: neighbour.address });
const till = await visit.context.newPage();
await till.goto(url("store", "/till/"));
await till.getByLabel("Token of this box").fill(stage.till);
await till.getByRole("button", { name: "Log in" }).click();
await until("loaded", async () => /5 products/.test(await till.locator("#said").innerText()));
await till.close();

// The map says what is cut.
await goTo("shop");
const map = page.getByRole("img", { name: /^Map/ });
await until("answers", async () => /Head office [^;]* answers; peer-store-368 +answers/.test(await map.getAttribute("aria-label")));
await card("Tills").locator("tr", { hasText: "till-1" }).getByText(/catalogue \d+\.\d+/).waitFor();
await wish("cut");
await wish("sell", { number: 2, gross: "2.19" });
await until("cut", async () => /Head office [^;]* does not answer/.test(await map.getAttribute("aria-label")));
await card("Tills").locator("tr", { hasText: "till-1" }).getByText("ago").waitFor();
await shoot(page, "shop-cut");
// The neighbour's line is not cut: it passes the sale on, which is what the shop is told.
await until("detour", async () => /by way of peer-store-368/.test(await page.locator("main").innerText()));
await check(page, "shop with a detour");
await close(visit);
process.exit(0);
