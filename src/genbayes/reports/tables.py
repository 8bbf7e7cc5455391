"""The tables of a report: parameters, cost, settings, time, software."""

import html
import platform
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..checks.predictive import PredictiveCheck
from ..costs.cost import Cost
from ..costs.failing_runs import failures_told
from ..costs.records import units_of
from ..distances import AdditiveDistance, Distance
from ..distances.additive import CoordinateDistance
from ..distances.base import short_text
from ..priors.prior import Prior
from ..priors.wording import distribution_text
from ..runtime.formatting import number
from ..runtime.release import version
from ..runtime.statistics import mean_and_error
from ..sampling.draws import Draws
from ..sampling.posterior import GibbsPosterior
from ..simulations.rows import Simulations
from .markup import table

# Values of an integer parameter that are listed, those of greatest probability.
MOST_VALUES = 12
PACKAGES = ("genbayes", "jax", "equinox", "optax", "blackjax", "numpyro", "numpy")


def parameters_table(prior: Prior, draws: Draws) -> str:
    """Quantiles of posterior and prior, and the sampler's convergence, per parameter."""
    quantiles = np.quantile(np.asarray(draws.flat, float), [0.05, 0.5, 0.95], axis=0)
    before = np.quantile(np.asarray(prior.sample(20_000, seed=0), float), [0.05, 0.95], axis=0)
    known = draws.left_open is not None
    header = ("parameter", "5 %", "median", "95 %", *["± fit"] * known, "prior 5 %", "prior 95 %", "R-hat", "ESS")
    rows = [
        (
            name,
            *map(float, quantiles[:, j]),
            *[f"{draws.fit_errors[j]:.2g}"] * known,
            *map(float, before[:, j]),
            f"{draws.rhat[j]:.3f}",
            f"{draws.ess_bulk[j]:,.0f}",
        )
        for j, name in enumerate(draws.names)
    ]
    note = '<p class="muted">Central 90 % of posterior and prior. '
    if known:
        note += "± fit: standard error of the posterior mean that more simulations would make smaller. "
    note += "R-hat below 1.01 and a large effective sample size (ESS, 400 or more) mean that the numbers would not "
    return table(header, rows) + note + "change with more draws.</p>" + _integers_table(prior, draws)


def _integers_table(prior: Prior, draws: Draws) -> str:
    """The probabilities of the values of integer parameters, those that are drawn at all."""
    rows = []
    for name in draws.integer_names:
        j = draws.names.index(name)
        values = np.asarray(prior.levels[j])
        alone = np.tile(np.asarray(draws.flat[:1], np.float32), (len(values), 1))
        alone[:, j] = values
        # The other parameters' densities are the same in all rows.
        log_mass = np.asarray(prior.log_density(alone), np.float64)
        before = dict(zip(values.tolist(), np.exp(log_mass - np.logaddexp.reduce(log_mass)), strict=True))
        shares, errors = draws.probabilities(name), draws.probability_errors(name)
        chosen = sorted(sorted(shares, key=lambda value, shares=shares: -shares[value])[:MOST_VALUES])
        rows += [(name, str(k), f"{shares[k]:.3g}", number(errors[k], 1), f"{before.get(k, 0.0):.3g}") for k in chosen]
    header = ("integer parameter", "value", "posterior probability", "standard error", "prior probability")
    return table(header, rows) if rows else ""


def costs_table(cost: Cost, draws: Draws, predictive: PredictiveCheck | None) -> str:
    """Predicted and re-simulated cost with standard errors."""
    rows = [("lowest predicted cost of a draw", float(np.min(draws.cost)), "-")]
    names = {
        "predicted": "predicted cost at the draws",
        "simulated": "distance of one new run at each draw to the observation",
        "replicate": "distance of two runs at the same draw (the simulator's own noise)",
    }
    if predictive is None:
        rows.append((names["predicted"] + ", mean", float(np.mean(draws.cost)), "-"))
    else:
        for key, name in names.items():
            values = np.asarray(getattr(predictive, key), float)
            mean, error = mean_and_error(values)
            rows.append((f"{name}, mean of {np.isfinite(values).sum():,}", mean, number(error, 2)))
    units = units_of(cost)
    note = f'<p class="muted">Units: {html.escape(units)}.</p>' if units else ""
    return table(("quantity", "value", "standard error"), rows) + note


