"""Conversion of frozen scipy distributions to numpyro distributions by their names, without importing scipy.stats."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpyro.distributions as dist
from numpyro.distributions.transforms import AffineTransform

from .converted import COMPARED, REMEDY, class_name, same_density

# scipy's name -> numpyro's distribution of (shape parameters ..., loc, scale).
_SCALAR: dict[str, Callable[..., dist.Distribution]] = {
    "uniform": lambda loc, scale: dist.Uniform(loc, loc + scale),
    "norm": dist.Normal,
    "lognorm": lambda s, loc, scale: _moved(dist.LogNormal(np.log(scale), s), loc),
    "expon": lambda loc, scale: _moved(dist.Exponential(1 / scale), loc),
    "gamma": lambda a, loc, scale: _moved(dist.Gamma(a, 1 / scale), loc),
    "chi2": lambda df, loc, scale: _moved(dist.Gamma(df / 2, 0.5 / scale), loc),
    "invgamma": lambda a, loc, scale: _moved(dist.InverseGamma(a, scale), loc),
    "beta": lambda a, b, loc, scale: _moved(dist.Beta(a, b), loc, scale),
    "halfnorm": lambda loc, scale: _moved(dist.HalfNormal(scale), loc),
    "halfcauchy": lambda loc, scale: _moved(dist.HalfCauchy(scale), loc),
    "weibull_min": lambda c, loc, scale: _moved(dist.Weibull(scale, c), loc),
    "pareto": lambda b, loc, scale: _moved(dist.Pareto(scale, b), loc),
    "t": dist.StudentT,
    "cauchy": dist.Cauchy,
    "laplace": dist.Laplace,
    "logistic": dist.Logistic,
    "gumbel_r": dist.Gumbel,
    "loguniform": lambda a, b, loc, scale: _moved(dist.LogUniform(a * scale, b * scale), loc),
    "truncnorm": lambda a, b, loc, scale: dist.TruncatedNormal(loc, scale, low=loc + a * scale, high=loc + b * scale),
    "randint": lambda low, high, loc, _: dist.DiscreteUniform(int(low + loc), int(high - 1 + loc)),
    "bernoulli": lambda p, loc, _: _at_zero(dist.BernoulliProbs(p), loc),
    "binom": lambda n, p, loc, _: _at_zero(dist.BinomialProbs(p, int(n)), loc),
}
# Both names are in use.
_SCALAR["reciprocal"] = _SCALAR["loguniform"]

_VECTOR: dict[str, Callable[[Any], dist.Distribution]] = {
    "multivariate_normal_frozen": lambda prior: dist.MultivariateNormal(
        np.atleast_1d(prior.mean), np.atleast_2d(prior.cov_object.covariance)
    ),
    "multivariate_t_frozen": lambda prior: dist.MultivariateStudentT(
        prior.df, np.atleast_1d(prior.loc), np.linalg.cholesky(np.atleast_2d(prior.shape))
    ),
    "dirichlet_frozen": lambda prior: dist.Dirichlet(np.asarray(prior.alpha)),
}


def convert_scipy_prior(prior: Any) -> list[dist.Distribution]:
    """Convert to one numpyro distribution per scalar parameter, or per vector of dependent coordinates.

    Args:
        prior: a frozen distribution of `scipy.stats`, or a list of such. Settings of shape (k,) are k parameters.

    Raises:
        TypeError: something else, a distribution that has no counterpart here, or one with another density.
        ValueError: settings of more than one dimension.
    """
    if isinstance(prior, list | tuple):
        return [converted for item in prior for converted in convert_scipy_prior(item)]
    kind = type(prior)
    if kind.__module__.split(".")[0] != "scipy" or "frozen" not in kind.__name__:
        raise TypeError(
            f"`prior` must be a frozen scipy distribution, such as scipy.stats.gamma(2.0, scale=3.0), or a list of "
            f"them, got {class_name(prior)}. {REMEDY}."
        )
    if kind.__name__ in _VECTOR:
        return _compared(prior, [_VECTOR[kind.__name__](prior)])
    name = getattr(getattr(prior, "dist", None), "name", None)
    if name not in _SCALAR:
        known = ", ".join(sorted(_SCALAR))
        what = class_name(prior) if name is None else f"scipy.stats.{name}"
        raise TypeError(
            f"`prior` contains {what}, which has no conversion. Known are {known}, multivariate_normal, "
            f"multivariate_t and dirichlet, frozen. {REMEDY}."
        )
    shapes, loc, scale = prior.dist._parse_args(*prior.args, **prior.kwds)
    settings = np.broadcast_arrays(*shapes, loc, scale)
    if settings[0].ndim > 1:
        raise ValueError(
            f"`prior` (scipy.stats.{name}) has settings of shape {settings[0].shape}; expected () or (k,)."
        )
    columns = (np.atleast_1d(np.asarray(setting, np.float64)) for setting in settings)
    return _compared(prior, [_SCALAR[name](*values) for values in zip(*columns, strict=True)])


def _moved(distribution: dist.Distribution, loc: Any, scale: Any = 1.0) -> dist.Distribution:
    """The distribution of loc + scale x."""
    if loc == 0 and scale == 1:
        return distribution
    support: Any = distribution.support
    move = AffineTransform(np.float32(loc), np.float32(scale), domain=support)
    return dist.TransformedDistribution(distribution, move)


def _at_zero(distribution: dist.Distribution, loc: float) -> dist.Distribution:
    if loc != 0:
        raise TypeError(f"`prior` has a discrete distribution with loc={loc:g}; expected 0. Add it in the simulator.")
    return distribution


def _compared(prior: Any, converted: list[dist.Distribution]) -> list[dist.Distribution]:
    """The conversion, if it has the density of the original; see `same_density`."""
    vector = bool(converted[0].event_shape)
    size = COMPARED if vector else (COMPARED, len(converted))
    draws = np.asarray(prior.rvs(size=size, random_state=np.random.default_rng(0)), np.float64)
    log_density = prior.logpmf if hasattr(prior, "logpmf") else prior.logpdf
    expected = np.asarray(log_density(draws.T if type(prior).__name__ == "dirichlet_frozen" else draws))
    return same_density(prior, converted, draws.reshape(COMPARED, -1), expected.reshape(COMPARED, -1).sum(axis=1))
