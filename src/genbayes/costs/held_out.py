"""Simulations that members of an ensemble were not trained on, kept with the cost: witnesses of its error."""

from collections.abc import Sequence
from dataclasses import dataclass

import jax
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PyTree

from ..runtime.compiling import compiled, on_device
from ..runtime.counts import evenly_spaced
from .forms import CostForm

# Kept rows, and numbers in them: a cost's file stays small beside a store of simulations.
MOST_ROWS = 4000
MOST_NUMBERS = 2_000_000


@dataclass(frozen=True, eq=False)
class HeldOutRows:
    """Rows of the simulations with the member that never saw them.

    Attributes:
        inputs: parameters and, after them, known conditions (m, dim + c).
        x: outputs (m, *x_shape), in data units; NaN of runs that failed.
        member: (m,), which member held the row out.
        ok: (m,), which runs succeeded; all, unless a failing run counts as a distance.
    """

    inputs: Float[np.ndarray, "m inputs"]
    x: Float[np.ndarray, "m *x_shape"]
    member: Int[np.ndarray, " m"]
    ok: Bool[np.ndarray, " m"]

    def __len__(self) -> int:
        return len(self.member)

    @classmethod
    def of(
        cls,
        inputs: Float[np.ndarray, "n inputs"],
        x: Float[np.ndarray, "n *x_shape"],
        unseen: Sequence[Int[np.ndarray, " _"]],
        failed: Float[np.ndarray, "f inputs"] | None = None,
    ) -> "HeldOutRows":
        """Of the rows that each member has not trained on, at most as many as a small file holds.

        Args:
            inputs: of all rows.
            x: of all rows.
            unseen: such rows of each member.
            failed: inputs of runs that failed, where these count as a distance. As large a share of them is kept as of
                the others, so that near any parameter rows fail as often as runs do. No member has seen any, and the
                probability of success has few coefficients: that it has seen them matters little.
        """
        most = min(MOST_ROWS, max(100, MOST_NUMBERS // max(x[0].size, 1)))
        # One row may be held out by several members: the first of them speaks for it.
        rows, first = np.unique(np.concatenate(unseen), return_index=True)
        member = np.repeat(np.arange(len(unseen)), [len(part) for part in unseen])[first]
        kept = evenly_spaced(len(rows), most)
        rows, member = rows[kept], member[kept].astype(np.int32)
        inputs_kept, x_kept, ok = inputs[rows], x[rows], np.ones(len(rows), bool)
        if failed is not None and len(failed):
            count = round(len(failed) * len(rows) / len(inputs))
            some = evenly_spaced(len(failed), count)
            inputs_kept = np.concatenate([inputs_kept, failed[some].astype(inputs.dtype)])
            x_kept = np.concatenate([x_kept, np.full((len(some), *x.shape[1:]), np.nan, x.dtype)])
            member = np.concatenate([member, (np.arange(len(some)) % len(unseen)).astype(np.int32)])
            ok = np.concatenate([ok, np.zeros(len(some), bool)])
        return cls(inputs_kept, x_kept, member, ok)

    def residuals(
        self, form: CostForm, embedded: PyTree, distances: Float[np.ndarray, " m"]
    ) -> tuple[Float[np.ndarray, " m"], Float[np.ndarray, " m"], Float[np.ndarray, "m members"]]:
        """At every row: the cost, the row's own distance to x_o less what its member predicted, and all members' cost.

        Given the parameters, the second has mean 0 where the cost is right.

        Args:
            form: of the cost.
            embedded: the observation x_o.
            distances: of the rows to x_o; of those that failed, what a failing run counts as.
        """
        cost, members = (np.asarray(part, np.float64) for part in _costs(form, embedded, on_device(self.inputs)))
        return cost, distances - members[np.arange(len(self)), self.member], members


@compiled
def _costs(
    form: CostForm, embedded: PyTree, inputs: Float[Array, "m inputs"]
) -> tuple[Float[Array, " m"], Float[Array, "m members"]]:
    def of_row(theta: Float[Array, " inputs"]) -> tuple[Array, Array]:
        return form.value(theta, embedded), form.member_values(theta, embedded)

    return jax.lax.map(of_row, inputs, batch_size=256)
