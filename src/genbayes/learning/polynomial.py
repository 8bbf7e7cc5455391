"""Polynomial features of the parameters: the closed-form part of a regression, beyond straight lines."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations, combinations_with_replacement, product

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int
from scipy.special import erf

from ..runtime.compiling import on_device
from .row_blocks import blocks

# Products of Legendre polynomials up to a total degree, as many as least squares can do with: degree 14 in one and two
# dimensions, 6 in four, 4 in six, 3 in eight and ten, 2 in twenty.
MOST_FEATURES = 300
MOST_DEGREE = 14
# Kurtosis of a sample below which its ends count as flat: a uniform distribution has 1.8, a normal one 3.
_FLAT_KURTOSIS = 2.4
# Columns of which a product may hold one at most, and none twice: an integer's own, see `Standardiser.groups`.
Groups = Sequence[tuple[int, ...]]


class Polynomial(eqx.Module):
    """The coordinates of z themselves, and products of Legendre polynomials of z of total degree 2 to `degree`.

    A coordinate with flat ends (a uniform prior) is scaled to [-1, 1]; one with tails is bent by erf, so that the few
    rows far out do not rule the fit and beyond them it goes on as a straight line. So it does for each value of an
    integer: a product of an indicator and one such coordinate has the coordinate as it is.

    Attributes:
        centre: middle of the range of every coordinate.
        half_width: half that range.
        bent: 1 where a coordinate is bent by erf, else 0.
        chosen: 1 where a feature has a coordinate's polynomial of that degree, else 0.
        straight: 1 where a feature has the coordinate as it is in the place of that polynomial, else 0; None if none.
    """

    centre: Float[Array, " dim"]
    half_width: Float[Array, " dim"]
    bent: Float[Array, " dim"]
    chosen: Float[Array, "dim degrees features"]
    straight: Float[Array, "dim features"] | None = None

    @classmethod
    def fit(cls, z: Float[np.ndarray, "n dim"], degree: int, groups: Groups = ()) -> "Polynomial":
        """Takes the ranges of standardised rows, for products up to a total degree."""
        low, high = z.min(axis=0), z.max(axis=0)
        bent = np.mean(z**4, axis=0) > _FLAT_KURTOSIS * np.mean(z**2, axis=0) ** 2
        terms = [term for k in range(2, degree + 1) for term in _terms(z.shape[1], k, groups)]
        exponents = [np.bincount(term, minlength=z.shape[1]) for term in terms]
        powers = np.array(exponents, int).reshape(-1, z.shape[1]).T
        chosen = powers[:, None, :] == np.arange(degree + 1)[None, :, None]
        width = np.where(high > low, (high - low) / 2, 1.0)
        made = cls(*(on_device(part, np.float32) for part in ((low + high) / 2, width, bent, chosen)))
        straight = _straight(powers, bent, groups)
        return replace(made, straight=on_device(straight, np.float32)) if straight.any() else made

    def __call__(self, z: Float[Array, " dim"]) -> Float[Array, " size"]:
        """Features of one standardised parameter."""
        if self.chosen.shape[2] == 0:
            return z
        straight = jnp.clip((z - self.centre) / self.half_width, -1.0, 1.0)
        u = jnp.where(self.bent > 0, jax.lax.erf(z / np.sqrt(2)), straight)
        legendre = [jnp.ones_like(u), u]
        for k in range(1, self.chosen.shape[1] - 1):
            legendre.append(((2 * k + 1) * u * legendre[k] - k * legendre[k - 1]) / (k + 1))
        each = jnp.einsum("jd,jdf->jf", jnp.stack(legendre, axis=1), self.chosen)
        if self.straight is not None:
            each = jnp.where(self.straight > 0, z[:, None], each)
        return jnp.concatenate([z, jnp.prod(each, axis=0)])

    def of_rows(self, z: Float[np.ndarray, "n dim"]) -> Float[np.ndarray, "n size"]:
        """The same of many standardised parameters in numpy: solvers work in double precision, nothing is compiled."""
        features = np.ones((len(z), z.shape[1] + self.chosen.shape[2]))
        for part in blocks(len(z)):
            features[part, : z.shape[1]] = z[part]
            self._multiply(z[part], features[part, z.shape[1] :])
        return features

    def _multiply(self, z: Float[np.ndarray, "n dim"], products: Float[np.ndarray, "n features"]) -> None:
        """Multiplies products of rows, which are 1, by what each has of every coordinate."""
        centre, half_width, bent, chosen = (
            np.asarray(part, np.float64) for part in (self.centre, self.half_width, self.bent, self.chosen)
        )
        u = np.where(bent > 0, erf(z / np.sqrt(2)), np.clip((z - centre) / half_width, -1.0, 1.0))
        legendre = [np.ones_like(u), u]
        for k in range(1, chosen.shape[1] - 1):
            legendre.append(((2 * k + 1) * u * legendre[k] - k * legendre[k - 1]) / (k + 1))
        for j, power in enumerate(np.argmax(chosen, axis=1)):
            if self.straight is not None:
                alone = np.asarray(self.straight)[j] > 0
                products[:, alone] *= z[:, j, None]
                power = np.where(alone, 0, power)
            for degree in np.unique(power[power > 0]):
                products[:, power == degree] *= legendre[degree][:, j, None]


def features_to(
    z: Float[np.ndarray, "n dim"], most: int, groups: Groups = ()
) -> tuple[Polynomial, dict[int, int], Float[np.ndarray, "n size"]]:
    """The polynomial of the highest degree up to `most` that rows allow, sizes by degree, and the rows' features."""
    basis, sizes = polynomial_to(z, most, groups)
    return basis, sizes, basis.of_rows(z)


