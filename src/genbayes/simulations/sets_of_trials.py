"""A simulator of sets of trials whose number varies from run to run: sets are filled up to one size with NaN."""

from collections.abc import Callable, Iterator
from typing import Any, ClassVar, final

import numpy as np

from ..distances.unequal_sets import in_front, trials_present
from ..runtime.counts import checked_count
from ..runtime.named_values import Names, fields_of
from .executors import Job
from .simulators import Simulator, as_simulator
from .worker import Result


def sets_of_trials(simulator: Callable[..., Any] | Simulator, max_trials: int) -> "SetsOfTrials":
    """The simulator of sets of trials of which no two runs need have the same number.

    Sets stand in one array (n, max_trials, trial_dim); a trial whose numbers are all NaN is no trial. Distances that
    read such sets (`MMD`, `EnergyDistance`) and set embeddings leave them out, as if each set stood by itself.

    Args:
        simulator: `simulator(theta, rng)` that returns (any number of trials, trial_dim), or (any number,) of single
            numbers; or `simulator(key, theta)` in JAX, which returns sets of one size with NaN for what is no trial.
            With `conditions` as a third argument or without; or an instance of a kind, such as an `ExternalProgram`.
        max_trials: the largest number of trials. A run with more has failed, and says so; so has a run without any,
            and one with a trial of which only some numbers are NaN.

    Returns:
        A simulator for `simulate`, checks, refinement and rules for beta, under the same name in stores with "sets".

    Raises:
        TypeError: simulator is no simulator.
        ValueError: max_trials is not a positive whole number.

    Example:
        >>> spikes = gb.sets_of_trials(lambda theta, rng: rng.exponential(theta, (rng.poisson(20), 1)), 50)
        >>> simulations = gb.simulate(spikes, prior, 2000, seed=0)
    """
    return SetsOfTrials(simulator, max_trials)


@final
class SetsOfTrials(Simulator):
    """A simulator of any kind whose outputs are sets of trials; see `sets_of_trials`.

    Attributes:
        given: what the user wrote.
        max_trials: rows of every output.
    """

    kind: ClassVar[str] = "sets-of-trials"
    usage: ClassVar[str] = "sets_of_trials(simulator, max_trials)"
    unequal_sets = True

    def __init__(self, simulator: Callable[..., Any] | Simulator, max_trials: int):
        self.max_trials = checked_count("max_trials", max_trials)
        if not isinstance(simulator, Simulator) and not callable(simulator):
            raise TypeError(f"simulator must be a function or a genbayes.Simulator, got {type(simulator).__name__}.")
        self.given = simulator
        self._kinds: dict[bool, Simulator] = {}
        self._simulator = self._of_any_kind()
        self.vectorised = self._simulator.vectorised
        self.failure_remedy = self._simulator.failure_remedy
        self.noise_source, self.noise_remedy = self._simulator.noise_source, self._simulator.noise_remedy

    def _of_any_kind(self) -> Simulator:
        """The simulator in its kind, whether it takes known conditions or not."""
        try:
            return self._of_kind(conditional=False)
        except (TypeError, ValueError):
            return self._of_kind(conditional=True)

    def _of_kind(self, *, conditional: bool) -> Simulator:
        if conditional not in self._kinds:
            self._kinds[conditional] = as_simulator(self.given, conditional=conditional)
        return self._kinds[conditional]

    @property
    def function(self) -> Any:
        """The user's function, None of another kind."""
        return getattr(self._simulator, "function", None)

    @property
    def name(self) -> str:
        """The name of the simulator, with ", sets"."""
        return f"{self._simulator.name}, sets"

    def check_names(self, names: tuple[str, ...]) -> None:
        """See the simulator's."""
        self._simulator.check_names(names)

    def output_shape(self, job: Job) -> tuple[int, ...] | None:
        """The shape of a filled set, where that of one output is known before it runs."""
        simulator = self._of_kind(conditional=job.conditional)
        shape = simulator.output_shape(job)
        if shape is None:
            return None
        if simulator.output_names(job) is not None or len(shape) not in (1, 2) or shape[0] > self.max_trials:
            raise ValueError(
                f"sets_of_trials takes outputs of at most max_trials = {self.max_trials} trials, (trials, trial_dim) "
                f"or (trials,), without names; the simulator returns {shape}."
            )
        return (self.max_trials, *(shape[1:] or (1,)))

    def output_names(self, job: Job) -> Names | None:
        """Trials have no names."""
        return None

    def is_deterministic(self, job: Job) -> bool:
        """Whether the simulator is."""
        return self._of_kind(conditional=job.conditional).is_deterministic(job)

    def run(self, job: Job) -> Iterator[list[Result]]:
        """Yield its results as sets of one size."""
        for results in self._of_kind(conditional=job.conditional).run(job):
            yield [(row, output if isinstance(output, str) else self._filled(output)) for row, output in results]

    def _filled(self, output: np.ndarray) -> np.ndarray | str:
        if fields_of(output) is not None:
            return "the output has names, and a set of trials is an array (trials, trial_dim)"
        if output.ndim == 1:
            output = output[:, None]
        if output.ndim != 2 or (len(output) and not output.shape[1]):
            return f"the output has shape {output.shape}, expected a set (trials, trial_dim)"
        if not len(output) or not trials_present(output).any():
            return "no trial in the output"
        output = in_front(output)
        count = int(trials_present(output).sum())
        if count > self.max_trials:
            return f"{count} trials in the output, more than max_trials = {self.max_trials}"
        filled = np.full((self.max_trials, output.shape[1]), np.nan, output.dtype)
        filled[:count] = output[:count]
        return filled
