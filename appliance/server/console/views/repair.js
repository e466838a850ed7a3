// What a person does with a refused sale: read it, change it with the change in sight, offer it again, or give it up.

import { get, post } from "../lib/api.js";
import { badge, h, pairs } from "../lib/dom.js";
import { ago } from "../lib/words.js";

const INDENT = 2;

/** Lines of two texts, each `same`, `gone` or `new`; the longest common run of lines stays. */
export function difference(before, after) {
  const [left, right] = [before.split("\n"), after.split("\n")];
  const common = Array.from({ length: left.length + 1 }, () => new Uint32Array(right.length + 1));
  for (let i = left.length - 1; i >= 0; i -= 1) {
    for (let j = right.length - 1; j >= 0; j -= 1) {
      common[i][j] = left[i] === right[j] ? common[i + 1][j + 1] + 1 : Math.max(common[i + 1][j], common[i][j + 1]);
    }
  }
  const lines = [];
  let [i, j] = [0, 0];
  while (i < left.length || j < right.length) {
    if (i < left.length && j < right.length && left[i] === right[j]) {
      lines.push(["same", left[i]]);
      i += 1;
      j += 1;
    } else if (j >= right.length || (i < left.length && common[i + 1][j] >= common[i][j + 1])) {
      lines.push(["gone", left[i]]);
      i += 1;
    } else {
      lines.push(["new", right[j]]);
      j += 1;
    }
  }
  return lines;
}

const MARKS = { same: " ", gone: "−", new: "+" };

/** The difference as a block in which a mark at the line's head says what a colour repeats. */
function drawDifference(before, after) {
  const lines = difference(before, after).map(([kind, text]) =>
    h(kind === "gone" ? "del" : kind === "new" ? "ins" : "span", { class: `line ${kind}` }, `${MARKS[kind]} ${text}\n`));
  return h("pre", { class: "diff", tabIndex: 0, "aria-label": "Difference, line by line", role: "region" }, lines);
}

const text = (value) => JSON.stringify(value, null, INDENT);

function dialog(title, ...content) {
  const box = h("dialog", { class: "wide", "aria-labelledby": "dialog-title" },
    h("h2", { id: "dialog-title" }, title), ...content);
  box.addEventListener("close", () => box.remove());
  document.body.append(box);
  box.showModal();
  return box;
}

/** Opens a held sale by its key. */
export async function openTransaction(key, done) {
  const entry = await get(`/v1/outbox/${key}`);
  const before = text(entry.envelope.payload ?? {});
  const editor = h("textarea", { rows: 12, spellcheck: false, value: before, "aria-describedby": "editor-says" });
  const says = h("p", { id: "editor-says", class: "refused", role: "alert" });
  const changes = h("div", {}, drawDifference(before, before));
  const by = h("input", { type: "text", maxLength: 200, required: true, autocomplete: "name" });
  const reason = h("input", { type: "text", maxLength: 200, required: true });
  const read = () => {
    try {
      const payload = JSON.parse(editor.value);
      says.textContent = "";
      return payload;
    } catch (error) {
      says.textContent = `This is not JSON: ${error.message}`;
      return null;
    }
  };
  editor.addEventListener("input", () => {
    const payload = read();
    if (payload) changes.replaceChildren(drawDifference(before, text(payload)));
  });
  const act = (what, body) => async () => {
    if (!by.value.trim() || !reason.value.trim()) {
      says.textContent = "Write down who decides this, and why.";
      (by.value.trim() ? reason : by).focus();
      return;
    }
    const sent = body();
    if (!sent) return;
    try {
      await post(`/v1/outbox/${key}/${what}`, { ...sent, by: by.value, reason: reason.value });
      box.close();
      done();
    } catch (error) {
      says.textContent = `Refused: ${error.message}`;
    }
  };
  const repair = () => {
    const payload = read();
    return payload && { payload };
  };
  const button = (label, style, what, body) =>
    h("button", { type: "button", class: style, onclick: act(what, body) }, label);
  const box = dialog(`${entry.kind} ${entry.sequence} of ${entry.terminal}`,
    pairs([["State", badge(entry.state, entry.state === "quarantined" ? "bad" : "good")], ["Taken", ago(entry.at)],
      ["Refused because", entry.problem?.detail ?? "–"], ["Key", h("code", {}, key)]]),
    h("label", {}, "Content", editor), says, h("h3", {}, "What you change"), changes,
    h("div", { class: "row" }, h("label", {}, "Who decides", by), h("label", {}, "Why", reason)),
    h("div", { class: "row" },
      button("Repair and offer again", "primary", "repair", repair),
      button("Offer again as it is", "", "retry", () => ({})),
      button("Give up for ever", "danger", "drop", () => ({})),
      h("button", { type: "button", class: "ghost", onclick: () => box.close() }, "Close")));
  editor.focus();
}

/** Opens an envelope that contradicts another one, beside what was accepted. */
export async function openConflict(conflict, done) {
  const accepted = await get(`/v1/outbox/${conflict.key}`).catch(() => null);
  const before = text(accepted?.envelope?.payload ?? {});
  const by = h("input", { type: "text", maxLength: 200 });
  const reason = h("input", { type: "text", maxLength: 200 });
  const says = h("p", { class: "refused", role: "alert" });
  const dismiss = async () => {
    try {
      await post(`/v1/outbox/conflicts/${conflict.number}/dismiss`, { by: by.value, reason: reason.value });
      box.close();
      done();
    } catch (error) {
      says.textContent = `Refused: ${error.message}`;
    }
  };
  const box = dialog(`Contradiction ${conflict.number}`,
    h("p", {}, accepted ? "Left out of what was accepted (−), and what came later under the same key (+)."
      : "What was accepted has left this box already; this came later."),
    drawDifference(before, text(conflict.envelope.payload ?? conflict.envelope)),
    h("div", { class: "row" }, h("label", {}, "Who dealt with it", by), h("label", {}, "How", reason)), says,
    h("div", { class: "row" }, h("button", { type: "button", class: "primary", onclick: dismiss }, "Dismiss"),
      h("button", { type: "button", class: "ghost", onclick: () => box.close() }, "Close")));
}
