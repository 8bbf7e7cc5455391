"""The compiled program of tempered sequential Monte Carlo (Del Moral, Doucet, Jasra 2006, section 3.2.3).

Of every population of particles, from draws of the prior at inverse temperature b = 0:

1. temper: b' = the largest step up to the next beta at which the weights exp(-(b' - b) cost) keep the effective sample
   size (`_tempered`);
2. resample particles in proportion to these weights (`_resampled`);
3. move every particle by Hamiltonian trajectories that leave exp(-b' cost) prior unchanged (`_moved`);
4. repeat; at a beta that is asked for move a few times more, and keep the particles (`_kept`).

log Z(b') - log Z(b) is estimated by the logarithm of the mean weight. All populations run side by side, each at its own
temperature; a stage is one round of 1 to 3 for all of them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from blackjax.smc.ess import ess
from blackjax.smc.resampling import systematic
from jaxtyping import Array, Bool, Float, Int, Key, PRNGKeyArray, PyTree

from ..runtime.compiling import compiled
from .target import Targets

# Particles of one observation that are evaluated together on a CPU. The hidden layers of all particles of a stack do
# not fit its cache: four networks of 64 units then take three times as long.
_CACHED_ROWS = 500
_PER_STAGE = ("beta", "acceptance", "ess", "step_size")


@dataclass(frozen=True)
class TemperingSettings:
    """What the program depends on beside its arrays; see `SMC`. Each combination is compiled by itself."""

    populations: int
    particles: int
    ess_share: float
    moves: int
    final_moves: int
    max_steps: int
    max_stages: int

    @property
    def final_stages(self) -> int:
        """Stages at a beta that is asked for, until its particles are kept."""
        return -(-self.final_moves // self.moves)


class Tempered(NamedTuple):
    """What the program returns, for m observations and b betas.

    Attributes:
        theta: (m, b, populations, particles, dim).
        cost: (m, b, populations, particles).
        log_evidence: log of Z(beta) / Z(0), (m, b, populations).
        reached: inverse temperature of the particles, (m, b, populations).
        acceptance: share of the last moves that were accepted, (m, b, populations).
        stages: of each population, (m, populations).
        per_stage: beta, acceptance, ess and step size of each stage, (stages, m, populations); NaN after the last.
    """

    theta: Float[Array, "m b populations particles dim"]
    cost: Float[Array, "m b populations particles"]
    log_evidence: Float[Array, "m b populations"]
    reached: Float[Array, "m b populations"]
    acceptance: Float[Array, "m b populations"]
    stages: Int[Array, "m populations"]
    per_stage: dict[str, Float[Array, "stages m populations"]]


class Particles(eqx.Module):
    """Particles with the parts of their log density, so that a new temperature needs no new evaluation.

    The populations of an observation stand side by side along the first axis, observation after observation.
    """

    u: Float[Array, "p n d"]
    log_prior: Float[Array, "p n"]
    cost: Float[Array, "p n"]
    prior_gradient: Float[Array, "p n d"]
    cost_gradient: Float[Array, "p n d"]

    def log_density(self, beta: Float[Array, " p"]) -> Float[Array, "p n"]:
        """The log density at inverse temperatures `beta`, one of each population."""
        return self.log_prior - beta[:, None] * self.cost

    def gradient(self, beta: Float[Array, " p"]) -> Float[Array, "p n d"]:
        """The gradient of the log density with respect to u."""
        return self.prior_gradient - beta[:, None, None] * self.cost_gradient


class _State(eqx.Module):
    """All populations between two stages; each goes its own way from beta to beta, and rests after the last.

    Attributes:
        particles: of every population.
        reached: inverse temperature of each.
        step_size: of each, tuned from stage to stage.
        log_evidence: of each, up to `reached`.
        goal: number of the beta that each is on its way to; the number of betas for one that rests.
        stages_left: how many more stages at the goal each has to do.
        stages: how many stages each has done.
        stage: number of the stage.
        kept: what was kept at every beta.
        per_stage: what is told of every stage.
    """

    particles: Particles
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
def sample(
    targets: Targets, key: PRNGKeyArray, first: Int[Array, ""], count: Int[Array, ""], settings: TemperingSettings
) -> Tempered:
    """Runs all populations of all observations through all betas.

    Args:
        targets: m observations and ascending betas (b,).
        key: of all draws.
        first: number of the first observation, which its random numbers depend on.
        count: of the observations wanted; those after them rest from the beginning.
        settings: see `TemperingSettings`.
    """
    m, b = targets.conditions.shape[0], targets.betas.shape[0]
    start_key, shared_key, key = jax.random.split(key, 3)
    # A population's numbers come from those of its observation and its own, whichever others run beside it.
    number = first * settings.populations + jnp.arange(m * settings.populations)
    keys, start_keys = (jax.vmap(jax.random.fold_in, (None, 0))(k, number) for k in (key, start_key))
    wanted = jnp.arange(m * settings.populations) < count * settings.populations
    state = jax.lax.while_loop(
        lambda s: jnp.any(s.goal < b),
        lambda s: _stage(targets, s, _own_keys(keys, s.stage), jax.random.fold_in(shared_key, s.stage), settings),
        _start(targets, start_keys, wanted, settings),
    )

    def by_observation(values: Array, axis: int) -> Array:
        shape = (*values.shape[:axis], m, settings.populations, *values.shape[axis + 1 :])
        return values.reshape(shape)

    kept = {name: jnp.moveaxis(by_observation(values, 1), 1, 0) for name, values in state.kept.items()}
    return Tempered(
        theta=targets.prior.from_unconstrained(kept.pop("u")),
        **kept,
        stages=by_observation(state.stages, 0),
        per_stage={name: by_observation(values, 1) for name, values in state.per_stage.items()},
    )


def _start(targets: Targets, keys: Key[Array, " p"], wanted: Bool[Array, " p"], settings: TemperingSettings) -> _State:
    """Draws of the prior, at inverse temperature 0."""
    b, p = targets.betas.shape[0], keys.shape[0]
    each = jax.vmap(lambda k: jax.random.split(k, settings.particles))(keys)
    u = jax.vmap(jax.vmap(targets.start))(each)
    most_stages = settings.max_stages + b * settings.final_stages
    return _State(
        particles=_evaluated(targets, u, wanted),
        reached=jnp.zeros(p),
        step_size=jnp.full(p, 0.5),
        log_evidence=jnp.zeros(p),
        goal=jnp.where(wanted, 0, b),
        stages_left=jnp.full(p, settings.final_stages),
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


def _own_keys(keys: Key[Array, " p"], stage: Int[Array, ""]) -> Key[Array, " p"]:
    """A key of each population for one stage."""
    return jax.vmap(jax.random.fold_in, (0, None))(keys, stage)


def _stage(
    targets: Targets, old: _State, keys: Key[Array, " p"], shared_key: PRNGKeyArray, settings: TemperingSettings
) -> _State:
    """Next temperature, resampling, moves at it; at a beta of the grid, moves only, then its particles are kept."""
    b = targets.betas.shape[0]
    active = old.goal < b
    goal_beta = targets.betas[jnp.minimum(old.goal, b - 1)]
    resample_keys, move_keys = jnp.moveaxis(jax.vmap(jax.random.split)(keys), 1, 0)
    tempering = active & (old.stages < settings.max_stages)
    reached, log_weights = _tempered(old, goal_beta, tempering, settings.ess_share)
    log_evidence = old.log_evidence + jax.nn.logsumexp(log_weights, axis=1) - jnp.log(settings.particles)
    particles = _resampled(old.particles, log_weights, reached > old.reached, resample_keys)
    particles, acceptance, step_size = _moved(
        targets, particles, reached, old.step_size, active, move_keys, shared_key, settings
    )
    particles = jax.tree.map(lambda new, before: _where(active, new, before), particles, old.particles)
    arrived = active & ((reached >= goal_beta) | ~tempering)
    stages_left = jnp.where(arrived, old.stages_left - 1, old.stages_left)
    done = arrived & (stages_left == 0)
    told = (reached, acceptance, jax.vmap(ess)(log_weights) / settings.particles, step_size)
    result = {"log_evidence": log_evidence, "reached": reached, "acceptance": acceptance}
    return _State(
        particles=particles,
        reached=reached,
        step_size=jnp.where(active, step_size, old.step_size),
        log_evidence=jnp.where(active, log_evidence, old.log_evidence),
        goal=old.goal + done,
        stages_left=jnp.where(done, settings.final_stages, stages_left),
        stages=old.stages + active,
        stage=old.stage + 1,
        kept=_kept(old, {"u": particles.u, "cost": particles.cost, **result}, done, b),
        per_stage={
            name: old.per_stage[name].at[old.stage].set(jnp.where(active, value, jnp.nan))
            for name, value in zip(_PER_STAGE, told, strict=True)
        },
    )


def _tempered(
    old: _State, goal_beta: Float[Array, " p"], tempering: Bool[Array, " p"], share: float
) -> tuple[Float[Array, " p"], Float[Array, "p n"]]:
    """The next inverse temperature of each population that is still tempering, and its particles' log weights."""
    cost = old.particles.cost
    reached = jax.vmap(lambda c, low, goal: _next_beta(c, low, goal, share))(cost, old.reached, goal_beta)
    reached = jnp.where(tempering, reached, old.reached)
    return reached, -(reached - old.reached)[:, None] * cost


