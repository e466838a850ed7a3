// Drills: the line to head office cut on purpose, and what worked without it.

import { get, maybe, post } from "../lib/api.js";
import { action, badge, Card, h, table } from "../lib/dom.js";
import { ago, count, micros, moment } from "../lib/words.js";

const ENDS = { time: "by itself", person: "by", restart: "the box stopped" };
const SHOWN_MAX = 10;

export class Drills {
  constructor(context) {
    this.context = context;
    this.minutes = h("input", { type: "number", min: 1, max: 240, value: 5, required: true });
    this.by = h("input", { type: "text", maxLength: 60, autocomplete: "name" });
    this.order = h("div", {},
      h("p", { class: "quiet" }, "Cuts the line to head office as if its cable were out; it comes back by itself. Neighbours and devices stay."),
      h("div", { class: "row" }, h("label", {}, "Minutes", this.minutes), h("label", {}, "Who cuts it", this.by),
        action("Cut the line", () => this.begin(), "danger")));
    this.now = new Card("Drill", { wide: true, id: "drill" });
    this.past = new Card("Drills so far", { wide: true });
    this.elements = [this.now.element, this.past.element];
  }

  async begin() {
    const minutes = Number(this.minutes.value);
    if (!Number.isInteger(minutes) || minutes < 1 || minutes > 240) throw new Error("Say for how many minutes, 1 to 240.");
    await post("/v1/drill", { seconds: minutes * 60, by: this.by.value.trim() });
    this.context.status = await get("/v1/status");
    this.update(this.context.status);
  }

  async end() {
    await post("/v1/drill/end", { by: this.by.value.trim() || null });
    await this.look();
  }

  async look() {
    const reports = await maybe("/v1/drill").catch(() => null);
    this.past.show(reports?.length ? reports.slice(0, SHOWN_MAX) : null, (list) => table("Drills", [
      ["When", (report) => moment(report.began)], ["Who", (report) => report.by],
      ["Ended", (report) => (report.end ? `${ENDS[report.end]} ${report.endedBy ?? ""}` : badge("under way", "notice"))],
      ["Sold meanwhile", (report) => count(report.accepted), "number"],
      ["Failed", (report) => count(report.failed), "number"],
      ["A till waited", (report) => micros(report.longestUs), "number"],
      ["Waiting", (report) => count(report.waiting), "number"],
      ["Arrived after", (report) => (report.drainedMs === undefined ? "–" : `${(report.drainedMs / 1000).toFixed(1)} s`), "number"],
    ], list));
  }

  update(status) {
    if (!this.context.isOperator() || status.role !== "store") return;
    this.now.show(status.drill ?? { until: null }, (drill) => (drill.until === null ? this.order : [
      h("p", {}, badge("cut", "notice"), " The line is cut since ", ago(drill.since), ` by ${drill.by}, and comes back by itself at ${moment(drill.until)}.`),
      action("Bring the line back", () => this.end(), "primary")]));
  }
}
