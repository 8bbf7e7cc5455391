"""One self-contained HTML page of a run: verdict, numbers, pictures, settings, versions, how to cite."""

from __future__ import annotations

import datetime
import html
import os
import platform
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import plots
from ..checks.evidence import Evidence
from ..checks.finding import Finding, headline, ordered
from ..checks.findings import findings
from ..costs.records import fit_records, units_of
from ..plots.predictions import MOST_COORDINATES
from ..runtime.formatting import number
from ..runtime.release import version
from ..sampling.draws import Draws
from ..sampling.draws_origin import need_own_draws
from ..sampling.posterior import GibbsPosterior
from .citations import bibtex
from .markup import Section, picture, section, table

if TYPE_CHECKING:
    import matplotlib.figure

PACKAGES = ("genbayes", "jax", "equinox", "optax", "blackjax", "numpyro", "numpy")
MOST_PAIRED = 12

CAPTIONS = {
    "pair": "What the observation says about the parameters: a tilted contour means that two of them trade off; "
    "the smaller blue is against grey, the more was learnt.",
    "predictive": "The observation (black) should lie inside the re-simulated outputs (blue); where it does not, the "
    "simulator misses that part of the data.",
    "accuracy": "The means (vermillion) should lie on the line: then the network's cost is right at the draws. Means "
    "near the dashed line are as close as the simulator's own noise allows.",
    "profiles": "A steep valley is a well-determined parameter, a flat line one that the data do not determine.",
    "training": "Validation (blue) should level off; a large gap above training (grey) means too few simulations.",
    "ladder": "The way from prior to posterior: the acceptance rate should end above 0.3, or draws are "
    "copies of one another.",
}


def report(
    path: str | os.PathLike,
    posterior: Any,
    draws: Any,
    *,
    check: Any = None,
    simulations: Any = None,
    title: str | None = None,
    figures: Mapping[str, matplotlib.figure.Figure] | None = None,
    settings: Mapping[str, Any] | None = None,
    seconds: Mapping[str, float] | None = None,
    warnings: Iterable[str] = (),
    axis: Any = None,
    labels: Any = None,
    kind: str | None = None,
    sections: Iterable[Section] = (),
) -> Path:
    """Writes one HTML page about a run that needs nothing else: no network, no further files.

    Args:
        path: File to write; its folder is made if missing.
        posterior: The `GibbsPosterior` that was sampled.
        draws: Its `Draws`.
        check: The `PredictiveCheck` of the draws; without it the page says that the cost was not checked.
        simulations: The `Simulations` of the training, for failures and the prior's outputs.
        title: Heading of the page.
        figures: Further pictures, caption -> matplotlib Figure; they come first.
        settings: Further settings to record, name -> value.
        seconds: Further stages, name -> seconds.
        warnings: Further points that need care, as plain text.
        axis: Times of a series, or (times, label), as in `plots.predictive`.
        labels: Names with units of the output's coordinates or channels, as in `plots.predictive`.
        kind: Kind of output, as in `plots.predictive`.
        sections: Further parts, shown between the pictures and the settings.

    Returns:
        The path written.

    Raises:
        ImportError: If matplotlib is not installed.
        ValueError: If the draws are not the posterior's.

    Example:
        >>> check = gb.check_predictive(simulator, posterior, draws, seed=3)
        >>> gb.report("run.html", posterior, draws, check=check, simulations=simulations)
    """
    if isinstance(posterior, GibbsPosterior) and isinstance(draws, Draws):
        need_own_draws(posterior, draws)
    sections = list(sections)
    title = title or "Generalized Bayesian inference"
    found = findings(Evidence(posterior, draws, check, simulations, kind, labels), warnings)
    found = ordered([*_of_sections(found, sections), *found])
    if check is not None and not _can_show(posterior.x_o):
        text = f"Outputs of shape {np.shape(posterior.x_o)} are not shown; pass a picture of them: report(figures=...)."
        found.append(Finding("note", text))
    x_prior = None if simulations is None else _prior_outputs(simulations, np.shape(posterior.x_o))
    predictive = {"axis": axis, "labels": labels, "kind": kind, "prior_x": x_prior}
    pictures = [*dict(figures or {}).items(), *_pictures(posterior, draws, check, predictive)]
    body = [
        section("Parameters", _parameters(posterior.prior, draws)),
        section("Cost", _costs(posterior, draws, check)),
        section("Pictures", "\n".join(picture(*item) for item in pictures)),
        *(section(part.title, part.body) for part in sections),
        section("Settings", _settings(posterior, draws, simulations, settings)),
        section("Time", table(("stage", "seconds"), _seconds(posterior.cost, draws, simulations, seconds))),
        section("Software", table(("package", "version"), _versions())),
        section("How to cite", f"<p>What this run used:</p>\n<pre>{html.escape(bibtex(posterior, draws))}</pre>"),
    ]
    subtitle = f"{draws.flat.shape[0]:,} draws of {len(draws.names)} parameters, beta {float(draws.beta):g}, "
    subtitle += f"sampler {draws.sampler}."
    return page(path, title, subtitle, found, body)


