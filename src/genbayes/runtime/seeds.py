"""The one rule that turns (seed, row) into random keys, so that a row never depends on the rows around it."""

import operator

import jax
from jaxtyping import Array, Key

PARAMETER_STREAM = 0
SIMULATOR_STREAM = 1
CONDITION_STREAM = 2


def check_seed(seed: int) -> int:
    """Return `seed` as a Python int after checking that it can seed every generator in use.

    Args:
        seed: integer in [0, 2**32).

    Raises:
        TypeError: `seed` is not an integer.
        ValueError: `seed` is negative or does not fit into 32 bits.
    """
    if isinstance(seed, bool):
        raise TypeError(f"`seed` must be an integer, got {seed!r}. Pass for example seed=0.")
    try:
        value = operator.index(seed)
    except TypeError:
        raise TypeError(f"`seed` must be an integer, got {type(seed).__name__}. Pass for example seed=0.") from None
    if not 0 <= value < 2**32:
        raise ValueError(f"`seed` must lie in [0, 2**32), got {value}. Pass for example seed=0.")
    return value


def row_key(key: Key[Array, ""], row: int | Array, stream: int) -> Key[Array, ""]:
    """Return the random key of one row and one purpose; traceable.

    Two folds, because `split(key)[i]` equals `fold_in(key, i)` in JAX: with one fold, a key split by the prior could
    meet the simulator's key.

    Args:
        key: the key of the whole job.
        row: index of the simulation.
        stream: `PARAMETER_STREAM` for the draw of the parameters, `SIMULATOR_STREAM` for the simulator's noise,
            `CONDITION_STREAM` for the draw of the known conditions.
    """
    return jax.random.fold_in(jax.random.fold_in(key, row), stream)
