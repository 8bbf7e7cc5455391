"""One self-contained HTML page of a run: verdict, numbers, pictures, settings, versions, how to cite."""

from __future__ import annotations

import datetime
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..checks.evidence import Evidence
from ..checks.finding import Finding, ordered
from ..checks.findings import findings
from ..checks.predictive import PredictiveCheck
from ..checks.verdict import Check
from ..explorer.markup import explorer_part
from ..runtime.files import write_whole
from ..runtime.release import version
from ..sampling.draws import Draws
from ..sampling.draws_origin import need_own_draws
from ..sampling.joint import remedy_for_joint
from ..sampling.posterior import GibbsPosterior
from ..simulations.rows import Simulations
from .citations import bibtex
from .markup import Section, code, filled, picture, section
from .page_size import MOST_PAGE_BYTES, within_limit
from .parts import of_sections, parts_of, verdict
from .pictures import pictures
from .run import ReportedRun
from .tables import costs_table, parameters_table, seconds_table, settings_table, versions_table

if TYPE_CHECKING:
    import matplotlib.figure


# Bytes of the note that pictures were left out.
_OF_A_NOTE = 300


def report(
    path: str | os.PathLike,
    posterior: GibbsPosterior,
    draws: Draws,
    *,
    check: PredictiveCheck | Check | None = None,
    simulations: Simulations | None = None,
    title: str | None = None,
    figures: Mapping[str, matplotlib.figure.Figure] | None = None,
    settings: Mapping[str, Any] | None = None,
    seconds: Mapping[str, float] | None = None,
    warnings: Iterable[str] = (),
    axis: Any = None,
    labels: Sequence[str] | None = None,
    kind: str | None = None,
    sections: Iterable[Section] = (),
    explorer: bool = True,
    progress: bool = False,
) -> Path:
    """Writes one HTML page about a run that needs nothing else: no network, no further files.

    Args:
        path: File to write; its folder is made if missing.
        posterior: The `GibbsPosterior` that was sampled.
        draws: Its `Draws`.
        check: What `gb.check` or `gb.check_predictive` returned for these draws; a `Check` is shown as it is, nothing
            is measured again. Without it the page says that the cost was not checked.
        simulations: The `Simulations` of the training, for failures and the prior's outputs; those of a `Check` if not
            given.
        title: Heading of the page.
        figures: Further pictures, caption -> matplotlib Figure; they come first.
        settings: Further settings to record, name -> value.
        seconds: Further stages, name -> seconds.
        warnings: Further points that need care, as plain text.
        axis: Times of a series, or (times, label), or what `read_observation` returned, as in
            `plots.predictive`.
        labels: Names with units of the output's coordinates or channels, as in `plots.predictive`.
        kind: Kind of output, as in `plots.predictive`.
        sections: Further parts, shown between the pictures and the settings.
        explorer: Whether the page has an explorer, in which readers move beta, the observation and the posterior;
            where the cost or the prior cannot be written as numbers the page says so instead.
        progress: Whether progress bars are shown.

    Returns:
        The path written.

    Raises:
        ImportError: If matplotlib is not installed.
        TypeError: If posterior, draws or check are something else.
        ValueError: If the draws are not the posterior's, or the check is not of these draws.

    Example:
        >>> check = gb.check(posterior, draws, simulator, simulations, seed=3)
        >>> gb.report("run.html", posterior, draws, check=check)
    """
    _check_given(posterior, draws, check)
    sections = list(sections)
    evidence, found = _judged(posterior, draws, check, simulations, list(warnings), kind, labels, axis, progress)
    found = ordered([*of_sections(found, sections), *found])
    # The dates of an observation that was read from a file are the axis of its pictures.
    axis = posterior.observation if axis is None else axis
    run = ReportedRun(evidence, axis, labels, kind)
    if run.predictive is not None and not run.outputs_shown:
        text = f"Outputs of shape {posterior.x_o.shape} are not shown; pass a picture of them: report(figures=...)."
        found.append(Finding("note", text))
    shown = [*dict(figures or {}).items(), *pictures(run, progress=progress)]
    cost = posterior.cost
    shown_by_explorer = {"simulations": run.simulations, "axis": axis, "labels": labels}
    body = [
        *([section("Explorer", explorer_part(posterior, draws, **shown_by_explorer))] if explorer else []),
        section("Parameters", parameters_table(posterior.prior, draws)),
        section("Cost", costs_table(cost, draws, run.predictive)),
        section("Pictures", "\n".join(picture(*item) for item in shown)),
        *parts_of(cost, draws, sections),
        section("Settings", settings_table(posterior, draws, run.simulations, settings or {})),
        section("Time", seconds_table(cost, draws, run.simulations, seconds or {})),
        section("Software", versions_table()),
        section("How to cite", f"<p>What this run used:</p>\n{code(bibtex(posterior, draws), 'BibTeX')}"),
    ]
    subtitle = f"{len(draws):,} draws of {len(draws.names)} parameters, beta {draws.beta:g}, sampler {draws.sampler}."
    return page(path, title or "Generalized Bayesian inference", subtitle, found, body)


def _check_given(posterior: Any, draws: Any, check: Any) -> None:
    if not isinstance(posterior, GibbsPosterior) or not isinstance(draws, Draws):
        got = f"{type(posterior).__name__}, {type(draws).__name__}"
        remedy = remedy_for_joint(posterior)
        raise TypeError(
            f"report takes (path, posterior, draws), a GibbsPosterior and its Draws, got (path, {got}).{remedy}"
        )
    if check is not None and not isinstance(check, PredictiveCheck | Check):
        raise TypeError(
            "check must be what gb.check or gb.check_predictive returns for these draws, or None, got "
            f"{type(check).__name__}."
        )
    need_own_draws(posterior, draws)
    if isinstance(check, Check):
        need_own_draws(check.evidence.posterior, draws)


def _judged(
    posterior: GibbsPosterior,
    draws: Draws,
    check: PredictiveCheck | Check | None,
    simulations: Simulations | None,
    warnings: list[str],
    kind: str | None,
    labels: Sequence[str] | None,
    axis: Any,
    progress: bool,
) -> tuple[Evidence, list[Finding]]:
    """Evidence and findings: those of a `Check`, unless it had no simulations and some are given now."""
    if not isinstance(check, Check):
        evidence = Evidence(posterior, draws, check, simulations, kind, labels, axis=axis)
        return evidence, findings(evidence, warnings, progress=progress)
    known = check.evidence
    given = [finding for finding in check.findings if finding.check == "given"]
    warnings = [text for text in warnings if text not in [finding.text for finding in given]]
    if simulations is not None and known.simulations is None:
        evidence = Evidence(posterior, draws, known.predictive, simulations, kind, labels, known.coverage, axis=axis)
        return evidence, findings(evidence, [*(finding.text for finding in given), *warnings], progress=progress)
    return known, [*(Finding("care", text, check="given") for text in warnings), *check.findings]


def page(path: str | os.PathLike, title: str, subtitle: str, found: list[Finding], body: Iterable[str]) -> Path:
    """Writes a page of a verdict and, below it, HTML."""
    subtitle += f" Written by genbayes {version('genbayes')} on {datetime.date.today()}."
    parts, left_out = within_limit(list(body), len(filled(title, subtitle, verdict(found)).encode()) + _OF_A_NOTE)
    if left_out:
        text = f"{left_out} picture(s) were left out, for the page would have more than {MOST_PAGE_BYTES / 1e6:g} MB; "
        found = [*found, Finding("note", text + "genbayes.plots makes them as files.")]
    text = filled(title, subtitle, "\n".join([verdict(found), *parts]))
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, text)
    return path
