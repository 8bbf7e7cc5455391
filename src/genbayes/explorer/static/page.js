// The explorer's page: controls on one side, pictures on the other, and a web worker that does the sums.
import { decoded, quantilesOfSorted } from "./numbers.js";
import { Dial, checkbox, disable, make } from "./controls.js";
import { column } from "./columns.js";
import { SHAPES } from "./pictures.js";

// Factors from the report's beta to the ends of its slider.
const [BELOW, ABOVE] = [1 / 256, 16];

export class Page {
  constructor(root, data, workerSource) {
    this.root = root;
    this.data = data;
    this.dim = data.names.length;
    this.original = decoded(data.x_o);
    this.prior = decoded(data.prior_draws);
    this.report = decoded(data.draws);
    this.reportCosts = decoded(data.costs);
    this.low = data.low && decoded(data.low);
    this.high = data.high && decoded(data.high);
    this.centre = data.centre && decoded(data.centre);
    this.spread = data.spread && decoded(data.spread);
    this.state = null;
    this.number = 0;
    this.windows = [];
    this.selected = 0;
    this.reset();
    const url = URL.createObjectURL(new Blob([workerSource], { type: "text/javascript" }));
    this.worker = new Worker(url);
    this.worker.onmessage = ({ data: message }) => this.received(message);
    this.worker.onerror = (event) => this.fail(event.message);
    this.worker.postMessage({ type: "start", data: { ...data, messages: null } });
  }

  reset() {
    this.x = this.original.slice();
    this.weights = new Float64Array(this.x.length).fill(1);
    this.off = new Set();
    this.beta = this.data.beta;
    this.held = {};
    this.distance = 0;
  }

  received(message) {
    if (message.type === "ready") {
      this.able = message;
      this.build();
    } else if (message.type === "state") {
      this.state = { ...message, nats: message.nats === undefined ? (this.state?.nats ?? null) : message.nats };
      this.draw();
    } else if (message.type === "values") this.answered(message.values);
    else this.fail(message.message);
  }

  fail(text) {
    console.error(text);
    this.root.replaceChildren(make("p", { role: "alert" }, `The explorer has stopped: ${text}`));
  }

  /** Costs of parameters (n, dim) in rows for an observation, by the page's own programs. */
  evaluate(theta, x = null, more = {}) {
    this.worker.postMessage({ type: "evaluate", theta, x: x ?? Array.from(this.x), ...more });
    return new Promise((resolve) => (this.answered = resolve));
  }

  /** Tells the worker what is asked for now; many changes within one picture are one question. */
  ask() {
    this.asking = true;
    this.drawSoon();
  }

  /** Sends what is asked for, if anything is. */
  send() {
    if (!this.asking) return;
    this.asking = false;
    this.worker.postMessage({ type: "ask", wanted: this.wanted(++this.number) });
  }

  wanted(number) {
    const weights = this.weights.map((weight, j) => (this.off.has(j) ? 0 : weight));
    const growth = this.data.growths ? Array.from(decoded(this.data.growths[this.distance].growth)) : null;
    return { number, x: this.x, weights: this.able.weighs ? weights : null, growth, beta: this.beta, held: { ...this.held } };
  }

  /** Whether the draws are those of what is asked for, and as independent as they will be. */
  get atRest() {
    return Boolean(this.state?.settled && this.state.number === this.number && !this.asking);
  }

