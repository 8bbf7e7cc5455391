"""Whether draws are those of a posterior: of its parameters, beta, observation and conditions."""

from typing import Any

import numpy as np

from .draws import Draws
from .posterior import GibbsPosterior


def need_own_draws(posterior: GibbsPosterior, draws: Draws) -> None:
    """ValueError where the draws are of other parameters, another beta, observation or conditions."""
    if draws.names != posterior.prior.names or draws.beta != posterior.beta:
        raise ValueError(
            f"the draws are not this posterior's: they are of ({', '.join(draws.names)}) at beta {draws.beta:g}, the "
            f"posterior is of ({', '.join(posterior.prior.names)}) at beta {posterior.beta:g}."
        )
    remedy = "Give draws of posterior.sample, or make the posterior of draws.x_o and draws.conditions."
    if not same_observation(draws.x_o, posterior.x_o):
        raise ValueError(
            f"the draws are not this posterior's: their x_o has shape {np.shape(draws.x_o)} ({shown(draws.x_o)}), the "
            f"posterior's {posterior.x_o.shape} ({shown(posterior.x_o)}). {remedy}"
        )
    # Draws that were put together by hand may not tell their conditions.
    if draws.conditions and draws.conditions != posterior.conditions:
        raise ValueError(
            f"the draws are not this posterior's: their conditions are {draws.conditions}, the posterior's "
            f"{posterior.conditions}. {remedy}"
        )


def same_observation(first: Any, second: Any) -> bool:
    """Whether two observations are equal but for rounding."""
    first, second = (np.asarray(x, np.float64) for x in (first, second))
    # One of them may have been in single precision, in a file of an earlier version or in the user's hands.
    single = any(np.array_equal(x, x.astype(np.float32), equal_nan=True) for x in (first, second))
    rtol = 1e-6 if single else 1e-14
    return first.shape == second.shape and np.allclose(first, second, rtol=rtol, atol=0, equal_nan=True)


def shown(x_o: Any) -> str:
    """The first values of an observation, for a message."""
    values = np.ravel(x_o)
    return ", ".join(f"{value:.6g}" for value in values[:4]) + ", ..." * (len(values) > 4)
