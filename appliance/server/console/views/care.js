// What head office does with this box: the settings that it wants, and the visits that somebody at the store opens.

import { get, maybe, post } from "../lib/api.js";
import { action, badge, Card, h, pairs, table } from "../lib/dom.js";
import { ago, moment } from "../lib/words.js";

const STATES = { none: ["nothing is set", "good"], trial: ["on trial", "notice"], proven: ["proven", "good"] };
const STEPS = { proven: "good", tried: "notice", refused: "bad", "rolled-back": "bad", "taken-back": "notice" };
const SHOWN_MAX = 10;

export class Care {
  constructor(context) {
    this.context = context;
    this.settings = new Card("Settings of head office", { wide: true, id: "settings" });
    this.visit = new Card("Visits of head office", { wide: true, id: "visit" });
    this.minutes = h("input", { type: "number", min: 1, max: 240, value: 30, required: true });
    this.by = h("input", { type: "text", maxLength: 60, autocomplete: "name" });
    this.form = h("div", {},
      h("p", { class: "quiet" }, "Head office may read status, log and doctor of this box for a while; it changes nothing, and it ends by itself."),
      h("div", { class: "row" }, h("label", {}, "Minutes", this.minutes), h("label", {}, "Who lets it", this.by),
        action("Let head office look", () => this.open(), "primary")));
    this.elements = [this.settings.element, this.visit.element];
  }

  async open() {
    const minutes = Number(this.minutes.value);
    if (!Number.isInteger(minutes) || minutes < 1 || minutes > 240) throw new Error("Say for how many minutes, 1 to 240.");
    await post("/v1/visit", { seconds: minutes * 60, by: this.by.value.trim() });
    await this.again();
  }

  async close() {
    await post("/v1/visit/close", { by: this.by.value.trim() || null });
    await this.again();
  }

  async back() {
    await post("/v1/settings/back", { by: this.by.value.trim() || null });
  }

  async again() {
    this.context.status = await get("/v1/status");
    await this.look();
  }

  async look() {
    [this.book, this.audit] = await Promise.all([maybe("/v1/settings"), maybe("/v1/visit")]).catch(() => [this.book, this.audit]);
    this.update(this.context.status);
  }

  update(status) {
    if (!this.context.isOperator() || status.role !== "store") return;
    const { settings, visit } = status;
    this.settings.show(settings ? { settings, steps: this.book?.book.steps ?? [], proven: this.book?.book.proven.values ?? {} } : null,
      (facts) => drawSettings(facts, () => this.back()));
    this.visit.show({ visit: visit ?? null, audit: this.audit ?? [] }, (facts) => [
      facts.visit === null ? this.form : [
        h("p", {}, badge("open", "notice"), " Head office may look since ", ago(facts.visit.since), `, let in by ${facts.visit.by}, until ${moment(facts.visit.until)}.`),
        action("Close the visit", () => this.close(), "primary")],
      facts.audit.length === 0 ? null : table("Audit", [
        ["When", (line) => moment(line.at)], ["What", (line) => line.what],
        ["Who", (line) => line.by || "–"], ["", (line) => line.detail ?? ""]], facts.audit.slice(0, SHOWN_MAX))]);
  }
}

function drawSettings({ settings, steps, proven }, back) {
  const [word, level] = STATES[settings.state];
  const refused = settings.refused;
  return [pairs([
    ["Revision", settings.revision ? `${settings.revision}` : "none"],
    ["State", badge(word, level)],
    ["Rollout ring", settings.ring || "unknown"],
    ["Keys", settings.keys?.length ? settings.keys.map((key) => (key in proven ? `${key} = ${JSON.stringify(proven[key])}` : key)).join(", ") : "none"],
    refused && ["Not in force", h("span", {}, badge(`revision ${refused.revision}`, "bad"), ` ${refused.why ?? ""}`)]]),
  settings.revision ? action("Take these settings back", back, "danger") : null,
  steps.length === 0 ? null : table("Steps", [
    ["When", (step) => ago(step.at)], ["Revision", (step) => String(step.revision), "number"],
    ["What", (step) => badge(step.event.replace("-", " "), STEPS[step.event] ?? "notice")], ["Why", (step) => step.why || "–"],
  ], [...steps].reverse().slice(0, SHOWN_MAX))];
}
