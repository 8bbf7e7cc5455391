"""Adaptive tempered sequential Monte Carlo from the prior to Gibbs posteriors (Del Moral, Doucet, Jasra 2006)."""

from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from blackjax.smc.ess import ess
from blackjax.smc.resampling import systematic
from jaxtyping import Array, Bool, Float, Int, Key, PRNGKeyArray

from ..runtime.compiling import compiled
from ..runtime.counts import checked_count
from ..runtime.outcome import Outcome
from .target import Sampled, Target, Targets

# Particles of one observation that are evaluated together on a CPU. The hidden layers of all particles of a stack do
# not fit its cache: four networks of 64 units then take three times as long.
_CACHED_ROWS = 500
_PER_STAGE = ("beta", "acceptance", "ess", "step_size")


@dataclass(frozen=True)
class SMC:
    """Particles move from the prior through exp(-b cost) prior, b from 0 to beta.

    Each step of b keeps the effective sample size of the reweighted particles at `ess_share`; they are then
    resampled and moved by Hamiltonian Monte Carlo AT THE NEW temperature, with the mass matrix of the particles and a
    step size tuned in every stage, so that the draws returned have equal weight. Independent populations are the
    chains of the result: their disagreement is what R-hat measures.

    Args:
        populations: independent particle systems, run side by side.
        min_particles: of each population; a small number of draws is a subset of them.
        ess_share: effective share of the particles after a step of b.
        moves: Hamiltonian trajectories per stage.
        final_moves: trajectories at beta itself, which undo the copies that resampling made.
        max_steps: leapfrog steps of a trajectory are uniform between 1 and this (fixed lengths can resonate).
        max_stages: bound on the temperatures.
    """

    populations: int = 4
    min_particles: int = 500
    ess_share: float = 0.5
    moves: int = 2
    final_moves: int = 6
    max_steps: int = 4
    max_stages: int = 200

    def __post_init__(self) -> None:
        for name in ("populations", "moves", "final_moves", "max_steps", "max_stages"):
            checked_count(f"SMC: {name}", getattr(self, name))
        checked_count("SMC: min_particles", self.min_particles, least=50)
        if not 0 < self.ess_share < 1:
            raise ValueError(f"SMC: ess_share must lie between 0 and 1, got {self.ess_share!r}.")

    @property
    def name(self) -> str:
        """Of the method."""
        return "SMC"

    def run(self, target: Target, n: int, *, key: PRNGKeyArray) -> Sampled:
        """At least `n` draws; see `Sampler`."""
        embedded = jax.tree.map(lambda leaf: leaf[None], target.embedded)
        targets = Targets(target.form, embedded, target.conditions[None], target.beta[None], target.prior)
        ladder = self.run_ladders(targets, n, key=key, first=0)
        stages = int(ladder.stages[0].max())
        with np.errstate(invalid="ignore"):
            # A population that has arrived has no stages any more.
            means = {name: np.nanmean(values[:stages, 0], axis=1) for name, values in ladder.per_stage.items()}
        statistics: dict[str, Any] = {
            "beta_ladder": means["beta"],
            "acceptance": means["acceptance"],
            "ess": means["ess"],
            "step_size": means["step_size"],
            "log_evidence": float(log_mean_exp(ladder.log_evidence[0, 0])),
            "log_evidence_per_population": ladder.log_evidence[0, 0],
            "particles": ladder.particles * self.populations,
        }
        outcome = self.judge(float(ladder.acceptance[0, 0].mean()), float(ladder.reached[0, 0].min()), target.beta)
        return Sampled(ladder.theta[0, 0], ladder.cost[0, 0], statistics, outcome)

    def run_ladders(
        self, targets: Targets, n: int, *, key: PRNGKeyArray, first: int, count: int | None = None
    ) -> "Ladders":
        """At least `n` draws of every observation at every beta, all in one compiled program.

        Args:
            targets: m observations and ascending betas (b,).
            n: number of draws, rounded up to a multiple of the populations.
            key: of all draws; an observation's draws depend on it and on the observation's number only.
            first: number of the first observation; the others follow.
            count: of the observations wanted, all if None; those after them only fill up the shape of the program.
        """
        per_chain = -(-n // self.populations)
        particles = max(per_chain, self.min_particles)
        count = targets.conditions.shape[0] if count is None else count
        raw = _sample(targets, key, jnp.asarray(first), jnp.asarray(count), particles, self)
        # Copies of one ancestor stand side by side after resampling: a stride keeps few of them, a slice all.
        keep = np.linspace(0, particles - 1, per_chain).round().astype(int)
        *each, per_stage = jax.tree.map(np.asarray, raw)
        theta, cost, log_evidence, reached, acceptance, stages = (values[:count] for values in each)
        return Ladders(
            theta=theta[..., keep, :],
            cost=cost[..., keep],
            log_evidence=log_evidence,
            reached=reached,
            acceptance=acceptance,
            stages=stages,
            per_stage={name: values[:, :count] for name, values in per_stage.items()},
            particles=particles,
        )

    def judge(self, acceptance: float, reached: float, beta: Any) -> Outcome:
        """What is wrong with the draws of one observation and beta."""
        messages = []
        if not reached >= float(beta):
            messages.append(
                f"SMC stopped after {self.max_stages} temperatures at beta = {reached:.4g} of {float(beta):.4g}: the "
                "draws are of that smaller beta. Raise SMC(max_stages=...) or lower beta."
            )
        if not acceptance >= 0.3:
            messages.append(
                f"Only {acceptance:.0%} of the last moves were accepted: the draws may hold copies of one another. "
                "Raise SMC(final_moves=...), or lower beta."
            )
        return Outcome(tuple(messages))


@dataclass(frozen=True)
class Ladders:
    """Tempered runs of m observations, stopped at b betas.

    Attributes:
        theta: (m, b, populations, draws, dim).
        cost: (m, b, populations, draws).
        log_evidence: of each population (m, b, populations), log of Z(beta) / Z(0).
        reached: inverse temperature of the draws (m, b, populations); less than beta where the stages were used up.
        acceptance: share of the last moves at each beta that were accepted, (m, b, populations).
        stages: of each population, (m, populations).
        per_stage: beta, acceptance, ess and step size of each stage, (stages, m, populations); NaN after the last.
        particles: of each population.
    """

    theta: np.ndarray
    cost: np.ndarray
    log_evidence: np.ndarray
    reached: np.ndarray
    acceptance: np.ndarray
    stages: np.ndarray
    per_stage: dict[str, np.ndarray]
    particles: int


class _Point(eqx.Module):
    """Particles with the parts of their log density, so that a new temperature needs no new evaluation.

    The populations of an observation stand side by side along the first axis, observation after observation.
    """

    u: Float[Array, "p n d"]
    log_prior: Float[Array, "p n"]
    cost: Float[Array, "p n"]
    prior_gradient: Float[Array, "p n d"]
    cost_gradient: Float[Array, "p n d"]

    @classmethod
    def at(cls, targets: Targets, u: Float[Array, "p n d"], active: Bool[Array, " p"]) -> "_Point":
        """Evaluates the particles; on a CPU, those of an observation none of whose populations is active are skipped.

        What stands in their place is not to be used: the slowest of the observations that run side by side takes a
        third more stages than the average one, and a chunk may be filled up with observations that are not wanted.
        """
        m = targets.conditions.shape[0]
        together = u.reshape(m, -1, u.shape[-1])
        rows = together.shape[1]
        on_cpu = jax.default_backend() == "cpu"
        # Blocks of equal size, where that can be.
        block = -(-rows // -(-rows // _CACHED_ROWS)) if on_cpu else rows

        def of_observation(embedded: Any, conditions: Array, values: Array) -> tuple[Array, Array, Array, Array]:
            target = targets.one(embedded, conditions)

            def one(v: Array) -> tuple[Array, Array, Array, Array]:
                return *jax.value_and_grad(target.log_prior)(v), *jax.value_and_grad(target.cost)(v)

            return jax.lax.map(one, values, batch_size=block) if block < rows else jax.vmap(one)(values)

        def unless_resting(given: tuple[Array, Any, Array, Array]) -> tuple[Array, Array, Array, Array]:
            some_active, *observation = given

            def nothing(_: Any, __: Any, values: Array) -> tuple[Array, Array, Array, Array]:
                return jnp.zeros(rows), jnp.zeros_like(values), jnp.zeros(rows), jnp.zeros_like(values)

            return jax.lax.cond(some_active, of_observation, nothing, *observation)

        given = (targets.embedded, targets.conditions, together)
        if on_cpu:
            parts = jax.lax.map(unless_resting, (jnp.any(active.reshape(m, -1), axis=1), *given))
        else:
            parts = jax.vmap(of_observation)(*given)
        log_prior, prior_gradient, cost, cost_gradient = (part.reshape(*u.shape[:2], *part.shape[2:]) for part in parts)
        # A cost that is NaN or infinite forbids the place; infinity itself would make 0 * inf of it at b = 0.
        return cls(u, log_prior, jnp.where(jnp.isfinite(cost), cost, 1e30), prior_gradient, cost_gradient)

    def log_density(self, beta: Float[Array, " p"]) -> Float[Array, "p n"]:
        """At inverse temperatures `beta`, one of each population."""
        return self.log_prior - beta[:, None] * self.cost

    def gradient(self, beta: Float[Array, " p"]) -> Float[Array, "p n d"]:
        """Of the log density with respect to u."""
        return self.prior_gradient - beta[:, None, None] * self.cost_gradient


class _State(eqx.Module):
    """All populations between two stages; each goes its own way from beta to beta, and rests after the last."""

    point: _Point
    reached: Float[Array, " p"]
    step_size: Float[Array, " p"]
    log_evidence: Float[Array, " p"]
    goal: Int[Array, " p"]
    stages_left: Int[Array, " p"]
    stages: Int[Array, " p"]
    stage: Int[Array, ""]
    kept: dict[str, Array]
    per_stage: dict[str, Float[Array, "stages p"]]


@compiled
def _sample(
    targets: Targets, key: PRNGKeyArray, first: Int[Array, ""], count: Int[Array, ""], particles: int, config: SMC
) -> tuple:
    m, b = targets.conditions.shape[0], targets.betas.shape[0]
    p = m * config.populations
    extra_stages = -(-config.final_moves // config.moves)
    most_stages = config.max_stages + b * extra_stages
    start_key, shared_key, key = jax.random.split(key, 3)
    # A population's numbers come from those of its observation and its own, whichever others run beside it.
    number = first * config.populations + jnp.arange(p)
    own = jax.vmap(jax.random.fold_in, (None, 0))
    start_keys = jax.vmap(lambda k: jax.random.split(k, particles))(own(start_key, number))
    u = jax.vmap(jax.vmap(targets.start))(start_keys)
    wanted = jnp.arange(p) < count * config.populations
    point = _Point.at(targets, u, wanted)
    state = _State(
        point=point,
        reached=jnp.zeros(p),
        step_size=jnp.full(p, 0.5),
        log_evidence=jnp.zeros(p),
        goal=jnp.where(wanted, 0, b),
        stages_left=jnp.full(p, extra_stages),
        stages=jnp.zeros(p, int),
        stage=jnp.zeros((), int),
        kept={
            "u": jnp.zeros((b, *u.shape)),
            "cost": jnp.zeros((b, *u.shape[:2])),
            "log_evidence": jnp.zeros((b, p)),
            "reached": jnp.zeros((b, p)),
            "acceptance": jnp.zeros((b, p)),
        },
        per_stage={k: jnp.full((most_stages, p), jnp.nan) for k in _PER_STAGE},
    )
    keys = own(key, number)
    state = jax.lax.while_loop(
        lambda s: jnp.any(s.goal < b),
        lambda s: _stage(targets, s, _own_keys(keys, s.stage), jax.random.fold_in(shared_key, s.stage), config),
        state,
    )

    def by_observation(values: Array, axis: int) -> Array:
        shape = (*values.shape[:axis], m, config.populations, *values.shape[axis + 1 :])
        return values.reshape(shape)

    kept = {name: jnp.moveaxis(by_observation(values, 1), 1, 0) for name, values in state.kept.items()}
    theta = targets.prior.from_unconstrained(kept.pop("u"))
    per_stage = {name: by_observation(values, 1) for name, values in state.per_stage.items()}
    results = (kept["cost"], kept["log_evidence"], kept["reached"], kept["acceptance"])
    return theta, *results, by_observation(state.stages, 0), per_stage


def _own_keys(keys: Key[Array, " p"], stage: Int[Array, ""]) -> Key[Array, " p"]:
    """A key of each population for one stage."""
    return jax.vmap(jax.random.fold_in, (0, None))(keys, stage)


def _stage(targets: Targets, old: _State, keys: Key[Array, " p"], shared_key: PRNGKeyArray, config: SMC) -> _State:
    """Next temperature, resampling, moves at it; at a beta of the grid, moves only, then its particles are kept."""
    b = targets.betas.shape[0]
    extra_stages = -(-config.final_moves // config.moves)
    p, particles = old.point.u.shape[:2]
    active = old.goal < b
    wanted = targets.betas[jnp.minimum(old.goal, b - 1)]
    resample_keys, move_keys = jnp.moveaxis(jax.vmap(jax.random.split)(keys), 1, 0)
    tempering = active & (old.stages < config.max_stages)
    reached = jax.vmap(lambda c, low, goal: _next_beta(c, low, goal, config.ess_share))(
        old.point.cost, old.reached, wanted
    )
    reached = jnp.where(tempering, reached, old.reached)
    log_weights = -(reached - old.reached)[:, None] * old.point.cost
    log_evidence = old.log_evidence + jax.nn.logsumexp(log_weights, axis=1) - jnp.log(particles)
    chosen = jax.vmap(lambda k, w: systematic(k, w, particles))(resample_keys, jax.nn.softmax(log_weights, axis=1))
    # A population that has arrived keeps its particles.
    chosen = jnp.where((reached > old.reached)[:, None], chosen, jnp.arange(particles)[None])
    point = jax.tree.map(lambda leaf: jax.vmap(lambda one, index: one[index])(leaf, chosen), old.point)
    point, acceptance, step_size = _move(targets, point, reached, old.step_size, active, move_keys, shared_key, config)
    point = jax.tree.map(lambda new, before: _where(active, new, before), point, old.point)
    row = (reached, acceptance, jax.vmap(ess)(log_weights) / particles, step_size)
    arrived = active & ((reached >= wanted) | ~tempering)
    stages_left = jnp.where(arrived, old.stages_left - 1, old.stages_left)
    done = arrived & (stages_left == 0)
    now = {"u": point.u, "cost": point.cost, "log_evidence": log_evidence, "reached": reached, "acceptance": acceptance}
    place = (jnp.minimum(old.goal, b - 1), jnp.arange(p))
    return _State(
        point=point,
        reached=reached,
        step_size=jnp.where(active, step_size, old.step_size),
        log_evidence=jnp.where(active, log_evidence, old.log_evidence),
        goal=old.goal + done,
        stages_left=jnp.where(done, extra_stages, stages_left),
        stages=old.stages + active,
        stage=old.stage + 1,
        kept={k: values.at[place].set(_where(done, now[k], values[place])) for k, values in old.kept.items()},
        per_stage={
            k: old.per_stage[k].at[old.stage].set(jnp.where(active, value, jnp.nan))
            for k, value in zip(_PER_STAGE, row, strict=True)
        },
    )


def _where(condition: Bool[Array, " p"], one: Float[Array, "p ..."], other: Float[Array, "p ..."]) -> Array:
    """Chooses whole populations."""
    return jnp.where(condition.reshape(-1, *(1,) * (one.ndim - 1)), one, other)


def _next_beta(
    cost: Float[Array, " n"], reached: Float[Array, ""], goal: Float[Array, ""], share: float
) -> Float[Array, ""]:
    """Largest inverse temperature up to the goal whose reweighting keeps the effective sample size.

    By bisection on the logarithm of the step, because from a vague prior the first step may be a millionth of the way.
    """
    left = goal - reached

    def halve(bounds: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], None]:
        low, high = bounds
        middle = (low + high) / 2
        enough = ess(-jnp.exp(middle) * left * cost) >= share * cost.shape[0]
        return (jnp.where(enough, middle, low), jnp.where(enough, high, middle)), None

    # Starting at e: the first middle tried need not be the whole step, but a step of 1 must be within reach.
    (step, _), _ = jax.lax.scan(halve, (jnp.asarray(-30.0), jnp.asarray(1.0)), None, length=30)
    return jnp.where(left > 0, jnp.where(step >= 0, goal, reached + left * jnp.exp(step)), reached)


def _cholesky(u: Float[Array, "n d"]) -> Float[Array, "d d"]:
    """Factor of the particles' covariance, kept positive definite where they have nearly collapsed."""
    centred = u - jnp.mean(u, axis=0)[None]
    covariance = centred.T @ centred / u.shape[0]
    # A floor relative to each coordinate's own variance: their scales may be millions apart.
    return jnp.linalg.cholesky(covariance + jnp.diag(1e-6 * jnp.diag(covariance) + 1e-20))


def _move(
    targets: Targets,
    point: _Point,
    beta: Float[Array, " p"],
    step_size: Float[Array, " p"],
    active: Bool[Array, " p"],
    keys: Key[Array, " p"],
    shared_key: PRNGKeyArray,
    config: SMC,
) -> tuple[_Point, Float[Array, " p"], Float[Array, " p"]]:
    """Hamiltonian trajectories of all particles; returns the last mean acceptance and the tuned step size.

    The momentum lives in coordinates whitened by the particles' covariance, so that its metric is the identity.
    """
    factor = jax.vmap(_cholesky)(point.u)
    n, d = point.u.shape[1:]

    def one_move(carry: tuple[_Point, Array], number: Array) -> tuple[tuple[_Point, Array], Array]:
        old, eps = carry
        length_key, jitter_key = jax.random.split(jax.random.fold_in(shared_key, number))
        momentum_keys, accept_keys = jnp.moveaxis(jax.vmap(jax.random.split)(_own_keys(keys, number)), 1, 0)
        # One length for all: a loop whose length differs between particles runs to the longest for each.
        length = jax.random.randint(length_key, (), 1, config.max_steps + 1)
        jittered = (eps * jax.random.uniform(jitter_key, (), minval=0.8, maxval=1.2))[:, None, None]
        momentum = jax.vmap(lambda k: jax.random.normal(k, (n, d)))(momentum_keys)

        def kick(momentum: Array, at: _Point, share: float) -> Array:
            return momentum + share * jittered * jnp.einsum("pnd,pde->pne", at.gradient(beta), factor)

        def leapfrog(_: Any, carry: tuple[_Point, Array]) -> tuple[_Point, Array]:
            at, momentum = carry
            momentum = kick(momentum, at, 0.5)
            at = _Point.at(targets, at.u + jittered * jnp.einsum("pne,pde->pnd", momentum, factor), active)
            return at, kick(momentum, at, 0.5)

        new, new_momentum = jax.lax.fori_loop(0, length, leapfrog, (old, momentum))
        gain = new.log_density(beta) - old.log_density(beta)
        gain -= 0.5 * (jnp.sum(new_momentum**2, axis=2) - jnp.sum(momentum**2, axis=2))
        probability = jnp.where(jnp.isfinite(gain), jnp.exp(jnp.minimum(gain, 0.0)), 0.0)
        accept = jax.vmap(lambda k: jax.random.uniform(k, (n,)))(accept_keys) < probability

        def pick(one: Array, other: Array) -> Array:
            return jnp.where(accept.reshape(*accept.shape, *(1,) * (one.ndim - 2)), one, other)

        rate = jnp.mean(probability, axis=1)
        # Towards 80 % acceptance; a whole factor per move, since each is tried on hundreds of particles.
        eps = jnp.clip(eps * jnp.exp(rate - 0.8), 1e-4, 1.5)
        return (jax.tree.map(pick, new, old), eps), rate

    (point, step_size), rates = jax.lax.scan(one_move, (point, step_size), jnp.arange(config.moves))
    return point, rates[-1], step_size


def log_mean_exp(values: np.ndarray) -> np.ndarray:
    """Logarithm of the mean of exp(values) along the last axis."""
    top = values.max(axis=-1, keepdims=True)
    return np.asarray(top[..., 0] + np.log(np.mean(np.exp(values - top), axis=-1)))
