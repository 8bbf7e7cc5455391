"""Rows of stored simulations that stand for observations: draws of the prior that the cost was not fitted on."""

import numpy as np
from jaxtyping import Int

from ..costs.cost import Cost
from ..simulations.rows import Simulations


def held_out_rows(cost: Cost, simulations: Simulations, least: int) -> tuple[Int[np.ndarray, " rows"], bool]:
    """Rows that succeeded and that the cost was not fitted on; all that succeeded where fewer than `least` are so.

    Returns:
        The rows, and whether the cost was fitted on them.
    """
    # Rows that refinement added are no draws of the prior.
    usable = simulations.ok & (simulations.round == 0)
    same = simulations.seed >= 0 and simulations.seed == cost.settings.get("simulation_seed")
    same = same and cost.settings.get("simulator", simulations.simulator) == simulations.simulator
    fitted = cost.settings.get("simulations_prior", cost.settings.get("simulations", 0)) if same else 0
    # Draws of the prior are counted among themselves: rows of a refinement may lie between them.
    fresh = usable & (simulations.counts.prior_numbers > fitted)
    enough = fresh.sum() >= least
    return np.flatnonzero(fresh if enough else usable), bool(not enough and fresh.sum() < usable.sum())
