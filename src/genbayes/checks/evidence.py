"""`Evidence`: all that is known and measured about one result before it is judged, each number measured once."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ..costs.known_parameters import rows_as_known
from ..sampling.draws import Draws
from ..sampling.posterior import GibbsPosterior
from ..simulations.rows import Simulations
from .accuracy import Accuracy, accuracy
from .bounds import Crowded, at_bounds
from .coverage import Coverage
from .extrapolation import Extrapolation, extrapolation
from .mean_errors import MeanErrors, mean_errors
from .output_space import Kind, output_kind
from .position import LEAST_RUNS, PredictivePosition, predictive_position
from .predictive import PredictiveCheck
from .support import LEAST_SIMULATIONS, Support, SupportReference
from .unit_errors import unit_errors

# Fewer draws give no covariance of parameters and errors of the cost.
LEAST_DRAWS = 10
# A mean of one run has no standard error.
LEAST_COMPARED = 2


@dataclass(frozen=True, eq=False, repr=False)
class Evidence:
    """What there is to judge a result by; what takes a computation is measured when first asked for, and kept.

    A measurement is None where what it takes was not given, or is too little.

    Attributes:
        posterior: whose draws they are.
        draws: its draws.
        predictive: new runs at them.
        simulations: that the cost was fitted on.
        kind: of output, "coordinates", "series" or "set"; by default as the cost reads it.
        labels: names of the output's coordinates or channels.
        coverage: of held-out simulations, where it was counted.
        given_reference: what the observation is compared with, where it was made for the same cost and simulations.
        axis: dates, times or names of the observation's steps, by which findings call them; those of the posterior's
            observation if not given.

    Example:
        >>> evidence = Evidence(posterior, draws, simulations=simulations)
        >>> print(evidence.support.summary())
    """

    posterior: GibbsPosterior
    draws: Draws
    predictive: PredictiveCheck | None = None
    simulations: Simulations | None = None
    kind: str | None = None
    labels: Sequence[str] | None = None
    coverage: Coverage | None = None
    given_reference: SupportReference | None = None
    axis: Any = None

    def __repr__(self) -> str:
        runs = "no new runs" if self.predictive is None else f"{len(self.predictive.x)} new runs"
        rows = "no simulations" if self.simulations is None else f"{len(self.simulations)} simulations"
        return f"Evidence({len(self.draws)} draws, {runs}, {rows})"

    @property
    def deterministic(self) -> bool:
        """Whether the simulator that the cost was fitted to has no noise, as far as is known."""
        return bool(self.posterior.cost.settings.get("deterministic", False))

    @cached_property
    def output_kind(self) -> Kind:
        """How outputs are read."""
        return output_kind(self.posterior.cost, self.kind)

    @property
    def output_labels(self) -> Sequence[str] | None:
        """Names of the output's coordinates or channels: those that were given, else those of the simulator."""
        return self.posterior.cost.output_names if self.labels is None else self.labels

    @cached_property
    def simulated(self) -> int:
        """Number of simulations that succeeded."""
        return 0 if self.simulations is None else int(np.sum(self.simulations.ok))

    @cached_property
    def simulated_of_prior(self) -> int:
        """Number of those at draws of the prior."""
        return 0 if self.simulations is None else int(np.sum(self.simulations.ok & (self.simulations.round == 0)))

    @cached_property
    def reference(self) -> SupportReference | None:
        """What the observation is compared with."""
        x_o = self.posterior.x_o
        if self.given_reference is not None and self.given_reference.suits(x_o):
            return self.given_reference
        if self.simulations is None or self.simulated_of_prior < LEAST_SIMULATIONS:
            return None
        return SupportReference.of(self.posterior.cost, self.simulations, kind=self.output_kind, x_o=x_o)

    @cached_property
    def support(self) -> Support | None:
        """Of the observation."""
        return None if self.reference is None else self.reference.judge(self.posterior.x_o, self._conditions)

    @property
    def misspecified(self) -> bool:
        """Whether the simulator hardly makes the like of the observation, as far as that is known."""
        return self.support is not None and not self.support.inside

    @cached_property
    def slips(self) -> tuple[str, ...]:
        """What would explain an observation far outside, such as other units."""
        if self.reference is None:
            return ()
        return tuple(unit_errors(self.reference, self.posterior.x_o, self._conditions))

    @cached_property
    def crowded(self) -> tuple[Crowded, ...]:
        """Parameters that crowd at a bound of the prior."""
        return tuple(at_bounds(self.posterior.prior, np.asarray(self.draws.flat, float)))

    @cached_property
    def extrapolation(self) -> Extrapolation | None:
        """Of the draws."""
        if self.simulations is None or self.simulated < LEAST_SIMULATIONS:
            return None
        known = self._conditions
        values = np.asarray(list(known.values()), np.float32) if known else None
        rows = rows_as_known(self.posterior.cost, self.simulations)
        return extrapolation(rows, np.asarray(self.draws.flat), values)

    @cached_property
    def accuracy(self) -> Accuracy | None:
        """Of the predicted cost, by the new runs."""
        if self.predictive is None or len(self.predictive.theta) < LEAST_COMPARED:
            return None
        return accuracy(self.predictive.predicted, self.predictive.simulated)

    @property
    def agrees(self) -> bool:
        """Whether new runs at the draws do not contradict the predicted cost; False also without any."""
        return self.accuracy is not None and self.predictive is not None and self.predictive.error.right

    @property
    def confirmed(self) -> bool:
        """Whether they agree, and would have shown an error that matters to the posterior."""
        return self.agrees and self.predictive is not None and self.predictive.error.resolved

    @cached_property
    def means(self) -> MeanErrors | None:
        """Errors of the posterior means."""
        if len(self.draws) < LEAST_DRAWS:
            return None
        return mean_errors(self.posterior, self.draws, self.predictive)

    @cached_property
    def position(self) -> PredictivePosition | None:
        """Of the observation among runs at the draws."""
        if self.predictive is None or len(self.predictive.x) < LEAST_RUNS:
            return None
        axis = self.posterior.observation if self.axis is None else self.axis
        return predictive_position(self.predictive.x, self.posterior.x_o, self.output_kind, self.output_labels, axis)

    @property
    def _conditions(self) -> dict[str, float] | None:
        return self.posterior.conditions or None
