// Lines over the last day, drawn by uPlot; each has a sentence for whoever cannot see it.

import { h } from "./dom.js";

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const HEIGHT = 150;
const GAP_S = 90;
/** A chart shows at least the last hour, at most the day that the box remembers. */
const SPAN_MIN_S = 3600;
/** So few points make no line that could be seen. */
const FEW = 3;
/** Between two ticks of a count there is at least one. */
const WHOLE = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 50000, 100000];

/**
 * A chart of columns against time.
 * @param {string} title
 * @param {{label: string, of: (columns: object) => Array<number|null>, colour: string}[]} series
 * @param {(value: number) => string} format
 * @param {{least: number, incrs?: number[]}} scale the least top of the scale, and its steps
 */
export class Chart {
  constructor(title, series, format, scale = { least: 5, incrs: WHOLE }) {
    [this.series, this.format, this.scale] = [series, format, scale];
    this.canvas = h("div", { class: "plot", "aria-hidden": "true" });
    this.words = h("p", { class: "quiet" });
    this.element = h("figure", { class: "chart" }, h("figcaption", {}, title,
      h("span", { class: "keys" }, series.map((one) => h("span", { class: `key ${one.colour}` }, one.label)))),
      this.canvas, this.words);
    this.observer = new ResizeObserver(() => this.fit());
    this.observer.observe(this.canvas);
    this.scheme = matchMedia("(prefers-color-scheme: dark)");
    this.repaint = () => this.draw(this.columns, true);
    this.scheme.addEventListener("change", this.repaint);
  }

  /** Draws the columns that `/v1/chronicle` gave. */
  draw(columns, anew = false) {
    if (!columns) return;
    this.columns = columns;
    const data = withGaps(columns.at, this.series.map((one) => one.of(columns)));
    this.words.textContent = this.describe(data);
    if (this.plot && !anew) {
      this.plot.setData(data);
      return;
    }
    this.plot?.destroy();
    this.plot = new uPlot(this.options(), data, this.canvas);
    this.fit();
  }

  end() {
    this.observer.disconnect();
    this.scheme.removeEventListener("change", this.repaint);
    this.plot?.destroy();
  }

  fit() {
    const width = Math.floor(this.canvas.clientWidth);
    if (width > 0) this.plot?.setSize({ width, height: HEIGHT });
  }

  options() {
    const axis = { stroke: colour("--quiet"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false } };
    return {
      width: Math.max(200, this.canvas.clientWidth),
      height: HEIGHT,
      legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false } },
      scales: {
        x: { range: (plot) => spanOf(plot.data[0]) },
        y: { range: (plot, low, high) => [0, Math.max(high ?? 0, this.scale.least) * 1.08] },
      },
      axes: [{ ...axis, size: 28, values: (plot, ticks) => ticks.map(clock) },
        { ...axis, size: 64, ...(this.scale.incrs ? { incrs: this.scale.incrs } : {}), values: (plot, ticks) => ticks.map(this.format) }],
      series: [{}, ...this.series.map((one) => ({
        label: one.label, stroke: colour(`--${one.colour}`), width: 1.75, spanGaps: false,
        fill: `${colour(`--${one.colour}`)}1f`, points: { show: (plot) => plot.data[0].length < FEW, size: 6 },
      }))],
      hooks: { setCursor: [(plot) => this.tell(plot)] },
    };
  }

  /** What stands under the pointer, in words below the chart. */
  tell(plot) {
    const index = plot.cursor.idx;
    const at = index === null || index === undefined ? undefined : plot.data[0][index];
    if (at === undefined || plot.cursor.left < 0) {
      this.words.textContent = this.describe(plot.data);
      return;
    }
    const values = this.series.map((one, i) => {
      const value = plot.data[i + 1][index];
      return `${one.label} ${value === null || value === undefined ? "unknown" : this.format(value)}`;
    });
    this.words.textContent = `${clock(at)}: ${values.join(", ")}`;
  }

  describe(data) {
    if (data[0].length === 0) return "Nothing was recorded yet.";
    return this.series.map((one, i) => {
      const known = data[i + 1].filter((value) => value !== null && value !== undefined);
      if (known.length === 0) return `${one.label}: unknown`;
      return `${one.label}: now ${this.format(known.at(-1))}, most ${this.format(Math.max(...known))}`;
    }).join(" · ");
  }
}

function spanOf(at) {
  const last = at.at(-1) ?? Date.now() / 1000;
  return [Math.min(at[0] ?? last, last - SPAN_MIN_S), last];
}

function clock(seconds) {
  return new Date(seconds * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
}

/** Where the box did not run there is a hole, not a line across it. */
function withGaps(at, columns) {
  const data = [[], ...columns.map(() => [])];
  at.forEach((second, i) => {
    const before = data[0].at(-1);
    if (before !== undefined && second - before > GAP_S) {
      data[0].push(before + 60);
      columns.forEach((_, c) => data[c + 1].push(null));
    }
    data[0].push(second);
    columns.forEach((column, c) => data[c + 1].push(column[i]));
  });
  return data;
}
