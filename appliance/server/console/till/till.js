// The reference till: a small real point of sale on the JavaScript client, to show and to test what a box does.

import { Boxes, NoBox, Refusal } from "/console/client/boxes.js";
import { events } from "/console/client/events.js";
import { Journal } from "/console/client/journal.js";
import { Copy, decimal } from "/console/client/masterdata.js";
import { Shipper } from "/console/client/shipper.js";
import { badge, h, table } from "/console/lib/dom.js";
import { Cashier } from "./person.js";
import { Refresher } from "./refresh.js";
import { Ticket } from "./ticket.js";

const WEIGH_MS = 3000;
const SHOWN_MAX = 12;
const LISTEN_AGAIN_MS = 3000;
/** How often the till asks which other boxes the shop has. */
const ACQUAINT_MS = 10000;
const GRADES = { kept: ["kept in this till", "notice"], held: ["held by a box (G1)", "notice"], mirrored: ["on two boxes (G2)", "notice"],
  settled: ["settled (G3)", "good"] };

const element = (id) => document.getElementById(id);
const till = { ticket: new Ticket(), profile: null, session: null, scanners: new Set(), heard: null };

async function start() {
  navigator.serviceWorker?.register("/till/sw.js", { scope: "/till/" }).catch((error) => console.warn(error));
  till.journal = await Journal.open();
  till.places = (await till.journal.fact("places")) ?? [];
  if (till.places.length === 0) openPlaces();
  else await work();
}

/** Begins to work with the boxes that are known; without any that answers, with what the till has. */
async function work() {
  till.boxes = new Boxes(till.places);
  till.boxes.addEventListener("change", showLink);
  till.boxes.addEventListener("change", listenToScanners);
  till.copy = new Copy(till.boxes, till.journal);
  till.cashier = new Cashier(till.boxes, showCashier);
  const hasCopy = await till.copy.open();
  till.profile = (await till.journal.fact("profile")) ?? null;
  till.session = (await till.journal.fact("session")) ?? crypto.getRandomValues(new Uint32Array(2)).join("-");
  await till.journal.keepFact("session", till.session);
  till.refresher = new Refresher(till.boxes, till.copy, till.journal, face);
  till.shipper = new Shipper(till.boxes, till.journal);
  till.shipper.addEventListener("change", showSold);
  showTicket();
  await till.boxes.meet();
  till.boxes.follow(till.profile?.servers ?? null);
  till.shipper.run();
  setInterval(acquaint, ACQUAINT_MS);
  await logIn(hasCopy);
}

/** Keeps up with the boxes of the shop, so that the next one is known before it is needed. */
async function acquaint(told = null) {
  if (told ? till.boxes.learn(told) : await till.boxes.acquaint()) {
    till.places = till.boxes.list();
    await till.journal.keepFact("places", till.places);
  }
  showLink();
}

async function logIn(hasCopy) {
  try {
    const answer = await till.boxes.ask("/v1/terminal/login", { method: "POST", body: { cacheLost: !hasCopy } });
    till.profile = answer.profile;
    till.boxes.follow(till.profile.servers ?? null);
    await till.journal.keepFact("profile", till.profile);
    await acquaint(answer.boxes ?? {});
    showName();
    await till.refresher.begin(answer, hasCopy);
    listenToScanners();
    say(`${till.copy.models.get("Product").size} products are here.`);
  } catch (error) {
    if (error instanceof Refusal && error.status === 401) {
      openPlaces(error.message);
      return;
    }
    showName();
    const why = error.barred ? ` (${error.message})` : "";
    say(till.profile ? `No box answers${why}; selling goes on with what is here.` : `Not logged in: ${error.message}.`);
    showLink();
    setTimeout(() => logIn(hasCopy), 5000);
  }
}

/** What the refresher shows of itself. */
const face = {
  show(what, text = "") {
    element("banner").hidden = what !== "banner";
    element("banner-text").textContent = text;
    if (what === "popup") element("ask").showModal();
    else element("ask").close();
    if (what === "running") say("Refreshing masterdata…");
  },
  ran(report) {
    const records = report.models.reduce((sum, { records }) => sum + records, 0);
    say(`Masterdata refreshed (${report.extent}, ${records} records).`);
    showTicket();
  },
};

function say(text) {
  element("said").textContent = text;
}

function showName() {
  element("till-name").textContent = till.profile ? till.profile.terminal : "Reference till";
}

const nameOf = (place) => place.node || new URL(place.url || location.origin).host;

/** Which box the till sells through, and which one it goes to when that is lost. */
function showLink() {
  const { here = null, next = null } = till.boxes ?? {};
  element("link").textContent = here ? `selling through ${nameOf(here)}` : "no box, selling offline";
  element("link").className = here ? "live on" : "live off";
  const scanners = [...till.scanners].map((name) => `, ${name}`).join("");
  const isAlone = till.boxes?.places.length === 1;
  const after = next ? `next: ${nameOf(next)}` : isAlone ? "no other box is known" : "no other box answers";
  element("place").textContent = here ? `${new URL(here.url || location.origin).host}${scanners}; ${after}` : "what is sold is kept in this till";
}

