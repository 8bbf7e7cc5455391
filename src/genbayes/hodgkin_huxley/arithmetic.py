"""Exponentials and normal noise for the inner loop of a long simulation, in few multiplications.

On a CPU, XLA's float32 exponential takes as long as 40 multiply-adds and its cosine as long as 300 (measured; the
compiler guards every special value). The functions here spend 10 on arguments known to be finite, are vectorised by
the compiler, and have relative errors of about one unit in the last place. float64 arguments go to XLA's own functions:
the exact runs need not be fast.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt32

# Minimax polynomials of least relative error, found by linear programming on 4,000 Chebyshev nodes: of exp(g), |g| <
# log(2) / 2, beyond 1 + g (error 1.0e-7); of log(1 + f), 1/sqrt 2 < 1 + f < sqrt 2 (1.1e-6); of sin(pi q), |q| < 1/2
# (9.4e-7).
_EXP = (0.499992315, 0.1666711465, 0.04189015679, 0.008312520155)
_LOG = (1.000000975, -0.5000111306, 0.3331451037, -0.2490973529, 0.2049629082, -0.1866793834, 0.1189637061)
_SIN_PI = (3.141589703, -5.167367812, 2.543604958, -0.5583960526)
# This number, added to one below 2^22, leaves the nearest whole number in the lowest bits.
_ROUND = np.float32(1.5 * 2**23)


def exp(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """The exponential function; in float32 for -87 < x < 88 only."""
    if x.dtype != jnp.float32:
        return jnp.exp(x)
    scale, rest = _split(x)
    return scale * (1 + rest)


def one_minus_exp(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """1 - exp(-x) for 0 <= x < 80, to full relative precision for small x."""
    if x.dtype != jnp.float32:
        return -jnp.expm1(-x)
    scale, rest = _split(-x)
    return (1 - scale) - scale * rest


def clip(x: Float[Array, "..."], low: float, high: float) -> Float[Array, "..."]:
    """The nearest number within bounds (NaN: the lower one); `jnp.clip`, which passes NaN on, is slower."""
    return jnp.where(x > low, jnp.where(x < high, x, high), low)


def _split(x: Float[Array, "..."]) -> tuple[Float[Array, "..."], Float[Array, "..."]]:
    """2^k and exp(g) - 1, where x = k log 2 + g."""
    whole = jnp.round(x * np.float32(1 / np.log(2)))
    # log(2) in two parts, the first with few digits so that its product is exact (Cody and Waite 1980).
    g = (x - whole * np.float32(0.693359375)) - whole * np.float32(np.log(2) - 0.693359375)
    shifted = whole + _ROUND
    exponent = jax.lax.bitcast_convert_type(shifted, jnp.int32) << 23
    scale = jax.lax.bitcast_convert_type(exponent + np.int32(0x3F800000), jnp.float32)
    return scale, g + g * g * _polynomial(g, _EXP)


def standard_normal(words: UInt32[Array, "2 *rows"], counter: UInt32[Array, "..."]) -> Float[Array, "..."]:
    """Independent standard normal numbers, float32: one for each pair of a key and a counter.

    Threefry-2x32 with 20 rounds (Salmon et al. 2011), the generator of `jax.random`, and the cosine branch of Box and
    Muller (1958), whose angle may as well run over half the circle. `jax.random.normal` gives numbers as good, but on
    a CPU takes 16 ns for each, drawn one by one, and 5 ns in blocks, against 2 ns here: its generator is compiled to a
    loop of small kernels, and its inverse error function has two polynomials and a logarithm with special cases. No
    number exceeds 6.8.

    Args:
        words: two 32-bit words of a key, with any further axes.
        counter: broadcasts with the further axes of `words`.
    """
    first, second = threefry(words[0], words[1], counter)
    # The number lies in (0, 1]: a half is added so that the logarithm is finite.
    uniform = first.astype(jnp.float32) * np.float32(2.0**-32) + np.float32(2.0**-33)
    quarter_turns = jax.lax.bitcast_convert_type(second, jnp.int32).astype(jnp.float32) * np.float32(2.0**-32)
    square = quarter_turns * quarter_turns
    sine = quarter_turns * _polynomial(square, _SIN_PI)
    return jnp.sqrt(-2 * _log(uniform)) * sine


def _log(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """log(x) for normal positive float32."""
    bits = jax.lax.bitcast_convert_type(x, jnp.int32)
    # The exponent for which the significand lies between 1/sqrt 2 and sqrt 2.
    exponent = (bits - np.int32(0x3F3504F3)) >> 23
    f = jax.lax.bitcast_convert_type(bits - (exponent << 23), jnp.float32) - 1
    return exponent.astype(jnp.float32) * np.float32(np.log(2)) + f * _polynomial(f, _LOG)


def threefry(
    key0: UInt32[Array, "..."], key1: UInt32[Array, "..."], counter: UInt32[Array, "..."]
) -> tuple[UInt32[Array, "..."], UInt32[Array, "..."]]:
    """The two words of Threefry-2x32, 20 rounds, at (0, counter): `jax.random`'s function in elementwise operations."""
    keys = (key0, key1, key0 ^ key1 ^ np.uint32(0x1BD11BDA))
    x0, x1 = jnp.broadcast_arrays(keys[0], counter + keys[1])
    for group in range(5):
        for turn in ((13, 15, 26, 6), (17, 29, 16, 24))[group % 2]:
            x0 = x0 + x1
            x1 = ((x1 << np.uint32(turn)) | (x1 >> np.uint32(32 - turn))) ^ x0
        x0 = x0 + keys[(group + 1) % 3]
        x1 = x1 + keys[(group + 2) % 3] + np.uint32(group + 1)
    return x0, x1


def _polynomial(x: Float[Array, "..."], coefficients: tuple[float, ...]) -> Float[Array, "..."]:
    """c_0 + c_1 x + c_2 x^2 + ... by Horner's rule."""
    total = jnp.full_like(x, coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        total = total * x + np.float32(coefficient)
    return total
