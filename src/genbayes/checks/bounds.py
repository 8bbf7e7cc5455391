"""Parameters whose draws crowd at a bound of the prior."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from ..priors.prior import Prior

# Share of the prior's width within which a draw is at a bound.
EDGE = 0.05


class Crowded(NamedTuple):
    """A parameter that crowds at a bound of the prior.

    Attributes:
        name: of the parameter.
        side: "lower" or "upper".
        bound: its value, in the parameter's units.
        share: of the draws that lie there.
    """

    name: str
    side: str
    bound: float
    share: float


def at_bounds(prior: Prior, theta: Float[np.ndarray, "n dim"]) -> list[Crowded]:
    """Finds parameters that crowd at a bound of the prior.

    Args:
        prior: whose bounds they are.
        theta: draws (n, dim).

    Returns:
        Parameters of which more than 10 % of the draws lie within 5 % of the prior's width of a bound, and more than
        twice as many as of the prior itself. Labels (categorical, Bernoulli) have no bounds: nothing lies beyond them.
    """
    before, bounds = np.asarray(prior.sample(4000, seed=0), float), np.asarray(prior.bounds, float)
    crowded = []
    for j, name in enumerate(prior.names):
        if name in prior.label_names:
            continue
        finite = np.isfinite(bounds[j]).all()
        width = np.ptp(bounds[j]) if finite else np.ptp(np.quantile(before[:, j], [0.05, 0.95]))
        for side, bound in zip(("lower", "upper"), bounds[j], strict=True):
            share, usual = (np.mean(np.abs(values[:, j] - bound) <= EDGE * width) for values in (theta, before))
            if np.isfinite(bound) and share > max(0.1, 2 * usual):
                crowded.append(Crowded(name, side, float(bound), float(share)))
    return crowded