def _resampled(
    particles: Particles, log_weights: Float[Array, "p n"], moved_on: Bool[Array, " p"], keys: Key[Array, " p"]
) -> Particles:
    """Systematic resampling within each population; one whose temperature has not changed keeps its particles."""
    n = log_weights.shape[1]
    chosen = jax.vmap(lambda k, w: systematic(k, w, n))(keys, jax.nn.softmax(log_weights, axis=1))
    chosen = jnp.where(moved_on[:, None], chosen, jnp.arange(n)[None])
    return jax.tree.map(lambda leaf: jax.vmap(lambda values, index: values[index])(leaf, chosen), particles)


def _kept(old: _State, now: dict[str, Array], done: Bool[Array, " p"], b: int) -> dict[str, Array]:
    """What is kept at every beta, with what the populations have that are done at their goal."""
    place = (jnp.minimum(old.goal, b - 1), jnp.arange(done.shape[0]))
    return {name: values.at[place].set(_where(done, now[name], values[place])) for name, values in old.kept.items()}


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


class _Values(NamedTuple):
    """Log prior density and cost of rows of u, with their gradients."""

    log_prior: Array
    prior_gradient: Array
    cost: Array
    cost_gradient: Array


def _evaluated(targets: Targets, u: Float[Array, "p n d"], active: Bool[Array, " p"]) -> Particles:
    """Particles at u; on a CPU, those of an observation none of whose populations is active are skipped.

    What stands in their place is not to be used: the slowest of the observations that run side by side takes a
    third more stages than the average one, and a chunk may be filled up with observations that are not wanted.
    """
    m = targets.conditions.shape[0]
    together = u.reshape(m, -1, u.shape[-1])
    if jax.default_backend() == "cpu":
        some_active = jnp.any(active.reshape(m, -1), axis=1)
        given = (some_active, targets.embedded, targets.conditions, together)
        values = jax.lax.map(lambda observation: _unless_resting(targets, *observation), given)
    else:
        evaluate = _evaluation(targets, block=None)
        values = jax.vmap(evaluate)(targets.embedded, targets.conditions, together)
    values = _Values(*(part.reshape(*u.shape[:2], *part.shape[2:]) for part in values))
    # A cost that is NaN or infinite forbids the place; infinity itself would make 0 * inf of it at b = 0.
    cost = jnp.where(jnp.isfinite(values.cost), values.cost, 1e30)
    return Particles(u, values.log_prior, cost, values.prior_gradient, values.cost_gradient)


