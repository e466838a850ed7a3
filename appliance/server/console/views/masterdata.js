// Feeds, where they come from, and who refreshed what.

import { maybe, post } from "../lib/api.js";
import { action, badge, Card, h, table } from "../lib/dom.js";
import { ago, count, moment, span } from "../lib/words.js";

const LOOK_EVERY_MS = 2000;
const RESTING = ["following", "up to date", "published"];

export class Masterdata {
  constructor(context) {
    this.context = context;
    this.feeds = new Card("Feeds", { wide: true });
    this.sources = new Card("Where it comes from", { wide: true });
    this.history = new Card("Refreshes", { wide: true });
    const acts = context.isOperator() && context.status.role === "store" ? h("div", { class: "row" },
      action("Refresh now", () => post("/v1/refresh", {}), "primary"),
      action("Fetch and verify everything", () => post("/v1/refresh", { full: true }))) : null;
    this.element = h("div", {}, acts,
      h("div", { class: "cards" }, this.feeds.element, this.sources.element, this.history.element));
    this.timer = setInterval(() => this.look(), LOOK_EVERY_MS);
    this.look();
  }

  async look() {
    if (!this.context.isOperator()) return;
    const [feeds, history] = await Promise.all([maybe("/v1/feeds"), maybe("/v1/history?limit=40")])
      .catch(() => [null, null]);
    this.details = new Map((feeds ?? []).map((line) => [line.feed, line]));
    this.update(this.context.status);
    this.history.show(history, (entries) => table("Refreshes, newest first", [
      ["Who", (entry) => (entry.terminal ? `${entry.node} / ${entry.terminal}` : entry.node)],
      ["Feed", (entry) => entry.feed],
      ["How", (entry) => entry.mode],
      ["When", (entry) => moment(entry.at)],
      ["Took", (entry) => (entry.tookMs < 1000 ? `${entry.tookMs} ms` : span(entry.tookMs / 1000)), "number"],
      ["Led to", (entry) => entry.position ?? "–"],
      ["Loaded", (entry) => entry.models.map((load) => `${load.model} ${count(load.records)}`).join(", ") || "–"],
      ["", (entry) => (entry.error ? badge(entry.error, "bad") : badge("done", "good"))],
    ], entries, "Nothing was refreshed yet."));
  }

  update(status) {
    const facts = status.feeds.map((feed) => ({ ...feed, progress: this.details?.get(feed.feed)?.progress ?? null,
      perS: this.details?.get(feed.feed)?.recordsPerS ?? 0, answers: this.details?.get(feed.feed)?.sourceAnswers }));
    this.feeds.show(facts, (feeds) => table("Feeds", [
      ["Feed", (feed) => feed.feed],
      ["Revision", (feed) => `${feed.epoch}.${feed.revision}`, "number"],
      ["Published", (feed) => ago(feed.published)],
      ["Lag", lag],
      ["Records", (feed) => count(feed.records), "number"],
      ["State", (feed) => badge(feed.state, feed.lastError ? "bad" : RESTING.includes(feed.state) ? "good" : "notice")],
      ["Progress", (feed) => progress(feed)],
    ], feeds, "No masterdata has arrived yet."));
    if (status.sources?.length) {
      this.sources.show(status.sources, drawSources);
      return;
    }
    const lines = status.lines.filter((line) => line.service === "masterdata");
    this.sources.show(lines.length ? lines : null, (list) => table("Sources of masterdata", [
      ["Source", (line) => line.to],
      ["Breaker", (line) => badge(line.up ? "closed: it answers" : "open: it does not answer", line.up ? "good" : "bad")],
      ["Since", (line) => (line.since ? ago(line.since) : "the box started")],
      ["", (line) => line.detail],
    ], list));
  }

  end() {
    clearInterval(this.timer);
  }
}

function drawSources(sources) {
  return table("Sources and ways, best first", [
    ["Source", (source) => h("span", { class: "stack" }, h("strong", {}, source.id), h("span", { class: "quiet" }, source.to))],
    ["Kind", (source) => source.kind],
    ["For", (source) => source.service],
    ["Priority", (source) => count(source.priority), "number"],
    ["Breaker", (source) => badge(source.up ? (source.chosen ? "closed, in use" : "closed") : "open", source.up ? "good" : "bad")],
    ["Not used for", (source) => (source.up ? "–" : span(source.downS))],
    ["Looked at again in", (source) => (source.up ? "–" : span(source.probeInS))],
    ["Why", (source) => source.fault ?? "–"],
  ], sources);
}

/** Whether head office has something newer, as far as that can be known. */
function lag(feed) {
  if (!feed.answers) return feed.state === "published" ? "none" : "unknown";
  if (RESTING.includes(feed.state)) return "level";
  if (!feed.progress?.to) return "unknown";
  const [epoch, revision] = feed.progress.to.split(".").map(Number);
  // What is of another life of the author cannot be counted.
  if (epoch !== feed.epoch) return "behind";
  return revision > feed.revision ? `behind by ${count(revision - feed.revision)}` : "level";
}

function progress(feed) {
  if (!feed.progress) return feed.lastError ? feed.lastError : "–";
  const { objects, objectsTotal, records, recordsTotal } = feed.progress;
  return h("span", {}, h("progress", { max: Math.max(1, objectsTotal), value: objects, "aria-label": `${feed.feed} refresh` }),
    ` ${count(records)} of ${count(recordsTotal)} records, ${count(feed.perS)} per second`);
}