def polynomial_to(z: Float[np.ndarray, "n dim"], most: int, groups: Groups = ()) -> tuple[Polynomial, dict[int, int]]:
    """The polynomial of the highest degree up to `most` that rows allow, and sizes by degree."""
    sizes = {degree: size for degree, size in degrees(z.shape[1], len(z), groups).items() if degree <= most}
    return Polynomial.fit(z, max(sizes), groups), sizes


def degrees(dim: int, n: int, groups: Groups = ()) -> dict[int, int]:
    """The total degrees that `n` rows of `dim` coordinates allow, with the number of features of each."""
    # Number of products of each degree. A coordinate by itself has every power, a group of g columns one of them: the
    # generating function is (1 + g_1 t) (1 + g_2 t) ... / (1 - t)^others.
    count = np.zeros(MOST_DEGREE + 1, int)
    count[0] = 1
    for _ in range(dim - sum(map(len, groups))):
        count = np.cumsum(count)
    for group in groups:
        count[1:] += len(group) * count[:-1]
    # Ten rows to a feature. More rows never allow fewer: with 100,000 instead of 10,000 runs of ten parameters the
    # third degree was lost for the sake of memory, and posterior means were off by .7 standard deviations for .2.
    most = min(MOST_FEATURES, n // 10)
    allowed = {1: dim}
    for degree in range(2, MOST_DEGREE + 1):
        # All but the constant.
        size = int(count[1 : degree + 1].sum())
        # Where there are integers alone, products end.
        if size > most or size == allowed[degree - 1]:
            break
        allowed[degree] = size
    return allowed


def _straight(powers: Int[np.ndarray, "dim features"], bent: Bool[np.ndarray, " dim"], groups: Groups) -> np.ndarray:
    """Where a feature is an indicator times a single coordinate that is bent elsewhere, (dim, features)."""
    in_group = np.zeros(len(powers), bool)
    in_group[[column for group in groups for column in group]] = True
    alone = powers[in_group].any(axis=0) & (powers[~in_group].sum(axis=0) == 1)
    return alone & (powers > 0) & (bent & ~in_group)[:, None]


def _terms(dim: int, degree: int, groups: Groups) -> list[tuple[int, ...]]:
    """Products of coordinates, by their numbers."""
    others = [column for column in range(dim) if not any(column in group for group in groups)]
    terms = []
    for used in range(min(len(groups), degree) + 1):
        rests = list(combinations_with_replacement(others, degree - used))
        for chosen in combinations(groups, used):
            terms += [(*columns, *rest) for columns in product(*chosen) for rest in rests]
    return terms
