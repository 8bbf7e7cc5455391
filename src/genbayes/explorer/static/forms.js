// The features form of a cost: costs/forms.py. It prepares once what parameters say, and then takes any observation.
import { decoded } from "./numbers.js";
import { FeatureMap } from "./features.js";
import { meanOf } from "./processes.js";
import { Polynomial, Regression, Standardiser } from "./regressions.js";

/** What is to be known of the shares that each coordinate has in the spread, of one parameter. */
class SpreadShares {
  constructor(data) {
    this.standardise = new Standardiser(data.standardise);
    this.basis = new Polynomial(data.basis, this.standardise.width);
    this.intercept = decoded(data.intercept);
    this.slopes = decoded(data.slopes);
    this.z = new Float64Array(this.standardise.width);
    this.features = new Float64Array(this.basis.size);
  }

  into(inputs, from, result, to) {
    this.standardise.into(inputs, from, this.z);
    this.basis.into(this.z, this.features);
    const size = this.features.length;
    for (let k = 0, s = 0; k < this.intercept.length; k++) {
      let sum = this.intercept[k];
      for (let f = 0; f < size; f++, s++) sum += this.slopes[s] * this.features[f];
      result[to + k] = sum;
    }
  }

  /** Sums of coefficients, each coordinate times a factor: the share of many coordinates is one polynomial. */
  summed(factors) {
    const size = this.features.length;
    const sums = new Float64Array(size + 1);
    factors.forEach((factor, k) => {
      sums[size] += factor * this.intercept[k];
      for (let f = 0; f < size; f++) sums[f] += factor * this.slopes[k * size + f];
    });
    return sums;
  }

  /** features of many inputs, one row behind the other. */
  featuresOf(inputs, n, width) {
    const size = this.features.length;
    const rows = new Float64Array(n * size);
    for (let i = 0; i < n; i++) {
      this.standardise.into(inputs, i * width, this.z);
      this.basis.into(this.z, this.features);
      rows.set(this.features, i * size);
    }
    return rows;
  }
}

/** The spread of features by their means: level (mean + added)^power factor(theta). */
class NoiseOnScales {
  constructor(data) {
    this.level = decoded(data.level);
    this.added = decoded(data.added);
    this.power = decoded(data.power);
    this.members = decoded(data.members);
    this.factor = new Regression(data.factor);
    this.outputs = this.level.length;
  }

  /** The spreads of n inputs with their means. */
  around(means, inputs, n, width, member) {
    const k = this.outputs;
    const level = member === null ? this.level : this.members.subarray(member * k, (member + 1) * k);
    const factors = this.factor.rows(inputs, n, width, member);
    const spreads = new Float64Array(n * k);
    for (let i = 0; i < n; i++) {
      for (let j = 0; j < k; j++) {
        const value = Math.max(means[i * k + j] + this.added[j], 0);
        spreads[i * k + j] = factors[i] * level[j] * value ** this.power[j];
      }
    }
    return spreads;
  }
}

/** A spread that does not ask for the means. */
class RegressedSpread {
  constructor(data) {
    this.regression = new Regression(data);
    this.outputs = this.regression.outputs;
  }

  around(means, inputs, n, width, member) {
    return this.regression.rows(inputs, n, width, member);
  }
}

/** The spread of a cheap simulator and what is to be added for a dear one: one number. */
class CorrectedSpread {
  constructor(data) {
    this.base = spreadOf(data.base);
    this.correction = new Regression(data.correction);
    this.outputs = 1;
  }

  around(means, inputs, n, width, member) {
    const parts = this.base.around(means, inputs, n, width, member);
    const count = this.base.outputs;
    return this.correction
      .rows(inputs, n, width, member)
      .map((added, i) => parts.subarray(i * count, (i + 1) * count).reduce((sum, part) => sum + part, added));
  }
}

function spreadOf(data) {
  if (data.kind === "noise on scales") return new NoiseOnScales(data);
  return data.kind === "corrected spread" ? new CorrectedSpread(data) : new RegressedSpread(data);
}

const LEAST_SUM = 0.1;

