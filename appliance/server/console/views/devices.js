// Printers with their last paper, scales with what lies on them, and everything else that is plugged in.

import { blob, listen, maybe, post } from "../lib/api.js";
import { action, badge, Card, h, pairs, table } from "../lib/dom.js";
import { ago, count } from "../lib/words.js";

const LOOK_EVERY_MS = 3000;

export class Devices {
  constructor(context) {
    this.context = context;
    this.hint = h("p", { class: "quiet" });
    this.cards = h("div", { class: "cards" });
    this.all = new Card("All devices", { wide: true });
    this.element = h("div", {}, this.hint, this.cards, h("div", { class: "cards" }, this.all.element));
    this.printers = new Map();
    this.scales = new Map();
    this.closing = new AbortController();
    this.timer = setInterval(() => this.look(), LOOK_EVERY_MS);
    this.look();
  }

  async look() {
    if (this.context.caller.kind === "nobody") return;
    const list = await maybe("/v1/devices").catch(() => null);
    if (!list || this.closing.signal.aborted) return;
    for (const device of list.devices) {
      if (device.kind === "printer") await this.lookAtPrinter(device.id);
      if (device.kind === "scale") this.openScale(device.id);
    }
    this.all.show(list, (seen) => [table("Devices", [
      ["Name", (device) => device.id], ["Kind", (device) => device.kind], ["Place", (device) => device.at],
      ["Link", (device) => badge(device.link, device.link === "open" ? "good" : "bad")], ["", (device) => device.why ?? ""],
    ], seen.devices, "No device is defined."),
    seen.refused.length ? table("Definitions that are not used", [
      ["Name", (refused) => refused.id], ["From", (refused) => refused.from], ["Why", (refused) => refused.why]], seen.refused) : null,
    seen.plugged.length ? table("Plugged in", [["Kernel's name", (one) => one.name], ["Write for `at`", (one) => one.at]], seen.plugged) : null]);
  }

  async lookAtPrinter(id) {
    const [printer, jobs] = await Promise.all([
      maybe(`/v1/printers/${id}`), maybe(`/v1/printers/${id}/jobs?limit=5`)]).catch(() => [null, null]);
    if (!printer) return;
    let shown = this.printers.get(id);
    if (!shown) {
      shown = { card: new Card(`Printer ${id}`), paper: h("div", { class: "paper" }), key: null };
      this.printers.set(id, shown);
      this.cards.append(shown.card.element);
    }
    const list = jobs?.jobs ?? jobs ?? [];
    await this.lookAtPaper(id, shown, list[0]);
    shown.card.show({ printer, list }, () => [
      pairs([["State", printer.link === "open" ? (printer.trouble ? badge(printer.trouble.replaceAll("_", " "), "bad") : badge("ready", "good"))
        : badge(printer.why ?? printer.link, "bad")],
      ["Profile", `${printer.profile}, ${printer.columns} columns`],
      ["Papers waiting", count(printer.waiting)], ["In doubt", count(printer.inDoubt)]]),
      list.filter((job) => job.state === "unknown" && !job.decision).map((job) => this.doubt(id, job)),
      h("h3", {}, "Last paper"), shown.paper]);
  }

  async lookAtPaper(id, shown, job) {
    if (!job || shown.key === job.key) return;
    shown.key = job.key;
    try {
      const address = URL.createObjectURL(await blob(`/v1/printers/${id}/jobs/${job.key}/picture`));
      const picture = h("img", { src: address, alt: `Paper ${job.code} of ${job.by}` });
      picture.addEventListener("load", () => URL.revokeObjectURL(address));
      shown.paper.replaceChildren(picture, h("p", { class: "quiet" }, `${job.state}, ${job.by}, `, ago(job.changed)));
    } catch (error) {
      shown.paper.replaceChildren(h("p", { class: "quiet" }, `No picture: ${error.message}.`));
    }
  }

  doubt(id, job) {
    const decide = (body) => async () => {
      await post(`/v1/printers/${id}/jobs/${job.key}/decision`, body);
      await this.look();
    };
    return h("div", { class: "doubt" }, h("p", {}, badge("Act", "bad"), ` Is paper ${job.code} of ${job.by} printed? Look at the printer.`),
      this.context.may("manage") ? h("div", { class: "row" }, action("It is printed", decide({ decision: "printed" }), "primary"),
        action("Print a copy", decide({ decision: "reprint", key: `copy-${job.key}`.slice(0, 64) })))
        : h("p", { class: "quiet" }, "Your roles do not let you decide this."));
  }

  openScale(id) {
    if (this.scales.has(id)) return;
    const card = new Card(`Scale ${id}`);
    this.scales.set(id, card);
    this.cards.append(card.element);
    // The stream begins with what the scale said last; without it nothing is known, whatever was shown before.
    const state = (isUp) => isUp || this.weigh(card, null);
    state(false);
    listen(`/v1/scales/${id}/events`, (event) => this.weigh(card, JSON.parse(event.data)), { signal: this.closing.signal, state });
  }

  weigh(card, reading) {
    card.show(reading ?? { state: "silent" }, (seen) => h("div", { class: "weight" },
      h("p", { class: "figure", "aria-live": "off" }, seen.weight ? `${seen.weight} ${seen.unit}` : (seen.shown ?? "–")),
      badge(seen.state.replaceAll("_", " "), seen.state === "stable" ? "good" : "notice")));
  }

  update(status) {
    const signedIn = this.context.caller.kind !== "nobody";
    this.hint.textContent = signedIn ? "" : "Sign in to see papers and live weights.";
    this.hint.hidden = signedIn;
    if (signedIn) return;
    this.all.show(status.devices ?? [], (devices) => table("Devices", [
      ["Name", (device) => device.id], ["Kind", (device) => device.kind],
      ["Link", (device) => badge(device.link, device.link === "open" ? "good" : "bad")],
      ["State", (device) => (device.trouble ? badge(device.trouble.words, "bad") : "–")],
      ["Waiting", (device) => count(device.waiting), "number"]], devices, "No device is defined."));
  }

  end() {
    clearInterval(this.timer);
    this.closing.abort();
  }
}
