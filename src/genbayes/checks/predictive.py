"""Checks of a posterior against new runs of the simulator."""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Float

from ..costs.failing_runs import labels
from ..distances import Distance
from ..distances.batched import distances_to, paired_distances
from ..distances.gaps import with_gaps
from ..runtime.counts import checked_count, evenly_spaced
from ..runtime.named_values import Names
from ..runtime.outcome import Outcome
from ..runtime.progress import progress_bar
from ..sampling.draws import Draws
from ..sampling.draws_origin import need_own_draws
from ..sampling.joint import remedy_for_joint
from ..sampling.log_density_error import MOST_UNCERTAIN
from ..sampling.new_runs import RunPairs, run_pairs_at
from ..sampling.posterior import GibbsPosterior
from ..simulations.executors import Workers
from ..simulations.run_limits import bounded
from ..simulations.simulators import AnySimulator, is_simulator
from .error_in_nats import ErrorInNats, error_in_nats


@dataclass(frozen=True, eq=False, repr=False)
class PredictiveCheck:
    """What the simulator makes of posterior draws, and what the cost had said of them.

    Attributes:
        theta: (m, dim), the draws that were run (those whose runs succeeded; all, where a failing run counts as a
            distance).
        x: (k, *x_shape), one run at each draw; where a failing run counts as a distance, at each whose first run
            succeeded, else k = m.
        predicted: (m,), the cost of each, from the network.
        simulated: (m,), distance of one run to x_o: an unbiased, noisy label of the cost.
        replicate: (k,), distance of another run at the same parameter to each of these: what a perfect fit would still
            show.
        n_failed: draws of which a run failed.
        seconds: of simulation.
        log_density_error: beta times the error of differences of cost between draws that the fit leaves open, in
            nats (see `GibbsPosterior.uncertainty_at`).
        simulated_again: (m,), as `simulated`, of the second run at each draw; None where it was not kept.
        beta: inverse temperature of the draws.
        penalty: the distance that a failing run counts as; None where failing runs are left out.
        outputs: names of the outputs' values, None where the simulator gave none.
    """

    theta: Float[np.ndarray, "m dim"]
    x: Float[np.ndarray, "k *x_shape"]
    predicted: Float[np.ndarray, " m"]
    simulated: Float[np.ndarray, " m"]
    replicate: Float[np.ndarray, " k"]
    n_failed: int
    seconds: float
    log_density_error: float = 0.0
    simulated_again: Float[np.ndarray, " m"] | None = None
    beta: float = field(kw_only=True)
    penalty: float | None = field(default=None, kw_only=True)
    outputs: Names | None = field(default=None, kw_only=True)

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

    @cached_property
    def error(self) -> ErrorInNats:
        """Beta times the error of the predicted cost: its mean, and what of it varies over the draws."""
        return error_in_nats(self.theta, self.distances, self.predicted, self.beta)

    @property
    def total(self) -> int:
        """Draws that were run, those with a failing run included."""
        return len(self.theta) + (self.n_failed if self.penalty is None else 0)

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
        error = self.error
        if not error.right:
            messages.append(
                f"The network's cost of the draws is off by {error.text} from the distance of new runs at them "
                f"({self.relative_error:+.0%}): {error.constant}. Add simulations at the draws (refine), "
                "simulate more, or lower beta."
            )
        elif not error.resolved:
            messages.append(
                f"The network's cost of the draws is not judged: new runs say that it is off by {error.text}, and "
                f"{error.limit:.2g} would matter. {more_runs(error, self.total)}"
            )
        if self.unresolved:
            messages.append(
                f"beta is larger than the fit resolves, which leaves the log density open by "
                f"{self.log_density_error:.2g} between draws, so the posterior's place and width are uncertain. Lower "
                "beta, simulate more, or simulate again under a narrower prior around these draws."
            )
        if self.n_failed and self.penalty is None:
            messages.append(
                f"{self.n_failed} of {self.total} runs at posterior draws failed: the cost is that of successful runs "
                "only."
            )
        return Outcome(tuple(messages))

    def summary(self) -> str:
        """Predicted and re-simulated cost and the replicate distance, in one line."""
        counted = "" if self.penalty is None else f"; {self.n_failed} draws have a run that fails, which counts as "
        counted += "" if self.penalty is None else f"distance {self.penalty:g}"
        return (
            f"cost of {len(self.theta)} draws: predicted {self.predicted.mean():.4g}, re-simulated "
            f"{self.simulated.mean():.4g} ({self.relative_error:+.1%} +- {self.standard_error:.1%}, times beta "
            f"{self.error.text}); replicate distance {finite_mean(self.replicate):.4g}{counted}"
        )


