"""How widely outputs vary over draws of the prior: the scales that are given as a rule, and what is wrong with them."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Literal

import numpy as np
import scipy
from jaxtyping import Bool, Float

from ..runtime.outcome import Outcome
from .coordinate_names import listed

ScaleRule = Literal["given", "prior_predictive", "median", "observation"]
# Of a normal distribution the median absolute deviation times this is the standard deviation.
_TO_DEVIATION = 1.4826
# Simulations that count as near an observation: a share of all, and not fewer than the second number, of which the
# median absolute deviation is known to a sixth. They have to be a part of the simulations for "near" to mean something.
_NEAR_SHARE, _LEAST_NEAR = 0.05, 50
LEAST_FOR_OBSERVATION = 2 * _LEAST_NEAR
# The share of runs without which a scale is looked at again, and the factor by which it may not change. Measured on
# 1,000 runs, the median and the 99 % quantile of the factor are 1.04 and 1.05 for normal outputs, 1.12 and 1.19 for
# exponential, 1.3 and 1.8 for log-normal(0, 1), 2.7 and 16 for log-normal(0, 2), 1.5 and 4 for a t distribution of two
# degrees of freedom, whose scale is that of a few runs in some sets of simulations and not in others.
_FEW, _MOST_CHANGE = 0.01, 2.0
# By which factor a scale may exceed both the typical deviation and the distance of the observation from the median. The
# ratio of the first two is 1 for normal outputs, 2.3 for log-normal(0, 1), 24 for log-normal(0, 2) and 118 for outputs
# that are log-uniform over six decades. Beyond ten the coordinate has a hundredth of its due in a squared error.
_MOST_RATIO = 10.0
_TRANSFORMS = "transform='log1p', 'sqrt' or 'asinh'"
# Coordinates that are worked on at once, for sorting needs memory.
_AT_ONCE = 64


@dataclass(frozen=True, eq=False)
class OutputSpread:
    """Place and spread of every output coordinate over simulations of the prior; each of x_shape.

    Attributes:
        deviation: standard deviation; 0 where a coordinate does not vary.
        robust: 1.4826 times the median absolute deviation from the median.
        median: of the simulations.
        without_few: the standard deviation without the hundredth of the simulations farthest from the median.
    """

    deviation: Float[np.ndarray, "*x_shape"]
    robust: Float[np.ndarray, "*x_shape"]
    median: Float[np.ndarray, "*x_shape"]
    without_few: Float[np.ndarray, "*x_shape"]

    @classmethod
    def of(cls, x: Float[np.ndarray, "n *x_shape"]) -> "OutputSpread":
        """Of outputs as the distance compares them: after its transform."""
        rows = x.reshape(len(x), -1)
        parts = [_spread(rows[:, start : start + _AT_ONCE]) for start in range(0, rows.shape[1], _AT_ONCE)]
        joined = np.concatenate(parts, axis=1).reshape(len(fields(cls)), *x.shape[1:])
        return cls(*joined.astype(np.float32))

    @classmethod
    def of_deviation(cls, deviation: Float[np.ndarray, "*x_shape"]) -> "OutputSpread":
        """Of the standard deviation alone; all else is not known (NaN)."""
        return cls(deviation, *[np.full_like(deviation, np.nan)] * (len(fields(cls)) - 1))

    def scale(
        self, rule: ScaleRule, used: Bool[np.ndarray, "*x_shape"], names: Sequence[str] | None = None
    ) -> Float[np.ndarray, "*x_shape"]:
        """The scale by "prior_predictive" or "median"; 1 for coordinates that are not `used`.

        Args:
            rule: one of the two.
            used: coordinates that the distance looks at.
            names: of the coordinates, for messages.

        Raises:
            ValueError: it would be 0 for a coordinate that is used (the message names them), or is not known.
        """
        if rule == "median" and np.any(np.isnan(self.robust)):
            raise ValueError(
                "scale='median' takes median absolute deviations, and the cost was read from a file of an earlier "
                "genbayes, which holds none: fit it again, or give the scale in numbers."
            )
        return _positive(self.robust if rule == "median" else self.deviation, rule, used, names)

    def few_runs(self, used: Bool[np.ndarray, "*x_shape"], names: Sequence[str] | None = None) -> Outcome:
        """Whether a hundredth of the simulations sets the standard deviation of a coordinate that is used."""
        with np.errstate(divide="ignore", invalid="ignore"):
            factor = np.where(self.deviation > 0, self.deviation / self.without_few, 1.0)
        wrong = used & (factor > _MOST_CHANGE)
        if not wrong.any():
            return Outcome()
        worst = float(factor[wrong].max())
        change = f"up to {worst:.3g} times smaller" if np.isfinite(worst) else "0 for some"
        return Outcome(
            (
                f"The prior-predictive scale of the {listed(wrong, names)} is set by a few runs: without the hundredth "
                f"of the simulations farthest out it would be {change}. Differences between all other runs count for "
                f"little there: give the distance scale='median' or {_TRANSFORMS}, or compare other summaries.",
            )
        )

    def dwarfs(
        self,
        x_o: Float[np.ndarray, "*x_shape"],
        used: Bool[np.ndarray, "*x_shape"],
        names: Sequence[str] | None = None,
    ) -> Outcome:
        """Whether the standard deviation of a coordinate that is used is far above all that matters near x_o.

        That is both the typical deviation of simulations from their median and the observation's distance from it. A
        coordinate with one value in most simulations has no typical deviation, and is not judged.

        Args:
            x_o: an observation, as the distance compares it.
            used: coordinates that the distance looks at.
            names: of the coordinates.
        """
        near = np.maximum(self.robust, np.abs(x_o - self.median))
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(self.robust > 0, self.deviation / near, 0.0)
        wrong = used & (ratio > _MOST_RATIO)
        if not wrong.any():
            return Outcome()
        return Outcome(
            (
                f"The prior-predictive scale of the {listed(wrong, names)} dwarfs the observation: it is up to "
                f"{ratio[wrong].max():.3g} times as large as both the typical deviation of simulations from their "
                "median and the observation's deviation from it, so that nothing near the observation counts there. "
                f"Give the distance scale='median' or 'observation', or {_TRANSFORMS}, and fit again; no new "
                "simulations are needed.",
            )
        )


def scale_near(
    x: Float[np.ndarray, "n *x_shape"],
    x_o: Float[np.ndarray, "*x_shape"],
    used: Bool[np.ndarray, "*x_shape"],
    names: Sequence[str] | None = None,
) -> Float[np.ndarray, "*x_shape"]:
    """The scale by "observation": 1.4826 times the median absolute deviation of the simulations nearest to x_o.

    Nearest are the 5 % (at least 50) with the least mean rank: in every coordinate that is used simulations are ranked
    by |x - x_o|, with equal ranks for equal values, so that neither units nor tails of a coordinate matter. Ties of the
    mean go to the earlier simulation.

    Args:
        x: simulations of the prior, as the distance compares them.
        x_o: one observation, in the same way.
        used: coordinates that the distance looks at.
        names: of the coordinates, for messages.

    Raises:
        ValueError: there are fewer than 100 simulations, or the scale of a coordinate that is used would be 0.
    """
    if len(x) < LEAST_FOR_OBSERVATION:
        raise ValueError(
            f"scale='observation' takes the {_LEAST_NEAR} simulations nearest to x_o at least, as a part of "
            f"{LEAST_FOR_OBSERVATION} or more of the prior, got {len(x)}: simulate more, or take scale='median'."
        )
    away = np.abs(x.astype(np.float64) - x_o).reshape(len(x), -1)
    ranks = np.zeros(len(x))
    for j in np.flatnonzero(used):
        ranks += scipy.stats.rankdata(away[:, j])
    nearest = np.argsort(ranks, kind="stable")[: max(_LEAST_NEAR, int(np.ceil(_NEAR_SHARE * len(x))))]
    return _positive(OutputSpread.of(x[nearest]).robust, "observation", used, names)


def _spread(x: Float[np.ndarray, "n coordinates"]) -> Float[np.ndarray, "4 coordinates"]:
    x = x.astype(np.float64)
    # std == 0 is no test of it: rounding gives a constant coordinate of 0.1 a standard deviation of 1e-17.
    varies = x.max(axis=0) > x.min(axis=0)
    median = np.median(x, axis=0)
    away = np.abs(x - median)
    kept = len(x) - int(np.ceil(_FEW * len(x)))
    inner = np.take_along_axis(x, np.argpartition(away, kept - 1, axis=0)[:kept], axis=0) if kept else x
    narrower = np.where(inner.max(axis=0) > inner.min(axis=0), inner.std(axis=0), 0.0)
    return np.stack([np.where(varies, x.std(axis=0), 0.0), _TO_DEVIATION * np.median(away, axis=0), median, narrower])


def _positive(
    values: Float[np.ndarray, "*x_shape"],
    rule: ScaleRule,
    used: Bool[np.ndarray, "*x_shape"],
    names: Sequence[str] | None,
) -> Float[np.ndarray, "*x_shape"]:
    """The scales, with 1 for coordinates that are not used where theirs would be 0."""
    constant = values == 0
    if np.any(constant & used):
        why, other = {
            "prior_predictive": ("they do not vary over the training simulations", ""),
            "median": (
                "half of the training simulations or more have one and the same value there",
                ", or take scale='prior_predictive' where they do vary",
            ),
            "observation": (
                "half of the simulations near x_o or more have one and the same value there",
                ", or take scale='median' or 'prior_predictive' where they vary over all simulations",
            ),
        }[rule]
        raise ValueError(
            f"scale={rule!r} is not defined for the {listed(constant & used, names)}: {why}. Leave them out of the "
            f"output, give them weight 0 (weights=...), or give the scale of every coordinate{other}."
        )
    return np.where(constant, 1.0, values)
