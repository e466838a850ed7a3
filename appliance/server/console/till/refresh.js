// When the till refreshes: the box decides, the till tells it what happens and does what it is told.

import { NoBox } from "/console/client/boxes.js";
import { events } from "/console/client/events.js";

/** Without an answer the till looks again after this. */
const LOOK_AGAIN_MS = 15000;
const STREAM_PAUSE_MS = 3000;
/** The box tells at once what changed since a cursor. */
const HEAR_MS = 5000;

export class Refresher {
  /** @param {{show: (what: string, text?: string) => void, ran: (report: object) => void}} face */
  constructor(boxes, copy, journal, face) {
    [this.boxes, this.copy, this.journal, this.face] = [boxes, copy, journal, face];
    this.timer = null;
  }

  /** After a login: runs what is due first, then listens. */
  async begin(welcome, hasCopy) {
    this.batch = welcome.batchSize;
    this.banner = welcome.banner;
    const { refresh } = welcome.plan;
    const here = welcome.feeds.map(({ feed, position }) => `${feed}:${position}`);
    const known = await this.journal.fact("cursor");
    // What changes while everything is loaded is told once more, from here on.
    this.cursor = hasCopy && known && refresh !== "full" ? known : here.join(",");
    if (!hasCopy || refresh === "full") await this.run("full");
    this.listen();
    if (hasCopy && refresh === "incremental") {
      await this.heard(here);
      await this.run("incremental");
    }
    this.wait(welcome.timerMs);
  }

  /** Waits until the box has told what changed up to these places, but not for ever. */
  async heard(places) {
    const end = Date.now() + HEAR_MS;
    const isThere = () => places.every((place) => this.cursor.split(",").includes(place));
    while (!isThere() && Date.now() < end) await new Promise((resolve) => setTimeout(resolve, 50));
  }

  wait(ms) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.happened("timer"), Math.max(200, ms));
  }

  /** Tells the box that something happened and follows its orders. */
  async happened(event) {
    let answer;
    try {
      answer = await this.boxes.ask("/v1/terminal/idle", { method: "POST", body: { event } });
    } catch (error) {
      if (!(error instanceof NoBox)) console.warn(error);
      this.wait(LOOK_AGAIN_MS);
      return;
    }
    this.wait(answer.timerMs);
    for (const order of answer.orders) {
      if (order === "showBanner") this.face.show("banner", this.banner);
      if (order === "showPopup") this.face.show("popup");
      if (order === "hide") this.face.show("nothing");
      if (order === "run") await this.run("incremental");
    }
  }

  async run(extent) {
    this.face.show("running");
    try {
      const { cursor } = this;
      const report = extent === "full" || this.mustLoadAll ? await this.copy.loadAll(this.batch) : await this.copy.loadChanges();
      this.mustLoadAll = false;
      await this.boxes.ask("/v1/terminal/refreshed", { method: "POST", body: report });
      await this.journal.keepFact("cursor", cursor);
      this.face.ran(report);
    } catch (error) {
      const failed = { extent, succeeded: false, error: error.message };
      await this.boxes.ask("/v1/terminal/refreshed", { method: "POST", body: failed }).catch(() => {});
    }
    this.face.show("nothing");
  }

  /** Hears what changes at the box; after a pause it goes on where it stopped. */
  async listen() {
    for (;;) {
      try {
        const after = this.cursor ? `?after=${encodeURIComponent(this.cursor)}` : "";
        const body = await this.boxes.stream(`/v1/changes${after}`);
        for await (const told of events(body)) this.hear(told);
      } catch {
        // The box is away; what changed meanwhile is told when it is back.
      }
      await new Promise((resolve) => setTimeout(resolve, STREAM_PAUSE_MS));
    }
  }

  hear({ name, data, id }) {
    this.cursor = id ?? this.cursor;
    if (name === "changes") this.copy.hear(JSON.parse(data));
    if (name === "reset") this.mustLoadAll = true;
  }
}
