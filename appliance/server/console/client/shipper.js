// Hands sales to a box and asks until head office has settled them; never gives one up.

import { NoBox, Refusal } from "./boxes.js";

const BETWEEN_MS = 1500;

/** The way of sales out of the journal. */
export class Shipper extends EventTarget {
  constructor(boxes, journal) {
    super();
    [this.boxes, this.journal] = [boxes, journal];
    this.wake = () => {};
  }

  /** Looks again now. */
  nudge() {
    this.wake();
  }

  /** Ships until the page ends. */
  async run() {
    for (;;) {
      await this.look().catch((error) => {
        if (!(error instanceof NoBox)) console.warn(error);
      });
      this.dispatchEvent(new Event("change"));
      await new Promise((resolve) => {
        const timer = setTimeout(resolve, BETWEEN_MS);
        this.wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  async look() {
    const open = (await this.journal.sales()).filter((sale) => sale.grade !== "settled");
    for (const sale of open) await this.ship(sale);
    await this.journal.tidy();
  }

  async ship(sale) {
    if (sale.grade === "held") {
      const progress = await this.progress(sale.key);
      if (progress) {
        await this.journal.note(sale.key, progress.grade);
        return;
      }
      // Another box than the one that holds it: it may have it too, head office settles a key once.
    }
    try {
      const receipt = await this.boxes.ask("/v1/transactions", { method: "POST", body: sale.envelope });
      await this.journal.note(sale.key, receipt.grade);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      await this.journal.note(sale.key, sale.grade, error.message);
    }
  }

  async progress(key) {
    try {
      return await this.boxes.ask(`/v1/transactions/${key}`);
    } catch (error) {
      if (error instanceof Refusal && error.status === 404) return null;
      throw error;
    }
  }
}