/** ||g(theta) - features(x_o)||^2 + v(theta) + rest. */
export class FeaturesForm {
  constructor(data) {
    this.map = new FeatureMap(data.distance);
    this.mean = meanOf(data.mean);
    this.spread = spreadOf(data.spread);
    this.leastSpread = data.least_spread;
    this.directions = data.directions && {
      centre: decoded(data.directions.centre),
      axes: decoded(data.directions.axes),
    };
    this.shares = data.shares && new SpreadShares(data.shares);
    this.spreadOfEach = !this.directions && this.spread.outputs === this.mean.outputs;
    this.memberCount = this.mean.memberCount;
    this.takesAny = this.map.takesAny;
  }

  /** Whether single coordinates can be left out or weighted. */
  get weighs() {
    return this.map.kind === "factors" && (this.shares !== null || this.spreadOfEach);
  }

  embed(x, weights, trialDim) {
    const plain = weights.every((weight) => weight === 1);
    if (!plain) return this.embedWeighted(x, weights);
    const { features, rest } = this.map.of(x, trialDim);
    if (!this.directions) return { target: features, rest, plain };
    const { target, across } = this.along(features);
    return { target, rest: rest + across, plain };
  }

  along(features) {
    const { centre, axes } = this.directions;
    const r = axes.length / centre.length;
    const target = new Float64Array(r);
    let square = 0;
    features.forEach((value, k) => {
      const away = value - centre[k];
      square += away * away;
      for (let a = 0; a < r; a++) target[a] += away * axes[k * r + a];
    });
    return { target, across: square - target.reduce((sum, value) => sum + value * value, 0) };
  }

  /** Sums over coordinates, each times its weight and the number of coordinates over that of those observed. */
  embedWeighted(x, weights) {
    const seen = weights.reduce((sum, weight) => sum + (weight > 0 ? 1 : 0), 0);
    const factors = weights.map((weight) => (weight * weights.length) / seen);
    const features = this.map.of(x.map((value, j) => (weights[j] > 0 ? value : 0)), 1).features;
    const most = Math.max(1, ...weights);
    const share = this.spreadOfEach ? null : this.shares.summed(weights);
    const whole = this.spreadOfEach ? null : this.shares.summed(weights.map(() => 1));
    const embedded = { plain: false, factors, share, whole, most, factor: weights.length / seen, rest: 0 };
    if (!this.directions) return { ...embedded, target: features };
    // sum_k f_k (c_k + (A u)_k - y_k)^2 as a square in u.
    const { centre, axes } = this.directions;
    const r = axes.length / centre.length;
    const gram = new Float64Array(r * r);
    const line = new Float64Array(r);
    let constant = 0;
    factors.forEach((factor, k) => {
      const away = features[k] - centre[k];
      constant += factor * away * away;
      for (let a = 0; a < r; a++) {
        line[a] += factor * axes[k * r + a] * away;
        for (let b = 0; b < r; b++) gram[a * r + b] += factor * axes[k * r + a] * axes[k * r + b];
      }
    });
    return { ...embedded, gram, line, constant };
  }

  /** Mean features and spread of n inputs; by one member where it is given. */
  prepare(inputs, n, width, member = null) {
    const means = this.mean.rows(inputs, n, width, member);
    const spreads = this.spread.around(means, inputs, n, width, member);
    return { n, parts: { means, spreads, inputs } };
  }

  values(prepared, embedded) {
    const { n } = prepared;
    const { means, spreads } = prepared.parts;
    const shareFeatures = embedded.plain || this.spreadOfEach ? null : this.shareFeatures(prepared);
    const [r, parts] = [this.mean.outputs, this.spread.outputs];
    const result = new Float64Array(n);
    for (let i = 0; i < n; i++) {
      let spread = 0;
      for (let p = 0; p < parts; p++) spread += spreads[i * parts + p];
      result[i] = embedded.rest;
      if (embedded.plain) {
        for (let k = 0; k < r; k++) result[i] += (means[i * r + k] - embedded.target[k]) ** 2;
        result[i] += Math.max(spread, this.leastSpread);
      } else {
        result[i] += this.weightedSquare(means, i * r, r, embedded);
        result[i] += this.weightedSpread(spreads, shareFeatures, i, spread, embedded);
      }
    }
    return result;
  }

