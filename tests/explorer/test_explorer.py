"""The explorer as a reader has it: dragged, typed into, on a phone, in the dark, read aloud."""

import base64
import json
import runpy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import numpyro.distributions as dist
import pytest
from scipy import stats

import genbayes as gb
from genbayes.explorer import markup
from genbayes.explorer.marginals import prior_shares
from genbayes.explorer.markup import explorer_body, explorer_part, program
from genbayes.explorer.payload import explorer_data
from genbayes.reports.markup import code, picture, section, table
from genbayes.reports.page import page

MADE = runpy.run_path(str(Path(__file__).parent / "made_costs.py"))
COSTS = MADE["costs"]()
PRIOR = gb.Prior({"slope": dist.Uniform(-2.0, 2.0), "start": dist.Normal(0.0, 1.0)})
TIMES = np.linspace(0.0, 1.0, 8)
BETA = 60.0
WIDE, NARROW = {"width": 1100, "height": 1000}, {"width": 390, "height": 844}


def lines(theta: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A line with noise."""
    return theta[:, :1] * TIMES + theta[:, 1:] + 0.3 * rng.standard_normal((len(theta), len(TIMES)))


def weighted_draws(posterior: gb.GibbsPosterior, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Draws of the prior with their weights under the posterior: what the sampler in the page is held against."""
    theta = np.asarray(posterior.prior.sample(n, seed=11), np.float64)
    log = np.asarray(posterior.log_factor(theta), np.float64)
    weights = np.exp(log - log.max())
    return theta, weights / weights.sum()


def some_draws(posterior: gb.GibbsPosterior, n: int = 1000) -> gb.Draws:
    """Equal-weight draws without a sampler's compile time."""
    theta, weights = weighted_draws(posterior, 20_000)
    chosen = theta[np.random.default_rng(0).choice(len(theta), n, p=weights)].astype(np.float32)
    cost = np.asarray(posterior.cost(chosen, posterior.x_o, posterior.conditions or None), np.float32)
    shape = (4, n // 4)
    names, integers = posterior.prior.names, posterior.prior.integer_names
    return gb.Draws(
        chosen.reshape(*shape, -1), cost.reshape(shape), names, posterior.beta, posterior.x_o, "SMC", 0,
        integer_names=integers, conditions=posterior.conditions,
    )  # fmt: skip


@pytest.fixture(scope="module")
def run() -> tuple[gb.GibbsPosterior, gb.Draws, gb.Simulations]:
    theta = np.asarray(PRIOR.sample(800, seed=1))
    simulations = gb.Simulations.from_arrays(theta, lines(theta, np.random.default_rng(2)), prior=PRIOR)
    cost = MADE["of_lines"](PRIOR, theta, simulations.x)
    posterior = gb.GibbsPosterior(PRIOR, cost, 0.7 * TIMES + 0.2, BETA)
    return posterior, some_draws(posterior), simulations


@pytest.fixture(scope="module")
def path(run, tmp_path_factory) -> Path:
    posterior, draws, simulations = run
    body = explorer_part(posterior, draws, simulations=simulations, axis=(TIMES, "time / s"), labels=["height / m"])
    return page(tmp_path_factory.mktemp("explorer") / "page.html", "A line", "", [], [section("Explorer", body)])


@contextmanager
def opened(browser: Any, path: Path, viewport: dict[str, int] = WIDE, scheme: str = "light") -> Iterator[Any]:
    """A page that has come to rest; what it complains of, or asks the network for, fails the test."""
    context = browser.new_context(viewport=viewport, color_scheme=scheme, offline=True)
    shown, complaints = context.new_page(), []
    shown.on("console", lambda message: complaints.append(message.text))
    shown.on("pageerror", lambda error: complaints.append(str(error)))
    shown.on("request", lambda asked: complaints.append(asked.url) if asked.url[:4] not in ("file", "blob") else None)
    shown.goto(path.as_uri())
    shown.wait_for_function("document.getElementById('explorer').explorer?.state?.settled", timeout=20_000)
    yield shown
    context.close()
    assert complaints == []


def settled(shown: Any) -> dict[str, Any]:
    """The draws once nothing moves any more."""
    shown.wait_for_function("document.getElementById('explorer').explorer.atRest", timeout=30_000)
    code = """() => {
      const { theta, cost, ess, n, progress, nats } = document.getElementById("explorer").explorer.state;
      return { theta: Array.from(theta), cost: Array.from(cost), ess, n, progress, nats };
    }"""
    return shown.evaluate(code)


def agree(state: dict[str, Any], posterior: gb.GibbsPosterior, free: tuple[int, ...] = (0, 1)) -> None:
    """Means and standard deviations are those of Python's cost and prior, within both sides' Monte Carlo errors.

    The mean of m independent draws has standard error sd / sqrt(m), their standard deviation that of sd / sqrt(2 m) for
    tails as those of a normal distribution; weighted draws have the effective number 1 / sum w^2.
    """
    assert state["progress"] == 1
    assert state["ess"] > 0.85 * state["n"]
    theta, weights = weighted_draws(posterior, 100_000)
    mean, sd = weights @ theta, np.sqrt(weights @ (theta - weights @ theta) ** 2)
    error = np.sqrt(1 / state["ess"] + np.sum(weights**2))
    found = np.array(state["theta"]).reshape(state["n"], -1)[:, list(free)]
    assert np.all(np.abs(found.mean(axis=0) - mean) < 4 * error * sd)
    assert np.all(np.abs(found.std(axis=0) - sd) < 4 * error * sd / np.sqrt(2) + 0.02 * sd)


def test_the_page_begins_with_the_draws_of_the_report(browser, path, run) -> None:
    with opened(browser, path) as shown:
        agree(settled(shown), run[0])
        assert "effective draws" in shown.inner_text(".status")
        assert shown.inner_text(".explorer tbody tr:first-child th") == "slope"
        found = np.array(shown.evaluate("document.getElementById('explorer').explorer.evaluate([0.5, 0.1, -1, 2])"))
    assert np.allclose(found, run[0].cost([[0.5, 0.1], [-1.0, 2.0]], run[0].x_o), rtol=1e-5)


def test_a_point_is_dragged_by_the_mouse(browser, path, run) -> None:
    posterior = run[0]
    with opened(browser, path) as shown:
        place = "(j) => { const e = document.getElementById('explorer').explorer, m = e.marks()[j], box = "
        place += "e.observed.getBoundingClientRect(); return [box.x + e.scale.x(m.at), box.y + e.scale.y(m.value)]; }"
        x, y = shown.evaluate(place, 5)
        shown.mouse.move(x, y)
        shown.mouse.down()
        shown.mouse.move(x, y - 60, steps=12)
        shown.mouse.up()
        state = settled(shown)
        moved = np.array(shown.evaluate("Array.from(document.getElementById('explorer').explorer.x)"))
        assert shown.input_value("select[aria-label^='which value']") == "5"
    assert moved[5] > posterior.x_o[5] + 0.1
    assert np.array_equal(np.delete(moved, 5), np.delete(posterior.x_o, 5))
    agree(state, gb.GibbsPosterior(PRIOR, posterior.cost, moved, BETA))


def test_everything_is_done_by_the_keyboard(browser, path, run) -> None:
    posterior = run[0]
    with opened(browser, path) as shown:
        reached = []
        for _ in range(30):
            shown.keyboard.press("Tab")
            name = "document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent"
            reached.append(shown.evaluate(name))
        wanted = ["beta", "which value of the observation", "value", "weight", "hold slope", "Back to the start"]
        # Each control once, in the order in which they stand; then the round begins again.
        assert [name for name in dict.fromkeys(reached) if name in wanted] == wanted
        shown.get_by_label("beta", exact=True).focus()
        for _ in range(60):
            shown.keyboard.press("ArrowRight")
        beta = float(shown.input_value("input[aria-label='beta, as a number']"))
        assert beta == pytest.approx(BETA * 4096 ** (60 / 1000), rel=2e-2)
        state = settled(shown)
        exact = shown.evaluate("document.getElementById('explorer').explorer.beta")
        agree(state, gb.GibbsPosterior(PRIOR, posterior.cost, posterior.x_o, exact))
        shown.get_by_role("button", name="Back to the start").press("Enter")
        agree(settled(shown), posterior)


def test_values_are_left_out_weighted_and_parameters_held(browser, path, run) -> None:
    posterior = run[0]
    with opened(browser, path) as shown:
        for j in (0, 1, 2):
            shown.select_option("select[aria-label^='which value']", str(j))
            shown.get_by_label("this value was observed").uncheck()
        state = settled(shown)
        gap = np.where(np.arange(8) < 3, np.nan, posterior.x_o)
        agree(state, gb.GibbsPosterior(PRIOR, posterior.cost, gap, BETA))
        shown.get_by_role("button", name="Back to the start").click()
        shown.get_by_label("hold start").check()
        shown.fill("input[aria-label='value of start, as a number']", "0.5")
        shown.press("input[aria-label='value of start, as a number']", "Enter")
        state = settled(shown)
        assert set(np.array(state["theta"]).reshape(-1, 2)[:, 1].tolist()) == {0.5}
        agree(state, posterior.fix({"start": 0.5}), free=(0,))
        # All parameters but one can be held.
        shown.get_by_label("hold slope").click()
        assert not shown.is_checked("input[aria-label='hold slope']")


def test_what_cannot_be_trusted_is_greyed_and_said(browser, run, tmp_path) -> None:
    posterior, draws, simulations = run
    data = explorer_data(posterior, draws, simulations=simulations) | {"jackknife": 1e6}
    uncertain = page(tmp_path / "page.html", "A line", "", [], [section("Explorer", explorer_body(data))])
    with opened(browser, uncertain) as shown:
        assert "disagree by about" in shown.inner_text(".doubts")
        assert "doubtful" in str(shown.get_attribute("#explorer", "class"))
        shown.wait_for_function("getComputedStyle(document.querySelector('.grey')).filter === 'grayscale(1)'")
        shown.fill("input[aria-label='value, as a number']", "50")
        shown.press("input[aria-label='value, as a number']", "Enter")
        settled(shown)
        shown.wait_for_function("document.querySelector('.doubts').textContent.includes('Outside what')")
        assert "800 runs" in shown.inner_text(".doubts")


def test_twenty_pictures_a_second_while_dragging(browser, path) -> None:
    code = """async () => {
      const root = document.getElementById("explorer"), { explorer } = root, before = Number(root.dataset.pictures);
      const start = performance.now();
      for (let k = 0; performance.now() - start < 1000; k++) {
        explorer.change(3, 0.5 + 0.3 * Math.sin(k / 15));
        await new Promise(requestAnimationFrame);
      }
      return (1000 * (Number(root.dataset.pictures) - before)) / (performance.now() - start);
    }"""
    with opened(browser, path) as shown:
        # Other processes may take the machine for a moment.
        assert any(shown.evaluate(code) > 20 for _ in range(5))


def test_neither_side_needs_more_than_the_time_of_a_picture_at_sixty_a_second(browser, path, programs) -> None:
    """Other processes take the machine again and again: of many short stretches the quickest is the page's own time."""
    drawing = """() => {
      const { explorer } = document.getElementById("explorer");
      let best = Infinity;
      for (let stretch = 0; stretch < 40; stretch++) {
        const start = performance.now();
        for (let k = 0; k < 3; k++) explorer.picture();
        best = Math.min(best, (performance.now() - start) / 3);
      }
      return best;
    }"""
    moving = """([data, x]) => {
      const explorer = new lib.Explorer(data, () => {});
      while (explorer.work());
      let best = Infinity;
      for (let k = 0, start = 0; k < 150; k++) {
        if (k % 5 === 0) start = performance.now();
        const moved = Float64Array.from(x);
        moved[3] += 0.3 * Math.sin(k / 15);
        explorer.ask({ number: k, x: moved, weights: null, growth: null, beta: data.beta, held: {} });
        explorer.work();
        if (k % 5 === 4) best = Math.min(best, (performance.now() - start) / 5);
      }
      return best;
    }"""
    with opened(browser, path) as shown:
        data = shown.evaluate("document.getElementById('explorer').explorer.data")
        x = shown.evaluate("Array.from(document.getElementById('explorer').explorer.x)")
        assert shown.evaluate(drawing) < 1000 / 60
    assert programs.evaluate(moving, [data, x]) < 1000 / 60


@pytest.mark.parametrize("viewport", [WIDE, NARROW], ids=["wide", "narrow"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_accessible_on_a_phone_and_in_the_dark(browser, path, viewport, scheme) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    with opened(browser, path, viewport, scheme) as shown:
        assert shown.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
        shown.evaluate("document.querySelector('details').open = true")
        found = axe.Axe().run(shown)
        assert found.violations_count == 0, found.generate_report()
        # Everything that can be pressed is as large as a finger needs it to be at least (WCAG 2.5.8).
        sizes = "[...document.querySelectorAll('.explorer :is(button, select, input:not([type=checkbox]))')]"
        assert shown.evaluate(sizes + ".every((e) => e.getBoundingClientRect().height >= 24)")


def test_what_scrolls_on_a_phone_is_reached_by_the_keyboard(browser, tmp_path) -> None:
    """Tables, pictures and lines of a report that are wider than a phone."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    wide = [f"a long name of column {k}" for k in range(9)]
    figure = plt.figure(figsize=(9, 2))
    body = [table(wide, [range(9)]), picture("A caption.", figure), code("@article{" + 200 * "x", "BibTeX")]
    plt.close(figure)
    written = page(tmp_path / "page.html", "Wide", "", [], [section("Parts", part) for part in body])
    shown = browser.new_page(viewport=NARROW)
    shown.goto(written.as_uri())
    assert shown.evaluate("document.documentElement.scrollWidth") <= NARROW["width"]
    scrolls = "[...document.querySelectorAll('.scroll, .card, pre')].filter((e) => e.scrollWidth > e.clientWidth)"
    assert shown.evaluate(scrolls + ".length") == len(body)
    assert shown.evaluate(scrolls + ".every((e) => e.tabIndex === 0 && e.ariaLabel)")
    found = axe.Axe().run(shown)
    assert found.violations_count == 0, found.generate_report()
    shown.close()


@pytest.mark.parametrize("name", ["MMD", "absolute", "general series"])
def test_pages_of_other_forms_open(browser, tmp_path, name) -> None:
    cost, x_o = COSTS[name]
    posterior = gb.GibbsPosterior(MADE["PRIOR"], cost, x_o, 3.0)
    labels = ["left", "right"] if name == "general series" else None
    body = explorer_part(posterior, some_draws(posterior, 400), labels=labels)
    with opened(browser, page(tmp_path / "page.html", name, "", [], [section("Explorer", body)]), NARROW) as shown:
        text = shown.inner_text("#explorer")
        assert ("● left" in text and "■ right" in text) == (name == "general series")
        assert ("none can be left out" in text) == (name in ("MMD", "general series"))
        assert ("no predictive band" in text) == (name in ("MMD", "general series"))
        assert (shown.locator("select[aria-label='distance']").count() == 1) == (name == "absolute")
        before = settled(shown)["theta"]
        shown.get_by_label("beta", exact=True).focus()
        for _ in range(100):
            shown.keyboard.press("ArrowRight")
        after = settled(shown)
        assert after["theta"] != before
        counts = np.array(after["theta"]).reshape(-1, 3)[:, 2]
        assert np.array_equal(counts, np.round(counts))


def test_a_report_says_why_it_has_no_explorer(run, monkeypatch) -> None:
    posterior, draws, _ = run
    exact = gb.Cost.exact(lambda t, x: jnp.sum((t - x) ** 2), names=PRIOR.names, x_shape=(2,), units="1")
    known = gb.GibbsPosterior(PRIOR, exact, np.zeros(2), 1.0)
    text = explorer_part(known, replace(draws, x_o=np.zeros(2)))
    assert "no explorer" in text
    assert "a function in Python" in text
    assert "<script" not in text
    monkeypatch.setattr(markup, "MOST_BYTES", 1000)
    assert "MB as numbers" in explorer_part(posterior, draws)


def test_values_have_the_names_that_are_known(run) -> None:
    posterior, draws, _ = run
    assert explorer_data(posterior, draws)["output_names"][3] == "value 3"
    named = explorer_data(posterior, draws, axis=(TIMES, "time / s"), labels=["height"])
    assert named["output_names"][7] == "height at 1"
    assert named["axis_label"] == "time / s"
    dates = np.datetime64("2021-04-01") + np.arange(8)
    days = explorer_data(posterior, draws, axis=gb.Observation(posterior.x_o, dates, "date"))
    assert days["axis"] == list(range(8))
    assert days["axis_label"] == "days since 2021-04-01"
    read = gb.Observation(posterior.x_o, dates, "date", names=("discharge",), units=("m3/s",))
    told = explorer_data(posterior, draws, axis=read)
    assert told["y_label"] == "discharge [m3/s]"
    assert told["output_names"][7] == "discharge [m3/s] on 2021-04-08"
    hours = np.datetime64("2021-04-01T06:00") + np.arange(8) * np.timedelta64(90, "m")
    within = explorer_data(posterior, draws, axis=gb.Observation(posterior.x_o, hours, "date"))
    assert within["output_names"][1] == "value on 2021-04-01 07:30"


def test_a_prior_is_told_by_its_distribution_function() -> None:
    """Against scipy, to a thousandth; None where numpyro has none, and of integers and vectors."""
    prior = gb.Prior(
        {
            "flat": dist.Uniform(-2.0, 3.0),
            "rate": dist.LogNormal(0.0, 0.5),
            "shape": dist.Gamma(2.0, 3.0),
            "count": dist.DiscreteUniform(0, 3),
            "both": dist.MultivariateNormal(np.zeros(2), np.eye(2)),
        }
    )
    told = prior_shares(prior, np.asarray(prior.sample(5000, seed=0)))
    assert told[3:] == [None, None, None]
    laws = (stats.uniform(-2.0, 5.0), stats.lognorm(0.5), stats.gamma(2.0, scale=1 / 3.0))
    for one, law in zip(told[:3], laws, strict=True):
        assert one is not None
        values, below = (np.frombuffer(base64.b64decode(one[name]["single"]), "<f4") for name in ("values", "below"))
        assert (np.diff(values) > 0).all()
        np.testing.assert_allclose(below, law.cdf(values), atol=1e-3)
        assert below[0] <= 0.002
        assert below[-1] >= 0.998


def test_a_uniform_prior_has_no_bumps(browser) -> None:
    """Every bin inside the support has the share of its width, and those outside have none."""
    page = browser.new_page()
    text = program(["numbers", "columns"]) + "; return densitiesOf(known, [-0.5, 1.5], 8);"
    known = "{ values: [0, 0.3, 1], below: [0, 0.3, 1] }"
    found = page.evaluate(f"(text) => Array.from(new Function('known', text)({known}))", text)
    page.close()
    np.testing.assert_allclose(found, [0, 0, 0.25, 0.25, 0.25, 0.25, 0, 0], atol=1e-12)


def test_the_numbers_of_a_page_are_plain_json_and_small(run) -> None:
    posterior, draws, simulations = run
    data = explorer_data(posterior, draws, simulations=simulations)
    assert len(json.dumps(data, allow_nan=False)) < 100_000
    named = explorer_data(posterior, replace(draws, statistics={}), labels=["</script><b>"])
    assert "</script><b>" not in explorer_body(named)
    assert len(explorer_body(data)) < 250_000
