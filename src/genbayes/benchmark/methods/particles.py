"""Equal-weight draws of prior(theta) exp(-energy(theta)) for an energy that is not JAX, such as a PyTorch network's.

sbi's own slice sampler took about ten times as long for 5,000 draws of two moons, and its default of 20 chains shares
the modes among them by chance.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from ...priors.prior import Prior

Energy = Callable[[Float[np.ndarray, "p n dim"]], Float[np.ndarray, "p n"]]
# A place where the energy is not finite is forbidden; infinity itself would make 0 * inf of it at temperature 0.
_FORBIDDEN = 1e30


@dataclass(frozen=True)
class Particles:
    """Tempered sequential Monte Carlo whose moves need no gradient (differential evolution; ter Braak 2006).

    Independent populations go from the prior through exp(-lambda energy) prior, lambda from 0 to 1, each stage keeping
    the effective sample size at half. A particle moves along the difference of two others, which follows narrow,
    correlated and several modes alike. At lambda = 1 the particles go on moving and leave several snapshots.

    Args:
        populations: independent particle systems; the energy sees them as the first axis.
        particles: of each population.
        stage_accepts: moves accepted per particle, on average, before lambda grows.
        last_accepts: the same at lambda = 1, before the first snapshot.
        snapshot_accepts: the same between snapshots.
        most_moves: bound on the moves for each of these.
        most_stages: bound on the temperatures.
    """

    populations: int = 10
    particles: int = 100
    stage_accepts: float = 2.0
    last_accepts: float = 10.0
    snapshot_accepts: float = 4.0
    most_moves: int = 60
    most_stages: int = 200

    def sample(
        self, energy: Energy, prior: Prior, n: int, *, seed: int
    ) -> tuple[Float[np.ndarray, "n dim"], tuple[str, ...]]:
        """Draws (n, dim) inside the prior's support, and what went wrong.

        Args:
            energy: of parameters (populations, particles, dim), an array (populations, particles).
            prior: over the parameters.
            n: number of draws.
            seed: the same seed gives the same draws, if the energy is a function.
        """
        run = _Run(self, energy, prior, np.random.default_rng(seed))
        messages = run.temper()
        run.move(self.last_accepts)
        snapshots = [run.theta()]
        for _ in range(-(-n // (self.populations * self.particles)) - 1):
            run.move(self.snapshot_accepts)
            snapshots.append(run.theta())
        if run.rate < 0.02:
            messages += (
                f"Only {run.rate:.1%} of the last moves of the particles were accepted: the draws may hold copies of "
                "one another.",
            )
        draws = np.concatenate([part.reshape(-1, prior.dim) for part in snapshots]).astype(np.float32)
        return draws[np.sort(run.rng.permutation(len(draws))[:n])], messages


class _Run:
    """The particles of one run, in unconstrained coordinates."""

    def __init__(self, config: Particles, energy: Energy, prior: Prior, rng: np.random.Generator):
        self.config, self.energy, self.prior, self.rng = config, energy, prior, rng
        shape = (config.populations, config.particles)
        theta = np.asarray(prior.sample(shape[0] * shape[1], seed=int(rng.integers(2**32))))
        self.u = np.asarray(prior.to_unconstrained(theta), np.float64).reshape(*shape, -1)
        self.log_prior, self.energies = self.evaluate(self.u)
        self.reached = np.zeros(shape[0])
        # This scale is optimal for a Gaussian of many dimensions.
        self.scale = np.full(shape[0], 2.38 / np.sqrt(2 * self.u.shape[2]))
        self.rate = 1.0

    def theta(self, u: np.ndarray | None = None) -> Float[np.ndarray, "p n dim"]:
        """Parameters of the particles, or of `u`."""
        return np.asarray(self.prior.from_unconstrained((self.u if u is None else u).astype(np.float32)))

    def evaluate(self, u: Float[np.ndarray, "p n k"]) -> tuple[np.ndarray, np.ndarray]:
        """Log prior density of the unconstrained coordinates, and energy."""
        log_prior = np.asarray(self.prior.log_density_unconstrained(u.astype(np.float32)), np.float64)
        energy = np.asarray(self.energy(self.theta(u)), np.float64)
        return log_prior, np.where(np.isfinite(energy), energy, _FORBIDDEN)

    def temper(self) -> tuple[str, ...]:
        """Takes the particles from the prior to lambda = 1."""
        for _ in range(self.config.most_stages):
            reached = np.array([_next_lambda(*pair) for pair in zip(self.energies, self.reached, strict=True)])
            for row, step in enumerate(reached - self.reached):
                if step > 0:
                    self.resample(row, -step * (self.energies[row] - self.energies[row].min()))
            self.reached = reached
            if np.all(reached >= 1):
                return ()
            self.move(self.config.stage_accepts)
        return (
            f"The particles stopped at {self.reached.min():.3g} of the full temperature after "
            f"{self.config.most_stages} stages: the draws are wider than they should be.",
        )

    def resample(self, row: int, log_weights: Float[np.ndarray, " n"]) -> None:
        """Systematic resampling of one population."""
        weights = np.exp(log_weights)
        n = len(weights)
        points = (self.rng.random() + np.arange(n)) / n
        chosen = np.minimum(np.searchsorted(np.cumsum(weights / weights.sum()), points), n - 1)
        for values in (self.u, self.log_prior, self.energies):
            values[row] = values[row, chosen]

    def move(self, accepts: float) -> None:
        """Moves all particles until each has moved `accepts` times on average in every population."""
        populations, n, _ = self.u.shape
        # The differences come from a frozen copy, so that every proposal is symmetric; of all populations, because few
        # particles do not span the space.
        frozen = self.u.reshape(populations * n, -1).copy()
        floor = 1e-3 * frozen.std(axis=0)
        accepted = np.zeros(populations)
        for _ in range(self.config.most_moves):
            one, other = self.rng.integers(len(frozen), size=(2, populations, n))
            # One in ten goes a whole difference, from mode to mode.
            size = np.where(
                self.rng.random((populations, n)) < 0.1,
                1.0,
                self.scale[:, None] * np.exp(0.5 * self.rng.standard_normal((populations, n))),
            )
            step = size[..., None] * (frozen[one] - frozen[other])
            u = self.u + step + floor * self.rng.standard_normal(self.u.shape)
            log_prior, energy = self.evaluate(u)
            gain = log_prior - self.log_prior - self.reached[:, None] * (energy - self.energies)
            yes = np.log(1 - self.rng.random(gain.shape)) < gain
            self.u[yes], self.log_prior[yes], self.energies[yes] = u[yes], log_prior[yes], energy[yes]
            rates = yes.mean(axis=1)
            self.rate = 0.8 * self.rate + 0.2 * float(rates.min())
            self.scale = np.clip(self.scale * np.exp(rates - 0.25), 1e-3, 3.0)
            accepted += rates
            if accepted.min() >= accepts:
                return


def _next_lambda(energy: Float[np.ndarray, " n"], reached: float) -> float:
    """Largest lambda whose weights keep half of the effective sample size, by bisection on the step's logarithm."""
    left = 1 - reached
    excess = energy - energy.min()

    def enough(step: float) -> bool:
        weights = np.exp(-step * excess)
        return weights.sum() ** 2 >= 0.5 * len(weights) * np.sum(weights**2)

    if left <= 0 or enough(left):
        return 1.0
    low, high = np.log(left) - 60.0, np.log(left)
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if enough(np.exp(middle)) else (low, middle)
    return reached + float(np.exp(low))
