"""Cost forms as numbers: one function for each form.

How to add a form: a function registered with `export_form`, and a class in static that cost.js names in its list FORMS.
"""

from functools import singledispatch
from typing import Any

import jax.numpy as jnp
import numpy as np

from ..costs.corrected_spread import CorrectedSpread
from ..costs.emulated import EmulatedForm
from ..costs.error_of_values import ErrorOfValues
from ..costs.forms import CostForm, FunctionForm, HilbertForm, MarginalForm, NetworkForm
from ..costs.noise_on_scales import NoiseOnScales
from ..costs.spread_around_mean import Spread
from ..costs.spread_shares import SpreadShares
from ..learning import logistic_rule
from ..learning.distributions import LogisticMixture, TransformedMean
from ..learning.embeddings import Embedding, SetEmbedding, TimeSeriesEmbedding
from ..learning.mean_model import MeanModel
from .distances import export_features
from .numbers import NotExportable, double, single
from .regressions import (
    export_linear,
    export_mean,
    export_network,
    export_polynomial,
    export_regression,
    export_standardiser,
    members_of,
    of_member,
    only_member,
    shared,
)


@singledispatch
def export_form(form: CostForm, x_o: np.ndarray) -> dict[str, Any]:
    """A form as numbers.

    Args:
        form: of a fitted cost.
        x_o: the observation in the frame, for what can only be said of one observation.

    Raises:
        NotExportable: the page has no program for this form.
    """
    del x_o
    raise NotExportable(f"The cost is a {type(form).__name__}, for which the explorer has no program.")


@export_form.register
def _(form: FunctionForm, x_o: np.ndarray) -> dict[str, Any]:
    del form, x_o
    raise NotExportable("The cost is a function in Python, which a page cannot call.")


@export_form.register
def _(form: EmulatedForm, x_o: np.ndarray) -> dict[str, Any]:
    del x_o
    raise NotExportable(
        f"The cost calls the distance {form.distance.name!r}, a function in Python, which a page cannot call. A cost "
        "that is a network alone can be explored: fit_cost(..., method='general'), in problem.toml [fit] method = "
        '"general".'
    )


@export_form.register
def _(form: HilbertForm, x_o: np.ndarray) -> dict[str, Any]:
    features = export_features(form.distance, x_o.shape)
    if features is None:
        # The features of this one observation are numbers, whatever made them.
        known = jnp.asarray(x_o)
        numbers = double(form.distance.features(known))
        features = {"kind": "fixed", "features": numbers, "self_term": float(form.distance.self_term(known))}
    directions = form.directions
    return {
        "form": "features",
        "distance": features,
        "mean": export_mean(form.mean),
        "spread": _export_spread(form.spread),
        "least_spread": float(form.least_spread),
        "directions": None
        if directions is None
        else {"centre": double(directions.centre), "axes": single(directions.axes)},
        "shares": None if form.shares is None else _export_shares(form.shares),
    }


def _export_spread(spread: Spread) -> dict[str, Any]:
    if isinstance(spread, CorrectedSpread):
        terms = {"base": _export_spread(spread.base), "correction": export_mean(spread.correction)}
        return {"kind": "corrected spread", **terms}
    if isinstance(spread, NoiseOnScales):
        return _export_noise(spread)
    assert isinstance(spread, MeanModel)  # there is no other spread around a mean
    return export_mean(spread)


def _export_noise(noise: NoiseOnScales) -> dict[str, Any]:
    return {
        "kind": "noise on scales",
        "level": double(np.mean(np.asarray(noise.level, np.float64), axis=0)),
        "added": double(shared(noise.added, "what scales add")),
        "power": single(shared(noise.power, "powers of means")),
        "factor": export_mean(noise.factor),
        "members": single(noise.level),
    }


def _export_shares(shares: SpreadShares) -> dict[str, Any]:
    return {
        "standardise": export_standardiser(shares.standardise),
        "basis": export_polynomial(shares.basis),
        "intercept": double(shares.intercept),
        "slopes": single(shares.slopes),
    }


@export_form.register
def _(form: MarginalForm, x_o: np.ndarray) -> dict[str, Any]:
    del x_o
    growth = form.growth
    return {
        "form": "marginal",
        "members": [_export_mixture(form.distribution, member) for member in range(members_of(form.distribution))],
        "scale": double(np.reshape(form.scale, -1)),
        "weights": double(np.reshape(form.weights, -1)),
        "growth": double([float(part) for part in (growth.square, growth.knee, growth.slope, growth.cap)]),
        "error": None if form.error is None else _export_error(form.error),
        "nodes": double(logistic_rule.NODES),
        "node_weights": double(logistic_rule.WEIGHTS),
        "dilogarithm": double(logistic_rule.DILOGARITHM),
    }


def _export_error(error: ErrorOfValues) -> dict[str, Any]:
    return {"at": double(error.at), "sd": double(error.sd), "knots": error.at.shape[1]}


def _export_mixture(stacked: LogisticMixture, member: int) -> dict[str, Any]:
    mixture = of_member(stacked, member)
    return {
        "transform": {
            name: double(getattr(mixture.transform, name)) for name in ("centre", "width", "unit", "low", "high")
        },
        "location": _export_location(only_member(stacked.location, member)),
        "residual": double(mixture.residual),
        "spread": None
        if stacked.relative_spread is None
        else export_regression(only_member(stacked.relative_spread, member), each=False),
        "floor": double(mixture.floor),
        "network": export_network(mixture.network),
    }


def _export_location(location: MeanModel) -> dict[str, Any]:
    """One member's; whether its predictions are still to be transformed."""
    if isinstance(location, TransformedMean):
        return {"mean": export_mean(location.mean), "transformed": True}
    return {"mean": export_mean(location), "transformed": False}


@export_form.register
def _(form: NetworkForm, x_o: np.ndarray) -> dict[str, Any]:
    del x_o
    members = []
    for member in range(len(np.asarray(form.scale))):
        network = of_member(form.network, member)
        members.append(
            {
                "standardise": export_standardiser(of_member(form.standardise, member)),
                "embedding": _export_embedding(network.embedding),
                "network": export_network(network.network),
                "squares": export_linear(network.squares),
                "scale": float(np.asarray(form.scale)[member]),
            }
        )
    return {"form": "general", "members": members}


def _export_embedding(embedding: Embedding) -> dict[str, Any]:
    standardise = export_standardiser(embedding.standardise)
    if isinstance(embedding, SetEmbedding):
        return {"kind": "set", "standardise": standardise, "layers": [*map(export_linear, embedding.layers)]}
    if isinstance(embedding, TimeSeriesEmbedding):
        layers = [{"weight": single(layer.weight), "bias": single(layer.bias)} for layer in embedding.layers]
        return {"kind": "series", "standardise": standardise, "layers": layers, "stretches": embedding.stretches}
    return {"kind": "vector", "standardise": standardise}
