// The web worker: takes what is asked for, sends draws as they come, and is never far from the newest wish.
import { Random, decoded, quantilesOfSorted } from "./numbers.js";
import { Cost, taken } from "./cost.js";
import { Prior } from "./prior.js";
import { Sampler } from "./sampler.js";

// Milliseconds of one picture at sixty in a second, less what the browser needs; and draws of a population.
const PICTURE = 13;
const [LEAST_DRAWS, MOST_DRAWS] = [200, 1000];
// Milliseconds in which it is measured how fast this machine is.
const WARMING = 60;
// Draws of which outputs are shown, and by which the members of the ensemble are compared.
const SHOWN = 200;
// Milliseconds between two computations of what changes slowly.
const SLOW = 500;
// Bits of work that a rung may take.
const MOST_STAGES = 60;
// Rungs of the stored ladder above and below the report's beta, each a factor from the next.
const RUNG = 2;

export class Explorer {
  constructor(data, send, clock = () => performance.now()) {
    this.data = data;
    this.send = send;
    this.clock = clock;
    this.cost = new Cost(data.cost);
    this.prior = new Prior(data.prior);
    const [priorDraws, draws] = [decoded(data.prior_draws), decoded(data.draws)];
    const first = { x: decoded(data.x_o), weights: null, growth: null, beta: data.beta, held: {} };
    this.noise = new Float64Array(0);
    const n = this.affordable(priorDraws, first);
    this.sampler = new Sampler(this.cost, this.prior, first, priorDraws, draws, data.ess, n);
    this.wanted = null;
    this.number = 0;
    this.perSweep = 0;
    this.pieces = 0;
    this.slowAt = -Infinity;
    this.ladder = this.rungsWanted();
    this.builder = null;
    this.rung = null;
  }

  /** As many draws as can be moved once, and shown, in the time of a picture. */
  affordable(priorDraws, first) {
    const { dim } = this.prior;
    const some = priorDraws.subarray(0, LEAST_DRAWS * dim);
    const n = some.length / dim;
    const embedded = this.cost.embed(first.x);
    let [moving, showing] = [Infinity, Infinity];
    // The first times are those of the compiler.
    const begun = this.clock();
    for (let time = 0; time < 3 || (time < 20 && this.clock() - begun < WARMING); time++) {
      const start = this.clock();
      const prepared = this.cost.prepare(some, n);
      this.cost.values(prepared, embedded);
      const moved = this.clock();
      this.bandOf(prepared);
      moving = Math.min(moving, moved - start);
      showing = Math.min(showing, this.clock() - moved);
    }
    // The draws that are there are weighed anew before some of them are moved: a third of the time of the moves.
    const count = ((PICTURE - showing) / Math.max(1.3 * moving, 0.01)) * n;
    return 2 * Math.floor(Math.min(Math.max(count, LEAST_DRAWS), MOST_DRAWS) / 2);
  }

  rungsWanted() {
    const { beta } = this.data;
    return Array.from({ length: 12 }, (_, k) => beta * RUNG ** (k < 8 ? -1 - k : k - 7));
  }

  ask(wanted) {
    this.wanted = wanted;
  }

  /** A bit of work; false when there is none. */
  work() {
    const { sampler } = this;
    if (this.wanted) {
      this.number = this.wanted.number;
      sampler.ask(this.wanted);
      this.wanted = null;
      this.pieces = 0;
    }
    const start = this.clock();
    const before = sampler.sweeps;
    // Who drags asks again in a moment, and must not wait for a long piece: pieces grow as long as nothing is asked.
    const most = Math.min(8, PICTURE / Math.max(this.perSweep, 0.1), 2 ** (this.pieces++ >> 1));
    const sweeps = Math.max(1, Math.floor(most));
    if (sampler.advance(sweeps)) {
      const done = sampler.sweeps - before;
      if (sampler.progress === 1 && done > 0) this.perSweep = (this.clock() - start) / done;
      this.tell(false);
      return true;
    }
    if (this.told !== this.number) this.tell(true);
    return false;
  }

  tell(settled) {
    const { sampler } = this;
    const { theta, cost, prepared } = sampler.draws();
    const state = {
      type: "state",
      number: this.number,
      settled,
      progress: sampler.progress,
      n: sampler.n,
      ess: sampler.ess,
      acceptance: sampler.acceptance,
      theta,
      cost,
    };
    if (settled) this.told = this.number;
    if (settled || this.clock() - this.slowAt > SLOW) {
      state.nats = this.membersDisagree(theta);
      this.slowAt = this.clock();
    }
    state.band = this.band(prepared);
    this.send(state, [theta.buffer, cost.buffer]);
  }

  /** Numbers of draws that are spread evenly over all. */
  get some() {
    const { n } = this.sampler;
    const m = Math.min(SHOWN, n);
    return Int32Array.from({ length: m }, (_, i) => Math.floor((i * n) / m));
  }

