// The box itself: disk, wear, temperature, update slots, tasks, and what passes through it.

import { maybe } from "../lib/api.js";
import { badge, Card, h, pairs, table } from "../lib/dom.js";
import { ago, bytes, count, span } from "../lib/words.js";

const LOOK_EVERY_MS = 5000;
/** Parts that a box may or may not have, known by the paths of its own description. */
const OPTIONAL = [[/^\/v1\/(update|slots)$/, "Update slots"], [/^\/v1\/(requests|calls|request-log|channel\/log)$/, "Request log"]];
const CHANNELS = "/v1/models/Channel/records?limit=100";
const SERVICES = "/v1/models/ChannelService/records?limit=500";

export class Box {
  constructor(context) {
    this.context = context;
    this.about = new Card("About");
    this.machine = new Card("Machine");
    this.served = new Card("Served at", { wide: true });
    this.tasks = new Card("Tasks", { wide: true });
    this.optional = OPTIONAL.map(([path, title]) => [path, new Card(title, { wide: true })]);
    this.channels = new Card("Channels", { wide: true });
    const cards = [this.about, this.machine, this.served, this.channels, ...this.optional.map(([, card]) => card), this.tasks];
    this.hint = h("p", { class: "quiet" });
    this.element = h("div", {}, this.hint, h("div", { class: "cards" }, cards.map((card) => card.element)));
    this.timer = setInterval(() => this.look(), LOOK_EVERY_MS);
    this.look();
  }

  async look() {
    if (!this.context.isOperator()) return;
    const paths = (this.paths ??= Object.keys((await maybe("/openapi.json").catch(() => null))?.paths ?? {}));
    for (const [fits, card] of this.optional) {
      const path = paths.find((one) => fits.test(one));
      if (path) card.show(await maybe(path).catch(() => null), anything);
    }
    const [channels, services] = await Promise.all([maybe(CHANNELS), maybe(SERVICES)]).catch(() => [null, null]);
    this.channels.show(channels?.records?.length ? { channels: channels.records, services: services?.records ?? [] } : null, drawChannels);
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
    this.served.show(status.listeners?.length ? status.listeners : null, (list) => table("Addresses", [
      ["Address", (one) => h("code", {}, one.address)],
      ["", (one) => (one.tls ? badge("TLS", "good")
        : one.exposed ? badge("in the open: whoever is on the network can read it", "notice") : badge("this machine only", "good"))],
    ], list));
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

function drawChannels({ channels, services }) {
  return table("Channels", [
    ["Channel", (channel) => channel.name],
    ["Type", (channel) => channel.type ?? "–"],
    ["Services", (channel) => services.filter((service) => service.channelId === channel.id)
      .map((service) => `${service.type}${service.async ? " (later)" : ""}`).join(", ") || "none"],
    ["Logged", (channel) => count(services.filter((service) => service.channelId === channel.id && service.log !== false).length), "number"],
  ], channels);
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
