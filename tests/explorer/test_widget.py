"""The explorer as a widget: in a cell of a notebook beta and the observation are shared with Python, both ways."""

import builtins
import json
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import numpyro.distributions as dist
import pytest

import genbayes as gb
from genbayes.explorer.widget import widget_module

MADE = runpy.run_path(str(Path(__file__).parent / "made_costs.py"))
PRIOR = gb.Prior({"slope": dist.Uniform(-2.0, 2.0), "start": dist.Normal(0.0, 1.0)})
TIMES = np.linspace(0.0, 1.0, 4)
# What anywidget gives a module: a model with traits, and an element of the page.
HOST = """async ([module, traits]) => {
  const listeners = {};
  const model = {
    traits, saved: 0,
    get: (name) => model.traits[name],
    // As Jupyter's and marimo's: each value that is set is told at once.
    set: (name, value) => { model.traits[name] = value; listeners[`change:${name}`]?.(); },
    save_changes: () => { model.saved++; },
    on: (name, f) => { listeners[name] = f; },
    off: (name) => { delete listeners[name]; },
    python: (name, value) => { model.traits[name] = value; listeners[`change:${name}`](); },
  };
  const el = document.createElement("div");
  document.body.style.background = "rgb(1, 2, 3)";
  document.body.append(el);
  const url = URL.createObjectURL(new Blob([module], { type: "text/javascript" }));
  const { default: widget } = await import(url);
  globalThis.end = widget.render({ model, el });
  Object.assign(globalThis, { model, listeners, root: el.shadowRoot.querySelector(".explorer") });
}"""


@pytest.fixture(scope="module")
def page() -> Any:
    rng = np.random.default_rng(0)
    theta = np.asarray(PRIOR.sample(200, seed=1))
    cost = MADE["of_lines"](PRIOR, theta, theta[:, :1] * TIMES + theta[:, 1:] + 0.3 * rng.standard_normal((200, 4)))
    posterior = gb.GibbsPosterior(PRIOR, cost, 0.7 * TIMES + 0.2, 60.0)
    chosen = rng.normal([0.7, 0.2], 0.1, (4, 100, 2)).astype(np.float32)
    costs = np.asarray(cost(chosen.reshape(-1, 2), posterior.x_o), np.float32).reshape(4, 100)
    return gb.explore(posterior, gb.Draws(chosen, costs, PRIOR.names, 60.0, posterior.x_o, "SMC", 0))


def test_what_is_moved_is_told_and_what_python_sets_is_shown(browser, page) -> None:
    shown, complaints = browser.new_page(), []
    shown.on("console", lambda message: complaints.append(message.text))
    shown.on("pageerror", lambda error: complaints.append(str(error)))
    x_o = page.x_o.tolist()
    shown.evaluate(HOST, [widget_module(), {"numbers": page.numbers, "beta": 60.0, "x_o": x_o}])
    settled = "root.explorer?.state?.settled && root.explorer.atRest"
    shown.wait_for_function(settled, timeout=20_000)
    # The style of the page is not that of the notebook.
    assert shown.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(1, 2, 3)"
    assert shown.evaluate("getComputedStyle(root).display") == "grid"
    before = shown.evaluate("root.explorer.state.theta[0]")
    shown.evaluate("root.explorer.change(2, 1.5)")
    shown.wait_for_function("model.saved > 0")
    assert shown.evaluate("model.traits.x_o") == [*x_o[:2], 1.5, x_o[3]]
    shown.wait_for_function(settled, timeout=20_000)
    assert shown.evaluate("root.explorer.state.theta[0]") != before
    shown.evaluate("root.explorer.toggle(0, false)")
    shown.wait_for_function("model.traits.x_o[0] === null")
    saved = shown.evaluate("model.saved")
    shown.evaluate("model.python('beta', 12.5); model.python('x_o', [0.5, null, 0.25, 1])")
    assert shown.evaluate("root.explorer.beta") == 12.5
    assert shown.evaluate("Array.from(root.explorer.off)") == [1]
    assert shown.evaluate("root.explorer.wanted(0).weights.join()") == "1,0,1,1"
    shown.wait_for_function(settled, timeout=20_000)
    assert "beta 12.5" in shown.evaluate("root.querySelector('.status').textContent")
    # Python is not told what it said itself.
    assert shown.evaluate("model.saved") == saved
    shown.evaluate("end()")
    assert shown.evaluate("Object.keys(listeners)") == []
    assert complaints == []
    shown.close()


def test_the_traits_are_those_of_the_posterior(page) -> None:
    pytest.importorskip("anywidget", reason="anywidget is not installed: pip install 'genbayes[notebook]'")
    traitlets = pytest.importorskip("traitlets")
    moved: Any = page.widget()
    assert moved.beta == 60.0
    np.testing.assert_array_equal(moved.x_o, page.x_o)
    assert json.loads(moved.numbers)["names"] == ["slope", "start"]
    moved.x_o = [0.0, None, 1.0, 2.0]
    with pytest.raises(traitlets.TraitError, match="x_o must have 4 values, got 2"):
        moved.x_o = [1.0, 2.0]
    with pytest.raises(traitlets.TraitError, match="beta must be greater than 0"):
        moved.beta = -1.0


def test_without_anywidget_the_remedy_is_told(page, monkeypatch) -> None:
    real = builtins.__import__

    def missing(name: str, *rest: Any, **more: Any) -> Any:
        if name == "anywidget":
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(ImportError, match=r'pip install "genbayes\[notebook\]"'):
        page.widget()
