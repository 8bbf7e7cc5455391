// The posterior that is asked for: an observation, weights, beta and held values, and its log density at many draws.
import { overwrite, picked, taken } from "./cost.js";

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

/** Unconstrained rows, with what is known of them for each set of held values: prior and cost, whatever is observed. */
export class Rows {
  constructor(u, n, known = new Map()) {
    Object.assign(this, { u, n, known });
  }

  /** What is to be known of the rows with a target's held values in their places. */
  shared(target) {
    let shared = this.known.get(target.heldKey);
    if (!shared) {
      const rows = target.heldAt.length ? target.hold(this.u.slice(), this.n) : this.u;
      shared = { theta: target.prior.values(rows, this.n), logPrior: target.prior.logDensities(rows, this.n) };
      this.known.set(target.heldKey, shared);
    }
    if (!target.ofPrior) shared.prepared ??= target.cost.prepare(shared.theta, this.n);
    return shared;
  }

  /** Log densities and costs under a target. */
  under(target) {
    const { logPrior, prepared } = this.shared(target);
    if (target.ofPrior) return { log: logPrior.slice(), cost: new Float64Array(this.n) };
    const cost = target.cost.values(prepared, target.embedded);
    const factors = target.cost.logFactors(prepared);
    const log = logPrior.map((value, i) => {
      const whole = value + factors[i] - target.beta * cost[i];
      return Number.isNaN(whole) ? -Infinity : whole;
    });
    return { log, cost };
  }

  /** Some of the rows, in another order. */
  taken(places) {
    const pick = (values) => picked(values, values.length / this.n, places);
    const known = new Map();
    for (const [key, { theta, logPrior, prepared }] of this.known) {
      const own = { theta: pick(theta), logPrior: pick(logPrior) };
      if (prepared) own.prepared = taken(prepared, places);
      known.set(key, own);
    }
    return new Rows(pick(this.u), places.length, known);
  }

  /** Overwrites row i by a row of others, which know as much. */
  overwrite(i, others, from) {
    copyRow(this.u, i, others.u, from, this.u.length / this.n);
    for (const [key, own] of this.known) {
      const other = others.known.get(key);
      if (!other) {
        this.known.delete(key);
        continue;
      }
      copyRow(own.theta, i, other.theta, from, own.theta.length / this.n);
      own.logPrior[i] = other.logPrior[from];
      if (own.prepared && other.prepared) overwrite(own.prepared, i, other.prepared, from);
      else own.prepared = undefined;
    }
  }
}

function copyRow(to, i, rows, from, width) {
  for (let j = 0; j < width; j++) to[i * width + j] = rows[from * width + j];
}
