"""Regression of labels on parameters: a polynomial ridge fit plus a network residual that starts at zero.

Where the truth is smooth, least squares has the smaller error and a network would only add noise; where it is not, the
network learns what a line leaves over. Held-out rows decide, for each output. Of few rows a Gaussian process makes more
than either: it is tried, too.
"""

from dataclasses import replace
from typing import NamedTuple

import equinox as eqx
import numpy as np
from jaxtyping import Bool, Float

from ..runtime.compiling import on_device
from ..runtime.progress import progress_bar
from .folds import Folds
from .layers import Standardiser, stack
from .lines import lines_fitted
from .mean_model import MeanModel
from .network_means import Networks, networks_fitted
from .polynomial import Polynomial, degrees
from .polynomial_means import Polynomials, RegressionData, polynomials_fitted
from .process_means import MOST_ROWS, processes_fitted
from .ridge import RidgeResidual
from .shared_noise import SharedNoise
from .streamed_rows import StreamedRows
from .training import FitConfig, FitRecord

# Share of the units of the second of two networks that are ReLU, for simulators that fold: |theta_1 + theta_2|, a
# threshold, a rate that cannot be negative. An x_o out of reach may have its posterior in such a corner, narrower than
# SiLU can bend. On smooth simulators the error's variance would grow by two fifths.
_CORNERED = 0.5
# Standard errors by which held-out rows have to be predicted better: by a Gaussian process than by all else, say.
_SURE_GAIN = 2.0
# Of so few rows a process that predicts better by this share of the squared error is taken: its centres are few, so
# draws take little time, and beyond doubt would be asked of some thirty held-out rows. For less, it has wiggles where
# a polynomial is straight: of 300 runs of a linear simulator its costs were off by a fifth more. Of kernels' features
# it gained nothing.
_FEW_ROWS, _LITTLE_GAIN = 300, 0.01
# Share of the median squared error below which an error is a coincidence, and all are equally good.
_COINCIDENCE = 0.01


class FittedMean(NamedTuple):
    """An ensemble that predicts means.

    Attributes:
        ensemble: the members, stacked along the leading axis of every array; Gaussian processes are of what they were
            given.
        record: of the networks' fit.
        left_out: predictions of every row by a fit that has not seen it, where the ensemble follows its own rows so
            closely that what it leaves of them is less than the noise; else None.
        lost_corners: whether networks with corners were tried, and those without predict better.
    """

    ensemble: MeanModel
    record: FitRecord
    left_out: Float[np.ndarray, "n all"] | None = None
    lost_corners: bool = False


