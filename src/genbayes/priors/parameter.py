"""One named parameter of a prior: a numpyro distribution, its support and its bijection to the reals."""

import copy
import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Array, Float
from numpyro.distributions import biject_to, constraints
from numpyro.distributions.transforms import Transform

from ..runtime.compiling import in_full_precision
from .integer_parameter import MOST_LEVELS, IntegerParameter
from .real_density import SIMPLEX, RealDensity

_FLOAT32 = np.finfo(np.float32)


class Parameter:
    """A named scalar or vector parameter of real numbers, checked; `density` computes with it."""

    integer = False
    has_labels = False

    def __init__(self, name: Any, distribution: Any):
        """Check the name and the distribution.

        Raises:
            TypeError: the name is not a string or the value is not a numpyro distribution.
            ValueError: an unusable name, or a matrix-valued or fixed distribution, or a support without a bijection to
                the reals.
        """
        check_name(name)
        self.name = name
        self.distribution = _as_event(name, distribution)
        self.event_shape = self.distribution.event_shape
        self.dim = math.prod(self.event_shape)
        self.names = tuple(f"{name}[{i}]" for i in range(self.dim)) if self.event_shape else (name,)
        _check_bijection(name, self.distribution)
        low, high = _limits(self.distribution.support)
        self.levels = (None,) * self.dim
        self.bounds = np.empty((self.dim, 2), np.float32)
        self.bounds[:, 0], self.bounds[:, 1] = low, high
        if not (self.bounds[:, 0] < self.bounds[:, 1]).all():
            raise ValueError(
                f"Parameter {name!r} has no room between its limits {self.bounds[:, 0].tolist()} and "
                f"{self.bounds[:, 1].tolist()}. The lower one comes first."
            )
        self.density = RealDensity.of(self.distribution, self.bounds)
        self.unconstrained_dim = self.density.unconstrained_dim
        _check_precision(name, self.density)

    def __repr__(self) -> str:
        return f"Parameter({self.name!r}, {type(self.distribution).__name__})"


AnyParameter = Parameter | IntegerParameter


def make_parameter(name: Any, distribution: Any) -> AnyParameter:
    """The parameter of a numpyro distribution over real or over whole numbers.

    Raises:
        TypeError: see `Parameter`.
        ValueError: see `Parameter` and `IntegerParameter`.
    """
    if isinstance(distribution, dist.Distribution) and distribution.is_discrete:
        return IntegerParameter(check_name(name), _as_event(name, distribution))
    return Parameter(name, distribution)


def describe_parameter(parameter: AnyParameter) -> dict:
    """Return name, distribution class and settings, JSON-able; of an integer also the values of every coordinate.

    Values are None where there are more than are learned one by one.
    """
    described = {"name": parameter.name, **_describe(parameter.distribution)}
    if isinstance(parameter, Parameter):
        return described
    levels = [values.tolist() if len(values) <= MOST_LEVELS else None for values in parameter.levels]
    return {**described, "levels": levels}


def described_levels(description: Sequence[Mapping[str, Any]], names: Sequence[str]) -> dict[int, list[int]]:
    """Which coordinates are integers of few values, and their values.

    Args:
        description: from `Prior.describe()`; may be empty.
        names: of the coordinates.

    Returns:
        By the number of the coordinate.
    """
    places = {name: place for place, name in enumerate(names)}
    found = {}
    for item in description:
        levels = item.get("levels", [])
        for i, values in enumerate(levels):
            name = item["name"] if item["name"] in places else f"{item['name']}[{i}]"
            if values is not None and name in places:
                found[places[name]] = values
    return found


def check_name(name: Any) -> str:
    """Return a parameter's name after checking it.

    Raises:
        TypeError: not a string.
        ValueError: empty, or with blanks at its ends, line breaks or brackets.
    """
    if not isinstance(name, str):
        raise TypeError(f"A parameter name must be a string, got {name!r} of type {type(name).__name__}.")
    if name in ("chain", "draw") or "/" in name:
        raise ValueError(
            f"The parameter name {name!r} is unusable: `chain` and `draw` are the axes of the draws in their files, "
            f"and a slash separates groups there. Rename it."
        )
    if not name or name != name.strip() or not name.isprintable() or "[" in name or "]" in name:
        raise ValueError(
            f"The parameter name {name!r} is unusable: it must not be empty, start or end with a blank, or contain "
            f"line breaks or square brackets (these mark the coordinates of a vector). Rename it."
        )
    return name


