import re
import runpy
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

import genbayes as gb
from genbayes.checks import check_means
from genbayes.checks.bounds import at_bounds
from genbayes.checks.evidence import Evidence
from genbayes.checks.finding import headline
from genbayes.checks.findings import findings
from genbayes.priors.wording import distribution_text
from genbayes.reports.citations import bibtex
from genbayes.reports.page import report
from genbayes.reports.pictures import PICTURES
from genbayes.runtime.formatting import number
from genbayes.runtime.outcome import Outcome

make_run = runpy.run_path(str(Path(__file__).parents[1] / "plot_data.py"))["make_run"]


class Page(HTMLParser):
    """Collects the table cells, the tags that load something, and whether every tag is closed in order."""

    def __init__(self):
        super().__init__()
        self.rows, self.loads, self.open = [], [], []

    def handle_starttag(self, tag, attrs):
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        self.loads += [(tag, value) for name, value in attrs if name in ("src", "href", "srcset", "data")]
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data


@pytest.fixture(scope="module")
def run():
    return make_run()


@pytest.fixture(scope="module")
def page(run, tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "new" / "run.html"
    written = report(
        path,
        run.posterior,
        run.draws,
        check=run.check,
        simulations=run.simulations,
        title="Hares <b>& lynx</b>",
        settings={"<script>alert(1)</script>": "a & b"},
        seconds={"everything": 12.5},
        warnings=["mind the <gap>"],
    )
    assert written == path
    return path.read_text("utf-8")


def parsed(text):
    page = Page()
    page.feed(text)
    assert page.open == []
    return page


def test_table_holds_numpys_quantiles(run, page):
    rows = {row[0]: row[1:] for row in parsed(page).rows if len(row) == 8}
    before = np.quantile(run.prior.sample(20_000, seed=0), [0.05, 0.95], axis=0)
    for j, name in enumerate(run.draws.names):
        expected = [*np.quantile(run.draws.flat[:, j], [0.05, 0.5, 0.95]), *before[:, j]]
        assert rows[name][:5] == [number(value, 4) for value in expected]
        assert rows[name][5:] == [f"{run.draws.rhat[j]:.3f}", f"{run.draws.ess_bulk[j]:,.0f}"]


def test_cost_table_holds_means_and_standard_errors(run, page):
    rows = {row[0]: row[1:] for row in parsed(page).rows if row}
    for key, start in (
        ("predicted", "predicted cost"),
        ("simulated", "distance of one"),
        ("replicate", "distance of two"),
    ):
        values = getattr(run.check, key)
        row = next(row for name, row in rows.items() if name.startswith(start))
        assert row == [number(values.mean(), 4), number(values.std(ddof=1) / np.sqrt(len(values)), 2)]


def test_user_text_is_escaped(page):
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "<title>Hares &lt;b&gt;&amp; lynx&lt;/b&gt;</title>" in page
    assert "mind the &lt;gap&gt;" in page


def test_page_is_self_contained_and_small(page):
    loads = parsed(page).loads
    assert len(loads) == len(PICTURES.all())
    assert all(tag == "img" and value.startswith("data:image/png;base64,") for tag, value in loads)
    assert "@import" not in page
    assert "url(" not in page
    assert len(page.encode()) < 1_500_000


def test_settings_times_and_failures_are_stated(page):
    rows = {row[0]: row[1:] for row in parsed(page).rows if row}
    assert rows["simulator"] == ["predator_prey:simulate"]
    assert rows["simulations"] == ["1,000 (seed 7), 20 failed"]
    assert rows["distance"] == ["mean_squared_error (units: squared log counts)"]
    assert rows["sampling seed"] == ["11"]
    assert rows["everything"] == ["12.50"]
    assert rows["fit mean: compile"] == ["1.500"]
    assert rows["network mean"][0].startswith("3 fitted; validation mean squared error: ")
    assert "20 of 1,000 failed (2.0 %): 20 x NaN in the output." in page


def test_report_without_check_fit_or_simulations(run, tmp_path):
    posterior = gb.GibbsPosterior(run.prior, replace(run.posterior.cost, fit=()), run.x_o, run.posterior.beta)
    draws = replace(run.draws, sampler="NUTS", statistics={"divergences": 3})
    text = report(tmp_path / "run.html", posterior, draws).read_text("utf-8")
    assert "was not compared with new runs" in text
    assert not any(words in text for words in ("re-simulated outputs (blue)", "Means near the", "Validation (blue)"))
    assert 2 <= len(parsed(text).loads) <= len(PICTURES.all()) - 4
    assert ["divergences", "3.000"] in parsed(text).rows or ["divergences", "3"] in parsed(text).rows


@pytest.mark.long
@pytest.mark.slow
def test_an_explorer_is_there_or_the_reason_why_not(run, page, tmp_path):
    assert "This report has no explorer. The cost is a function in Python" in page
    without = report(tmp_path / "without.html", run.posterior, run.draws, explorer=False).read_text("utf-8")
    assert "explorer" not in without.lower()


@pytest.mark.slow
def test_report_of_many_parameters_shows_the_best_determined(tmp_path):
    run = make_run(20, n=400)
    text = report(tmp_path / "run.html", run.posterior, run.draws, check=run.check).read_text("utf-8")
    assert "the 12 best-determined of 20 parameters" in text


def test_outputs_without_a_picture_do_not_stop_the_report(run, tmp_path):
    shape = (2, 30)
    cost = replace(run.posterior.cost, x_shape=shape)
    posterior = gb.GibbsPosterior(run.prior, cost, np.zeros(shape), run.posterior.beta)
    check, draws = replace(run.check, x=np.zeros((400, *shape))), replace(run.draws, x_o=np.zeros(shape))
    text = report(tmp_path / "run.html", posterior, draws, check=check).read_text("utf-8")
    assert "Outputs of shape (2, 30) are not shown" in text
    assert "re-simulated outputs (blue)" not in text
    assert 5 <= len(parsed(text).loads) < len(PICTURES.all())


def test_prior_is_stated_with_its_arguments(page):
    prior = gb.Prior({"mu": dist.Normal(jnp.zeros(2), 1.5).to_event(1), "rate": dist.LogNormal(-1.0, 0.5)})
    stated = {item["name"]: distribution_text(item) for item in prior.describe()}
    assert stated["mu"][0] == "Normal"
    assert stated["mu"][1].startswith("loc = 0, 0; scale = 1.5")
    assert stated["rate"] == ("LogNormal", "loc = -1; scale = 0.5")
    assert ["prey_birth", "LogNormal", "loc = -0.6931; scale = 0.7"] in parsed(page).rows


# --- verdict


def texts_of(run, level, **changes):
    parts = {"posterior": run.posterior, "draws": run.draws, "predictive": run.check, "simulations": run.simulations}
    warnings = changes.pop("warnings", ())
    found = findings(Evidence(**{**parts, **changes}), warnings)
    return [finding.full for finding in found if finding.level == level], headline(found)


def test_agreement_is_the_relative_difference_of_the_means(run):
    fine, _ = texts_of(run, "ok")
    relative = run.check.predicted.mean() / run.check.simulated.mean() - 1
    assert any(f"{100 * relative:+.1f} %" in text for text in fine)
    care, _ = texts_of(run, "care", predictive=replace(run.check, predicted=0.5 * run.check.predicted))
    assert any("Add simulations at the draws and fit again" in text for text in care)
    assert any(f"{100 * (0.5 * (1 + relative) - 1):+.1f} %" in text for text in care)


def test_misfit_is_the_ratio_to_the_replicate_distance(run):
    notes, _ = texts_of(run, "note")
    ratio = run.check.simulated.mean() / run.check.replicate.mean()
    assert any(f"{ratio:.2f} times as far" in text and "misspecified" in text for text in notes)
    notes, _ = texts_of(run, "note", predictive=replace(run.check, replicate=run.check.simulated))
    assert any("to within its own noise" in text for text in notes)


def test_failed_sampling_or_fit_is_a_problem(run):
    outcome = Outcome(("R-hat is 1.4: draw longer",))
    bad, (level, sentence) = texts_of(run, "bad", draws=replace(run.draws, sampler_outcome=outcome))
    assert bad == ["Sampling: R-hat is 1.4: draw longer"]
    assert (level, sentence) == ("bad", "Do not rely on this result yet")
    fit = replace(run.posterior.cost.fit[1], outcome=Outcome(("stopped early",)))
    cost = replace(run.posterior.cost, fit=(run.posterior.cost.fit[0], fit))
    posterior = gb.GibbsPosterior(run.prior, cost, run.x_o, run.posterior.beta)
    bad, _ = texts_of(run, "bad", posterior=posterior)
    assert bad == ["Network spread: stopped early"]


def test_headline_counts_the_points(run, monkeypatch):
    # A few hundred runs resolve less of the means than the check wants.
    monkeypatch.setattr(check_means, "RESOLVED_CARE", 3.0)
    clean = {"predictive": replace(run.check, n_failed=0), "simulations": run.simulations.selected(run.simulations.ok)}
    assert texts_of(run, "care", **clean) == ([], ("ok", "No problem found"))
    _, (level, sentence) = texts_of(run, "care", warnings=["one"], **clean)
    assert (level, sentence) == ("care", "Usable with care: 1 point to look at")


def test_mass_at_bounds():
    rng = np.random.default_rng(0)
    prior = gb.Prior({"a": dist.Uniform(0.0, 1.0), "b": dist.Uniform(0.0, 1.0), "c": dist.HalfNormal(1.0)})
    theta = np.stack([1 - 0.1 * rng.uniform(size=1000), rng.uniform(size=1000), 0.5 + rng.uniform(size=1000)], axis=1)
    found = at_bounds(prior, theta)
    # Half of parameter a lies in the upper 5 % of the prior; b is the prior itself; c is far from its only bound.
    assert [item[:3] for item in found] == [("a", "upper", 1.0)]
    assert found[0][3] == pytest.approx(np.mean(theta[:, 0] >= 0.95))


# --- citations


def keys(posterior, draws):
    return set(re.findall(r"^@\w+\{(\w+),", bibtex(posterior, draws), flags=re.MULTILINE))


SOFTWARE = {"jax2018github", "kidger2021equinox", "phan2019numpyro", "cabezas2024blackjax"}
CORE = {"gao2023ace", "bissiri2016general", "vehtari2021rhat"} | SOFTWARE


@pytest.mark.parametrize(
    ("sampler", "distance", "expected"),
    [
        ("SMC", gb.distances.MeanSquaredError(), {"delmoral2006smc", "neal2011hmc"}),
        ("NUTS", gb.distances.MMD(), {"hoffman2014nuts", "gretton2012kernel"}),
        (
            "SMC",
            gb.distances.EnergyDistance(),
            {"delmoral2006smc", "neal2011hmc", "gneiting2007scoring", "szekely2013energy"},
        ),
        ("NUTS", gb.distances.SlicedWasserstein(), {"hoffman2014nuts", "bonneel2015sliced"}),
    ],
)
def test_bibtex_cites_exactly_what_was_used(run, sampler, distance, expected):
    posterior = gb.GibbsPosterior(run.prior, replace(run.posterior.cost, distance=distance), run.x_o, 1.0)
    assert keys(posterior, replace(run.draws, sampler=sampler)) == CORE | expected


def test_citations_belong_to_objects_not_to_names(run):
    """A distance of one's own cites what its class says, and nothing because of how it is called."""
    own = "@article{me2026mine,\n  title = {Mine}\n}"

    class Mine(gb.distances.UserDistance):
        citations = ("gretton2012kernel", own)

        def __init__(self):
            super().__init__(lambda x, y: jnp.mean((x - y) ** 2), name="mine", units="1")

    named = gb.distances.UserDistance(lambda x, y: jnp.mean((x - y) ** 2), name="mmd", units="1")
    made: list[tuple[gb.distances.Distance, set[str]]] = [(named, set()), (Mine(), {"gretton2012kernel", "me2026mine"})]
    for distance, more in made:
        posterior = gb.GibbsPosterior(run.prior, replace(run.posterior.cost, distance=distance), run.x_o, 1.0)
        assert keys(posterior, replace(run.draws, sampler="own")) == (CORE - {"cabezas2024blackjax"}) | more


def test_bibtex_is_well_formed(run):
    text = bibtex(run.posterior, run.draws)
    assert text.count("{") == text.count("}")
    assert not re.search(r"@(jax|equinox|blackjax|numpyro)@", text)
    assert "arXiv:2305.15208" in text
