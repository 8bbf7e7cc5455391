"""Which share of a feature cost's spread each coordinate has: what is left of the spread where values are missing."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from ..learning.layers import Standardiser
from ..learning.normal_equations import NormalEquations
from ..learning.polynomial import Polynomial, features_to
from ..runtime.compiling import on_device
from ..runtime.counts import evenly_spaced

# Shares of noise change slowly, if at all.
_MOST_DEGREE = 3
# More rows would say the same.
_MOST_ROWS = 20_000
# The sum of all shares is 1; what a polynomial makes of it far out is kept away from 0.
_LEAST_SUM = 0.1


class ObservedShare(NamedTuple):
    """The sum of the observed coordinates' shares, and that of all: one polynomial each."""

    intercepts: Float[Array, "2"]
    slopes: Float[Array, "2 size"]


class SpreadShares(eqx.Module):
    """s_j(theta) = E[(x_j - g_j(theta))^2 | theta] / v(theta) of every coordinate j, by polynomials.

    v is the spread of all coordinates together, which the cost holds. As only the ratio to the sum of all shares is
    used, the cost of an observation without gaps is not touched by them. Coordinates are linear in the coefficients,
    so that the share of any of them together is a polynomial of two coefficient vectors, whatever their number.
    """

    standardise: Standardiser
    basis: Polynomial
    intercept: Float[Array, " k"]
    slopes: Float[Array, "k size"]

    @classmethod
    def fit(
        cls,
        standardise: Standardiser,
        theta: Float[np.ndarray, "n dim"],
        squares: Float[np.ndarray, "n k"],
        spread: Float[np.ndarray, " n"],
    ) -> "SpreadShares":
        """Ridge regression of (x_j - g_j)^2 / v, each coordinate by the degree that cross-validation prefers.

        Divided by v, the noise of these labels is about the same at all parameters.

        Args:
            standardise: of parameters.
            theta: parameters.
            squares: squared deviations of coordinates from their predicted means.
            spread: v at the parameters.
        """
        rows = evenly_spaced(len(theta), _MOST_ROWS)
        basis, sizes, features = features_to(standardise.of_rows(theta[rows]), _MOST_DEGREE, standardise.groups)
        labels = squares[rows] / np.maximum(spread[rows], 1e-300)[:, None]
        equations = NormalEquations.of(features, labels)
        intercept, slopes, _ = equations.solved_best(list(sizes.values()))
        return cls(standardise, basis, on_device(intercept, np.float32), on_device(slopes, np.float32))

    def of(self, observed: Bool[Array, " k"]) -> ObservedShare:
        """What is to be known of the coordinates that were observed."""
        chosen = jnp.stack([observed.astype(jnp.float32), jnp.ones(observed.shape)])
        return ObservedShare(chosen @ self.intercept, chosen @ self.slopes)

    def __call__(self, theta: Float[Array, " dim"], observed: ObservedShare) -> Float[Array, ""]:
        """The share of the observed coordinates at one parameter, from 0 to 1."""
        features = jax.lax.stop_gradient(self.basis)(self.standardise(theta))
        part, whole = observed.intercepts + observed.slopes @ features
        return jnp.clip(part / jnp.maximum(whole, _LEAST_SUM), 0.0, 1.0)