def _evaluation(targets: Targets, *, block: int | None) -> Callable[[PyTree, Array, Array], _Values]:
    """The function that evaluates all rows of u of one observation, in blocks where these are given."""

    def of_observation(embedded: PyTree, conditions: Array, rows: Array) -> _Values:
        target = targets.one(embedded, conditions)

        def of_row(v: Array) -> _Values:
            return _Values(*jax.value_and_grad(target.log_prior)(v), *jax.value_and_grad(target.cost)(v))

        return jax.vmap(of_row)(rows) if block is None else jax.lax.map(of_row, rows, batch_size=block)

    return of_observation


def _unless_resting(
    targets: Targets, some_active: Bool[Array, ""], embedded: PyTree, conditions: Array, rows: Float[Array, "rows d"]
) -> _Values:
    """Evaluates the particles of an observation in blocks that fit a cache; gives zeros where all of them rest."""
    n = rows.shape[0]
    # Blocks of equal size, where that can be.
    block = -(-n // -(-n // _CACHED_ROWS))

    def nothing(_: PyTree, __: Array, rows: Array) -> _Values:
        return _Values(jnp.zeros(n), jnp.zeros_like(rows), jnp.zeros(n), jnp.zeros_like(rows))

    evaluate = _evaluation(targets, block=block if block < n else None)
    return jax.lax.cond(some_active, evaluate, nothing, embedded, conditions, rows)


def _moved(
    targets: Targets,
    particles: Particles,
    beta: Float[Array, " p"],
    step_size: Float[Array, " p"],
    active: Bool[Array, " p"],
    keys: Key[Array, " p"],
    shared_key: PRNGKeyArray,
    settings: TemperingSettings,
) -> tuple[Particles, Float[Array, " p"], Float[Array, " p"]]:
    """Hamiltonian trajectories of all particles (Neal 2011): the last mean acceptance, and the tuned step size, follow.

    The momentum lives in coordinates whitened by the particles' covariance, so that its metric is the identity.
    """
    factor = jax.vmap(_cholesky)(particles.u)
    n, d = particles.u.shape[1:]

    def one_move(carry: tuple[Particles, Array], number: Array) -> tuple[tuple[Particles, Array], Array]:
        old, eps = carry
        length_key, jitter_key = jax.random.split(jax.random.fold_in(shared_key, number))
        momentum_keys, accept_keys = jnp.moveaxis(jax.vmap(jax.random.split)(_own_keys(keys, number)), 1, 0)
        # One length for all: a loop whose length differs between particles runs to the longest for each.
        length = jax.random.randint(length_key, (), 1, settings.max_steps + 1)
        jittered = (eps * jax.random.uniform(jitter_key, (), minval=0.8, maxval=1.2))[:, None, None]
        momentum = jax.vmap(lambda k: jax.random.normal(k, (n, d)))(momentum_keys)
        new, new_momentum = _trajectory(targets, old, momentum, beta, jittered, length, factor, active)
        gain = new.log_density(beta) - old.log_density(beta)
        gain -= 0.5 * (jnp.sum(new_momentum**2, axis=2) - jnp.sum(momentum**2, axis=2))
        chosen, rate = _accepted(new, old, gain, accept_keys)
        # Towards 80 % acceptance; a whole factor per move, since each is tried on hundreds of particles.
        eps = jnp.clip(eps * jnp.exp(rate - 0.8), 1e-4, 1.5)
        return (chosen, eps), rate

    (particles, step_size), rates = jax.lax.scan(one_move, (particles, step_size), jnp.arange(settings.moves))
    return particles, rates[-1], step_size


def _cholesky(u: Float[Array, "n d"]) -> Float[Array, "d d"]:
    """Factor of the particles' covariance, kept positive definite where they have nearly collapsed."""
    centred = u - jnp.mean(u, axis=0)[None]
    covariance = centred.T @ centred / u.shape[0]
    # A floor relative to each coordinate's own variance: their scales may be millions apart.
    return jnp.linalg.cholesky(covariance + jnp.diag(1e-6 * jnp.diag(covariance) + 1e-20))


def _trajectory(
    targets: Targets,
    start: Particles,
    momentum: Float[Array, "p n d"],
    beta: Float[Array, " p"],
    step_size: Float[Array, "p 1 1"],
    length: Int[Array, ""],
    factor: Float[Array, "p d d"],
    active: Bool[Array, " p"],
) -> tuple[Particles, Float[Array, "p n d"]]:
    """`length` leapfrog steps of every particle, of its place and of its whitened momentum."""

    def kick(momentum: Array, at: Particles, share: float) -> Array:
        return momentum + share * step_size * jnp.einsum("pnd,pde->pne", at.gradient(beta), factor)

    def leapfrog(_: Any, carry: tuple[Particles, Array]) -> tuple[Particles, Array]:
        at, momentum = carry
        momentum = kick(momentum, at, 0.5)
        at = _evaluated(targets, at.u + step_size * jnp.einsum("pne,pde->pnd", momentum, factor), active)
        return at, kick(momentum, at, 0.5)

    return jax.lax.fori_loop(0, length, leapfrog, (start, momentum))


def _accepted(
    new: Particles, old: Particles, gain: Float[Array, "p n"], keys: Key[Array, " p"]
) -> tuple[Particles, Float[Array, " p"]]:
    """Metropolis: the new particle with probability min(1, exp(gain)), else the old one; and its mean probability."""
    probability = jnp.where(jnp.isfinite(gain), jnp.exp(jnp.minimum(gain, 0.0)), 0.0)
    accept = jax.vmap(lambda k: jax.random.uniform(k, (gain.shape[1],)))(keys) < probability

    def pick(one: Array, other: Array) -> Array:
        return jnp.where(accept.reshape(*accept.shape, *(1,) * (one.ndim - 2)), one, other)

    return jax.tree.map(pick, new, old), jnp.mean(probability, axis=1)
