// The features of an observation, by the feature map of its distance: distances/vectors.py and distances/sets.py.
import { decoded } from "./numbers.js";

/** Features of an observation in the frame, and what the distance holds of it beyond them. */
export class FeatureMap {
  constructor(data) {
    this.kind = data.kind;
    this.data = data;
    this.known = {};
    for (const name of ["factor", "matrix", "features", "landmarks", "whitening", "centre", "directions"]) {
      if (data[name]) this.known[name] = decoded(data[name]);
    }
  }

  /** Whether another observation than the report's has known features. */
  get takesAny() {
    return this.kind !== "fixed";
  }

  /** {features, rest}: rest is the self term less the squared length of the features. */
  of(x, trialDim) {
    const { features, selfTerm } = this[this.kind](x, trialDim);
    let square = 0;
    for (const value of features) square += value * value;
    return { features, rest: selfTerm === null ? 0 : selfTerm - square };
  }

  fixed() {
    return { features: this.known.features, selfTerm: this.data.self_term };
  }

  factors(x) {
    return { features: x.map((value, j) => value * this.known.factor[j]), selfTerm: null };
  }

  matrix(x) {
    const n = x.length;
    const features = new Float64Array(n);
    const { matrix } = this.known;
    for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) features[i] += matrix[i * n + j] * x[j];
    return { features, selfTerm: null };
  }

  mmd(x, dim) {
    const width = 2 * this.data.bandwidth ** 2;
    return this.byKernel(x, dim, (a, i, b, j) => Math.exp(-squared(a, i, b, j, dim) / width));
  }

  energy(x, dim) {
    const { centre } = this.known;
    const norm = (a, i) => Math.sqrt(squared(a, i, centre, 0, dim));
    return this.byKernel(
      x,
      dim,
      (a, i, b, j) => this.data.unit * (norm(a, i) + norm(b, j) - Math.sqrt(squared(a, i, b, j, dim))),
    );
  }

  byKernel(x, dim, kernel) {
    const trials = x.length / dim;
    const k = this.known.landmarks.length / dim;
    const means = new Float64Array(k);
    for (let l = 0; l < k; l++) {
      for (let i = 0; i < trials; i++) means[l] += kernel(this.known.landmarks, l, x, i) / trials;
    }
    const features = new Float64Array(k);
    for (let l = 0; l < k; l++) for (let m = 0; m < k; m++) features[l] += this.known.whitening[l * k + m] * means[m];
    let within = 0;
    for (let i = 0; i < trials; i++) {
      for (let j = 0; j < trials; j++) if (i !== j || !this.data.unbiased) within += kernel(x, i, x, j);
    }
    return { features, selfTerm: within / (this.data.unbiased ? trials * (trials - 1) : trials * trials) };
  }

  sorted(x, dim) {
    const trials = x.length / dim;
    const lines = this.known.directions.length / dim;
    const features = new Float64Array(trials * lines);
    const column = new Float64Array(trials);
    for (let l = 0; l < lines; l++) {
      for (let i = 0; i < trials; i++) {
        column[i] = 0;
        for (let j = 0; j < dim; j++) column[i] += x[i * dim + j] * this.known.directions[j * lines + l];
      }
      column.sort();
      for (let i = 0; i < trials; i++) {
        features[i * lines + l] = (this.data.unit * column[i]) / Math.sqrt(trials * lines);
      }
    }
    return { features, selfTerm: null };
  }
}

function squared(a, i, b, j, dim) {
  let sum = 0;
  for (let d = 0; d < dim; d++) sum += (a[i * dim + d] - b[j * dim + d]) ** 2;
  return sum;
}
