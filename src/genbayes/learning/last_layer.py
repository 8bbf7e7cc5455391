"""The last layer of a trained network, solved for by ridge regression."""

from typing import NamedTuple, cast

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from ..runtime.compiling import compiled, on_device
from . import row_blocks
from .folds import Folds
from .layers import ResidualMLP
from .normal_equations import NormalEquations
from .ridge import RidgeResidual
from .shared_noise import SharedNoise
from .streamed_rows import StreamedRows

# Penalties that are tried, in units of the largest eigenvalue: from next to none to one that leaves the layer as it is.
_PENALTIES = np.logspace(-10, 2, 25)


def last_layers_solved(
    ensemble: RidgeResidual,
    theta: Float[np.ndarray, "n dim"],
    labels: Float[np.ndarray, "n k"],
    folds: Folds,
    noise: SharedNoise,
    *,
    left_alone: Bool[np.ndarray, " k"],
    stream: StreamedRows | None = None,
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
        left_alone: outputs whose last layer stays: those that are no linear function of it, or fitted with weights.
        stream: all rows of a store and their labels, where those given are a part of them.
    """
    network = cast(ResidualMLP, ensemble.network)
    left = _LeftOver(ensemble, theta, labels)
    held_out_of_each = [left.of(member, noise.rows(units)) for member, units in enumerate(folds.validation)]
    noise = noise.estimated(
        np.concatenate([residual for _, residual in held_out_of_each]), folds.validation.reshape(-1)
    )
    weights, biases = np.array(network.last.weight, np.float64), np.array(network.last.bias, np.float64)
    equations = (left.equations(*units, noise) for units in enumerate(folds.train))
    if stream is not None:
        equations = left.equations_over(stream)
    errors = []
    for member, (of_member, held_out) in enumerate(zip(equations, folds.validation, strict=True)):
        steps = _ridge_steps(of_member)
        tried = steps.left_over(*held_out_of_each[member])
        squares = np.stack([noise.whitened(errors_of_one, held_out) ** 2 for errors_of_one in tried])
        # The last step is none.
        squares[:-1, :, left_alone] = np.inf
        weight_step, bias_step = steps.chosen(np.argmin(np.mean(squares, axis=1), axis=0))
        weights[member] += weight_step
        biases[member] += bias_step
        scale = np.asarray(ensemble.scale)[member]
        errors += [part * scale for part in _errors_of_new_rows(tried, squares, held_out, noise)]
    last = (on_device(weights, np.float32), on_device(biases, np.float32))
    network = eqx.tree_at(lambda module: (module.last.weight, module.last.bias), network, last)
    return eqx.tree_at(lambda module: module.network, ensemble, network), np.concatenate(errors)


class _LeftOver:
    """What enters a member's last layer at rows, and what the member leaves of their labels, in units of its scale.

    Few rows are computed once, for all members; many when they are asked for, a block at a time: of all rows and
    members together they would be the largest thing in the memory.
    """

    def __init__(self, ensemble: RidgeResidual, theta: Float[np.ndarray, "n dim"], labels: Float[np.ndarray, "n k"]):
        self._ensemble, self._theta, self._labels = ensemble, theta, labels
        self._all: tuple[Array, Array] | None = None
        if len(theta) <= row_blocks.BLOCK:
            self._all = _left_over(ensemble, on_device(theta), on_device(labels, np.float32))

    def of(
        self, member: int, rows: Int[np.ndarray, " m"]
    ) -> tuple[Float[np.ndarray, "m width"], Float[np.ndarray, "m k"]]:
        """Of some rows, by their numbers."""
        if self._all is not None:
            hidden, residual = (np.asarray(part)[member, rows].astype(np.float64) for part in self._all)
            return hidden, residual
        parts = row_blocks.blocks(len(self._theta), rows)
        found = [self._of_block(member, self._theta[part], self._labels[part]) for part in parts]
        hidden, residual = (np.concatenate(parts) for parts in zip(*found, strict=True))
        return hidden, residual

    def equations(self, member: int, units: Int[np.ndarray, " m"], noise: SharedNoise) -> NormalEquations:
        """The normal equations of residuals and hidden units, over the rows of the given units."""
        total = None
        for part in np.array_split(units, -(-len(units) * noise.size // row_blocks.BLOCK)):
            features, residual = (noise.whitened(of, part) for of in self.of(member, noise.rows(part)))
            own = NormalEquations.of(features, residual, noise.constant(part))
            total = own if total is None else total.joined(own)
        assert total is not None
        return total

    def equations_over(self, stream: StreamedRows) -> list[NormalEquations]:
        """Those of every member, over its training rows of a store."""
        totals: dict[int, NormalEquations] = {}
        for theta, labels, folds in stream:
            for member, rows in enumerate(folds.train):
                own = NormalEquations.of(*self._of_block(member, theta[rows], labels[rows]))
                totals[member] = totals[member].joined(own) if member in totals else own
        return [totals[member] for member in sorted(totals)]

    def _of_block(self, member: int, theta: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        alone = jax.tree.map(lambda leaf: leaf[member : member + 1], self._ensemble)
        # Filled up, so that blocks of all sizes are one program.
        filled = np.resize(np.arange(len(theta)), row_blocks.BLOCK)
        found = _left_over(alone, on_device(theta[filled]), on_device(labels[filled], np.float32))
        hidden, residual = (np.asarray(part[0], np.float64)[: len(theta)] for part in found)
        return hidden, residual


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


def _ridge_steps(equations: NormalEquations) -> _Steps:
    """The ridge fits of residuals to hidden units."""
    mean, mean_left = equations.means, equations.label_means
    eigenvalues, vectors = np.linalg.eigh(equations.products)
    projected = vectors.T @ equations.crossed
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
