"""The compiled program of tempered sequential Monte Carlo (Del Moral, Doucet, Jasra 2006, section 3.2.3).

Of every population of particles, from draws of the prior at inverse temperature b = 0:

1. temper: b' = the largest step up to the next beta at which the weights exp(-(b' - b) cost) keep the effective sample
   size (`_tempered`);
2. resample particles in proportion to these weights (`_resampled`);
3. move every particle by Hamiltonian trajectories that leave exp(-b' cost) prior unchanged (`moved`);
4. repeat; at a beta that is asked for move a few times more, and keep the particles (`_kept`).

log Z(b') - log Z(b) is estimated by the logarithm of the mean weight. All populations run side by side, each at its own
temperature; a stage is one round of 1 to 3 for all of them.
"""

from dataclasses import dataclass
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from blackjax.smc.ess import ess
from blackjax.smc.resampling import systematic
from jaxtyping import Array, Bool, Float, Int, Key, PRNGKeyArray, Shaped

from ..runtime.compiling import compiled_for_rows
from ..runtime.devices import divided_in_program
from .hamiltonian_moves import Particles, evaluated, moved, own_keys
from .target import Targets

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
    devices: int = 1

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
        ancestor: number of the draw of the prior that each particle descends from, (m, b, populations, particles).
        stages: of each population, (m, populations).
        per_stage: beta, acceptance, ess and step size of each stage, (stages, m, populations); NaN after the last.
    """

    theta: Float[Array, "m b populations particles dim"]
    cost: Float[Array, "m b populations particles"]
    log_evidence: Float[Array, "m b populations"]
    reached: Float[Array, "m b populations"]
    acceptance: Float[Array, "m b populations"]
    ancestor: Int[Array, "m b populations particles"]
    stages: Int[Array, "m populations"]
    per_stage: dict[str, Float[Array, "stages m populations"]]


class _State(eqx.Module):
    """All populations between two stages; each goes its own way from beta to beta, and rests after the last.

    Attributes:
        particles: of every population.
        ancestor: number of the draw of the prior that each particle descends from.
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
    ancestor: Int[Array, "p n"]
    reached: Float[Array, " p"]
    step_size: Float[Array, " p"]
    log_evidence: Float[Array, " p"]
    goal: Int[Array, " p"]
    stages_left: Int[Array, " p"]
    stages: Int[Array, " p"]
    stage: Int[Array, ""]
    kept: dict[str, Array]
    per_stage: dict[str, Float[Array, "stages p"]]


@compiled_for_rows
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
        lambda s: _stage(targets, s, own_keys(keys, s.stage), jax.random.fold_in(shared_key, s.stage), settings),
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
    u = divided_in_program(jax.vmap(jax.vmap(targets.start))(each), settings.devices)
    ancestor = jnp.broadcast_to(jnp.arange(settings.particles), u.shape[:2])
    if targets.success is not None:
        u, ancestor = _of_successes(targets, u, keys)
    most_stages = settings.max_stages + b * settings.final_stages
    return _State(
        particles=evaluated(targets, u, wanted, settings.devices),
        ancestor=ancestor,
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
            "ancestor": jnp.zeros((b, *u.shape[:2]), ancestor.dtype),
            "log_evidence": jnp.zeros((b, p)),
            "reached": jnp.zeros((b, p)),
            "acceptance": jnp.zeros((b, p)),
        },
        per_stage={k: jnp.full((most_stages, p), jnp.nan) for k in _PER_STAGE},
    )


def _of_successes(
    targets: Targets, u: Float[Array, "p n d"], keys: Key[Array, " p"]
) -> tuple[Float[Array, "p n d"], Int[Array, "p n"]]:
    """Draws of the prior as draws of the prior given success, and which of them these are.

    They are resampled by the probability of success.
    """
    populations, n = u.shape[0] // targets.conditions.shape[0], u.shape[1]

    def resampled(key: PRNGKeyArray, values: Array, conditions: Array) -> tuple[Array, Array]:
        target = targets.one(None, conditions)
        weights = jax.nn.softmax(jax.vmap(target.log_success)(values))
        chosen = systematic(jax.random.fold_in(key, n), weights, n)
        return values[chosen], chosen

    return jax.vmap(resampled)(keys, u, jnp.repeat(targets.conditions, populations, axis=0))


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
    before = (old.particles, old.ancestor)
    particles, ancestor = _resampled(before, log_weights, reached > old.reached, resample_keys)
    particles, acceptance, step_size = moved(
        targets,
        particles,
        reached,
        old.step_size,
        active,
        move_keys,
        shared_key,
        moves=settings.moves,
        max_steps=settings.max_steps,
        devices=settings.devices,
    )
    particles = jax.tree.map(lambda new, before: _where(active, new, before), particles, old.particles)
    arrived = active & ((reached >= goal_beta) | ~tempering)
    stages_left = jnp.where(arrived, old.stages_left - 1, old.stages_left)
    done = arrived & (stages_left == 0)
    told = (reached, acceptance, jax.vmap(ess)(log_weights) / settings.particles, step_size)
    result = {"log_evidence": log_evidence, "reached": reached, "acceptance": acceptance, "ancestor": ancestor}
    return _State(
        particles=particles,
        ancestor=ancestor,
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
    particles: tuple[Particles, Int[Array, "p n"]],
    log_weights: Float[Array, "p n"],
    moved_on: Bool[Array, " p"],
    keys: Key[Array, " p"],
) -> tuple[Particles, Int[Array, "p n"]]:
    """Systematic resampling within each population; one whose temperature has not changed keeps its particles."""
    n = log_weights.shape[1]
    chosen = jax.vmap(lambda k, w: systematic(k, w, n))(keys, jax.nn.softmax(log_weights, axis=1))
    chosen = jnp.where(moved_on[:, None], chosen, jnp.arange(n)[None])
    return jax.tree.map(lambda leaf: jax.vmap(lambda values, index: values[index])(leaf, chosen), particles)


def _kept(old: _State, now: dict[str, Array], done: Bool[Array, " p"], b: int) -> dict[str, Array]:
    """What is kept at every beta, with what the populations have that are done at their goal."""
    place = (jnp.minimum(old.goal, b - 1), jnp.arange(done.shape[0]))
    return {name: values.at[place].set(_where(done, now[name], values[place])) for name, values in old.kept.items()}


def _where(condition: Bool[Array, " p"], one: Shaped[Array, "p ..."], other: Shaped[Array, "p ..."]) -> Array:
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

    # The upper end is e, not 1: a step of 1 must be within reach of middles.
    (step, _), _ = jax.lax.scan(halve, (jnp.asarray(-30.0), jnp.asarray(1.0)), None, length=30)
    return jnp.where(left > 0, jnp.where(step >= 0, goal, reached + left * jnp.exp(step)), reached)
