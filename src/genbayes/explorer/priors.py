"""A prior as numbers: of every parameter its family, its settings and the edges of its support."""

from typing import Any

import numpy as np
import numpyro.distributions as dist

from ..priors.integer_density import IntegerDensity
from ..priors.prior import Prior
from .numbers import NotExportable, double

# Settings of a family in the order in which static/prior.js takes them: the density up to a constant factor.
FAMILIES: dict[type[dist.Distribution], tuple[str, tuple[str, ...]]] = {
    dist.Uniform: ("uniform", ()),
    dist.Normal: ("normal", ("loc", "scale")),
    dist.LogNormal: ("log_normal", ("loc", "scale")),
    dist.HalfNormal: ("normal", ("zero", "scale")),
    dist.Laplace: ("laplace", ("loc", "scale")),
    dist.Cauchy: ("cauchy", ("loc", "scale")),
    dist.HalfCauchy: ("cauchy", ("zero", "scale")),
    dist.Logistic: ("logistic", ("loc", "scale")),
    dist.StudentT: ("student_t", ("df", "loc", "scale")),
    dist.Exponential: ("gamma", ("one", "rate")),
    dist.Gamma: ("gamma", ("concentration", "rate")),
    dist.Chi2: ("gamma", ("concentration", "rate")),
    dist.InverseGamma: ("inverse_gamma", ("concentration", "rate")),
    dist.Beta: ("beta", ("concentration1", "concentration0")),
    dist.LogUniform: ("log_uniform", ()),
}
# Of a truncated distribution the density inside is that of its base.
_TRUNCATED = (dist.TwoSidedTruncatedDistribution, dist.LeftTruncatedDistribution, dist.RightTruncatedDistribution)


def export_prior(prior: Prior) -> list[dict[str, Any]]:
    """One description for each parameter (or vector), in the order of the prior.

    Raises:
        NotExportable: a family that the page has no density of; the message names the parameter.
    """
    described, first = [], 0
    for parameter in prior.parameters:
        density = parameter.density
        where = {
            "name": parameter.name,
            "at": list(range(first, first + parameter.dim)),
            "bounds": double(np.asarray(parameter.bounds, np.float64)),
        }
        first += parameter.dim
        if isinstance(density, IntegerDensity):
            described.append({**where, "family": "integer", **_export_integer(density)})
        else:
            described.append({**where, **_export_real(parameter.name, parameter.distribution, parameter.dim)})
    return described


def _export_integer(density: IntegerDensity) -> dict[str, Any]:
    return {
        "low": float(density.low),
        "edges": [double(row) for row in np.asarray(density.edges)],
        "middles": [double(row) for row in np.asarray(density.middles)],
    }


def _export_real(name: str, distribution: Any, dim: int) -> dict[str, Any]:
    base = _innermost(distribution)
    if type(base) is dist.MultivariateNormal:
        # (x - loc)^T P (x - loc) with P = (L L^T)^-1.
        whitening = np.linalg.inv(np.asarray(base.scale_tril, np.float64))
        loc = np.broadcast_to(np.asarray(base.loc, np.float64), (dim,))
        return {"family": "multivariate_normal", "loc": double(loc), "whitening": double(whitening)}
    inner = base.base_dist if isinstance(base, _TRUNCATED) else base
    if type(inner) not in FAMILIES:
        raise NotExportable(f"The prior of {name} is {type(inner).__name__}, for which the explorer has no density.")
    family, settings = FAMILIES[type(inner)]
    values = [_setting(inner, setting, dim) for setting in settings]
    return {"family": family, "settings": [double(value) for value in values]}


def _setting(distribution: Any, setting: str, dim: int) -> np.ndarray:
    constants = {"zero": 0.0, "one": 1.0}
    value = constants[setting] if setting in constants else getattr(distribution, setting)
    return np.broadcast_to(np.asarray(value, np.float64).reshape(-1), (dim,))


def _innermost(distribution: Any) -> Any:
    """What is expanded, or read as one vector of independent coordinates."""
    while isinstance(distribution, dist.Independent | dist.ExpandedDistribution):
        distribution = distribution.base_dist
    return distribution
