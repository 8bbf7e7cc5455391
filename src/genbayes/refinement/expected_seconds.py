"""What a run takes, as its parameters let expect it, where the seconds of runs that were made say so.

Of a mean over the posterior p of what a run at theta tells with variance sigma^2, the error is that of the integral of
p^2 sigma^2 / n(theta). For given seconds in all, the sum of n(theta) c(theta), it is least where n ~ p sigma / sqrt(c):
strata are sampled inversely to the root of their costs (Neyman 1934; Cochran 1977, Sampling Techniques, section 5.5).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.optimize import least_squares

from ..runtime.counts import evenly_spaced
from ..simulations.rows import Simulations

# Runs below which nothing is fitted, and above which a part of them is.
_LEAST_ROWS, _MOST_ROWS = 40, 1000
# Seconds of a run below which it does not matter where the runs are.
_LEAST_SECONDS = 0.01
# What a fit has to take off the absolute errors of log seconds on unseen runs, and the range of seconds, as a standard
# deviation of logarithms, below which a choice would gain less than one part in a hundred: exp(-s^2 / 4).
_LEAST_EXPLAINED, _LEAST_SPREAD = 0.1, 0.2
# A draw is chosen at most so many times as often, or as rarely, as one of middling seconds: no part is left out.
_MOST_WEIGHT = 5.0
_FOLDS = 5


@dataclass(frozen=True)
class RoundSeconds:
    """What the runs of a round took, whose draws were chosen by it.

    Attributes:
        round: its number in the simulations, from 1.
        expected: mean seconds of a run, as those before let expect it.
        measured: the same as measured; None where nobody has.
    """

    round: int
    expected: float
    measured: float | None

    def __str__(self) -> str:
        measured = "" if self.measured is None else f"; they took {self.measured:.3g}"
        return (
            f"round {self.round}: draws whose runs take less were chosen more often, for {self.expected:.3g} s a run"
            f"{measured}"
        )


@dataclass(frozen=True, eq=False)
class ExpectedSeconds:
    """Seconds of a run by its parameters and conditions: a robust regression of their logarithm.

    Attributes:
        centre: of the columns (d,).
        scale: of the columns (d,).
        coefficients: of a constant, the columns, their squares and products.
        order: of the polynomial, 1 or 2.
    """

    centre: Float[np.ndarray, " d"]
    scale: Float[np.ndarray, " d"]
    coefficients: Float[np.ndarray, " f"]
    order: int

    def __call__(self, inputs: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " n"]:
        """Typical seconds (their median) of runs at parameters and conditions."""
        return np.exp(_terms((inputs - self.centre) / self.scale, self.order) @ self.coefficients)

    def chances(self, inputs: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " n"]:
        """Probabilities of draws to be chosen, as the inverse root of their seconds, within bounds."""
        log_weight = -np.log(self(inputs)) / 2
        most = np.log(_MOST_WEIGHT)
        weight = np.exp(np.clip(log_weight - np.median(log_weight), -most, most))
        return weight / weight.sum()


def seconds_of_round(expected: ExpectedSeconds, runs: Simulations) -> RoundSeconds:
    """What the runs of a round were expected to take, and took."""
    known = runs.run_seconds[np.isfinite(runs.run_seconds)]
    measured = float(known.mean(dtype=np.float64)) if len(known) else None
    return RoundSeconds(int(runs.round[0]), float(expected(runs.inputs.astype(np.float64)).mean()), measured)


def expected_seconds(simulations: Simulations) -> ExpectedSeconds | None:
    """Fit what a run takes; None where that is not known, or hardly differs, or parameters do not tell it.

    Args:
        simulations: all that there are.
    """
    known = np.flatnonzero(simulations.run_seconds > 0)
    if len(known) < _LEAST_ROWS:
        return None
    known = known[evenly_spaced(len(known), _MOST_ROWS)]
    inputs = simulations.inputs[known].astype(np.float64)
    target = np.log(simulations.run_seconds[known].astype(np.float64))
    if np.median(target) < np.log(_LEAST_SECONDS):
        return None
    centre, deviation = inputs.mean(axis=0), inputs.std(axis=0)
    scale = np.where(deviation > 0, deviation, 1.0)
    z = (inputs - centre) / scale
    without = np.abs(target - np.median(target)).mean()
    best, least = 0, (1 - _LEAST_EXPLAINED) * without
    for order in (1, 2):
        terms = _terms(z, order)
        # Three rows a coefficient, or more.
        if terms.shape[1] * 3 <= len(terms) and (error := _error_on_unseen(terms, target)) < least:
            best, least = order, error
    if not best:
        return None
    found = ExpectedSeconds(centre, scale, _fitted(_terms(z, best), target), best)
    return found if np.log(found(inputs)).std() > _LEAST_SPREAD else None


def _terms(z: Float[np.ndarray, "n d"], order: int) -> Float[np.ndarray, "n f"]:
    """A constant, the columns, and for the second order their products."""
    first, second = np.triu_indices(z.shape[1])
    products = [z[:, first] * z[:, second]] if order == 2 else []
    return np.concatenate([np.ones((len(z), 1)), z, *products], axis=1)


def _fitted(terms: Float[np.ndarray, "n f"], target: Float[np.ndarray, " n"]) -> Float[np.ndarray, " f"]:
    """Coefficients that runs of a stalled machine do not move: least squares that grow linearly beyond a fifth."""
    start = np.linalg.lstsq(terms, target, rcond=1e-8)[0]
    found = least_squares(
        lambda coefficients: terms @ coefficients - target,
        start,
        lambda _: terms,  # pyright: ignore[reportArgumentType]
        loss="soft_l1",
        f_scale=0.2,
    )
    return found.x


def _error_on_unseen(terms: Float[np.ndarray, "n f"], target: Float[np.ndarray, " n"]) -> float:
    """Mean absolute error of log seconds on runs that the fit has not seen."""
    of_fold = np.arange(len(target)) % _FOLDS
    errors = np.empty(len(target))
    for fold in range(_FOLDS):
        unseen = of_fold == fold
        errors[unseen] = terms[unseen] @ _fitted(terms[~unseen], target[~unseen]) - target[unseen]
    return float(np.abs(errors).mean())
