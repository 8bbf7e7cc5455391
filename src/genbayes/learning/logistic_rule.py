"""Integrals over a standard logistic distribution: a rule of nodes, exact for piecewise quadratic functions.

Gauss-Legendre nodes p_i with weights w_i, taken as probabilities, give E[f(Z)] = sum_i w_i f(z_i) with z_i the logistic
quantiles of p_i, for smooth f. What the rule makes of (Z - z)_+ and of (Z - z)_+^2 / 2 is known, and so are their
expectations: `kink_errors` is the difference, by which an integral over a function with kinks is corrected.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.special import spence

# Gauss-Legendre nodes in probability, which serve the widest components too, pushed out by 1 % so that they have the
# variance of a standard logistic distribution, pi^2 / 3.
_PROBABILITIES, WEIGHTS = (
    (part + shift) / 2 for part, shift in zip(np.polynomial.legendre.leggauss(16), (1, 0), strict=True)
)
NODES = np.log(_PROBABILITIES / (1 - _PROBABILITIES))
NODES *= np.sqrt(np.pi**2 / 3 / np.sum(WEIGHTS * NODES**2))
# Coefficients, from the constant on, of a polynomial of -Li2(-u) on 0 <= u <= 1, to 1e-7: the nearest singularity of
# the dilogarithm there is at u = -1.
DILOGARITHM = (
    np.polynomial.Chebyshev.interpolate(lambda u: -spence(1 + u), 9, domain=[0, 1])
    .convert(kind=np.polynomial.Polynomial)
    .coef
)


@jax.custom_jvp
def kink_errors(z: Float[Array, "..."]) -> tuple[Float[Array, "..."], Float[Array, "..."]]:
    """E[(Z - z)_+] and E[(Z - z)_+^2] / 2 of a standard logistic Z, less what the nodes make of them.

    The expectations are log(1 + exp(-z)) and -Li2(-exp(-z)), with Li2 the dilogarithm (the first is the integral of
    P(Z > z) = 1 / (1 + exp(z)), the second the integral of the first). For z < 0 the inversion formula
    -Li2(-1/u) = pi^2 / 6 + log(u)^2 / 2 + Li2(-u) keeps the argument of the polynomial below 1.

    Args:
        z: places of kinks, in standard units.
    """
    p, pz, pzz = _sums_beyond(z)
    u = jnp.exp(-jnp.abs(z))
    slope = jnp.log1p(u) + jnp.maximum(-z, 0.0) - (pz - z * p)
    near = jnp.polyval(jnp.asarray(DILOGARITHM[::-1], jnp.float32), u)
    curvature = jnp.where(z < 0, np.pi**2 / 6 + z**2 / 2 - near, near) - (pzz - 2 * z * pz + z**2 * p) / 2
    return slope, curvature


@kink_errors.defjvp
def _kink_errors_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    (z,), (dz,) = primals, tangents
    slope, curvature = kink_errors(z)
    return (slope, curvature), ((_sums_beyond(z)[0] - jax.nn.sigmoid(-z)) * dz, -slope * dz)


def _sums_beyond(z: Float[Array, "..."]) -> tuple[Float[Array, "..."], Float[Array, "..."], Float[Array, "..."]]:
    """Sums of weight, weight * node and weight * node^2 over the nodes beyond z."""
    sums = [jnp.zeros_like(z)] * 3
    # One comparison after the other takes a third of the time of a table of comparisons.
    for node, weight in zip(NODES, WEIGHTS, strict=True):
        beyond = jnp.where(node > z, jnp.float32(weight), 0.0)
        sums = [total + node**k * beyond for k, total in enumerate(sums)]
    return sums[0], sums[1], sums[2]
