// Standardised parameters, polynomials, networks and their sums: learning/*.py in double precision.
import { decoded, erf } from "./numbers.js";

/** z(theta): logarithms, mean 0 and standard deviation 1, and the indicators of integers and steps behind them. */
export class Standardiser {
  constructor(data) {
    this.mean = decoded(data.mean);
    this.std = decoded(data.std);
    this.logarithmic = decoded(data.logarithmic);
    this.dim = this.mean.length;
    const indicators = data.indicators;
    this.indicators = indicators && {
      low: decoded(indicators.low),
      high: decoded(indicators.high),
      mean: decoded(indicators.mean),
      std: decoded(indicators.std),
      column: indicators.column,
    };
    this.width = this.dim + (indicators ? indicators.column.length : 0);
  }

  /** Writes z of the inputs that begin at `from` into `z`. */
  into(inputs, from, z) {
    for (let j = 0; j < this.dim; j++) {
      const value = inputs[from + j];
      const seen = this.logarithmic[j] > 0 ? Math.log(Math.max(value, 1e-37)) : value;
      z[j] = (seen - this.mean[j]) / this.std[j];
    }
    if (!this.indicators) return;
    const { low, high, mean, std, column } = this.indicators;
    for (let i = 0; i < column.length; i++) {
      const value = inputs[from + column[i]];
      z[this.dim + i] = ((value > low[i] && value < high[i] ? 1 : 0) - mean[i]) / std[i];
    }
  }
}

/** The coordinates of z, and products of Legendre polynomials of them. */
export class Polynomial {
  constructor(data, width) {
    this.centre = decoded(data.centre);
    this.halfWidth = decoded(data.half_width);
    this.bent = decoded(data.bent);
    this.products = data.products;
    this.width = width;
    this.size = width + this.products.length;
    this.degrees = 2;
    for (const factors of this.products) {
      for (let i = 1; i < factors.length; i += 2) this.degrees = Math.max(this.degrees, factors[i] + 1);
    }
    this.legendre = new Float64Array(width * this.degrees);
  }

  into(z, features) {
    const { width, degrees, legendre, products } = this;
    for (let j = 0; j < width; j++) features[j] = z[j];
    if (!products.length) return;
    for (let j = 0; j < width; j++) {
      const straight = Math.min(Math.max((z[j] - this.centre[j]) / this.halfWidth[j], -1), 1);
      const u = this.bent[j] > 0 ? erf(z[j] / Math.SQRT2) : straight;
      const at = j * degrees;
      legendre[at] = 1;
      legendre[at + 1] = u;
      for (let k = 1; k + 1 < degrees; k++) {
        legendre[at + k + 1] = ((2 * k + 1) * u * legendre[at + k] - k * legendre[at + k - 1]) / (k + 1);
      }
    }
    for (let f = 0; f < products.length; f++) {
      const factors = products[f];
      let product = 1;
      for (let i = 0; i < factors.length; i += 2) product *= legendre[factors[i] * degrees + factors[i + 1]];
      features[width + f] = product;
    }
  }
}

/** weight @ value + bias. */
export class Linear {
  constructor(data) {
    this.weight = decoded(data.weight);
    this.bias = decoded(data.bias);
    this.outSize = this.bias.length;
    this.inSize = this.weight.length / this.outSize;
  }

  into(value, result) {
    const { weight, bias, inSize, outSize } = this;
    for (let o = 0, w = 0; o < outSize; o++) {
      let sum = bias[o];
      for (let i = 0; i < inSize; i++, w++) sum += weight[w] * value[i];
      result[o] = sum;
    }
  }
}

/** Residual blocks of SiLU and ReLU units. */
export class Network {
  constructor(data) {
    this.first = new Linear(data.first);
    this.blocks = data.blocks.map(([inner, outer]) => [new Linear(inner), new Linear(outer)]);
    this.last = new Linear(data.last);
    this.smooth = data.smooth;
    this.hidden = new Float64Array(this.first.outSize);
    this.between = new Float64Array(this.first.outSize);
    this.added = new Float64Array(this.first.outSize);
  }

  units(values, result) {
    for (let i = 0; i < values.length; i++) {
      const value = values[i];
      result[i] = i < this.smooth ? value / (1 + Math.exp(-value)) : Math.max(value, 0);
    }
  }

  into(value, result) {
    const { hidden, between, added } = this;
    this.first.into(value, hidden);
    for (const [inner, outer] of this.blocks) {
      this.units(hidden, between);
      inner.into(between, added);
      this.units(added, between);
      outer.into(between, added);
      for (let i = 0; i < hidden.length; i++) hidden[i] += added[i];
    }
    this.units(hidden, between);
    this.last.into(between, result);
  }
}

/** intercept + slopes . basis(z) + mean over members of scale * network(z), with log links. */
export class Regression {
  constructor(data) {
    this.standardise = new Standardiser(data.standardise);
    this.basis = new Polynomial(data.basis, this.standardise.width);
    this.intercept = decoded(data.intercept);
    this.slopes = decoded(data.slopes);
    this.outputs = this.intercept.length;
    this.networks = (data.networks ?? []).map(({ network, scale }) => ({
      network: new Network(network),
      scale: decoded(scale),
    }));
    this.logLink = data.log_link ? decoded(data.log_link) : null;
    this.logMost = data.log_link ? decoded(data.log_most) : null;
    this.members = data.members
      ? { intercept: decoded(data.members.intercept), slopes: decoded(data.members.slopes) }
      : null;
    this.z = new Float64Array(this.standardise.width);
    this.features = new Float64Array(this.basis.size);
    this.fromNetwork = new Float64Array(this.outputs);
  }

  /** Number of members whose own predictions are known. */
  get memberCount() {
    return this.members ? this.members.intercept.length / this.outputs : 0;
  }

  linear(intercept, slopes, at, result, from) {
    const { features, outputs } = this;
    const size = features.length;
    for (let k = 0, s = at * outputs * size; k < outputs; k++) {
      let sum = intercept[at * outputs + k];
      for (let f = 0; f < size; f++, s++) sum += slopes[s] * features[f];
      result[from + k] = sum;
    }
  }

  linked(result, from) {
    if (!this.logLink) return;
    for (let k = 0; k < this.outputs; k++) {
      if (this.logLink[k] > 0) result[from + k] = Math.exp(Math.min(result[from + k], this.logMost[k]));
    }
  }

  prepare(inputs, from) {
    this.standardise.into(inputs, from, this.z);
    this.basis.into(this.z, this.features);
  }

  /** The mixed prediction for the inputs that begin at `from`, into `result` from `to` on. */
  into(inputs, from, result, to) {
    this.prepare(inputs, from);
    this.linear(this.intercept, this.slopes, 0, result, to);
    for (const { network, scale } of this.networks) {
      network.into(this.z, this.fromNetwork);
      for (let k = 0; k < this.outputs; k++) {
        result[to + k] += (scale[k] * this.fromNetwork[k]) / this.networks.length;
      }
    }
    this.linked(result, to);
  }

  /** The same of one member. */
  memberInto(member, inputs, from, result, to) {
    this.prepare(inputs, from);
    this.linear(this.members.intercept, this.members.slopes, member, result, to);
    if (this.networks.length) {
      const { network, scale } = this.networks[member];
      network.into(this.z, this.fromNetwork);
      for (let k = 0; k < this.outputs; k++) result[to + k] += scale[k] * this.fromNetwork[k];
    }
    this.linked(result, to);
  }
}