  build() {
    const { data } = this;
    this.pairs = make("canvas", { role: "img", class: "grey" });
    this.costs = make("canvas", { role: "img", class: "grey" });
    this.observed = make("canvas", { role: "img", class: "observed" });
    this.status = make("p", { class: "status", role: "status" });
    this.warnings = make("ul", { class: "doubts" });
    this.table = make("tbody");
    const heads = ["parameter", "5\u00a0%", "median", "95\u00a0%", "sampled 5\u00a0%", "sampled 95\u00a0%"];
    const head = make("thead", {}, make("tr", {}, ...heads.map((text) => make("th", { scope: "col" }, text))));
    // On a phone the posterior comes first, and what moves it right below.
    const main = make("div", { class: "main" }, this.status, this.warnings);
    main.append(make("div", {}, make("h3", {}, "Parameters"), this.legend(), this.pairs));
    const table = { class: "scroll", tabindex: 0, role: "region", "aria-label": "Quantiles of the parameters" };
    const more = make("div", { class: "more" }, make("div", table, make("table", {}, head, this.table)));
    more.append(make("div", {}, make("h3", {}, "Cost of the draws"), this.costs));
    this.root.replaceChildren(main, make("div", { class: "controls" }, ...this.controls().filter(Boolean)), more);
    this.watchSize();
    this.catchPoints();
  }

  legend() {
    const key = (name, text) => make("span", { class: `key ${name}` }, text);
    return make("p", { class: "keys" }, key("now", "now"), key("report", "as sampled"), key("prior", "prior"));
  }

  /** Which mark is which series, where there are several, each of a form of its own. */
  seriesKeys() {
    const names = this.data.channel_names;
    if (names.length < 2 || names.length > SHAPES.length) return null;
    return make("p", { class: "keys" }, ...names.map((name, c) => make("span", {}, `${SHAPES[c].sign} ${name}`)));
  }

  controls() {
    const { data } = this;
    this.betaDial = new Dial("beta", {
      low: data.beta * BELOW,
      high: data.beta * ABOVE,
      value: this.beta,
      logarithmic: true,
      changed: (value) => {
        this.beta = value;
        this.ask();
      },
    });
    const back = make("button", { type: "button", onclick: () => this.restore() }, "Back to the start");
    const fit = make("button", { type: "button", onclick: () => this.fit() }, "Fit the axes");
    return [
      make("h3", {}, "Inverse temperature beta"),
      this.betaDial.element,
      make("h3", {}, "Observation"),
      this.seriesKeys(),
      this.observed,
      ...this.valueControls(),
      ...this.distanceControls(),
      make("h3", {}, "Hold a parameter at a value"),
      ...data.names.map((name, j) => this.holdControl(name, j)),
      make("p", { class: "buttons" }, back, fit),
    ];
  }

  valueControls() {
    const { data, able } = this;
    if (!able.takesAny) return [make("p", { class: "muted" }, data.why_fixed)];
    this.which = make("select", { "aria-label": "which value of the observation", onchange: () => this.select(Number(this.which.value)) });
    this.which.append(...data.output_names.map((name, j) => make("option", { value: j }, name)));
    this.valueDial = new Dial("value", { low: 0, high: 1, value: 0, changed: (value) => this.change(this.selected, value) });
    this.observedBox = checkbox("observed", true, (checked) => this.toggle(this.selected, checked), "this value was observed");
    this.weight = make("input", { type: "number", min: 0, max: 100, step: 0.25, value: 1, "aria-label": "weight", onchange: () => this.weigh() });
    const rows = [make("p", { class: "row" }, this.which, this.valueDial.element)];
    if (able.weighs) {
      rows.push(make("p", { class: "row" }, this.observedBox.label, make("label", {}, "weight ", this.weight)));
    } else rows.push(make("p", { class: "muted" }, data.why_whole));
    if (able.bandless) rows.push(make("p", { class: "muted" }, able.bandless));
    const bands = able.means ? " Dark: mean outputs at the draws; light: single outputs" : " Bars and band: outputs at the draws";
    const text = `Drag a point, or choose a value and move it.${able.bandless ? "" : `${bands} (90 %).`}`;
    return [make("p", { class: "muted" }, text), ...rows];
  }

  distanceControls() {
    const { growths } = this.data;
    if (!growths || growths.length < 2) return [];
    const changed = () => {
      this.distance = Number(this.distances.value);
      this.ask();
    };
    this.distances = make("select", { "aria-label": "distance", onchange: changed });
    this.distances.append(...growths.map(({ name }, k) => make("option", { value: k }, name)));
    return [make("h3", {}, "Distance"), make("p", { class: "row" }, this.distances)];
  }

