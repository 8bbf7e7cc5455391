"""Particles of a tempered run, and the Hamiltonian trajectories that move them at one temperature."""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key, PRNGKeyArray, PyTree

from .target import Targets

# Particles of one observation that are evaluated together on a CPU. The hidden layers of all particles of a stack do
# not fit its cache: four networks of 64 units then take three times as long.
_CACHED_ROWS = 500


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


def own_keys(keys: Key[Array, " p"], stage: Int[Array, ""]) -> Key[Array, " p"]:
    """A key of each population for one stage."""
    return jax.vmap(jax.random.fold_in, (0, None))(keys, stage)


class _Values(NamedTuple):
    """Log prior density and cost of rows of u, with their gradients."""

    log_prior: Array
    prior_gradient: Array
    cost: Array
    cost_gradient: Array


def evaluated(targets: Targets, u: Float[Array, "p n d"], active: Bool[Array, " p"], devices: int = 1) -> Particles:
    """Particles at u; on one CPU device, those of an observation none of whose populations is active are skipped.

    What stands in their place is not to be used: the slowest of the observations that run side by side takes a
    third more stages than the average one, and a chunk may be filled up with observations that are not wanted.
    """
    m = targets.conditions.shape[0]
    together = u.reshape(m, -1, u.shape[-1])
    if jax.default_backend() == "cpu" and devices == 1:
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
    # The blocks are of equal size, where that can be.
    block = -(-n // -(-n // _CACHED_ROWS))

    def nothing(_: PyTree, __: Array, rows: Array) -> _Values:
        return _Values(jnp.zeros(n), jnp.zeros_like(rows), jnp.zeros(n), jnp.zeros_like(rows))

    evaluate = _evaluation(targets, block=block if block < n else None)
    return jax.lax.cond(some_active, evaluate, nothing, embedded, conditions, rows)


def moved(
    targets: Targets,
    particles: Particles,
    beta: Float[Array, " p"],
    step_size: Float[Array, " p"],
    active: Bool[Array, " p"],
    keys: Key[Array, " p"],
    shared_key: PRNGKeyArray,
    *,
    moves: int,
    max_steps: int,
    devices: int = 1,
) -> tuple[Particles, Float[Array, " p"], Float[Array, " p"]]:
    """Moves all particles along Hamiltonian trajectories that leave exp(-beta cost) prior unchanged (Neal 2011).

    The momentum lives in coordinates whitened by the particles' covariance, so that its metric is the identity.

    Args:
        targets: whose densities these are.
        particles: to be moved.
        beta: inverse temperature of each population.
        step_size: of each population.
        active: whether a population is to be moved; what stands in the place of others is not to be used.
        keys: of each population.
        shared_key: of what all populations share, the length of the trajectories and their jitter.
        moves: number of trajectories.
        max_steps: bound on the leapfrog steps of a trajectory.
        devices: over which populations and particles are divided.

    Returns:
        The particles, the mean acceptance of the last trajectory and the tuned step size.
    """
    factor = jax.vmap(_cholesky)(particles.u)
    n, d = particles.u.shape[1:]

    def one_move(carry: tuple[Particles, Array], number: Array) -> tuple[tuple[Particles, Array], Array]:
        old, eps = carry
        length_key, jitter_key = jax.random.split(jax.random.fold_in(shared_key, number))
        momentum_keys, accept_keys = jnp.moveaxis(jax.vmap(jax.random.split)(own_keys(keys, number)), 1, 0)
        # All have one length: a loop whose length differs between particles runs to the longest for each.
        length = jax.random.randint(length_key, (), 1, max_steps + 1)
        jittered = (eps * jax.random.uniform(jitter_key, (), minval=0.8, maxval=1.2))[:, None, None]
        momentum = _normal(momentum_keys, n, d)
        new, new_momentum = _trajectory(targets, old, momentum, beta, jittered, length, factor, active, devices)
        gain = new.log_density(beta) - old.log_density(beta)
        gain -= 0.5 * (jnp.sum(new_momentum**2, axis=2) - jnp.sum(momentum**2, axis=2))
        chosen, rate = _accepted(new, old, gain, accept_keys)
        # This aims at 80 % acceptance, by a whole factor per move, since each is tried on hundreds of particles.
        eps = jnp.clip(eps * jnp.exp(rate - 0.8), 1e-4, 1.5)
        return (chosen, eps), rate

    (particles, step_size), rates = jax.lax.scan(one_move, (particles, step_size), jnp.arange(moves))
    return particles, rates[-1], step_size


def _normal(keys: Key[Array, " p"], n: int, d: int) -> Float[Array, "p n d"]:
    """Standard normal numbers. Of rows of d numbers, and fused with what reads them, they took five times as long."""
    flat = jax.vmap(lambda k: jax.random.normal(k, (n * d,)))(keys)
    return jax.lax.optimization_barrier(flat).reshape(-1, n, d)


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
    devices: int,
) -> tuple[Particles, Float[Array, "p n d"]]:
    """`length` leapfrog steps of every particle, of its place and of its whitened momentum."""

    def kick(momentum: Array, at: Particles, share: float) -> Array:
        return momentum + share * step_size * jnp.einsum("pnd,pde->pne", at.gradient(beta), factor)

    def leapfrog(_: Any, carry: tuple[Particles, Array]) -> tuple[Particles, Array]:
        at, momentum = carry
        momentum = kick(momentum, at, 0.5)
        at = evaluated(targets, at.u + step_size * jnp.einsum("pne,pde->pnd", momentum, factor), active, devices)
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
