"""Outputs of any form as vectors with names, and a space in which their distances mean something."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Int

from ..costs.cost import Cost
from ..costs.forms import NetworkForm
from ..distances.unequal_sets import trials_present
from ..learning.embeddings import SetEmbedding
from ..observations import Observation

Kind = Literal["coordinates", "series", "set"]
# Directions of outputs beyond these are noise that would drown the others; their common size is kept.
MOST_DIRECTIONS = 64
# A long recording is read at that many evenly spaced places, which tell as much as all of it.
MOST_COORDINATES = 1000


def output_kind(cost: Cost, kind: str | None = None) -> Kind:
    """How outputs are to be read: as stated, or as the distance and the network of a cost read them."""
    if kind is not None:
        if kind not in ("coordinates", "series", "set"):
            raise ValueError(f"kind must be 'coordinates', 'series', 'set' or None, got {kind!r}.")
        return kind  # type: ignore[return-value]
    if len(cost.x_shape) == 2:
        form = cost.form
        reads_set = isinstance(form, NetworkForm) and isinstance(form.network.embedding, SetEmbedding)
        if reads_set or cost.distance.reads_sets:
            return "set"
    return "series" if len(cost.x_shape) == 2 else "coordinates"


def as_vectors(x: np.ndarray, kind: Kind) -> Float[np.ndarray, "n k"]:
    """Outputs (n, *x_shape) as vectors: their numbers; of a set, statistics that do not depend on the trials' order.

    Rows of NaN in a set are no trials.
    """
    if kind != "set":
        return x.reshape(len(x), -1)
    x = np.asarray(x, np.float64)
    trials = x[:, :, None] if x.ndim == 2 else x.reshape(*x.shape[:2], -1)
    seen = trials_present(trials)
    count = seen.sum(axis=1)
    mean = np.where(seen[:, :, None], trials, 0.0).sum(axis=1) / count[:, None]
    away = np.where(seen[:, :, None], trials - mean[:, None], 0.0)
    products = np.einsum("nti,ntj->nij", away, away) / count[:, None, None]
    parts = [mean, np.sqrt(np.diagonal(products, axis1=1, axis2=2)), *_quantiles(trials, count)]
    rows, columns = np.triu_indices(trials.shape[2], 1)
    # The signed root is in the trials' units, like the other statistics.
    parts.append(np.sign(products[:, rows, columns]) * np.sqrt(np.abs(products[:, rows, columns])))
    return np.concatenate(parts, axis=1)


_PROBABILITIES = (0.0, 0.25, 0.5, 0.75, 1.0)


def _quantiles(trials: Float[np.ndarray, "n trials k"], count: Int[np.ndarray, " n"]) -> list[Float[np.ndarray, "n k"]]:
    """Quantiles of the trials of each set; numpy's for NaN takes a call for every set."""
    ordered, rows = np.sort(trials, axis=1), np.arange(len(trials))
    found = []
    for probability in _PROBABILITIES:
        place = probability * (count - 1)
        below = np.floor(place).astype(int)
        above = np.minimum(below + 1, count - 1)
        found.append(ordered[rows, below] + (place - below)[:, None] * (ordered[rows, above] - ordered[rows, below]))
    return found


def vector_names(
    x_shape: tuple[int, ...], kind: Kind, labels: Sequence[str] | None = None, axis: Any = None
) -> list[str]:
    """One name for each number of `as_vectors`.

    Args:
        x_shape: of an output.
        kind: of output.
        labels: of coordinates, channels or trial coordinates.
        axis: dates, times or names of the steps of a series, or of the values of a vector without labels: an
            observation with an index, values, or (values, label).
    """
    steps = steps_shown(axis, x_shape[0] if x_shape else 1)
    if kind == "set":
        size = int(np.prod(x_shape[1:], dtype=int))
        names = _labels(labels, size, "coordinate")
        of = [f" of {name}" if size > 1 or labels else "" for name in names]
        statistics = ["mean", "spread", "least", "lower quartile", "median", "upper quartile", "largest"]
        rows, columns = np.triu_indices(size, 1)
        pairs = [f"covariance of {names[i]} and {names[j]}" for i, j in zip(rows, columns, strict=True)]
        return [statistic + name for statistic in statistics for name in of] + pairs
    if kind == "series" and len(x_shape) == 2:
        names = _labels(labels, x_shape[1], "channel")
        of = [f"{name} at " if x_shape[1] > 1 or labels else "" for name in names]
        return [f"{name}{step}" for step in steps or [f"step {t}" for t in range(x_shape[0])] for name in of]
    if steps is not None and len(x_shape) == 1 and (labels is None or len(labels) != len(steps)):
        return steps
    if kind == "series":
        return [f"step {t}" for t in range(int(np.prod(x_shape, dtype=int)))]
    return _labels(labels, int(np.prod(x_shape, dtype=int)), "output")


