// Who stands at the till; selling needs nobody, because the till's own token hands sales in as well.

import { NoBox, Refusal } from "/console/client/boxes.js";

const AGAIN_MS = 10000;

export class Cashier {
  /** @param {(session: {name: string, user: string, rights: string[]} | null, why?: string) => void} changed */
  constructor(boxes, changed) {
    [this.boxes, this.changed, this.session, this.timer] = [boxes, changed, null, null];
    boxes.addEventListener("left", ({ detail }) => this.lost(detail));
  }

  async signOn(user, password) {
    this.boxes.person = null;
    this.keep(await this.boxes.ask("/v1/session", { method: "POST", body: { user, password } }));
  }

  /** The token is of the box that gave it, and is renewed there after half its life. */
  keep(session) {
    this.boxes.person = { place: this.boxes.here, token: session.token };
    this.session = session;
    this.wait(session.lifeMs / 2);
    this.changed(session);
  }

  wait(ms) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.renew(), ms);
  }

  async renew() {
    try {
      this.keep(await this.boxes.ask("/v1/session/renew", { method: "POST", body: {} }));
    } catch (error) {
      if (error instanceof NoBox) this.wait(AGAIN_MS);
      else if (error instanceof Refusal) this.lost(error.message);
    }
  }

  async signOff() {
    await this.boxes.ask("/v1/session", { method: "DELETE" }).catch(() => {});
    this.lost();
  }

  lost(why = "") {
    clearTimeout(this.timer);
    [this.boxes.person, this.session] = [null, null];
    this.changed(null, why);
  }
}
