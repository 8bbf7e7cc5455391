"""Runs and priors of the sbi package, taken over without importing it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..priors.prior import Prior
from ..simulations.rows import Simulations
from ..simulations.runs_elsewhere import plain_array


def from_sbi(source: Any, prior: Any = None, names: Sequence[str] | None = None) -> tuple[Prior, Simulations]:
    """Return the prior and the simulations of sbi, which `fit_cost` and `GibbsPosterior` take.

    Args:
        source: an inference of sbi (NPE, NLE, NRE and others) that simulations were appended to, or a pair (theta, x)
            of tensors or arrays, as `sbi.inference.simulate_for_sbi` returns it. Rounds after the first, whose
            parameters are no draws of the prior, are kept as those of `refine` are. Runs with NaN or infinity have
            failed; an inference has refused or dropped them already, a pair shows where they are.
        prior: that the simulations of the first round were drawn from: sbi's, or a `genbayes.Prior`. Of an inference
            that was made with one, it is that one if not given.
        names: one name per parameter; `theta_0`, `theta_1`, ... if not given. A `genbayes.Prior` has its own.

    Raises:
        TypeError: source is something else, such as a posterior, which holds no simulations; or the prior has no
            counterpart here.
        ValueError: there is no prior, or no simulations, or shapes that do not fit.

    Example:
        >>> inference = NPE(prior).append_simulations(theta, x)
        >>> prior, simulations = gb.from_sbi(inference)
        >>> cost = gb.fit_cost(simulations, gb.distances.MeanSquaredError())
    """
    if isinstance(source, tuple | list) and len(source) == 2:
        theta, x = (plain_array(part) for part in source)
        rounds = np.zeros(len(theta), np.int32)
    elif callable(getattr(source, "get_simulations", None)):
        theta, x, rounds = _appended(source)
        prior = getattr(source, "_prior", None) if prior is None else prior
    else:
        raise TypeError(
            "source must be an inference of sbi with simulations, or a pair (theta, x), got "
            f"{type(source).__name__}. A posterior of sbi holds no simulations: give the inference that built it."
        )
    if prior is None:
        raise ValueError("prior is missing, and source has none: give the prior that the parameters were drawn from.")
    if isinstance(prior, Prior) and names is not None:
        raise TypeError("names is given, and prior is a genbayes.Prior, which has names of its own. Give one of both.")
    own = prior if isinstance(prior, Prior) else Prior.from_torch(prior, names)
    simulations = Simulations.from_arrays(theta, x, prior=own)
    return own, replace(simulations, round=rounds)


def _appended(inference: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Parameters, outputs and the round of each row of an inference."""
    indices = list(getattr(inference, "_data_round_index", []))
    if not indices:
        raise ValueError("source has no simulations: call inference.append_simulations(theta, x) first.")
    theta, x, *_ = inference.get_simulations()
    rounds = np.repeat(np.array(indices, np.int32), [len(part) for part in inference._theta_roundwise])
    return plain_array(theta), plain_array(x), rounds
