"""Fits the cost of a distance with a feature map: regressions of the mean features and of the spread around them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from ..distances import HilbertDistance
from ..learning.coordinates import best_coordinates
from ..learning.folds import Folds
from ..learning.layers import Standardiser
from ..learning.mean_model import MeanModel
from ..learning.means import fit_mean
from ..learning.process_means import ProcessMean
from ..learning.reduced_rank import Directions, signal_directions
from ..learning.shared_noise import SharedNoise
from ..learning.streamed_rows import StreamedRows
from ..learning.training import FitConfig, FitRecord
from ..learning.weighted_outputs import MOST_WEIGHTED
from ..runtime.compiling import compiled, on_device, over_rows
from ..runtime.outcome import Outcome
from .forms import HilbertForm
from .noise_on_scales import fit_noise_on_scales
from .spread import better_spread
from .spread_around_mean import Spread, spread_of_members
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
    reduced: bool = True,
    stream: StreamedRows | None = None,
    error_variance: Float[np.ndarray, "n coordinates"] | None = None,
    deviations: Float[np.ndarray, "n *x_shape"] | None = None,
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
        reduced: whether many features may be regressed along a few directions alone.
        stream: all rows of a store and their outputs, where those given are a part of them.
        error_variance: of an error of measurement of every number of the outputs, which these do not have, for a
            distance that is linear: it adds its variance to the spread, and nothing to the means.
        deviations: of such an error, for a distance that is not: features and self terms are means over the errors.
    """
    features, rests = features_and_rests(distance, x, deviations)
    coordinates, rests_of_all = features, rests
    train_rows = noise.rows(np.unique(folds.train))
    standardise, multiplicative = best_coordinates(theta[train_rows], features[train_rows], levels)
    directions = None
    # Log links are of outputs as they are, and take time.
    if reduced and (not multiplicative or features.shape[1] > MOST_WEIGHTED):
        directions = signal_directions(theta, features, folds, standardise, noise)
    if directions is not None:
        along, across = _along_and_across(directions, on_device(features, np.float32))
        features, rests = np.asarray(along, np.float64), rests + np.asarray(across, np.float64)
    of_block = partial(_of_block, distance, directions)
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
        for_processes=features if distance.reads_sets else coordinates,
        stream=None if stream is None else stream.mapped(lambda _, x: of_block(x)[0].astype(np.float32)),
    )
    mean, mean_record = fitted.ensemble, fitted.record
    if isinstance(mean, ProcessMean) and not distance.reads_sets:
        directions, features, rests = None, coordinates, rests_of_all
    predicted = predicted_means(mean, theta)
    left_out = predicted if fitted.left_out is None else fitted.left_out
    squares = noise_squares(features, predicted, left_out)
    errors = None if error_variance is None else errors_of_features(distance, x[0], error_variance)
    if errors is not None and directions is None:
        squares = squares + errors
    elif errors is not None:
        # Along and across the directions.
        rests = rests + errors.sum(axis=1)
    # s - 2 <g, features> + ||g||^2, without the cancellation of large squares where outputs lie far from zero.
    labels = rests + np.sum(squares, axis=1)
    spread: Spread
    # Noise that follows the means is that of the simulator alone, without an error of measurement. What a distance of
    # sets has beside its features is in the labels only.
    of_simulator = errors is None and deviations is None and not distance.reads_sets
    if isinstance(mean, ProcessMean) and of_simulator:
        spread, spread_records = fit_noise_on_scales(mean, theta, features, left_out, squares, folds, noise), ()
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
            # A simulator whose means have no corners seldom has them in its noise.
            corners=not fitted.lost_corners,
            stream=None if stream is None else stream.mapped(partial(_spread_labels, mean, of_block)),
        )
        spread, spread_records = spread_fit.ensemble, (spread_fit.record,)
        if mean.is_multiplicative:
            spread = better_spread(spread_fit.ensemble, theta, squares, labels, folds, noise)
    form = HilbertForm(distance, mean, spread, on_device(labels.min(), np.float32), directions)
    if distance.reads_gaps and not form.reads_gaps:
        form = replace(form, shares=spread_shares(form, standardise, theta, coordinates, predicted, left_out, errors))
    outcome = Outcome.joined([mean_record.outcome, distance.outcome])
    return form, (replace(mean_record, outcome=outcome), *spread_records)


def features_and_rests(
    distance: HilbertDistance,
    x: Float[np.ndarray, "n *x_shape"],
    deviations: Float[np.ndarray, "n *x_shape"] | None = None,
) -> tuple[Float[np.ndarray, "n k"], Float[np.ndarray, " n"]]:
    """Features of each output, and the rest of its self term (as in `HilbertForm.embed`), in double precision.

    Args:
        distance: with a feature map, fitted.
        x: outputs.
        deviations: standard deviations of errors of the outputs, over which both are means.
    """
    if deviations is None:
        features, rests = _features_and_rests(distance, on_device(x))
    else:
        features, rests = _with_errors(distance, on_device(x), on_device(deviations, jnp.float32))
    return np.asarray(features, np.float64), np.asarray(rests, np.float64)


