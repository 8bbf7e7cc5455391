// The cost of any observation at any parameters: costs/cost.py, from the numbers that the exporter wrote.
import { decoded, sigmoid, softplus } from "./numbers.js";
import { FeaturesForm } from "./forms.js";
import { GeneralForm } from "./general.js";
import { MarginalForm } from "./marginal.js";
import { Regression } from "./regressions.js";

const FORMS = { features: FeaturesForm, marginal: MarginalForm, general: GeneralForm };
const TRANSFORMS = {
  none: [(x) => x, (t) => t],
  log1p: [Math.log1p, Math.expm1],
  sqrt: [Math.sqrt, (t) => Math.max(t, 0) ** 2],
  asinh: [Math.asinh, Math.sinh],
};

export class Cost {
  constructor(data) {
    this.form = new FORMS[data.form.form](data.form);
    this.location = decoded(data.location);
    this.unit = decoded(data.unit);
    [this.transform, this.inverse] = TRANSFORMS[data.transform ?? "none"];
    this.order = data.order;
    this.conditions = decoded(data.conditions);
    this.success = data.success && new Regression(data.success);
    this.penalty = data.penalty;
    this.trialDim = data.trial_dim;
    this.isSet = data.is_set;
  }

  /** A number of an output as networks read it: single precision, as in Python. */
  framed(value, j) {
    return Math.fround((this.transform(value) - this.location[j % this.location.length]) / this.unit[j % this.unit.length]);
  }

  unframed(value, j) {
    return this.inverse(value * this.unit[j % this.unit.length] + this.location[j % this.location.length]);
  }

  /** What the form needs of an observation in data units; NaN and weight 0 both leave a value out. */
  embed(x, weights = null, growth = null) {
    let given = Array.from(x);
    if (this.isSet) given = withoutMissingTrials(given, this.trialDim);
    const own = given.map((value, j) => (Number.isNaN(value) ? 0 : weights && !this.isSet ? weights[j] : 1));
    const seen = given.map((value, j) => (Number.isNaN(value) ? 0 : this.framed(value, j)));
    return this.form.embed(Float64Array.from(seen), Float64Array.from(own), this.trialDim, growth);
  }

  /** Parameters (n, dim) with known conditions, in the order in which the networks take them. */
  inputs(theta, n) {
    const dim = theta.length / n;
    const width = this.order.length;
    const rows = new Float64Array(n * width);
    for (let i = 0; i < n; i++) {
      this.order.forEach((from, to) => {
        // Networks see parameters in single precision.
        rows[i * width + to] = from < dim ? Math.fround(theta[i * dim + from]) : this.conditions[from - dim];
      });
    }
    return rows;
  }

  /** What parameters (n, dim) say, whatever was observed: rows of numbers, and the log odds of success. */
  prepare(theta, n, member = null) {
    const inputs = this.inputs(theta, n);
    const width = this.order.length;
    const prepared = this.form.prepare(inputs, n, width, member);
    if (this.success) prepared.parts.logit = this.success.rows(inputs, n, width);
    return prepared;
  }

  /** The cost of every prepared parameter. */
  values(prepared, embedded) {
    const values = this.form.values(prepared, embedded);
    const { logit } = prepared.parts;
    if (this.penalty === null || !logit) return values;
    return values.map((value, i) => sigmoid(logit[i]) * value + sigmoid(-logit[i]) * this.penalty);
  }

  /** Log of what the prior is multiplied by: the probability of success, unless failing runs count as a distance. */
  logFactors({ n, parts }) {
    if (this.penalty !== null || !parts.logit) return new Float64Array(n);
    return parts.logit.map((logit) => -softplus(-logit));
  }
}

function withoutMissingTrials(x, dim) {
  return x.filter((_, i) => !x.slice(Math.floor(i / dim) * dim, (Math.floor(i / dim) + 1) * dim).some(Number.isNaN));
}

/** Some of the prepared parameters, in another order. */
export function taken({ n, chosen, parts }, places) {
  const some = {};
  for (const name in parts) some[name] = picked(parts[name], parts[name].length / n, places);
  return { n: places.length, chosen, parts: some };
}

/** Rows of some width at these places. */
export function picked(rows, width, places) {
  const some = new Float64Array(places.length * width);
  for (let i = 0, to = 0; i < places.length; i++) {
    for (let from = places[i] * width, end = from + width; from < end; from++, to++) some[to] = rows[from];
  }
  return some;
}

/** Overwrites one prepared parameter by another. */
export function overwrite(prepared, i, other, from) {
  for (const name in prepared.parts) {
    const [to, rows] = [prepared.parts[name], other.parts[name]];
    const width = to.length / prepared.n;
    for (let j = 0; j < width; j++) to[i * width + j] = rows[from * width + j];
  }
}
