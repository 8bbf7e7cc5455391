"""Neural likelihood estimation through sbi, as it is and tempered.

A set of i.i.d. trials is split: the flow trains on single trials, each with its set's parameter, and log-likelihoods
are summed over the trials of an observation, as sbi's own potential does. All other outputs are flattened.
"""

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
class Likelihood:
    """sbi's density estimator of one trial given a parameter; an output that is no set is its own single trial."""

    estimator: Any
    distance: Distance
    x_shape: tuple[int, ...]
    in_set: bool

    @property
    def trials_shape(self) -> tuple[int, int]:
        """Of one output as trials (trials, trial_dim)."""
        return (self.x_shape[0], self.x_shape[1]) if self.in_set else (1, int(np.prod(self.x_shape)))

    def trials(self, x_o: ArrayLike) -> Any:
        """An observation as a tensor (trials, trial_dim)."""
        observed = checked_observation(self.distance, self.x_shape, x_o)
        return import_sbi("torch").as_tensor(observed.reshape(-1, self.trials_shape[1]))

    def log_density(self, theta: Float[np.ndarray, "p n dim"], trials: Any) -> Float[np.ndarray, "p n"]:
        """Log-likelihood of the trials, summed."""
        torch = import_sbi("torch")
        condition = torch.tensor(theta.reshape(-1, theta.shape[-1]))
        with torch.no_grad():
            values = self.estimator.log_prob(trials[:, None].expand(-1, len(condition), -1), condition=condition)
        return values.sum(0).numpy().reshape(theta.shape[:2])

    def noise(self, populations: int, runs: int) -> Any:
        """Base noise of emulated outputs, (populations, runs * trials, trial_dim), from torch's generator."""
        trials, trial_dim = self.trials_shape
        return import_sbi("torch").randn(populations, runs * trials, trial_dim)

    def emulate(self, theta: Float[np.ndarray, "p n dim"], noise: Any) -> Float[np.ndarray, "p n runs ..."]:
        """Outputs that the flow makes of the noise of each population, the same for all its parameters."""
        torch = import_sbi("torch")
        populations, n, dim = theta.shape
        per_theta = noise.shape[1]
        condition = torch.tensor(theta)[:, :, None].expand(-1, -1, per_theta, -1).reshape(-1, dim)
        base = noise[:, None].expand(-1, n, -1, -1).reshape(-1, noise.shape[2])
        # nflows' flow offers draws, but none of given noise; its base distribution is the standard normal.
        flow = self.estimator.net
        with torch.no_grad():
            outputs, _ = flow._transform.inverse(base, context=flow._embedding_net(condition))
        return outputs.numpy().reshape(populations, n, per_theta // self.trials_shape[0], *self.x_shape)


def fit_likelihood(
    task: Task, simulations: Simulations, settings: FlowSettings, seed: int, progress: bool
) -> tuple[Likelihood, dict[str, float], tuple[str, ...]]:
    """Trains the flow of outputs given parameters; returns it with the seconds taken and what went wrong."""
    with stopwatch() as seconds:
        theta, x = simulations.theta[simulations.ok], simulations.x[simulations.ok]
        in_set = is_set(task.distance)
        if in_set:
            theta = np.repeat(theta, x.shape[1], axis=0)
        trials = x.reshape(len(theta), -1)
        estimator, messages = train_flow("nle", theta, trials, settings, seed=seed, progress=progress)
    return Likelihood(estimator, task.distance, simulations.x_shape, in_set), seconds, messages


@dataclass(frozen=True)
class NLE:
    """Neural likelihood estimation, q(x | theta) (Papamakarios, Sterratt, Murray 2019; a single round).

    sbi's neural spline flow with sbi's defaults. The posterior is sampled by `Particles`, from the same density as
    sbi's slice sampler and faster. The splines are the identity beyond three standard deviations of the simulated
    outputs: an observation far outside in every coordinate says nothing of the parameters, and draws are the prior's.

    Attributes:
        name: of the method.
        tempered: draws are of likelihood^beta prior; otherwise of likelihood prior. (This beta multiplies a
            log-likelihood, not a distance: equal numbers mean different temperatures.)
        settings: of the training.
        particles: of the sampler.
    """

    name: str = "nle"
    tempered: bool = False
    settings: FlowSettings = field(default_factory=FlowSettings)
    particles: Particles = field(default_factory=Particles)

    def fit(self, task: Task, simulations: Simulations, *, seed: int, progress: bool) -> "FittedNLE":
        """Trains the flow.

        Raises:
            ImportError: torch or sbi is not installed.
        """
        likelihood, seconds, messages = fit_likelihood(task, simulations, self.settings, seed, progress)
        return FittedNLE(task.prior, likelihood, self.particles, seconds, messages, self.tempered)


@dataclass(frozen=True)
class FittedNLE:
    """A likelihood and its prior; see `Fitted`."""

    prior: Prior
    likelihood: Likelihood
    particles: Particles
    seconds: dict[str, float]
    messages: tuple[str, ...]
    tempered: bool

    def sample(self, x_o: ArrayLike, beta: float, n: int, *, seed: int) -> MethodDraws:
        """Draws of likelihood^beta prior, or of likelihood prior."""
        power = beta if self.tempered else 1.0
        with stopwatch() as seconds, torch_scope(seed):
            trials = self.likelihood.trials(x_o)
            theta, messages = self.particles.sample(
                lambda values: -power * self.likelihood.log_density(values, trials), self.prior, n, seed=seed
            )
        return MethodDraws(theta, float(beta) if self.tempered else None, seconds, messages)

    def predicted_cost(self, theta: ArrayLike, x_o: ArrayLike) -> None:
        """None: it predicts no expected distance."""
        del theta, x_o
