"""`ladder`: one tempered run gives the posteriors of one observation at a whole grid of inverse temperatures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.interpolate import CubicHermiteSpline

from ..costs.cost import Cost
from ..priors.prior import Prior
from ..runtime.notebook import html_table
from ..runtime.outcome import Outcome
from ..runtime.units import unit_label
from ..sampling.convergence import bulk_size
from ..sampling.smc import SMC, log_mean_exp
from ..sampling.stack import GibbsPosteriors
from ..sampling.stacked import StackedDraws

# Number of betas of a grid that is not given.
BETAS = 24
# A ladder rests at each of its betas, and each rest counts as stages.
LADDER_SAMPLER = SMC(max_stages=2000)
_NAMES = ("beta", "mean cost", "sd of cost", "log evidence", "parameters", "narrowest", "widest")
# Beyond this many prior spreads of the cost, single precision no longer tells parameters apart.
_MOST_SPREADS = 1e5


@dataclass(frozen=True, eq=False, repr=False)
class Ladder:
    """The Gibbs posteriors of one observation at ascending inverse temperatures, from one tempered run.

    Attributes:
        draws: of the one observation at every beta.
        prior: over the parameters.
        cost: whose expectation falls along the ladder.
    """

    draws: StackedDraws
    prior: Prior
    cost: Cost

    def __repr__(self) -> str:
        return f"Ladder({len(self.betas)} betas from {self.betas[0]:.3g} to {self.betas[-1]:.3g})"

    def _repr_html_(self) -> str:
        units = unit_label(self.cost.distance.units)
        caption = f"Ladder of inverse temperatures; cost in {units}; widths relative to the prior"
        return html_table(caption, _NAMES, self.rows(), self.outcome.messages)

    def __len__(self) -> int:
        return len(self.betas)

    @property
    def betas(self) -> Float[np.ndarray, " b"]:
        """Inverse temperatures, ascending, 1 / units of the distance."""
        return self.draws.betas

    @property
    def x_o(self) -> np.ndarray:
        """The observation."""
        return self.draws.x_o[0]

    @property
    def conditions(self) -> dict[str, float]:
        """Known conditions of the observation."""
        return dict(zip(self.draws.condition_names, self.draws.conditions[0].tolist(), strict=True))

    @cached_property
    def costs(self) -> Float[np.ndarray, "b draws"]:
        """The cost of every draw, units of the distance."""
        return self.draws.cost[0].reshape(len(self), -1).astype(np.float64)

    @cached_property
    def mean_cost(self) -> Float[np.ndarray, " b"]:
        """Expected cost at each beta; never rises with beta but by Monte Carlo error."""
        return self.costs.mean(axis=1)

    @cached_property
    def cost_variance(self) -> Float[np.ndarray, " b"]:
        """Variance of the cost at each beta, which is -d mean_cost / d beta (both are derivatives of log evidence)."""
        return self.costs.var(axis=1, ddof=1)

    @cached_property
    def cost_error(self) -> Float[np.ndarray, " b"]:
        """Monte Carlo standard error of the expected cost, by the effective size of the draws of the cost."""
        size = bulk_size(np.moveaxis(self.draws.cost[0].astype(np.float64), 0, -1))
        return np.sqrt(self.cost_variance / size)

    @cached_property
    def log_evidence(self) -> Float[np.ndarray, " b"]:
        """Log of Z(beta) / Z(0), where Z(beta) = integral of exp(-beta cost) prior."""
        return log_mean_exp(self.draws.log_evidence[0].astype(np.float64))

    @cached_property
    def evidence_error(self) -> Float[np.ndarray, " b"]:
        """Standard error of the log evidence, from the differences between the sampler's populations."""
        values = self.draws.log_evidence[0]
        return values.std(axis=1, ddof=1) / np.sqrt(values.shape[1]) if values.shape[1] > 1 else np.full(len(self), 0.0)

    @cached_property
    def integrated_evidence(self) -> Float[np.ndarray, " b"]:
        """Log evidence once more: that of the smallest beta minus the integral of the expected cost from there.

        An independent account of the same run (thermodynamic integration, Gelman and Meng 1998): a gap between the two
        beyond `evidence_error` shows that the sampler lost part of the posterior on the way. Each step uses the
        expected cost and its known slope at both ends (Hermite's rule).
        """
        step = np.diff(self.betas)
        trapezium = step * (self.mean_cost[1:] + self.mean_cost[:-1]) / 2
        # Hermite's correction h^2 / 12 (f'(left) - f'(right)), where the slope f' is minus the variance.
        bend = step**2 / 12 * (self.cost_variance[1:] - self.cost_variance[:-1])
        return self.log_evidence[0] - np.concatenate([[0.0], np.cumsum(trapezium + bend)])

    @cached_property
    def effective_parameters(self) -> Float[np.ndarray, " b"]:
        """How many parameters the cost determines at each beta: 2 beta^2 Var[cost].

        Where the cost is a parabola of curvature H in p directions and flat in the others, the posterior is normal
        there with precision beta H, so beta (cost - least cost) is half a chi-squared variable with p degrees of
        freedom: its variance is p / 2. (Gelman, Carlin, Stern, Rubin 2004, section 6.7, with beta cost as half the
        deviance.)
        """
        return 2 * self.betas**2 * self.cost_variance

    @cached_property
    def least_cost(self) -> float:
        """What the expected cost tends to as beta grows: at the highest beta, less p / (2 beta) for p parameters."""
        rest = self.effective_parameters[-1] / (2 * self.betas[-1])
        return float(min(self.mean_cost[-1] - rest, self.costs[-1].min()))

    @cached_property
    def widths(self) -> Float[np.ndarray, "b dim"]:
        """Posterior over prior width of each parameter: 1 where nothing was learnt.

        A width is half the range from the 16 % to the 84 % quantile, a normal distribution's standard deviation; it
        exists for priors without a variance, too. Of an integer it is the standard deviation: quantiles jump.
        """
        before = np.asarray(self.prior.sample(20_000, seed=0), np.float64)[None]
        after = self.draws.theta[0].reshape(len(self), -1, self.prior.dim).astype(np.float64)
        whole = np.isin(self.prior.names, self.prior.integer_names)
        widths = [np.where(whole, values.std(axis=1), _width(values)) for values in (after, before)]
        return widths[0] / widths[1]

    @cached_property
    def curve(self) -> CubicHermiteSpline:
        """Expected cost as a function of log beta, through its values and its known slopes."""
        return CubicHermiteSpline(np.log(self.betas), self.mean_cost, -self.betas * self.cost_variance)

    @cached_property
    def outcome(self) -> Outcome:
        """What is wrong with the run."""
        return self.draws.outcome

    def summary(self) -> str:
        """A plain table of at most 80 columns, one line a beta, and what is wrong."""
        lines = [" ".join(f"{name:>{size}}" for name, size in zip(_NAMES, _COLUMNS, strict=True))]
        lines += [" ".join(f"{text:>{size}}" for text, size in zip(row, _COLUMNS, strict=True)) for row in self.rows()]
        lines.append(f"cost in {unit_label(self.cost.distance.units)}; widths relative to the prior")
        return "\n".join([*lines, *self.outcome.messages])

    def numbers(self) -> dict[str, Any]:
        """Plain values for a JSON file."""
        columns = ("betas", "mean_cost", "cost_error", "cost_variance", "log_evidence", "evidence_error")
        arrays = {name: getattr(self, name).tolist() for name in (*columns, "effective_parameters", "widths")}
        return {
            "units": self.cost.distance.units,
            "parameters": list(self.prior.names),
            "least_cost": self.least_cost,
            **arrays,
            "warnings": list(self.outcome.messages),
        }

    def rows(self) -> list[tuple[str, ...]]:
        """Beta, expected cost, its standard deviation, log evidence, effective parameters, least and largest width."""
        columns = (
            self.betas,
            self.mean_cost,
            np.sqrt(self.cost_variance),
            self.log_evidence,
            self.effective_parameters,
            self.widths.min(axis=1),
            self.widths.max(axis=1),
        )
        formats = (".4g", ".4g", ".3g", ".2f", ".2f", ".3f", ".3f")
        return [
            tuple(f"{value:{form}}" for value, form in zip(row, formats, strict=True))
            for row in zip(*columns, strict=True)
        ]


