"""How far the simulations leave the answers for many observations open, by the members of an ensemble."""

from typing import TYPE_CHECKING, NamedTuple

import lazy_loader
import numpy as np
from jaxtyping import Float, Int

from ..costs.cost import Cost
from ..costs.evaluated import members_of_each
from ..costs.forms import FunctionForm
from ..runtime.counts import evenly_spaced
from ..runtime.outcome import Outcome
from .held_out_errors import by_members
from .left_open import LeftOpen
from .log_density_error import MOST_UNCERTAIN, REMEDY, UNCERTAIN

if TYPE_CHECKING:
    import xarray as xr
else:
    # Its import, with pandas, takes half a second.
    xr = lazy_loader.load("xarray")

# Draws of each posterior at which the members are asked: there may be thousands of posteriors.
_MOST_JUDGED = 500


class StackedLeftOpen(NamedTuple):
    """`LeftOpen` of each of m observations at each of b betas.

    What all members miss alike is not in it: to tell it takes the held-out rows near every single posterior, which
    `GibbsPosteriors.posterior(i, j).sample` asks.

    Attributes:
        draws: numbers, over all chains of a posterior, of the draws at which the members were asked.
        log_density: as in `LeftOpen`.
    """

    draws: Int[np.ndarray, " k"]
    log_density: Float[np.ndarray, "m b k members"]

    @classmethod
    def of(
        cls,
        cost: Cost,
        theta: Float[np.ndarray, "m b chain draw dim"],
        x_o: Float[np.ndarray, "m *x_shape"],
        betas: Float[np.ndarray, " b"],
        conditions: Float[np.ndarray, "m c"],
        *,
        gaps: bool,
    ) -> "StackedLeftOpen | None":
        """By the members of a cost at draws of its posteriors; None for an exact one."""
        if isinstance(cost.form, FunctionForm):
            return None
        m, b, *_, dim = theta.shape
        flat = theta.reshape(m, b, -1, dim)
        chosen = evenly_spaced(flat.shape[2], _MOST_JUDGED)
        rows = flat[:, :, chosen].reshape(m, -1, dim)
        members = members_of_each(cost, rows, x_o, conditions, gaps=gaps).astype(np.float64)
        log_density = by_members(cost, members.reshape(m, b, len(chosen), -1), betas)
        return cls(chosen, log_density.astype(np.float32))

    def __call__(self, i: int, j: int, dim: int) -> LeftOpen:
        """That of one posterior, of `dim` parameters."""
        return LeftOpen(self.draws, self.log_density[i, j].astype(np.float64), 0.0, dim)

    @property
    def nats(self) -> Float[np.ndarray, "m b"]:
        """Standard deviation over the draws of each log density's error."""
        return np.sqrt(np.sum(np.var(self.log_density, axis=2, dtype=np.float64), axis=2))

    def outcome(self, betas: Float[np.ndarray, " b"], dim: int) -> Outcome:
        """For how many posteriors it is much, and for which most."""
        nats = self.nats
        wrong = nats > MOST_UNCERTAIN * np.sqrt(dim)
        if not wrong.any():
            return Outcome()
        i, j = np.unravel_index(np.argmax(nats), nats.shape)
        told = (
            f"{UNCERTAIN} in {wrong.sum()} of {wrong.size} posteriors, by up to {nats[i, j]:.2g} from place to place "
            f"(observation {i} at beta {betas[j]:g}) where {MOST_UNCERTAIN * np.sqrt(dim):.2g} would matter: the "
            f"simulations say no more there, so that these posteriors may be shifted or too narrow. {REMEDY}"
        )
        return Outcome((told,))

    def first(self, m: int) -> "StackedLeftOpen":
        """Of the first `m` observations."""
        return self._replace(log_density=self.log_density[:m])

    def to_dataset(self) -> "xr.Dataset":
        """As a group of the tree that `StackedDraws.to_datatree` makes."""
        log_density = (("observation", "beta", "judged_draw", "member"), self.log_density)
        return xr.Dataset({"draws": ("judged_draw", self.draws), "log_density": log_density})

    @classmethod
    def from_dataset(cls, found: "xr.Dataset") -> "StackedLeftOpen":
        """What `to_dataset` made."""
        return cls(np.asarray(found["draws"]), np.asarray(found["log_density"]))