function showCashier(session, why = "") {
  element("who").textContent = `Cashier: ${session?.name ?? "nobody"}`;
  if (why) say(`Signed off: ${why}.`);
}

function openPerson() {
  element("pin").value = "";
  element("person-refused").textContent = "";
  element("sign-off").hidden = !till.cashier?.session;
  element("person").showModal();
}

async function signOn() {
  try {
    await till.cashier.signOn(element("user").value.trim(), element("pin").value);
    element("person").close();
    say(`${till.cashier.session.name} is signed on.`);
  } catch (error) {
    element("person-refused").textContent = error instanceof NoBox ? "No box answers; the till sells without a cashier." : `Not signed on: ${error.message}.`;
    if (error.waitS) lockOut(error.waitS);
  } finally {
    element("pin").value = "";
  }
}

/** Too many wrong PINs: nobody tries this name before the box would listen; another name may. */
function lockOut(seconds, user = element("user").value) {
  const isLocked = seconds > 0 && element("user").value === user;
  element("sign-on").disabled = isLocked;
  element("sign-on").textContent = isLocked ? `Locked for ${seconds} s` : "Sign on";
  if (seconds > 0) setTimeout(() => lockOut(seconds - 1, user), 1000);
}

function showTicket() {
  const { ticket } = till;
  element("lines").replaceChildren(...ticket.lines.map((line, index) => h("li", {},
    h("span", { class: "what" }, line.product.name, h("span", { class: "quiet" },
      line.kilograms ? ` ${line.kilograms} kg at ${decimal(line.unit)}` : ` ${line.pieces} at ${decimal(line.unit)}`)),
    h("span", { class: "much" }, decimal(ticket.amount(line))),
    h("button", { type: "button", class: "ghost", "aria-label": `Remove ${line.product.name}`, onclick: () => {
      ticket.remove(index);
      showTicket();
    } }, "×"))));
  if (ticket.coupon) {
    element("lines").append(h("li", {}, h("span", { class: "what" }, `Coupon ${ticket.coupon.code}: ${ticket.coupon.discount.name}`),
      h("span", { class: "much" }, `−${decimal(ticket.reduction)}`)));
  }
  element("buyer").textContent = ticket.customer ? `Customer: ${ticket.customer.name}` : "No customer";
  element("total").textContent = decimal(ticket.total);
  element("pay").disabled = ticket.isEmpty;
}

async function showSold() {
  const sales = (await till.journal.sales()).reverse().slice(0, SHOWN_MAX);
  const key = JSON.stringify(sales.map(({ key: of, grade, problem }) => [of, grade, problem]));
  if (element("sold").dataset.key === key) return;
  element("sold").dataset.key = key;
  element("sold").replaceChildren(table("Sold", [
    ["Number", (sale) => sale.envelope.payload.documentNo],
    ["Total", (sale) => sale.envelope.payload.gross, "number"],
    ["Where it is", (sale) => badge(...(GRADES[sale.grade] ?? [sale.grade, "notice"]))],
    ["", (sale) => sale.problem ?? ""],
  ], sales, "Nothing was sold yet."));
}

function add(product, kilograms = null) {
  const unit = till.copy.price(product);
  if (unit === null) {
    say(`${product.name} has no price.`);
    return;
  }
  till.ticket.add(product, unit, kilograms);
  element("hits").replaceChildren();
  element("code").value = "";
  element("code").focus();
  element("outcome").textContent = "";
  say(`${product.name} added.`);
  showTicket();
}

/** Every code that a scanner of the box reads is as good as one that is typed. */
async function listenToScanners() {
  const here = till.boxes.here;
  // Each box has its own; those of the box before are heard again when it is back.
  if (!till.profile || !here || here === till.heard) return;
  till.heard = here;
  const { devices } = await till.boxes.ask("/v1/devices").catch(() => ({ devices: [] }));
  for (const { id } of devices.filter((device) => device.kind === "scanner")) listenTo(id, here);
}

async function listenTo(scanner, place) {
  while (till.heard === place) {
    try {
      const body = await till.boxes.stream(`/v1/scanners/${scanner}/events`);
      till.scanners.add(scanner);
      showLink();
      for await (const { name, data } of events(body)) {
        if (name === "scan") scan(JSON.parse(data).code);
      }
    } catch (error) {
      if (error instanceof Refusal) break;
    }
    till.scanners.delete(scanner);
    showLink();
    await new Promise((resolve) => setTimeout(resolve, LISTEN_AGAIN_MS));
  }
  till.scanners.delete(scanner);
}

function scan(code) {
  const product = code && till.copy.scan(code);
  if (product) {
    choose(product);
    return;
  }
  const hits = till.copy.search("Product", code);
  say(hits.length ? `${hits.length} found.` : `Nothing is called ${code}.`);
  element("hits").replaceChildren(...hits.map((hit) => h("li", {}, h("button", { type: "button", onclick: () => choose(hit) },
    h("span", {}, hit.name), h("span", { class: "quiet" }, hit.weighed ? "by weight" : decimal(till.copy.price(hit) ?? 0))))));
}

