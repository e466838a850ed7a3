// A browser till over TLS: served by its own box, and by somebody else whom the box has on its list.

import { assert, check, close, open, stage, until, wish } from "./kit.mjs";

const { store, office, root } = stage.secure;
const ask = (page, address, token) => page.evaluate(async ([url, bearer]) => {
  try {
    const answer = await fetch(url, { headers: bearer ? { authorization: `Bearer ${bearer}` } : {} });
    return { status: answer.status, body: await answer.json() };
  } catch (error) {
    return { failed: String(error) };
  }
}, [address, token]);

const stranger = await open();
const refused = await stranger.page.goto(`https://${store}/till/`).catch((error) => String(error));
assert.match(refused, /ERR_CERT_AUTHORITY_INVALID/, "without the root nobody believes the box");
await close(stranger);

const till = await open({ root });
const { page } = till;
const served = await page.goto(`https://${store}/till/`);
assert.equal(served.status(), 200);
const { protocol, subjectName } = await served.securityDetails();
assert.equal(protocol, "TLS 1.3", subjectName);
assert.match(served.headers()["content-security-policy"], /default-src 'none'/);
assert.equal(await page.evaluate(() => isSecureContext), true);
const own = await ask(page, `https://${store}/v1/models`, stage.till);
assert.equal(own.status, 200, JSON.stringify(own));

// A page of somebody else, which the box has on its list: it may ask, and has to say who it is.
await page.goto(`https://${office}/till/`);
const listed = await ask(page, `https://${store}/v1/models`, stage.till);
assert.equal(listed.status, 200, JSON.stringify(listed));
const nobody = await ask(page, `https://${store}/v1/models`);
assert.equal(nobody.status, 401, JSON.stringify(nobody));
await close(till);

// A page that is on nobody's list: the browser gives it nothing.
const evil = await open({ root });
await evil.page.goto(`https://${store}/till/`);
const unlisted = await ask(evil.page, `https://${office}/v1/status`);
assert.match(unlisted.failed ?? JSON.stringify(unlisted), /Failed to fetch/);
await evil.browser.close();

// The till begins anew without its box: over TLS too its worker has kept what it needs.
const alone = await open({ root });
await alone.page.goto(`https://${store}/till/`);
await alone.page.evaluate(() => navigator.serviceWorker.ready.then(() => true));
await until("kept", () => alone.page.evaluate(async () => Boolean(await caches.match("/till/till.js"))));
await wish("kill");
await alone.page.reload();
await alone.page.getByText("A demonstration and a test instrument").waitFor();
await alone.page.getByRole("dialog", { name: "Boxes of this till" }).waitFor();
await check(alone.page, "a till over TLS without a box");
await close(alone);
process.exit(0);
