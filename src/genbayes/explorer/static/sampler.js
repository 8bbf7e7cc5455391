// Draws that follow the posterior asked for: reweighted from what is stored, then moved (tempered sequential Monte Carlo).
import { Random } from "./numbers.js";
import { familySize, resampled, weighted } from "./populations.js";
import { Rows, Target } from "./targets.js";

// Share of effective draws below which one step of reweighting is divided.
const LEAST_SHARE = 0.5;
// Share from which on draws count as independent, and sweeps after which no more are made.
const SETTLED = 0.9;
const MOST_SWEEPS = 400;
// The smallest step that is tried.
const LEAST_STEP = 1e-9;
// Sweeps after which draws that were no independent ones count as such.
const ENOUGH_SWEEPS = 50;
// Sweeps of moves in a stage on the way to the target.
const SWEEPS_ON_THE_WAY = 3;

export class Sampler {
  /**
   * @param cost, prior: what was exported.
   * @param first: what the report is about, {x, weights, beta, held}.
   * @param priorDraws, draws: parameters (n, dim) of the prior and of the report's posterior.
   * @param effective: effective sample size of the report's draws.
   * @param n: size of a population.
   */
  constructor(cost, prior, first, priorDraws, draws, effective, n, seed = 1) {
    this.cost = cost;
    this.prior = prior;
    this.n = n;
    this.random = new Random(seed);
    this.scale = 1;
    this.first = first;
    const ofPrior = new Target(cost, prior, { beta: 0, ofPrior: true, held: {} });
    this.ofPrior = this.population(ofPrior, prior.unconstrained(priorDraws, priorDraws.length / prior.dim));
    const known = this.population(new Target(cost, prior, first), prior.unconstrained(draws, draws.length / prior.dim));
    known.share = Math.min(known.share, effective / n, 1);
    this.rungs = [known];
    this.target = known.target;
    this.copy(known);
  }

  /** Another sampler with the same rungs, which goes its own way. */
  twin() {
    const twin = Object.create(Sampler.prototype);
    Object.assign(twin, this, { random: new Random(1000003) });
    twin.copy(this.rungs[0]);
    return twin;
  }

  /** Draws under a target, as many as a population has, spread evenly over those given. */
  population(target, u) {
    const given = u.length / this.prior.dim;
    const places = Array.from({ length: this.n }, (_, i) => Math.floor((i * given) / this.n));
    const rows = new Rows(u, given).taken(places);
    return { target, rows, ...rows.under(target), share: Math.min(1, given / this.n) };
  }

  /** Goes on from a population, which itself stays as it is. */
  copy({ target, rows, log, cost, share }) {
    const everyone = Int32Array.from({ length: this.n }, (_, i) => i);
    this.current = { target, rows: rows.taken(everyone), log: log.slice(), cost: cost.slice() };
    this.family = everyone;
    this.start = target;
    this.progress = 1;
    this.sweeps = 0;
    this.share = share;
    this.ess = share * this.n;
    this.acceptance = NaN;
  }

  /** Asks for another posterior; `advance` then goes there. */
  ask(wanted) {
    const target = new Target(this.cost, this.prior, wanted);
    this.settleFamilies();
    const candidates = [this.onTheWay()];
    const ofCurrent = candidates[0] && this.promise(candidates[0], target);
    let best = ofCurrent;
    if (!best || best.ess < LEAST_SHARE * this.n) {
      for (const candidate of [...this.nearestRungs(target.beta), this.heldPrior(target)]) {
        const found = this.promise(candidate, target);
        if (found && (!best || found.ess > best.ess)) best = found;
      }
    }
    if (best !== ofCurrent) this.copy(best.population);
    this.target = target;
    this.start = this.current.target;
    this.progress = 0;
    this.sweeps = 0;
  }

  /** Draws between two targets belong to neither: they can only go on from where they are when they have arrived. */
  onTheWay() {
    return this.progress === 1 ? { ...this.current, share: this.ess / this.n } : null;
  }

  /** Families are forgotten when most draws are independent; what is missing then has to be made up for by moves. */
  settleFamilies() {
    if (this.progress < 1 || this.ess < LEAST_SHARE * this.n) return;
    this.family = Int32Array.from({ length: this.n }, (_, i) => i);
    this.share = this.ess / this.n;
  }

  /** How many of a population's draws would be left under a target; null where it holds other parameters. */
  promise(population, target) {
    if (population.target.heldNames !== target.heldNames) return null;
    const { log } = population.rows.under(target);
    const { ess } = weighted(log.map((value, i) => value - population.log[i]));
    return { population, ess: ess * population.share };
  }

  nearestRungs(beta) {
    const away = (rung) => Math.abs(Math.log(rung.target.beta / beta));
    return [...this.rungs].sort((a, b) => away(a) - away(b)).slice(0, 2);
  }

  /** Draws of the prior with the held values in their places: the other parameters are independent of these. */
  heldPrior(target) {
    if (!target.heldAt.length) return this.ofPrior;
    const held = new Target(this.cost, this.prior, { beta: 0, ofPrior: true, held: target.held });
    return this.population(held, held.hold(this.ofPrior.rows.u.slice(), this.n));
  }

  /** One stage: a step towards the target with a few sweeps, or more sweeps there. False when nothing is left to do. */
  advance(sweeps = SWEEPS_ON_THE_WAY) {
    if (this.progress < 1) {
      this.step();
      // Who drags wants a picture first; moves go on as long as nothing else is asked for.
      this.sweep(this.progress === 1 ? 1 : SWEEPS_ON_THE_WAY);
      if (this.progress === 1) this.current.target = this.target;
      return true;
    }
    if (this.ess >= SETTLED * this.n || this.sweeps >= MOST_SWEEPS) return false;
    this.sweep(sweeps);
    return true;
  }

