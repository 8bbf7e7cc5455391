"""Runs of a cheap simulator beside those of a dear one: which of them are pairs, and which are the others."""

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from ..distances import Distance, HilbertDistance
from ..distances.base import CostKind, class_names
from ..learning.training import FitConfig
from ..simulations.rows import Simulations
from .frame import Frame
from .training_rows import TrainingRows

# Pairs, and other cheap runs, with fewer of which nothing could be learned.
_LEAST_PAIRS, _LEAST_OTHERS = 20, 100


@dataclass(frozen=True, eq=False)
class PairedRuns:
    """Runs of a dear simulator, each with a run of the cheap one at the same parameters.

    Attributes:
        dear: runs that succeeded in both.
        partners: the cheap run of each of them, in their order.
        others: cheap runs that belong to no pair; what is learned from them owes nothing to the pairs.
        messages: which runs could not be used.
    """

    dear: Simulations
    partners: Simulations
    others: Simulations
    messages: tuple[str, ...] = ()

    @classmethod
    def of(cls, dear: Simulations, cheap: Simulations) -> "PairedRuns":
        """Find the pairs: runs at the same parameters and conditions, each used once.

        Raises:
            TypeError: cheap is no `Simulations`.
            ValueError: other parameters, conditions or outputs; or too few pairs, or too few other cheap runs.
        """
        if not isinstance(cheap, Simulations):
            raise TypeError(f"`cheap` must be genbayes.Simulations, got {type(cheap).__name__}.")
        cheap = cheap.in_order(dear.outputs)
        for name in ("names", "condition_names", "x_shape"):
            if getattr(dear, name) != getattr(cheap, name):
                raise ValueError(
                    f"`cheap` has {name} {getattr(cheap, name)}, expected {getattr(dear, name)}: both simulators take "
                    "the same parameters, and give the same outputs."
                )
        unused, own, inputs = defaultdict(list), dear.inputs, cheap.inputs
        for row in np.flatnonzero(cheap.ok)[::-1]:
            unused[inputs[row].tobytes()].append(row)
        asked = ((row, unused[own[row].tobytes()]) for row in np.flatnonzero(dear.ok))
        found = [(row, places.pop()) for row, places in asked if places]
        _check_numbers(len(found), dear, cheap)
        rows, partners = np.array(found).T
        others = np.setdiff1d(np.flatnonzero(cheap.ok), partners)
        alone = int(dear.ok.sum()) - len(rows)
        told = (
            f"{alone} of {int(dear.ok.sum())} runs have no run in `cheap` at their parameters, and are not used: run "
            "the cheap simulator there as well (with the same prior and seed, or simulate_at)."
        )
        return cls(dear.selected(rows), cheap.selected(partners), cheap.selected(others), (told,) if alone else ())


def pairs_of(dear: Simulations, cheap: Simulations, kind: CostKind, distance: Distance, larger: bool) -> PairedRuns:
    """The pairs, for distances whose features a dear and a cheap simulator have in common.

    Args:
        dear: runs of the dear simulator.
        cheap: runs of the cheap one.
        kind: of cost that is fitted.
        distance: that it is fitted for.
        larger: whether the dear runs are a part of a store that is larger than the memory.

    Raises:
        ValueError: another kind of cost, or no pairs.
    """
    if kind != "features":
        raise ValueError(
            f"`cheap` serves distances with a feature map ({class_names(HilbertDistance)}) by method='auto': the mean "
            f"features are corrected. {distance.name} is learned here as a {kind} cost: leave cheap out, or take "
            "another distance."
        )
    if larger:
        raise ValueError(
            "`cheap` serves dear runs of which there are few, and the store has more than are fitted in memory: leave "
            "cheap out, for so many need no others."
        )
    return PairedRuns.of(dear, cheap)


def _check_numbers(pairs: int, dear: Simulations, cheap: Simulations) -> None:
    if pairs < _LEAST_PAIRS:
        raise ValueError(
            f"`cheap` has runs at the parameters of {pairs} of {int(dear.ok.sum())} simulations, and at least "
            f"{_LEAST_PAIRS} such pairs are needed. Simulate with both simulators from the same prior and seed: row i "
            "then has the same parameters and the same random numbers. For parameters of your own, call simulate_at "
            "with both, with one seed."
        )
    if (others := int(cheap.ok.sum()) - pairs) < _LEAST_OTHERS:
        raise ValueError(
            f"`cheap` has {others} runs beside the {pairs} that belong to pairs, and at least {_LEAST_OTHERS} are "
            "needed: what cheap runs are good for is to be many. Simulate more of them with the same seed."
        )


@dataclass(frozen=True, eq=False)
class PairedRows:
    """What the regressions of pairs and of the cheap simulator are fitted to; outputs are in the frame.

    Attributes:
        partners: the cheap output of every row that the dear simulator's regressions are fitted to.
        others: rows of the cheap simulator's own regressions.
        x_of_others: their outputs.
        messages: which runs could not be used.
    """

    partners: Float[np.ndarray, "n *x_shape"]
    others: TrainingRows
    x_of_others: Float[np.ndarray, "m *x_shape"]
    messages: tuple[str, ...]

    @classmethod
    def of(cls, pairs: PairedRuns, data: TrainingRows, frame: Frame, seed: int, config: FitConfig) -> "PairedRows":
        """The pairs in the order of `data`, which holds the dear runs."""
        others = TrainingRows.of(pairs.others, config, seed, share_numbers=True)
        return cls(frame(pairs.partners.x[data.rows]), others, frame(others.x), pairs.messages)
