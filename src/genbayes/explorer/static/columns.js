// Columns of draws: their values, densities and shares, and what of it is the same in every picture.
import { quantilesOfSorted } from "./numbers.js";

export function column(rows, dim, j) {
  const values = new Float64Array(rows.length / dim);
  for (let i = 0; i < values.length; i++) values[i] = rows[i * dim + j];
  return values;
}

/** Shares of the values in bins between two ends, smoothed; of whole numbers as they are. */
export function densities(values, [low, high], bins, smooth = true) {
  let counts = new Float64Array(bins);
  const [perUnit, each] = [bins / (high - low), 1 / values.length];
  for (let i = 0; i < values.length; i++) {
    const bin = Math.floor((values[i] - low) * perUnit);
    if (bin >= 0 && bin < bins) counts[bin] += each;
  }
  for (let time = 0; time < (smooth ? 3 : 0); time++) {
    counts = counts.map((count, i) => 0.5 * count + 0.25 * ((counts[i - 1] ?? count) + (counts[i + 1] ?? count)));
  }
  return counts;
}

/** The same shares from a distribution function, given at ascending values. */
export function densitiesOf({ values, below }, [low, high], bins) {
  const last = values.length - 1;
  let at = 0;
  const share = (value) => {
    while (at < last - 1 && values[at + 1] < value) at++;
    const part = (value - values[at]) / (values[at + 1] - values[at]);
    return below[at] + Math.min(Math.max(part, 0), 1) * (below[at + 1] - below[at]);
  };
  const edges = Float64Array.from({ length: bins + 1 }, (_, i) => share(low + (i * (high - low)) / bins));
  return edges.subarray(1).map((edge, i) => edge - edges[i]);
}

/** What is the same in every picture until the window changes. */
export class Kept {
  constructor() {
    this.known = {};
  }

  of(name, [low, high], make) {
    const known = this.known[name];
    if (known && known.low === low && known.high === high) return known.made;
    this.known[name] = { low, high, made: make() };
    return this.known[name].made;
  }
}

/** The values at some shares of numbers in any order. */
export function sharesOf(values, shares) {
  return quantilesOfSorted(Float64Array.from(values).sort(), shares);
}
