"""The fit of a cost's form, whatever its kind."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from ..distances import AdditiveDistance, Distance, HilbertDistance
from ..distances.base import CostKind
from ..distances.spread import OutputSpread
from ..learning.embeddings import Embedding, SetEmbedding
from ..learning.streamed_rows import StreamedRows
from ..learning.training import FitConfig, FitRecord
from ..simulations.rows import Simulations
from .cost import Cost
from .fit_corrected import fit_corrected
from .fit_emulated import can_be_emulated, fit_emulator, is_emulator_better
from .fit_features import fit_features
from .fit_general import fit_general
from .fit_marginal import fit_marginal
from .forms import CostForm, MarginalForm, NetworkForm
from .paired_runs import PairedRows
from .row_errors import RowErrors
from .training_rows import TrainingRows


class FittedForm(NamedTuple):
    """A form, the records of its fit, and the rows that each member has not trained on."""

    form: CostForm
    records: tuple[FitRecord, ...]
    unseen: Sequence[Int[np.ndarray, " _"]]


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

    def of_kind(self, kind: CostKind, reader: type[Embedding] | None, *, emulated: bool) -> FittedForm:
        """The form and the records of its fit.

        Args:
            kind: of the cost.
            reader: the general network's embedding.
            emulated: whether an emulator of the outputs is tried beside a general network.
        """
        if kind == "general":
            assert reader is not None
            return self._general(reader, emulated=emulated)
        theta, folds, config, shared = self.data.theta, self.data.folds, self.config, self._shared
        if kind == "features" and isinstance(self.distance, HilbertDistance) and self.pairs is not None:
            cheap, noise = self.pairs, self.data.noise
            shared["error_variance"] = self.error.variance
            made = fit_corrected(theta, self.x, self.distance, folds, config, cheap=cheap, noise=noise, **shared)
            return FittedForm(*made, self.data.unseen)
        if kind == "features" and isinstance(self.distance, HilbertDistance):
            shared |= {"noise": self.data.noise, "error_variance": self.error.variance}
            shared["deviations"] = self.error.deviations
            return FittedForm(*fit_features(theta, self.x, self.distance, folds, config, **shared), self.data.unseen)
        assert isinstance(self.distance, AdditiveDistance)
        assert self.spread is not None
        before = None if self.start is None else self.start.form
        start = before if isinstance(before, MarginalForm) else None
        shared |= {"spread": self.spread.deviation, "error": self.error.of_values}
        made = fit_marginal(theta, self.x, self.distance, folds, config, start=start, **shared)
        return FittedForm(*made, self.data.unseen)

    @property
    def _shared(self) -> dict[str, Any]:
        """What every fit is given."""
        return {
            "rng": self.rng,
            "progress": self.progress,
            "levels": self.simulations.levels,
            "stream": self.stream,
        }

    def _general(self, reader: type[Embedding], *, emulated: bool) -> FittedForm:
        """The general network, or an emulator where held-out rows prefer it."""
        data, config, shared = self.data, self.config, self._shared
        before = None if self.start is None else self.start.form
        start = before if isinstance(before, NetworkForm) else None
        noise_id = self.simulations.noise_id[data.rows]
        network, records = fit_general(
            data.theta, self.x, self.distance, reader, data.folds, config, noise_id=noise_id, start=start, **shared
        )
        if emulated and not issubclass(reader, SetEmbedding) and can_be_emulated(self.distance, self.x):
            folds = None if self.stream is None else data.folds
            emulator = fit_emulator(data.theta, self.x, self.distance, config, folds=folds, **shared)
            if is_emulator_better(emulator, network, data.theta, self.x, data.folds, noise_id):
                return FittedForm(emulator.form, emulator.records, list(emulator.folds.validation))
        return FittedForm(network, records, data.unseen)
