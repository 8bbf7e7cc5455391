"""Training of sbi's neural spline flows, for the methods npe, nle, nle-tempered and emulator-gbi.

torch and sbi are imported inside functions, so that all else works without them.
"""

import contextlib
import importlib
import io
import re
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from ...distances import Distance
from ...runtime.progress import progress_bar


@dataclass(frozen=True)
class FlowSettings:
    """Settings of sbi's training; the defaults are sbi's own, but for the bound on the epochs (sbi has none).

    Args:
        training_batch_size: rows of a step.
        learning_rate: of Adam.
        validation_fraction: share of the rows held out for early stopping.
        stop_after_epochs: epochs without improvement before training ends.
        max_num_epochs: bound on the epochs.
    """

    training_batch_size: int = 200
    learning_rate: float = 5e-4
    validation_fraction: float = 0.1
    stop_after_epochs: int = 20
    max_num_epochs: int = 1000


def import_sbi(module: str) -> Any:
    """A module of torch or sbi.

    Raises:
        ImportError: not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            f"the methods npe, nle, nle-tempered and emulator-gbi need {module}: pip install 'genbayes[sbi]'."
        ) from error


def is_set(distance: Distance) -> bool:
    """Whether outputs are sets of i.i.d. trials (trials, trial_dim): the distance ignores their order."""
    return distance.reads_sets


@contextlib.contextmanager
def torch_scope(seed: int | None = None) -> Iterator[None]:
    """Inside, torch's generator starts from `seed`, if given; outside, it stays as it was."""
    torch = import_sbi("torch")
    with torch.random.fork_rng(devices=[], enabled=seed is not None), warnings.catch_warnings():
        # nflows 0.14, on which sbi builds, solves triangular systems by a function that torch has renamed.
        warnings.filterwarnings("ignore", message="torch.triangular_solve is deprecated", category=UserWarning)
        if seed is not None:
            torch.manual_seed(seed)
        yield


def train_flow(
    kind: str,
    theta: Float[np.ndarray, "rows dim"],
    x: Float[np.ndarray, "rows ..."],
    settings: FlowSettings,
    *,
    seed: int,
    progress: bool,
) -> tuple[Any, tuple[str, ...]]:
    """Trains sbi's "nsf" density estimator: of parameters given outputs ("npe") or outputs given parameters ("nle").

    Outputs (rows, trials, trial_dim) are read by sbi's permutation-invariant embedding network, in "npe" only.

    Returns:
        sbi's estimator, and what went wrong.
    """
    torch, inference = import_sbi("torch"), import_sbi("sbi.inference")
    messages: list[str] = []
    with torch_scope(seed), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        trainer = {"npe": inference.NPE, "nle": inference.NLE}[kind](
            density_estimator=_density_estimator(x.shape[1:]), tracker=NoTracker(), show_progress_bars=True
        )
        trainer.append_simulations(torch.as_tensor(theta), torch.as_tensor(x))
        with progress_bar(f"training {kind}", settings.max_num_epochs, progress) as advance:
            counter = _EpochCounter(advance)
            # sbi prints every epoch, and that it has converged.
            with contextlib.redirect_stdout(counter):
                estimator = trainer.train(
                    training_batch_size=settings.training_batch_size,
                    learning_rate=settings.learning_rate,
                    validation_fraction=settings.validation_fraction,
                    stop_after_epochs=settings.stop_after_epochs,
                    max_num_epochs=settings.max_num_epochs,
                )
        estimator.eval()
    for text in dict.fromkeys(str(warning.message) for warning in caught):
        if "triangular_solve" not in text:
            messages.append(f"sbi: {' '.join(text.split())}")
    return estimator, tuple(messages)


def _density_estimator(x_shape: tuple[int, ...]) -> str | Callable:
    if len(x_shape) == 1:
        return "nsf"
    networks = import_sbi("sbi.neural_nets")
    embeddings = import_sbi("sbi.neural_nets.embedding_nets")
    trial = embeddings.FCEmbedding(input_dim=x_shape[1], output_dim=20)
    embedding = embeddings.PermutationInvariantEmbedding(trial, trial_net_output_dim=20)
    return networks.posterior_nn("nsf", embedding_net=embedding)


class NoTracker:
    """sbi's default tracker writes files into the working directory."""

    log_dir = None

    def log_metric(self, name: str, value: float, step: int | None = None) -> None:
        """Nothing."""

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Nothing."""

    def log_params(self, params: dict[str, Any]) -> None:
        """Nothing."""

    def add_figure(self, name: str, figure: Any, step: int | None = None) -> None:
        """Nothing."""

    def flush(self) -> None:
        """Nothing."""


class _EpochCounter(io.TextIOBase):
    """Turns what sbi prints into steps of a progress bar; it offers no other way to follow its training."""

    def __init__(self, advance: Callable[..., None]):
        self._advance = advance

    def write(self, text: str) -> int:
        """One step for every epoch."""
        if re.search(r"Epochs trained: \d+", text):
            self._advance(1, note="ends when validation no longer improves")
        return len(text)
