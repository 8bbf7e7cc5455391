// The general form of a cost, with its embeddings of observations: costs/forms.py and learning/embeddings.py.
import { decoded, softplus } from "./numbers.js";
import { Linear, Network, Standardiser, turned } from "./regressions.js";

/** The general cost: scale (softplus(network) + mean of squares), by the mean of the members. */
export class GeneralForm {
  constructor(data) {
    this.members = data.members.map((member) => ({
      standardise: new Standardiser(member.standardise),
      embedding: new Embedding(member.embedding),
      network: new Network(member.network),
      squares: new Linear(member.squares),
      scale: member.scale,
    }));
    this.memberCount = this.members.length;
    this.takesAny = true;
    this.weighs = false;
    this.bandless = "A general network learns the distance itself, and not the outputs: no predictive band.";
  }

  embed(x, weights, trialDim) {
    return this.members.map((member) => member.embedding.of(x, trialDim));
  }

  prepare(inputs, n, width, member = null) {
    const chosen = member === null ? this.members.map((_, m) => m) : [member];
    const parts = {};
    for (const m of chosen) {
      const { standardise } = this.members[m];
      parts[m] = new Float64Array(n * standardise.width);
      for (let i = 0; i < n; i++) {
        standardise.into(inputs, i * width, parts[m].subarray(i * standardise.width, (i + 1) * standardise.width));
      }
    }
    return { n, chosen, parts };
  }

  values({ n, chosen, parts }, embedded) {
    const result = new Float64Array(n);
    for (const m of chosen) {
      const { standardise, embedding, network, squares, scale } = this.members[m];
      const dim = standardise.width;
      const target = embedded[m];
      const plain = new Float64Array((dim + target.length) * n);
      plain.set(turned(parts[m], n, dim));
      target.forEach((value, j) => plain.fill(value, (dim + j) * n, (dim + j + 1) * n));
      const seen = plain.slice();
      if (embedding.kind === "vector") {
        target.forEach((value, j) => seen.fill(Math.asinh(value), (dim + j) * n, (dim + j + 1) * n));
      }
      const logits = network.of(seen, n);
      const roots = squares.of(plain, n);
      for (let i = 0; i < n; i++) {
        let square = 0;
        for (let k = 0; k < squares.outSize; k++) square += roots[k * n + i] ** 2;
        result[i] += (scale * (softplus(logits[i]) + square / squares.outSize)) / chosen.length;
      }
    }
    return result;
  }
}

/** What a general network sees of an observation: a vector, a set of trials, or a time series. */
class Embedding {
  constructor(data) {
    this.kind = data.kind;
    this.standardise = new Standardiser(data.standardise);
    this.stretches = data.stretches;
    this.layers = (data.layers ?? []).map((layer) =>
      data.kind === "set" ? new Linear(layer) : { weight: decoded(layer.weight), bias: decoded(layer.bias) },
    );
  }

  of(x, trialDim) {
    if (this.kind === "vector") {
      const z = new Float64Array(x.length);
      this.standardise.into(x, 0, z);
      return z;
    }
    const rows = x.length / trialDim;
    const seen = new Float64Array(x.length);
    for (let i = 0; i < rows; i++) {
      this.standardise.into(x, i * trialDim, seen.subarray(i * trialDim, (i + 1) * trialDim));
    }
    for (let i = 0; i < seen.length; i++) seen[i] = Math.asinh(seen[i]);
    return this.kind === "set" ? this.ofSet(seen, rows, trialDim) : this.ofSeries(seen, rows, trialDim);
  }

  ofSet(seen, rows, dim) {
    const mean = new Float64Array(this.layers.at(-1).outSize);
    for (let i = 0; i < rows; i++) {
      let hidden = seen.subarray(i * dim, (i + 1) * dim);
      this.layers.forEach((layer, l) => {
        hidden = layer.of(l ? hidden.map(silu) : hidden, 1);
      });
      hidden.forEach((value, j) => (mean[j] += value / rows));
    }
    return mean;
  }

  /** Convolutions of width 5 that keep every second step; channels are rows. */
  ofSeries(seen, time, channels) {
    let hidden = Array.from({ length: channels }, (_, c) => Float64Array.from({ length: time }, (_, t) => seen[t * channels + c]));
    for (const { weight, bias } of this.layers) {
      const before = hidden[0].length;
      const after = Math.floor((before - 1) / 2) + 1;
      const inputs = hidden.length;
      hidden = Array.from(bias, (constant, out) => {
        const row = new Float64Array(after);
        for (let t = 0; t < after; t++) {
          let sum = constant;
          for (let c = 0; c < inputs; c++) {
            for (let k = 0; k < 5; k++) {
              const at = 2 * t + k - 2;
              if (at >= 0 && at < before) sum += weight[(out * inputs + c) * 5 + k] * hidden[c][at];
            }
          }
          row[t] = silu(sum);
        }
        return row;
      });
    }
    const length = hidden[0].length;
    const edges = Array.from({ length: this.stretches + 1 }, (_, i) => Math.floor((length / this.stretches) * i));
    edges[this.stretches] = length;
    const result = [];
    for (let s = 0; s < this.stretches; s++) {
      const [low, high] = [edges[s], Math.max(edges[s + 1], edges[s] + 1)];
      for (const row of hidden) {
        const part = row.subarray(low, high);
        result.push(part.reduce((sum, value) => sum + value, 0) / part.length);
      }
    }
    return Float64Array.from(result);
  }
}

function silu(value) {
  return value / (1 + Math.exp(-value));
}
