// How the page shows a state: pictures, table, sentences; and how points of the observation are caught.
import { Kept, column, sharesOf } from "./columns.js";
import { ObservationScale, colours, drawCosts, drawObservation, drawPairs, shown, windowOf } from "./pictures.js";
import { decoded, quantilesOfSorted } from "./numbers.js";
import { make } from "./controls.js";
import { doubts } from "./trust.js";
import { Page } from "./page.js";

// Parameters in one picture of pairs, and pixels within which a point is caught.
const MOST_PAIRED = 4;
const NEAR = 26;

Object.assign(Page.prototype, {
  watchSize() {
    new ResizeObserver(() => this.drawSoon()).observe(this.root);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.drawSoon());
    if (this.which) this.select(0);
  },

  /** The question goes first: the worker answers it while this picture is drawn. */
  drawSoon() {
    if (this.drawing) return;
    this.drawing = true;
    requestAnimationFrame(() => {
      this.drawing = false;
      this.send();
      if (this.able) this.picture();
    });
  },

  draw() {
    this.drawSoon();
    this.fresh = true;
  },

  picture() {
    const paint = colours(this.root);
    const marks = this.marks();
    this.drawObservationNow(paint, marks);
    if (!this.state) return;
    const { theta, cost } = this.state;
    this.still ??= this.data.names.map((_, j) => this.stillOf(j));
    this.chosen ??= this.bestDetermined();
    const { names } = this.data;
    for (const j of this.chosen) this.windows[j] = this.windowFor(j);
    const width = this.pairs.clientWidth;
    const all = { names, integers: this.data.integers, chosen: this.chosen, windows: this.windows };
    drawPairs(this.pairs, width, paint, { ...all, still: this.still, report: this.report, now: theta });
    drawCosts(this.costs, this.costs.clientWidth, paint, cost, this.reportCosts, this.data.units);
    this.tell(marks);
    if (this.fresh) {
      this.fresh = false;
      // How many pictures of new draws were shown, and of which question the last one was.
      this.root.dataset.pictures = Number(this.root.dataset.pictures ?? 0) + 1;
      this.root.dataset.shown = this.state.number;
    }
  },

  /** What does not move of a parameter: values of prior and report, and where they are. */
  stillOf(j) {
    const [prior, report] = [this.prior, this.report].map((rows) => column(rows, this.dim, j));
    const [low, least, most, high] = sharesOf(report, [0.005, 0.05, 0.95, 0.995]);
    const given = this.data.prior_shares[j];
    // Where there is a formula the prior is drawn by it, else from its draws.
    const shares = given && { values: decoded(given.values), below: decoded(given.below) };
    return { prior, shares, report, priorEnds: sharesOf(prior, [0.002, 0.998]), ends: [low, high], told: [least, most], kept: new Kept() };
  },

  /** Axes go outwards with the draws, and close in when the draws have come to rest in a small part of them. */
  windowFor(j) {
    const before = this.windows[j];
    const { theta, progress, settled } = this.state;
    // Draws on their way come from afar.
    if (before && progress < 1) return before;
    const { ends, priorEnds } = this.still[j];
    const given = [[ends, sharesOf(column(theta, this.dim, j), [0.005, 0.995])], priorEnds, this.data.integers[j]];
    const wide = windowOf(...given, before);
    if (!before || !settled || this.caught !== undefined) return wide;
    const close = windowOf(...given, null);
    return wide[1] - wide[0] > 2.5 * (close[1] - close[0]) ? close : wide;
  },

  /** The parameters of which most was learned: as many as can be told apart. */
  bestDetermined() {
    const sd = (rows, j) => {
      const values = column(rows, this.dim, j).sort();
      const [low, high] = quantilesOfSorted(values, [0.16, 0.84]);
      return high - low;
    };
    const most = this.pairs.clientWidth < 420 ? 3 : MOST_PAIRED;
    const learned = this.data.names.map((_, j) => sd(this.report, j) / sd(this.prior, j));
    const order = learned.map((_, j) => j).sort((a, b) => learned[a] - learned[b]);
    return order.slice(0, most).sort((a, b) => a - b);
  },

  tell(marks) {
    const { state, data } = this;
    const free = this.dim - Object.keys(this.held).length;
    const found = doubts(state, data, marks, free);
    this.root.classList.toggle("doubtful", found.some(({ grey }) => grey));
    const texts = found.map(({ text }) => text).join("|");
    if (texts !== this.told) {
      this.told = texts;
      this.warnings.replaceChildren(...found.map(({ text }) => make("li", {}, text)));
    }
    const mean = state.cost.reduce((sum, value) => sum + value, 0) / state.n;
    const effective = Math.round(Math.min(state.ess, state.n));
    const status = `${effective} effective draws of ${state.n}, mean cost ${shown(mean)}, beta ${shown(this.beta)}`;
    // Screen readers are told when things have come to rest.
    if (state.settled) this.status.textContent = `${status}.`;
    else this.status.firstChild ? (this.status.firstChild.data = `${status} …`) : this.status.append(`${status} …`);
    this.fillTable();
  },

  fillTable() {
    const rows = this.data.names.map((name, j) => {
      const own = quantilesOfSorted(column(this.state.theta, this.dim, j).sort(), [0.05, 0.5, 0.95]);
      return [...own, ...this.still[j].told].map((value) => shown(value, 4));
    });
    if (!this.table.children.length) {
      const line = (name) => make("tr", {}, make("th", { scope: "row" }, name), ...Array.from({ length: 5 }, () => make("td", { class: "number" })));
      this.table.append(...this.data.names.map(line));
    }
    rows.forEach((cells, j) =>
      cells.forEach((text, k) => {
        const cell = this.table.children[j].children[k + 1];
        if (cell.textContent !== text) cell.textContent = text;
      }),
    );
    const told = this.chosen.map((j) => `${this.data.names[j]} from ${rows[j][0]} to ${rows[j][2]}`).join(", ");
    this.pairs.setAttribute("aria-label", `Pairs of parameters. 90 % of the draws: ${told}. The table below has all.`);
    const [low, high] = quantilesOfSorted(this.state.cost.slice().sort(), [0.05, 0.95]);
    this.costs.setAttribute("aria-label", `Cost of the draws: 90 % from ${shown(low)} to ${shown(high)}.`);
  },

  /** Everything that is to be drawn of each value of the observation, in the units of the picture. */
  marks() {
    const { data, state } = this;
    const seen = (value, j) => (data.relative ? (value - this.centre[j]) / this.spread[j] : value);
    return Array.from(this.x, (value, j) => {
      const band = (name) => state?.band?.[name]?.[j]?.map((end) => seen(end, j)) ?? null;
      const [low, high] = [this.low?.[j] ?? -Infinity, this.high?.[j] ?? Infinity];
      return {
        j,
        name: data.output_names[j],
        at: data.axis[Math.floor(j / data.channels)],
        channel: j % data.channels,
        value: seen(value, j),
        original: seen(this.original[j], j),
        off: this.off.has(j),
        weight: this.weights[j],
        outside: value < low || value > high,
        low,
        high,
        centre: band("centre"),
        outputs: band("outputs"),
      };
    });
  },

  drawObservationNow(paint, marks) {
    const width = this.observed.clientWidth;
    const height = 240;
    const values = marks.flatMap((mark) => [mark.value, mark.original, ...(mark.outputs ?? mark.centre ?? [])]).filter(Number.isFinite);
    let [low, high] = [Math.min(...values), Math.max(...values)];
    const before = this.observationWindow;
    if (before && (this.caught !== undefined || (low >= before[0] && high <= before[1]))) [low, high] = before;
    else {
      const room = 0.12 * (high - low) || 1;
      [low, high] = [Math.min(low - room, before?.[0] ?? Infinity), Math.max(high + room, before?.[1] ?? -Infinity)];
    }
    this.observationWindow = [low, high];
    this.scale = new ObservationScale(width, height, this.data.axis, [low, high]);
    const { axis_label: label, channels } = this.data;
    const yLabel = this.data.relative ? "in simulated spreads" : this.data.y_label;
    drawObservation(this.observed, paint, this.scale, width, height, { points: marks, channels, label, yLabel, selected: this.selected });
    const missing = marks.filter((mark) => mark.off || !Number.isFinite(mark.value)).length;
    const told = `${marks.length} values, ${missing} of them left out. The controls below change them.`;
    this.observed.setAttribute("aria-label", `The observation: ${told}`);
  },

  /** Points are caught by mouse, pen or finger; a finger elsewhere scrolls the page. */
  catchPoints() {
    if (!this.able.takesAny) return;
    const canvas = this.observed;
    const at = (event) => {
      const box = canvas.getBoundingClientRect();
      const point = event.touches?.[0] ?? event;
      return [point.clientX - box.left, point.clientY - box.top];
    };
    const nearest = ([x, y]) => {
      let [best, least] = [undefined, NEAR];
      for (const mark of this.marks()) {
        const away = Math.hypot(this.scale.x(mark.at) - x, 0.6 * (this.scale.y(mark.value) - y));
        if (away < least) [best, least] = [mark.j, away];
      }
      return best;
    };
    canvas.addEventListener("touchstart", (event) => nearest(at(event)) !== undefined && event.preventDefault(), { passive: false });
    canvas.addEventListener("pointerdown", (event) => {
      this.caught = nearest(at(event));
      if (this.caught === undefined) return;
      canvas.setPointerCapture(event.pointerId);
      this.select(this.caught);
    });
    canvas.addEventListener("pointermove", (event) => {
      canvas.style.cursor = this.caught !== undefined || nearest(at(event)) !== undefined ? "ns-resize" : "default";
      if (this.caught === undefined) return;
      const j = this.caught;
      const seen = this.scale.valueAt(at(event)[1]);
      this.change(j, this.data.relative ? seen * this.spread[j] + this.centre[j] : seen);
      this.valueDial.set(this.x[j]);
    });
    for (const end of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(end, () => {
        if (this.caught !== undefined) this.select(this.caught);
        this.caught = undefined;
        this.drawSoon();
      });
    }
  },
});

/** Puts an explorer into an element. */
export function mount(root, data, workerSource) {
  root.explorer = new Page(root, data, workerSource);
  return root.explorer;
}
