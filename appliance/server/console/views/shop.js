// Who is connected: a small map, the tills with what they loaded last, and the lines to other servers.

import { maybe } from "../lib/api.js";
import { badge, Card, h, svg, table } from "../lib/dom.js";
import { ago, count } from "../lib/words.js";
import { Drills } from "./drill.js";

const LOOK_EVERY_MS = 5000;
const TILLS_MAX = 6;
const WIDTH = 640;
const NAME_MAX = 17;

export class Shop {
  constructor(context) {
    this.context = context;
    this.map = new Card("Map", { wide: true });
    this.terminals = new Card(context.status.role === "main" ? "Boxes that may come in" : "Tills", { wide: true });
    this.lines = new Card("Lines to other servers", { wide: true });
    this.drills = new Drills(context);
    this.loaded = new Map();
    this.hint = h("p", { class: "quiet" });
    this.element = h("div", {}, this.hint,
      h("div", { class: "cards" }, this.map.element, this.terminals.element, this.lines.element, this.drills.elements));
    this.timer = setInterval(() => this.look(), LOOK_EVERY_MS);
    this.look();
  }

  async look() {
    if (!this.context.isOperator()) return;
    if (this.context.status.role === "store") this.drills.look();
    this.note(await maybe("/v1/history?limit=500").catch(() => null));
    // Whoever loaded long ago is not among the newest, and is asked for once.
    const tills = (this.context.status.clients ?? []).filter(({ kind, name }) => kind === "terminal" && !this.loaded.has(name));
    for (const { name } of tills) {
      this.loaded.set(name, new Map());
      this.note(await maybe(`/v1/history?limit=50&terminal=${encodeURIComponent(name)}`).catch(() => null));
    }
    this.update(this.context.status);
  }

  /** What tills have loaded last, out of a history that begins with the newest. */
  note(history) {
    const seen = new Set();
    for (const { terminal, feed, position } of history ?? []) {
      if (!terminal || !position || seen.has(`${terminal} ${feed}`)) continue;
      seen.add(`${terminal} ${feed}`);
      const feeds = this.loaded.get(terminal) ?? new Map();
      this.loaded.set(terminal, feeds.set(feed, position));
    }
  }

  update(status) {
    this.drills.update(status);
    const clients = status.clients ?? [];
    const isPeer = (source, i, all) => source.kind === "peer" && all.findIndex((other) => other.id === source.id) === i;
    const peers = (status.sources ?? []).filter(isPeer).map((source) => ({ name: source.id, up: source.up }));
    const nodes = { node: status.node, role: status.role, lines: status.lines.map(({ to, service, up }) => ({ to, service, up })),
      clients: clients.map(({ kind, name, lastSeen }) => ({ kind, name, seen: Boolean(lastSeen) })), peers };
    this.map.show(nodes, draw);
    const known = clients.map((client) => ({ ...client, loaded: [...(this.loaded.get(client.name) ?? [])] }));
    this.terminals.show(this.context.isOperator() ? known : null, (list) => table("Clients", [
      ["Name", (client) => client.name], ["Kind", (client) => (client.kind === "node" ? "box" : "till")],
      ["Last seen", (client) => (client.lastSeen ? ago(client.lastSeen) : badge("not since the box started", "notice"))],
      ["Generation it loaded", (client) => generation(client, status)],
    ], list, "No till was let in yet: `storebox terminal add NAME`."));
    this.lines.show(status.lines.length ? status.lines : null, (list) => table("Lines", [
      ["For", (line) => line.service], ["To", (line) => line.to],
      ["Breaker", (line) => badge(line.up ? "closed: it answers" : line.isRefused ? "open: it refuses" : "open: it does not answer", line.up ? "good" : "bad")],
      ["Since", (line) => (line.since ? ago(line.since) : "the box started")], ["", (line) => line.detail]], list));
    this.hint.textContent = this.context.isOperator() ? "" : "Sign in as operator to see the tills by name.";
    this.hint.hidden = this.context.isOperator();
  }

  end() {
    clearInterval(this.timer);
  }
}

function generation(client, status) {
  if (client.loaded.length === 0) return "unknown";
  return h("span", { class: "stack" }, client.loaded.map(([feed, position]) => {
    const here = status.feeds.find((one) => one.feed === feed);
    const [epoch, revision] = position.split(".").map(Number);
    // What is of another life of the author cannot be counted.
    const behind = here?.epoch === epoch ? here.revision - revision : null;
    return h("span", {}, `${feed} ${position} `,
      behind === 0 ? badge("level", "good") : badge(behind > 0 ? `${count(behind)} behind` : "older", "notice"));
  }));
}

/** Head office and further servers above, this box in the middle, peers beside it, tills below. */
function draw({ node, role, lines, clients, peers }) {
  const servers = new Map();
  for (const line of lines) servers.set(line.to, (servers.get(line.to) ?? true) && line.up);
  const office = (lines.find((line) => line.service === "masterdata") ?? lines[0])?.to;
  const above = [...servers].map(([to, up]) => ({ name: to === office ? "Head office" : "Server", note: short(to), up, kind: "server" }));
  const tills = clients.filter((client) => client.kind === (role === "main" ? "node" : "terminal"));
  const below = tills.slice(0, TILLS_MAX).map((till) => ({ name: till.name, up: till.seen, kind: "till" }));
  const beside = peers.slice(0, 2).map((peer) => ({ name: peer.name, up: peer.up, kind: "peer" }));
  const rows = [above, [{ name: node, up: true, kind: "here" }], below].filter((row) => row.length > 0);
  const height = rows.length * 92 - 8;
  const own = above.length ? 1 : 0;
  const place = (row, index, of) => [(WIDTH / (of + 1)) * (index + 1), row * 92 + 40];
  const here = place(own, 0, 1);
  const drawing = svg("svg", { viewBox: `0 0 ${WIDTH} ${height}`, role: "img", class: "map",
    "aria-label": words(node, above, below, beside, tills.length) });
  const parts = [];
  rows.forEach((row, r) => row.forEach((one, i) => parts.push([one, place(r, i, row.length)])));
  beside.forEach((one, i) => parts.push([one, [i === 0 ? 80 : WIDTH - 80, here[1]]]));
  for (const [one, [x, y]] of parts) {
    if (one.kind !== "here") drawing.append(svg("line", { x1: here[0], y1: here[1], x2: x, y2: y, class: one.up ? "up" : "down" }));
  }
  for (const [one, [x, y]] of parts) {
    drawing.append(svg("rect", { x: x - 62, y: y - 20, width: 124, height: 40, rx: 10, class: `${one.kind} ${one.up ? "up" : "down"}` }),
      svg("text", { x, y: y + (one.note ? -2 : 5), "text-anchor": "middle" }, shorten(one.name)),
      one.note ? svg("text", { x, y: y + 13, "text-anchor": "middle", class: "small" }, shorten(one.note)) : "");
  }
  const more = tills.length - below.length;
  return [drawing, more > 0 ? h("p", { class: "quiet" }, `and ${count(more)} more`) : null];
}

function words(node, above, below, beside, tills) {
  const lines = [...above, ...beside].map((one) => `${one.name} ${one.note ?? ""} ${one.up ? "answers" : "does not answer"}`);
  return `Map: ${node}; ${lines.join("; ") || "no other server"}; ${tills} clients, ${below.filter((one) => one.up).length} of those drawn were seen`;
}

function shorten(name) {
  return name.length > NAME_MAX ? `${name.slice(0, NAME_MAX - 1)}…` : name;
}

function short(address) {
  try {
    return new URL(address).host;
  } catch {
    return address;
  }
}