  /** The largest step of progress that leaves enough effective draws, and resampling by its weights. */
  step() {
    const { n, current } = this;
    const [before, after] = [this.start, this.target].map((target) => current.rows.under(target));
    const away = after.log.map((value, i) => value - before.log[i]);
    const by = (share) => weighted(away.map((value) => share * value));
    const left = 1 - this.progress;
    let [step, found] = [left, by(left)];
    if (found.ess < LEAST_SHARE * n) {
      // Draws that the target rules out are lost with the smallest step: the others have to remain.
      const most = by(LEAST_STEP).ess;
      if (!(most > 0)) throw new Error("no draw has a finite density under what is asked for.");
      while (found.ess < LEAST_SHARE * most && step > LEAST_STEP) found = by((step /= 2));
    }
    this.progress = step === left ? 1 : this.progress + step;
    const chosen = resampled(found.weights, n, this.random);
    // Populations are split in two halves that propose for each other: copies must not stand side by side.
    const places = Int32Array.from(this.shuffled(n), (place) => chosen[place]);
    this.family = Int32Array.from(places, (place) => this.family[place]);
    current.rows = current.rows.taken(places);
    if (this.progress === 1 && this.target.heldAt.length) this.target.hold(current.rows.u, n);
    const picked = (values) => Float64Array.from(places, (place) => values[place]);
    current.cost = picked(after.cost);
    current.log = this.mixed(picked(before.log), picked(after.log));
  }

  mixed(before, after) {
    const { progress } = this;
    if (progress === 1) return after;
    return before.map((value, i) => (1 - progress) * value + progress * after[i]);
  }

  shuffled(n) {
    const order = Int32Array.from({ length: n }, (_, i) => i);
    for (let i = n - 1; i > 0; i--) {
      const j = this.random.below(i + 1);
      [order[i], order[j]] = [order[j], order[i]];
    }
    return order;
  }

  /** Differential evolution (ter Braak 2006): steps are differences of two draws of the other half. */
  sweep(times) {
    const { n, random, current } = this;
    const { dim } = this.prior;
    const free = Array.from({ length: dim }, (_, j) => j).filter((j) => this.target.moves(j));
    const half = n >> 1;
    const targets = this.progress < 1 ? [this.start, this.target] : [this.target];
    let [accepted, tried] = [0, 0];
    for (let time = 0; time < times; time++) {
      for (const [from, other] of [[0, half], [half, 0]]) {
        const size = from ? n - half : half;
        const others = n - size;
        const proposals = new Float64Array(size * dim);
        for (let i = 0; i < size; i++) this.propose(proposals, i, from + i, other, others, free);
        const proposed = new Rows(proposals, size);
        const parts = targets.map((target) => proposed.under(target));
        const log = targets.length === 2 ? this.mixed(parts[0].log, parts[1].log) : parts[0].log;
        const { cost } = parts.at(-1);
        for (let i = 0; i < size; i++) {
          tried++;
          if (!(Math.log(1 - random.uniform()) < log[i] - current.log[from + i])) continue;
          accepted++;
          current.rows.overwrite(from + i, proposed, i);
          current.log[from + i] = log[i];
          current.cost[from + i] = cost[i];
        }
      }
    }
    this.acceptance = accepted / tried;
    this.scale = Math.min(Math.max(this.scale * Math.exp(0.5 * (this.acceptance - 0.25)), 0.05), 2);
    this.sweeps += times;
    // What draws lacked in independence to begin with is made up for by moves, at least as many as this.
    const begun = this.share + (1 - this.share) * Math.min(1, this.sweeps / ENOUGH_SWEEPS);
    this.ess = Math.min(familySize(current.rows.u, n, dim, free, this.family), begun * n);
  }

  propose(proposals, i, place, other, others, free) {
    const { random } = this;
    const { u } = this.current.rows;
    const { dim } = this.prior;
    const a = other + random.below(others);
    const b = other + ((a - other + 1 + random.below(others - 1)) % others);
    // A whole difference now and then jumps from mode to mode; few coordinates at a time go further.
    const jump = random.uniform() < 0.1;
    const share = jump ? 1 : [0.34, 0.67, 1][random.below(3)];
    const chosen = free.filter(() => random.uniform() < share);
    if (!chosen.length) chosen.push(free[random.below(free.length)]);
    const factor = jump ? 1 : (this.scale * 2.38 * (0.5 + random.uniform())) / Math.sqrt(2 * chosen.length);
    const to = i * dim;
    proposals.set(u.subarray(place * dim, (place + 1) * dim), to);
    for (const j of chosen) {
      // The small number lets coordinates leave the lattice of differences.
      const step = u[a * dim + j] - u[b * dim + j];
      proposals[to + j] += (factor + 1e-4 * random.normal()) * step;
    }
  }

  /** Keeps the draws as a rung, from which later targets of the report's observation are near. */
  keep() {
    const { target, rows, log, cost } = this.current;
    this.rungs.push({ target, rows, log, cost, share: Math.min(1, this.ess / this.n) });
  }

  /** Parameters (n, dim) and costs of the draws as they are now, and what is prepared of them. */
  draws() {
    const { theta, prepared } = this.current.rows.shared(this.target);
    return { theta: theta.slice(), cost: this.current.cost.slice(), prepared };
  }
}
