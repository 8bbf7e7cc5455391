"""SBML models are simulated by libroadrunner, and give what their equations have in closed form."""

import math
from pathlib import Path

import numpy as np
import pytest

import genbayes as gb

MODEL = Path(__file__).parents[2] / "examples" / "sbml" / "chain.xml"
TIMES = np.array([0.0, 0.5, 1.0, 4.0])
PRIOR = gb.Prior.uniform([0.5, 0.1], [1.5, 0.4], names=["k1", "k2"])
needs_roadrunner = pytest.mark.usefixtures("roadrunner")


@pytest.fixture(scope="module")
def roadrunner():
    return pytest.importorskip("roadrunner", reason="pip install 'genbayes[sbml]'")


def chain(k1, k2, times, start=10.0):
    """A -> B -> nothing, from A = start: both concentrations."""
    a = start * np.exp(-k1 * times)
    return a, start * k1 / (k2 - k1) * (np.exp(-k1 * times) - np.exp(-k2 * times))


@needs_roadrunner
@pytest.mark.parametrize("workers", [1, 2])
def test_a_chain_of_reactions_is_its_closed_form(workers) -> None:
    model = gb.SBMLModel(MODEL, outputs={"first": "[A]", "second": "[B]"}, times=TIMES)
    made = gb.simulate(model, PRIOR, 12, seed=0, workers=workers, progress=False)
    assert made.ok.all()
    assert made.simulator == "chain.xml"
    assert made.outputs is not None
    fields = made.outputs.fields(made.x)
    for row, (k1, k2) in enumerate(made.theta.astype(float)):
        exact = chain(k1, k2, TIMES)
        # Of the solver's tolerance of 1e-6, and single precision.
        np.testing.assert_allclose(fields["first"][row], exact[0], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(fields["second"][row], exact[1], rtol=1e-4, atol=1e-4)


@needs_roadrunner
def test_a_run_knows_nothing_of_the_one_before() -> None:
    model = gb.SBMLModel(MODEL, outputs=["[A]", "[B]"], times=TIMES)
    theta = np.array([[1.2, 0.3], [0.6, 0.2], [1.2, 0.3]], np.float32)
    x = gb.simulate_at(model, theta, seed=0, names=PRIOR.names, progress=False).x
    np.testing.assert_array_equal(x[0], x[2])


@needs_roadrunner
def test_initial_amounts_and_conditions_are_set_and_assignments_follow() -> None:
    prior = gb.Prior.uniform([0.5, 1.0], [1.5, 5.0], names=["k1", "start"])
    model = gb.SBMLModel(MODEL, outputs=["[A]", "[C]"], times=[1.0, 3.0], parameters={"start": "[A]"})
    known = gb.Prior.uniform(0.1, 0.4, names=["k2"])
    made = gb.simulate(model, prior, 6, seed=0, conditions=known, progress=False)
    (k1, start), k2 = made.theta.astype(float).T, made.conditions[:, 0].astype(float)
    values = made.x.reshape(len(made), 2, 2)
    for row in range(len(made)):
        # The first time is 1: the model starts at 0 all the same.
        np.testing.assert_allclose(values[row, 0], chain(k1[row], k2[row], np.array([1.0, 3.0]), start[row])[0], 1e-4)
        # C(0) = 2 k2 by an initial assignment, and C does not change.
        np.testing.assert_allclose(values[row, 1], 2 * k2[row], rtol=1e-5)


@needs_roadrunner
def test_stochastic_runs_have_their_seed_and_the_mean_of_the_equations() -> None:
    model = gb.SBMLModel(MODEL, outputs=["A"], times=[0.0, 1.0], stochastic=True)
    theta = np.tile(np.array([[1.0, 0.2]], np.float32), (400, 1))
    one, two = (gb.simulate_at(model, theta, seed=seed, names=PRIOR.names, progress=False).x for seed in (3, 3))
    np.testing.assert_array_equal(one, two)
    # Ten molecules that each live on with probability exp(-1): binomial. Five standard errors are 0.38.
    share = math.exp(-1)
    assert abs(one[:, -1].mean() - 10 * share) < 5 * math.sqrt(10 * share * (1 - share) / 400)
    assert abs(one[:, -1].var() - 10 * share * (1 - share)) < 0.9


@needs_roadrunner
@pytest.mark.parametrize(
    ("change", "names", "told"),
    [
        ({"outputs": ["[X]"]}, ["k1", "k2"], r"no symbol '\[X\]', which is an output. It has k1, k2, A, B"),
        ({}, ["k1", "k3"], "no symbol 'k3', which is a parameter of the prior"),
        ({"parameters": {"k4": "k2"}}, ["k1", "k2"], "`parameters` has 'k4', which is none of k1, k2"),
    ],
)
def test_unknown_symbols_are_named(change, names, told) -> None:
    model = gb.SBMLModel(MODEL, **{"outputs": ["[A]"], "times": TIMES, **change})
    with pytest.raises(ValueError, match=told):
        gb.simulate(model, gb.Prior.uniform([0, 0], [1, 1], names=names), 3, seed=0, progress=False)


@needs_roadrunner
def test_what_is_no_model_is_refused(tmp_path) -> None:
    (tmp_path / "broken.xml").write_text("<sbml>")
    model = gb.SBMLModel(tmp_path / "broken.xml", outputs=["[A]"], times=TIMES)
    with pytest.raises(ValueError, match=r"broken.xml cannot be read as an SBML model"):
        gb.simulate(model, PRIOR, 3, seed=0, progress=False)


@pytest.mark.parametrize(
    ("times", "told"),
    [([1.0, 1.0], "must ascend"), ([-1.0, 0.0], "from 0 on"), ([], "one number or more"), ([np.nan], "one number")],
)
def test_times_that_cannot_be_are_refused(times, told) -> None:
    with pytest.raises(ValueError, match=told):
        gb.SBMLModel(MODEL, outputs=["[A]"], times=times)


def test_a_file_that_is_not_there_and_outputs_that_are_no_list(tmp_path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none.xml"):
        gb.SBMLModel(tmp_path / "none.xml", outputs=["[A]"], times=TIMES)
    with pytest.raises(ValueError, match="`outputs` must be a list"):
        gb.SBMLModel(MODEL, outputs="[A]", times=TIMES)


def test_without_the_extra_the_remedy_is_named(monkeypatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "roadrunner", None)
    monkeypatch.setitem(__import__("sys").modules, "_genbayes_sbml", type(__import__("sys"))("_genbayes_sbml"))
    model = gb.SBMLModel(MODEL, outputs=["[A]"], times=TIMES)
    with pytest.raises(ImportError, match=r"pip install 'genbayes\[sbml\]'"):
        gb.simulate(model, PRIOR, 3, seed=0, progress=False)
