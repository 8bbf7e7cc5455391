"""Draws as ArviZ reads them: prior, log densities, the observation and new runs in the groups of its schema."""

import importlib
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import lazy_loader
import numpy as np

from ..runtime.named_values import Names
from ..sampling.draws import Draws
from ..sampling.draws_files import whole_numbers
from ..sampling.posterior import GibbsPosterior
from ..simulations.runs_elsewhere import plain_array

if TYPE_CHECKING:
    import xarray as xr
else:
    # Its import, with pandas, takes half a second.
    xr = lazy_loader.load("xarray")

_REMEDY = (
    'ArviZ is not installed: pip install "genbayes[arviz]". Without it, draws.to_datatree() is an xarray.DataTree.'
)


def to_arviz(
    draws: Draws,
    posterior: GibbsPosterior | None = None,
    *,
    posterior_predictive: Any = None,
    coords: Mapping[str, Any] | None = None,
    dims: Mapping[str, Sequence[str]] | None = None,
) -> Any:
    """Return draws as the installed ArviZ takes them: an InferenceData before ArviZ 1, an xarray.DataTree from then on.

    Groups: `posterior` has a variable for each parameter, `sample_stats` the `cost`, `observed_data` the observation by
    the names of the simulator's outputs, or as `x`; `constant_data` the known conditions, where there are any. With
    `posterior` also `prior` (as many draws as of the posterior), `log_prior`, and `lp` in `sample_stats`: the log
    density of the parameters in their own units, -beta cost + log prior (+ log probability that a run succeeds, where
    that is part of the posterior), without its constant. A Gibbs posterior has no likelihood: there is no group
    `log_likelihood`, and ArviZ's `loo` refuses.

    Args:
        draws: of one posterior; of a stack, `stacked.draws(i, j)`.
        posterior: that the draws are of.
        posterior_predictive: outputs of new runs at draws (k, *x_shape), such as `gb.check_predictive(...).x`.
        coords: labels of dimensions, such as {"day": dates}, as in ArviZ's own `from_dict`.
        dims: names of the dimensions of variables, such as {"x": ["day"]} or {"mu": ["species"]}. Others are called
            `x_dim_0`, ..., and numbered.

    Raises:
        ImportError: ArviZ is not installed.
        TypeError: draws or posterior are something else.
        ValueError: the posterior is another one, outputs have another shape than the observation, or coords or dims do
            not fit.

    Example:
        >>> import arviz as az
        >>> az.summary(gb.to_arviz(draws, posterior))
    """
    groups = arviz_groups(draws, posterior, posterior_predictive, coords, dims)
    try:
        with warnings.catch_warnings():
            # Before 1.0 ArviZ announces at its first import that 1.0 will differ.
            warnings.simplefilter("ignore", FutureWarning)
            arviz = importlib.import_module("arviz")
    except ImportError as error:
        raise ImportError(_REMEDY) from error
    tree = xr.DataTree.from_dict(groups)
    # From 1.0 on ArviZ takes trees, and has left the name InferenceData to them.
    return arviz.InferenceData.from_datatree(tree) if arviz.__version__.startswith("0.") else tree


def arviz_groups(
    draws: Any,
    posterior: Any,
    posterior_predictive: Any,
    coords: Mapping[str, Any] | None,
    dims: Mapping[str, Sequence[str]] | None,
) -> "dict[str, xr.Dataset]":
    """The groups that `to_arviz` gives, by name."""
    if not isinstance(draws, Draws):
        raise TypeError(
            f"draws must be genbayes.Draws, got {type(draws).__name__}. Of a stack take one: stacked.draws(i, j)."
        )
    _check_posterior(draws, posterior)
    layout = _Layout(coords or {}, dims or {})
    outputs = None if posterior is None else posterior.cost.outputs
    stats = {"cost": draws.cost}
    groups = {"posterior": layout.dataset(_parameters(draws.theta, draws), ("chain", "draw"))}
    if posterior is not None:
        sampled = np.asarray(posterior.prior.sample(len(draws), seed=draws.seed)).reshape(draws.theta.shape)
        stats["lp"] = np.asarray(posterior.log_density(draws.theta))
        groups["prior"] = layout.dataset(_parameters(sampled, draws), ("chain", "draw"))
        log_prior = {"log_prior": np.asarray(posterior.prior.log_density(draws.theta))}
        groups["log_prior"] = layout.dataset(log_prior, ("chain", "draw"))
    groups["sample_stats"] = layout.dataset(stats, ("chain", "draw"))
    groups["observed_data"] = layout.dataset(_outputs(draws.x_o, outputs), ())
    if posterior_predictive is not None:
        runs = plain_array(posterior_predictive, np.float64)
        if runs.ndim < 1 or runs.shape[1:] != draws.x_o.shape:
            raise ValueError(
                f"posterior_predictive has shape {runs.shape}, expected (k, {', '.join(map(str, draws.x_o.shape))}): "
                "one output of the simulator for each draw that was run, as in gb.check_predictive(...).x."
            )
        groups["posterior_predictive"] = layout.dataset(_outputs(runs[None], outputs), ("chain", "draw"))
    if draws.conditions:
        known = {name: np.asarray(value) for name, value in draws.conditions.items()}
        groups["constant_data"] = layout.dataset(known, ())
    layout.check_all_used()
    for group in groups.values():
        group.attrs |= {"inference_library": "genbayes", "beta": draws.beta}
    return groups


