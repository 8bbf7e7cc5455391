"""`ModelComparison`: evidences of several models, their probabilities, and how sure they are."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from ..runtime.notebook import html_table
from ..runtime.outcome import Outcome
from ..sampling.draws import Draws

# Nats by which an error of a log Bayes factor hardly changes a conclusion.
_SMALL = 0.5
_HEADER = ("model", "log evidence", "sampling +-", "cost +-", "log Bayes factor", "prior", "posterior")


@dataclass(frozen=True, eq=False, repr=False)
class ModelEvidence:
    """The Gibbs evidence of one model: log of the integral of exp(-beta cost) prior.

    Attributes:
        name: of the model.
        log_evidence: in nats.
        error: its Monte Carlo standard error, from the spread between independent populations.
        cost_error: what an error of the cost adds, as a standard error in nats: by what the simulations leave open,
            and by held-out ones near the posterior that contradict it; 0 of an exact cost, NaN of one without held-out
            simulations, out of a file of an earlier version.
        prior_probability: of the model.
        draws: of its posterior.
    """

    name: str
    log_evidence: float
    error: float
    cost_error: float
    prior_probability: float
    draws: Draws

    def __repr__(self) -> str:
        return f"ModelEvidence({self.name!r}, log evidence {self.log_evidence:.4g} +- {self.error:.2g})"

    @property
    def whole_error(self) -> float:
        """Standard error by sampling and cost together; an unknown error of the cost is left out."""
        return float(np.hypot(self.error, np.nan_to_num(self.cost_error)))


@dataclass(frozen=True, eq=False, repr=False)
class ModelComparison:
    """What `compare_models` returns.

    Attributes:
        models: with their evidences, in the order given.
        beta: inverse temperature of all.
        x_o: the observation.
    """

    models: tuple[ModelEvidence, ...]
    beta: float
    x_o: np.ndarray

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the models."""
        return tuple(model.name for model in self.models)

    @property
    def probabilities(self) -> Float[np.ndarray, " models"]:
        """Posterior probabilities, proportional to evidence times prior probability."""
        logs = np.array([model.log_evidence + np.log(model.prior_probability) for model in self.models])
        return np.exp(logs - np.logaddexp.reduce(logs))

    @property
    def best(self) -> ModelEvidence:
        """The model of the largest evidence."""
        return max(self.models, key=lambda model: model.log_evidence)

    def log_bayes_factor(self, name: str, other: str) -> tuple[float, float]:
        """Log evidence of one model less that of another, with its standard error, in nats.

        Raises:
            KeyError: there is no model of this name.
        """
        one, two = self[name], self[other]
        return one.log_evidence - two.log_evidence, float(np.hypot(one.whole_error, two.whole_error))

    def __getitem__(self, name: str) -> ModelEvidence:
        """The evidence of a model by its name.

        Raises:
            KeyError: there is no model of this name.
        """
        for model in self.models:
            if model.name == name:
                return model
        raise KeyError(f"{name!r} is none of the models {list(self.names)}.")

    # By name only: without this, a loop would ask for the models 0, 1, 2, ...
    __iter__ = None

    def __len__(self) -> int:
        return len(self.models)

    @property
    def outcome(self) -> Outcome:
        """What is wrong with the comparison, and with the posteriors behind it."""
        messages = []
        for model in self.models:
            if np.isnan(model.cost_error):
                messages.append(
                    f"{model.name}: its cost comes without held-out simulations, out of a file of an earlier version, "
                    "and how far off it is goes into the evidence: fit it again."
                )
        for other in self.models:
            if other is not self.best:
                messages += self._judge_pair(other)
        for model in self.models:
            messages += [f"{model.name}: {text}" for text in model.draws.outcome.messages]
        return Outcome(tuple(dict.fromkeys(messages)))

    def _judge_pair(self, other: ModelEvidence) -> list[str]:
        best = self.best
        difference, error = self.log_bayes_factor(best.name, other.name)
        if error <= _SMALL or difference > 2 * error:
            return []
        by_sampling = np.hypot(best.error, other.error) > np.hypot(*np.nan_to_num([best.cost_error, other.cost_error]))
        remedy = "ask for more draws" if by_sampling else "refine the costs, or simulate more"
        return [
            f"{best.name} and {other.name} cannot be told apart: the log Bayes factor is {difference:.2g} "
            f"+- {error:.2g} nats. To know it better, {remedy}."
        ]

    def table(self) -> list[tuple[str, ...]]:
        """One row a model, as texts, under the columns of `summary`."""
        return [
            (
                model.name,
                f"{model.log_evidence:.2f}",
                f"{model.error:.2g}",
                "unknown" if np.isnan(model.cost_error) else f"{model.cost_error:.2g}",
                f"{model.log_evidence - self.best.log_evidence:.2f}",
                f"{model.prior_probability:.3g}",
                f"{probability:.3g}",
            )
            for model, probability in zip(self.models, self.probabilities, strict=True)
        ]

    def summary(self) -> str:
        """The table as plain text, and what is wrong."""
        rows = [_HEADER, *self.table()]
        widths = [max(len(row[i]) for row in rows) for i in range(len(_HEADER))]
        lines = [
            "  ".join(
                cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
            )
            for row in rows
        ]
        lines.append(f"{self._caption()}; log Bayes factor against {self.best.name}, in nats")
        return "\n".join([*lines, *self.outcome.messages])

    def _caption(self) -> str:
        return f"{len(self)} models of an observation {self.x_o.shape} at beta {self.beta:g}"

    def __repr__(self) -> str:
        pairs = zip(self.names, self.probabilities, strict=True)
        return f"ModelComparison({', '.join(f'{name} {share:.3g}' for name, share in pairs)}; beta {self.beta:g})"

    def _repr_html_(self) -> str:
        return html_table(self._caption(), _HEADER, self.table(), self.outcome.messages)
