"""The prior of each parameter as a distribution function: a picture of it has no bumps of drawn numbers."""

from typing import Any

import jax.numpy as jnp
import numpy as np

from ..priors.prior import Prior
from .numbers import single

# Values at which the function is told: evenly spread over the parameter, and as many evenly over its probability.
_VALUES = 129
# What lies beyond these shares is not seen in a picture.
_LEAST, _MOST = 0.001, 0.999


def prior_shares(prior: Prior, drawn: np.ndarray) -> list[dict[str, Any] | None]:
    """For each coordinate values and the probability below them; None where no formula for it is known.

    Args:
        prior: of the posterior.
        drawn: draws of it (n, dim), which say where its values are.
    """
    shares: list[dict[str, Any] | None] = []
    for parameter in prior.parameters:
        columns = range(len(shares), len(shares) + parameter.dim)
        if parameter.dim > 1 or parameter.integer:
            shares += [None for _ in columns]
        else:
            [j] = columns
            shares.append(_function(parameter.distribution, np.asarray(parameter.bounds)[0], drawn[:, j]))
    return shares


def _function(distribution: Any, bounds: np.ndarray, drawn: np.ndarray) -> dict[str, Any] | None:
    probabilities = np.linspace(_LEAST, _MOST, _VALUES)
    ends = np.quantile(drawn, [_LEAST, _MOST])
    # Up to the edges of the support, where there are edges nearby.
    room = 0.1 * (ends[1] - ends[0])
    low, high = np.clip([ends[0] - room, ends[1] + room], *bounds)
    values = np.concatenate([np.linspace(low, high, _VALUES), np.quantile(drawn, probabilities)])
    # In the precision in which they are told: two that become one would have no slope between them.
    values = np.unique(values.astype(np.float32))
    try:
        below = np.asarray(distribution.cdf(jnp.asarray(values)), np.float64).reshape(-1)
    except (NotImplementedError, AttributeError, TypeError):
        return None
    # Rounding at the edges of a support is none of the picture's.
    usable = below.shape == values.shape and np.isfinite(below).all() and (np.diff(below) >= -1e-6).all()
    return {"values": single(values), "below": single(np.clip(below, 0.0, 1.0))} if usable else None
