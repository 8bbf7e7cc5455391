"""Adaptive tempered sequential Monte Carlo from the prior to the Gibbs posterior (Del Moral, Doucet, Jasra 2006)."""

from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from blackjax.smc.ess import ess
from blackjax.smc.resampling import systematic
from jaxtyping import Array, Float, Int, PRNGKeyArray

from ..compiling import compiled
from ..outcome import Outcome
from .target import Sampled, Target, check_count

_LADDER = ("lambda", "acceptance", "ess", "step_size")


@dataclass(frozen=True)
class SMC:
    """Particles move from the prior through exp(-lambda beta cost) prior, lambda from 0 to 1.

    Each step of lambda keeps the effective sample size of the reweighted particles at `ess_share`; they are then
    resampled and moved by Hamiltonian Monte Carlo AT THE NEW temperature, with the mass matrix of the particles and a
    step size tuned in every stage, so that the draws returned have equal weight. Independent populations are the
    chains of the result: their disagreement is what R-hat measures.

    Args:
        populations: independent particle systems, run side by side.
        min_particles: of each population; a small number of draws is a subset of them.
        ess_share: effective share of the particles after a step of lambda.
        moves: Hamiltonian trajectories per stage.
        final_moves: trajectories at the last stage, which undo the copies that resampling made.
        max_steps: leapfrog steps of a trajectory are uniform between 1 and this (fixed lengths can resonate).
        max_stages: bound on the temperatures.
    """

    populations: int = 4
    min_particles: int = 500
    ess_share: float = 0.5
    moves: int = 2
    final_moves: int = 6
    max_steps: int = 6
    max_stages: int = 200

    def __post_init__(self) -> None:
        for name in ("populations", "moves", "final_moves", "max_steps", "max_stages"):
            check_count("SMC", name, getattr(self, name), 1)
        check_count("SMC", "min_particles", self.min_particles, 50)
        if not 0 < self.ess_share < 1:
            raise ValueError(f"SMC: ess_share must lie between 0 and 1, got {self.ess_share!r}.")

    @property
    def name(self) -> str:
        """Of the method."""
        return "SMC"

    def run(self, target: Target, n: int, *, key: PRNGKeyArray) -> Sampled:
        """At least `n` draws; see `Sampler`."""
        per_chain = -(-n // self.populations)
        particles = max(per_chain, self.min_particles)
        theta, cost, stats = _sample(target, key, particles, self)
        # Copies of one ancestor stand side by side after resampling: a stride keeps few of them, a slice all.
        keep = np.linspace(0, particles - 1, per_chain).round().astype(int)
        stages = int(stats["stages"])
        ladder = {name: np.asarray(stats[name])[:stages].mean(axis=1) for name in _LADDER}
        statistics: dict[str, Any] = {
            "beta_ladder": ladder["lambda"] * float(target.beta),
            "acceptance": ladder["acceptance"],
            "ess": ladder["ess"],
            "step_size": ladder["step_size"],
            "log_evidence": float(_log_mean_exp(np.asarray(stats["log_evidence"]))),
            "log_evidence_per_population": np.asarray(stats["log_evidence"]),
            "particles": particles * self.populations,
        }
        outcome = self._judge(statistics, reached=float(np.asarray(stats["reached"]).min()), beta=float(target.beta))
        return Sampled(np.asarray(theta)[:, keep], np.asarray(cost)[:, keep], statistics, outcome)

    def _judge(self, statistics: dict[str, Any], *, reached: float, beta: float) -> Outcome:
        messages = []
        if not reached >= 1:
            messages.append(
                f"SMC stopped after {self.max_stages} temperatures at beta = {reached * beta:.4g} of {beta:.4g}: the "
                "draws are of that smaller beta. Raise SMC(max_stages=...) or lower beta."
            )
        acceptance = float(statistics["acceptance"][-1]) if len(statistics["acceptance"]) else 0.0
        if not acceptance >= 0.3:
            messages.append(
                f"Only {acceptance:.0%} of the last moves were accepted: the draws may hold copies of one another. "
                "Raise SMC(final_moves=...), or lower beta."
            )
        return Outcome(tuple(messages))


class _Point(eqx.Module):
    """Particles with the parts of their log density, so that a new temperature needs no new evaluation."""

    u: Float[Array, "p n d"]
    log_prior: Float[Array, "p n"]
    cost: Float[Array, "p n"]
    prior_gradient: Float[Array, "p n d"]
    cost_gradient: Float[Array, "p n d"]

    @classmethod
    def at(cls, target: Target, u: Float[Array, "p n d"]) -> "_Point":
        """Evaluates all particles."""

        def one(v: Array) -> tuple[Array, Array, Array, Array]:
            return *jax.value_and_grad(target.log_prior)(v), *jax.value_and_grad(target.cost)(v)

        log_prior, prior_gradient, cost, cost_gradient = jax.vmap(jax.vmap(one))(u)
        # A cost that is NaN or infinite forbids the place; infinity itself would make 0 * inf of it at lambda = 0.
        return cls(u, log_prior, jnp.where(jnp.isfinite(cost), cost, 1e30), prior_gradient, cost_gradient)

    def log_density(self, beta: Float[Array, " p"]) -> Float[Array, "p n"]:
        """At inverse temperatures `beta`, one of each population."""
        return self.log_prior - beta[:, None] * self.cost

    def gradient(self, beta: Float[Array, " p"]) -> Float[Array, "p n d"]:
        """Of the log density with respect to u."""
        return self.prior_gradient - beta[:, None, None] * self.cost_gradient


class _State(eqx.Module):
    """All populations between two stages."""

    point: _Point
    reached: Float[Array, " p"]
    step_size: Float[Array, " p"]
    log_evidence: Float[Array, " p"]
    stage: Int[Array, ""]
    stages_left: Int[Array, ""]
    ladder: dict[str, Float[Array, "stages p"]]


@compiled
def _sample(target: Target, key: PRNGKeyArray, particles: int, config: SMC) -> tuple[Array, Array, dict[str, Array]]:
    p = config.populations
    extra_stages = -(-config.final_moves // config.moves)
    start_key, key = jax.random.split(key)
    u = jax.vmap(target.start)(jax.random.split(start_key, p * particles)).reshape(p, particles, -1)
    state = _State(
        point=_Point.at(target, u),
        reached=jnp.zeros(p),
        step_size=jnp.full(p, 0.5),
        log_evidence=jnp.zeros(p),
        stage=jnp.zeros((), int),
        stages_left=jnp.asarray(extra_stages),
        ladder={k: jnp.zeros((config.max_stages + extra_stages, p)) for k in _LADDER},
    )
    state = jax.lax.while_loop(
        lambda s: s.stages_left > 0, lambda s: _stage(target, s, jax.random.fold_in(key, s.stage), config), state
    )
    theta = target.prior.from_unconstrained(state.point.u)
    stats = {"log_evidence": state.log_evidence, "stages": state.stage, "reached": state.reached}
    return theta, state.point.cost, {**state.ladder, **stats}


def _stage(target: Target, state: _State, key: PRNGKeyArray, config: SMC) -> _State:
    """Next lambda, resampling, moves at the new lambda; at lambda = 1, moves only."""
    resample_key, move_key = jax.random.split(key)
    particles = state.point.u.shape[1]
    energy = target.beta * state.point.cost
    tempering = state.stage < config.max_stages
    reached = jax.vmap(lambda e, low: _next_lambda(e, low, config.ess_share))(energy, state.reached)
    reached = jnp.where(tempering, reached, state.reached)
    log_weights = -(reached - state.reached)[:, None] * energy
    log_evidence = state.log_evidence + jax.nn.logsumexp(log_weights, axis=1) - jnp.log(particles)
    keys = jax.random.split(resample_key, config.populations)
    chosen = jax.vmap(lambda k, w: systematic(k, w, particles))(keys, jax.nn.softmax(log_weights, axis=1))
    # A population that has arrived keeps its particles.
    chosen = jnp.where((reached > state.reached)[:, None], chosen, jnp.arange(particles)[None])
    point = jax.tree.map(lambda leaf: jax.vmap(lambda one, index: one[index])(leaf, chosen), state.point)
    point, acceptance, step_size = _move(target, point, reached, state.step_size, move_key, config)
    row = (reached, acceptance, jax.vmap(ess)(log_weights) / particles, step_size)
    arrived = jnp.all(reached >= 1) | ~tempering
    return _State(
        point=point,
        reached=reached,
        step_size=step_size,
        log_evidence=log_evidence,
        stage=state.stage + 1,
        stages_left=jnp.where(arrived, state.stages_left - 1, state.stages_left),
        ladder={k: state.ladder[k].at[state.stage].set(value) for k, value in zip(_LADDER, row, strict=True)},
    )


def _next_lambda(energy: Float[Array, " n"], reached: Float[Array, ""], share: float) -> Float[Array, ""]:
    """Largest lambda whose reweighting keeps the effective sample size, by bisection on the logarithm of the step.

    On the logarithm, because from a vague prior the first step may be a millionth of the way.
    """
    left = 1 - reached

    def halve(bounds: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], None]:
        low, high = bounds
        middle = (low + high) / 2
        enough = ess(-jnp.exp(middle) * left * energy) >= share * energy.shape[0]
        return (jnp.where(enough, middle, low), jnp.where(enough, high, middle)), None

    # Starting at e: the first middle tried need not be the whole step, but a step of 1 must be within reach.
    (step, _), _ = jax.lax.scan(halve, (jnp.asarray(-30.0), jnp.asarray(1.0)), None, length=30)
    return jnp.where(left > 0, jnp.where(step >= 0, 1.0, reached + left * jnp.exp(step)), 1.0)


def _cholesky(u: Float[Array, "n d"]) -> Float[Array, "d d"]:
    """Factor of the particles' covariance, kept positive definite where they have nearly collapsed."""
    centred = u - jnp.mean(u, axis=0)[None]
    covariance = centred.T @ centred / u.shape[0]
    # A floor relative to each coordinate's own variance: their scales may be millions apart.
    return jnp.linalg.cholesky(covariance + jnp.diag(1e-6 * jnp.diag(covariance) + 1e-20))


def _move(
    target: Target,
    point: _Point,
    reached: Float[Array, " p"],
    step_size: Float[Array, " p"],
    key: PRNGKeyArray,
    config: SMC,
) -> tuple[_Point, Float[Array, " p"], Float[Array, " p"]]:
    """Hamiltonian trajectories of all particles; returns the last mean acceptance and the tuned step size.

    The momentum lives in coordinates whitened by the particles' covariance, so that its metric is the identity.
    """
    beta = reached * target.beta
    factor = jax.vmap(_cholesky)(point.u)

    def one_move(carry: tuple[_Point, Array], k: PRNGKeyArray) -> tuple[tuple[_Point, Array], Array]:
        old, eps = carry
        length_key, jitter_key, momentum_key, accept_key = jax.random.split(k, 4)
        # One length for all: a loop whose length differs between particles runs to the longest for each.
        length = jax.random.randint(length_key, (), 1, config.max_steps + 1)
        jittered = (eps * jax.random.uniform(jitter_key, (), minval=0.8, maxval=1.2))[:, None, None]
        momentum = jax.random.normal(momentum_key, old.u.shape)

        def kick(momentum: Array, at: _Point, share: float) -> Array:
            return momentum + share * jittered * jnp.einsum("pnd,pde->pne", at.gradient(beta), factor)

        def leapfrog(_: Any, carry: tuple[_Point, Array]) -> tuple[_Point, Array]:
            at, momentum = carry
            momentum = kick(momentum, at, 0.5)
            at = _Point.at(target, at.u + jittered * jnp.einsum("pne,pde->pnd", momentum, factor))
            return at, kick(momentum, at, 0.5)

        new, new_momentum = jax.lax.fori_loop(0, length, leapfrog, (old, momentum))
        gain = new.log_density(beta) - old.log_density(beta)
        gain -= 0.5 * (jnp.sum(new_momentum**2, axis=2) - jnp.sum(momentum**2, axis=2))
        probability = jnp.where(jnp.isfinite(gain), jnp.exp(jnp.minimum(gain, 0.0)), 0.0)
        accept = jax.random.uniform(accept_key, probability.shape) < probability

        def pick(one: Array, other: Array) -> Array:
            return jnp.where(accept.reshape(*accept.shape, *(1,) * (one.ndim - 2)), one, other)

        rate = jnp.mean(probability, axis=1)
        # Towards 80 % acceptance; a whole factor per move, since each is tried on hundreds of particles.
        eps = jnp.clip(eps * jnp.exp(rate - 0.8), 1e-4, 1.5)
        return (jax.tree.map(pick, new, old), eps), rate

    (point, step_size), rates = jax.lax.scan(one_move, (point, step_size), jax.random.split(key, config.moves))
    return point, rates[-1], step_size


def _log_mean_exp(values: np.ndarray) -> float:
    top = values.max()
    return float(top + np.log(np.mean(np.exp(values - top))))