  weightedSquare(means, from, r, embedded) {
    let sum = 0;
    if (!this.directions) {
      for (let k = 0; k < r; k++) sum += embedded.factors[k] * (means[from + k] - embedded.target[k]) ** 2;
      return sum;
    }
    sum = embedded.constant;
    for (let a = 0; a < r; a++) {
      let row = -2 * embedded.line[a];
      for (let b = 0; b < r; b++) row += embedded.gram[a * r + b] * means[from + b];
      sum += row * means[from + a];
    }
    return sum;
  }

  shareFeatures({ n, parts }) {
    return this.shares.featuresOf(parts.inputs, n, parts.inputs.length / n);
  }

  weightedSpread(spreads, shareFeatures, i, spread, embedded) {
    if (this.spreadOfEach) {
      const parts = this.spread.outputs;
      let sum = 0;
      for (let p = 0; p < parts; p++) sum += embedded.factors[p] * spreads[i * parts + p];
      return sum;
    }
    const size = embedded.share.length - 1;
    let [part, whole] = [embedded.share[size], embedded.whole[size]];
    for (let f = 0; f < size; f++) {
      part += embedded.share[f] * shareFeatures[i * size + f];
      whole += embedded.whole[f] * shareFeatures[i * size + f];
    }
    const share = Math.min(Math.max(part / Math.max(whole, LEAST_SUM), 0), embedded.most);
    return embedded.factor * Math.max(spread, this.leastSpread) * share;
  }

  /** Why there is no predictive band, or null. */
  get bandless() {
    if (this.map.kind === "factors" || this.map.kind === "matrix") return null;
    return "Of this distance the cost holds features of outputs, and not the outputs themselves: no predictive band.";
  }

  /** Mean outputs of n inputs in the frame, and their standard deviations where these are known (else null). */
  outputs(prepared) {
    const { n, parts } = prepared;
    const { means, spreads, inputs } = parts;
    const width = inputs.length / n;
    const r = this.mean.outputs;
    const k = this.directions ? this.directions.centre.length : r;
    const features = new Float64Array(n * k);
    for (let i = 0; i < n; i++) {
      for (let j = 0; j < k; j++) {
        let value = this.directions ? this.directions.centre[j] : means[i * r + j];
        if (this.directions) for (let a = 0; a < r; a++) value += this.directions.axes[j * r + a] * means[i * r + a];
        features[i * k + j] = value;
      }
    }
    if (this.map.kind === "matrix") return { mean: this.unwhitened(features, n, k), sd: null };
    const { factor } = this.map.known;
    const mean = features.map((value, at) => value / factor[at % k]);
    if (!this.weighs) return { mean, sd: null };
    const sd = new Float64Array(n * k);
    const shares = new Float64Array(k);
    for (let i = 0; i < n; i++) {
      if (this.spreadOfEach) {
        for (let j = 0; j < k; j++) sd[i * k + j] = Math.sqrt(Math.max(spreads[i * k + j], 0)) / factor[j];
        continue;
      }
      this.shares.into(inputs, i * width, shares, 0);
      const sum = Math.max(shares.reduce((total, share) => total + share, 0), LEAST_SUM);
      const spread = Math.max(spreads[i], this.leastSpread);
      for (let j = 0; j < k; j++) sd[i * k + j] = Math.sqrt(Math.max((spread * shares[j]) / sum, 0)) / factor[j];
    }
    return { mean, sd };
  }

  /** Features of a Mahalanobis distance are L^-1 x with L^-1 lower triangular. */
  unwhitened(features, n, k) {
    const { matrix } = this.map.known;
    const mean = new Float64Array(n * k);
    for (let i = 0; i < n; i++) {
      for (let j = 0; j < k; j++) {
        let left = features[i * k + j];
        for (let m = 0; m < j; m++) left -= matrix[j * k + m] * mean[i * k + m];
        mean[i * k + j] = left / matrix[j * k + j];
      }
    }
    return mean;
  }
}
