// Head office's view: every box of the chain with what it said last, and nothing where nothing is known.

import { maybe, post } from "../lib/api.js";
import { action, badge, Card, h, table, tile } from "../lib/dom.js";
import { ago, count, moment, span } from "../lib/words.js";

const LOOK_EVERY_MS = 5000;
const CONTACT = { here: "good", away: "bad", unknown: "notice", revoked: "notice" };
const SIGHTS = ["/doctor", "/v1/status", "/v1/chronicle", "/v1/log/lines", "/v1/settings", "/v1/visit", "/v1/devices", "/v1/drill", "/v1/log", "/metrics"];
const ORDER = ["away", "unknown", "here", "revoked"];

export class Boxes {
  constructor(context) {
    this.context = context;
    this.tiles = h("dl", { class: "tiles" });
    this.filter = h("input", { type: "search", placeholder: "name, version or sentence", oninput: () => this.draw() });
    this.list = new Card("All boxes", { wide: true });
    this.seen = new Card("Look at a box", { wide: true, id: "look" });
    this.path = h("select", {}, SIGHTS.map((path) => h("option", { value: path }, path)));
    this.hint = h("p", { class: "quiet" });
    this.search = h("label", {}, "Find a box", this.filter);
    this.element = h("div", {}, this.hint, this.tiles, this.search, h("div", { class: "cards" }, this.list.element, this.seen.element));
    this.timer = setInterval(() => this.look(), LOOK_EVERY_MS);
    this.look();
  }

  async look() {
    if (!this.context.isOperator()) return;
    this.boxes = await maybe("/v1/boxes").catch(() => this.boxes);
    this.draw();
  }

  draw() {
    if (!this.boxes) return;
    const lively = this.boxes.filter((box) => box.contact !== "revoked");
    const number = (contact) => lively.filter((box) => box.contact === contact).length;
    const troubled = lively.filter((box) => box.said && box.said.level !== "good").length;
    const waiting = lively.reduce((sum, box) => sum + (box.said?.waiting ?? 0), 0);
    this.tiles.replaceChildren(tile("In contact", `${count(number("here"))} of ${count(lively.length)}`),
      tile("Silent", count(number("away")), "spoke before", number("away") ? "rose" : ""),
      tile("Unknown", count(number("unknown")), "never spoke", number("unknown") ? "amber" : ""),
      tile("With something to say", count(troubled), "", troubled ? "amber" : ""),
      tile("Sales that wait there", count(waiting), "as far as known"));
    const words = this.filter.value.trim().toLowerCase();
    const fits = (box) => !words || `${box.name} ${box.said?.version} ${box.said?.sentence}`.toLowerCase().includes(words);
    const shown = this.boxes.filter(fits).sort((a, b) => ORDER.indexOf(a.contact) - ORDER.indexOf(b.contact) || a.name.localeCompare(b.name));
    this.list.show({ shown }, () => table("Boxes", [
      ["Box", (box) => h("strong", {}, box.name)],
      ["Contact", (box) => h("span", { class: "stack" }, badge(box.contact, CONTACT[box.contact]), box.lastContact ? ago(box.lastContact) : null)],
      ["Version", (box) => (box.said ? [box.said.version, box.said.release?.running].filter(Boolean).join(", release ") : "unknown")],
      ["Revisions behind", (box) => lag(box)],
      ["Waiting", (box) => count(box.said?.waiting), "number"],
      ["Oldest", (box) => oldest(box), "number"],
      ["For a person", (box) => count(box.said?.quarantined), "number"],
      ["Devices in trouble", (box) => (box.said ? box.said.troubled.join(", ") || "none" : "unknown")],
      ["Settings", (box) => settings(box)],
      ["It says", said],
    ], shown, "No box was let in yet: `storebox node add NAME`."));
    const open = this.boxes.filter((box) => box.contact === "here" && box.said?.visitUntil);
    this.seen.show(open.length ? open.map((box) => [box.name, box.said.visitUntil]) : null, (list) => [
      h("p", { class: "quiet" }, "Somebody at these stores lets head office look for a while. Nothing can be changed there from here."),
      h("div", { class: "row" }, h("label", {}, "What", this.path),
        list.map(([name, end]) => action(`Look at ${name} (until ${moment(end)})`, () => this.lookAt(name), "primary"))),
      (this.shown = h("pre", { class: "diff", tabIndex: 0, hidden: true, "aria-label": "What the box shows" }))]);
  }

  async lookAt(name) {
    const { status, contentType, body } = await post(`/v1/boxes/${name}/look`, { path: this.path.value });
    const isJson = contentType.startsWith("application/json");
    this.shown.textContent = status === 200 && isJson ? JSON.stringify(JSON.parse(body), null, 1) : body;
    this.shown.hidden = false;
  }

  update() {
    const isOperator = this.context.isOperator();
    this.hint.textContent = isOperator ? "" : "Sign in as operator to see the boxes of the chain.";
    this.hint.hidden = isOperator;
    this.search.hidden = !isOperator;
  }

  end() {
    clearInterval(this.timer);
  }
}

function lag(box) {
  if (!box.said || box.feeds.length === 0) return "unknown";
  const behind = box.feeds.filter((feed) => feed.behind !== 0);
  if (behind.length === 0) return badge("level", "good");
  return h("span", { class: "stack" }, behind.map((feed) =>
    h("span", {}, `${feed.feed} ${feed.behind === undefined ? "unknown" : count(feed.behind)}`)));
}

/** What a box that is silent has said is no word of now; what to do about its silence is. */
function said(box) {
  if (!box.said) return "unknown";
  if (box.contact !== "away") return badge(box.said.sentence, box.said.level);
  return h("span", { class: "stack" }, badge(`silent since ${moment(box.lastContact)}`, "bad"),
    h("span", {}, "Ask the shop whether it has power and a line; it sells without head office, and what it sold comes when it is back."),
    badge(`said last: ${box.said.sentence}`, "notice"));
}

function settings({ said }) {
  if (!said?.settings) return "unknown";
  const { revision, state, ring, refused, why } = said.settings;
  const word = revision ? `${revision} ${state}, ring ${ring}` : `none, ring ${ring || "unknown"}`;
  return h("span", { class: "stack" }, h("span", {}, word), refused ? badge(`${refused} not in force: ${why}`, "bad") : null);
}

/** The oldest sale of a silent box has grown older since. */
function oldest(box) {
  if (!box.said || box.said.waiting === undefined) return "unknown";
  if (box.said.waiting === 0) return "none";
  const since = box.contact === "away" ? " or more" : "";
  return `${span(box.said.oldestS)}${since}`;
}