def settings_table(
    posterior: GibbsPosterior, draws: Draws, simulations: Simulations | None, extra: Mapping[str, Any]
) -> str:
    """Everything needed to run it again.

    Args:
        posterior: that was sampled.
        draws: its draws.
        simulations: of the training.
        extra: further settings, name -> value.
    """
    rows = [
        *_simulation_settings(simulations),
        ("observation", f"shape {posterior.observation_told}"),
        *_known_settings(posterior),
        ("distance", f"{posterior.cost.distance.name} (units: {units_of(posterior.cost) or 'not stated'})"),
        *_distance_settings(posterior.cost.distance),
        ("failing runs", failures_told(posterior.cost)),
        *_network_settings(posterior.cost),
        ("beta (inverse temperature)", f"{float(draws.beta):g}"),
        ("sampler", draws.sampler),
        ("sampling seed", draws.seed),
        ("chains × draws", " × ".join(map(str, draws.theta.shape[:2]))),
        *_sampler_statistics(draws),
        *_fit_settings(posterior.cost.settings),
        *extra.items(),
    ]
    prior = [(item["name"], *distribution_text(item)) for item in posterior.prior.describe()]
    head = "<h3>Prior</h3>\n" + table(("parameter", "distribution", "arguments"), prior)
    return table(("setting", "value"), [(key, str(value)) for key, value in rows]) + head


def _simulation_settings(simulations: Simulations | None) -> list[tuple[str, str]]:
    if simulations is None:
        return []
    counts = simulations.counts
    told = f"{counts.rows:,} (seed {simulations.seed}), {counts.failed:,} failed"
    if simulations.sampled_from is not None:
        told += f"; what is shown of them is of {len(simulations):,}"
    return [("simulator", simulations.simulator or "not recorded"), ("simulations", told)]


def _known_settings(posterior: GibbsPosterior) -> list[tuple[str, str]]:
    """The known conditions of the observation, and the parameters that are held at values."""
    held = posterior.held
    own = {name: value for name, value in posterior.conditions.items() if name not in held}
    titles = {"known conditions": own, "parameters held at values": held}
    return [
        (title, ", ".join(f"{name} = {value:g}" for name, value in values.items()))
        for title, values in titles.items()
        if values
    ]


def _distance_settings(distance: Distance) -> list[tuple[str, str]]:
    """What a distance does to outputs, and takes from the simulations, before it compares them."""
    if not isinstance(distance, CoordinateDistance):
        return []
    rows = [] if distance.transform is None else [("transform of outputs and observation", distance.transform)]
    if distance.scale_rule != "given":
        numbers = f": {short_text(distance.scale)}" if isinstance(distance, AdditiveDistance) else ""
        rows.append(("scale of outputs, by rule", f"{distance.scale_rule}{numbers}"))
    return rows


def _network_settings(cost: Cost) -> list[tuple[str, str]]:
    """Number, loss and kept epoch of the networks of each part of the cost."""
    rows = []
    for record in cost.fit:
        losses, epochs = np.atleast_2d(record.validation_loss), np.atleast_1d(record.best_epoch)
        best = ", ".join(
            f"{number(float(row[int(epoch)]), 4)} (epoch {int(epoch)})"
            for row, epoch in zip(losses, epochs, strict=True)
        )
        text = f"{len(losses)} fitted; validation {record.loss_name}: {best}"
        rows.append((f"network {record.name}".strip(), text))
    return rows


def _sampler_statistics(draws: Draws) -> list[tuple[str, str]]:
    scalars = {key: value for key, value in draws.statistics.items() if np.ndim(value) == 0}
    return [(key.replace("_", " "), number(float(value), 4)) for key, value in scalars.items()]


def _fit_settings(settings: Mapping[str, Any]) -> list[tuple[str, str]]:
    """How the cost was fitted, one line a setting; what the page says elsewhere (the prior, the simulator) left out."""
    known = {"seed": "fitting seed", "form": "form of the cost", "method": "method", "embedding": "embedding"}
    rows = [(name, str(settings[key])) for key, name in known.items() if settings.get(key) not in (None, "auto")]
    for name, places in settings.get("steps", {}).items():
        rows.append((f"outputs jump along {name} at", ", ".join(number(place, 4) for place in places)))
    config = settings.get("config", {})
    return rows + [(f"fit: {key.replace('_', ' ')}", str(value)) for key, value in config.items()]


def seconds_table(cost: Cost, draws: Draws, simulations: Simulations | None, extra: Mapping[str, float]) -> str:
    """Seconds per stage, compile and run time apart; `extra` are further stages, name -> seconds."""
    rows = [] if simulations is None else [("simulating", float(simulations.seconds))]
    for record in cost.fit:
        rows += [(f"fit {record.name}".strip() + f": {key}", float(value)) for key, value in record.seconds.items()]
    rows += [(f"sampling: {key}", float(value)) for key, value in draws.seconds.items()]
    rows += [(key, float(value)) for key, value in extra.items()]
    return table(("stage", "seconds"), rows)


def versions_table() -> str:
    """Python and the packages that computed the numbers."""
    rows = [("Python", f"{platform.python_version()} on {platform.system()} {platform.machine()}")]
    return table(("package", "version"), rows + [(package, version(package)) for package in PACKAGES])