class _Layout:
    """Names and labels of dimensions as the user wants them; remembers which were of use."""

    def __init__(self, coords: Mapping[str, Any], dims: Mapping[str, Sequence[str]]):
        self._coords = dict(coords)
        self._dims = {name: [value] if isinstance(value, str) else list(value) for name, value in dims.items()}
        self._variables: set[str] = set()
        self._used: set[str] = set()

    def dataset(self, variables: Mapping[str, np.ndarray], leading: tuple[str, ...]) -> "xr.Dataset":
        """Variables (*leading, ...) with named dimensions."""
        arrays, labels = {}, {}
        for name, values in variables.items():
            own = values.shape[len(leading) :]
            axes = self._dims.get(name, [f"{name}_dim_{i}" for i in range(len(own))])
            if len(axes) != len(own):
                raise ValueError(f"dims: {name!r} has the shape {own} and needs {len(own)} names, got {axes}.")
            for axis, size in zip((*leading, *axes), values.shape, strict=True):
                labels[axis] = self._labels(axis, size)
            self._variables.add(name)
            arrays[name] = ((*leading, *axes), values)
        return xr.Dataset(arrays, labels)

    def _labels(self, axis: str, size: int) -> Any:
        self._used.add(axis)
        found = self._coords.get(axis) if axis not in ("chain", "draw") else None
        if found is None:
            return np.arange(size)
        if len(found) != size:
            raise ValueError(f"coords: {axis!r} has {len(found)} labels, expected {size}.")
        return np.asarray(found)

    def check_all_used(self) -> None:
        """Raise ValueError for a name that is none of a variable's or a dimension's."""
        for argument, given, known in (("dims", self._dims, self._variables), ("coords", self._coords, self._used)):
            if unknown := sorted(set(given) - known):
                raise ValueError(f"{argument} has {unknown}, which is none of {sorted(known)}.")


def _check_posterior(draws: Draws, posterior: Any) -> None:
    if posterior is None:
        return
    if not isinstance(posterior, GibbsPosterior):
        raise TypeError(f"posterior must be a genbayes.GibbsPosterior, got {type(posterior).__name__}.")
    same = posterior.prior.names == draws.names and np.isclose(posterior.beta, draws.beta)
    if not same or not np.array_equal(posterior.x_o, draws.x_o, equal_nan=True):
        raise ValueError(
            f"the draws (of {', '.join(draws.names)} at beta {draws.beta:g}) are not of posterior ({posterior!r}), or "
            "of another observation: give the posterior that they were sampled from."
        )


def _parameters(theta: np.ndarray, draws: Draws) -> dict[str, np.ndarray]:
    """Draws (chain, draw, dim) by the names of parameters, vectors whole."""
    found = Names.of_coordinates(draws.names).fields(theta)
    return {name: whole_numbers(values) if _is_integer(name, draws) else values for name, values in found.items()}


def _is_integer(name: str, draws: Draws) -> bool:
    return name in draws.integer_names or f"{name}[0]" in draws.integer_names


def _outputs(x: np.ndarray, outputs: Names | None) -> dict[str, np.ndarray]:
    """Outputs by the names of their values, or as one."""
    return {"x": x} if outputs is None else outputs.fields(x)
