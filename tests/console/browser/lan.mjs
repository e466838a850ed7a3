// A till page from the internet asks the box in the shop's network: the browser wants a person's word for it first.

import { assert, close, open, stage } from "./kit.mjs";

const { store, office, root } = stage.secure;
const at = (address) => `127.0.0.1:${address.split(":")[1]}`;
const spaces = `${at(office)}=public,${at(store)}=local`;

/** What the page may do, and what the client for tills makes of asking the box. */
const ask = (page) => page.evaluate(async ([url, token]) => {
  const { Boxes, NoBox } = await import("/console/client/boxes.js");
  const known = async (name) => navigator.permissions.query({ name }).then(({ state }) => state, () => null);
  const permission = (await known("local-network")) ?? (await known("local-network-access"));
  try {
    const found = await new Boxes([{ url, token }]).ask("/v1/models");
    return { permission, models: JSON.stringify(found) };
  } catch (error) {
    return { permission, isNoBox: error instanceof NoBox, barred: error.barred, said: error.message };
  }
}, [`https://${store}`, stage.till]);

/** Every request that reached the network, with how it was asked and answered. */
function listen(page) {
  const heard = [];
  page.on("response", async (answer) => {
    if (answer.url().startsWith(`https://${store}/`)) heard.push({ status: answer.status(), headers: await answer.allHeaders() });
  });
  return heard;
}

async function visit(granted) {
  const till = await open({ root, spaces });
  const { page, context } = till;
  // Granting one permission says no to all others.
  if (granted) await context.grantPermissions(granted, { origin: `https://${office}` });
  const heard = listen(page);
  await page.goto(`https://${office}/till/`);
  const told = await ask(page);
  await close(till);
  return { told, heard };
}

// Nobody has answered the question yet, and somebody has said no: nothing reaches the box, and the till says what to do.
for (const granted of [null, ["geolocation"]]) {
  const { told, heard } = await visit(granted);
  assert.equal(told.permission, granted ? "denied" : "prompt", JSON.stringify(told));
  assert.ok(told.isNoBox && told.barred, JSON.stringify(told));
  assert.match(told.said, /allow it "local network" in the settings of the page/);
  assert.deepEqual(heard, []);
}

// Somebody has said yes: the box names the page in its answer, and no other.
const { told, heard } = await visit(["local-network-access"]);
assert.equal(told.permission, "granted", JSON.stringify(told));
assert.match(told.models, /Product/);
assert.ok(heard.some(({ status, headers }) => status === 200 && headers["access-control-allow-origin"] === `https://${office}`
  && /origin/i.test(headers.vary)), JSON.stringify(heard));

// The same box from a page that the box itself serves: nobody is asked.
const own = await open({ root, spaces });
await own.page.goto(`https://${store}/till/`);
const served = await own.page.evaluate(async ([token]) => {
  const { Boxes } = await import("/console/client/boxes.js");
  return JSON.stringify(await new Boxes([{ url: "", token }]).ask("/v1/models"));
}, [stage.till]);
assert.match(served, /Product/);
await close(own);
process.exit(0);
