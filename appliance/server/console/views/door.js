// The door: who waits to be let in, with the number to compare; a code to be typed; and what happened lately.

import { maybe, post } from "../lib/api.js";
import { action, badge, Card, h, table } from "../lib/dom.js";
import { ago } from "../lib/words.js";

const LOOK_EVERY_MS = 2000;
const CODE_MINUTES = 5;
const AUDIT_MAX = 50;

export class Door {
  constructor(context) {
    this.context = context;
    this.by = h("input", { type: "text", maxLength: 64, autocomplete: "name" });
    this.code = h("p", { class: "figure", role: "status" });
    this.waiting = new Card("Waiting to be let in", { wide: true });
    this.way = new Card("Let somebody in", { wide: true });
    this.audit = new Card("What happened here", { wide: true });
    const cards = [this.waiting, this.way, this.audit].map((card) => card.element);
    this.element = h("div", {}, h("label", {}, "Who decides", this.by), h("div", { class: "cards" }, cards));
    this.way.show(true, () => [
      h("p", {}, "A slip is printed with ", h("code", {}, "storebox enrol slip --print PRINTER"),
        "; a code is typed at the till within five minutes."),
      this.code,
      h("p", {}, action("Show a code", () => this.open()), " ", action("Close slips and code", () => this.close(), "quiet"))]);
    this.timer = setInterval(() => this.look(), LOOK_EVERY_MS);
    this.look();
  }

  /** Every act is written down with a name. */
  name() {
    const by = this.by.value.trim();
    if (by) return by;
    this.by.focus();
    throw new Error("Write down who decides this.");
  }

  async look() {
    const [requests, lines] = await Promise.all([maybe("/v1/enrolment/requests"), maybe("/v1/enrolment/audit")])
      .catch(() => [null, null]);
    this.waiting.show(requests, (list) => [
      h("p", { class: "quiet" }, "Say yes only if the newcomer shows the very same number."),
      table("Newcomers", [
        ["Number", (one) => h("span", { class: "figure" }, one.number)],
        ["Name", (one) => one.name], ["Kind", (one) => one.kind], ["From", (one) => one.address],
        ["Since", (one) => ago(one.asked)],
        ["", (one) => (one.answered ? badge("answered", "good") : [
          action(`Let ${one.name} in`, () => this.answer(one, "approve")), " ",
          action(`Send ${one.name} away`, () => this.answer(one, "deny"), "quiet")])],
      ], list, "Nobody waits.")]);
    this.audit.show(lines?.slice(0, AUDIT_MAX) ?? null, (list) => table("Acts", [
      ["When", (line) => (line.at ? ago(line.at) : "–")],
      ["What", (line) => badge(line.act, line.act === "refused" ? "bad" : "good")],
      ["Who came", (line) => line.member || "–"], ["By", (line) => line.by || "–"],
      ["From", (line) => line.address || "–"], ["", (line) => line.why ?? ""],
    ], list, "Nothing yet."));
  }

  async answer(request, what) {
    await post(`/v1/enrolment/requests/${request.id}/${what}`, { by: this.name() });
    await this.look();
  }

  async open() {
    const opened = await post("/v1/enrolment/code", { by: this.name(), minutes: CODE_MINUTES });
    this.opened = this.context.status.now;
    this.code.textContent = opened.secret;
    await this.look();
  }

  async close() {
    await post("/v1/enrolment/close", { by: this.name() });
    this.code.textContent = "";
    await this.look();
  }

  update(status) {
    // A code that was used or is over is not left standing.
    if (status.now > this.opened && !status.trust?.codeUntil) this.code.textContent = "";
  }

  end() {
    clearInterval(this.timer);
  }
}