_COLUMNS = (10, 11, 11, 13, 10, 9, 8)


def ladder(
    prior: Prior,
    cost: Cost,
    x_o: Any,
    betas: Sequence[float] | np.ndarray | None = None,
    *,
    n: int = 2000,
    seed: int,
    top: float | None = None,
    conditions: Mapping[str, float] | None = None,
    sampler: SMC | None = None,
    progress: bool = False,
) -> Ladder:
    """Samples the Gibbs posteriors of one observation at a grid of inverse temperatures, in one tempered run.

    Args:
        prior: over the parameters that the cost knows.
        cost: from `fit_cost`, `load` or `Cost.exact`.
        x_o: the observation.
        betas: ascending, in 1 / units of the distance. If not given, a geometric grid of 24: from where the observation
            begins to speak (beta times the spread of the cost under the prior is 0.1) to `top`.
        n: number of draws at each beta.
        seed: the same seed gives the same ladder.
        top: highest beta of a grid that is not given. If not given either, where draws cost within 1 % of the least
            cost, and at least ten times what squared errors of independent normal noise of that size would need; a
            first run along a very wide grid finds it.
        conditions: known conditions of the observation, where the simulator takes them.
        sampler: `SMC()` with room for as many stages as a ladder takes, if not given.
        progress: show a progress bar.

    Raises:
        ValueError: what `GibbsPosterior` would not take; betas that do not ascend; betas and top both given; a cost
            that does not depend on the parameters, where a grid is to be found.

    Example:
        >>> ladder = gb.temperature.ladder(prior, cost, x_o, seed=0)
        >>> print(ladder.summary())
    """
    sampler = LADDER_SAMPLER if sampler is None else sampler
    known = None if conditions is None else {name: [value] for name, value in conditions.items()}
    x_o = cost.check_observation(x_o)

    def run(grid: Any) -> Ladder:
        stack = GibbsPosteriors(prior, cost, x_o[None], grid, conditions=known)
        return Ladder(stack.sample(n, seed=seed, sampler=sampler, progress=progress), prior, cost)

    if betas is not None:
        if top is not None:
            raise ValueError("give betas, the whole grid, or top, its upper end, but not both.")
        return run(betas)
    if top is not None and not (np.isfinite(top) and top > 0):
        raise ValueError(f"top must be a finite number greater than 0, got {top!r}.")
    spread = _prior_spread(prior, cost, x_o, conditions)
    low = 0.1 / spread
    if top is None:
        # The first run has as many betas as the second, so that no other program is compiled for it.
        top = _sensible_top(run(np.geomspace(low, _MOST_SPREADS / spread, BETAS)))
    return run(np.geomspace(min(low, top / 100), top, BETAS))


