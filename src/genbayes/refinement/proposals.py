"""Where a round simulates: draws of every observation's posterior at its beta and at fractions of it."""

from collections.abc import Sequence
from itertools import product

import numpy as np
from jaxtyping import Float, Int

from ..costs.cost import Cost
from ..priors.prior import Prior
from ..runtime.compiling import on_device
from ..sampling.posterior import GibbsPosterior
from ..sampling.stack import GibbsPosteriors

# Fractions of beta of successive rows, all of one observation. The runs at beta itself test the cost that chose them;
# the wider ones hold the slopes, whose error falls with the spread of the parameters.
TEMPERS = (1.0, 1.0, 1 / 4, 1.0, 1.0, 1 / 16)


def shares(n: int, observations: int) -> tuple[Int[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Observation and fraction of beta of every row of a round; of their numbers alone, so that a store can tell."""
    row = np.arange(n)
    return row // len(TEMPERS) % observations, np.asarray(TEMPERS)[row % len(TEMPERS)]


def proposals(
    prior: Prior, cost: Cost, observations: Sequence[GibbsPosterior], n: int, seed: int, progress: bool
) -> Float[np.ndarray, "n inputs"]:
    """Draws of every observation's posterior at its beta and below, with its conditions.

    Args:
        prior: that of the posteriors.
        cost: as the round before has left it.
        observations: a posterior of every observation, at its highest beta.
        n: number of draws, of all observations together.
        seed: of the draws.
        progress: show a progress bar.

    Returns:
        All parameters of the simulator, then its conditions (n, dim + c), float32; held ones have their values.
    """
    rng = np.random.default_rng(seed)
    whose, share = shares(n, len(observations))
    tempers = sorted(set(TEMPERS))
    inputs = np.empty((n, prior.dim + len(cost.condition_names)), np.float32)
    for beta in sorted({posterior.beta for posterior in observations}):
        group = [i for i, posterior in enumerate(observations) if posterior.beta == beta]
        known = np.array([list(observations[i].conditions.values()) for i in group], np.float32)
        stack = GibbsPosteriors(
            prior,
            cost,
            np.stack([observations[i].x_o for i in group]),
            [beta * temper for temper in tempers],
            conditions=known if known.size else None,
        )
        # Enough for one row each, and not fewer than the sampler has at work anyway.
        draws = stack.sample(max(2000, -(-n // len(observations))), seed=seed, progress=progress).theta
        for (place, i), (j, temper) in product(enumerate(group), enumerate(tempers)):
            rows = np.flatnonzero((whose == i) & (share == temper))
            flat = draws[place, j].reshape(-1, prior.dim)
            chosen = flat[rng.choice(len(flat), len(rows), replace=False)]
            inputs[rows] = np.concatenate([chosen, np.broadcast_to(known[place], (len(rows), known.shape[1]))], axis=1)
    return np.array(cost.in_order(on_device(inputs)))
