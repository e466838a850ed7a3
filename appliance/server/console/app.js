// The console: one status that streams in, one page at a time that shows it.

import { get, keepToken, listen, maybe, post, token } from "./lib/api.js";
import { badge, h } from "./lib/dom.js";
import { ago, localised, setClock, span } from "./lib/words.js";
import { Overview } from "./views/overview.js";
import { Sales } from "./views/sales.js";
import { Masterdata } from "./views/masterdata.js";
import { Devices } from "./views/devices.js";
import { Shop } from "./views/shop.js";
import { Door } from "./views/door.js";
import { Box } from "./views/box.js";
import { Boxes } from "./views/boxes.js";

/** A status is told at least every five seconds; without one for so long, what is shown is old. */
const SILENT_MS = 12000;
/** Events that come late are made up for by asking. */
const ASK_MS = 7000;
const MARKS = { good: "OK", notice: "Note", bad: "Act" };

const PAGES = [
  ["overview", "Overview", Overview, () => true],
  ["boxes", "Boxes", Boxes, (status) => status.role === "main"],
  ["sales", "Sales", Sales, () => true],
  ["masterdata", "Masterdata", Masterdata, () => true],
  ["devices", "Devices", Devices, (status) => status.role === "store"],
  ["shop", "Shop", Shop, () => true],
  ["door", "Door", Door, (status) => Boolean(status.trust?.member)],
  ["box", "Box", Box, () => true],
];

const element = (id) => document.getElementById(id);
const context = { status: null, caller: { kind: "nobody" }, isOperator: () => context.caller.kind === "operator",
  /** Whether the box would let this caller do what needs a right; a till without a person may do what it always could. */
  may: (right) => context.isOperator() || (context.caller.kind === "terminal" && (context.caller.person?.rights.includes(right) ?? true)) };
let renewal = null;
let page = null;
let heardAt = 0;
let stream = null;

function wantedPage() {
  return PAGES.find(([name, , , fits]) => `#${name}` === location.hash && fits(context.status)) ?? PAGES[0];
}

function showPages() {
  const current = wantedPage()[0];
  const links = PAGES.filter(([, , , fits]) => fits(context.status)).map(([name, title]) =>
    h("li", {}, h("a", { href: `#${name}`, "aria-current": name === current ? "page" : null }, title)));
  const shown = element("pages");
  const key = links.map((link) => link.outerHTML).join();
  if (shown.dataset.key !== key) {
    shown.dataset.key = key;
    shown.replaceChildren(...links);
    shown.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
  }
}

function turnTo() {
  if (!context.status) return;
  const [name, title, View] = wantedPage();
  showPages();
  if (page?.name !== name) {
    page?.view.end?.();
    page = { name, view: new View(context) };
    element("view").replaceChildren(h("h2", { class: "page" }, title), page.view.element);
    if (location.hash) element("main").focus({ preventScroll: true });
  }
  page.view.update(context.status);
}

function showSentence(status) {
  const [first, ...others] = status.findings;
  const box = element("sentence");
  const key = JSON.stringify([first, heardAt > 0]);
  document.title = `${status.node}: ${localised(first)}`;
  if (box.dataset.key !== key) {
    box.dataset.key = key;
    box.className = `sentence ${first.level}`;
    box.replaceChildren(h("p", { class: "said" }, badge(MARKS[first.level], first.level), ` ${localised(first)}`),
      first.advice ? h("p", { class: "advice" }, first.advice) : "");
  }
  const list = element("findings");
  const rest = JSON.stringify(others);
  if (list.dataset.key !== rest) {
    list.dataset.key = rest;
    list.hidden = others.length === 0;
    list.replaceChildren(...others.map((finding) => h("li", { class: finding.level },
      badge(MARKS[finding.level], finding.level), h("span", {}, h("strong", {}, localised(finding)),
        finding.advice ? h("span", { class: "advice" }, ` ${finding.advice}`) : null))));
  }
}

function show(status) {
  heardAt = Date.now();
  context.status = status;
  setClock(status.now);
  element("name").textContent = status.node;
  element("about").textContent = `${status.role === "main" ? "Head office" : "Shop"} · Storebox ${status.version} · up ${span(status.uptimeS)}`;
  showSentence(status);
  setLive(true);
  turnTo();
}