def fit_mean(
    theta: Float[np.ndarray, "n dim"],
    labels: Float[np.ndarray, "n k"],
    folds: Folds,
    config: FitConfig,
    *,
    standardise: Standardiser,
    noise: SharedNoise,
    rng: np.random.Generator,
    name: str,
    progress: bool,
    weighted: bool = True,
    corners: bool = True,
    for_processes: Float[np.ndarray, "n all"] | None = None,
    stream: StreamedRows | None = None,
) -> FittedMean:
    """Regresses E[labels | theta] by squared loss, all outputs in the units of their own ridge residual.

    A polynomial is fitted to every output, then a network around a line. An output takes the network where held-out
    rows show that it is the better one; if any does, a second network with corners is tried in the first one's place.
    An output whose noise varies with the parameters is fitted with weights, and with a log link where that is better.

    Args:
        theta: parameters, (n, dim).
        labels: what to predict the mean of, (n, k).
        folds: units of rows of each member.
        config: see `FitConfig`.
        standardise: of parameters, see `best_coordinates`.
        noise: which rows share random numbers; a unit is a row where none do.
        rng: source of the networks' first weights and of batches.
        name: what is fitted, for messages.
        progress: show a progress bar.
        weighted: whether outputs may be fitted with weights; bounded ones, such as kernels, have nothing to gain.
        corners: whether a network with corners is tried at all.
        for_processes: what Gaussian processes regress where rows are few, if they are to be tried: the labels, or all
            outputs of which labels are the coordinates along a few orthonormal directions around the mean. A process
            finds its own directions; what a polynomial cannot follow is not in those that it finds.
        stream: all rows of a store and their labels, where those given are a part of them.
    """
    data = RegressionData.of(theta, labels, folds, standardise, stream)
    with progress_bar(f"fitting polynomials to the {name}", 1, progress) as advance:
        polynomials, noise = polynomials_fitted(data, noise, weighted=weighted)
        advance()
    shared = {"rng": rng, "name": name, "progress": progress}
    lines, noise_before = lines_fitted(data, polynomials, noise), noise
    curved, noise = networks_fitted(data, polynomials, lines, noise, config, cornered=0.0, **shared)
    worth, lost_corners = _worth_a_network(polynomials, curved, data, noise), False
    if corners and np.any(worth):
        shared["rival"] = curved.record
        if noise is not noise_before:
            lines = lines_fitted(data, polynomials, noise)
        other, noise_of_other = networks_fitted(data, polynomials, lines, noise, config, cornered=_CORNERED, **shared)
        seconds = {part: curved.record.seconds.get(part, 0.0) + took for part, took in other.record.seconds.items()}
        lost_corners = not _is_better(other, curved, polynomials, worth, data, noise_of_other)
        if not lost_corners:
            curved, noise = other, noise_of_other
            worth = _worth_a_network(polynomials, curved, data, noise)
        curved = replace(curved, record=replace(curved.record, seconds=seconds))
    errors = np.where(worth, curved.errors, polynomials.errors)
    # A polynomial of less than the highest degree that the rows allow, and no network: nothing is left to be found.
    highest = max(degrees(data.z.shape[1], len(data.z), standardise.groups))
    enough = not np.any(worth) and bool(np.all(polynomials.degree_of_each < highest))
    if for_processes is not None and not enough and len(labels) <= MOST_ROWS:
        with progress_bar(f"fitting Gaussian processes to the {name}", 1, progress) as advance:
            process = processes_fitted(RegressionData.of(theta, for_processes, folds, standardise), noise)
            advance()
        certain = len(labels) > _FEW_ROWS or not weighted
        if process is not None and _is_process_better(process.errors, errors, for_processes, data, noise, certain):
            return FittedMean(process.ensemble, curved.record, process.left_out, lost_corners)
    ensemble = polynomials.ensemble
    if np.any(worth):
        # The features that only the other outputs' polynomials use are paid for no longer.
        most = int(polynomials.degree_of_each[~worth].max(initial=1))
        basis = Polynomial.fit(data.z, most, standardise.groups)
        ensemble = _joined(ensemble, curved.ensemble, worth, stack([basis] * config.members))
    # What a log link predicts is not centred.
    linear = 1.0 if ensemble.log_link is None else 1.0 - np.asarray(ensemble.log_link)
    intercept = on_device(np.asarray(ensemble.intercept) + linear * data.centre[None], np.float32)
    ensemble = eqx.tree_at(lambda module: module.intercept, ensemble, intercept)
    return FittedMean(ensemble, curved.record, lost_corners=lost_corners)


def is_surely_better(squares: Float[np.ndarray, " held_out"], of_others: Float[np.ndarray, " held_out"]) -> bool:
    """Whether squared errors of held-out rows are smaller than others, by their logarithms and beyond doubt.

    Args:
        squares: of every held-out row.
        of_others: the same by what is there already.
    """
    gains = _gains(squares, of_others)
    return bool(np.mean(gains) > _SURE_GAIN * np.std(gains) / np.sqrt(len(gains)))


def _gains(
    squares: Float[np.ndarray, " held_out"], of_others: Float[np.ndarray, " held_out"]
) -> Float[np.ndarray, " held_out"]:
    """By how much the logarithms of squared errors are smaller than those of others."""
    floor = _COINCIDENCE * np.median(of_others)
    return np.log((of_others + floor) / (squares + floor))


