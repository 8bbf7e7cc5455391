"""Neural posterior estimation through sbi."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from ...distances import Distance
from ...priors.prior import Prior
from ...runtime.timing import stopwatch
from ...simulations.rows import Simulations
from ...tasks import Task
from .flows import FlowSettings, import_sbi, is_set, torch_scope, train_flow
from .method import MethodDraws, checked_observation
from .particles import Particles


@dataclass(frozen=True)
class NPE:
    """Neural posterior estimation, q(theta | x) (Greenberg, Nonnenmacher, Macke 2019; a single round).

    sbi's neural spline flow with sbi's defaults. Sets of i.i.d. trials are read by sbi's permutation-invariant
    embedding network; all other outputs are flattened.

    Attributes:
        name: of the method.
        settings: of the training.
    """

    name: str = "npe"
    settings: FlowSettings = field(default_factory=FlowSettings)

    def fit(self, task: Task, simulations: Simulations, *, seed: int, progress: bool) -> "FittedNPE":
        """Trains the flow.

        Raises:
            ImportError: torch or sbi is not installed.
        """
        with stopwatch() as seconds:
            theta, x = simulations.theta[simulations.ok], simulations.x[simulations.ok]
            x = x if is_set(task.distance) else x.reshape(len(x), -1)
            estimator, messages = train_flow("npe", theta, x, self.settings, seed=seed, progress=progress)
        return FittedNPE(task.prior, task.distance, simulations.x_shape, estimator, seconds, messages)


@dataclass(frozen=True)
class FittedNPE:
    """sbi's density estimator of parameters; see `Fitted`."""

    prior: Prior
    distance: Distance
    x_shape: tuple[int, ...]
    estimator: Any
    seconds: dict[str, float]
    messages: tuple[str, ...]
    tempered: bool = False
    least_inside: float = 0.01

    def sample(self, x_o: ArrayLike, beta: float, n: int, *, seed: int) -> MethodDraws:
        """Draws of q(theta | x_o) inside the prior's support; beta plays no part.

        The flow knows nothing of the support. As in sbi, draws outside are drawn again; but where fewer than
        `least_inside` fall inside (sbi would go on for hours), the same truncated density is sampled by `Particles`,
        and `messages` says so.
        """
        del beta
        with stopwatch() as seconds, torch_scope(seed):
            condition = self._condition(x_o)
            theta, inside = self._reject(condition, n)
            messages: tuple[str, ...] = ()
            if inside < self.least_inside:
                messages = (
                    f"NPE puts {inside:.2%} of its mass inside the prior's support; the draws are of that part of it, "
                    "by sequential Monte Carlo instead of rejection.",
                )
                theta, others = Particles().sample(
                    lambda values: self._energy(values, condition), self.prior, n, seed=seed
                )
                messages += others
        return MethodDraws(theta, None, seconds, messages)

    def predicted_cost(self, theta: ArrayLike, x_o: ArrayLike) -> None:
        """None: it predicts no expected distance."""
        del theta, x_o

    def _condition(self, x_o: ArrayLike) -> Any:
        torch = import_sbi("torch")
        observed = checked_observation(self.distance, self.x_shape, x_o)
        if observed.shape != self.x_shape:
            raise ValueError(f"npe was trained on outputs of shape {self.x_shape}, but x_o has {observed.shape}.")
        return torch.as_tensor(observed.reshape(1, *self.estimator.condition_shape))

    def _reject(self, condition: Any, n: int) -> tuple[Float[np.ndarray, "draws dim"], float]:
        """Draws inside the support, and the share that fell inside; few of them if that is below `least_inside`."""
        kept: list[np.ndarray] = []
        tried = found = 0
        while found < n:
            # All batches have one length, so that the prior's test compiles once.
            theta = self.estimator.sample((5000,), condition=condition)[:, 0].detach().numpy()
            kept.append(theta[np.asarray(self.prior.contains(theta))])
            tried, found = tried + len(theta), found + len(kept[-1])
            if tried >= 20000 and found < self.least_inside * tried:
                break
        return np.concatenate(kept)[:n], found / tried

    def _energy(self, theta: Float[np.ndarray, "p n dim"], condition: Any) -> Float[np.ndarray, "p n"]:
        torch = import_sbi("torch")
        flat = theta.reshape(-1, theta.shape[-1])
        with torch.no_grad():
            log_q = self.estimator.log_prob(torch.tensor(flat)[:, None], condition=condition)[:, 0].numpy()
        return (np.asarray(self.prior.log_density(flat)) - log_q).reshape(theta.shape[:2])
