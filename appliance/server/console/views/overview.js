// How the box is and how its last day was.

import { get } from "../lib/api.js";
import { Chart } from "../lib/charts.js";
import { h, tile } from "../lib/dom.js";
import { count, micros, span } from "../lib/words.js";

const LOOK_EVERY_MS = 15000;
const HOUR = 60;
const SPANS = [20, 60, 300, 900, 1800, 3600, 7200, 14400, 28800, 86400];

export class Overview {
  constructor(context) {
    this.context = context;
    const isMain = context.status.role === "main";
    this.tiles = h("dl", { class: "tiles" });
    this.charts = [
      isMain ? null : new Chart("Sales that wait for head office", [
        { label: "waiting", colour: "amber", of: (columns) => columns.waiting }], count),
      new Chart(isMain ? "Sales settled per minute" : "Sales per minute", [
        { label: isMain ? "settled" : "taken", colour: "teal", of: (columns) => columns.sales },
        ...(isMain ? [] : [{ label: "settled", colour: "blue", of: (columns) => columns.sent }])], count),
      isMain ? null : new Chart("Masterdata behind head office", [
        { label: "lag", colour: "violet", of: (columns) => columns.lagS }], (value) => span(value, 2), { least: 60, incrs: SPANS }),
      new Chart("Answer time for tills", [
        { label: "half within", colour: "teal", of: (columns) => columns.medianUs },
        { label: "99 of 100 within", colour: "rose", of: (columns) => columns.slowUs }], micros, { least: 2000 }),
    ].filter(Boolean);
    this.element = h("div", {}, this.tiles,
      h("h3", {}, "The last day"), h("div", { class: "charts" }, this.charts.map((chart) => chart.element)));
    this.timer = setInterval(() => this.look(), LOOK_EVERY_MS);
    this.look();
  }

  async look() {
    try {
      this.columns = await get("/v1/chronicle");
    } catch {
      return;
    }
    this.charts.forEach((chart) => chart.draw(this.columns));
    this.update(this.context.status);
  }

  update(status) {
    const { outbox, ledger, feeds } = status;
    const known = (column) => (this.columns?.[column] ?? []).filter((value) => value !== null);
    const lastHour = known("sales").slice(-HOUR).reduce((sum, value) => sum + value, 0);
    const lag = known("lagS").at(-1);
    const answer = known("medianUs").at(-1);
    const tiles = [
      outbox && tile("Waiting for head office", count(outbox.waiting),
        outbox.waiting ? `oldest ${span(outbox.oldestS)}` : "all settled", outbox.waiting ? "amber" : ""),
      outbox && tile("For a person", count(outbox.quarantined + outbox.conflicts),
        outbox.quarantined + outbox.conflicts ? "see Sales" : "nothing refused", outbox.quarantined + outbox.conflicts ? "rose" : ""),
      ledger && tile("Settled here", count(ledger.settled), `${count(ledger.refused)} refused`),
      tile("Sales in the last hour", this.columns ? count(lastHour) : "…"),
      tile("Records", count(feeds.reduce((sum, feed) => sum + feed.records, 0)), `${feeds.length} feeds`),
      outbox && tile("Masterdata lag", lag === undefined ? "unknown" : lag < 15 ? "level" : span(lag)),
      tile("Answers tills in", answer === undefined ? "unknown" : micros(answer), "half of them, last minute"),
    ].filter(Boolean);
    const key = tiles.map((one) => one.textContent).join();
    if (key !== this.key) this.tiles.replaceChildren(...tiles);
    this.key = key;
  }

  end() {
    clearInterval(this.timer);
    this.charts.forEach((chart) => chart.end());
  }
}
