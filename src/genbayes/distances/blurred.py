"""The mean discrepancy of a residual with a normal error, in closed form for every `Growth`."""

import jax.numpy as jnp
from jax.scipy.stats import norm
from jaxtyping import Array, Float

from .additive import Growth

# Standard deviations beyond which nothing of a normal distribution is left in single precision.
_BEYOND = 12.0


def blurred(growth: Growth, residual: Float[Array, "..."], sd: Float[Array, "..."]) -> Float[Array, "..."]:
    """E[growth(residual + sd e)] with a standard normal e.

    With X = residual + sd e it is square E[min(|X|, knee)^2] + slope (E[min(|X|, cap)] - E[min(|X|, knee)]), whose
    parts are moments of a normal distribution cut off at -c and c. For knee = 0 and cap = infinity, absolute errors,
    that is the mean of a folded normal: sd sqrt(2 / pi) exp(-r^2 / (2 sd^2)) + r erf(r / (sd sqrt(2))).

    Args:
        growth: of the discrepancy.
        residual: in multiples of the scale.
        sd: of the error, in multiples of the scale; where it is 0 there is none.
    """
    size = jnp.abs(residual)
    exact = sd <= 1e-6 * size + 1e-30
    # A quotient by 0 would make gradients NaN, although its value is not used.
    s = jnp.where(exact, 1.0, sd)
    # A limit farther out than any error is as good as none, and finite.
    knee, cap = (jnp.minimum(limit, size + _BEYOND * s) for limit in (growth.knee, growth.cap))
    near, near_square = _moments_up_to(knee, size, s)
    far, _ = _moments_up_to(cap, size, s)
    return jnp.where(exact, growth(residual), growth.square * near_square + growth.slope * (far - near))


def _moments_up_to(
    limit: Float[Array, "..."], mean: Float[Array, "..."], sd: Float[Array, "..."]
) -> tuple[Float[Array, "..."], Float[Array, "..."]]:
    """E[min(|X|, limit)] and E[min(|X|, limit)^2] of a normal X with a mean of at least 0."""
    low, middle, high = ((place - mean) / sd for place in (-limit, 0.0, limit))
    density_low, density_middle, density_high = norm.pdf(low), norm.pdf(middle), norm.pdf(high)
    below, half, up_to = norm.cdf(low), norm.cdf(middle), norm.cdf(high)
    beyond = below + norm.cdf(-high)
    first = mean * (up_to - 2 * half + below) + sd * (2 * density_middle - density_high - density_low)
    second = (mean**2 + sd**2) * (up_to - below) + sd**2 * (low * density_low - high * density_high)
    second += 2 * mean * sd * (density_low - density_high)
    return limit * beyond + first, limit**2 * beyond + second