async function choose(product) {
  if (!product.weighed) {
    add(product);
    return;
  }
  say(`Weighing ${product.name}…`);
  const weight = await weigh();
  if (weight) add(product, weight);
}

/** What lies on the first scale of the box, in kilograms, or nothing with the reason said. */
async function weigh() {
  try {
    const [scale] = await till.boxes.ask("/v1/scales");
    if (!scale) {
      say("This box has no scale.");
      return null;
    }
    const reading = await till.boxes.ask(`/v1/scales/${scale.id}/weight?timeout_ms=${WEIGH_MS}`, { timeoutMs: WEIGH_MS + 2000 });
    say(`${reading.weight} ${reading.unit} on the scale.`);
    return reading.unit === "kg" ? reading.weight : null;
  } catch (error) {
    say(`No weight: ${error.message}.`);
    return null;
  }
}

async function pay() {
  const { ticket, profile } = till;
  if (ticket.isEmpty || !profile) return;
  till.ticket = new Ticket();
  const about = { terminal: profile.terminal, epoch: profile.epoch, session: till.session, cashier: till.cashier?.session?.user };
  const envelope = await till.journal.sell(profile.epoch, (sequence) => ticket.envelope(about, sequence));
  element("outcome").textContent = `Sold for ${envelope.payload.gross}.`;
  showTicket();
  till.shipper.nudge();
  print(ticket, envelope);
  await till.refresher.happened("ticketClosed");
}

/** Paper is wanted, but no sale waits for it. */
async function print(ticket, envelope) {
  try {
    const [printer] = await till.boxes.ask("/v1/printers");
    if (!printer) return;
    const body = { key: envelope.key, receiptline: ticket.receipt(envelope) };
    const job = await till.boxes.ask(`/v1/printers/${printer.id}/jobs?wait_s=3`, { method: "POST", body, timeoutMs: 6000 });
    element("outcome").textContent += ` Receipt: ${job.state}.`;
  } catch (error) {
    element("outcome").textContent += ` No receipt: ${error instanceof NoBox ? "no box answers" : error.message}.`;
  }
}

function openPlaces(why = "") {
  const [first, second] = till.places.filter((place) => !place.found);
  const found = (till.boxes?.places ?? till.places).filter((place) => place.found);
  element("found").replaceChildren(...found.map((place) => h("li", {}, `${nameOf(place)} `, h("span", { class: "quiet" }, place.url))));
  element("none-found").hidden = found.length > 0;
  element("token-1").value = first?.token ?? "";
  element("url-2").value = second?.url ?? "";
  element("token-2").value = second?.token ?? "";
  element("places-refused").textContent = why;
  if (!element("places").open) element("places").showModal();
}

element("settings").addEventListener("click", () => openPlaces());
element("who").addEventListener("click", openPerson);
element("person-close").addEventListener("click", () => element("person").close());
element("sign-off").addEventListener("click", () => till.cashier.signOff().then(() => element("person").close()));
element("person").querySelector("form").addEventListener("submit", (event) => {
  event.preventDefault();
  signOn();
});
element("places").querySelector("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const second = element("url-2").value.trim().replace(/\/$/, "");
  const token = element("token-1").value.trim();
  const found = till.places.filter((place) => place.found).map((place) => ({ ...place, token }));
  till.places = [{ url: "", token }];
  if (second) till.places.push({ url: second, token: element("token-2").value.trim() || token });
  till.places.push(...found.filter((place) => place.url !== second));
  await till.journal.keepFact("places", till.places);
  location.reload();
});
element("scan").addEventListener("submit", (event) => {
  event.preventDefault();
  scan(element("code").value.trim());
});
element("weigh").addEventListener("click", weigh);
element("customer").addEventListener("input", () => {
  const hits = till.copy.search("BusinessPartner", element("customer").value).slice(0, 5);
  element("customers").replaceChildren(...hits.map((hit) => h("li", {}, h("button", { type: "button", onclick: () => {
    till.ticket.customer = hit;
    element("customer").value = "";
    element("customers").replaceChildren();
    showTicket();
  } }, hit.name))));
});
element("apply").addEventListener("click", () => {
  const code = element("coupon").value.trim();
  const discount = code && till.copy.coupon(code);
  if (!discount) {
    say(`No coupon is called ${code}.`);
    return;
  }
  till.ticket.coupon = { code, discount };
  element("coupon").value = "";
  showTicket();
});
element("pay").addEventListener("click", pay);
element("clear").addEventListener("click", () => {
  till.ticket = new Ticket();
  showTicket();
});
element("later").addEventListener("click", () => till.refresher.happened("cancel"));
element("ask-cancel").addEventListener("click", () => till.refresher.happened("cancel"));

start();
