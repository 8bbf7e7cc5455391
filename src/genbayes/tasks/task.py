"""What a task is: prior + simulator + distance + observation, and the exact answers where they are known."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..costs.cost import Cost
from ..distances import Distance
from ..priors.prior import Prior


@dataclass(frozen=True, repr=False)
class Task:
    """A problem that is ready to run.

    Attributes:
        name: of the task.
        prior: over its parameters.
        simulator: `simulator(key, theta)` of one parameter.
        distance: between two outputs.
        x_o: an observation, or None.
        cost: the exact expected distance, or None where it is not known.
        betas: inverse temperatures of the benchmark, ascending; units 1 / distance.
        reference: `reference(x_o, beta, n, seed)` gives n independent draws (n, dim) of the exact Gibbs posterior;
            None where it is not known.
        misspecified: `misspecified(theta, x, seed)` makes of prior draws (n, dim) and their outputs (n, *x_shape)
            observations (n, *x_shape) that the simulator cannot produce; None: they are pushed outside its range.
    """

    name: str
    prior: Prior
    simulator: Callable
    distance: Distance
    x_o: np.ndarray | None = None
    cost: Cost | None = None
    betas: tuple[float, ...] = ()
    reference: Callable[[np.ndarray, float, int, int], np.ndarray] | None = None
    misspecified: Callable[[np.ndarray, np.ndarray, int], np.ndarray] | None = None

    def __repr__(self) -> str:
        known = "with" if self.cost is not None else "without"
        return f"Task({self.name}, parameters {', '.join(self.prior.names)}, {self.distance.name}, {known} exact cost)"
