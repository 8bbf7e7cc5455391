"""Least squares over all rows of a store, in one pass: normal equations block by block, of every member of an ensemble.

From the same polynomial the coefficients are those of a fit in memory, but for rounding: nothing is lost by blocks.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from .layers import Standardiser
from .normal_equations import MemberEquations, NormalEquations
from .polynomial import MOST_DEGREE, polynomial_to
from .streamed_rows import StreamedRows
from .weighted import WeightedFit, mean_weight, round_equations
from .weighted_outputs import WeightedOutputs


def streamed_equations(
    stream: StreamedRows,
    standardise: Standardiser,
    z: Float[np.ndarray, "n dim"],
    centre: Float[np.ndarray, " k"],
) -> MemberEquations:
    """The normal equations of the polynomial of the highest degree, see `best_degrees`.

    Args:
        stream: whose values are labels (n, k).
        standardise: of parameters.
        z: standardised parameters of the rows in memory, by which the polynomial is scaled.
        centre: subtracted from labels.
    """
    basis, _ = polynomial_to(z, MOST_DEGREE, standardise.groups)
    total, members = None, None
    for theta, labels, folds in stream:
        features, away = basis.of_rows(standardise.of_rows(theta)), labels.astype(np.float64) - centre
        own = [NormalEquations.of(features, away, rows=rows) for rows in folds.train]
        rest = NormalEquations.of(features, away, rows=folds.validation[0])
        total = _sum(total, own[0].joined(rest))
        members = own if members is None else list(map(_sum, members, own))
    assert total is not None
    assert members is not None
    return MemberEquations(total, tuple(members))


def _sum(first: NormalEquations | None, second: NormalEquations) -> NormalEquations:
    return second if first is None else first.joined(second)


def weighted_over(
    weighted: WeightedOutputs,
    stream: StreamedRows,
    features_of: Callable[[np.ndarray], np.ndarray],
    features: Float[np.ndarray, "n all"],
) -> Mapping[int, tuple[WeightedFit, ...]]:
    """The members of weighted fits with the coefficients of all rows: one more round from those of the rows in memory.

    Of a polynomial one round is the whole fit. Of a log link it is one step of Newton's method from an estimate that is
    already near, which is as good as all that would follow (van der Vaart 1998, section 5.7).

    Args:
        weighted: fits to the rows in memory.
        stream: whose values are labels (n, k), not centred.
        features_of: from parameters to features, in the order of their degrees.
        features: of the rows in memory.
    """
    units = {j: mean_weight(fit, features) for j, fit in weighted.fits.items()}
    equations: dict[tuple[int, int], NormalEquations] = {}
    for theta, labels, folds in stream:
        of_block = features_of(theta)
        for j, members in weighted.members.items():
            for member, fit in enumerate(members):
                rows = folds.train[member]
                own = round_equations(fit, of_block[rows], labels[rows, j].astype(np.float64), units[j])
                equations[j, member] = _sum(equations.get((j, member)), own)
    return {
        j: tuple(_with_coefficients(fit, equations[j, member]) for member, fit in enumerate(members))
        for j, members in weighted.members.items()
    }


def _with_coefficients(fit: WeightedFit, equations: NormalEquations) -> WeightedFit:
    intercept, slopes, _ = equations.solved(len(fit.slopes))
    return fit._replace(intercept=float(intercept[0]), slopes=slopes[0])


def with_members(
    weighted: WeightedOutputs,
    members: Mapping[int, tuple[WeightedFit, ...]],
    features: Float[np.ndarray, "n all"],
    labels: Float[np.ndarray, "n k"],
    held_out_rows: Iterable[np.ndarray],
) -> WeightedOutputs:
    """The same outputs with other coefficients, and their errors on held-out rows."""
    rows = list(held_out_rows)
    errors = {
        j: np.concatenate([labels[own, j] - fit.mean(features[own]) for fit, own in zip(fits, rows, strict=True)])
        for j, fits in members.items()
    }
    return replace(weighted, members=members, errors=errors)
