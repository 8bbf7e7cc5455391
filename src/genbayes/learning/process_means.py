"""Means as Gaussian processes: for simulators of which only a few hundred runs can be had.

Outputs are put on the scale on which their noise is even, and regressed along their principal directions, which share
their noise (Higdon et al. 2008); one kernel serves them all. Leave-one-out densities choose the scales.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..runtime.compiling import on_device
from ..runtime.counts import evenly_spaced
from ..runtime.linear_algebra import on_one_thread
from .kernel_regression import KernelFit, Solution, bumps, fit_kernel, solve
from .layers import Standardiser, stack
from .mean_model import MeanModel
from .normal_equations import NormalEquations
from .polynomial import MOST_DEGREE, features_to
from .polynomial_means import RegressionData
from .shared_noise import SharedNoise
from .warps import LOGARITHM, ROOT, STRAIGHT, Warps, can_be_warped

# With more rows networks do as well.
MOST_ROWS = 3000
# Rows that are centres at most: each is paid for at every step of a sampler.
_MOST_CENTRES, _CENTRES_STEP = 512, 64
# Rows by which hyperparameters, and before them scales, are chosen; weights are those of all rows.
_ROWS_FOR_KERNEL, _ROWS_FOR_SCALES = 250, 150
# Principal directions at most, and rows to each at least.
_MOST_DIRECTIONS, _ROWS_PER_DIRECTION = 16, 8
# Share of the leading direction's deviation below which a direction holds nothing but rounding.
_LEAST_SHARE = 1e-5
# Least and greatest share of noise in the variance of a direction that a search starts from.
_LEAST_NOISE_SHARE, _MOST_NOISE_SHARE = 1e-3, 0.999


class ProcessMean(MeanModel):
    """Outputs from a Gaussian process along directions of warped outputs.

    latent(theta) = intercept + slopes z + sum_i weights_i exp(-|z / lengths - centres_i|^2 / 2), z standardises; the
    mean output is that of `warps` at middle + axes latent.

    Attributes:
        standardise: z(theta).
        centres: z of the runs, or of some of them, in units of the lengths.
        lengths: of every coordinate of z.
        weights: of every centre, for each direction.
        intercept: of each direction.
        slopes: of each direction.
        middle: mean of warped outputs.
        axes: directions of warped outputs.
        warps: scales of the outputs.
    """

    centres: Float[Array, "*members m width"]
    lengths: Float[Array, "*members width"]
    weights: Float[Array, "*members m r"]
    intercept: Float[Array, "*members r"]
    slopes: Float[Array, "*members r width"]
    middle: Float[Array, "*members k"]
    axes: Float[Array, "*members k r"]
    warps: Warps

    @property
    def outputs(self) -> int:
        """Number of outputs."""
        return self.middle.shape[-1]

    @property
    def network_share(self) -> float:
        """No output has a network."""
        return 0.0

    @property
    def is_multiplicative(self) -> bool:
        """Whether some output is regressed on another scale than its own."""
        return bool(np.any(np.asarray(self.warps.kind) != STRAIGHT))

    def __call__(self, theta: Float[Array, " dim"]) -> Float[Array, " k"]:
        """The prediction at one parameter."""
        z = self.standardise(theta)
        near = jnp.exp(-0.5 * jnp.sum(((z / self.lengths)[None] - self.centres) ** 2, axis=1))
        latent = self.intercept + z @ self.slopes.T + near @ self.weights
        return self.warps.mean(self.middle + latent @ self.axes.T)

    def mean_of_members(self, theta: Float[Array, " dim"]) -> Float[Array, " k"]:
        """The prediction by the mean of the members' weights: they share all else."""
        return self.merged()(theta)


@dataclass(frozen=True, eq=False)
class Processes:
    """Members with Gaussian processes, their errors on held-out rows, and errors of all rows left out one at a time.

    `left_out` are predictions of every row by the process of all others.
    """

    ensemble: ProcessMean
    errors: Float[np.ndarray, "held_out k"]
    left_out: Float[np.ndarray, "n k"]


class _Latent(NamedTuple):
    """Warped outputs along their principal directions."""

    centre: Float[np.ndarray, " k"]
    axes: Float[np.ndarray, "k r"]
    values: Float[np.ndarray, "n r"]

    def back(self, values: Float[np.ndarray, "n r"]) -> Float[np.ndarray, "n k"]:
        """From values along the directions to warped outputs."""
        return self.centre + values @ self.axes.T


class _Fitted(NamedTuple):
    """A process of all rows."""

    warps: Warps
    latent: _Latent
    kernel: KernelFit
    solution: Solution

    @property
    def left_out(self) -> Float[np.ndarray, "n k"]:
        """Predictions of warped outputs of rows left out."""
        return self.latent.back(self.latent.values - self.solution.errors)


