"""Extrapolation in the parameters: are the draws where the network was trained?"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.spatial import KDTree

from ..learning.layers import Standardiser
from ..runtime.counts import evenly_spaced
from ..simulations.rows import Simulations

NEIGHBOURS = 5
LEVEL = 0.01
MOST_ROWS = 20_000
MOST_DRAWS = 2000


@dataclass(frozen=True)
class Extrapolation:
    """How isolated draws are among the simulated parameters, against how isolated these are among themselves.

    Attributes:
        p_value: share of simulated parameters at least as isolated as the middle draw.
        share: of draws that are more isolated than 99 % of simulated parameters.
        distance: of the middle draw to its fifth neighbour, relative to the median of simulated parameters.
        rows: simulations compared with.
    """

    p_value: float
    share: float
    distance: float
    rows: int

    @property
    def inside(self) -> bool:
        """Whether the network was trained where most draws are."""
        return self.p_value > LEVEL

    def summary(self) -> str:
        """The numbers in one line."""
        return (
            f"draws among {self.rows} simulated parameters: {self.distance:.2g} times as isolated as usual "
            f"(p = {self.p_value:.3g}); {self.share:.0%} beyond 99 % of them"
        )


def extrapolation(
    simulations: Simulations, theta: Float[np.ndarray, "n dim"], conditions: Float[np.ndarray, " c"] | None = None
) -> Extrapolation:
    """Distances of draws to their nearest simulated parameters, in the coordinates that the networks standardise to.

    A draw of the prior is as isolated as simulated parameters are, so the p-value of an observation that the simulator
    made, at a beta that is not overconfident, is at most 0.01 in about 1 % of cases.

    Args:
        simulations: that the cost was fitted on, those added by refinement included.
        theta: draws, (n, dim).
        conditions: known conditions of the observation, where the simulator takes them.

    Raises:
        ValueError: fewer than ten simulations that succeeded.
    """
    rows = np.flatnonzero(simulations.ok)
    if len(rows) < 2 * NEIGHBOURS:
        raise ValueError(f"{len(rows)} simulations that succeeded are too few to tell where they are; give 10 or more.")
    rows = np.random.default_rng(0).permutation(rows)[:MOST_ROWS]
    inputs = simulations.inputs[rows]
    if conditions is not None and np.size(conditions):
        known = np.broadcast_to(np.asarray(conditions, np.float32), (len(theta), np.size(conditions)))
        theta = np.concatenate([np.asarray(theta, np.float32), known], axis=1)
    standardise = Standardiser.fit(inputs)
    points = standardise.of_rows(inputs)
    chosen = theta[evenly_spaced(len(theta), MOST_DRAWS)]
    draws = standardise.of_rows(np.asarray(chosen, np.float32))
    tree = KDTree(points)
    # A simulated parameter is not its own neighbour.
    usual = np.sort(tree.query(points[:MOST_DRAWS], k=NEIGHBOURS + 1)[0][:, -1])
    distances = tree.query(draws, k=NEIGHBOURS)[0][:, -1]
    middle = float(np.median(distances))
    return Extrapolation(
        p_value=float((1 + np.sum(usual >= middle)) / (len(usual) + 1)),
        share=float(np.mean(distances > np.quantile(usual, 0.99))),
        distance=middle / max(float(np.median(usual)), 1e-12),
        rows=len(points),
    )