def predicted_means(mean: MeanModel, theta: Float[np.ndarray, "n dim"]) -> Float[np.ndarray, "n k"]:
    """By the ensemble, in double precision."""
    return np.asarray(_predict(mean, on_device(theta)), np.float64)


def predicted_spread(
    spread: Spread, theta: Float[np.ndarray, "n dim"], means: Float[np.ndarray, "n k"]
) -> Float[np.ndarray, " n"]:
    """The sum of all its parts by the ensemble, in double precision."""
    return np.asarray(_predict_spread(spread, on_device(theta), on_device(means, np.float32)), np.float64)


def _of_block(
    distance: HilbertDistance, directions: Directions | None, x: Float[np.ndarray, "n *x_shape"]
) -> tuple[Float[np.ndarray, "n k"], Float[np.ndarray, "n"]]:
    """Features of a block of a store, along the directions, and the rest of the self term."""
    features, rests = over_rows(lambda rows: _features_and_rests(distance, rows), x)
    if directions is not None:
        along, across = over_rows(lambda rows: _along_and_across(directions, rows), features)
        features, rests = along, np.asarray(rests, np.float64) + np.asarray(across, np.float64)
    return np.asarray(features, np.float64), np.asarray(rests, np.float64)


def _spread_labels(
    mean: MeanModel,
    of_block: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]],
    theta: Float[np.ndarray, "n dim"],
    x: Float[np.ndarray, "n *x_shape"],
) -> Float[np.ndarray, "n 1"]:
    """What the spread is regressed on, of a block of a store."""
    features, rests = of_block(x)
    predicted = np.asarray(over_rows(lambda rows: _predict(mean, rows), theta), np.float64)
    return (rests + np.sum((features - predicted) ** 2, axis=1))[:, None].astype(np.float32)


def errors_of_features(
    distance: HilbertDistance, x: Float[np.ndarray, "*x_shape"], variance: Float[np.ndarray, "n coordinates"]
) -> Float[np.ndarray, "n k"]:
    """Variances of linear features whose outputs have independent errors of these variances."""
    slopes = np.asarray(jax.jacobian(distance.features)(jnp.asarray(x)), np.float64)
    return variance @ (slopes.reshape(len(slopes), -1) ** 2).T


def noise_squares(
    features: Float[np.ndarray, "n k"], predicted: Float[np.ndarray, "n k"], left_out: Float[np.ndarray, "n k"]
) -> Float[np.ndarray, "n k"]:
    """What has the variance around the mean as its own mean: squared deviations, where `left_out` is `predicted`.

    A process follows its own rows: it leaves less of them than the noise, and of rows left out more. So it is the
    product of both.
    """
    return np.maximum((features - predicted) * (features - left_out), 0.0)


def spread_shares(
    form: HilbertForm,
    standardise: Standardiser,
    theta: Float[np.ndarray, "n dim"],
    features: Float[np.ndarray, "n k"],
    predicted: Float[np.ndarray, "n r"],
    left_out: Float[np.ndarray, "n r"],
    errors: Float[np.ndarray, "n k"] | None,
) -> SpreadShares:
    """Of each coordinate in the spread, for observations with gaps."""
    spread = predicted_spread(form.spread, theta, predicted)
    if form.directions is not None:
        centre, axes = (np.asarray(part, np.float64) for part in (form.directions.centre, form.directions.axes))
        predicted, left_out = (centre + part @ axes.T for part in (predicted, left_out))
    squares = noise_squares(features, predicted, left_out) + (0.0 if errors is None else errors)
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
def _with_errors(
    distance: HilbertDistance, x: Float[Array, "n *x_shape"], deviations: Float[Array, "n *x_shape"]
) -> tuple[Array, Array]:
    """Means over errors of the features of each output, and of the rest of its self term."""

    def of_output(row: tuple[Array, Array, PRNGKeyArray]) -> tuple[Array, Array]:
        features, self_term = distance.with_error(*row)
        return features, self_term - jnp.sum(features**2)

    keys = jax.random.split(jax.random.key(0), len(x))
    return jax.lax.map(of_output, (x, deviations, keys), batch_size=64)


@compiled
def _along_and_across(directions: Directions, features: Float[Array, "n k"]) -> tuple[Array, Array]:
    return jax.vmap(directions.along)(features), jax.vmap(directions.across)(features)


@compiled
def _predict_spread(spread: Spread, theta: Float[Array, "n dim"], means: Float[Array, "n k"]) -> Float[Array, " n"]:
    return jax.vmap(lambda parameter, mean: jnp.sum(spread_of_members(spread, parameter, mean)))(theta, means)


@compiled
def _predict(ensemble: MeanModel, theta: Float[Array, "n dim"]) -> Float[Array, "n k"]:
    return jax.vmap(lambda parameter: ensemble.mean_of_members(parameter))(theta)
