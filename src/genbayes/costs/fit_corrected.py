"""Fits the cost of a dear simulator to few of its runs and many of a cheap one.

The cost is an expectation, so E[d | dear] = E[d | cheap] + E[d | dear] - E[d | cheap], and the difference is learned
from pairs of runs. Where they share their random numbers it has little noise (control variates and multilevel Monte
Carlo: Heinrich 2001; Giles 2008). What is learned of the cheap simulator may be wrong by itself: its error is learned
with the difference.
"""

from dataclasses import replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..distances import HilbertDistance
from ..learning.control_variates import control_factors
from ..learning.coordinates import best_coordinates
from ..learning.corrected_mean import CorrectedMean
from ..learning.folds import Folds
from ..learning.mean_model import MeanModel
from ..learning.means import fit_mean, is_surely_better
from ..learning.shared_noise import SharedNoise
from ..learning.training import FitConfig, FitRecord
from ..runtime.compiling import compiled
from ..runtime.outcome import Outcome
from .corrected_spread import CorrectedSpread
from .fit_features import (
    errors_of_features,
    features_and_rests,
    fit_features,
    noise_squares,
    predicted_means,
    predicted_spread,
    spread_shares,
)
from .forms import HilbertForm
from .paired_runs import PairedRows


def fit_corrected(
    theta: Float[np.ndarray, "n dim"],
    x: Float[np.ndarray, "n *x_shape"],
    distance: HilbertDistance,
    folds: Folds,
    config: FitConfig,
    *,
    cheap: PairedRows,
    noise: SharedNoise,
    error_variance: Float[np.ndarray, "n coordinates"] | None = None,
    **shared: Any,
) -> tuple[HilbertForm, tuple[FitRecord, ...]]:
    """Regresses the cheap simulator's features, and the differences of pairs; then the spread likewise.

    Args:
        theta: parameters of the pairs, (n, dim).
        x: outputs of the dear simulator there, in the frame.
        distance: a distance with a feature map, fitted, in the frame.
        folds: units of rows of each member.
        config: see `FitConfig`.
        cheap: the cheap outputs of the same rows, and the rows of the cheap fit.
        noise: which rows share random numbers.
        error_variance: see `fit_features`; the cheap simulator's part is that of outputs without errors.
        shared: `rng`, `progress`, `levels`: see `fit_features`.
    """
    others = cheap.others
    base, records = fit_features(
        others.theta, cheap.x_of_others, distance, others.folds, config, noise=others.noise, reduced=False, **shared
    )
    alone, records_alone = fit_features(
        theta, x, distance, folds, config, noise=noise, error_variance=error_variance, **shared
    )
    features, rests = features_and_rests(distance, x)
    features_of_cheap, rests_of_cheap = features_and_rests(distance, cheap.partners)
    of_cheap = predicted_means(base.mean, theta)
    deviations = features_of_cheap - of_cheap
    away = features - of_cheap
    standardise, _ = best_coordinates(theta, away, shared["levels"])
    # As much of the cheap runs' deviations is taken off as moves with the labels: their mean stays what it is.
    differences = (away - control_factors(standardise, theta, away, deviations) * deviations).astype(np.float32)
    settings = {"standardise": standardise, "noise": noise, "rng": shared["rng"], "progress": shared["progress"]}
    fitted = fit_mean(theta, differences, folds, config, name="correction", for_processes=differences, **settings)
    mean = CorrectedMean(fitted.ensemble.standardise, base.mean, fitted.ensemble)
    errors_alone, errors = (
        _held_out_squares(form, theta, features, folds, noise) for form in (alone, replace(base, mean=mean))
    )
    if is_surely_better(errors_alone, errors):
        told = (
            "The cheap runs do not help: held-out runs are predicted better without them, and the cost is fitted to "
            "the dear runs alone. Are the pairs of runs at the same parameters, and do both simulators give the same "
            "quantities?"
        )
        return alone, _with_messages(records_alone, (*cheap.messages, told))
    predicted = predicted_means(mean, theta)
    left_out = predicted
    if fitted.left_out is not None:
        left_out = of_cheap + fitted.left_out
    errors = None if error_variance is None else errors_of_features(distance, x[0], error_variance)
    squares = noise_squares(features, predicted, left_out) + (0.0 if errors is None else errors)
    labels = rests + squares.sum(axis=1)
    # A spread that follows the mean is asked at the dear simulator's.
    around = predicted_spread(base.spread, theta, of_cheap)
    of_squares = (rests_of_cheap + np.sum(deviations**2, axis=1) - around)[:, None]
    to_add = (labels - predicted_spread(base.spread, theta, predicted))[:, None]
    to_add = to_add - control_factors(standardise, theta, to_add, of_squares) * of_squares
    small = replace(config, width=max(8, config.width // 2), depth=1)
    added = fit_mean(theta, to_add.astype(np.float32), folds, small, name="correction of spread", **settings)
    spread = CorrectedSpread(base.spread, added.ensemble)
    form = HilbertForm(distance, mean, spread, jnp.asarray(labels.min(), jnp.float32))
    if distance.reads_gaps and not form.reads_gaps:
        form = replace(form, shares=spread_shares(form, standardise, theta, features, predicted, left_out, errors))
    return form, _with_messages((fitted.record, added.record, *records), cheap.messages)


def _with_messages(records: tuple[FitRecord, ...], messages: tuple[str, ...]) -> tuple[FitRecord, ...]:
    """Records of which the first one says these things as well."""
    outcome = Outcome((*records[0].outcome.messages, *messages))
    return (replace(records[0], outcome=outcome), *records[1:])


def _held_out_squares(
    form: HilbertForm,
    theta: Float[np.ndarray, "n dim"],
    features: Float[np.ndarray, "n k"],
    folds: Folds,
    noise: SharedNoise,
) -> Float[np.ndarray, " held_out"]:
    """Squared errors of the mean features of held-out rows, by the members that have not seen them."""
    rows = noise.rows(folds.validation)
    predicted = np.asarray(_of_members(form.mean, jnp.asarray(theta)), np.float64)
    predicted = np.concatenate([predicted[rows[member], member] for member in range(len(rows))])
    if form.directions is not None:
        centre, axes = (np.asarray(part, np.float64) for part in (form.directions.centre, form.directions.axes))
        predicted = centre + predicted @ axes.T
    return np.sum((features[rows.reshape(-1)] - predicted) ** 2, axis=1)


@compiled
def _of_members(mean: MeanModel, theta: Float[Array, "n dim"]) -> Float[Array, "n members k"]:
    return jax.vmap(lambda parameter: eqx.filter_vmap(lambda member: member(parameter))(mean))(theta)
