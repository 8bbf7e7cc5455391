// The density of the prior in unconstrained coordinates u, one for each parameter: priors/*.py.
import { decoded } from "./numbers.js";

// Log densities up to a constant, by the settings in the order of explorer/priors.py.
const FAMILIES = {
  uniform: () => 0,
  normal: (x, loc, scale) => -0.5 * ((x - loc) / scale) ** 2,
  log_normal: (x, loc, scale) => -Math.log(x) - 0.5 * ((Math.log(x) - loc) / scale) ** 2,
  laplace: (x, loc, scale) => -Math.abs(x - loc) / scale,
  cauchy: (x, loc, scale) => -Math.log1p(((x - loc) / scale) ** 2),
  logistic: (x, loc, scale) => -Math.abs((x - loc) / scale) - 2 * Math.log1p(Math.exp(-Math.abs((x - loc) / scale))),
  student_t: (x, df, loc, scale) => -0.5 * (df + 1) * Math.log1p(((x - loc) / scale) ** 2 / df),
  gamma: (x, shape, rate) => (shape - 1) * Math.log(x) - rate * x,
  inverse_gamma: (x, shape, rate) => -(shape + 1) * Math.log(x) - rate / x,
  beta: (x, a, b) => (a - 1) * Math.log(x) + (b - 1) * Math.log1p(-x),
  log_uniform: (x) => -Math.log(x),
};

/** One scalar parameter of real numbers: its family, and the map from the reals to its support. */
class RealCoordinate {
  constructor(data, i) {
    this.family = FAMILIES[data.family];
    this.settings = data.settings.map((values) => decoded(values)[i]);
    [this.low, this.high] = decoded(data.bounds).subarray(2 * i, 2 * i + 2);
    this.integer = false;
    this.below = Number.isFinite(this.high);
    this.above = Number.isFinite(this.low);
  }

  value(u) {
    if (this.above && this.below) return this.low + (this.high - this.low) / (1 + Math.exp(-u));
    if (this.above) return this.low + Math.exp(u);
    return this.below ? this.high - Math.exp(u) : u;
  }

  unconstrained(x) {
    if (this.above && this.below) {
      const share = Math.min(Math.max((x - this.low) / (this.high - this.low), 1e-12), 1 - 1e-12);
      return Math.log(share / (1 - share));
    }
    if (this.above) return Math.log(Math.max(x - this.low, 1e-300));
    return this.below ? Math.log(Math.max(this.high - x, 1e-300)) : x;
  }

  logDensity(u) {
    const density = this.family(this.value(u), ...this.settings);
    // The logarithm of the slope of value(u), up to a constant.
    if (this.above && this.below) return density - Math.abs(u) - 2 * Math.log1p(Math.exp(-Math.abs(u)));
    return this.above || this.below ? density + u : density;
  }
}

/** One parameter of whole numbers: u is standard normal, and the value is the step that it stands on. */
class IntegerCoordinate {
  constructor(data, i) {
    this.first = data.low;
    this.edges = decoded(data.edges[i]);
    this.middles = decoded(data.middles[i]);
    [this.low, this.high] = decoded(data.bounds).subarray(2 * i, 2 * i + 2);
    this.integer = true;
  }

  value(u) {
    let place = 0;
    while (place < this.edges.length && u > this.edges[place]) place++;
    return Math.min(Math.max(place + this.first, this.low), this.high);
  }

  unconstrained(x) {
    return this.middles[Math.round(x - this.first)];
  }

  logDensity(u) {
    return -0.5 * u * u;
  }
}

/** Coordinates of a multivariate normal, which are their own unconstrained ones. */
class NormalCoordinate {
  constructor() {
    this.low = -Infinity;
    this.high = Infinity;
    this.integer = false;
  }

  value(u) {
    return u;
  }

  unconstrained(x) {
    return x;
  }

  logDensity() {
    return 0;
  }
}

export class Prior {
  constructor(data) {
    this.coordinates = [];
    this.joint = [];
    for (const parameter of data) {
      if (parameter.family === "multivariate_normal") {
        this.joint.push({ from: parameter.at[0], loc: decoded(parameter.loc), whitening: decoded(parameter.whitening) });
      }
      parameter.at.forEach((_, i) => {
        if (parameter.family === "integer") this.coordinates.push(new IntegerCoordinate(parameter, i));
        else if (parameter.family === "multivariate_normal") this.coordinates.push(new NormalCoordinate());
        else this.coordinates.push(new RealCoordinate(parameter, i));
      });
    }
    this.dim = this.coordinates.length;
  }

  /** Parameters (n, dim) of unconstrained rows. */
  values(u, n) {
    return Float64Array.from({ length: n * this.dim }, (_, at) => this.coordinates[at % this.dim].value(u[at]));
  }

  unconstrained(theta, n) {
    return Float64Array.from({ length: n * this.dim }, (_, at) => this.coordinates[at % this.dim].unconstrained(theta[at]));
  }

  /** Log density of each of n unconstrained rows, up to a constant; -Infinity where it is not defined. */
  logDensities(u, n) {
    const result = new Float64Array(n);
    for (let i = 0; i < n; i++) {
      for (let j = 0; j < this.dim; j++) result[i] += this.coordinates[j].logDensity(u[i * this.dim + j]);
      for (const { from, loc, whitening } of this.joint) {
        const k = loc.length;
        for (let a = 0; a < k; a++) {
          let along = 0;
          for (let b = 0; b <= a; b++) along += whitening[a * k + b] * (u[i * this.dim + from + b] - loc[b]);
          result[i] -= 0.5 * along * along;
        }
      }
      if (Number.isNaN(result[i])) result[i] = -Infinity;
    }
    return result;
  }
}
