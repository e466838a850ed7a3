// Sales on their way to head office, and those that wait for a person.

import { get, maybe } from "../lib/api.js";
import { badge, Card, h, pairs, table } from "../lib/dom.js";
import { ago, count, span } from "../lib/words.js";
import { openConflict, openTransaction } from "./repair.js";

const LOOK_EVERY_MS = 3000;
const RATE_MINUTES = 15;

const what = ["What", (entry) => entry.kind];
const who = ["Till", (entry) => `${entry.terminal} no. ${entry.sequence}`];
const when = ["Taken", (entry) => ago(entry.at)];

export class Sales {
  constructor(context) {
    this.context = context;
    this.figures = new Card("On the way to head office");
    this.ledger = new Card("Arrived here");
    this.deliveries = new Card("On to the company's systems", { wide: true });
    this.quarantine = new Card("Refused: a person decides", { wide: true, id: "quarantine" });
    this.conflicts = new Card("Contradictions", { wide: true });
    this.waiting = new Card("Waiting, oldest first", { wide: true });
    this.refusals = new Card("Refused here", { wide: true });
    this.audit = new Card("What persons did", { wide: true });
    this.hint = h("p", { class: "quiet" });
    const cards = [this.figures, this.ledger, this.deliveries, this.quarantine, this.conflicts, this.waiting, this.refusals, this.audit];
    this.element = h("div", {}, this.hint, h("div", { class: "cards" }, cards.map((card) => card.element)));
    this.timer = setInterval(() => this.look(), LOOK_EVERY_MS);
    this.look();
  }

  async look() {
    try {
      const chronicle = await get(`/v1/chronicle?minutes=${RATE_MINUTES}`);
      this.rate = drainRate(chronicle);
    } catch {
      this.rate = null;
    }
    this.update(this.context.status);
    if (!this.context.isOperator()) return;
    if (this.context.status.role === "main") return this.lookAtLedger();
    const [refused, held, conflicts, audit] = await Promise.all([
      maybe("/v1/outbox?state=quarantined&limit=50"), maybe("/v1/outbox?limit=10"),
      maybe("/v1/outbox/conflicts"), maybe("/v1/outbox/audit"),
    ]).catch(() => [null, null, null, null]);
    const again = () => this.look();
    this.quarantine.show(refused?.entries, (entries) => table("Refused sales", [what, who, when,
      ["Why", (entry) => entry.problem?.detail ?? "unknown"],
      ["", (entry) => h("button", { type: "button", onclick: () => openTransaction(entry.key, again) }, `Look at no. ${entry.sequence}`)],
    ], entries, "Nothing was refused."));
    this.conflicts.show(conflicts?.length ? conflicts : null, (list) => table("Contradictions", [
      ["What", (conflict) => conflict.code], ["Came", (conflict) => ago(conflict.at)],
      ["", (conflict) => h("button", { type: "button", onclick: () => openConflict(conflict, again) }, `Compare no. ${conflict.number}`)],
    ], list));
    this.waiting.show(held?.entries, (entries) => table("Waiting sales", [what, who, when,
      ["State", (entry) => waitsFor(entry)], ["Attempts", (entry) => count(entry.attempts), "number"]],
    entries, "Nothing waits: head office has everything."));
    this.audit.show(audit?.length ? audit : null, (acts) => table("Acts", [
      ["Who", (act) => act.who], ["Did", (act) => act.action], ["When", (act) => ago(act.at)],
      ["Why", (act) => act.reason || "–"]], [...acts].reverse().slice(0, 20)));
  }

  async lookAtLedger() {
    const refusals = await maybe("/v1/ledger/refusals?limit=50");
    this.refusals.show(refusals?.refusals, (list) => table("Refused transactions", [
      ["Box", (refusal) => refusal.node], ["What", (refusal) => refusal.envelope.kind],
      ["When", (refusal) => ago(refusal.at)], ["Why", (refusal) => refusal.problem.detail]], list, "Nothing was refused."));
  }

  update(status) {
    const { outbox, ledger } = status;
    const isDown = status.lines.some((line) => line.service === "transactions" && !line.up);
    const facts = outbox && { ...outbox, drain: drain(outbox, this.rate, isDown) };
    this.figures.show(facts, (box) => pairs([
      ["Waiting", count(box.waiting)],
      ["Oldest", box.waiting ? span(box.oldestS, 2) : "none"],
      ["Empty in", box.drain],
      ["Refused, for a person", h("span", {}, count(box.quarantined), box.quarantined ? badge("act", "bad") : null)],
      ["Contradictions", count(box.conflicts)],
      ["Settled of all taken", `${count(box.settled)} of ${count(box.accepted)}`],
      ["Given up by persons", count(box.givenUp)],
      ["Room", box.heldMax ? `${count(box.heldMax - box.waiting)} more fit` : "unknown"],
    ]));
    this.ledger.show(ledger, (book) => pairs([["Settled", count(book.settled)], ["Refused or contradicting", count(book.refused)]]));
    this.deliveries.show(status.deliveries?.length ? status.deliveries : null, (list) => table("Deliveries", [
      ["System", (one) => one.id], ["Kind", (one) => one.to], ["To go", (one) => count(one.behind), "number"],
      ["Delivered since the start", (one) => count(one.delivered), "number"], ["For a person", (one) => count(one.aside), "number"],
      ["", (one) => badge(one.failing ?? "works", one.failing ? "bad" : "good")]], list));
    const hint = this.context.isOperator() ? "" : "Sign in as operator to see single sales and to decide about refused ones.";
    if (this.hint.textContent !== hint) this.hint.textContent = hint;
    this.hint.hidden = hint === "";
  }

  end() {
    clearInterval(this.timer);
  }
}

/** Sales that left in a minute, of the minutes in which any did. */
function drainRate(columns) {
  const busy = columns.sent.filter((sent) => sent > 0);
  return busy.length === 0 ? null : busy.reduce((sum, sent) => sum + sent, 0) / busy.length;
}

function drain(outbox, rate, isDown) {
  const moving = outbox.waiting - outbox.quarantined;
  if (moving <= 0) return outbox.waiting ? "when a person has decided" : "is empty";
  if (isDown) return rate ? `about ${span((moving / rate) * 60)} once the line is back` : "unknown until the line is back";
  return rate ? `about ${span(Math.max(1, (moving / rate) * 60))}` : "unknown";
}

function waitsFor(entry) {
  if (entry.waitsForNumber) return badge("waits for a missing number", "notice");
  if (entry.waitsFor) return badge("waits for another sale", "notice");
  return badge(entry.state, entry.state === "quarantined" ? "bad" : "good");
}
