"""Which outputs of a regression are fitted with weights, and their fits for every member of an ensemble."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from ..runtime.counts import evenly_spaced
from .polynomial import MOST_DEGREE
from .variances import VarianceRegression
from .warps import can_be_warped
from .weighted import WeightedFit, fit_weighted, normal_score, refitted, varies

# Every output has weights, and so an eigendecomposition for every degree, of its own: of more outputs than this only
# low degrees are tried.
_MANY, _LOW_DEGREE = 16, 3
# Link and highest degree of what is tried. With a log link mean and variance, fitted in turn, may settle where a high
# degree follows single rows; of few coefficients they do not.
_CANDIDATES = ((False, MOST_DEGREE), (True, MOST_DEGREE), (True, 2))
# Outputs that are all tried with a log link where they are never negative; of more, those whose noise clearly varies.
MOST_WEIGHTED = 40
# Share by which the squared error of a group of held-out rows may be larger than that of plain least squares, and
# standard errors beyond which it is no coincidence.
_MOST_WORSE, _SURE = 0.3, 4.0
# Share by which the squared errors of all weighted outputs together may be larger.
_MOST_LOST = 0.1
# Groups of rows of like variance, and rows in one at least.
_GROUPS, _LEAST_ROWS = 8, 25
# Rows by which a degree and a variance function are chosen.
MOST_ROWS = 3000


@dataclass(frozen=True, eq=False)
class WeightedOutputs:
    """The outputs whose noise varies with the parameters; all others are left to plain least squares.

    Attributes:
        fits: of every such output, by its number, to all rows.
        members: the same with the coefficients of each member's training rows.
        errors: of each member's held-out rows, one member after the other, by the output's number.
    """

    fits: Mapping[int, WeightedFit] = field(default_factory=dict)
    members: Mapping[int, tuple[WeightedFit, ...]] = field(default_factory=dict)
    errors: Mapping[int, Float[np.ndarray, " held_out"]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.fits)

    def precision(self, features: Float[np.ndarray, "n all"], k: int) -> Float[np.ndarray, "n k"] | None:
        """What errors of rows are multiplied by to have equal variance: 1 / sd(theta), 1 of other outputs."""
        if not self.fits:
            return None
        values = np.ones((len(features), k))
        for j, fit in self.fits.items():
            variance = fit.variance(features)
            values[:, j] = 1 / np.sqrt(np.maximum(variance, 1e-8 * np.median(variance)))
        return values


class _Candidate(NamedTuple):
    """A fit of one output, with each member's coefficients, and errors, variances and scores of held-out rows."""

    fit: WeightedFit
    members: tuple[WeightedFit, ...]
    errors: Float[np.ndarray, " held_out"]
    variance: Float[np.ndarray, " held_out"]
    score: Float[np.ndarray, " held_out"]


def weighted_outputs(
    features: Float[np.ndarray, "n all"],
    sizes: Mapping[int, int],
    labels: Float[np.ndarray, "n k"],
    train_rows: Int[np.ndarray, "members n_train"],
    held_out_rows: Int[np.ndarray, "members n_held_out"],
    plain_errors: Float[np.ndarray, "held_out k"],
) -> WeightedOutputs:
    """Finds the outputs whose variance varies, and keeps a weighted fit where held-out rows prefer it.

    Weighted polynomials and, where no label is negative, exponentials of polynomials are compared with plain least
    squares by the normal density that each gives to held-out rows. Where outputs are clipped, or a process is off in a
    part of the prior, their noise vanishes there, and these rows would have all the weight. That shows in the squared
    errors of all outputs together, and no output has weights.

    Args:
        features: of all rows, in the order of their degrees.
        sizes: number of features by degree.
        labels: in their own units, not centred.
        train_rows: of each member.
        held_out_rows: of each member.
        plain_errors: of plain least squares, of held-out rows, one member after the other.
    """
    flat = held_out_rows.reshape(-1)
    held_out = features[flat]
    of_members = held_out.reshape(*held_out_rows.shape, -1)
    varying = varies(held_out, sizes, plain_errors)
    uneven = varying.copy()
    if labels.shape[1] <= MOST_WEIGHTED:
        # A plain fit that fails where outputs are small leaves errors of one size.
        uneven |= can_be_warped(labels)
    uneven = np.flatnonzero(uneven)
    if len(uneven) > _MANY:
        sizes = {degree: size for degree, size in sizes.items() if degree <= _LOW_DEGREE}
    # Degree and variance function are chosen by some rows, coefficients are those of all.
    some = evenly_spaced(len(labels), MOST_ROWS)
    of_some = features[some]
    variances = VarianceRegression.of(of_some, sizes)
    fits, members, errors = {}, {}, {}
    for j in map(int, uneven):
        plain = normal_score(plain_errors[:, j], np.full(len(flat), np.mean(plain_errors[:, j] ** 2)))
        tried = []
        for log_link, most in _CANDIDATES if labels[:, j].min() >= 0 else _CANDIDATES[:1]:
            # The one before may be of so low a degree already.
            if tried and tried[-1].fit.log_link and tried[-1].fit.degree <= most:
                continue
            allowed = {degree: size for degree, size in sizes.items() if degree <= most}
            fit = fit_weighted(of_some, allowed, labels[some, j], log_link=log_link, variances=variances)
            own = refitted(fit, features, labels[:, j], train_rows)
            left = labels[flat, j] - np.concatenate([one.mean(of) for one, of in zip(own, of_members, strict=True)])
            variance = fit.variance(held_out)
            tried.append(_Candidate(fit, own, left, variance, normal_score(left, variance)))
        best = min(tried, key=lambda candidate: candidate.score.mean())
        gain = plain - best.score
        # One whose noise does not vary visibly has to gain beyond doubt.
        better = gain.mean() > (2 if varying[j] else 5) * gain.std() / np.sqrt(len(gain))
        if better and not _loses_anywhere(best.errors, plain_errors[:, j], best.variance):
            fits[j], members[j], errors[j] = best.fit, best.members, best.errors
    return WeightedOutputs() if _lose_together(errors, plain_errors) else WeightedOutputs(fits, members, errors)


def _lose_together(
    errors: Mapping[int, Float[np.ndarray, " held_out"]], plain_errors: Float[np.ndarray, "held_out k"]
) -> bool:
    """Whether squared errors are larger than those of plain least squares, of all outputs together.

    Right weights make them smaller. What a single output loses is hidden by its noise.
    """
    if not errors:
        return False
    plain = {j: plain_errors[:, j] ** 2 for j in errors}
    lost = np.mean([own**2 / plain[j].mean() - plain[j] / plain[j].mean() for j, own in errors.items()], axis=0)
    return bool(lost.mean() > max(_MOST_LOST, lost.std() / np.sqrt(len(lost))))


def _loses_anywhere(
    errors: Float[np.ndarray, " n"], plain: Float[np.ndarray, " n"], variance: Float[np.ndarray, " n"]
) -> bool:
    """Whether a weighted fit is surely worse than plain least squares at outputs of some size.

    What is gained where outputs are small must not be lost where they are large: a network may follow both. Rows of
    like variance are compared among themselves, because the noise of the large ones would hide all others'.
    """
    groups = np.array_split(np.argsort(variance), max(1, min(_GROUPS, len(variance) // _LEAST_ROWS)))
    for rows in groups:
        worse = errors[rows] ** 2 - plain[rows] ** 2
        if worse.mean() > max(_MOST_WORSE * np.mean(plain[rows] ** 2), _SURE * worse.std() / np.sqrt(len(rows))):
            return True
    return False