def _prior_spread(prior: Prior, cost: Cost, x_o: np.ndarray, conditions: Mapping[str, float] | None) -> float:
    """Spread of the cost under the prior; by quantiles, for a few prior draws may cost without bounds."""
    values = np.asarray(cost(prior.sample(4000, seed=0), x_o, conditions), np.float64)
    values = values[np.isfinite(values)]
    spread = float(_width(values[None, :, None])[0, 0]) if len(values) > 1 else 0.0
    if spread == 0 and len(values) > 1:
        # An integer parameter may give one cost to most draws of the prior.
        spread = float(values.std())
    if not spread > 0:
        raise ValueError(
            "the cost of draws of the prior is the same for all, or not finite: there is nothing to choose beta by. "
            "Look at cost(prior.sample(1000, seed=0), x_o)."
        )
    return spread


def _sensible_top(wide: Ladder) -> float:
    """See `ladder`; the end of the wide grid where the least cost is not far above 0."""
    least, size = wide.least_cost, wide.x_o.size
    enough = (wide.mean_cost - least <= 0.01 * least) & (wide.betas * least >= 5 * size)
    return float(wide.betas[np.argmax(enough)] if np.any(enough) else wide.betas[-1])


def _width(values: Float[np.ndarray, "b n dim"]) -> Float[np.ndarray, "b dim"]:
    low, high = np.quantile(values, [0.158655, 0.841345], axis=1)
    return (high - low) / 2
