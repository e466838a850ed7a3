// What the shop is told when the line is cut, paper runs out, the box dies, and all of it ends.

import { assert, check, close, open, sentence, shoot, signIn, stage, until, url, wish } from "./kit.mjs";

const visit = await open();
const { page } = visit;
const says = (what, words) => until(what, async () => words.test(await sentence(page)));
await page.goto(url("store"));
await says("normal", /Selling normally/);

await wish("cut");
for (let number = 1; number <= 3; number += 1) await wish("sell", { number, gross: "2.19" });
await says("cut", /Head office unreachable since .*, 3 sales waiting, selling continues/);
assert.match(await page.locator("#sentence .advice").innerText(), /go up by themselves/);
await until("waiting tile", async () => (await page.locator(".tile", { hasText: "Waiting for head office" }).innerText()).includes("3"));
await check(page, "line cut");
await shoot(page, "line-cut");

await wish("paper out");
await says("paper", /Receipt printer at till 3 is out of paper/);
assert.match(await page.locator("#findings").innerText(), /Head office unreachable/);
await check(page, "paper out");
await shoot(page, "paper-out");
await wish("paper in");
await wish("mend");
await says("well again", /Selling normally/);

await signIn(page, stage.operator);
await wish("kill");
await says("dead", /This box does not answer/);
assert.match(await page.locator("#live").innerText(), /no answer/);
await check(page, "box dead");
await shoot(page, "box-dead");
await close(visit);
process.exit(0);
