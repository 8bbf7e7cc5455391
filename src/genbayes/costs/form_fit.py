"""The fit of a cost's form, whatever its kind."""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from ..distances import AdditiveDistance, Distance, HilbertDistance
from ..distances.base import CostKind
from ..distances.spread import OutputSpread
from ..learning.embeddings import Embedding
from ..learning.streamed_rows import StreamedRows
from ..learning.training import FitConfig, FitRecord
from ..simulations.rows import Simulations
from .cost import Cost
from .fit_corrected import fit_corrected
from .fit_features import fit_features
from .fit_general import fit_general
from .fit_marginal import fit_marginal
from .forms import CostForm, MarginalForm, NetworkForm
from .paired_runs import PairedRows
from .row_errors import RowErrors
from .training_rows import TrainingRows


class FormFit(NamedTuple):
    """What every kind of form is fitted to."""

    data: TrainingRows
    x: Float[np.ndarray, "n *x_shape"]
    distance: Distance
    spread: OutputSpread | None
    simulations: Simulations
    config: FitConfig
    rng: np.random.Generator
    progress: bool
    start: Cost | None
    pairs: PairedRows | None
    stream: StreamedRows | None
    error: RowErrors

    def of_kind(self, kind: CostKind, reader: type[Embedding] | None) -> tuple[CostForm, tuple[FitRecord, ...]]:
        """The form and the records of its fit; `reader` is the general network's embedding."""
        theta, folds, config = self.data.theta, self.data.folds, self.config
        before = None if self.start is None else self.start.form
        shared: dict[str, Any] = {"rng": self.rng, "progress": self.progress, "levels": self.simulations.levels}
        shared["stream"] = self.stream
        if kind == "features" and isinstance(self.distance, HilbertDistance) and self.pairs is not None:
            cheap, noise = self.pairs, self.data.noise
            shared["error_variance"] = self.error.variance
            return fit_corrected(theta, self.x, self.distance, folds, config, cheap=cheap, noise=noise, **shared)
        if kind == "features" and isinstance(self.distance, HilbertDistance):
            shared |= {"noise": self.data.noise, "error_variance": self.error.variance}
            shared["deviations"] = self.error.deviations
            return fit_features(theta, self.x, self.distance, folds, config, **shared)
        if kind == "marginal" and isinstance(self.distance, AdditiveDistance) and self.spread is not None:
            start = before if isinstance(before, MarginalForm) else None
            shared |= {"spread": self.spread.deviation, "error": self.error.of_values}
            return fit_marginal(theta, self.x, self.distance, folds, config, start=start, **shared)
        assert reader is not None
        start = before if isinstance(before, NetworkForm) else None
        noise_id = self.simulations.noise_id[self.data.rows]
        return fit_general(
            theta, self.x, self.distance, reader, folds, config, noise_id=noise_id, start=start, **shared
        )
