"""Findings call values by their dates, times and names, and observations of a stack by the names of their groups."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import genbayes as gb
from genbayes.checks.output_space import steps_shown, vector_names

PRIOR = gb.Prior.uniform([-2.0], [2.0], ["level"])
EXACT = gb.Cost.exact(lambda theta, x: jnp.mean((theta[0] - x) ** 2), names=("level",), x_shape=(30,), units="1")
DAYS = np.arange("2021-04-01", "2021-05-01", dtype="datetime64[D]")


def simulator(key, theta):
    return theta[0] + 0.1 * jax.random.normal(key, (30,))


@pytest.fixture
def gauge(tmp_path):
    """A month of a gauge with one gap and one day that no run comes near."""
    values = 0.5 + 0.1 * np.random.default_rng(0).normal(size=30)
    values[8], values[20] = np.nan, 3.0
    lines = [f"{day},{'' if np.isnan(value) else value:}" for day, value in zip(DAYS, values, strict=True)]
    (tmp_path / "gauge.csv").write_text("date,stage\n" + "\n".join(lines) + "\n")
    return gb.read_observation(tmp_path / "gauge.csv", column="stage", index="date")


def test_a_day_that_the_runs_miss_is_told_by_its_date(gauge, tmp_path) -> None:
    simulations = gb.simulate(simulator, PRIOR, 500, seed=0, progress=False)
    cost = gb.fit_cost(simulations, gb.distances.MeanSquaredError(), progress=False)
    posterior = gb.GibbsPosterior(PRIOR, cost, gauge, 100.0)
    assert "1 of 30 values missing (2021-04-09)" in repr(posterior)
    draws = posterior.sample(500, seed=0)
    verdict = gb.check(posterior, draws, simulator, simulations, n=100, seed=1, progress=False)
    finding = next(one for one in verdict.findings if one.check == "prediction")
    assert "2021-04-21 is 3" in finding.text
    page = gb.report(tmp_path / "run.html", posterior, draws, check=verdict, simulations=simulations, explorer=False)
    text = page.read_text("utf-8")
    assert "2021-04-21 is 3" in text
    assert "1 of 30 values missing (2021-04-09)" in text
    # Given as numbers the observation has no dates, unless they are told.
    plain = gb.GibbsPosterior(PRIOR, cost, np.asarray(gauge), 100.0)
    known = {"predictive": verdict.predictive, "seed": 1, "progress": False}
    told = gb.check(plain, draws, **known)
    assert "output 21 is 3" in next(one.text for one in told.findings if one.check == "prediction")
    hours = gb.check(plain, draws, axis=(np.arange(30) / 2, "hour"), **known)
    assert "hour 10 is 3" in next(one.text for one in hours.findings if one.check == "prediction")
    assert posterior.observation is gauge


def test_names_of_steps() -> None:
    assert steps_shown(DAYS[:2], 2) == ["2021-04-01", "2021-04-02"]
    assert steps_shown(DAYS, 2) is None
    assert steps_shown(None, 2) is None
    assert steps_shown([0.5, 1.5], 2) == ["step 0.5", "step 1.5"]
    assert vector_names((2, 2), "series", ["hare", "lynx"], (np.array([1900, 1901]), "year")) == [
        "hare at year 1900",
        "lynx at year 1900",
        "hare at year 1901",
        "lynx at year 1901",
    ]
    assert vector_names((2,), "coordinates", ["a", "b"], DAYS[:2]) == ["a", "b"]


def test_observations_of_a_stack_have_the_names_of_their_groups(tmp_path) -> None:
    rng = np.random.default_rng(0)
    rows = [f"{name},{hour},{0.3 + 0.1 * rng.normal()}" for name in ("Ada", "Ben", "Cem") for hour in range(30)]
    far = [f"Dov,{hour},{9.0 * (-1) ** hour}" for hour in range(30)]
    (tmp_path / "doses.csv").write_text("patient,hour,conc\n" + "\n".join([*rows, *far]) + "\n")
    found = gb.read_observation(tmp_path / "doses.csv", group="patient", index="hour")
    simulations = gb.simulate(simulator, PRIOR, 400, seed=0, progress=False)
    cost = gb.fit_cost(simulations, gb.distances.MeanSquaredError(), progress=False)
    stack = gb.GibbsPosteriors(PRIOR, cost, found, 50.0)
    draws = stack.sample(300, seed=0, progress=False)
    check = gb.check_stack(stack, draws, simulations)
    assert check.names == ("Ada", "Ben", "Cem", "Dov")
    support = next(one for one in check.findings if one.check == "support")
    # Of the others one may be unusual by chance.
    assert ": Dov" in support.text
    assert "number" not in support.text
    assert [row[0] for row in check.rows] == ["Ada", "Ben", "Cem", "Dov"]
    assert json.loads(check.to_json())["posteriors"][3]["observation"] == "Dov"
    numbered = gb.check_stack(gb.GibbsPosteriors(PRIOR, cost, np.asarray(found), 50.0), draws, simulations)
    assert ": number 3" in next(one.text for one in numbered.findings if one.check == "support")
    assert gb.check_stack(stack, draws, names=list("abcd")).rows[1][0] == "b"
    with pytest.raises(ValueError, match="names must be those of 4 observations, got 2"):
        gb.check_stack(stack, draws, names=["a", "b"])


def test_named_outputs_that_are_missing_are_named() -> None:
    def named(theta, rng):
        return {"peak": theta[0] + rng.normal(), "curve": theta[0] + rng.normal(size=2)}

    simulations = gb.simulate(named, PRIOR, 300, seed=0, progress=False)
    cost = gb.fit_cost(simulations, gb.distances.MeanSquaredError(), progress=False)
    posterior = gb.GibbsPosterior(PRIOR, cost, {"peak": 0.1, "curve": [np.nan, 0.2]}, 1.0)
    assert "1 of 3 values missing (at curve[0])" in repr(posterior)
    with pytest.raises(ValueError, match=r"the first at curve\[1\]"):
        cost.check_observation({"peak": 0.1, "curve": [0.0, np.inf]})
