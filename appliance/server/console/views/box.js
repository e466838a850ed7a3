// The box itself: disk, wear, temperature, update slots, tasks, and what passes through it.

import { maybe } from "../lib/api.js";
import { badge, Card, h, pairs, table } from "../lib/dom.js";
import { ago, bytes, count, span } from "../lib/words.js";

const LOOK_EVERY_MS = 5000;
/** Parts that a box may or may not have: where they are, and what they are called. */
const OPTIONAL = [["/v1/update", "Update slots"], ["/v1/channels", "Channels"], ["/v1/requests", "Request log"]];

export class Box {
  constructor(context) {
    this.context = context;
    this.about = new Card("About");
    this.machine = new Card("Machine");
    this.tasks = new Card("Tasks", { wide: true });
    this.optional = OPTIONAL.map(([path, title]) => [path, new Card(title, { wide: true })]);
    const cards = [this.about, this.machine, ...this.optional.map(([, card]) => card), this.tasks];
    this.hint = h("p", { class: "quiet" });
    this.element = h("div", {}, this.hint, h("div", { class: "cards" }, cards.map((card) => card.element)));
    this.timer = setInterval(() => this.look(), LOOK_EVERY_MS);
    this.look();
  }

  async look() {
    if (!this.context.isOperator()) return;
    for (const [path, card] of this.optional) {
      const answer = await maybe(path).catch(() => null);
      card.show(answer, (facts) => anything(facts));
    }
  }

  update(status) {
    const { machine } = status;
    const facts = { ...status.machine, node: status.node, clock: status.clock, key: status.publicKey, version: status.version,
      up: Math.floor(status.uptimeS / 60) };
    this.about.show(facts, () => pairs([
      ["Name", status.node], ["Role", status.role], ["Version", status.version], ["Up", span(status.uptimeS, 2)],
      ["Clock", h("span", {}, badge(status.clock, status.clock === "wrong" ? "bad" : "good"))],
      ["Public key", h("code", {}, status.publicKey)]]));
    this.machine.show(machine, () => {
      const used = machine.diskTotalBytes ? 1 - machine.diskFreeBytes / machine.diskTotalBytes : null;
      return [pairs([
        ["Disk", used === null ? "unknown" : `${bytes(machine.diskFreeBytes)} free of ${bytes(machine.diskTotalBytes)}`],
        ["Wear of the disk", machine.wearPercent === undefined ? "unknown" : `${machine.wearPercent} % of its life used`],
        ["Temperature", machine.temperatureC === undefined ? "unknown" : `${machine.temperatureC} °C`],
        ["Memory of the service", bytes(machine.memoryBytes)]]),
      used === null ? null : h("meter", { min: 0, max: 1, high: 0.9, value: used, "aria-label": "Disk in use" })];
    });
    this.tasks.show(status.tasks?.length ? status.tasks : null, (tasks) => table("Tasks", [
      ["Task", (task) => task.name], ["State", (task) => badge(task.state, task.state === "running" ? "good" : "bad")],
      ["Restarts", (task) => count(task.restarts), "number"], ["Failed last", (task) => task.lastError ?? "–"]], tasks));
    this.hint.textContent = this.context.isOperator() ? "" : "Sign in as operator to see the tasks of the box.";
    this.hint.hidden = this.context.isOperator();
  }

  end() {
    clearInterval(this.timer);
  }
}

/** A list of records as a table of their plain fields, anything else as pairs. */
function anything(facts) {
  const list = Array.isArray(facts) ? facts : Object.values(facts).find(Array.isArray);
  if (!list) return pairs(Object.entries(facts).map(([name, value]) => [name, plain(value)]));
  const names = [...new Set(list.slice(0, 50).flatMap((row) => Object.keys(row)))].slice(0, 8);
  return table("Entries", names.map((name) => [name, (row) => plain(row[name])]), list.slice(0, 50));
}

function plain(value) {
  if (value === null || value === undefined) return "–";
  if (typeof value === "string" && /^\d{4}-\d\d-\d\dT/.test(value)) return ago(value);
  return typeof value === "object" ? h("code", {}, JSON.stringify(value)) : String(value);
}
