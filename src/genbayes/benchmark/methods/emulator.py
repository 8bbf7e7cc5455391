"""The Gibbs posterior of an emulator that sbi trained."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from ...distances import Distance
from ...distances.batched import distances_to
from ...priors.prior import Prior
from ...runtime.timing import stopwatch
from ...simulations.rows import Simulations
from ...tasks import Task
from .flows import FlowSettings, torch_scope
from .method import MethodDraws, checked_observation
from .nle import Likelihood, fit_likelihood
from .particles import Particles


@dataclass(frozen=True)
class EmulatorGBI:
    """The Gibbs posterior of an emulator: the cost is the mean distance of `runs` draws of q(x | theta) to x_o.

    The rival of amortized costs in Gao, Deistler, Macke 2023. The emulator's noise is drawn once for each population of
    particles: fresh noise at every step would make the chain wander as if it were hotter, one noise for all would shift
    every draw the same way.

    Attributes:
        name: of the method.
        runs: emulator draws per parameter.
        settings: of the training.
        particles: of the sampler; half the usual number, for every evaluation costs `runs` passes of the flow.
    """

    name: str = "emulator-gbi"
    runs: int = 10
    settings: FlowSettings = field(default_factory=FlowSettings)
    particles: Particles = field(
        default_factory=lambda: Particles(particles=50, stage_accepts=1.0, last_accepts=6.0, snapshot_accepts=2.0)
    )

    def fit(self, task: Task, simulations: Simulations, *, seed: int, progress: bool) -> "FittedEmulator":
        """Trains the flow.

        Raises:
            ImportError: torch or sbi is not installed.
        """
        likelihood, seconds, messages = fit_likelihood(task, simulations, self.settings, seed, progress)
        with stopwatch() as more:
            distance = task.distance.fitted(simulations.x[simulations.ok])
        seconds = {key: seconds[key] + more[key] for key in seconds}
        return FittedEmulator(task.prior, likelihood, distance, self.runs, self.particles, seconds, messages)


@dataclass(frozen=True)
class FittedEmulator:
    """An emulator and a distance; see `Fitted`."""

    prior: Prior
    likelihood: Likelihood
    distance: Distance
    runs: int
    particles: Particles
    seconds: dict[str, float]
    messages: tuple[str, ...]
    tempered: bool = True

    def sample(self, x_o: ArrayLike, beta: float, n: int, *, seed: int) -> MethodDraws:
        """Draws of exp(-beta cost) prior, each population of particles under its own `runs` noises of the emulator."""
        with stopwatch() as seconds, torch_scope(seed):
            observed = checked_observation(self.distance, self.likelihood.x_shape, x_o)
            noise = self.likelihood.noise(self.particles.populations, self.runs)
            theta, messages = self.particles.sample(
                lambda values: beta * self._cost(values, observed, noise), self.prior, n, seed=seed
            )
        return MethodDraws(theta, float(beta), seconds, messages)

    def predicted_cost(self, theta: ArrayLike, x_o: ArrayLike) -> Float[np.ndarray, " m"]:
        """Mean distance over `runs` fresh emulator draws for each parameter (m, dim); the same at every call."""
        theta = np.asarray(theta, np.float32)
        observed = checked_observation(self.distance, self.likelihood.x_shape, x_o)
        block = 500
        costs = []
        with torch_scope(0):
            for start in range(0, len(theta), block):
                part = theta[start : start + block]
                # Blocks of one length compile once; every parameter is a population of its own, with its own noise.
                padded = np.concatenate([part, np.repeat(part[-1:], block - len(part), axis=0)])
                noise = self.likelihood.noise(block, self.runs)
                costs.append(self._cost(padded[:, None], observed, noise)[: len(part), 0])
        return np.concatenate(costs)

    def _cost(
        self, theta: Float[np.ndarray, "p n dim"], x_o: Float[np.ndarray, "..."], noise: Any
    ) -> Float[np.ndarray, "p n"]:
        outputs = self.likelihood.emulate(theta, noise)
        flat = outputs.reshape(-1, *self.likelihood.x_shape)
        return np.asarray(distances_to(self.distance, flat, x_o)).reshape(outputs.shape[:3]).mean(axis=2)
