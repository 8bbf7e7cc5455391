"""Runs that are garbage: what a simulator returns in place of a failure, which an expected distance counts.

One run in a hundred with a number of 10^6, or a hundredth of the prior with -9999, makes most of the mean distance, and
no regression follows it. Whether such runs are part of the model, only the user knows.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float
from scipy.spatial import KDTree

from ..distances import Distance
from ..distances.additive import CoordinateDistance
from ..distances.coordinate_names import listed
from ..distances.vectors import CappedError
from ..runtime.counts import evenly_spaced
from ..runtime.outcome import Outcome

# Rows and coordinates that are looked at: what is rarer rules nothing.
_MOST_ROWS, _MOST_COORDINATES = 4000, 100
_LEAST_ROWS, _NEIGHBOURS = 100, 20
# Times by which a run lies farther from runs at like parameters than any of these, and than nine of ten runs do.
_FAR = 1000.0
# A number that stands for a failure lies so many times the range of all others away from them, in so many runs.
_RANGES, _LEAST_EQUAL = 10.0, 3


def outlying_runs(
    distance: Distance,
    theta: Float[np.ndarray, "n dim"],
    x: Float[np.ndarray, "n *x_shape"],
    names: Sequence[str] | None = None,
) -> Outcome:
    """What is wrong where runs are far from all that surrounds them, for distances that grow without bound.

    Args:
        distance: of which the expectation is learned.
        theta: parameters of runs that succeeded.
        x: their outputs, in data units.
        names: of the outputs' numbers.
    """
    if not isinstance(distance, CoordinateDistance) or isinstance(distance, CappedError) or len(x) < _LEAST_ROWS:
        return Outcome()
    rows = evenly_spaced(len(x), _MOST_ROWS)
    flat = np.asarray(distance.output_transform(x[rows]), np.float64).reshape(len(rows), -1)
    among = "" if len(rows) == len(x) else " that were looked at"
    equal = _of_one_value(flat)
    if equal.any():
        value = flat[equal][0, 0]
        told = (
            f"{equal.sum():,} of {len(rows):,} runs{among} have the value {value:.10g} in all outputs, far from those "
            "of all others: if it stands for a failed run, let the simulator return NaN, and genbayes learns where "
            "runs fail."
        )
        return Outcome((told,))
    columns = evenly_spaced(flat.shape[1], _MOST_COORDINATES)
    far = _far_from_neighbours(theta[rows], flat[:, columns])
    outlying = far.any(axis=1)
    if not outlying.any():
        return Outcome()
    row = int(np.argmax(outlying))
    column = int(columns[np.argmax(far[row])])
    this = np.zeros(x.shape[1:], bool)
    this.flat[column] = True
    told = (
        f"{outlying.sum():,} or more of {len(rows):,} runs{among} lie over {_FAR:,.0f} times farther from runs at like "
        f"parameters than nine of ten others do ({listed(this, names)} of one is {flat[row, column]:.4g}): the "
        "expected distance counts them, and they rule it. If they are failed runs, let the simulator return NaN; if "
        "not, take CappedError, which does not grow with them."
    )
    return Outcome((told,))


def _of_one_value(x: Float[np.ndarray, "n k"]) -> Bool[np.ndarray, " n"]:
    """Runs that have one and the same number everywhere, far from all others."""
    same = (x == x[:, :1]).all(axis=1)
    values, counts = np.unique(x[same, 0], return_counts=True)
    for value in values[counts >= _LEAST_EQUAL]:
        equal = same & (x[:, 0] == value)
        if equal.all():
            continue
        low, high = x[~equal].min(), x[~equal].max()
        if max(low - value, value - high) > _RANGES * (high - low) > 0:
            return equal
    return np.zeros(len(x), bool)


def _far_from_neighbours(theta: Float[np.ndarray, "n dim"], x: Float[np.ndarray, "n k"]) -> Bool[np.ndarray, "n k"]:
    # By ranks, for parameters over decades have no distance.
    ranks = np.argsort(np.argsort(theta, axis=0), axis=0) / len(theta)
    near = np.asarray(KDTree(ranks).query(ranks, _NEIGHBOURS + 1)[1])
    far = np.zeros(x.shape, bool)
    for j, values in enumerate(x.T):
        around = values[near[:, 1:]]
        middle = np.median(around, axis=1)
        away = np.abs(values - middle)
        # The farthest of them, for of growth over decades the next but one may be hundreds of times as large.
        spread = np.max(np.abs(around - middle[:, None]), axis=1)
        far[:, j] = away > _FAR * np.maximum(spread, np.quantile(away, 0.9))
        # Of an output that hardly ever changes nothing is known.
        far[:, j] &= np.quantile(away, 0.9) > 0
    return far