def page(path: str | os.PathLike, title: str, subtitle: str, found: list[Finding], body: Iterable[str]) -> Path:
    """Writes a page of a verdict and, below it, HTML."""
    subtitle += f" Written by genbayes {version('genbayes')} on {datetime.date.today()}."
    template = Template(resources.files("genbayes.reports").joinpath("template.html").read_text("utf-8"))
    content = "\n".join([_verdict(found), *body])
    text = template.substitute(title=html.escape(title), subtitle=html.escape(subtitle), body=content)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    return path


def _of_sections(found: list[Finding], sections: list[Section]) -> list[Finding]:
    """The verdicts of sections that are worse than that of the findings, such as a coverage that was stored."""
    rank = {"ok": 0, "care": 1, "bad": 2}
    sentences = {"care": "needs care", "bad": "says not to rely on this result"}
    level, _ = headline(found)
    return [
        Finding(part.level, f"{part.title}: the section below {sentences[part.level]}.", check=part.title.lower())
        for part in sections
        if rank[part.level] > rank[level]
    ]


def _verdict(found: list) -> str:
    """The box on top."""
    level, sentence = headline(found)
    words = {"ok": "Fine", "note": "Note", "care": "Take care", "bad": "Problem"}
    items = "\n".join(
        f'<li class="{f.level}"><span class="tag">{words[f.level]}</span> {html.escape(f.full)}</li>' for f in found
    )
    return f'<section class="verdict {level}">\n<h2>{html.escape(sentence)}</h2>\n<ul>\n{items}\n</ul>\n</section>'


def _parameters(prior: Any, draws: Any) -> str:
    """Quantiles of posterior and prior, and the sampler's convergence, per parameter."""
    quantiles = np.quantile(np.asarray(draws.flat, float), [0.05, 0.5, 0.95], axis=0)
    before = np.quantile(np.asarray(prior.sample(20_000, seed=0), float), [0.05, 0.95], axis=0)
    header = ("parameter", "5 %", "median", "95 %", "prior 5 %", "prior 95 %", "R-hat", "ESS")
    rhat, ess = (np.asarray(values, float) for values in (draws.rhat, draws.ess_bulk))
    rows = [
        (name, *map(float, quantiles[:, j]), *map(float, before[:, j]), f"{rhat[j]:.3f}", f"{ess[j]:,.0f}")
        for j, name in enumerate(draws.names)
    ]
    note = '<p class="muted">Central 90 % of posterior and prior. R-hat below 1.01 and a large effective sample size '
    return table(header, rows) + note + "(ESS, 400 or more) mean that the numbers would not change with more draws.</p>"


