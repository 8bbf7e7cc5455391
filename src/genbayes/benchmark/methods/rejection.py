"""Rejection ABC on stored simulations: what can be had without learning anything."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from ...distances import Distance
from ...distances.batched import distances_to
from ...runtime.timing import stopwatch
from ...simulations.rows import Simulations
from ...tasks import Task
from .method import MethodDraws, checked_observation


@dataclass(frozen=True)
class RejectionABC:
    """Accepts simulation i with probability exp(-beta d(x_i, x_o)) (Wilkinson 2013, for an exponential kernel).

    Its target is prior(theta) E[exp(-beta d) | theta]: of single distances, not of the expected one, which favours
    noisy parameters more than the Gibbs posterior does. Where fewer than `least` simulations are accepted, beta is
    lowered to where `least` are.

    Attributes:
        name: of the method.
        least: simulations that must be accepted.
    """

    name: str = "abc"
    least: int = 50

    def fit(self, task: Task, simulations: Simulations, *, seed: int, progress: bool) -> "FittedRejection":
        """Keeps the simulations.

        Raises:
            ValueError: not more than `least` of the simulations succeeded.
        """
        del seed, progress
        rows = simulations.ok
        if rows.sum() <= self.least:
            raise ValueError(
                f"rejection ABC accepts at least {self.least} simulations, but only {int(rows.sum())} of "
                f"{len(simulations)} succeeded: run more of them."
            )
        with stopwatch() as seconds:
            distance = task.distance.fitted(simulations.x[rows])
        return FittedRejection(simulations.theta[rows], simulations.x[rows], distance, self.least, seconds)


@dataclass(frozen=True)
class FittedRejection:
    """The simulations that succeeded; see `Fitted`."""

    theta: Float[np.ndarray, "rows dim"]
    x: Float[np.ndarray, "rows ..."]
    distance: Distance
    least: int
    seconds: dict[str, float]
    messages: tuple[str, ...] = ()
    tempered: bool = True

    def sample(self, x_o: ArrayLike, beta: float, n: int, *, seed: int) -> MethodDraws:
        """The accepted parameters, each once: at most `n`, and fewer where fewer were accepted.

        They are not resampled up to `n`: copies would look like draws that nobody made.
        """
        messages = []
        with stopwatch() as seconds:
            observed = checked_observation(self.distance, self.x.shape[1:], x_o)
            distances = np.asarray(distances_to(self.distance, self.x, observed), np.float64)
            rng = np.random.default_rng(seed)
            rows, used = accept(distances, beta, self.least, rng)
            if used < beta:
                messages.append(
                    f"Rejection ABC accepted fewer than {self.least} of {len(distances)} simulations at beta = "
                    f"{beta:.4g}; these draws are of beta = {used:.4g}, at which it accepts {self.least}."
                )
            if len(rows) < n:
                messages.append(f"Rejection ABC gives {len(rows)} draws instead of {n}: each accepted simulation once.")
            theta = self.theta[rng.permutation(rows)[:n]]
        return MethodDraws(theta, used, seconds, tuple(messages))

    def predicted_cost(self, theta: ArrayLike, x_o: ArrayLike) -> None:
        """None: it predicts no expected distance."""
        del theta, x_o


def accept(
    distances: Float[np.ndarray, " rows"], beta: float, least: int, rng: np.random.Generator
) -> tuple[np.ndarray, float]:
    """Rows accepted with probability exp(-beta distance), at least `least`, and the beta at which they are.

    A row accepted at one beta is accepted at all smaller ones: it has a largest beta of its own, exponential with rate
    `distance`. Where fewer than `least` reach `beta`, the new beta is the one that row number least + 1 just fails.
    (Not the one that row number `least` just passes: given it, that row would be picked in proportion to its distance.)
    """
    with np.errstate(divide="ignore"):
        largest = np.where(np.isfinite(distances), rng.exponential(size=len(distances)) / distances, -1.0)
    rows = np.flatnonzero(largest >= beta)
    if len(rows) >= least:
        return rows, float(beta)
    order = np.argsort(-largest)
    return np.sort(order[:least]), float(largest[order[least]])
