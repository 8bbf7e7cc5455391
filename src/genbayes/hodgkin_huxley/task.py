"""The task: which parameters of the neuron reproduce the statistics of a recording, and how closely."""

import numpy as np
from jaxtyping import Float

from ..distances import MeanAbsoluteError
from ..tasks.task import Task
from .model import Stimulus, prior
from .recording import Recording
from .simulator import HodgkinHuxley
from .statistics import summary_statistics

# Standard deviations of the seven statistics over prior runs of the published simulator (Gao, Deistler, Macke 2023)
# under the stimulus of cell 518290966: numbers rather than a scale fitted to the simulations at hand, so that distances
# of different runs, and published ones, can be compared.
PRIOR_PREDICTIVE_STD = (61.21756, 15.754072, 9.90901, 14.655288, 283.23813, 6.8944693, 127.8679)
BETAS = (25.0, 50.0, 100.0)


def hodgkin_huxley(experiment: Stimulus | Recording) -> Task:
    """The task of a recording, or of a stimulus alone (then without an observation).

    The distance is the mean over the seven statistics of |x - x_o| / `PRIOR_PREDICTIVE_STD`.

    Args:
        experiment: gives current, initial voltage and windows of the simulator.

    Example:
        >>> task = hodgkin_huxley(read_recording("cell.npz"))
        >>> simulations = genbayes.simulate(task.simulator, task.prior, 10_000, seed=0)
    """
    stimulus = experiment if isinstance(experiment, Stimulus) else Stimulus.of(experiment)
    x_o = None if isinstance(experiment, Stimulus) else observation(experiment)
    distance = MeanAbsoluteError(scale=PRIOR_PREDICTIVE_STD)
    return Task("hodgkin_huxley", prior(), HodgkinHuxley(stimulus), distance, x_o=x_o, betas=BETAS)


def observation(recording: Recording) -> Float[np.ndarray, " 7"]:
    """The statistics `STATISTICS` of a recording.

    Raises:
        ValueError: the voltage does not move during the stimulus, which leaves skewness and kurtosis undefined.
    """
    window = {"dt": recording.dt, "on": recording.stimulus_on, "off": recording.stimulus_off}
    values = summary_statistics(recording.voltage, **window).astype(np.float32)
    if not np.isfinite(values).all():
        raise ValueError(
            f"{recording.name}: the voltage is the same at all times of the stimulus, so its skewness and kurtosis are "
            "undefined. Is it the right sweep?"
        )
    return values
