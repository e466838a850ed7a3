// The reference till as a cashier uses it.

import { assert, stage, until, wish } from "./kit.mjs";

export function cashier(page) {
  const said = () => page.locator("#said").innerText();
  return {
    said,
    /** What was sold for so much. */
    sold: (text) => page.locator("#sold tr", { hasText: text }),
    async scan(code) {
      await page.getByLabel("Scan or search").fill(code);
      await page.keyboard.press("Enter");
    },
    pay: () => page.getByRole("button", { name: "Pay" }).click(),
    /** Logs in at the box whose page this is, and waits for the products of it. */
    async logIn(fields = {}) {
      await page.getByLabel("Token of this box").fill(stage.till);
      for (const [label, text] of Object.entries(fields)) await page.getByLabel(label).fill(text);
      await page.getByRole("button", { name: "Log in" }).click();
      await until("products", async () => /4 products/.test(await said()));
    },
  };
}

/** With box and line back, head office has what was sold for these amounts, each once. */
export async function settlesEachOnce(amounts) {
  await wish("start");
  await wish("mend");
  await until("drained", async () => (await wish("status")).outbox.waiting === 0);
  const { entries } = await wish("ledger");
  assert.deepEqual(entries.map((entry) => entry.envelope.payload.gross).sort(), amounts);
}
