// The mean discrepancy of a residual with a normal error: distances/blurred.py and costs/error_of_values.py.
import { decoded, erf } from "./numbers.js";

// Standard deviations beyond which nothing of a normal distribution is left.
const BEYOND = 12;

/** The standard deviation of the error of each coordinate, by its own value. */
export class ErrorOfValues {
  constructor(data) {
    [this.at, this.sd, this.knots] = [decoded(data.at), decoded(data.sd), data.knots];
  }

  of(x, j) {
    const { at, sd, knots } = this;
    const [first, last] = [j * knots, (j + 1) * knots - 1];
    if (!(x > at[first])) return sd[first];
    if (!(x < at[last])) return sd[last];
    let [low, high] = [first, last];
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (at[middle] <= x) low = middle;
      else high = middle;
    }
    return sd[low] + ((x - at[low]) / (at[high] - at[low])) * (sd[high] - sd[low]);
  }
}

/** E[growth(residual + sd e)] with a standard normal e. */
export function blurred([square, knee, slope, cap], residual, sd) {
  const size = Math.abs(residual);
  if (!(sd > 1e-6 * size + 1e-30)) {
    const near = Math.min(size, knee);
    return square * near * near + (slope ? slope * (Math.min(size, cap) - near) : 0);
  }
  const most = size + BEYOND * sd;
  const [near, nearSquare] = momentsUpTo(Math.min(knee, most), size, sd);
  return square * nearSquare + (slope ? slope * (momentsUpTo(Math.min(cap, most), size, sd)[0] - near) : 0);
}

/** E[min(|X|, limit)] and E[min(|X|, limit)^2] of a normal X with a mean of at least 0. */
function momentsUpTo(limit, mean, sd) {
  const [low, middle, high] = [-limit - mean, -mean, limit - mean].map((away) => away / sd);
  const density = (z) => Math.exp((-z * z) / 2) / Math.sqrt(2 * Math.PI);
  const below = (z) => (1 + erf(z / Math.SQRT2)) / 2;
  const [atLow, atMiddle, atHigh] = [low, middle, high].map(density);
  const [toLow, toMiddle, toHigh] = [low, middle, high].map(below);
  const beyond = toLow + below(-high);
  const first = mean * (toHigh - 2 * toMiddle + toLow) + sd * (2 * atMiddle - atHigh - atLow);
  let second = (mean * mean + sd * sd) * (toHigh - toLow) + sd * sd * (low * atLow - high * atHigh);
  second += 2 * mean * sd * (atLow - atHigh);
  return [limit * beyond + first, limit * limit * beyond + second];
}
