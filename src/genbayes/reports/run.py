"""`ReportedRun`: what a report is about, and what its tables and pictures are made from."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from ..checks.evidence import Evidence
from ..checks.predictive import PredictiveCheck
from ..plots.predictions import MOST_COORDINATES
from ..sampling.draws import Draws
from ..sampling.posterior import GibbsPosterior
from ..simulations.rows import Simulations

# Outputs at draws of the prior that a picture shows at most.
MOST_PRIOR_OUTPUTS = 1000


@dataclass(frozen=True, eq=False)
class ReportedRun:
    """A run with the evidence on it.

    Attributes:
        evidence: what was given, and all that was measured for the verdict.
        axis: times of a series, or (times, label), or what `read_observation` returned, as in
            `plots.predictive`.
        labels: names with units of the output's coordinates or channels.
        kind: of output, as in `plots.predictive`.
    """

    evidence: Evidence
    axis: Any = None
    labels: Sequence[str] | None = None
    kind: str | None = None

    @property
    def posterior(self) -> GibbsPosterior:
        """That was sampled."""
        return self.evidence.posterior

    @property
    def draws(self) -> Draws:
        """Its draws."""
        return self.evidence.draws

    @property
    def predictive(self) -> PredictiveCheck | None:
        """New runs at the draws."""
        return self.evidence.predictive

    @property
    def simulations(self) -> Simulations | None:
        """Of the training."""
        return self.evidence.simulations

    @property
    def prior_outputs(self) -> Float[np.ndarray, "n *x_shape"] | None:
        """Successful outputs at draws of the prior, if they have the observation's shape."""
        if self.simulations is None:
            return None
        x = self.simulations.x[self.simulations.ok & (self.simulations.round == 0)][:MOST_PRIOR_OUTPUTS]
        own = self.posterior.x_o.shape
        # Sets may have any number of trials.
        same = x.shape[2:] == own[1:] if self.evidence.output_kind == "set" else x.shape[1:] == own
        return x if len(x) and same else None

    @property
    def outputs_shown(self) -> bool:
        """Whether `plots.predictive` has a picture for outputs of this shape."""
        shape = self.posterior.x_o.shape
        return len(shape) < 2 or (len(shape) == 2 and shape[1] <= MOST_COORDINATES)
