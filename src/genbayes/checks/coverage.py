"""Coverage: how often credible sets of held-out simulations hold the parameters that made them, at a given beta."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from ..costs.cost import Cost, Observed
from ..priors.prior import Prior
from ..runtime.counts import checked_count
from ..runtime.notebook import html_table
from ..sampling.ranks import HeldOut, band, checked_levels, ranks_of_truth
from ..simulations.rows import Simulations

LEVELS = (0.5, 0.8, 0.9)
# Probability of a false alarm for each level.
FALSE_ALARM = 0.01


@dataclass(frozen=True, repr=False)
class Coverage:
    """Coverage of credible sets at one beta.

    Attributes:
        beta: inverse temperature.
        levels: (l,), nominal.
        coverage: (l,), share of held-out simulations whose parameters lie in the set of highest density.
        band: (2, l), where the share lies with probability 99 % if the levels are right.
        by_parameter: (dim, l), the same for the central interval of each parameter.
        names: of the parameters.
        rows: held-out simulations.
        joint_ranks: (rows,), the level at which each set of highest density begins to hold the truth.
        ranks: (rows, dim), the share of draws below each true parameter; uniform if the posteriors are right (Talts et
            al. 2018). Both None where they were not kept.
    """

    beta: float
    levels: Float[np.ndarray, " l"]
    coverage: Float[np.ndarray, " l"]
    band: Float[np.ndarray, "2 l"]
    by_parameter: Float[np.ndarray, "dim l"]
    names: tuple[str, ...]
    rows: int
    joint_ranks: Float[np.ndarray, " rows"] | None = None
    ranks: Float[np.ndarray, "rows dim"] | None = None

    def __repr__(self) -> str:
        return f"Coverage({self.summary().removeprefix('coverage ')})"

    def _repr_html_(self) -> str:
        rows = [
            (f"{level:.0%}", f"{share:.1%}", f"{low:.0%} to {high:.0%}")
            for level, share, low, high in zip(self.levels, self.coverage, *self.band, strict=True)
        ]
        caption = f"Coverage at beta {self.beta:g}, {self.rows} held-out simulations"
        return html_table(caption, ("credible set", "holds the truth", "if right (99 %)"), rows)

    @property
    def too_narrow(self) -> bool:
        """Whether a set holds the parameters for certain more seldom than it says."""
        return bool(np.any(self.coverage < self.band[0]))

    @property
    def too_wide(self) -> bool:
        """Whether a set holds the parameters for certain more often than it says."""
        return bool(np.any(self.coverage > self.band[1])) and not self.too_narrow

    def summary(self) -> str:
        """Nominal and actual coverage with its band."""
        parts = [
            f"{level:.0%}: {share:.1%} ({low:.0%} to {high:.0%} if right)"
            for level, share, low, high in zip(self.levels, self.coverage, *self.band, strict=True)
        ]
        return f"coverage at beta {self.beta:g}, {self.rows} held-out simulations: {'; '.join(parts)}"


def coverage(
    prior: Prior,
    cost: Cost,
    simulations: Simulations,
    beta: float,
    *,
    levels: tuple[float, ...] = LEVELS,
    rows: int = 200,
    n: int = 400,
    seed: int,
    x_o: Observed | None = None,
    progress: bool = True,
) -> Coverage:
    """Samples the posteriors of held-out outputs, whose parameters are known, and counts.

    Args:
        prior: that the simulations were drawn from.
        cost: fitted on other simulations.
        simulations: held-out ones, as for `temperature.calibrated`.
        beta: inverse temperature.
        levels: of the credible sets.
        rows: most held-out simulations to use.
        n: draws from each posterior.
        seed: of rows and draws.
        x_o: an observation whose missing values (NaN) are taken out of the held-out outputs, too.
        progress: show a progress bar.

    Raises:
        ValueError: fewer than 20 held-out simulations, or those of another prior; levels that are no probabilities.
    """
    asked = checked_levels(levels)
    held_out = HeldOut.of(prior, cost, simulations, checked_count("rows", rows), seed, x_o=x_o)
    found = ranks_of_truth(prior, cost, held_out, [beta], n=n, seed=seed, progress=progress)
    joint, single = found.joint[:, 0], found.by_parameter[:, 0]
    m = len(joint)
    return Coverage(
        beta=float(beta),
        levels=asked,
        coverage=(joint[:, None] <= asked).mean(axis=0),
        band=band(asked, m, 1 - FALSE_ALARM),
        by_parameter=(single[:, :, None] <= asked).mean(axis=0),
        names=prior.names,
        rows=m,
        joint_ranks=joint,
        ranks=found.below[:, 0],
    )
