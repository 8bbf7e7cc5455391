"""The neuron under known conditions: each recording's own stimulus amplitude and initial voltage."""

from dataclasses import replace

import numpy as np
import numpyro.distributions as dist
from jaxtyping import Array, Float, PRNGKeyArray

from ..priors.prior import Prior
from .model import Stimulus
from .recording import Recording
from .simulator import run, words_of

# Wide enough for long current steps into cortical neurons of mice: from below rheobase to strong firing (0.9 to 1.6 in
# the recordings of the published work), and resting voltages with the liquid-junction potential taken off (-89 to -74).
CONDITIONS = {"amplitude": (0.3, 2.5), "initial_voltage": (-100.0, -60.0)}


def conditions_prior() -> Prior:
    """Independent uniform: amplitude 0.3 to 2.5 uA/cm^2, initial voltage -100 to -60 mV."""
    return Prior({name: dist.Uniform(low, high) for name, (low, high) in CONDITIONS.items()})


def conditions_of(recording: Recording) -> dict[str, float]:
    """What is known of a recording's experiment: amplitude (uA/cm^2) and initial voltage (mV)."""
    return {"amplitude": recording.amplitude, "initial_voltage": recording.initial_voltage}


class ConditionalHodgkinHuxley:
    """The simulator `simulator(key, theta, conditions)`; conditions are (amplitude uA/cm^2, initial voltage mV).

    Args:
        stimulus: gives the time course of the current, which is scaled to the amplitude. Its own amplitude is the mean
            current density while it is on, as in `Recording.amplitude`.

    Raises:
        TypeError: not a Stimulus.
        ValueError: no current on average, so there is nothing to scale.

    Example:
        >>> simulator = ConditionalHodgkinHuxley(Stimulus.of(recording))
        >>> simulations = genbayes.simulate(simulator, prior(), 10_000, seed=0, conditions=conditions_prior())
    """

    # Stores remember their simulator by the name that it had then, as in `HodgkinHuxley`.
    name_in_stores = "genbayes.tasks.hodgkin_huxley.conditional:ConditionalHodgkinHuxley"

    def __init__(self, stimulus: Stimulus) -> None:
        if not isinstance(stimulus, Stimulus):
            raise TypeError(
                f"`stimulus` must be a Stimulus, got {type(stimulus).__name__}. Stimulus.of(recording) makes one."
            )
        self.stimulus = stimulus
        self.amplitude = amplitude_of(stimulus)
        if abs(self.amplitude) < 1e-6:
            raise ValueError(
                f"the current density of `stimulus` is {self.amplitude:g} uA/cm^2 on average while it is on: it cannot "
                "be scaled to an amplitude. Take a stimulus with current in one direction."
            )

    def __call__(
        self, key: PRNGKeyArray, theta: Float[Array, " 8"], conditions: Float[Array, " 2"]
    ) -> Float[Array, " 7"]:
        """One run: statistics in mV and powers of it, see `STATISTICS`."""
        return run(words_of(key), theta, conditions[0] / self.amplitude, conditions[1], self.stimulus)

    def stimulus_for(self, amplitude: float, initial_voltage: float) -> Stimulus:
        """The experiment under given conditions, for `traces`."""
        current = np.asarray(self.stimulus.current_density) * np.float32(amplitude / self.amplitude)
        return replace(self.stimulus, current_density=current, initial_voltage=float(initial_voltage))

    def __repr__(self) -> str:
        return f"ConditionalHodgkinHuxley({self.stimulus!r}, {self.amplitude:g} uA/cm^2)"


def amplitude_of(stimulus: Stimulus) -> float:
    """Mean current density while the stimulus is on, uA/cm^2, as `Recording.amplitude`."""
    # The samples of `Recording.amplitude`: a recording's own conditions must give back its own current.
    first, last = (round(t / stimulus.dt, 6) for t in (stimulus.on, stimulus.off))
    during = np.asarray(stimulus.current_density)[int(np.ceil(first)) : int(np.floor(last)) + 1]
    return float(during.mean(dtype=np.float64))
