// What all scenarios share: a browser that reaches the boxes alone, the stage, and checks.

import { execFileSync } from "node:child_process";
import { mkdtempSync, mkdirSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { strict as assert } from "node:assert";
import { join } from "node:path";

const require = createRequire(join(process.env.MODULES, "package.json"));
const { chromium } = require("playwright-core");
const axe = require.resolve("axe-core/axe.min.js");

export const stage = JSON.parse(process.env.STAGE);
export { assert };
const PATIENCE_MS = 30000;
const PHONE = { width: 390, height: 844 };
/** Findings of axe that are serious enough to fail. */
const SERIOUS = ["serious", "critical"];
/** No name but this machine leads anywhere: pages work with the outside network blocked. */
const OUTSIDE = "--host-resolver-rules=MAP *.storebox.internal 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1";

const answers = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

/** Lets something happen to the boxes. */
export async function wish(what, more = {}) {
  process.stdout.write(`${JSON.stringify({ do: what, ...more })}\n`);
  const { value } = await answers.next();
  const { answer, error } = JSON.parse(value);
  if (error) throw new Error(`${what}: ${error}`);
  return answer;
}

/** Looks until something holds. */
export async function until(what, holds) {
  const end = Date.now() + PATIENCE_MS;
  for (;;) {
    if (await holds()) return;
    if (Date.now() > end) throw new Error(`${what}: not in time`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** A home in which the browser believes this root, as a till's image or a company's policy would have it. */
function homeWith(root) {
  const home = mkdtempSync(join(tmpdir(), "home-"));
  for (const folder of [join(home, ".pki/nssdb"), join(home, ".local/share/pki/nssdb")]) {
    mkdirSync(folder, { recursive: true });
    const at = `sql:${folder}`;
    execFileSync("certutil", ["-N", "-d", at, "--empty-password"]);
    execFileSync("certutil", ["-A", "-d", at, "-n", "root", "-t", "C,,", "-i", root]);
  }
  return home;
}

const isOurs = (url) => url.hostname === "127.0.0.1" || url.hostname.endsWith(".storebox.internal");

/** A browser of one person; whatever it asks of anybody but the boxes is refused and noted. */
export async function open({ scheme = "light", phone = false, root = null, spaces = "" } = {}) {
  // Which addresses count as the internet and which as the shop's network: here all are this machine's own.
  const lan = spaces ? [`--ip-address-space-overrides=${spaces}`] : [];
  const env = { ...process.env, ...(root ? { HOME: homeWith(root) } : {}) };
  const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", env, args: ["--no-sandbox", "--disable-gpu", OUTSIDE, ...lan] });
  const context = await browser.newContext({ colorScheme: scheme, viewport: phone ? PHONE : { width: 1280, height: 900 },
    hasTouch: phone, reducedMotion: "reduce", locale: "en-GB" });
  context.setDefaultTimeout(PATIENCE_MS);
  const noted = { outside: [], errors: [] };
  await context.route((url) => !isOurs(url), (route) => {
    noted.outside.push(route.request().url());
    return route.abort();
  });
  if (process.env.CONSOLE) await showFrom(context, process.env.CONSOLE);
  const page = await context.newPage();
  page.on("pageerror", (error) => noted.errors.push(String(error)));
  page.on("console", (message) => {
    if (/Content Security Policy|Trusted/.test(message.text())) noted.errors.push(message.text());
  });
  return { browser, context, page, noted };
}

/** Shows the pages of a folder in place of those that the boxes were built with: for whoever works on them. */
async function showFrom(context, folder) {
  // Pages that no network brought may otherwise not talk to the boxes of this one.
  await context.grantPermissions(["local-network-access"]);
  const files = { "/": "index.html", "/till": "till/index.html", "/till/": "till/index.html" };
  await context.route((of) => of.pathname in files || /^\/(console|till)\//.test(of.pathname), async (route) => {
    const { pathname } = new URL(route.request().url());
    const path = files[pathname] ?? pathname.replace(/^\/console\//, "").replace(/^\//, "");
    const headers = { "cache-control": "no-cache" };
    const answer = await route.fetch().catch(() => null);
    if (!answer) return route.abort();
    if (answer.status() === 200) headers["content-security-policy"] = answer.headers()["content-security-policy"];
    return route.fulfill({ path: join(folder, path), headers });
  });
}

/** Ends a person's visit and fails if the pages misbehaved. */
export async function close({ browser, noted }) {
  await browser.close();
  assert.deepEqual(noted, { outside: [], errors: [] });
}

export function url(box, path = "/") {
  return `http://${stage[box]}${path}`;
}

export async function shoot(page, name) {
  await page.screenshot({ path: join(process.env.SHOTS, `${name}.png`), fullPage: true });
}

/** Fails if axe finds anything serious on the page as it is. */
export async function check(page, what) {
  await page.evaluate(readFileSync(axe, "utf8"));
  const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
  const grave = violations.filter((found) => SERIOUS.includes(found.impact))
    .map((found) => `${what}: ${found.id} (${found.impact}): ${found.nodes.slice(0, 3).map((node) => `${node.html} ${node.failureSummary}`).join("; ")}`);
  assert.deepEqual(grave, []);
}

/** Signs in through the form as a person does. */
export async function signIn(page, token) {
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByLabel("Token", { exact: true }).fill(token);
  await page.getByRole("dialog").getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("button", { name: "Sign out (operator)" }).waitFor();
}

export function sentence(page) {
  return page.locator("#sentence .said").innerText();
}

/** The page is no wider than the screen. */
export async function fitsScreen(page, what) {
  const wider = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  assert.ok(wider <= 0, `${what} is ${wider} pixels wider than the screen`);
}