  holdControl(name, j) {
    const values = column(this.prior, this.dim, j).sort();
    const own = column(this.report, this.dim, j).sort();
    const [low, high] = quantilesOfSorted(values, [0.001, 0.999]);
    const whole = this.data.integers[j];
    const dial = new Dial(`value of ${name}`, {
      low,
      high,
      value: whole ? Math.round(own[own.length >> 1]) : own[own.length >> 1],
      whole,
      changed: (value) => {
        this.held[j] = this.withinPrior(j, value);
        dial.set(this.held[j]);
        this.ask();
      },
    });
    disable([dial.slider, dial.field], true);
    const { box, label } = checkbox(name, false, (checked) => this.hold(j, checked), `hold ${name}`);
    box.disabled = !this.data.holdable[j];
    (this.holds ??= [])[j] = { box, dial };
    return make("p", { class: "row hold" }, label, dial.element);
  }

  withinPrior(j, value) {
    const [low, high] = this.data.bounds[j].map((end) => (end === null ? null : end));
    const room = low !== null && high !== null ? 1e-6 * (high - low) : 0;
    return Math.min(Math.max(value, low === null ? -Infinity : low + room), high === null ? Infinity : high - room);
  }

  hold(j, checked) {
    const free = this.data.names.length - Object.keys(this.held).length;
    const { box, dial } = this.holds[j];
    if (checked && free < 2) {
      box.checked = false;
      return;
    }
    if (checked) this.held[j] = this.withinPrior(j, dial.value);
    else delete this.held[j];
    disable([dial.slider, dial.field], !checked);
    this.ask();
  }

  select(j) {
    this.selected = j;
    this.which.value = j;
    this.valueDial.range(...this.valueRange(j));
    this.valueDial.set(this.x[j]);
    this.observedBox.box.checked = !this.off.has(j) && Number.isFinite(this.x[j]);
    this.weight.value = this.weights[j];
    this.drawSoon();
  }

  valueRange(j) {
    const given = [this.low?.[j], this.high?.[j], this.original[j], this.x[j]].filter(Number.isFinite);
    const [low, high] = [Math.min(...given), Math.max(...given)];
    const room = 0.25 * (high - low) || Math.abs(high) || 1;
    const [least, most] = this.data.domain;
    return [Math.max(low - room, least ?? -Infinity), Math.min(high + room, most ?? Infinity)];
  }

  change(j, value) {
    const [least] = this.data.domain;
    this.x[j] = least === null ? value : Math.max(value, least);
    this.off.delete(j);
    this.observedBox.box.checked = true;
    this.ask();
  }

  toggle(j, observed) {
    const seen = Array.from(this.x).filter((value, i) => Number.isFinite(value) && !this.off.has(i)).length;
    if (observed && !Number.isFinite(this.x[j])) this.x[j] = this.centre?.[j] ?? 0;
    // Of nothing observed there is no posterior.
    if (!observed && seen < 2) this.observedBox.box.checked = true;
    else if (observed) this.off.delete(j);
    else this.off.add(j);
    this.valueDial.set(this.x[j]);
    this.ask();
  }

  weigh() {
    const value = this.weight.valueAsNumber;
    if (!(value > 0)) this.toggle(this.selected, false);
    else this.weights[this.selected] = value;
    this.weight.value = this.weights[this.selected];
    this.observedBox.box.checked = !this.off.has(this.selected);
    this.ask();
  }

  restore() {
    this.reset();
    this.betaDial.set(this.beta);
    this.holds.forEach(({ box, dial }) => {
      box.checked = false;
      disable([dial.slider, dial.field], true);
    });
    if (this.distances) this.distances.value = 0;
    if (this.which) this.select(this.selected);
    this.windows = [];
    this.observationWindow = null;
    this.ask();
  }

  fit() {
    this.windows = [];
    this.observationWindow = null;
    this.drawSoon();
  }
}
