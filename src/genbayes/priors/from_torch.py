"""Conversion of torch and sbi priors to numpyro distributions by class name, without importing torch."""

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import numpyro.distributions as dist

from .converted import COMPARED, REMEDY, class_name, same_density

# torch class name -> (attributes of the torch object, in the order of the numpyro constructor's positions, constructor)
_SCALAR: dict[str, tuple[tuple[str, ...], Callable[..., dist.Distribution]]] = {
    "Uniform": (("low", "high"), dist.Uniform),
    "Normal": (("loc", "scale"), dist.Normal),
    "LogNormal": (("loc", "scale"), dist.LogNormal),
    "Gamma": (("concentration", "rate"), dist.Gamma),
    "Beta": (("concentration1", "concentration0"), dist.Beta),
    "Exponential": (("rate",), dist.Exponential),
    "HalfNormal": (("scale",), dist.HalfNormal),
    "Laplace": (("loc", "scale"), dist.Laplace),
    "StudentT": (("df", "loc", "scale"), dist.StudentT),
    "Cauchy": (("loc", "scale"), dist.Cauchy),
    "Bernoulli": (("probs",), dist.BernoulliProbs),
    "Binomial": (("probs", "total_count"), lambda probs, count: dist.BinomialProbs(probs, int(count))),
}


def convert_torch_prior(prior: Any) -> list[dist.Distribution]:
    """Convert to one numpyro distribution per scalar parameter, or per vector of dependent coordinates.

    Args:
        prior: an object of `torch.distributions`, sbi's `BoxUniform` or `MultipleIndependent`, or a list of such.

    Raises:
        TypeError: a class that has no counterpart here.
        ValueError: a distribution whose values are matrices.
    """
    if isinstance(prior, list | tuple):
        return [converted for item in prior for converted in convert_torch_prior(item)]
    # The whole ancestry, so that sbi's BoxUniform is met as the Independent that it is.
    ancestry = [base.__name__ for base in type(prior).__mro__]
    if not any(base.__module__.split(".")[0] in ("torch", "sbi") for base in type(prior).__mro__):
        raise TypeError(
            f"`prior` must be a torch or sbi distribution, or a list of them, got {class_name(prior)}. {REMEDY}."
        )
    if "MultipleIndependent" in ancestry:
        return convert_torch_prior(list(prior.dists))
    if "Independent" in ancestry:
        return convert_torch_prior(prior.base_dist)
    if "MultivariateNormal" in ancestry:
        location, factor = _array(prior.loc), _array(prior.scale_tril)
        if location.ndim != 1:
            raise ValueError(f"`prior` ({class_name(prior)}) has batch shape {location.shape[:-1]}; expected ().")
        return _compared(prior, [dist.MultivariateNormal(location, scale_tril=factor)])
    if "Categorical" in ancestry:
        probs = _array(prior.probs)
        if probs.ndim > 2:
            raise ValueError(f"`prior` ({class_name(prior)}) has batch shape {probs.shape[:-1]}; expected () or (k,).")
        return _compared(prior, [dist.CategoricalProbs(row) for row in np.atleast_2d(probs)])
    for name in ancestry:
        if name in _SCALAR:
            return _compared(prior, _convert_scalars(prior, *_SCALAR[name]))
    raise TypeError(f"`prior` contains {class_name(prior)}, which has no conversion. {REMEDY}.")


def _convert_scalars(
    prior: Any, attributes: tuple[str, ...], constructor: Callable[..., dist.Distribution]
) -> list[dist.Distribution]:
    settings = np.broadcast_arrays(*(_array(getattr(prior, attribute)) for attribute in attributes))
    if settings[0].ndim > 1:
        raise ValueError(
            f"`prior` ({class_name(prior)}) has batch shape {settings[0].shape}; expected () or (k,). {REMEDY}."
        )
    columns = (np.atleast_1d(setting) for setting in settings)
    return [constructor(*values) for values in zip(*columns, strict=True)]


def _compared(prior: Any, converted: list[dist.Distribution]) -> list[dist.Distribution]:
    """The conversion, if it has the density of the original; see `same_density`."""
    torch = sys.modules["torch"]
    with torch.random.fork_rng():
        draws = prior.sample((COMPARED,))
    expected = _array(prior.log_prob(draws)).reshape(COMPARED, -1).sum(axis=1)
    return same_density(prior, converted, _array(draws).reshape(COMPARED, -1), expected)


def _array(tensor: Any) -> np.ndarray:
    return np.asarray(tensor.detach().cpu().numpy(), dtype=np.float32)