def _costs(posterior: Any, draws: Any, check: Any) -> str:
    """Predicted and re-simulated cost with standard errors."""
    rows = [("lowest predicted cost of a draw", float(np.min(draws.cost)), "-")]
    names = {
        "predicted": "predicted cost at the draws",
        "simulated": "distance of one new run at each draw to the observation",
        "replicate": "distance of two runs at the same draw (the simulator's own noise)",
    }
    if check is None:
        rows.append((names["predicted"] + ", mean", float(np.mean(draws.cost)), "-"))
    else:
        for key, name in names.items():
            values = np.asarray(getattr(check, key), float)
            values = values[np.isfinite(values)]
            error = float(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else float("nan")
            rows.append((f"{name}, mean of {len(values):,}", float(np.mean(values)), number(error, 2)))
    units = units_of(posterior.cost)
    note = f'<p class="muted">Units: {html.escape(str(units))}.</p>' if units else ""
    return table(("quantity", "value", "standard error"), rows) + note


def _prior_outputs(simulations: Any, x_shape: tuple) -> np.ndarray | None:
    """At most 1,000 successful outputs at prior draws, if they have the observation's shape."""
    x = np.asarray(simulations.x)[np.asarray(simulations.ok) & (np.asarray(simulations.origin) == 0)][:1000]
    return x if len(x) and x.shape[1:] == x_shape else None


def _can_show(x_o: Any) -> bool:
    """Whether `plots.predictive` has a picture for observations of this shape."""
    shape = np.shape(x_o)
    return len(shape) < 2 or (len(shape) == 2 and shape[1] <= MOST_COORDINATES)


def _pictures(posterior: Any, draws: Any, check: Any, predictive: dict) -> list[tuple[str, Any]]:
    """The pictures that this run allows, each with the caption that says how to read it."""
    names, note = None, ""
    if len(draws.names) > MOST_PAIRED:
        before = np.std(posterior.prior.sample(4000, seed=0), axis=0)
        learnt = np.argsort(np.std(draws.flat, axis=0) / before)[:MOST_PAIRED]
        names = [draws.names[j] for j in sorted(learnt)]
        note = f" Shown: the {MOST_PAIRED} best-determined of {len(draws.names)} parameters."
    result = [(CAPTIONS["pair"] + note, plots.pair(draws, posterior.prior, parameters=names))]
    if check is not None:
        units = units_of(posterior.cost)
        if _can_show(posterior.x_o):
            result.append((CAPTIONS["predictive"], plots.predictive(check, posterior.x_o, **predictive)))
        accuracy = plots.cost_accuracy(check.predicted, check.simulated, check.replicate, units=units)
        result.append((CAPTIONS["accuracy"], accuracy))
    result.append((CAPTIONS["profiles"], plots.cost_profiles(posterior, draws)))
    if fit_records(posterior.cost):
        result.append((CAPTIONS["training"], plots.training(posterior.cost)))
    if "beta_ladder" in draws.statistics:
        result.append((CAPTIONS["ladder"], plots.ladder(draws)))
    return result


def _settings(posterior: Any, draws: Any, simulations: Any, extra: Mapping[str, Any] | None) -> str:
    """Everything needed to run it again."""
    distance = getattr(posterior.cost, "distance", None)
    rows: list[tuple[str, Any]] = []
    if simulations is not None:
        rows += [
            ("simulator", simulations.simulator or "not recorded"),
            (
                "simulations",
                f"{len(simulations.theta):,} (seed {simulations.seed}), {int(simulations.n_failed):,} failed",
            ),
        ]
    units = units_of(posterior.cost) or "not stated"
    rows += [
        ("observation", f"shape {np.shape(posterior.x_o)}"),
        (
            "distance",
            f"{getattr(distance, 'name', 'unknown')} (units: {units})",
        ),
    ]
    for record in fit_records(posterior.cost):
        losses, epochs = np.atleast_2d(record.validation_loss), np.atleast_1d(record.best_epoch)
        best = ", ".join(
            f"{number(float(row[int(e)]), 4)} (epoch {int(e)})" for row, e in zip(losses, epochs, strict=True)
        )
        rows.append(
            (
                f"network {getattr(record, 'name', '')}".strip(),
                f"{len(losses)} fitted; validation {record.loss_name}: {best}",
            )
        )
    rows += [("beta (inverse temperature)", f"{float(draws.beta):g}")]
    rows += [
        ("sampler", draws.sampler),
        ("sampling seed", draws.seed),
        ("chains × draws", " × ".join(map(str, draws.theta.shape[:2]))),
    ]
    scalars = {key: value for key, value in draws.statistics.items() if np.ndim(value) == 0}
    rows += [(key.replace("_", " "), number(float(value), 4)) for key, value in scalars.items()]
    rows += [*_fit_settings(getattr(posterior.cost, "settings", {})), *(extra or {}).items()]
    prior = [(item["name"], *_distribution(item)) for item in posterior.prior.describe()]
    head = "<h3>Prior</h3>\n" + table(("parameter", "distribution", "arguments"), prior)
    return table(("setting", "value"), [(key, str(value)) for key, value in rows]) + head


def _fit_settings(settings: Mapping[str, Any]) -> list[tuple[str, str]]:
    """How the cost was fitted, one line a setting; what the page says elsewhere (the prior, the simulator) left out."""
    known = {"seed": "fitting seed", "form": "form of the cost", "method": "method", "embedding": "embedding"}
    rows = [(name, str(settings[key])) for key, name in known.items() if settings.get(key) not in (None, "auto")]
    config = settings.get("config", {})
    return rows + [(f"fit: {key.replace('_', ' ')}", str(value)) for key, value in config.items()]


def _distribution(item: Mapping[str, Any]) -> tuple[str, str]:
    """The name and the arguments of one distribution of `Prior.describe()` as text."""
    settings = dict(item.get("settings", {}))
    inner = settings.pop("base_dist", None)
    settings.pop("transforms", None)
    if inner and not settings:  # such as Independent: the distribution inside says it all
        return _distribution(inner)
    parts = []
    for key, value in settings.items():
        array = np.asarray(value)
        numeric = np.issubdtype(array.dtype, np.number) and array.size <= 12
        parts.append(f"{key} = {', '.join(f'{v:.4g}' for v in array.ravel()) if numeric else value}")
    return str(item["distribution"]), "; ".join(parts)


def _seconds(cost: Any, draws: Any, simulations: Any, extra: Mapping[str, float] | None) -> list[tuple[str, float]]:
    """Seconds per stage, compile and run time apart."""
    rows = [] if simulations is None else [("simulating", float(simulations.seconds))]
    for record in fit_records(cost):
        name = f"fit {getattr(record, 'name', '')}".strip()
        rows += [(f"{name}: {key}", float(value)) for key, value in record.seconds.items()]
    rows += [(f"sampling: {key}", float(value)) for key, value in draws.seconds.items()]
    return rows + [(key, float(value)) for key, value in (extra or {}).items()]


def _versions() -> list[tuple[str, str]]:
    rows = [("Python", f"{platform.python_version()} on {platform.system()} {platform.machine()}")]
    return rows + [(package, version(package)) for package in PACKAGES]
