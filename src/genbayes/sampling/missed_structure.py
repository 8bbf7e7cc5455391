"""What a regression of mean features misses, by products of residuals of pairs of held-out runs.

Residuals of two runs share no noise: the mean of their products, weighted by a kernel, is the power of the structure
that the kernel describes, and that both residuals still have. So structure shows that is spread over so many outputs or
products of parameters that no regression can learn it from these runs, and that all members of an ensemble miss alike.
It takes no run near the posterior. Kernels are those of polynomials of one total degree, and, of each integer that is
learned as a number because it has many values, whether two runs have the same one; powers are found by least squares of
products on kernels, as geneticists find the share of a trait's variance that is inherited (Haseman, Elston 1972).
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Float
from scipy.special import ndtri

from ..costs.cost import Cost
from ..costs.forms import HilbertForm
from ..priors.integer_parameter import MOST_LEVELS
from ..runtime.compiling import compiled, on_device
from ..runtime.counts import evenly_spaced
from .log_density_error import SURE

# Rows of which all pairs are looked at, and draws between which structure is to vary.
_MOST_ROWS, _MOST_DRAWS = 1500, 300
# With fewer rows a power is found by chance alone.
_LEAST_ROWS = 100
# Rows to a value from which an input is one of few values, so that many pairs share theirs.
_ROWS_TO_A_VALUE = 5


class MissedStructure(NamedTuple):
    """Of the held-out rows of a cost.

    Attributes:
        ranks: of every input, its distinct values in the rows, and the normal scores of their ranks.
        power: mean square of the missing coefficients of orthonormal polynomials of total degree 1 to 4, averaged over
            features as the residuals vary along them; then, of every input that `many_valued` names, the variance of
            what is missed from value to value. 0 where it may be a coincidence.
        many_valued: the numbers of inputs that are learned as numbers and take few values for so many rows.
    """

    ranks: tuple[tuple[Float[np.ndarray, " v"], Float[np.ndarray, " v"]], ...]
    power: Float[np.ndarray, " powers"]
    many_valued: tuple[int, ...]

    def variance(self, inputs: Float[np.ndarray, "m inputs"], weights: Float[np.ndarray, " m"]) -> float:
        """Variance, between such inputs of such weights, of what a mean feature misses."""
        kernels = [*polynomial_kernels(_scores(self.ranks, inputs)), *_same_values(inputs, self.many_valued)]
        parts = zip(self.power, kernels, strict=True)
        return float(sum(p * (weights @ np.diag(k) - weights @ k @ weights) for p, k in parts))


# Many observations share one cost.
@functools.lru_cache(maxsize=8)
def missed_structure(cost: Cost) -> MissedStructure | None:
    """Of the held-out rows of a cost; None where it has no mean features, too few rows, or rows that miss nothing."""
    rows = cost.held_out
    if not isinstance(cost.form, HilbertForm) or rows is None or int(rows.ok.sum()) < _LEAST_ROWS:
        return None
    chosen = np.flatnonzero(rows.ok)
    chosen = chosen[evenly_spaced(len(chosen), _MOST_ROWS)]
    inputs = cost.in_order(on_device(rows.inputs[chosen]))
    residual = np.asarray(
        _residuals(cost.form, inputs, on_device(cost.frame(rows.x[chosen])), on_device(rows.member[chosen])),
        np.float64,
    )
    own = rows.inputs[chosen]
    ranks = tuple(_ranks(column) for column in own.T)
    many = tuple(
        j for j, (values, _) in enumerate(ranks) if MOST_LEVELS < len(values) <= len(chosen) / _ROWS_TO_A_VALUE
    )
    power = powers(_scores(ranks, own), residual[:, np.isfinite(residual).all(axis=0)], _same_values(own, many))
    return MissedStructure(ranks, power, many) if power.any() else None


def missed_nats(
    missed: MissedStructure,
    cost: Cost,
    x_o: Float[np.ndarray, "*x_shape"],
    inputs: Float[np.ndarray, "m inputs"],
    beta: float,
    weights: Float[np.ndarray, " m"] | None = None,
) -> float:
    """Standard deviation between draws of the log density's error, where the observation is to be met by chance.

    The cost contains ||g - y||^2 with the mean features g and those of the observation y: an error e of g changes it by
    2 (g - y) e.

    Args:
        missed: by the cost.
        cost: one of mean features.
        x_o: the observation, checked.
        inputs: draws of parameters with the conditions behind them.
        beta: inverse temperature.
        weights: of the draws; equal ones if not given.
    """
    assert isinstance(cost.form, HilbertForm)  # as `missed_structure` has seen to
    weights = np.ones(len(inputs)) if weights is None else weights
    # Those of the greatest weight; of equal ones some from all places.
    chosen = evenly_spaced(len(inputs), _MOST_DRAWS)
    if weights.max() > weights.min():
        chosen = np.argsort(-weights, kind="stable")[:_MOST_DRAWS]
    some, share = inputs[chosen], weights[chosen] / weights[chosen].sum()
    away = np.asarray(_distances(cost.form, cost.in_order(on_device(some)), on_device(cost.frame(x_o))), np.float64)
    observed = np.isfinite(away)
    # The others make up for coordinates that are missing.
    factor = observed.size / observed.sum()
    squares = np.sum(np.where(observed, away, 0.0) ** 2, axis=1)
    return float(2 * beta * factor * np.sqrt(max(share @ squares * missed.variance(some, share), 0.0)))


def polynomial_kernels(u: Float[np.ndarray, "n d"]) -> list[Float[np.ndarray, "n n"]]:
    """For total degrees 1 to 4 the sum over orthonormal Hermite polynomials of p(u_i) p(u_j).

    A product over coordinates of 1 + h_1 h_1' t + h_2 h_2' t^2 + ... has them as its coefficients; those of its
    logarithm are sums over coordinates, and therefore products of matrices.
    """
    h = u, (u**2 - 1) / np.sqrt(2), (u**3 - 3 * u) / np.sqrt(6), (u**4 - 6 * u**2 + 3) / np.sqrt(24)

    def product(part: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n n"]:
        return part @ part.T

    first = product(h[0])
    second = product(h[1]) - product(h[0] ** 2) / 2
    third = product(h[2]) - product(h[0] * h[1]) + product(h[0] ** 3) / 3
    fourth = product(h[3]) - product(h[0] * h[2]) - product(h[1] ** 2) / 2
    fourth = fourth + product(h[0] ** 2 * h[1]) - product(h[0] ** 4) / 4
    return [
        first,
        second + first**2 / 2,
        third + first * second + first**3 / 6,
        fourth + first * third + second**2 / 2 + first**2 * second / 2 + first**4 / 24,
    ]


def _same_values(inputs: Float[np.ndarray, "m inputs"], columns: tuple[int, ...]) -> list[Float[np.ndarray, "m m"]]:
    """1 where two rows have the same value of an input, 0 elsewhere: an effect of its own for every value."""
    return [(inputs[:, j, None] == inputs[None, :, j]).astype(np.float64) for j in columns]


def powers(
    u: Float[np.ndarray, "n d"], residual: Float[np.ndarray, "n k"], others: Sequence[Float[np.ndarray, "n n"]] = ()
) -> Float[np.ndarray, " powers"]:
    """See `MissedStructure.power`, of residuals at inputs u that are standard normal, or nearly."""
    gram = residual @ residual.T
    if not np.trace(gram) > 0:
        return np.zeros(4 + len(others))
    # r_i' S r_j / tr S, with the residuals' covariance S.
    products = gram @ gram / np.trace(gram)
    kernels = [*polynomial_kernels(u), *others]
    for matrix in (products, *kernels):
        np.fill_diagonal(matrix, 0.0)
    flat = np.stack([kernel.ravel() for kernel in kernels])
    squares = flat @ flat.T
    size = np.sqrt(np.maximum(np.diag(squares), 1e-300))
    # Of an integer with two values the third degree is the first one again.
    inverse = np.linalg.pinv(squares / np.outer(size, size), rcond=1e-8, hermitian=True) / np.outer(size, size)
    power = inverse @ (flat @ products.ravel())
    noisy = flat * products.ravel()
    # Every pair stands in the sums twice.
    error = np.sqrt(2 * np.maximum(np.diag(inverse @ (noisy @ noisy.T) @ inverse), 0.0))
    return np.where(power > SURE * error, power, 0.0)


def _ranks(column: Float[np.ndarray, " n"]) -> tuple[Float[np.ndarray, " v"], Float[np.ndarray, " v"]]:
    values, counts = np.unique(np.asarray(column, np.float64), return_counts=True)
    return values, ndtri((np.cumsum(counts) - counts / 2) / len(column))


def _scores(
    ranks: tuple[tuple[np.ndarray, np.ndarray], ...], inputs: Float[np.ndarray, "m inputs"]
) -> Float[np.ndarray, "m inputs"]:
    return np.stack([np.interp(column, *known) for column, known in zip(inputs.T, ranks, strict=True)], axis=1)


@compiled
def _residuals(
    form: HilbertForm, inputs: Float[Array, "n inputs"], x: Float[Array, "n *x_shape"], member: Array
) -> Float[Array, "n k"]:
    """Features less what the member that held the row out predicts."""

    def of_row(row: tuple[Array, Array, Array]) -> Array:
        theta, output, own = row
        means = eqx.filter_vmap(lambda module: module(theta))(form.mean)
        return form.distance.features(output) - _in_full(form, means[own])

    return jax.lax.map(of_row, (inputs, x, member), batch_size=256)


@compiled
def _distances(form: HilbertForm, inputs: Float[Array, "n inputs"], x_o: Float[Array, "*x_shape"]) -> Array:
    """Features of the observation less their means at every row."""
    features = form.distance.features(x_o)
    return jax.vmap(lambda theta: features - _in_full(form, form.mean.mean_of_members(theta)))(inputs)


def _in_full(form: HilbertForm, means: Float[Array, " r"]) -> Float[Array, " k"]:
    """Mean features, of those along directions."""
    return means if form.directions is None else form.directions.centre + form.directions.axes @ means
