// The posterior that is asked for: an observation, weights, beta and held values, and its log density at many draws.

/** One Gibbs posterior, or the prior (beta 0, no probability of success). */
export class Target {
  constructor(cost, prior, { x, weights, growth, beta, held, ofPrior = false }) {
    this.cost = cost;
    this.prior = prior;
    this.beta = beta;
    this.ofPrior = ofPrior;
    this.held = held ?? {};
    this.heldKey = JSON.stringify(this.held);
    this.heldNames = Object.keys(this.held).join();
    this.embedded = ofPrior ? null : cost.embed(x, weights, growth);
    this.heldAt = Object.entries(this.held).map(([j, value]) => [
      Number(j),
      prior.coordinates[j].unconstrained(value),
    ]);
  }

  /** Writes the held values into unconstrained rows. */
  hold(u, n) {
    const { dim } = this.prior;
    for (const [j, value] of this.heldAt) for (let i = 0; i < n; i++) u[i * dim + j] = value;
    return u;
  }

  /** Whether a coordinate may move. */
  moves(j) {
    return this.held[j] === undefined;
  }
}

/** Log densities and costs of n unconstrained rows under several targets; what they share is computed once. */
export function evaluated(u, n, targets) {
  const known = new Map();
  return targets.map((target) => {
    let shared = known.get(target.heldKey);
    if (!shared) {
      const rows = target.heldAt.length ? target.hold(u.slice(), n) : u;
      const theta = target.prior.values(rows, n);
      shared = { theta, logPrior: target.prior.logDensities(rows, n), prepared: null };
      known.set(target.heldKey, shared);
    }
    if (target.ofPrior) return { log: shared.logPrior, cost: new Float64Array(n) };
    shared.prepared ??= target.cost.prepare(shared.theta, n);
    const cost = target.cost.values(shared.prepared, target.embedded);
    const factors = target.cost.logFactors(shared.prepared, n);
    const log = shared.logPrior.map((value, i) => {
      const whole = value + factors[i] - target.beta * cost[i];
      return Number.isNaN(whole) ? -Infinity : whole;
    });
    return { log, cost };
  });
}
