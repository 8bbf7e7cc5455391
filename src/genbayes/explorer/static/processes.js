// Means as Gaussian processes and as sums of two: learning/process_means.py, warps.py and corrected_mean.py in double
// precision.
import { decoded } from "./numbers.js";
import { Regression, Standardiser, turned } from "./regressions.js";

const [STRAIGHT, ROOT] = [0, 1];

/** The mean regression of a cost, whatever its kind. */
export function meanOf(data) {
  if (data.kind === "sum") return new SumOfMeans(data);
  return data.kind === "process" ? new Process(data) : new Regression(data);
}

/** What many runs of a cheap simulator say, and its correction by few runs of a dear one. */
class SumOfMeans {
  constructor(data) {
    this.terms = [meanOf(data.base), meanOf(data.correction)];
    this.outputs = this.terms[0].outputs;
    this.memberCount = Math.min(...this.terms.map((term) => term.memberCount));
  }

  /** Predictions of n inputs, one row behind the other: of all members together, or of one. */
  rows(inputs, n, width, member = null) {
    const [base, correction] = this.terms.map((term) => term.rows(inputs, n, width, member));
    return base.map((value, at) => value + correction[at]);
  }
}

/** Outputs of `warps` at middle + axes (intercept + slopes z + sum over centres of weights times a bump). */
class Process {
  constructor(data) {
    this.standardise = new Standardiser(data.standardise);
    for (const name of ["centres", "lengths", "intercept", "slopes", "weights", "middle", "axes"]) {
      this[name] = decoded(data[name]);
    }
    for (const name of ["kinds", "added", "level", "least", "most"]) this[name] = decoded(data.warps[name]);
    this.outputs = this.middle.length;
    this.directions = this.intercept.length;
    this.members = Object.fromEntries(["intercept", "slopes", "weights"].map((n) => [n, decoded(data.members[n])]));
    this.memberCount = this.members.intercept.length / this.directions;
  }

  /** z of n inputs, feature by feature. */
  standardised(inputs, n, width) {
    const size = this.standardise.width;
    const z = new Float64Array(n * size);
    for (let i = 0; i < n; i++) this.standardise.into(inputs, i * width, z.subarray(i * size, (i + 1) * size));
    return turned(z, n, size);
  }

  /** Predictions of n inputs, one row behind the other: of all members together, or of one. */
  rows(inputs, n, width, member = null, z = this.standardised(inputs, n, width)) {
    const size = this.standardise.width;
    const result = new Float64Array(n * this.outputs);
    const own = new Float64Array(size);
    for (let i = 0; i < n; i++) {
      for (let j = 0; j < size; j++) own[j] = z[j * n + i];
      this.unwarped(this.latent(own, member), result, i * this.outputs);
    }
    return result;
  }

  latent(z, member) {
    const { directions: r, centres, lengths } = this;
    const { intercept, slopes, weights } = member === null ? this : this.members;
    const size = z.length;
    const count = centres.length / size;
    const [line, bumps] = [(member ?? 0) * r, (member ?? 0) * count * r];
    const latent = Float64Array.from(intercept.subarray(line, line + r));
    for (let k = 0; k < r; k++) for (let j = 0; j < size; j++) latent[k] += slopes[(line + k) * size + j] * z[j];
    for (let c = 0; c < count; c++) {
      let square = 0;
      for (let j = 0; j < size; j++) square += (z[j] / lengths[j] - centres[c * size + j]) ** 2;
      const near = Math.exp(-square / 2);
      for (let k = 0; k < r; k++) latent[k] += near * weights[bumps + c * r + k];
    }
    return latent;
  }

  unwarped(latent, result, to) {
    const { outputs, directions: r, kinds, level } = this;
    for (let k = 0; k < outputs; k++) {
      let warped = this.middle[k];
      for (let j = 0; j < r; j++) warped += this.axes[k * r + j] * latent[j];
      if (kinds[k] === STRAIGHT) {
        result[to + k] = warped;
        continue;
      }
      const g = Math.min(Math.max(warped, this.least[k]), this.most[k]);
      const value = level[k] + level[outputs + k] * g + level[2 * outputs + k] * g * g;
      const curved = kinds[k] === ROOT ? Math.max(value, 0) : Math.exp(Math.min(value, 80));
      result[to + k] = curved - this.added[k];
    }
  }
}
