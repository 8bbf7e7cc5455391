// Weights, resampling and effective sample sizes of populations of draws.

/** Effective sample size of weights exp(log weight), and the weights themselves with sum 1. */
export function weighted(logWeights) {
  let top = -Infinity;
  for (const value of logWeights) if (value > top) top = value;
  if (top === -Infinity) return { ess: 0, weights: null };
  const weights = new Float64Array(logWeights.length);
  let sum = 0;
  logWeights.forEach((value, i) => (sum += weights[i] = Number.isNaN(value) ? 0 : Math.exp(value - top)));
  let squares = 0;
  weights.forEach((weight, i) => (squares += (weights[i] = weight / sum) ** 2));
  return { ess: 1 / squares, weights };
}

/** Systematic resampling: how often each draw is taken, as the numbers of those taken. */
export function resampled(weights, n, random) {
  const chosen = new Int32Array(n);
  const start = random.uniform();
  let [reached, i] = [weights[0], 0];
  for (let k = 0; k < n; k++) {
    const at = (k + start) / n;
    while (reached < at && i + 1 < weights.length) reached += weights[++i];
    chosen[k] = i;
  }
  return chosen;
}

/**
 * Effective sample size of draws (n, dim) of which some descend from the same draw of an earlier target.
 *
 * Let F families have n_f members, and let members of one have correlation r. The variance of the mean is that of n
 * draws times 1 + r (sum n_f^2 / n - 1). The correlation is estimated by the analysis of variance between families, and
 * the largest of the given columns counts: 1 just after resampling, 0 when moves have made members forget each other.
 */
export function familySize(rows, n, dim, columns, family) {
  const places = new Map();
  for (let i = 0; i < n; i++) {
    const place = places.get(family[i]);
    if (place) place.push(i);
    else places.set(family[i], [i]);
  }
  const groups = [...places.values()];
  let squares = 0;
  for (const group of groups) squares += group.length ** 2;
  if (groups.length === n) return n;
  if (groups.length < 2) return 1;
  const usual = (n - squares / n) / (groups.length - 1);
  let most = 0;
  for (const j of columns) {
    let mean = 0;
    for (let i = 0; i < n; i++) mean += rows[i * dim + j] / n;
    let [between, within] = [0, 0];
    for (const group of groups) {
      let own = 0;
      for (const i of group) own += rows[i * dim + j] / group.length;
      between += group.length * (own - mean) ** 2;
      for (const i of group) within += (rows[i * dim + j] - own) ** 2;
    }
    if (!(between + within > 0)) continue;
    between /= groups.length - 1;
    within /= n - groups.length;
    most = Math.max(most, (between - within) / (between + (usual - 1) * within));
  }
  return n / (1 + Math.min(most, 1) * (squares / n - 1));
}
