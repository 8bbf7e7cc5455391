"""What conversions of other packages' priors share: the density of the original is compared with that of the copy."""

from typing import Any

import jax
import numpy as np
import numpyro.distributions as dist

REMEDY = "Write the prior with numpyro: Prior({'name': numpyro.distributions.Gamma(2.0, 1.0), ...})"
COMPARED = 64


def same_density(
    prior: Any, converted: list[dist.Distribution], values: np.ndarray, expected: np.ndarray
) -> list[dist.Distribution]:
    """The conversion, if it has the density of the original at draws of it: a subclass may have changed that.

    Args:
        prior: the original.
        converted: one distribution a scalar parameter, or one of a vector.
        values: draws of the original (n, dim).
        expected: its log density at these, (n,).

    Raises:
        TypeError: the densities differ.
    """
    columns = [values] if converted[0].event_shape else list(values.T)
    # One at a time, because numpyro's formulas rely on implicit broadcasting.
    each = [
        np.asarray(jax.vmap(one.log_prob)(column.astype(np.int32 if one.is_discrete else np.float32)))
        for one, column in zip(converted, columns, strict=True)
    ]
    found = np.sum(each, axis=0)
    # numpyro computes in single precision, by other formulas.
    if not np.allclose(found, expected, rtol=1e-3, atol=1e-3 * len(converted)):
        worst = int(np.nanargmax(np.abs(found - expected)))
        raise TypeError(
            f"`prior` contains {class_name(prior)}, whose log density at {values[worst].tolist()} is "
            f"{expected[worst]:.6g}, and not {found[worst]:.6g} as that of {type(converted[0]).__name__}: a subclass "
            f"that changes its parent cannot be converted by the parent's name. {REMEDY}."
        )
    return converted


def class_name(value: object) -> str:
    """The class of an object with its module."""
    return f"{type(value).__module__}.{type(value).__qualname__}"