function setLive(isLive) {
  const live = element("live");
  const word = isLive ? "live" : "no answer";
  if (live.textContent !== word) live.textContent = word;
  live.className = isLive ? "live on" : "live off";
  if (isLive || !context.status) return;
  const box = element("sentence");
  if (box.dataset.key === "silent") return;
  box.dataset.key = "silent";
  box.className = "sentence bad";
  box.replaceChildren(h("p", { class: "said" }, badge("Act", "bad"), " This box does not answer"),
    h("p", { class: "advice" }, "Check its power and its cable. What is below is what it said ", ago(context.status.now),
      "; tills go on through the other box of the shop if there is one."));
}

function follow() {
  stream?.abort();
  stream = new AbortController();
  const hear = (event) => event.name === "status" && show(JSON.parse(event.data));
  const state = (isUp, refusal) => {
    if (!isUp && refusal?.status === 401) signOut(refusal.message);
    // A box that has no room for one more listener does answer: it is asked in turns instead.
    else if (!isUp && !refusal) setLive(false);
  };
  listen("/v1/status/events", hear, { signal: stream.signal, state });
}

async function signIn(value) {
  keepToken(value);
  const caller = await get("/v1/whoami");
  if (caller.kind === "node") throw new Error("this is a box's token, not a person's");
  if (caller.kind === "terminal") caller.person = await get("/v1/session").catch(() => null);
  context.caller = caller;
  stayOn(caller.person?.lifeMs);
  changedCaller();
}

/** A person's token is renewed after half its life. */
function stayOn(lifeMs) {
  clearTimeout(renewal);
  if (!lifeMs) return;
  renewal = setTimeout(async () => {
    try {
      const session = await post("/v1/session/renew", {});
      keepToken(session.token);
      stayOn(session.lifeMs);
    } catch (error) {
      signOut(error.message);
    }
  }, lifeMs / 2);
}

/** Too many wrong PINs: nobody tries this name before the box would listen; another name may. */
function lockOut(seconds, user = element("user").value) {
  const isLocked = seconds > 0 && element("user").value === user;
  element("sign-on").disabled = isLocked;
  element("sign-on").textContent = isLocked ? `Locked for ${seconds} s` : "Sign on";
  if (seconds > 0) setTimeout(() => lockOut(seconds - 1, user), 1000);
}

function signOut(why = "") {
  keepToken(null);
  clearTimeout(renewal);
  context.caller = { kind: "nobody" };
  changedCaller();
  if (why) openSignIn(`You were signed out: ${why}`);
}

function changedCaller() {
  element("sign").textContent = context.caller.kind === "nobody" ? "Sign in" : `Sign out (${context.caller.person?.name ?? context.caller.kind})`;
  page?.view.end?.();
  page = null;
  follow();
}

function openSignIn(why = "") {
  element("sign-refused").textContent = why;
  for (const id of ["token", "till-token", "pin"]) element(id).value = "";
  element("pin-refused").textContent = "";
  element("sign-in").showModal();
}

element("sign").addEventListener("click", () => (token() ? signOut() : openSignIn()));
element("sign-in").querySelector("[data-close]").addEventListener("click", () => element("sign-in").close());
element("sign-in").querySelector("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  try {
    await signIn(element("token").value.trim());
    element("sign-in").close();
  } catch (error) {
    keepToken(null);
    element("sign-refused").textContent = `Not signed in: ${error.message}.`;
  }
});
element("by-pin").addEventListener("submit", async (event) => {
  event.preventDefault();
  try {
    keepToken(element("till-token").value.trim());
    const { token: own } = await post("/v1/session", { user: element("user").value.trim(), password: element("pin").value });
    await signIn(own);
    element("sign-in").close();
  } catch (error) {
    keepToken(null);
    element("pin-refused").textContent = `Not signed on: ${error.message}.`;
    if (error.waitS) lockOut(error.waitS);
  } finally {
    element("pin").value = "";
  }
});
addEventListener("hashchange", turnTo);
setInterval(() => {
  const silent = Date.now() - heardAt;
  if (heardAt > 0 && silent > SILENT_MS) setLive(false);
  // Too many listen, or something in between holds events back: then the box is asked.
  if (silent > ASK_MS) maybe("/v1/status").then((status) => status && show(status)).catch(() => {});
}, 2000);

if (token()) signIn(token()).catch((error) => signOut(error.message));
else follow();
maybe("/v1/status").then((status) => status && !context.status && show(status)).catch(() => setLive(false));
