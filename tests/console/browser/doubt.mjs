// A box dies in the middle of a paper: a person looks at the printer and decides, once for each of the two answers.

import { assert, check, close, open, shoot, signIn, stage, until, url, wish } from "./kit.mjs";

const visit = await open();
const { page } = visit;
const job = async (key) => wish("control", { path: `/v1/printers/receipts/jobs/${key}` });
const ask = page.getByText(/Is paper .* printed\? Look at the printer\./);

await wish("doubt", { key: "paper-1", text: "Tea|2.50\n=" });
await page.goto(url("store", "/#devices"));
await signIn(page, stage.operator);
await ask.waitFor();
await check(page, "a paper in doubt");
await shoot(page, "paper-in-doubt");
await page.getByRole("button", { name: "It is printed" }).click();
await ask.waitFor({ state: "detached" });
const first = await job("paper-1");
assert.deepEqual([first.state, first.decision.what], ["printed", "printed"], JSON.stringify(first));

await wish("doubt", { key: "paper-2", text: "Cake|3.20\n=" });
await ask.waitFor();
await page.getByRole("button", { name: "Print a copy" }).click();
await ask.waitFor({ state: "detached" });
assert.equal((await job("paper-2")).decision.what, "reprint");
await until("copied", async () => (await job("copy-paper-2").catch(() => ({}))).state === "printed");
assert.equal((await job("copy-paper-2")).copy, 1, "and says that it is one");
await close(visit);
process.exit(0);