  /** Standard deviation in nats of what the members of the ensemble leave open; sampling/log_density_error.py. */
  membersDisagree(theta) {
    const { memberCount } = this.cost.form;
    if (memberCount < 2) return null;
    const { dim } = this.prior;
    const m = this.some.length;
    const rows = new Float64Array(m * dim);
    this.some.forEach((from, i) => rows.set(theta.subarray(from * dim, (from + 1) * dim), i * dim));
    const values = Array.from({ length: memberCount }, (_, k) =>
      this.cost.values(this.cost.prepare(rows, m, k), this.sampler.target.embedded),
    );
    let sum = 0;
    const means = Float64Array.from({ length: m }, (_, i) => values.reduce((total, own) => total + own[i], 0) / memberCount);
    for (const own of values) {
      const away = own.map((value, i) => value - means[i]);
      const mean = away.reduce((total, value) => total + value, 0) / m;
      sum += away.reduce((total, value) => total + (value - mean) ** 2, 0) / m;
    }
    return this.sampler.target.beta * Math.sqrt((this.data.jackknife * sum) / (memberCount - 1));
  }

  /** Shares of outputs at some draws, coordinate by coordinate, in data units; null where the cost does not hold them. */
  band(all) {
    return this.cost.form.bandless ? null : this.bandOf(taken(all, this.some));
  }

  bandOf(prepared) {
    const { form } = this.cost;
    if (form.bandless) return null;
    const m = prepared.n;
    let [centre, outputs] = [null, null];
    if (form.outputs) {
      const { mean, sd } = form.outputs(prepared);
      centre = mean;
      if (sd) {
        const noise = this.sameNoise(mean.length);
        outputs = new Float64Array(mean.length);
        for (let at = 0; at < mean.length; at++) outputs[at] = mean[at] + sd[at] * noise[at];
      }
    } else outputs = form.sample(prepared, new Random(7));
    return { centre: centre && this.shares(centre, m, [0.05, 0.5, 0.95]), outputs: outputs && this.shares(outputs, m, [0.05, 0.5, 0.95]) };
  }

  /** The same random numbers for every picture: what moves is the posterior. */
  sameNoise(size) {
    if (this.noise.length < size) {
      const random = new Random(7);
      this.noise = Float64Array.from({ length: size }, () => random.normal());
    }
    return this.noise;
  }

  shares(values, m, shares) {
    const k = values.length / m;
    const column = new Float64Array(m);
    const found = new Array(k);
    for (let j = 0; j < k; j++) {
      for (let i = 0, at = j; i < m; i++, at += k) column[i] = values[at];
      found[j] = quantilesOfSorted(column.sort(), shares).map((value) => this.cost.unframed(value, j));
    }
    return found;
  }

  /** A bit of work on the stored ladder, by a sampler of its own; false when it is whole. */
  build() {
    const { builder } = this;
    if (!builder || (this.rung && !this.rung.moves())) {
      if (this.rung) builder.keep();
      if (!this.ladder.length) return false;
      this.builder ??= this.sampler.twin();
      const beta = this.ladder.shift();
      let left = MOST_STAGES;
      this.builder.ask({ ...this.sampler.first, beta });
      this.rung = { moves: () => left-- > 0 && this.builder.advance(2) };
    }
    return true;
  }
}

/** Connects an explorer with messages; between two bits of work the messages that have come are read. */
export function listen(scope) {
  let explorer = null;
  let busy = false;
  // A message to itself comes at once; timers that set one another wait 4 ms each.
  const { port1, port2 } = new MessageChannel();
  const soon = () => port2.postMessage(null);
  const go = () => {
    try {
      if (explorer.work() || explorer.build()) soon();
      else busy = false;
    } catch (error) {
      busy = false;
      scope.postMessage({ type: "error", message: String(error?.stack ?? error) });
    }
  };
  port1.onmessage = go;
  scope.onmessage = ({ data }) => {
    try {
      if (data.type === "start") {
        explorer = new Explorer(data.data, (state, buffers) => scope.postMessage(state, buffers));
        const { form } = explorer.cost;
        scope.postMessage({ type: "ready", n: explorer.sampler.n, weighs: form.weighs, takesAny: form.takesAny, bandless: form.bandless, means: Boolean(form.outputs) });
      } else if (data.type === "ask") explorer.ask(data.wanted);
      else if (data.type === "evaluate") {
        const theta = Float64Array.from(data.theta);
        const n = theta.length / explorer.prior.dim;
        const prepared = explorer.cost.prepare(theta, n, data.member ?? null);
        const embedded = explorer.cost.embed(Float64Array.from(data.x), data.weights ?? null, data.growth ?? null);
        scope.postMessage({ type: "values", values: explorer.cost.values(prepared, embedded) });
      }
    } catch (error) {
      scope.postMessage({ type: "error", message: String(error?.stack ?? error) });
      return;
    }
    if (!busy && explorer) {
      busy = true;
      soon();
    }
  };
}
