// The box itself: disk, wear, temperature, update slots, tasks, and what passes through it.

import { maybe } from "../lib/api.js";
import { badge, Card, h, pairs, table } from "../lib/dom.js";
import { ago, bytes, count, micros, span } from "../lib/words.js";
import { Care } from "./care.js";

const LOOK_EVERY_MS = 5000;
const CALLS = "/v1/requests?limit=30";
const EVENTS = { installing: "notice", failed: "bad", installed: "notice", confirmed: "good", "fell-back": "bad", refused: "notice" };
const CHANNELS = "/v1/models/Channel/records?limit=100";
const SERVICES = "/v1/models/ChannelService/records?limit=500";

export class Box {
  constructor(context) {
    this.context = context;
    this.about = new Card("About");
    this.machine = new Card("Machine");
    this.served = new Card("Served at", { wide: true });
    this.tasks = new Card("Tasks", { wide: true });
    this.slots = new Card("Update slots", { wide: true });
    this.channels = new Card("Channels", { wide: true });
    this.calls = new Card("Request log", { wide: true });
    this.care = new Care(context);
    const cards = [this.about, this.machine, this.served, this.slots, this.channels, this.calls, this.tasks];
    this.hint = h("p", { class: "quiet" });
    this.element = h("div", {}, this.hint, h("div", { class: "cards" }, cards.map((card) => card.element), this.care.elements));
    this.timer = setInterval(() => this.look(), LOOK_EVERY_MS);
    this.look();
  }

  async look() {
    if (!this.context.isOperator()) return;
    if (this.context.status.role === "store") this.care.look();
    const [channels, services, log] = await Promise.all([maybe(CHANNELS), maybe(SERVICES), maybe(CALLS)]).catch(() => [null, null, null]);
    this.calls.show(log?.calls.length ? log : null, drawCalls);
    this.channels.show(channels?.records?.length ? { channels: channels.records, services: services?.records ?? [] } : null, drawChannels);
  }

  update(status) {
    this.care.update(status);
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
    this.slots.show(machine.slots, drawSlots);
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

/** Calls of channels, the newest first, each to be opened. */
function drawCalls({ calls, missed }) {
  return [table("Calls", [
    ["When", (call) => ago(call.at)], ["Service", (call) => call.service],
    ["Who", (call) => [call.channel, call.terminal, call.user].filter(Boolean).join(" / ")],
    ["Took", (call) => micros(call.tookUs), "number"],
    ["", (call) => badge(call.problem?.code ?? "served", call.problem ? "bad" : "good")],
    ["Content", (call) => h("details", {}, h("summary", {}, call.correlation), h("pre", { class: "diff", tabIndex: 0 },
      JSON.stringify({ request: call.request, response: call.response, problem: call.problem, hooks: call.steps }, null, 1)))],
  ], calls), missed ? h("p", { class: "quiet" }, `${count(missed)} calls came too fast to be written down.`) : null];
}

/** Two slots, of which one runs, and what became of releases. */
function drawSlots({ running, version, slots, updates }) {
  const starts = slots.find((slot) => slot.first);
  return [table("Slots", [
    ["Slot", (slot) => h("strong", {}, slot.name)],
    ["", (slot) => [slot.name === running ? badge(`runs ${version}`, "good") : null, slot === starts ? badge("starts next", "notice") : null]],
    ["Release", (slot) => badge(slot.whole ? (slot.confirmed ? "proved itself" : "not proved yet") : "not whole", slot.whole ? "good" : "bad")],
    ["Starts since", (slot) => count(slot.tries), "number"]], slots),
  h("h3", {}, "Releases"), table("Releases, newest first", [
    ["When", (line) => ago(new Date(line.at * 1000).toISOString())], ["Release", (line) => line.version],
    ["What", (line) => badge(line.event.replace("-", " "), EVENTS[line.event] ?? "notice")], ["Why", (line) => line.why || "–"],
  ], updates, "No release was tried yet.")];
}
