// A stranger reads and sees nothing of single sales or tills; a cashier and a manager may what their roles say; the operator acts.

import { assert, check, close, open, shoot, signIn, stage, until, url, wish } from "./kit.mjs";

await wish("people");
await wish("sell", { number: 1, gross: "7.49" });
const PAGES = ["overview", "sales", "masterdata", "devices", "shop", "box"];
const ACTS = /Cut the line|Refresh now|Fetch and verify|It is printed|Look at no|Retry/;

const goTo = async (page, which) => {
  await page.goto(url("store", `/#${which}`));
  await page.locator(`nav a[href="#${which}"][aria-current="page"]`).waitFor();
};

const stranger = await open();
for (const which of PAGES) {
  await goTo(stranger.page, which);
  await until("shown", async () => (await stranger.page.locator("#sentence .said").innerText()).length > 3);
  const text = await stranger.page.locator("body").innerText();
  assert.ok(!/till-1/.test(text), `${which} names a till to a stranger`);
  const buttons = await stranger.page.locator("main button").allInnerTexts();
  assert.ok(!buttons.some((name) => ACTS.test(name)), `${which} lets a stranger act: ${buttons}`);
}
// Nor does the box itself, whatever a page may ask.
const refused = await stranger.page.evaluate(async () => Promise.all([
  fetch("/v1/outbox"), fetch("/v1/terminals"), fetch("/v1/drill", { method: "POST", body: "{}" }), fetch("/v1/refresh", { method: "POST", body: "{}" }),
].map(async (answer) => (await answer).status)));
assert.deepEqual(refused, [401, 401, 401, 401]);
await close(stranger);

const signOn = async (page, user, pin) => {
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByLabel("Token of the till").fill(stage.till);
  await page.getByLabel("User").fill(user);
  await page.getByLabel("PIN").fill(pin);
  await page.getByRole("button", { name: "Sign on" }).click();
};
for (const [user, name] of [["ann", "Ann"], ["bob", "Bob"]]) {
  const visit = await open();
  await visit.page.goto(url("store", "/#devices"));
  await signOn(visit.page, user, "4711");
  await visit.page.getByRole("button", { name: `Sign out (${name})` }).waitFor();
  // Papers and weights are for who is known; tasks, tills and sales stay the operator's.
  await visit.page.getByRole("heading", { name: "Printer receipts" }).waitFor();
  await check(visit.page, `devices as ${user}`);
  for (const which of ["sales", "shop", "box"]) {
    await goTo(visit.page, which);
    await visit.page.getByText(/Sign in as operator/).waitFor();
    assert.ok(!(await visit.page.locator("main button").allInnerTexts()).some((text) => ACTS.test(text)), which);
  }
  const acts = await visit.page.evaluate(async () => {
    const authorization = `Bearer ${sessionStorage.getItem("storebox-operator")}`;
    const ask = async (path) => (await fetch(path, { method: "POST", headers: { authorization, "content-type": "application/json" }, body: "{}" })).status;
    return [await ask("/v1/drill"), await ask("/v1/printers/receipts/recover")];
  });
  assert.equal(acts[0], 403);
  if (user === "ann") assert.equal(acts[1], 403, "a cashier manages no printer");
  else assert.notEqual(acts[1], 403, "a manager does");
  await visit.page.getByRole("button", { name: `Sign out (${name})` }).click();
  await visit.page.getByRole("button", { name: "Sign in" }).waitFor();
  await close(visit);
}

// Who guesses is locked out here as well, and is told for how long.
const guesser = await open();
await guesser.page.goto(url("store"));
await guesser.page.getByRole("button", { name: "Sign in" }).click();
await guesser.page.getByLabel("Token of the till").fill(stage.till);
for (let i = 0; i < 6; i += 1) {
  await guesser.page.getByLabel("User").fill("bob");
  await guesser.page.getByLabel("PIN").fill("1234");
  if (await guesser.page.locator("#sign-on").isDisabled()) break;
  await guesser.page.locator("#sign-on").click();
  await until(`guess ${i}`, async () => (await guesser.page.getByLabel("PIN").inputValue()) === "" && /Not signed on/.test(await guesser.page.locator("#pin-refused").innerText()));
}
await guesser.page.getByText(/too many wrong passwords; wait \d+ s/).waitFor();
await until("locked", async () => /Locked for \d+ s/.test(await guesser.page.locator("#sign-on").innerText()));
await check(guesser.page, "console locked out");
await shoot(guesser.page, "sign-in-locked");
await guesser.page.getByRole("dialog").getByRole("button", { name: "Cancel" }).click();

// The operator acts.
await signIn(guesser.page, stage.operator);
await goTo(guesser.page, "shop");
await guesser.page.getByRole("button", { name: "Cut the line" }).waitFor();
await guesser.page.getByText("till-1").first().waitFor();
await close(guesser);
process.exit(0);
