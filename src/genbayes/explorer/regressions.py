"""Standardisers, polynomials, networks and their sums as numbers."""

from typing import Any

import jax
import numpy as np

from ..learning.corrected_mean import CorrectedMean
from ..learning.layers import Linear, ResidualMLP, Standardiser
from ..learning.mean_model import MeanModel
from ..learning.polynomial import Polynomial
from ..learning.process_means import ProcessMean
from ..learning.ridge import RidgeResidual
from ..learning.success import SuccessModel
from .numbers import NotExportable, double, single


def of_member(module: Any, member: int) -> Any:
    """One member of modules that have the members as the leading axis of every array."""
    return jax.tree.map(lambda leaf: np.asarray(leaf)[member], module)


def only_member(module: Any, member: int) -> Any:
    """The modules with one member alone along their leading axis."""
    return jax.tree.map(lambda leaf: np.asarray(leaf)[member : member + 1], module)


def members_of(module: Any) -> int:
    """How many members a module has."""
    return len(jax.tree.leaves(module)[0])


def shared(module: Any, what: str) -> Any:
    """What all members have alike.

    Raises:
        NotExportable: they differ.
    """
    for leaf in map(np.asarray, jax.tree.leaves(module)):
        if not np.array_equal(leaf, np.broadcast_to(leaf[:1], leaf.shape), equal_nan=True):
            raise NotExportable(f"The members of the ensemble have {what} of their own, which the explorer cannot mix.")
    return of_member(module, 0)


def export_standardiser(standardise: Standardiser) -> dict[str, Any]:
    """z(theta) of one member."""
    indicators = standardise.indicators
    return {
        "mean": double(standardise.mean),
        "std": double(standardise.std),
        "logarithmic": single(standardise.logarithmic),
        "indicators": None
        if indicators is None
        else {
            "low": double(indicators.low),
            "high": double(indicators.high),
            "mean": double(indicators.mean),
            "std": double(indicators.std),
            "column": list(indicators.column),
        },
    }


def export_polynomial(basis: Polynomial) -> dict[str, Any]:
    """Products of Legendre polynomials of one member: the degree of every coordinate in every product."""
    degrees = np.argmax(np.asarray(basis.chosen), axis=1).T if basis.chosen.shape[2] else np.zeros((0, 0))
    if basis.straight is not None:
        degrees = np.where(np.asarray(basis.straight).T > 0, -1, degrees)
    return {
        "centre": double(basis.centre),
        "half_width": double(basis.half_width),
        "bent": single(basis.bent),
        # For every product its factors, as (coordinate, degree) one behind the other; -1 is the coordinate itself.
        "products": [[int(n) for j in np.flatnonzero(row) for n in (j, row[j])] for row in degrees],
    }


def export_linear(linear: Linear) -> dict[str, Any]:
    """The affine map weight @ value + bias of one member."""
    return {"weight": single(linear.weight), "bias": single(linear.bias)}


def export_network(network: ResidualMLP) -> dict[str, Any]:
    """A network of one member."""
    return {
        "first": export_linear(network.first),
        "blocks": [[export_linear(inner), export_linear(outer)] for inner, outer in network.blocks],
        "last": export_linear(network.last),
        "smooth": network.smooth,
    }


def export_mean(ensemble: MeanModel) -> dict[str, Any]:
    """The regression of means, or of a spread, whatever its kind."""
    if isinstance(ensemble, RidgeResidual):
        return export_regression(ensemble)
    if isinstance(ensemble, ProcessMean):
        return _export_process(ensemble)
    if isinstance(ensemble, CorrectedMean):
        terms = {name: export_mean(getattr(ensemble, name)) for name in ("base", "correction")}
        return {"kind": "sum", **terms}
    raise NotExportable(f"The mean is a {type(ensemble).__name__}, for which the page has no program.")


def _export_process(ensemble: ProcessMean) -> dict[str, Any]:
    """What all members of a process share, the mean of what they do not, and each member's own."""
    own = {name: getattr(ensemble, name) for name in ("intercept", "slopes", "weights")}
    warps = shared(ensemble.warps, "scales of outputs")
    return {
        "kind": "process",
        "standardise": export_standardiser(shared(ensemble.standardise, "standardised parameters")),
        **{name: double(shared(getattr(ensemble, name), name)) for name in ("centres", "lengths", "middle", "axes")},
        **{name: double(np.mean(np.asarray(values, np.float64), axis=0)) for name, values in own.items()},
        "members": {name: single(values) for name, values in own.items()},
        "warps": {
            "kinds": single(warps.kind),
            **{name: double(getattr(warps, name)) for name in ("added", "level", "least", "most")},
        },
    }


def export_regression(ensemble: RidgeResidual, *, each: bool = True) -> dict[str, Any]:
    """The regression of an ensemble: what is mixed into one prediction, and each member's own coefficients.

    Args:
        ensemble: stacked members, or one.
        each: whether a page asks for the predictions of single members.
    """
    networks = []
    if ensemble.network is not None:
        for member in range(members_of(ensemble)):
            own = export_network(of_member(ensemble.network, member))
            networks.append({"network": own, "scale": single(np.asarray(ensemble.scale)[member])})
    links = {} if ensemble.log_link is None else _export_link(ensemble.log_link, ensemble.log_most)
    return {
        "standardise": export_standardiser(shared(ensemble.standardise, "standardised parameters")),
        "basis": export_polynomial(shared(ensemble.basis, "polynomials")),
        "intercept": double(np.mean(np.asarray(ensemble.intercept, np.float64), axis=0)),
        "slopes": double(np.mean(np.asarray(ensemble.slopes, np.float64), axis=0))
        if np.size(ensemble.slopes) < 2000
        else single(np.mean(np.asarray(ensemble.slopes, np.float64), axis=0)),
        "networks": networks,
        **({"members": {name: single(getattr(ensemble, name)) for name in ("intercept", "slopes")}} if each else {}),
        **links,
    }


def _export_link(log_link: Any, log_most: Any) -> dict[str, Any]:
    """Which outputs of all members have a log link, and how large the exponent may be."""
    most = np.full(np.shape(log_link), 80.0) if log_most is None else np.minimum(np.asarray(log_most), 80.0)
    return {"log_link": single(shared(log_link, "links")), "log_most": double(np.mean(most, axis=0))}


def export_success(success: SuccessModel) -> dict[str, Any]:
    """The log odds of success as a regression of one output."""
    networks = []
    if success.network is not None:
        for member in range(members_of(success.network)):
            own = export_network(of_member(success.network, member))
            networks.append({"network": own, "scale": single(np.ones(1))})
    return {
        "standardise": export_standardiser(success.standardise),
        "basis": export_polynomial(success.basis),
        "intercept": double(np.mean(np.asarray(success.intercept, np.float64), axis=0)[None]),
        "slopes": double(np.mean(np.asarray(success.slopes, np.float64), axis=0)[None]),
        "networks": networks,
    }
