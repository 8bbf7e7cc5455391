"""Laws of every picture of the report: drawn for a normal run and for the smallest one, with a caption."""

import runpy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.figure import Figure

import genbayes as gb
from genbayes.checks.evidence import Evidence
from genbayes.reports.pictures import PICTURES, Entry, pictures, register
from genbayes.reports.run import ReportedRun

make_run = runpy.run_path(str(Path(__file__).parents[1] / "plot_data.py"))["make_run"]


def normal():
    run = make_run(n=400)
    return ReportedRun(Evidence(run.posterior, run.draws, run.check, run.simulations), labels=("hare", "lynx"))


def smallest():
    """One parameter, four draws, two runs, no simulations and no fit."""
    run = make_run(1, n=4)
    rows = {name: getattr(run.check, name)[:2] for name in ("theta", "x", "predicted", "simulated", "replicate")}
    posterior = gb.GibbsPosterior(run.prior, replace(run.posterior.cost, fit=()), run.x_o, run.posterior.beta)
    return ReportedRun(Evidence(posterior, run.draws, replace(run.check, **rows)))


RUNS = {"normal": normal, "smallest": smallest}


@pytest.mark.parametrize("size", RUNS)
def test_every_picture_draws_where_it_applies(size):
    run = RUNS[size]()
    found = pictures(run)
    assert len(found) == len(drawn_of(run))
    for caption, figure in found:
        assert wrong_with(figure) is None
        assert caption.endswith(".")
    # What pyplot makes stays in memory until somebody closes it.
    assert pyplot.get_fignums() == []


def wrong_with(figure):
    if not isinstance(figure, Figure):
        return "no figure"
    figure.canvas.draw()
    shown = [axes for axes in figure.axes if axes.get_visible()]
    return None if any(axes.has_data() or axes.texts for axes in shown) else "empty"


def test_the_law_sees_a_picture_that_shows_nothing():
    figure = Figure()
    axes = figure.subplots()
    assert wrong_with(figure) == "empty"
    axes.plot([0, 1], [0, 1])
    assert wrong_with(figure) is None
    assert wrong_with(axes) == "no figure"


def drawn_of(run):
    return [entry.name for entry in PICTURES.all() if entry.applies(run)]


def test_every_picture_applies_to_a_normal_run():
    run = normal()
    assert drawn_of(run) == [entry.name for entry in PICTURES.all()]
    assert {"pair", "predictive", "accuracy", "profiles", "training", "ladder"} <= set(drawn_of(run))


def test_pictures_of_new_runs_need_new_runs():
    run = normal()
    bare = ReportedRun(Evidence(run.posterior, run.draws))
    assert {"pair", "profiles", "training", "ladder"} <= set(drawn_of(bare))
    assert not {"predictive", "accuracy"} & set(drawn_of(bare))
    assert "training" not in drawn_of(smallest())
    assert len(pictures(bare)) == len(drawn_of(bare))


def test_a_picture_of_ones_own_is_shown_in_its_place(monkeypatch, tmp_path):
    monkeypatch.setattr(PICTURES, "entries", dict(PICTURES.entries))

    def draw(run):
        figure = Figure(figsize=(3, 2))
        figure.subplots().hist(run.draws.cost.ravel())
        return figure

    register(Entry("own", "What draws cost, all of them.", draw, place=15, applies=lambda run: len(run.draws) > 100))
    run = normal()
    captions = [caption for caption, _ in pictures(run)]
    assert captions.index("What draws cost, all of them.") == 1
    page = gb.report(tmp_path / "r.html", run.posterior, run.draws, check=run.predictive).read_text("utf-8")
    assert page.count("data:image/png") == len(captions)
    assert "What draws cost, all of them." in page
    assert "What draws cost, all of them." not in [caption for caption, _ in pictures(smallest())]
    with pytest.raises(ValueError, match="there is a picture 'pair' already"):
        register(Entry("pair", "", draw, place=1))


def test_prior_outputs_have_the_shape_of_the_observation():
    run = normal()
    assert run.prior_outputs is not None
    assert np.isfinite(run.prior_outputs).all()
    assert len(run.prior_outputs) == 980
    assert ReportedRun(Evidence(run.posterior, run.draws)).prior_outputs is None
