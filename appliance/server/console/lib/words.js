// Numbers, times and spans in words.

const UNITS = [[86400, "d"], [3600, "h"], [60, "min"]];

/** A span of seconds in its largest unit, or two of them. */
export function span(seconds, parts = 1) {
  if (seconds === null || seconds === undefined) return "unknown";
  let rest = Math.max(0, Math.floor(seconds));
  const words = [];
  for (const [unit, word] of UNITS) {
    if (rest >= unit) {
      words.push(`${Math.floor(rest / unit)} ${word}`);
      rest %= unit;
    }
  }
  if (words.length === 0 || (words.length < parts && rest > 0)) words.push(`${rest} s`);
  return words.slice(0, parts).join(" ");
}

export function count(number) {
  return number === null || number === undefined ? "unknown" : number.toLocaleString();
}

export function bytes(number) {
  if (number === null || number === undefined) return "unknown";
  const units = ["B", "kB", "MB", "GB", "TB"];
  const power = Math.min(units.length - 1, Math.floor(Math.log10(Math.max(1, number)) / 3));
  return `${(number / 1000 ** power).toFixed(power > 1 ? 1 : 0)} ${units[power]}`;
}

export function micros(us) {
  if (us === null || us === undefined) return "unknown";
  if (us < 1000) return `${us} µs`;
  return us < 1e6 ? `${(us / 1000).toFixed(us < 10000 ? 1 : 0)} ms` : `${(us / 1e6).toFixed(1)} s`;
}

/** A moment by the clock of whoever looks, with the day if it is not today. */
export function moment(text) {
  const at = new Date(text);
  const time = at.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  const today = new Date().toDateString() === at.toDateString();
  return today ? time : `${at.toLocaleDateString([], { day: "numeric", month: "short" })} ${time}`;
}

/** The difference between the clock of the box and ours; ages are told by the clock of the box. */
let skew = 0;

export function setClock(now) {
  skew = Date.parse(now) - Date.now();
}

/** An age that goes on growing while it is shown. */
export function ago(text) {
  if (!text) return "never";
  const element = document.createElement("time");
  element.dateTime = text;
  element.title = new Date(text).toLocaleString();
  grow(element);
  return element;
}

function grow(element) {
  const text = `${span((Date.now() + skew - Date.parse(element.dateTime)) / 1000)} ago`;
  if (element.textContent !== text) element.textContent = text;
}

setInterval(() => document.querySelectorAll("time").forEach(grow), 1000);

/** A finding's text with its time by the clock of whoever looks. */
export function localised(finding) {
  if (!finding.at) return finding.text;
  return finding.text.replace(/(\d{4}-\d\d-\d\d )?\d\d:\d\d UTC/, moment(finding.at));
}