def steps_shown(axis: Any, count: int) -> list[str] | None:
    """The members of an axis as texts; None where there is none of this length."""
    values, name = axis if isinstance(axis, tuple) and len(axis) == 2 and isinstance(axis[1], str) else (axis, "")
    index, name = (values.index, values.index_name) if isinstance(values, Observation) else (values, name)
    if index is None or np.shape(index) != (count,):
        return None
    index = np.asarray(index)
    shown = Observation(np.zeros(count), index=index).labels(count) or []
    # A date speaks for itself, a number does not.
    return [f"{name or 'step'} {one}" for one in shown] if index.dtype.kind in "iuf" else shown


def _labels(labels: Sequence[str] | None, size: int, word: str) -> list[str]:
    if labels is not None and len(labels) == size:
        return list(labels)
    return [f"{word} {j + 1}" for j in range(size)] if size > 1 else [word]


def usual_trials(x: np.ndarray) -> int:
    """How many trials an output (n, trials, ...) has: the median, where their number varies."""
    return int(np.median(trials_present(x.reshape(*x.shape[:2], -1)).sum(axis=1)))


def same_trials(x_o: np.ndarray, n_trials: int) -> list[np.ndarray]:
    """Sets of at most `n_trials` of an observation's trials: more trials would make its statistics more exact."""
    if len(x_o) <= n_trials:
        return [x_o]
    order = np.random.default_rng(0).permutation(len(x_o))
    return [x_o[order[start : start + n_trials]] for start in range(0, len(x_o) - n_trials + 1, n_trials)][:8]


@dataclass(frozen=True, eq=False)
class OutputSpace:
    """Vectors made comparable: heavy tails tamed, every direction of the simulations with the same spread.

    In it an output is unusual also where each of its coordinates is usual, but not all together.
    """

    columns: Int[np.ndarray, " k"]
    middle: Float[np.ndarray, " k"]
    scale: Float[np.ndarray, " k"]
    mean: Float[np.ndarray, " k"]
    std: Float[np.ndarray, " k"]
    directions: Float[np.ndarray, "k r"]
    spread: Float[np.ndarray, " r"]
    rest: tuple[float, float] | None

    @classmethod
    def fit(cls, vectors: Float[np.ndarray, "n all"]) -> "OutputSpace":
        """From simulated outputs."""
        size = vectors.shape[1]
        columns = np.unique(np.linspace(0, size - 1, min(size, MOST_COORDINATES)).round().astype(int))
        vectors = vectors[:, columns].astype(np.float64)
        low, middle, high = np.quantile(vectors, [0.25, 0.5, 0.75], axis=0)
        spread = vectors.std(axis=0)
        # Half of all values may be equal (counts), or all of them: then quartiles give no scale.
        scale = np.where(
            high > low, (high - low) / 1.349, np.where(spread > 0, spread, 1e-6 * (np.abs(middle) + 1e-12))
        )
        tamed = np.arcsinh((vectors - middle) / scale)
        mean, std = tamed.mean(axis=0), np.maximum(tamed.std(axis=0), 1e-9)
        z = (tamed - mean) / std
        values, vectors = np.linalg.eigh(np.cov(z[:4000], rowvar=False).reshape(len(columns), -1))
        kept = min(MOST_DIRECTIONS, len(columns))
        directions = vectors[:, ::-1][:, :kept]
        # Directions in which the simulations hardly differ are rounding errors.
        spread = np.sqrt(np.maximum(values[::-1][:kept], 1e-4 * values[-1] + 1e-12))
        space = cls(columns, middle, scale, mean, std, directions, spread, None)
        if kept == len(columns):
            return space
        rest = space._rest(z)
        return replace(space, rest=(float(rest.mean()), float(rest.std() + 1e-9)))

    def __call__(self, vectors: Float[np.ndarray, "n all"]) -> Float[np.ndarray, "n r"]:
        """Points of the space."""
        chosen = vectors[:, self.columns].astype(np.float64)
        z = (np.arcsinh((chosen - self.middle) / self.scale) - self.mean) / self.std
        points = z @ self.directions / self.spread
        if self.rest is None:
            return points
        return np.concatenate([points, (self._rest(z)[:, None] - self.rest[0]) / self.rest[1]], axis=1)

    def reach(self, vectors: Float[np.ndarray, "n all"]) -> Float[np.ndarray, " n"]:
        """How far out in the farthest direction; neither tamed nor scaled, so that noise does not outweigh a shift."""
        z = (vectors[:, self.columns].astype(np.float64) - self.middle) / self.scale
        return np.abs(z @ self.directions).max(axis=1)

    def _rest(self, z: Float[np.ndarray, "n k"]) -> Float[np.ndarray, " n"]:
        """Size of what the directions leave out."""
        away = z - (z @ self.directions) @ self.directions.T
        return np.log(np.linalg.norm(away, axis=1) + 1e-6)
