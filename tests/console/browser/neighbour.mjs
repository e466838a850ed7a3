// The box dies in mid-sale and the till goes on at the other box of the shop, which lets pages of the first one in.

import { cashier, settlesEachOnce } from "./cashier.mjs";
import { close, open, shoot, until, url, wish } from "./kit.mjs";

const neighbour = await wish("neighbour");
const visit = await open();
const { page } = visit;
const { logIn, pay, scan, sold } = cashier(page);
await page.goto(url("store", "/till/"));
await logIn({ "Address of a second box": `http://${neighbour.address}`, "Token of the second box": neighbour.till });
await page.evaluate(() => navigator.serviceWorker.ready.then(() => true));
await wish("cut");
await scan("oat");
await pay();
await sold("2.19").getByText("held by a box (G1)").waitFor();

await scan("rye");
await wish("kill");
await scan("rye");
await pay();
await until("neighbour", async () => new RegExp(`through (${neighbour.address}|store-368)`).test(await page.locator("#link").innerText()));
// What the dead box held is given to the neighbour too: head office settles a key once.
for (const gross of ["2.19", "6.40"]) await sold(gross).getByText("settled (G3)").waitFor();
await shoot(page, "till-second-box");
await page.reload();
await scan("coffee");
await page.locator("#lines", { hasText: "Coffee" }).waitFor();
await pay();
await sold("7.49").getByText("settled (G3)").waitFor();

await settlesEachOnce(["2.19", "6.40", "7.49"]);
await close(visit);
process.exit(0);
