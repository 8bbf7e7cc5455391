// The distribution of every output coordinate as a mixture of logistic ones: learning/distributions.py.
import { blurred, ErrorOfValues } from "./blurred.js";
import { decoded } from "./numbers.js";
import { meanOf } from "./processes.js";
import { Network, Regression, turned } from "./regressions.js";

/** The mean over coordinates of E[growth((x_j - y_j) / scale_j) | theta]: any additive distance. */
export class MarginalForm {
  constructor(data) {
    this.members = data.members.map((member) => new Mixture(member));
    this.scale = decoded(data.scale);
    this.weights = decoded(data.weights);
    this.growth = decoded(data.growth);
    this.error = data.error ? new ErrorOfValues(data.error) : null;
    this.rule = {
      nodes: decoded(data.nodes),
      weights: decoded(data.node_weights),
      dilogarithm: decoded(data.dilogarithm),
    };
    this.memberCount = this.members.length;
    this.takesAny = true;
    this.weighs = true;
    this.bandless = null;
  }

  /** Ready for an observation; growth is [square, knee, slope, cap], the distance's own where it is not given. */
  embed(x, weights, trialDim, growth = null) {
    const [square, knee, slope, cap] = growth ?? this.growth;
    const seen = weights.reduce((sum, weight) => sum + (weight > 0 ? 1 : 0), 0);
    const atKnee = slope - 2 * square * (Number.isFinite(knee) ? knee : 0);
    const places = [-cap, -knee, knee, cap];
    const slopes = [-slope, atKnee, atKnee, -slope];
    const curvatures = [0, 2 * square, -2 * square, 0];
    const targets = Array.from(x, (y, j) => (weights[j] > 0 ? y : 0));
    return {
      y: targets,
      weight: Array.from(weights, (weight, j) => (weight * this.weights[j]) / seen),
      growth: [square, knee, slope, cap],
      kinks: this.members.map((mixture) =>
        targets.map((y, j) => mixture.kinksOf(j, y, this.scale[j], places, slopes, curvatures, this.error)),
      ),
    };
  }

  prepare(inputs, n, width, member = null) {
    const chosen = member === null ? this.members.map((_, m) => m) : [member];
    const parts = {};
    for (const m of chosen) {
      for (const [name, rows] of Object.entries(this.members[m].components(inputs, n, width))) parts[name + m] = rows;
    }
    return { n, chosen, parts };
  }

  values(prepared, embedded) {
    const { n, chosen } = prepared;
    const result = new Float64Array(n);
    chosen.forEach((m) => {
      const mixture = this.members[m];
      const components = componentsOf(prepared, m);
      for (let i = 0; i < n; i++) {
        let sum = 0;
        for (let j = 0; j < this.scale.length; j++) {
          if (!(embedded.weight[j] > 0)) continue;
          const value = mixture.expectation(components, i, j, embedded, embedded.kinks[m][j], this.scale[j], this.rule, this.error);
          // The mean of a discrepancy is not negative, whatever an approximation says.
          sum += embedded.weight[j] * Math.max(value, 0);
        }
        result[i] += sum / chosen.length;
      }
    });
    return result;
  }

  /** One output of each of n inputs in the frame, by random numbers that stay the same from picture to picture. */
  sample(prepared, random) {
    const k = this.scale.length;
    const result = new Float64Array(prepared.n * k);
    for (let i = 0; i < prepared.n; i++) {
      const m = prepared.chosen[i % prepared.chosen.length];
      const components = componentsOf(prepared, m);
      for (let j = 0; j < k; j++) {
        const x = this.members[m].sample(components, i, j, random);
        result[i * k + j] = this.error ? x + this.error.of(x, j) * random.normal() : x;
      }
    }
    return result;
  }
}

function componentsOf({ parts }, m) {
  return { weight: parts[`weight${m}`], mean: parts[`mean${m}`], scale: parts[`scale${m}`] };
}

class Mixture {
  constructor(data) {
    const transform = data.transform;
    for (const name of ["centre", "width", "unit", "low", "high"]) this[name] = decoded(transform[name]);
    this.location = meanOf(data.location.mean);
    this.isTransformed = data.location.transformed;
    this.residual = decoded(data.residual);
    this.spread = data.spread && new Regression(data.spread);
    this.floor = decoded(data.floor);
    this.network = new Network(data.network);
    this.coordinates = this.residual.length;
    this.count = this.network.last.outSize / this.coordinates / 3;
  }

  /** Weights, means and scales of all components, of coordinate j of input i from (i coordinates + j) count on. */
  components(inputs, n, width) {
    const { coordinates, count, residual, floor } = this;
    const size = coordinates * count;
    const [weight, mean, scale] = [0, 1, 2].map(() => new Float64Array(n * size));
    const z = this.location.standardised(inputs, n, width);
    const locations = this.location.rows(inputs, n, width, null, z);
    if (this.isTransformed) for (let at = 0; at < locations.length; at++) locations[at] = this.transformed(locations[at], at % coordinates);
    const spreads = this.spread && this.spread.rows(inputs, n, width, null, z);
    const all = turned(this.network.of(z, n), 3 * size, n);
    for (let i = 0; i < n; i++) {
      const raw = all.subarray(i * 3 * size, (i + 1) * 3 * size);
      const location = locations.subarray(i * coordinates, (i + 1) * coordinates);
      for (let j = 0; j < coordinates; j++) {
        const from = j * 3 * count;
        const to = i * size + j * count;
        const spread = residual[j] * (spreads ? spreads[i * coordinates + j] : 1);
        let most = -Infinity;
        for (let c = 0; c < count; c++) most = Math.max(most, raw[from + c]);
        let total = 0;
        for (let c = 0; c < count; c++) total += weight[to + c] = Math.exp(raw[from + c] - most);
        for (let c = 0; c < count; c++) {
          const start = count > 1 ? -1 + (2 * c) / (count - 1) : -1;
          weight[to + c] /= total;
          mean[to + c] = location[j] + spread * (raw[from + count + c] + start);
          scale[to + c] = spread * Math.exp(Math.min(raw[from + 2 * count + c] - 1, 10)) + floor[j];
        }
      }
    }
    return { weight, mean, scale };
  }

