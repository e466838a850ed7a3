// Small pieces of pages: elements are made of values, never of markup, so that nothing a box says can become a page.

/**
 * An element. Properties that begin with `on` are listeners, `class`, `data-…` and `aria-…` are attributes.
 * @param {string} tag
 * @param {Record<string, unknown>} [properties]
 * @param {...(Node | string | number | null | undefined | false | Array)} children
 */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  set(element, properties);
  element.append(...flat(children));
  return element;
}

/** The same for drawings. */
export function svg(tag, properties = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(properties)) element.setAttribute(name, String(value));
  element.append(...flat(children));
  return element;
}

function set(element, properties) {
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name in element && !name.includes("-") && name !== "list") element[name] = value;
    else element.setAttribute(name === "className" ? "class" : name, value === true ? "" : String(value));
  }
}

function flat(children) {
  return children.flat(9).filter((child) => child !== null && child !== undefined && child !== false)
    .map((child) => (child instanceof Node ? child : String(child)));
}

/** A card with a heading; its body is replaced only when what it shows has changed, so that nobody loses a place. */
export class Card {
  constructor(title, { wide = false, id = undefined } = {}) {
    this.body = h("div", { class: "body" });
    const heading = h("h2", {}, title);
    this.element = h("section", { class: wide ? "card wide" : "card", id, hidden: true }, heading, this.body);
    this.shown = undefined;
  }

  /** Shows what `draw` makes of the facts; nothing at all hides the card. */
  show(facts, draw) {
    const key = JSON.stringify(facts ?? null);
    if (key === this.shown) return;
    this.shown = key;
    this.element.hidden = facts === null || facts === undefined;
    this.body.replaceChildren(...flat(this.element.hidden ? [] : [draw(facts)]));
  }
}

/** A table that scrolls by itself on a narrow screen. Columns are `[title, cell, class]`. */
export function table(caption, columns, rows, empty = "Nothing here.") {
  if (rows.length === 0) return h("p", { class: "quiet" }, empty);
  const head = h("tr", {}, columns.map(([title, , style]) => h("th", { scope: "col", class: style }, title)));
  const line = (row) => h("tr", {}, columns.map(([title, cell, style]) =>
    h("td", { class: style, "data-title": title }, cell(row))));
  const scroll = h("div", { class: "scroll" });
  scroll.append(h("table", {}, h("caption", {}, caption), h("thead", {}, head), h("tbody", {}, rows.map(line))));
  return scroll;
}

/** A word with a mark in a colour; the word carries the meaning, the colour only repeats it. */
export function badge(word, level) {
  return h("span", { class: `badge ${level}` }, word);
}

/** Facts as pairs. */
export function pairs(list) {
  return h("dl", { class: "pairs" }, list.filter(Boolean).map(([term, value]) =>
    h("div", {}, h("dt", {}, term), h("dd", {}, value))));
}

/** A figure with its name. */
export function tile(name, value, note = "", level = "") {
  return h("div", { class: `tile ${level}` },
    h("dt", {}, name), h("dd", {}, h("span", { class: "figure" }, value), note ? h("span", { class: "note" }, note) : null));
}

/** A button that acts once at a time and says what was refused. */
export function action(label, act, style = "") {
  const refused = h("span", { class: "refused", role: "alert" });
  const button = h("button", { type: "button", class: style, onclick: async () => {
    button.disabled = true;
    refused.textContent = "";
    try {
      await act();
    } catch (error) {
      refused.textContent = error.message;
    } finally {
      button.disabled = false;
    }
  } }, label);
  return h("span", { class: "action" }, button, refused);
}
