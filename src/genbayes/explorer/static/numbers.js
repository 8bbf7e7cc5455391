// Arrays as the exporter writes them, random numbers, and functions that JavaScript lacks.

/** A typed array from base64 text: {single: ...} or {double: ...}. All arithmetic is in double precision. */
export function decoded(array) {
  const bytes = Uint8Array.from(atob(array.single ?? array.double), (c) => c.charCodeAt(0));
  return array.single === undefined ? new Float64Array(bytes.buffer) : Float64Array.from(new Float32Array(bytes.buffer));
}

/** Random numbers that depend on the seed alone (mulberry32; normal ones by Box and Muller). */
export class Random {
  constructor(seed) {
    this.state = seed >>> 0;
    this.spare = null;
  }

  /** Uniform in [0, 1). */
  uniform() {
    this.state = (this.state + 0x6d2b79f5) >>> 0;
    let t = this.state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  }

  /** A whole number below n. */
  below(n) {
    return Math.floor(this.uniform() * n);
  }

  /** Standard normal. */
  normal() {
    if (this.spare !== null) {
      const spare = this.spare;
      this.spare = null;
      return spare;
    }
    const radius = Math.sqrt(-2 * Math.log(1 - this.uniform()));
    const angle = 2 * Math.PI * this.uniform();
    this.spare = radius * Math.sin(angle);
    return radius * Math.cos(angle);
  }
}

// erf on a grid with its known slope in between (cubic Hermite interpolation): the error is below 1e-10.
const STEP = 1 / 128;
const ERF = (() => {
  const table = new Float64Array(6 * 128 + 2);
  // Each piece by the three-point rule of Gauss, which is exact to 1e-16 on pieces of this length.
  const density = (x) => (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x);
  for (let i = 1; i < table.length; i++) {
    const middle = (i - 0.5) * STEP;
    const away = (Math.sqrt(0.6) * STEP) / 2;
    table[i] = table[i - 1] + (STEP / 18) * (5 * density(middle - away) + 8 * density(middle) + 5 * density(middle + away));
  }
  return table;
})();

/** The error function. */
export function erf(x) {
  const size = Math.abs(x);
  if (!(size < 6)) return Number.isNaN(x) ? NaN : Math.sign(x);
  const i = Math.floor(size / STEP);
  const t = size / STEP - i;
  const slope = 2 / Math.sqrt(Math.PI) * STEP;
  const before = slope * Math.exp(-((i * STEP) ** 2));
  const after = slope * Math.exp(-(((i + 1) * STEP) ** 2));
  const value =
    (1 + 2 * t) * (1 - t) ** 2 * ERF[i] + t * (1 - t) ** 2 * before + t * t * (3 - 2 * t) * ERF[i + 1] + t * t * (t - 1) * after;
  return Math.sign(x) * value;
}

export function sigmoid(x) {
  return x >= 0 ? 1 / (1 + Math.exp(-x)) : Math.exp(x) / (1 + Math.exp(x));
}

export function softplus(x) {
  return Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
}

/** The values at some shares of ascending numbers, between neighbours by a line. */
export function quantilesOfSorted(sorted, shares) {
  return shares.map((share) => {
    const at = share * (sorted.length - 1);
    const low = Math.floor(at);
    const high = Math.min(low + 1, sorted.length - 1);
    return sorted[low] + (at - low) * (sorted[high] - sorted[low]);
  });
}
