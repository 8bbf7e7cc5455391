"""Where the observation falls among outputs re-simulated at the draws, coordinate by coordinate."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from .output_space import Kind, as_vectors, same_trials, usual_trials, vector_names

# Probability of an alarm for any coordinate where the observation is one more output; it is 1 / (runs + 1) with fewer
# than 100 runs.
FALSE_ALARM = 0.01
LEAST_RUNS = 20
_PROBABILITIES = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True)
class PredictivePosition:
    """An observation among re-simulated outputs; arrays (k,) have one number for each coordinate.

    Attributes:
        names: of the coordinates; of a set of trials, statistics of it.
        observed: the observation's values.
        quantiles: (5, k), the 5, 25, 50, 75 and 95 % quantiles of the outputs.
        below: share of outputs below the observation (ties half).
        tail: two-sided tail probability of each coordinate by itself.
        tail_error: its Monte Carlo standard error.
        z: how far the observation is from the median, in units in which an output's 90 % range is 1.645 either way.
        p_value: for all coordinates together: the share of outputs whose farthest |z| is at least the observation's.
        outside: coordinates beyond what 99 % of outputs reach in ANY coordinate, (k,) bool.
        runs: number of outputs.
    """

    names: tuple[str, ...]
    observed: Float[np.ndarray, " k"]
    quantiles: Float[np.ndarray, "5 k"]
    below: Float[np.ndarray, " k"]
    tail: Float[np.ndarray, " k"]
    tail_error: Float[np.ndarray, " k"]
    z: Float[np.ndarray, " k"]
    p_value: float
    outside: np.ndarray
    runs: int

    @property
    def inside(self) -> bool:
        """Whether no coordinate lies outside; of fewer than 100 runs, whether some run lies as far out."""
        return self.p_value > max(FALSE_ALARM, 1 / (self.runs + 1))

    @property
    def order(self) -> np.ndarray:
        """Coordinates, the farthest out first."""
        return np.argsort(-np.abs(self.z), kind="stable")

    def summary(self, most: int = 10) -> str:
        """The farthest coordinates, one a line."""
        lines = [f"all {len(self.names)} coordinates together: p = {self.p_value:.3g} ({self.runs} runs at the draws)"]
        width = max(len(name) for name in self.names)
        for j in self.order[:most]:
            lines.append(
                f"{self.names[j]:<{width}} observed {self.observed[j]:>9.4g}, runs {self.quantiles[0, j]:>9.4g} "
                f"to {self.quantiles[4, j]:<9.4g} p = {self.tail[j]:.3g} +- {self.tail_error[j]:.1g}"
            )
        return "\n".join(lines)


def predictive_position(
    x: np.ndarray,
    x_o: np.ndarray,
    kind: Kind = "coordinates",
    labels: Sequence[str] | None = None,
    axis: Any = None,
) -> PredictivePosition:
    """Compares an observation with outputs (n, *x_shape) that were simulated at draws.

    The largest of many coordinates' departures is judged against the largest departure of every output (Westfall and
    Young 1993), so a hundred coordinates raise no more false alarms than one, and correlated ones cost no power.

    Args:
        x: outputs at the draws, such as `PredictiveCheck.x`; at least 20.
        x_o: the observation; missing values (NaN) are left out.
        kind: of a "set", statistics of its trials are compared.
        labels: names of coordinates, channels or trial coordinates.
        axis: dates or times of the steps, see `vector_names`.

    Raises:
        ValueError: fewer than 20 outputs, or of another shape than the observation.
    """
    if len(x) < LEAST_RUNS:
        raise ValueError(f"{len(x)} runs at the draws are too few to place an observation; give at least {LEAST_RUNS}.")
    if x.shape[1:] != x_o.shape and not (kind == "set" and x.shape[2:] == x_o.shape[1:]):
        raise ValueError(f"x_o has shape {x_o.shape}, the outputs {x.shape[1:]}.")
    if kind == "set":
        # The statistics of more trials than a run's would scatter less, those of fewer trials more.
        x_o = same_trials(x_o, usual_trials(x))[0]
        x = x[:, : len(x_o)]
    outputs, observed = (as_vectors(part, kind).astype(np.float64) for part in (x, x_o[None]))
    observed = observed[0]
    seen = np.isfinite(observed)
    names = [name for name, kept in zip(vector_names(x_o.shape, kind, labels, axis), seen, strict=True) if kept]
    # A missing value has no place among the runs.
    outputs, observed, n = outputs[:, seen], observed[seen], len(outputs)
    share = (np.sum(outputs < observed, axis=0) + 0.5 * np.sum(outputs == observed, axis=0) + 0.5) / (n + 1)
    tail = np.minimum(1.0, 2 * np.minimum(share, 1 - share))
    # The observation is put among the outputs, so that it is treated like any of them.
    pool = np.concatenate([outputs, observed[None]])
    low, middle, high = np.quantile(pool, [0.05, 0.5, 0.95], axis=0)
    down, up = _width(middle - low, pool), _width(high - middle, pool)
    z = 1.645 * np.where(pool < middle, (pool - middle) / down, (pool - middle) / up)
    farthest = np.max(np.abs(z), axis=1)
    return PredictivePosition(
        names=tuple(names),
        observed=observed,
        quantiles=np.quantile(outputs, _PROBABILITIES, axis=0),
        below=share,
        tail=tail,
        tail_error=2 * np.sqrt(share * (1 - share) / n),
        z=z[-1],
        p_value=float(np.mean(farthest >= farthest[-1])),
        outside=np.abs(z[-1]) > np.quantile(farthest[:-1], 1 - FALSE_ALARM),
        runs=n,
    )


def _width(width: Float[np.ndarray, " k"], pool: Float[np.ndarray, "n k"]) -> Float[np.ndarray, " k"]:
    """A width above 0, also of a coordinate that hardly ever leaves its median."""
    least = np.maximum(0.1 * pool[:-1].std(axis=0), 1e-6 * np.abs(pool).mean(axis=0) + 1e-300)
    return np.maximum(width, least)