def _is_process_better(
    errors: Float[np.ndarray, "held_out all"],
    others: Float[np.ndarray, "held_out k"],
    outputs: Float[np.ndarray, "n all"],
    data: RegressionData,
    noise: SharedNoise,
    certain: bool,
) -> bool:
    """Whether a Gaussian process predicts held-out rows better than all else, by a little or beyond doubt.

    A row counts by the logarithm of its squared error, all outputs together: so rows of small outputs count as much as
    those of large ones, among which the posterior of some observation lies just the same.
    """
    rows = noise.rows(data.held_out)
    # Across the directions along which the others predict, they predict the mean.
    of_all = _squares(outputs[rows] - outputs.mean(axis=0), data, noise)
    across = np.maximum(of_all - _squares(data.labels[rows], data, noise), 0.0)
    squares, of_others = _squares(errors, data, noise), _squares(others, data, noise) + across
    if certain:
        return is_surely_better(squares, of_others)
    return bool(np.mean(_gains(squares, of_others)) > _LITTLE_GAIN)


def _squares(
    errors: Float[np.ndarray, "held_out k"], data: RegressionData, noise: SharedNoise
) -> Float[np.ndarray, " held_out"]:
    """Of held-out rows, all outputs together."""
    return np.sum(noise.whitened(errors, data.held_out) ** 2, axis=1)


def _worth_a_network(
    polynomials: Polynomials, network: Networks, data: RegressionData, noise: SharedNoise
) -> Bool[np.ndarray, " k"]:
    """Which outputs the network predicts better than the polynomial by three standard errors, on held-out rows.

    In doubt they decide for the polynomial: a network where there is nothing for it to find adds its noise, and costs
    its time at every step of every sampler.
    """
    squares = (
        noise.whitened(_even(errors, polynomials, data, noise), data.held_out) ** 2
        for errors in (polynomials.errors, network.errors)
    )
    gain = np.subtract(*squares)
    return np.mean(gain, axis=0) > 3 * np.std(gain, axis=0) / np.sqrt(len(gain))


def _even(
    errors: Float[np.ndarray, "held_out k"], polynomials: Polynomials, data: RegressionData, noise: SharedNoise
) -> Float[np.ndarray, "held_out k"]:
    """Errors of held-out rows, those of weighted outputs in units of their standard deviation at the row."""
    precision = polynomials.precision
    return errors if precision is None else errors * precision[noise.rows(data.held_out)]


def _is_better(
    other: Networks,
    network: Networks,
    polynomials: Polynomials,
    worth: Bool[np.ndarray, " k"],
    data: RegressionData,
    noise: SharedNoise,
) -> bool:
    """Whether another network has smaller errors, in units of each output's variance about the polynomial.

    The outputs that need a network decide.
    """
    unit, of_network, of_other = (
        np.mean(noise.whitened(_even(errors, polynomials, data, noise), data.held_out)[:, worth] ** 2, axis=0)
        for errors in (polynomials.errors, network.errors, other.errors)
    )
    return bool(np.mean(of_other / unit) < np.mean(of_network / unit))


def _joined(
    smooth: RidgeResidual, curved: RidgeResidual, worth: Bool[np.ndarray, " k"], basis: Polynomial
) -> RidgeResidual:
    """The members with networks for the outputs that are worth one, with polynomials on `basis` for the others."""
    # A line's slopes, and those of every feature of the basis.
    size = curved.slopes.shape[2] + basis.chosen.shape[3]
    linear = np.pad(curved.slopes, ((0, 0), (0, 0), (0, size - curved.slopes.shape[2])))
    return RidgeResidual(
        smooth.standardise,
        basis,
        on_device(np.where(worth, curved.intercept, smooth.intercept)),
        on_device(np.where(worth[:, None], linear, np.asarray(smooth.slopes)[:, :, :size])),
        on_device(np.where(worth, curved.scale, 0.0), np.float32),
        curved.network,
        smooth.log_link,
        smooth.log_most,
    )
