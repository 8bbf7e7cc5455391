"""Fits the cost of a distance with a feature map: regressions of the mean features and of the spread around them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..distances import HilbertDistance
from ..learning.coordinates import best_coordinates
from ..learning.folds import Folds
from ..learning.layers import Standardiser
from ..learning.mean_model import MeanModel
from ..learning.means import fit_mean
from ..learning.process_means import ProcessMean
from ..learning.reduced_rank import Directions, signal_directions
from ..learning.shared_noise import SharedNoise
from ..learning.training import FitConfig, FitRecord
from ..learning.weighted_outputs import MOST_WEIGHTED
from ..runtime.compiling import compiled
from ..runtime.outcome import Outcome
from .forms import HilbertForm
from .noise_on_scales import NoiseOnScales, fit_noise_on_scales
from .spread import better_spread
from .spread_shares import SpreadShares


def fit_features(
    theta: Float[np.ndarray, "n dim"],
    x: Float[np.ndarray, "n *x_shape"],
    distance: HilbertDistance,
    folds: Folds,
    config: FitConfig,
    *,
    noise: SharedNoise,
    rng: np.random.Generator,
    progress: bool,
    levels: Mapping[int, Sequence[int]] | None = None,
    error_variance: Float[np.ndarray, "n coordinates"] | None = None,
) -> tuple[HilbertForm, tuple[FitRecord, ...]]:
    """Regresses E[features(x) | theta], then the spread of outputs around it.

    Args:
        theta: parameters, (n, dim).
        x: outputs, (n, *x_shape).
        distance: a distance with a feature map, fitted.
        folds: units of rows of each member.
        config: see `FitConfig`.
        noise: which rows share random numbers.
        rng: source of the networks' first weights and of batches.
        progress: show progress bars.
        levels: values of the parameters that are integers, by their numbers.
        error_variance: of an error of measurement of every number of the outputs, which these do not have, for a
            distance that is linear: it adds its variance to the spread, and nothing to the means.
    """
    features, rests = (np.asarray(part, np.float64) for part in _features_and_rests(distance, jnp.asarray(x)))
    coordinates = features
    train_rows = noise.rows(np.unique(folds.train))
    standardise, multiplicative = best_coordinates(theta[train_rows], features[train_rows], levels)
    directions = None
    # Log links are of outputs as they are, and take time.
    if not multiplicative or features.shape[1] > MOST_WEIGHTED:
        directions = signal_directions(theta, features, folds, standardise, noise)
    if directions is not None:
        along, across = _along_and_across(directions, jnp.asarray(features, jnp.float32))
        features, rests = np.asarray(along, np.float64), rests + np.asarray(across, np.float64)
    fitted = fit_mean(
        theta,
        features.astype(np.float32),
        folds,
        config,
        standardise=standardise,
        noise=noise,
        rng=rng,
        name="mean features",
        progress=progress,
        weighted=not distance.reads_sets,
        processes=True,
    )
    mean, mean_record = fitted.ensemble, fitted.record
    predicted = np.asarray(_predict(mean, jnp.asarray(theta)), np.float64)
    left_out = predicted if fitted.left_out is None else fitted.left_out
    squares = _noise_squares(features, predicted, left_out)
    errors = None if error_variance is None else _errors_of_features(distance, x[0], error_variance)
    if errors is not None and directions is None:
        squares = squares + errors
    elif errors is not None:
        # Along and across the directions.
        rests = rests + errors.sum(axis=1)
    # s - 2 <g, features> + ||g||^2, without the cancellation of large squares where outputs lie far from zero.
    labels = rests + np.sum(squares, axis=1)
    spread: MeanModel | NoiseOnScales
    # Scales on which noise is even are those of a simulator's own noise.
    if isinstance(mean, ProcessMean) and directions is None and errors is None:
        spread, spread_records = fit_noise_on_scales(mean, theta, left_out, squares, folds, noise), ()
    else:
        # The spread is one smooth function of few parameters: a small network learns it, and every draw costs less.
        small = replace(config, width=max(8, config.width // 2), depth=1)
        spread_fit = fit_mean(
            theta,
            labels[:, None].astype(np.float32),
            folds,
            small,
            standardise=standardise,
            noise=noise,
            rng=rng,
            name="spread",
            progress=progress,
            weighted=not distance.reads_sets,
        )
        spread, spread_records = spread_fit.ensemble, (spread_fit.record,)
        if mean.is_multiplicative:
            spread = better_spread(spread_fit.ensemble, theta, squares, labels, folds, noise)
    form = HilbertForm(distance, mean, spread, jnp.asarray(labels.min(), jnp.float32), directions)
    if distance.reads_gaps and not form.reads_gaps:
        form = replace(form, shares=_shares(form, standardise, theta, coordinates, predicted, left_out, errors))
    outcome = Outcome.joined([mean_record.outcome, distance.outcome])
    return form, (replace(mean_record, outcome=outcome), *spread_records)


def _errors_of_features(
    distance: HilbertDistance, x: Float[np.ndarray, "*x_shape"], variance: Float[np.ndarray, "n coordinates"]
) -> Float[np.ndarray, "n k"]:
    """Variances of linear features whose outputs have independent errors of these variances."""
    slopes = np.asarray(jax.jacobian(distance.features)(jnp.asarray(x)), np.float64)
    return variance @ (slopes.reshape(len(slopes), -1) ** 2).T


def _noise_squares(
    features: Float[np.ndarray, "n k"], predicted: Float[np.ndarray, "n k"], left_out: Float[np.ndarray, "n k"]
) -> Float[np.ndarray, "n k"]:
    """What has the variance around the mean as its own mean: squared deviations, where `left_out` is `predicted`.

    A process follows its own rows: it leaves less of them than the noise, and of rows left out more. So it is the
    product of both.
    """
    return np.maximum((features - predicted) * (features - left_out), 0.0)


def _shares(
    form: HilbertForm,
    standardise: Standardiser,
    theta: Float[np.ndarray, "n dim"],
    features: Float[np.ndarray, "n k"],
    predicted: Float[np.ndarray, "n r"],
    left_out: Float[np.ndarray, "n r"],
    errors: Float[np.ndarray, "n k"] | None,
) -> SpreadShares:
    """Of each coordinate in the spread, for observations with gaps."""
    assert isinstance(form.spread, MeanModel)  # else the form reads gaps without them
    spread = np.asarray(_predict(form.spread, jnp.asarray(theta)), np.float64).sum(axis=1)
    if form.directions is not None:
        centre, axes = (np.asarray(part, np.float64) for part in (form.directions.centre, form.directions.axes))
        predicted, left_out = (centre + part @ axes.T for part in (predicted, left_out))
    squares = _noise_squares(features, predicted, left_out) + (0.0 if errors is None else errors)
    spread = np.maximum(spread, float(form.least_spread))
    return SpreadShares.fit(standardise, theta, squares, spread)


@compiled
def _features_and_rests(distance: HilbertDistance, x: Float[Array, "n *x_shape"]) -> tuple[Array, Array]:
    """Features of each output, and the rest of its self term (as in `HilbertForm.embed`)."""

    # Outputs go through one block after the other: the kernel matrices of all rows at once could fill the memory.
    def of_output(output: Float[Array, "*x_shape"]) -> tuple[Array, Array]:
        features = distance.features(output)
        return features, distance.self_term(output) - jnp.sum(features**2)

    return jax.lax.map(of_output, x, batch_size=256)


@compiled
def _along_and_across(directions: Directions, features: Float[Array, "n k"]) -> tuple[Array, Array]:
    return jax.vmap(directions.along)(features), jax.vmap(directions.across)(features)


@compiled
def _predict(ensemble: MeanModel, theta: Float[Array, "n dim"]) -> Float[Array, "n k"]:
    return jax.vmap(lambda parameter: ensemble.mean_of_members(parameter))(theta)
