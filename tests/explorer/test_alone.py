"""The explorer as a page of its own: in a notebook's frame, in a file, and what it refuses."""

import base64
import html
import inspect
import re
import runpy
import threading
from dataclasses import replace
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

import genbayes as gb
from genbayes.costs.measured import MeasurementError
from genbayes.explorer.numbers import NotExportable
from genbayes.explorer.payload import explorer_data
from genbayes.explorer.server import PageServer

MADE = runpy.run_path(str(Path(__file__).parent / "made_costs.py"))
PRIOR = gb.Prior({"slope": dist.Uniform(-2.0, 2.0), "start": dist.Normal(0.0, 1.0)})
TIMES = np.linspace(0.0, 1.0, 4)


@pytest.fixture(scope="module")
def run() -> tuple[gb.GibbsPosterior, gb.Draws]:
    rng = np.random.default_rng(0)
    theta = np.asarray(PRIOR.sample(200, seed=1))
    cost = MADE["of_lines"](PRIOR, theta, theta[:, :1] * TIMES + theta[:, 1:] + 0.3 * rng.standard_normal((200, 4)))
    posterior = gb.GibbsPosterior(PRIOR, cost, 0.7 * TIMES + 0.2, 60.0)
    chosen = rng.normal([0.7, 0.2], 0.1, (4, 100, 2)).astype(np.float32)
    costs = np.asarray(cost(chosen.reshape(-1, 2), posterior.x_o), np.float32).reshape(4, 100)
    return posterior, gb.Draws(chosen, costs, PRIOR.names, 60.0, posterior.x_o, "SMC", 0)


def test_a_notebook_shows_the_page_that_is_saved(run, tmp_path) -> None:
    shown = gb.explore(*run, title='Growth "A" <b>', axis=(TIMES, "time / s"))
    frame = shown._repr_html_()
    assert html.unescape(re.findall(r'srcdoc="([^"]*)"', frame)[0]) == shown.html
    assert 'sandbox="allow-scripts"' in frame
    assert 'title="Growth &quot;A&quot; &lt;b&gt;"' in frame
    assert "<b>" not in shown.html
    assert "<h1>Growth &quot;A&quot; &lt;b&gt;</h1>" in shown.html
    assert "400 draws of 2 parameters, beta 60, sampler SMC." in shown.html
    path = shown.save(tmp_path / "new" / "explorer.html")
    assert path.read_text("utf-8") == shown.html
    assert re.fullmatch(r"ExplorerPage\('Growth \"A\" <b>', \d+ kB\)", repr(shown))


def test_a_posterior_is_a_door_to_its_explorer(run, monkeypatch) -> None:
    posterior, draws = run
    shown = posterior.explore(draws, title="Growth", axis=(TIMES, "time / s"))
    assert shown.html == gb.explore(posterior, draws, title="Growth", axis=(TIMES, "time / s")).html
    assert shown.beta == posterior.beta
    asked = []
    monkeypatch.setattr(gb.GibbsPosterior, "sample", lambda self, n, *, seed: asked.append((self, n, seed)) or draws)
    assert posterior.explore().html == gb.explore(posterior, draws).html
    assert asked == [(posterior, 2000, 0)]


def test_what_cannot_be_shown_is_refused(run) -> None:
    posterior, draws = run
    # Without the tests' own look at types, which would be first.
    explore, wrong = inspect.unwrap(gb.explore), "draws"
    with pytest.raises(TypeError, match=r"explore takes a GibbsPosterior and its Draws.*got \(GibbsPosterior, str\)"):
        explore(posterior, wrong)
    with pytest.raises(TypeError, match=r"simulations must be the genbayes.Simulations.*got str"):
        explore(posterior, draws, simulations=wrong)
    with pytest.raises(TypeError, match=r"posterior.parts\[name\]"):
        explore(gb.joint({"one": (posterior.cost, posterior.x_o, 60.0)}, PRIOR), draws)
    with pytest.raises(ValueError, match="the draws are not this posterior's"):
        gb.explore(posterior, replace(draws, beta=3.0))
    exact = gb.Cost.exact(lambda t, x: jnp.sum((t - x) ** 2), names=PRIOR.names, x_shape=(2,), units="1")
    with pytest.raises(NotExportable, match="a function in Python"):
        gb.explore(gb.GibbsPosterior(PRIOR, exact, np.zeros(2), 60.0), replace(draws, x_o=np.zeros(2)))


def test_values_along_an_axis_are_shown_in_their_unit(run) -> None:
    """Summaries with spreads that differ a hundredfold have units of their own; a series of counts has one."""
    theta = np.asarray(PRIOR.sample(50, seed=2))
    runs = gb.Simulations.from_arrays(theta, theta[:, :1] * np.array([1.0, 10.0, 100.0, 1000.0]), prior=PRIOR)
    assert explorer_data(*run, simulations=runs)["relative"]
    assert not explorer_data(*run, simulations=runs, axis=(TIMES, "time / s"))["relative"]


def test_runs_reach_as_far_as_they_would_have_been_measured(run) -> None:
    """A first value that every run has exactly is observed with an error, and is not outside."""
    posterior, draws = run
    theta = np.asarray(PRIOR.sample(400, seed=2))
    runs = gb.Simulations.from_arrays(theta, theta[:, :1] * TIMES, prior=PRIOR)

    def reach(posterior: gb.GibbsPosterior) -> tuple[float, float]:
        data = explorer_data(posterior, draws, simulations=runs)
        low, high = (np.frombuffer(base64.b64decode(data[name]["double"]), "<f8") for name in ("low", "high"))
        return low[0], high[0]

    assert reach(posterior) == (0.0, 0.0)
    cost = replace(posterior.cost, measurement_error=MeasurementError(np.full(4, 0.1)))
    low, high = reach(gb.GibbsPosterior(PRIOR, cost, posterior.x_o, posterior.beta))
    # The extremes of 400 errors lie between 2 and 5 standard deviations, but for one in 10,000 cases.
    assert 0.2 < -low < 0.5
    assert 0.2 < high < 0.5


def test_it_runs_in_a_frame_and_from_the_server(browser, run) -> None:
    """The sandbox of a notebook and the server's policy leave it its worker and its WebAssembly."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    shown = gb.explore(*run)
    notebook = f"<!doctype html><title>notebook</title>{shown._repr_html_()}"
    with PageServer({"/": lambda: notebook, "/page": lambda: shown.html}) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        try:
            for path in ("page", ""):
                page, complaints = browser.new_page(), []
                page.on("console", lambda message, told=complaints: told.append(message.text))
                page.on("pageerror", lambda error, told=complaints: told.append(str(error)))
                if path:
                    page.goto(server.address + path)
                else:
                    page.set_content(notebook)
                page.frames[-1].wait_for_selector(".status:has-text('effective draws')", timeout=20_000)
                assert len(page.frames) == (1 if path else 2)
                assert complaints == []
                if path:
                    found = axe.Axe().run(page)
                    assert found.violations_count == 0, found.generate_report()
                page.close()
        finally:
            server.shutdown()
