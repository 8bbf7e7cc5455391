"""Checks of a posterior against new runs of the simulator."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float

from ..distances import Distance
from ..distances.batched import distances_to, paired_distances
from ..runtime.counts import checked_count
from ..runtime.outcome import Outcome
from ..sampling.draws import Draws
from ..sampling.draws_origin import need_own_draws
from ..sampling.log_density_error import MOST_UNCERTAIN
from ..sampling.new_runs import run_pairs_at
from ..sampling.posterior import GibbsPosterior
from ..simulations.executors import Workers
from ..simulations.simulators import AnySimulator, is_simulator


@dataclass(frozen=True, eq=False, repr=False)
class PredictiveCheck:
    """What the simulator makes of posterior draws, and what the cost had said of them.

    Attributes:
        theta: (m, dim), the draws that were run (those whose runs succeeded).
        x: (m, *x_shape), one run at each.
        predicted: (m,), the cost of each, from the network.
        simulated: (m,), distance of that one run to x_o: an unbiased, noisy label of the cost.
        replicate: (m,), distance of two runs at the same parameter: what a perfect fit would still show.
        n_failed: draws whose runs failed.
        seconds: of simulation.
        log_density_error: beta times the error of differences of cost between draws that the disagreement of the
            ensemble's members implies, in nats (see `GibbsPosterior.members_error_at`). 0 with one member.
        simulated_again: (m,), as `simulated`, of the second run at each draw; None where it was not kept.
    """

    theta: Float[np.ndarray, "m dim"]
    x: Float[np.ndarray, "m *x_shape"]
    predicted: Float[np.ndarray, " m"]
    simulated: Float[np.ndarray, " m"]
    replicate: Float[np.ndarray, " m"]
    n_failed: int
    seconds: float
    log_density_error: float = 0.0
    simulated_again: Float[np.ndarray, " m"] | None = None

    def __repr__(self) -> str:
        return f"PredictiveCheck({self.summary()})"

    @cached_property
    def relative_error(self) -> float:
        """(mean predicted - mean simulated) / mean simulated."""
        return float(self.predicted.mean() / self.simulated.mean() - 1)

    @cached_property
    def standard_error(self) -> float:
        """Standard error of `relative_error`, from the scatter of single runs around their predicted cost."""
        scatter = np.std(self.simulated - self.predicted, ddof=1)
        return float(scatter / np.sqrt(len(self.simulated)) / self.simulated.mean())

    @property
    def distances(self) -> Float[np.ndarray, "runs m"]:
        """Distances of all runs at each draw to x_o, one or two rows."""
        runs = [self.simulated] if self.simulated_again is None else [self.simulated, self.simulated_again]
        return np.stack(runs).astype(np.float64)

    @property
    def unresolved(self) -> bool:
        """Whether the members leave more open than a posterior can be relied on with."""
        return bool(self.log_density_error > MOST_UNCERTAIN * np.sqrt(self.theta.shape[1]))

    @cached_property
    def outcome(self) -> Outcome:
        """What is wrong with the network at the posterior, and the remedy."""
        messages = []
        if inaccurate(self.relative_error, self.standard_error):
            messages.append(
                f"The network's cost of the draws is off by {self.relative_error:+.0%} (standard error "
                f"{self.standard_error:.0%}) from the distance of new runs at them: simulate more, use a larger "
                "ensemble, or lower beta."
            )
        if self.unresolved:
            messages.append(
                f"beta is larger than the network resolves: its members leave the log density open by "
                f"{self.log_density_error:.2g} between draws, so the posterior's place and width are uncertain. Lower "
                "beta, simulate more, or simulate again under a narrower prior around these draws."
            )
        if self.n_failed:
            total = self.n_failed + len(self.theta)
            messages.append(
                f"{self.n_failed} of {total} runs at posterior draws failed: the cost is that of successful runs only."
            )
        return Outcome(tuple(messages))

    def summary(self) -> str:
        """Predicted and re-simulated cost and the replicate distance, in one line."""
        return (
            f"cost of {len(self.theta)} draws: predicted {self.predicted.mean():.4g}, re-simulated "
            f"{self.simulated.mean():.4g} ({self.relative_error:+.1%} +- {self.standard_error:.1%}); "
            f"replicate distance {self.replicate.mean():.4g}"
        )


def inaccurate(relative_error: float, standard_error: float) -> bool:
    """Whether a network's cost is off by more than 10 % beyond doubt: the one rule of every message about it."""
    return abs(relative_error) > 0.1 + 2 * standard_error


def finite_mean(values: Float[np.ndarray, " m"]) -> float:
    """The mean of what is finite."""
    values = np.asarray(values, float)
    return float(np.mean(values[np.isfinite(values)]))


def check_predictive(
    simulator: AnySimulator,
    posterior: GibbsPosterior,
    draws: Draws,
    n: int = 500,
    *,
    seed: int,
    distance: Distance | None = None,
    workers: Workers = 1,
    progress: bool = True,
) -> PredictiveCheck:
    """Runs the simulator twice at `n` draws with new noise and compares predicted with simulated distances.

    Args:
        simulator: as given to `simulate`.
        posterior: whose draws they are.
        draws: from `posterior.sample`.
        n: number of draws to run, spread evenly over chains and draws; at most all.
        seed: of the new runs; another one than that of the training simulations.
        distance: needed only for `Cost.exact`, whose distance the posterior does not know.
        workers: see `simulate`.
        progress: show a progress bar.

    Raises:
        ValueError: n is not positive; the draws are not the posterior's; or every run failed.
    """
    if not is_simulator(simulator) or not isinstance(posterior, GibbsPosterior) or not isinstance(draws, Draws):
        got = ", ".join(type(value).__name__ for value in (simulator, posterior, draws))
        raise TypeError(f"check_predictive takes (simulator, posterior, draws), got ({got}).")
    need_own_draws(posterior, draws)
    n = checked_count("n", n)
    distance = posterior.cost.distance if distance is None else distance.fitted(posterior.x_o[None])
    rows = np.unique(np.linspace(0, len(draws) - 1, min(n, len(draws))).round().astype(int))
    runs = run_pairs_at(
        simulator,
        draws.flat[rows],
        seed=seed,
        names=draws.names,
        conditions=posterior.conditions,
        workers=workers,
        progress=progress,
    )
    if not len(runs.theta):
        raise ValueError(f"all runs at posterior draws failed: {runs.summary}")
    return PredictiveCheck(
        theta=runs.theta,
        x=runs.x,
        predicted=np.asarray(posterior.cost_at(runs.theta)),
        simulated=distances_to(distance, runs.x, posterior.x_o),
        replicate=paired_distances(distance, runs.x, runs.again),
        n_failed=runs.n_failed,
        seconds=runs.seconds,
        log_density_error=posterior.members_error_at(runs.theta),
        simulated_again=distances_to(distance, runs.again, posterior.x_o),
    )
