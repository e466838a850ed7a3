// A cashier signs on at the till with a PIN, sells under that name and leaves; who guesses is locked out, and selling goes on.

import { cashier } from "./cashier.mjs";
import { assert, check, close, fitsScreen, open, shoot, until, url, wish } from "./kit.mjs";

await wish("people");
const visit = await open({ phone: true });
const { page } = visit;
const { logIn, pay, said, scan, sold } = cashier(page);
const sell = async (code) => {
  await scan(code);
  await page.locator("#lines li").first().waitFor();
  await pay();
};
await page.goto(url("store", "/till/"));
await logIn();

const dialog = page.getByRole("dialog");
const signOn = async (user, pin) => {
  await dialog.getByLabel("User").fill(user);
  await dialog.getByLabel("PIN").fill(pin);
  await dialog.locator("#sign-on").click();
};
await page.getByRole("button", { name: "Cashier: nobody" }).click();
await check(page, "cashier");
await shoot(page, "till-cashier-phone");
await fitsScreen(page, "cashier");
await signOn("ann", "4711");
await page.getByRole("button", { name: "Cashier: Ann" }).waitFor();
await sell("oat");
await sold("2.19").getByText("settled (G3)").waitFor();
await page.getByRole("button", { name: "Cashier: Ann" }).click();
await dialog.getByRole("button", { name: "Sign off" }).click();
await page.getByRole("button", { name: "Cashier: nobody" }).click();

// Five wrong PINs, and the sixth try, right as it is, is not judged any more.
for (let i = 0; i < 5; i += 1) {
  await signOn("ann", "0000");
  await until(`try ${i}`, async () => (await dialog.getByLabel("PIN").inputValue()) === "" && /Not signed on/.test(await page.locator("#person-refused").innerText()));
}
if (!(await page.locator("#sign-on").isDisabled())) await signOn("ann", "4711");
await dialog.getByText(/too many wrong passwords; wait \d+ s/).waitFor();
await until("locked", async () => /Locked for \d+ s/.test(await page.locator("#sign-on").innerText()));
assert.ok(await page.locator("#sign-on").isDisabled());
await check(page, "locked out");
await shoot(page, "till-locked-phone");
// A colleague is not locked out by that.
await dialog.getByLabel("User").fill("bob");
await until("free for another", async () => !(await page.locator("#sign-on").isDisabled()));
await dialog.getByRole("button", { name: "Cancel" }).click();
await sell("rye");
await sold("3.20").getByText("settled (G3)").waitFor();

// Somebody else may sign on; and with the box away, the till says so and sells.
await page.reload();
await until("again", async () => /4 products/.test(await said()));
await page.getByRole("button", { name: "Cashier: nobody" }).click();
await signOn("bob", "4711");
await page.getByRole("button", { name: "Cashier: Bob" }).waitFor();
await wish("kill");
await sell("coffee");
await sold("7.49").getByText("kept in this till").waitFor();
await wish("start");
await sold("7.49").getByText("settled (G3)").waitFor();
const { entries } = await wish("ledger");
const by = Object.fromEntries(entries.map(({ envelope }) => [envelope.payload.gross, envelope.payload.cashier]));
assert.deepEqual(by, { "2.19": "ann", "3.20": undefined, "7.49": "bob" });
const logins = await wish("control", { path: "/v1/logins" });
for (const what of ["in", "out", "refused", "locked"]) assert.ok(logins.some((one) => one.what === what), what);
await close(visit);
process.exit(0);
