"""Where outputs jump along a parameter: a rounded parameter, a switch of regime, a threshold.

No polynomial and no network follows a step: it swings around it, and invents values between the two sides that no run
has given. Steps that are found become regressors of their own (`Indicators`), so that each side has its own values.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from ..runtime.counts import evenly_spaced
from .layers import Standardiser
from .normal_equations import NormalEquations
from .polynomial import features_to

# Rows on each side of a place that are compared; steps may be close to each other, or small.
_WINDOWS = (15, 50, 150)
# Rows, outputs and combinations of these that are looked at; polynomials that smooth functions are taken off by.
_MOST_ROWS, _MOST_SCORED, _MOST_OUTPUTS, _MOST_DEGREE = 20_000, 256, 8, 4
# Rows that there have to be before and behind a step.
_LEAST_ROWS = 25
# Most steps of all parameters together.
_MOST_STEPS = 24
# Nats that a step has to gain among the rows around it, and over all rows beyond what its coefficients cost. Among the
# places of all parameters the best of chance gains some ten.
_LEAST_LOCAL_GAIN, _LEAST_GAIN = 25.0, 10.0
# Nats by which a step has to be better than a rise over some of the rows around it.
_LEAST_SHARPNESS = 5.0
# Places that may be turned down before the search ends.
_MOST_REFUSED = 3


def find_steps(
    theta: Float[np.ndarray, "n dim"],
    labels: Float[np.ndarray, "n k"],
    levels: Mapping[int, Sequence[int]] | None = None,
) -> dict[int, tuple[float, ...]]:
    """Finds where the mean of the labels jumps along a parameter, one step after the other.

    Around every place the rows before and behind are compared in what a polynomial leaves of the labels. A place is a
    step where a cubic with a jump fits these rows better than one with a rise of some width, and where it improves the
    polynomial of all rows by more than its coefficients cost (Akaike 1974).

    Args:
        theta: parameters (n, dim), with known conditions behind them.
        labels: what is to be predicted.
        levels: values of the coordinates that are integers, by their numbers; they have indicators already.

    Returns:
        The places, in ascending order, by the parameter's number.
    """
    rows = evenly_spaced(len(theta), _MOST_ROWS)
    theta, outputs = np.asarray(theta[rows], np.float64), _combinations(np.asarray(labels[rows], np.float64))
    # Integers have indicators, and what takes few values has its steps between them.
    real = [
        j for j in range(theta.shape[1]) if j not in (levels or {}) and len(np.unique(theta[:, j])) > 0.5 * len(theta)
    ]
    steps: dict[int, tuple[float, ...]] = {}
    if len(theta) < 4 * _WINDOWS[0] or not outputs.shape[1]:
        return steps
    left, nats = _left_over(theta, outputs, levels, steps)
    refused: list[_Place] = []
    while sum(map(len, steps.values())) < _MOST_STEPS and len(refused) < _MOST_REFUSED:
        place = _best_place(theta, left, real, refused)
        if place is None:
            break
        more = steps | {place.column: tuple(sorted((*steps.get(place.column, ()), place.edge)))}
        left_with, nats_with = _left_over(theta, outputs, levels, more)
        # A continuous function may need other polynomials on both sides, and no step between them.
        without = [_left_over(theta, outputs, levels, more, instead=(place, made))[1] for made in (_rise, _corner)]
        if min(nats, *without) - nats_with > _LEAST_GAIN:
            steps, left, nats = more, left_with, nats_with
        else:
            refused.append(place)
    return steps


def _combinations(labels: Float[np.ndarray, "n k"]) -> Float[np.ndarray, "n few"]:
    """The labels bent so that no single run rules; of many the combinations that vary most.

    Ranks would close the gap that a step leaves between the values on its sides.
    """
    labels = labels[:, labels.max(axis=0) > labels.min(axis=0)]
    if labels.shape[1] > _MOST_SCORED:
        labels = labels[:, evenly_spaced(labels.shape[1], _MOST_SCORED)]
    low, median, high = np.quantile(labels, [0.25, 0.5, 0.75], axis=0)
    bent = np.arcsinh((labels - median) / np.maximum((high - low) / 2, 1e-6 * labels.std(axis=0)))
    bent = (bent - bent.mean(axis=0)) / bent.std(axis=0)
    if bent.shape[1] <= _MOST_OUTPUTS:
        return bent
    return bent @ np.linalg.eigh(bent.T @ bent)[1][:, -_MOST_OUTPUTS:]


def _left_over(
    theta: Float[np.ndarray, "n dim"],
    labels: Float[np.ndarray, "n k"],
    levels: Mapping[int, Sequence[int]] | None,
    steps: Mapping[int, Sequence[float]],
    *,
    instead: "tuple[_Place, Callable[[_Place, np.ndarray], np.ndarray]] | None" = None,
) -> tuple[Float[np.ndarray, "n k"], float]:
    """What polynomials with the given steps leave, and their nats with one for each coefficient, over all outputs.

    The step of the place `instead` gives way to another function of the parameter.
    """
    standardise = Standardiser.fit(theta, levels=levels, steps=steps)
    z = standardise.of_rows(theta)
    if instead is not None:
        place, function = instead
        before = z.shape[1] - sum(map(len, steps.values()))
        places = [(j, edge) for j, edges in steps.items() for edge in edges]
        z[:, before + places.index((place.column, place.edge))] = function(place, theta[:, place.column])
    _, sizes, features = features_to(z, _MOST_DEGREE, standardise.groups)
    left, least = np.zeros_like(labels), np.full(labels.shape[1], np.inf)
    equations = NormalEquations.of(features, labels)
    for size in sizes.values():
        intercept, slopes, _ = equations.solved(size)
        errors = labels - intercept - features[:, :size] @ slopes.T
        nats = 0.5 * len(z) * np.log(np.mean(errors**2, axis=0) + 1e-12) + size + 1
        better = nats < least
        left[:, better], least[better] = errors[:, better], nats[better]
    return left, float(least.sum())


class _Place(NamedTuple):
    """A parameter's number, where along it, and the parameters of the rows that were compared."""

    column: int
    edge: float
    low: float
    high: float


