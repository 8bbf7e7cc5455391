"""What every method of the benchmark offers: `fit` once on simulations, then `sample` for any observation and beta."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from ...distances import Distance
from ...simulations.rows import Simulations
from ...tasks import Task


@dataclass(frozen=True)
class MethodDraws:
    """Equal-weight draws of one method for one observation.

    Attributes:
        theta: (draws, dim), inside the prior's support; fewer draws than asked for are told in `messages`.
        beta: of which the draws really are; None if the method has no beta.
        seconds: "compile" and "run".
        messages: what went wrong or is not as asked for, one sentence each.
    """

    theta: Float[np.ndarray, "draws dim"]
    beta: float | None
    seconds: dict[str, float]
    messages: tuple[str, ...] = ()


class Fitted(Protocol):
    """A method after it has seen the simulations."""

    @property
    def seconds(self) -> dict[str, float]:
        """That fitting took, "compile" and "run"."""
        ...

    @property
    def messages(self) -> tuple[str, ...]:
        """What went wrong in fitting, one sentence each."""
        ...

    @property
    def tempered(self) -> bool:
        """False if the draws do not depend on beta, so that one sample serves all of them."""
        ...

    def sample(self, x_o: ArrayLike, beta: float, n: int, *, seed: int) -> MethodDraws:
        """Up to `n` draws for an observation (*x_shape) at the inverse temperature `beta`."""
        ...

    def predicted_cost(self, theta: ArrayLike, x_o: ArrayLike) -> Float[np.ndarray, " m"] | None:
        """The expected distance that the method predicts for parameters (m, dim); None if it predicts none."""
        ...


class Method(Protocol):
    """A way from simulations to draws."""

    @property
    def name(self) -> str:
        """In `METHODS` and in tables."""
        ...

    def fit(self, task: Task, simulations: Simulations, *, seed: int, progress: bool) -> Fitted:
        """Learns what can be learned before an observation is known."""
        ...


def checked_observation(distance: Distance, x_shape: tuple[int, ...], x_o: ArrayLike) -> Float[np.ndarray, "..."]:
    """One observation as float32.

    Raises:
        ValueError: its shape is not one that the distance compares with outputs of `x_shape`, or it is not finite.
    """
    # The array is copied into one piece, because torch refuses a reversed view.
    values = np.ascontiguousarray(x_o, np.float32)
    distance.check_target(x_shape, values.shape)
    if not np.isfinite(values).all():
        raise ValueError(
            f"x_o has {int((~np.isfinite(values)).sum())} value(s) that are NaN or infinite; fill the gaps."
        )
    return values