@on_one_thread
def processes_fitted(data: RegressionData, noise: SharedNoise) -> Processes | None:
    """Fits hyperparameters to all rows and each member's weights to its training rows.

    Returns:
        The members; None where there are too many rows, or the outputs do not vary.
    """
    labels = data.labels + data.centre
    if len(labels) > MOST_ROWS or not np.any(labels.max(axis=0) > labels.min(axis=0)):
        return None
    best = _fitted(_best_scales(data.z, labels, noise), data.z, labels, noise, _ROWS_FOR_KERNEL)
    best = best._replace(warps=best.warps.levelled(labels, best.left_out))
    members, errors = [], []
    for train, held_out in zip(data.folds.train, data.folds.validation, strict=True):
        solution = solve(best.kernel, data.z, best.latent.values, noise, train, _MOST_CENTRES)
        rows = noise.rows(held_out)
        errors.append(labels[rows] - _predicted(best, solution, data.z[rows]))
        members.append(_module(best, solution, data.standardise))
    return Processes(stack(members), np.concatenate(errors), best.warps.mean_of_rows(best.left_out))


def _predicted(fitted: _Fitted, solution: Solution, z: Float[np.ndarray, "m width"]) -> Float[np.ndarray, "m k"]:
    """Outputs at other rows, in double precision."""
    near = bumps(z / fitted.kernel.lengths, solution.centres)
    warped = fitted.latent.back(solution.intercept + z @ solution.slopes.T + near @ solution.weights)
    return fitted.warps.mean_of_rows(warped)


def _module(fitted: _Fitted, solution: Solution, standardise: Standardiser) -> ProcessMean:
    """A member in single precision."""
    warps, latent = fitted.warps, fitted.latent
    # Centres of weight 0 make the numbers of centres few: programs are shared when simulations are added.
    missing = -len(solution.centres) % _CENTRES_STEP
    return ProcessMean(
        standardise,
        centres=_f32(np.pad(solution.centres, ((0, missing), (0, 0)))),
        lengths=_f32(fitted.kernel.lengths),
        weights=_f32(np.pad(solution.weights, ((0, missing), (0, 0)))),
        intercept=_f32(solution.intercept),
        slopes=_f32(solution.slopes),
        middle=_f32(latent.centre),
        axes=_f32(latent.axes),
        warps=jax.tree.map(_f32, warps),
    )


def _best_scales(z: Float[np.ndarray, "n width"], labels: Float[np.ndarray, "n k"], noise: SharedNoise) -> Warps:
    """The scale of each output on which the density of rows left out is the highest."""
    allowed = can_be_warped(labels)
    if not allowed.any():
        return Warps.of(np.full(labels.shape[1], STRAIGHT), labels)
    kinds, scores = (STRAIGHT, ROOT, LOGARITHM), []
    for kind in kinds:
        fitted = _fitted(Warps.of(np.where(allowed, kind, STRAIGHT), labels), z, labels, noise, _ROWS_FOR_SCALES)
        errors = fitted.warps.of_rows(labels) - fitted.left_out
        squares = np.maximum(np.mean(errors**2, axis=0), 1e-30)
        scores.append(np.mean(fitted.warps.log_slope(labels), axis=0) - 0.5 * np.log(squares))
    return Warps.of(np.where(allowed, np.array(kinds)[np.argmax(scores, axis=0)], STRAIGHT), labels)


def _fitted(
    warps: Warps, z: Float[np.ndarray, "n width"], labels: Float[np.ndarray, "n k"], noise: SharedNoise, most: int
) -> _Fitted:
    """Hyperparameters by at most so many rows, weights by all."""
    latent = _along_principal_directions(warps.of_rows(labels))
    units = evenly_spaced(len(noise.shared), max(1, most // noise.size))
    rows = noise.rows(units)
    values = latent.values / latent.values.std(axis=0)
    whiten = noise.whitened(np.eye(len(rows)), units) if noise.own < 1 and noise.shared.any() else None
    kernel = fit_kernel(z[rows], values[rows], _noise_share(z, values), whiten)
    everyone = np.arange(len(noise.shared))
    return _Fitted(warps, latent, kernel, solve(kernel, z, latent.values, noise, everyone, _MOST_CENTRES))


def _noise_share(z: Float[np.ndarray, "n width"], values: Float[np.ndarray, "n r"]) -> Float[np.ndarray, " r"]:
    """Of the unit variance of each direction, what the best polynomial leaves over."""
    _, sizes, features = features_to(z, MOST_DEGREE)
    equations = NormalEquations.of(features, values)
    left_over = np.min([equations.solved(size)[2] for size in sizes.values()], axis=0)
    return np.clip(left_over, _LEAST_NOISE_SHARE, _MOST_NOISE_SHARE)


def _along_principal_directions(warped: Float[np.ndarray, "n k"]) -> _Latent:
    """Principal directions of outputs in units of their standard deviations."""
    centre = warped.mean(axis=0)
    spread = warped.std(axis=0)
    spread = np.where(spread > 0, spread, 1.0)
    most = max(1, min(warped.shape[1], _MOST_DIRECTIONS, len(warped) // _ROWS_PER_DIRECTION))
    _, singular, directions = np.linalg.svd((warped - centre) / spread, full_matrices=False)
    directions = directions[:most][singular[:most] > _LEAST_SHARE * singular[0]]
    return _Latent(centre, directions.T * spread[:, None], (warped - centre) / spread @ directions.T)


def _f32(values: Any) -> Array:
    return on_device(values, np.float32)
