"""Laws of every registered check, and of evidence: measured once, whoever asks."""

import json
import re

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

import genbayes as gb
from genbayes.checks.coverage import Coverage
from genbayes.checks.evidence import Evidence
from genbayes.checks.finding import Finding
from genbayes.checks.findings import findings
from genbayes.checks.registry import CHECKS, checks_for, register

PRIOR = gb.Prior({"a": dist.Uniform(-1.0, 1.0), "b": dist.Normal(0.0, 1.0)})
COST = gb.Cost.exact(lambda theta, x_o: jnp.mean((theta - x_o) ** 2) + 0.09, names=PRIOR.names, x_shape=(2,), units="1")
RNG = np.random.default_rng(0)
LEVELS = ("ok", "note", "care", "bad")


def made(*, n=400, x_o=(0.3, 0.2), near=None, runs=60, failed=0, rows=400, covered=None, off=1.0, spread=0.05):
    """Evidence of `n` draws near a point, `runs` new runs at them, and `rows` simulations."""
    x_o = np.asarray(x_o, np.float32)
    centre = x_o if near is None else np.asarray(near)
    theta = (np.clip(centre, -0.99, 5) + spread * RNG.normal(size=(4, n // 4, 2))).clip([-1, -9], [1, 9]).astype("f4")
    cost = np.asarray(COST(theta, x_o))
    posterior = gb.GibbsPosterior(PRIOR, COST, x_o, 20.0)
    draws = gb.Draws(theta, cost, PRIOR.names, 20.0, x_o, "exact", 0)
    predictive = None
    if runs:
        chosen = draws.flat[np.arange(runs) % len(draws)]
        x, again = chosen + 0.3 * RNG.normal(size=(2, runs, 2))
        one, two = (np.mean((part - x_o) ** 2, axis=1) for part in (x, again))
        between = np.mean((x - again) ** 2, axis=1)
        predicted = off * (np.mean((chosen - x_o) ** 2, axis=1) + 0.09)
        predictive = gb.PredictiveCheck(chosen, x, predicted, one, between, failed, 0.0, 2.0, two, beta=20.0)
    simulations = None
    if rows:
        parameters = np.asarray(PRIOR.sample(rows, seed=1))
        x = parameters + 0.3 * RNG.normal(size=(rows, 2))
        x[: rows // 20] = np.nan
        simulations = gb.Simulations.from_arrays(parameters, x, PRIOR.names)
    return Evidence(posterior, draws, predictive, simulations, coverage=covered)


def one_parameter():
    prior = gb.Prior({"a": dist.Normal(0.0, 1.0)})
    cost = gb.Cost.exact(lambda theta, x_o: (theta[0] - x_o[0]) ** 2, names=("a",), x_shape=(1,), units="1")
    posterior = gb.GibbsPosterior(prior, cost, np.zeros(1, np.float32), 20.0)
    theta = (0.15 * RNG.normal(size=(4, 50, 1))).astype("f4")
    of_draws = np.asarray(cost(theta, np.zeros(1)))
    return Evidence(posterior, gb.Draws(theta, of_draws, ("a",), 20.0, posterior.x_o, "exact", 0))


def coverage(share):
    levels = np.array([0.5, 0.9])
    band = np.stack([levels - 0.05, levels + 0.05])
    return Coverage(20.0, levels, levels + share, band, np.tile(levels, (2, 1)), PRIOR.names, 200)


# Of each kind that there is: everything given, nothing given, too little of everything, and wrong in every way.
EVIDENCE = {
    "everything": lambda: made(covered=coverage(0.0)),
    "nothing": lambda: made(runs=0, rows=0),
    "too little": lambda: made(n=8, runs=1, rows=40),
    "wrong": lambda: made(x_o=(40.0, -30.0), near=(0.999, 0.0), failed=3, covered=coverage(-0.3), off=0.2),
    "one draw a chain": lambda: made(n=4, runs=3, rows=150),
    "one parameter": lambda: one_parameter(),
    "one and the same draw": lambda: made(spread=0.0),
}


@pytest.fixture(scope="module", params=EVIDENCE)
def evidence(request):
    return EVIDENCE[request.param]()


def test_every_check_answers_with_findings_on_any_evidence(evidence):
    known = checks_for(evidence)
    assert len(known) >= 15
    for check in known:
        missing = None if check.missing is None else check.missing(evidence)
        if missing is not None:
            assert not missing.judged
            assert missing.level in ("note", "care")
        # As the verdict does: a check that lacks something is not asked to judge.
        for finding in check.judge(evidence) if missing is None else [missing]:
            assert isinstance(finding, Finding)
            assert finding.level in LEVELS
            assert finding.check == check.name
            assert finding.text
            assert finding.text[-1] in ".:)"
            # What is not defined is said in words.
            assert not re.search(r"\b(nan|inf)\b", finding.text)
            json.dumps(dict(finding.numbers))
            # Outcomes of samplers and fits hold their remedies in their text; failed runs are told with the failures.
            if finding.level in ("care", "bad") and check.name not in ("sampling", "fit", "failures at the draws"):
                assert finding.remedy or not finding.judged


def test_draws_that_never_move_are_not_called_few():
    (finding,) = [one for one in findings(made(spread=0.0)) if one.check == "sampling" and not one.judged]
    assert "all draws of a parameter are the same" in finding.text
    (finding,) = [one for one in findings(made(n=8)) if one.check == "sampling" and not one.judged]
    assert "too few draws: 2 a chain" in finding.text


def test_causes_are_told_before_their_effects():
    found = findings(EVIDENCE["wrong"]())
    order = [finding.check for finding in found if finding.level in ("care", "bad")]
    wanted = ["units", "support", "bounds", "prediction", "failures", "cost", "resolution", "failures at the draws"]
    assert [name for name in order if name in wanted] == [name for name in wanted if name in order]
    assert {"support", "bounds", "cost", "resolution", "coverage"} <= set(order)
    # Where the simulator is not to blame, what the observation lies outside of comes after the network's faults.
    network = checks_for(EVIDENCE["everything"]())
    places = {check.name: i for i, check in enumerate(network)}
    assert places["prediction"] > places["means"]


def test_all_is_measured_once(monkeypatch, tmp_path):
    """By the check, and never again by the report that shows it, nor by a check of the same cost at another beta."""
    calls = {"reference": 0, "means": 0, "position": 0}
    support = gb.SupportReference.of.__func__
    means, position = (Evidence.__dict__[name].func for name in ("means", "position"))

    def counted(name, function):
        def call(*args, **kwargs):
            calls[name] += 1
            return function(*args, **kwargs)

        return call

    monkeypatch.setattr(gb.SupportReference, "of", classmethod(counted("reference", support)))
    monkeypatch.setattr(Evidence.__dict__["means"], "func", counted("means", means))
    monkeypatch.setattr(Evidence.__dict__["position"], "func", counted("position", position))
    given = made()
    found = gb.check(given.posterior, given.draws, None, given.simulations, predictive=given.predictive, seed=0)
    assert calls == {"reference": 1, "means": 1, "position": 1}
    page = gb.report(tmp_path / "r.html", given.posterior, given.draws, check=found, warnings=["mind the gap"])
    assert calls == {"reference": 1, "means": 1, "position": 1}
    text = page.read_text("utf-8")
    assert all(finding.text.split(":")[0] in text for finding in found.findings)
    assert "mind the gap" in text
    given_support = found.evidence.support
    assert given_support is not None
    hotter = gb.GibbsPosterior(PRIOR, COST, given.posterior.x_o, 40.0)
    draws = gb.Draws(given.draws.theta, given.draws.cost, PRIOR.names, 40.0, hotter.x_o, "exact", 0)
    again = gb.check(hotter, draws, None, given.simulations, reference=found.evidence.reference, seed=0)
    assert calls["reference"] == 1
    assert again.evidence.support is not None
    assert again.evidence.support.summary() == given_support.summary()
    # A check without simulations is judged anew once there are some.
    bare = gb.check(given.posterior, given.draws, predictive=given.predictive, seed=0)
    gb.report(tmp_path / "s.html", given.posterior, given.draws, check=bare, simulations=given.simulations)
    assert calls["reference"] == 2


def test_a_check_of_other_draws_is_refused(tmp_path):
    given, other = made(), made(x_o=(0.1, 0.1))
    found = gb.check(other.posterior, other.draws, seed=0)
    with pytest.raises(ValueError, match="not this posterior's"):
        gb.report(tmp_path / "r.html", given.posterior, given.draws, check=found)
    with pytest.raises(TypeError):
        gb.report(tmp_path / "r.html", given.posterior, given.draws, check="yes")  # type: ignore[arg-type]
    cost = gb.Cost.exact(lambda theta, x_o: jnp.sum((theta - x_o) ** 2), names=PRIOR.names, x_shape=(2,), units="1")
    with pytest.raises(ValueError, match="reference was made for another cost"):
        gb.check(
            gb.GibbsPosterior(PRIOR, cost, given.posterior.x_o, 20.0), given.draws, reference=given.reference, seed=0
        )


def test_a_check_of_ones_own_is_told_in_its_place(monkeypatch):
    monkeypatch.setattr(CHECKS, "entries", dict(CHECKS.entries))

    @register("own", place=35)
    def judge_own(evidence):
        return [Finding("care", f"Own: {len(evidence.draws)} draws.", "Do it.", "own")]

    found = gb.check(*(lambda e: (e.posterior, e.draws))(EVIDENCE["nothing"]()), seed=0)
    order = [finding.check for finding in found.findings if finding.level == "care"]
    assert order.index("own") < order.index("cost")
    # The cell of a notebook may run twice; a name that is taken by another module may not be taken again.
    register("own", place=36)(judge_own)
    with pytest.raises(ValueError, match="there is a check 'support' already, registered by genbayes.checks"):
        register("support", place=36)(judge_own)
