// Standardised parameters, polynomials, networks and their sums: learning/*.py in double precision.
import { kernel } from "./kernel.js";
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
      for (let i = 0; i < factors.length; i += 2) {
        const [j, degree] = [factors[i], factors[i + 1]];
        product *= degree < 0 ? z[j] : legendre[j * degrees + degree];
      }
      features[width + f] = product;
    }
  }
}

/**
 * weight @ values + bias of n values at once. Values stand feature by feature, all n of one behind the other, so that
 * eight sums at a time stay in registers.
 */
function affine(weight, bias, values, inSize, n) {
  const outSize = bias.length;
  const result = new Float64Array(outSize * n);
  const whole = n - (n % 4);
  for (let o = 0; o < outSize; o += 2) {
    const second = o + 1 < outSize ? o + 1 : o;
    const [row, other] = [o * inSize, second * inSize];
    for (let p = 0; p < whole; p += 4) {
      let a0 = bias[o];
      let [a1, a2, a3] = [a0, a0, a0];
      let b0 = bias[second];
      let [b1, b2, b3] = [b0, b0, b0];
      for (let i = 0, at = p; i < inSize; i++, at += n) {
        const v = weight[row + i];
        const w = weight[other + i];
        const x0 = values[at];
        const x1 = values[at + 1];
        const x2 = values[at + 2];
        const x3 = values[at + 3];
        a0 += v * x0;
        a1 += v * x1;
        a2 += v * x2;
        a3 += v * x3;
        b0 += w * x0;
        b1 += w * x1;
        b2 += w * x2;
        b3 += w * x3;
      }
      const [to, next] = [o * n + p, second * n + p];
      result[to] = a0;
      result[to + 1] = a1;
      result[to + 2] = a2;
      result[to + 3] = a3;
      result[next] = b0;
      result[next + 1] = b1;
      result[next + 2] = b2;
      result[next + 3] = b3;
    }
    for (let p = whole; p < n; p++) {
      for (const line of [o, second]) {
        let sum = bias[line];
        for (let i = 0; i < inSize; i++) sum += weight[line * inSize + i] * values[i * n + p];
        result[line * n + p] = sum;
      }
    }
  }
  return result;
}

/** Rows one behind the other as columns one behind the other, and back again with n and width exchanged. */
export function turned(rows, n, width) {
  const result = new Float64Array(n * width);
  for (let i = 0; i < n; i++) for (let j = 0; j < width; j++) result[j * n + i] = rows[i * width + j];
  return result;
}

/** weight @ value + bias, of values that stand feature by feature. */
export class Linear {
  constructor(data) {
    this.weight = decoded(data.weight);
    this.bias = decoded(data.bias);
    this.outSize = this.bias.length;
    this.inSize = this.weight.length / this.outSize;
  }

  of(values, n) {
    return affine(this.weight, this.bias, values, this.inSize, n);
  }
}

/** Residual blocks of SiLU and ReLU units. */
export class Network {
  constructor(data) {
    this.first = new Linear(data.first);
    this.blocks = data.blocks.map(([inner, outer]) => [new Linear(inner), new Linear(outer)]);
    this.last = new Linear(data.last);
    this.smooth = data.smooth;
    this.quick = null;
  }

  /** The layers in the memory of the quick kernel. */
  layers(of) {
    const layer = (linear) => of.layer(linear);
    const blocks = this.blocks.map((pair) => pair.map(layer));
    return { first: layer(this.first), blocks, last: layer(this.last), smooth: this.smooth };
  }

  units(values, n) {
    const result = new Float64Array(values.length);
    const smooth = this.smooth * n;
    for (let i = 0; i < smooth; i++) result[i] = values[i] / (1 + Math.exp(-values[i]));
    for (let i = smooth; i < values.length; i++) result[i] = values[i] > 0 ? values[i] : 0;
    return result;
  }

  /** Outputs of n values, feature by feature. */
  of(values, n) {
    if (kernel.now) {
      this.quick ??= this.layers(kernel.now);
      return kernel.now.network(this.quick, values, n);
    }
    const hidden = this.first.of(values, n);
    for (const [inner, outer] of this.blocks) {
      const added = outer.of(this.units(inner.of(this.units(hidden, n), n), n), n);
      for (let i = 0; i < hidden.length; i++) hidden[i] += added[i];
    }
    return this.last.of(this.units(hidden, n), n);
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
  }

  /** Number of members whose own predictions are known. */
  get memberCount() {
    return this.members ? this.members.intercept.length / this.outputs : 0;
  }

  /** z of n inputs, feature by feature. */
  standardised(inputs, n, width) {
    const z = new Float64Array(n * this.standardise.width);
    for (let i = 0; i < n; i++) {
      this.standardise.into(inputs, i * width, z.subarray(i * this.standardise.width, (i + 1) * this.standardise.width));
    }
    return turned(z, n, this.standardise.width);
  }

  /** Predictions of n inputs, one row behind the other: of all members together, or of one. */
  rows(inputs, n, width, member = null, z = this.standardised(inputs, n, width)) {
    const { outputs, basis } = this;
    const own = new Float64Array(this.standardise.width);
    const features = new Float64Array(n * basis.size);
    for (let i = 0; i < n; i++) {
      for (let j = 0; j < own.length; j++) own[j] = z[j * n + i];
      basis.into(own, features.subarray(i * basis.size, (i + 1) * basis.size));
    }
    const of = member === null ? this : this.members;
    const at = (member ?? 0) * outputs;
    const result = affine(
      of.slopes.subarray(at * basis.size, (at + outputs) * basis.size),
      of.intercept.subarray(at, at + outputs),
      turned(features, n, basis.size),
      basis.size,
      n,
    );
    const networks = member === null || !this.networks.length ? this.networks : [this.networks[member]];
    for (const { network, scale } of networks) {
      const added = network.of(z, n);
      for (let k = 0, to = 0; k < outputs; k++) {
        const factor = scale[k] / networks.length;
        for (let i = 0; i < n; i++, to++) result[to] += factor * added[to];
      }
    }
    if (this.logLink) {
      for (let k = 0; k < outputs; k++) {
        if (!(this.logLink[k] > 0)) continue;
        for (let to = k * n; to < (k + 1) * n; to++) result[to] = Math.exp(Math.min(result[to], this.logMost[k]));
      }
    }
    return turned(result, outputs, n);
  }
}
