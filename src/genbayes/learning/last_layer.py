"""The last layer of a trained network, solved for by ridge regression."""

from typing import NamedTuple, cast

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ..runtime.compiling import compiled
from .folds import Folds
from .layers import ResidualMLP
from .ridge import RidgeResidual
from .shared_noise import SharedNoise

# Penalties that are tried, in units of the largest eigenvalue: from next to none to one that leaves the layer as it is.
_PENALTIES = np.logspace(-10, 2, 25)


def last_layers_solved(
    ensemble: RidgeResidual,
    theta: Float[np.ndarray, "n dim"],
    labels: Float[np.ndarray, "n k"],
    folds: Folds,
    noise: SharedNoise,
) -> tuple[RidgeResidual, Float[np.ndarray, "held_out k"]]:
    """The members with their last layers moved towards least squares, and their errors on held-out rows.

    The optimiser leaves a last layer near its least-squares value, and where it stands is noise, another in every run.
    The step is a ridge fit to what the trained member leaves over; the penalty of every output is the one that its
    held-out rows prefer, from next to none to one that leaves the layer as it is.

    Args:
        ensemble: trained members.
        theta: parameters, (n, dim).
        labels: to be predicted, (n, k).
        folds: units of rows of each member.
        noise: which rows share random numbers.
    """
    network = cast(ResidualMLP, ensemble.network)
    parts = _left_over(ensemble, jnp.asarray(theta), jnp.asarray(labels, jnp.float32))
    hidden, residual = (np.asarray(part, np.float64) for part in parts)
    members = range(len(residual))
    noise = noise.estimated(
        np.concatenate([residual[i, noise.rows(folds.validation[i])] for i in members]), folds.validation.reshape(-1)
    )
    weights, biases = np.array(network.last.weight, np.float64), np.array(network.last.bias, np.float64)
    errors = []
    for member, (train_units, held_out) in enumerate(zip(folds.train, folds.validation, strict=True)):
        steps = _ridge_steps(hidden[member], residual[member], train_units, noise)
        held_out_rows = noise.rows(held_out)
        tried = steps.left_over(hidden[member, held_out_rows], residual[member, held_out_rows])
        squares = np.stack([noise.whitened(errors_of_one, held_out) ** 2 for errors_of_one in tried])
        weight_step, bias_step = steps.chosen(np.argmin(np.mean(squares, axis=1), axis=0))
        weights[member] += weight_step
        biases[member] += bias_step
        scale = np.asarray(ensemble.scale[member])
        errors += [part * scale for part in _errors_of_new_rows(tried, squares, held_out, noise)]
    last = (jnp.asarray(weights, jnp.float32), jnp.asarray(biases, jnp.float32))
    network = eqx.tree_at(lambda module: (module.last.weight, module.last.bias), network, last)
    return eqx.tree_at(lambda module: module.network, ensemble, network), np.concatenate(errors)


class _Steps(NamedTuple):
    """Steps of a last layer's weights, by a ridge fit for each of some penalties; the last is no step at all.

    Attributes:
        mean: of the hidden units, (width,).
        weights: (penalties + 1, width, k).
        shifts: of the prediction at the mean, (penalties + 1, k).
    """

    mean: Float[np.ndarray, " width"]
    weights: Float[np.ndarray, "steps width k"]
    shifts: Float[np.ndarray, "steps k"]

    def left_over(
        self, hidden: Float[np.ndarray, "n width"], residual: Float[np.ndarray, "n k"]
    ) -> Float[np.ndarray, "steps n k"]:
        """What every step leaves of the residuals."""
        return residual - self.shifts[:, None] - (hidden - self.mean) @ self.weights

    def chosen(self, which: Int[np.ndarray, " k"]) -> tuple[Float[np.ndarray, "k width"], Float[np.ndarray, " k"]]:
        """The changes of weights and biases, by the step that is chosen for every output."""
        outputs = np.arange(len(which))
        step = self.weights[which, :, outputs].T
        return step.T, self.shifts[which, outputs] - self.mean @ step


def _ridge_steps(
    hidden: Float[np.ndarray, "n width"],
    residual: Float[np.ndarray, "n k"],
    units: Int[np.ndarray, " m"],
    noise: SharedNoise,
) -> _Steps:
    """The ridge fits of residuals to hidden units, over the rows of the given units."""
    rows, ones = noise.rows(units), noise.constant(units)
    features, left = (noise.whitened(part[rows], units) for part in (hidden, residual))
    mean, mean_left = (ones @ part / (ones @ ones) for part in (features, left))
    features, left = features - np.outer(ones, mean), left - np.outer(ones, mean_left)
    eigenvalues, vectors = np.linalg.eigh(features.T @ features)
    projected = vectors.T @ (features.T @ left)
    penalties = max(float(eigenvalues[-1]), 1e-30) * _PENALTIES
    inverses = 1 / (np.maximum(eigenvalues, 0.0) + penalties[:, None])
    steps = np.concatenate([vectors @ (inverses[:, :, None] * projected), np.zeros((1, *projected.shape))])
    shifts = np.concatenate([np.tile(mean_left, (len(penalties), 1)), np.zeros((1, len(mean_left)))])
    return _Steps(mean, steps, shifts)


def _errors_of_new_rows(
    tried: Float[np.ndarray, "steps n k"],
    squares: Float[np.ndarray, "steps n k"],
    held_out: Int[np.ndarray, " m"],
    noise: SharedNoise,
) -> list[Float[np.ndarray, "half k"]]:
    """Errors of held-out rows that the choice of the penalty has not seen.

    They are those of one half of the held-out units, with the penalty that the other half prefers.
    """
    halves = [noise.rows(half) for half in np.array_split(np.arange(len(held_out)), 2)]
    outputs = np.arange(tried.shape[2])
    errors = []
    for half, other in (halves, halves[::-1]):
        chosen = np.argmin(np.mean(squares[:, other], axis=1), axis=0)
        errors.append(tried[chosen, :, outputs].T[half])
    return errors


@compiled
def _left_over(
    ensemble: RidgeResidual, theta: Float[Array, "n dim"], labels: Float[Array, "n k"]
) -> tuple[Float[Array, "members n width"], Float[Array, "members n k"]]:
    """What enters the networks' last layers, and what the members leave of the labels, in units of their scale."""

    def of_member(module: RidgeResidual) -> tuple[Array, Array]:
        z = jax.vmap(module.standardise)(theta)
        hidden = jax.vmap(cast(ResidualMLP, module.network).hidden)(z)
        return hidden, (labels - jax.vmap(module)(theta)) / module.scale[None]

    return eqx.filter_vmap(of_member)(ensemble)