def more_runs(error: ErrorInNats, runs: int) -> str:
    """What makes an error visible that these runs cannot show: an imperative sentence."""
    if not np.isfinite(error.needed):
        return f"Run the simulator at more draws than {runs}."
    enough = f"{np.ceil(1.1 * runs * error.needed):,.0f}"
    return f"Run the simulator at about {enough} draws (--resimulate, n), or lower beta."


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
    store: str | Path | None = None,
    workers: Workers = 1,
    timeout: int | float | None = None,
    memory: int | str | None = None,
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
        store: path of a Zarr store in which the runs are kept: an interrupted call goes on where it stopped.
        workers: see `simulate`.
        timeout: of one run, in seconds; see `simulate`.
        memory: of one run; see `simulate`.
        progress: show a progress bar.

    Raises:
        ValueError: n is not positive; the draws are not the posterior's; at every draw a run failed; or the store holds
            runs at other draws.
    """
    if not is_simulator(simulator) or not isinstance(posterior, GibbsPosterior) or not isinstance(draws, Draws):
        got = ", ".join(type(value).__name__ for value in (simulator, posterior, draws))
        remedy = remedy_for_joint(posterior)
        raise TypeError(f"check_predictive takes (simulator, posterior, draws), got ({got}).{remedy}")
    need_own_draws(posterior, draws)
    n = checked_count("n", n)
    distance = posterior.cost.distance if distance is None else distance.fitted(posterior.x_o[None])
    rows = evenly_spaced(len(draws), n)
    runs = run_pairs_at(
        simulator,
        draws.flat[rows],
        seed=seed,
        cost=posterior.cost,
        conditions=posterior.conditions,
        store=store,
        workers=bounded(workers, timeout, memory),
        progress=progress,
    )
    if not len(runs.theta):
        raise ValueError(f"all runs at posterior draws failed: {runs.summary}")
    with progress_bar("comparing the new runs", 3, progress) as advance:
        theta, x, replicate, both = _labelled(runs, posterior, distance)
        advance()
        predicted = np.asarray(posterior.cost_at(theta))
        advance()
        log_density_error = posterior.uncertainty_at(theta)
        advance()
    return PredictiveCheck(
        theta=theta,
        x=x,
        predicted=predicted,
        simulated=both[0],
        replicate=replicate,
        n_failed=runs.n_failed,
        seconds=runs.seconds,
        log_density_error=log_density_error,
        simulated_again=both[1],
        beta=posterior.beta,
        penalty=posterior.cost.penalty,
        outputs=posterior.cost.outputs,
    )


def _labelled(
    runs: RunPairs, posterior: GibbsPosterior, distance: Distance
) -> tuple[
    Float[np.ndarray, "m dim"], Float[np.ndarray, "k *x_shape"], Float[np.ndarray, " k"], Float[np.ndarray, "2 m"]
]:
    """Draws, outputs and replicate distances of a `PredictiveCheck`, and the distances of both runs at each draw."""
    penalty, x_o = posterior.cost.penalty, posterior.x_o
    # Only what was observed of them is compared, as with the observation.
    between = paired_distances(distance, runs.x, with_gaps(runs.again, x_o))
    if penalty is None:
        return runs.theta, runs.x, between, np.stack([distances_to(distance, x, x_o) for x in (runs.x, runs.again)])
    every = runs.runs
    m = len(every) // 2
    both = labels(distance, every.x, every.ok, x_o, penalty).reshape(2, m)
    first, second = every.ok.reshape(2, m)
    replicate = np.full(m, penalty)
    replicate[first & second] = between
    return every.theta[:m], every.x[:m][first], replicate[first], both