  transformed(x, j) {
    return (this.width[j] / this.unit[j]) * Math.asinh((x - this.centre[j]) / this.width[j]);
  }

  inverse(t, j) {
    const [width, unit] = [this.width[j], this.unit[j]];
    let away = unit * t;
    if (!(width > 100 * unit)) {
      const e = Math.exp(Math.min(Math.max((t * unit) / width, -40), 40));
      away = (width * (e - 1 / e)) / 2;
    }
    return Math.min(Math.max(this.centre[j] + away, this.low[j]), this.high[j]);
  }

  /** Where the distance to y has kinks, in transformed units, with the jumps of slope and curvature there. */
  kinksOf(j, y, scale, places, slopes, curvatures, error = null) {
    const [centre, width, unit] = [this.centre[j], this.width[j], this.unit[j]];
    const at = places.map((place) => y + scale * place);
    const inside = at.map((place) => place > this.low[j] && place < this.high[j]);
    const stretch = (x) => unit * Math.sqrt(1 + ((x - centre) / width) ** 2);
    const kinks = [];
    at.forEach((place, k) => {
      if (!inside[k] || !inside[3 - k]) return;
      const slope = (slopes[k] / scale) * stretch(place);
      const curvature = (curvatures[k] / scale / scale) * stretch(y) ** 2;
      if (slope === 0 && curvature === 0) return;
      const blur = error ? error.of(place, j) / stretch(place) : 0;
      kinks.push({ at: (width / unit) * Math.asinh((place - centre) / width), slope, curvature, blur });
    });
    return { kinks, turn: unit / width };
  }

  expectation(components, i, j, embedded, { kinks, turn }, scale, rule, error = null) {
    const { count } = this;
    const [square, knee, slope, cap] = embedded.growth;
    const target = embedded.y[j] / scale;
    const from = (i * this.coordinates + j) * count;
    let sum = 0;
    for (let c = from; c < from + count; c++) {
      const [mean, width] = [components.mean[c], components.scale[c]];
      let each = 0;
      for (let q = 0; q < rule.nodes.length; q++) {
        const x = this.inverse(mean + width * rule.nodes[q], j);
        if (error) {
          each += rule.weights[q] * blurred(embedded.growth, x / scale - target, error.of(x, j) / scale);
          continue;
        }
        const size = Math.abs(x / scale - target);
        const near = Math.min(size, knee);
        each += rule.weights[q] * (square * near * near + (slope ? slope * (Math.min(size, cap) - near) : 0));
      }
      if (kinks.length) {
        const damped = 1 / (1 + (width * turn) ** 4);
        for (const kink of kinks) {
          // An error rounds kinks off: learning/distributions.py.
          const rounded = Math.exp(-((kink.blur / (0.1 * width)) ** 2) / 2);
          each += damped * rounded * missed(kink, mean, width, rule);
        }
      }
      sum += components.weight[c] * each;
    }
    return sum;
  }

  sample(components, i, j, random) {
    const from = (i * this.coordinates + j) * this.count;
    const [which, where] = [random.uniform(), Math.min(Math.max(random.uniform(), 1e-9), 1 - 1e-9)];
    let c = from;
    let left = which - components.weight[c];
    while (left > 0 && c + 1 < from + this.count) left -= components.weight[++c];
    return this.inverse(components.mean[c] + components.scale[c] * Math.log(where / (1 - where)), j);
  }
}

/** What the nodes of a component miss of slope (t - at)_+ + curvature (t - at)_+^2 / 2: learning/logistic_rule.py. */
function missed({ at, slope, curvature }, mean, width, rule) {
  const z = Math.min(Math.max((at - mean) / width, -15), 15);
  let [p, pz, pzz] = [0, 0, 0];
  for (let q = 0; q < rule.nodes.length; q++) {
    if (!(rule.nodes[q] > z)) continue;
    p += rule.weights[q];
    pz += rule.weights[q] * rule.nodes[q];
    pzz += rule.weights[q] * rule.nodes[q] ** 2;
  }
  const u = Math.exp(-Math.abs(z));
  const fromSlope = Math.log1p(u) + Math.max(-z, 0) - (pz - z * p);
  let near = 0;
  for (let k = rule.dilogarithm.length - 1; k >= 0; k--) near = near * u + rule.dilogarithm[k];
  const whole = z < 0 ? Math.PI ** 2 / 6 + (z * z) / 2 - near : near;
  const fromCurvature = whole - (pzz - 2 * z * pz + z * z * p) / 2;
  return slope * width * fromSlope + curvature * width * width * fromCurvature;
}
