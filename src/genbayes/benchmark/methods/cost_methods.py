"""The methods that sample a cost: the learned ones, and the exact answer they are measured against."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from ...costs.cost import Cost
from ...costs.fitting import fit_cost
from ...learning.training import FitConfig
from ...priors.prior import Prior
from ...runtime.timing import stopwatch
from ...sampling.posterior import GibbsPosterior
from ...simulations.rows import Simulations
from ...tasks import Task
from .method import MethodDraws


@dataclass(frozen=True)
class CostMethod:
    """Amortized cost estimation: `fit_cost`, then `GibbsPosterior.sample` by tempered SMC.

    Attributes:
        name: of the method.
        kind: "auto" uses the distance's structure, "general" takes the network of parameter and observation.
        config: of the fit; None for the defaults of `FitConfig`.
    """

    name: str
    kind: Literal["auto", "general"]
    config: FitConfig | None = None

    def fit(self, task: Task, simulations: Simulations, *, seed: int, progress: bool) -> "FittedCost":
        """Learns the expected distance."""
        with stopwatch() as seconds:
            cost = fit_cost(
                simulations, task.distance, seed=seed, config=self.config, method=self.kind, progress=progress
            )
        return FittedCost(task.prior, cost, seconds, cost.outcome.messages)


@dataclass(frozen=True)
class FittedCost:
    """A learned cost and its prior; see `Fitted`."""

    prior: Prior
    cost: Cost
    seconds: dict[str, float]
    messages: tuple[str, ...]
    tempered: bool = True

    def sample(self, x_o: ArrayLike, beta: float, n: int, *, seed: int) -> MethodDraws:
        """Draws of the Gibbs posterior."""
        with stopwatch() as seconds:
            draws = GibbsPosterior(self.prior, self.cost, x_o, beta).sample(n, seed=seed)
            messages = draws.outcome.messages
        return MethodDraws(draws.flat[:n], float(beta), seconds, messages)

    def predicted_cost(self, theta: ArrayLike, x_o: ArrayLike) -> Float[np.ndarray, " m"]:
        """By the networks."""
        return np.asarray(self.cost(theta, x_o))


@dataclass(frozen=True)
class Exact:
    """The task's own draws of the exact Gibbs posterior: what every other method is compared with."""

    name: str = "exact"

    def fit(self, task: Task, simulations: Simulations, *, seed: int, progress: bool) -> "FittedExact":
        """Learns nothing.

        Raises:
            ValueError: the task has no reference draws.
        """
        del simulations, seed, progress
        if task.reference is None:
            raise ValueError(
                f"the task {task.name!r} has no exact reference draws, which the method 'exact' returns; leave 'exact' "
                "out for it."
            )
        return FittedExact(task.reference, task.cost)


@dataclass(frozen=True)
class FittedExact:
    """What the task knows; see `Fitted`."""

    reference: Callable[[np.ndarray, float, int, int], np.ndarray]
    cost: Cost | None
    seconds: dict[str, float] = field(default_factory=lambda: {"compile": 0.0, "run": 0.0})
    messages: tuple[str, ...] = ()
    tempered: bool = True

    def sample(self, x_o: ArrayLike, beta: float, n: int, *, seed: int) -> MethodDraws:
        """Independent draws."""
        with stopwatch() as seconds:
            theta = np.asarray(self.reference(np.asarray(x_o), beta, n, seed), np.float32)
        return MethodDraws(theta, float(beta), seconds)

    def predicted_cost(self, theta: ArrayLike, x_o: ArrayLike) -> Float[np.ndarray, " m"] | None:
        """The exact expected distance, where the task knows it."""
        return None if self.cost is None else np.asarray(self.cost(theta, x_o))