def _as_event(name: str, distribution: Any) -> dist.Distribution:
    if not isinstance(distribution, dist.Distribution):
        kind = f"{type(distribution).__module__}.{type(distribution).__qualname__}"
        raise TypeError(
            f"Parameter {name!r} must be a numpyro distribution, got {kind}. Write for example "
            f"numpyro.distributions.Uniform(0.0, 1.0); Prior.from_scipy and Prior.from_torch convert others."
        )
    kind = type(distribution).__name__
    support = distribution.support
    if support is None:
        raise ValueError(f"Parameter {name!r} ({kind}) has no support. Choose another distribution.")
    if isinstance(distribution, dist.Delta):  # a wrong value of the right type, so ValueError
        raise ValueError(f"Parameter {name!r} is fixed (Delta). Leave it out and set it inside the simulator.")  # noqa: TRY004
    shape = (*distribution.batch_shape, *distribution.event_shape)
    if len(shape) > 1 or math.prod(shape) == 0:
        raise ValueError(
            f"Parameter {name!r} ({kind}) has values of shape {shape}; expected () or (k,) with k >= 1. Use one "
            f"parameter per row, or flatten it."
        )
    # A copy, so that numpyro's own range checks (warnings for each call) can be off: the support is tested here.
    quiet = copy.copy(distribution.to_event(1) if distribution.batch_shape else distribution)
    quiet._validate_args = False
    return quiet


def _check_bijection(name: str, distribution: dist.Distribution) -> None:
    try:
        biject_to(distribution.support)
    except NotImplementedError:
        raise ValueError(
            f"Parameter {name!r} ({type(distribution).__name__}) has the support {distribution.support}, for which "
            f"numpyro has no bijection to the reals. Choose another parametrisation."
        ) from None


@jax.jit
@in_full_precision
def _some_draws(density: RealDensity) -> Float[Array, "draws dim"]:
    # One at a time, because numpyro's formulas rely on implicit broadcasting.
    return jax.vmap(density.sample)(jax.random.split(jax.random.key(0), 256))


def _check_precision(name: str, density: RealDensity) -> None:
    """Refuses a parameter that single precision cannot hold, which would be sampled as something else in silence.

    Raises:
        ValueError: draws are 0 or infinite in single precision, or so far from 0 that few values are told apart.
    """
    draws = np.asarray(_some_draws(density), np.float64)
    limits = f"{_FLOAT32.tiny:.2g} to {_FLOAT32.max:.2g}"
    for j in range(draws.shape[1]):
        where = f"parameter {name!r}" + (f" (coordinate {j})" if draws.shape[1] > 1 else "")
        if np.median(np.abs(draws[:, j])) < float(_FLOAT32.tiny) or not np.isfinite(draws[:, j]).all():
            raise ValueError(
                f"Half of the draws of {where} are 0, or some infinite, in single precision, in which parameters are "
                f"computed (sizes {limits}): state it in other units, or its logarithm, and convert inside the "
                "simulator."
            )
        low, middle, high = np.quantile(draws[:, j], [0.16, 0.5, 0.84])
        spread, step = high - low, float(_FLOAT32.eps) * abs(middle)
        if spread < 128 * step:
            raise ValueError(
                f"The draws of {where} lie around {middle:.8g} within {spread:.2g}, where single precision tells "
                f"only {spread / step:.0f} values apart: take the difference from {middle:.8g} instead, and "
                "add that inside the simulator."
            )


def _limits(support: Any) -> tuple[Any, Any]:
    while hasattr(support, "base_constraint"):
        support = support.base_constraint
    if isinstance(support, SIMPLEX):
        return 0.0, 1.0
    if isinstance(support, type(constraints.positive_ordered_vector)):
        return 0.0, np.inf
    if isinstance(support, type(constraints.l1_ball)):
        return -1.0, 1.0
    low = getattr(support, "lower_bound", -np.inf)
    high = getattr(support, "upper_bound", np.inf)
    return np.asarray(low, np.float32), np.asarray(high, np.float32)


def _describe(value: Any) -> Any:
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int | float | np.ndarray | np.generic | jax.Array):
        return _as_lists(np.asarray(value, np.float32))
    if isinstance(value, list | tuple):
        return [_describe(item) for item in value]
    if isinstance(value, dist.Distribution):
        return {"distribution": type(value).__name__, "settings": _settings(value)}
    if isinstance(value, Transform):
        return {"transform": type(value).__name__, "settings": [_describe(leaf) for leaf in jax.tree.leaves(value)]}
    return repr(value)


def _settings(distribution: dist.Distribution) -> dict:
    # Only what the constructor stored: attributes that are computed when first read may or may not be there yet.
    fields = {*type(distribution).gather_pytree_data_fields(), *distribution.arg_constraints}
    if "scale_tril" in fields:
        fields -= {"covariance_matrix", "precision_matrix"}
    # Private fields repeat the public ones, except where a class has no others (mixtures).
    fields = {field for field in fields if not field.startswith("_")} or fields
    stored = {field: distribution.__dict__.get(field) for field in sorted(fields)}
    return {field: _describe(value) for field, value in stored.items() if value is not None}


def _as_lists(value: Any) -> Any:
    if np.ndim(value):
        return [_as_lists(item) for item in value]
    # Through text, so that float32 0.1 reads 0.1; and JSON has no infinity.
    text = str(np.float32(value))
    return float(text) if np.isfinite(value) else text
