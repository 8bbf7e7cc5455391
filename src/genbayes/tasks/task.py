"""What a task is: prior + simulator + distance + observation, and the exact cost where it is known."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..cost import Cost
from ..distances import Distance
from ..prior import Prior


@dataclass(frozen=True)
class Task:
    """A problem that is ready to run.

    Attributes:
        name: of the task.
        prior: over its parameters.
        simulator: `simulator(key, theta)` of one parameter.
        distance: between two outputs.
        x_o: an observation, or None.
        cost: the exact expected distance, or None where it is not known.
    """

    name: str
    prior: Prior
    simulator: Callable
    distance: Distance
    x_o: np.ndarray | None = None
    cost: Cost | None = None
