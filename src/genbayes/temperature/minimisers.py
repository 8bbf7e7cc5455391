"""Best parameters of many observations at once: damped Newton steps from the best of many starts."""

from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..runtime.compiling import compiled
from ..sampling.posterior import GibbsPosterior
from ..sampling.target import Target

# Newton steps from each start.
_STEPS = 60
# Candidates of least cost from which a search starts.
_STARTS = 4


@dataclass(frozen=True)
class Minimisers:
    """Best parameters of resampled observations, in unconstrained coordinates u.

    Attributes:
        u: (r, d).
        left: how much lower the cost would still be at the foot of the parabola there, (r,).
        fall: how far the cost lies below that of a typical draw of the prior, (r,).
        gradient: of the cost of the observation itself there, (r, d).
        hessian: of the same, (r, d, d).
        prior_gradient: of the log of prior density times probability of success there, (r, d), which the posterior
            multiplies by exp(-beta cost).
    """

    u: Float[np.ndarray, "r d"]
    left: Float[np.ndarray, " r"]
    fall: Float[np.ndarray, " r"]
    gradient: Float[np.ndarray, "r d"]
    hessian: Float[np.ndarray, "r d d"]
    prior_gradient: Float[np.ndarray, "r d"]


def minimisers(
    posterior: GibbsPosterior, sets: Float[np.ndarray, "r trials trial_dim"], candidates: Float[Array, "s dim"]
) -> Minimisers:
    """Minimises the cost of every resampled set, from the best of the candidates."""
    cost, prior = posterior.cost, posterior.prior
    known = np.asarray(list(posterior.conditions.values()), np.float32)
    embedded, success = cost.embed(posterior.x_o), cost.success_of_prior
    target = Target(cost.expectation, embedded, jnp.asarray(known), jnp.ones(()), prior, success)
    parts = _minimise(target, jnp.asarray(cost.frame(sets)), prior.to_unconstrained(candidates))
    return Minimisers(*(np.asarray(part, np.float64) for part in parts))


@compiled
def _minimise(target: Target, sets: Float[Array, "r trials trial_dim"], starts: Float[Array, "s d"]) -> tuple:
    """The minimisers of all sets, one set after another; what `Minimisers` holds."""

    def one(x: Float[Array, "trials trial_dim"]) -> tuple[Array, ...]:
        resampled = eqx.tree_at(lambda t: t.embedded, target, target.form.embed(x), is_leaf=lambda leaf: leaf is None)
        values = jax.vmap(resampled.cost)(starts)
        values = jnp.where(jnp.isfinite(values), values, jnp.inf)
        best = starts[jnp.argsort(values)[:_STARTS]]
        ends, lowest, left = jax.vmap(lambda u: _descend(resampled, u))(best)
        winner = jnp.argmin(lowest)
        u = ends[winner]
        derivatives = jax.grad(target.cost)(u), jax.hessian(target.cost)(u), jax.grad(target.log_prior)(u)
        return u, left[winner], jnp.nanmedian(values) - lowest[winner], *derivatives

    return jax.lax.map(one, sets, batch_size=32)


def _descend(target: Target, start: Float[Array, " d"]) -> tuple[Array, Array, Array]:
    """Newton's method with curvatures taken as positive, damped until the cost falls (Levenberg 1944)."""

    def step(carry: tuple[Array, Array, Array], _: None) -> tuple[tuple[Array, Array, Array], None]:
        u, value, damping = carry
        new = u - _newton_step(target, u, damping)
        new_value = target.cost(new)
        better = new_value <= value
        u, value = jnp.where(better, new, u), jnp.where(better, new_value, value)
        return (u, value, jnp.clip(damping * jnp.where(better, 0.3, 5.0), 1e-6, 1e6)), None

    first = (start, target.cost(start), jnp.asarray(1e-2))
    (u, value, _), _ = jax.lax.scan(step, first, None, length=_STEPS)
    # The gain of a last whole step, by the parabola there.
    left = jnp.abs(jnp.dot(jax.grad(target.cost)(u), _newton_step(target, u, jnp.asarray(1e-6)))) / 2
    return u, value, left


def _newton_step(target: Target, u: Float[Array, " d"], damping: Float[Array, ""]) -> Float[Array, " d"]:
    curvatures, axes = jnp.linalg.eigh(jax.hessian(target.cost)(u))
    sizes = jnp.abs(curvatures) + damping * jnp.max(jnp.abs(curvatures)) + 1e-37
    step = axes @ ((jax.grad(target.cost)(u) @ axes) / sizes)
    # In unconstrained coordinates a few units are a long way.
    return step / jnp.maximum(1.0, jnp.linalg.norm(step) / 2)
