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
from .expected_seconds import ExpectedSeconds

# Fractions of beta of successive rows, all of one observation. The runs at beta itself test the cost that chose them;
# the wider ones hold the slopes, whose error falls with the spread of the parameters.
TEMPERS = (1.0, 1.0, 1 / 4, 1.0, 1.0, 1 / 16)
# Draws for each row where some are preferred: of fewer nearly all would be chosen.
_DRAWS_PER_ROW = 3


def shares(n: int, observations: int) -> tuple[Int[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Observation and fraction of beta of every row of a round; of their numbers alone, so that a store can tell."""
    row = np.arange(n)
    return row // len(TEMPERS) % observations, np.asarray(TEMPERS)[row % len(TEMPERS)]


def proposals(
    prior: Prior,
    cost: Cost,
    observations: Sequence[GibbsPosterior],
    n: int,
    seed: int,
    progress: bool,
    seconds: ExpectedSeconds | None = None,
) -> Float[np.ndarray, "n inputs"]:
    """Draws of every observation's posterior at its beta and below, with its conditions.

    Args:
        prior: that of the posteriors.
        cost: as the round before has left it.
        observations: a posterior of every observation, at its highest beta.
        n: number of draws, of all observations together.
        seed: of the draws.
        progress: show a progress bar.
        seconds: what runs take; those that take less are chosen more often. None: all alike.

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
        wanted = -(-n // len(observations)) * (1 if seconds is None else _DRAWS_PER_ROW)
        draws = stack.sample(max(2000, wanted), seed=seed, progress=progress).theta
        for (place, i), (j, temper) in product(enumerate(group), enumerate(tempers)):
            rows = np.flatnonzero((whose == i) & (share == temper))
            flat = draws[place, j].reshape(-1, prior.dim)
            drawn = np.concatenate([flat, np.broadcast_to(known[place], (len(flat), known.shape[1]))], axis=1)
            chances = None if seconds is None else seconds.chances(_of_simulator(cost, drawn))
            inputs[rows] = drawn[rng.choice(len(flat), len(rows), replace=False, p=chances)]
    return _of_simulator(cost, inputs)


def _of_simulator(cost: Cost, inputs: Float[np.ndarray, "n of_cost"]) -> Float[np.ndarray, "n inputs"]:
    """What the simulator takes, from a posterior's parameters and its conditions."""
    return np.array(cost.in_order(on_device(inputs.astype(np.float32))))