def _rise(place: _Place, values: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """A step that takes all the rows around it."""
    return np.clip((values - place.low) / (place.high - place.low), 0.0, 1.0) - 0.5


def _corner(place: _Place, values: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """A line that begins at the place of the step."""
    line = np.maximum(values - place.edge, 0.0)
    return (line - line.mean()) / line.std()


def _best_place(
    theta: Float[np.ndarray, "n dim"], left: Float[np.ndarray, "n k"], columns: Sequence[int], refused: Sequence[_Place]
) -> _Place | None:
    """The sharpest step of all; None where there is none."""
    found, most = None, 0.0
    for j in columns:
        order = np.argsort(theta[:, j], kind="stable")
        at, values = theta[order, j], left[order]
        usable = np.ones(len(at), bool)
        usable[:_LEAST_ROWS] = usable[-_LEAST_ROWS:] = False
        for place in refused:
            if place.column == j:
                usable &= (at < place.low) | (at > place.high)
        for window in _WINDOWS:
            if 4 * window > len(at):
                break
            gain = _gain_of_two_means(values, window)
            gain[~usable[window : len(at) - window + 1]] = 0.0
            for i in np.argsort(-gain)[:1]:
                if gain[i] < max(_LEAST_LOCAL_GAIN, most):
                    continue
                middle = _sharpened(values, int(i) + window, window)
                if middle is not None and _LEAST_ROWS <= middle <= len(at) - _LEAST_ROWS:
                    low, high = at[max(middle - window, 0)], at[min(middle + window, len(at) - 1)]
                    found = _Place(j, float((at[middle - 1] + at[middle]) / 2), float(low), float(high))
                    most = float(gain[i])
    return found


def _gain_of_two_means(values: Float[np.ndarray, "n k"], window: int) -> Float[np.ndarray, " places"]:
    """Nats by which two means fit the rows before and behind a place better than one, from the first place on."""
    zero = np.zeros((1, values.shape[1]))
    sums, squares = (np.concatenate([zero, np.cumsum(part, axis=0)]) for part in (values, values**2))
    first = sums[window : len(sums) - window] - sums[: len(sums) - 2 * window]
    second = sums[2 * window :] - sums[window : len(sums) - window]
    total = squares[2 * window :] - squares[: len(squares) - 2 * window]
    one = total - (first + second) ** 2 / (2 * window)
    two = total - (first**2 + second**2) / window
    floor = 1e-9 * np.mean(values**2, axis=0) * 2 * window + 1e-300
    return window * np.sum(np.log((one + floor) / (np.maximum(two, 0.0) + floor)), axis=1)


def _sharpened(values: Float[np.ndarray, "n k"], middle: int, window: int) -> int | None:
    """The row before which a cubic jumps best, near a place; None where a rise or a corner fits no worse."""
    start, stop = max(middle - 2 * window, 0), min(middle + 2 * window, len(values))
    rows, n = values[start:stop], stop - start
    t = np.linspace(-1.0, 1.0, n)
    cubic = np.linalg.qr(np.stack([np.ones(n), t, t**2, t**3], axis=1))[0]
    left = rows - cubic @ (cubic.T @ rows)
    squares, floor = np.sum(left**2, axis=0), 1e-9 * np.mean(values**2, axis=0) + 1e-300

    def nats(bends: Float[np.ndarray, "bends n"]) -> Float[np.ndarray, " bends"]:
        """Of cubics with one of the bends each: what a bend adds is what of it no cubic follows."""
        own = bends - bends @ cubic @ cubic.T
        gain = (own @ left) ** 2 / np.maximum(np.sum(own**2, axis=1), 1e-12 * n)[:, None]
        return 0.5 * n * np.sum(np.log(np.maximum(squares - gain, 0.0) / n + floor), axis=1)

    place = np.arange(n)
    near = np.arange(max(middle - start - window, 3), min(middle - start + window, n - 3))
    jumps = nats((place >= near[:, None]).astype(float))
    best = int(near[np.argmin(jumps)])
    widths = np.array([[window / 3], [window], [2 * window]])
    rises = nats(np.clip((place - best + 0.5) / widths + 0.5, 0.0, 1.0))
    corners = nats(np.maximum(place - near[:: max(1, window // 8), None], 0.0))
    return best + start if min(rises.min(), corners.min()) - jumps.min() > _LEAST_SHARPNESS else None
