"""Scales that a cost takes from simulations: from which ones, in which files and commands, and what is said of them."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors
import safetensors.numpy

import genbayes as gb
from genbayes import distances as gbd
from genbayes.checks.evidence import Evidence
from genbayes.checks.findings import findings
from genbayes.command_line import stages
from genbayes.command_line.folder import Folder, stored_cost
from genbayes.command_line.problem import read_problem
from genbayes.command_line.staleness import stale
from genbayes.costs import files
from genbayes.costs.frame import Frame
from genbayes.distances.spread import OutputSpread

QUICK = gb.FitConfig(members=2, width=8, depth=1, max_epochs=2, patience=2)
PRIOR = gb.Prior.uniform([-2.0, 0.5], [2.0, 1.5], ["place", "size"])
RNG = np.random.default_rng(3)
THETA = np.asarray(PRIOR.sample(600, seed=1))
MEANS = np.stack([THETA[:, 0], 1e4 * THETA.sum(1), THETA[:, 1]], 1)
X = MEANS + RNG.standard_normal((600, 3)) * [0.2, 2e3, 0.2]
X_O = np.array([0.4, 1.5e4, 1.1])
SIMULATIONS = gb.Simulations.from_arrays(THETA, X, PRIOR.names)


def fit(distance: gbd.Distance, **settings: object) -> gb.Cost:
    return gb.fit_cost(SIMULATIONS, distance, config=QUICK, progress=False, **settings)  # pyright: ignore


def scale_of(cost: gb.Cost) -> np.ndarray:
    assert isinstance(cost.distance, gbd.AdditiveDistance)
    return np.asarray(cost.distance.scale)


@pytest.mark.slow
def test_a_cost_takes_its_scale_from_the_outputs_in_data_units() -> None:
    cost = fit(gbd.MeanSquaredError("median"))
    expected = 1.4826 * np.median(np.abs(X - np.median(X, axis=0)), axis=0)
    # In single precision.
    np.testing.assert_allclose(scale_of(cost), expected, rtol=1e-4)
    near = fit(gbd.MeanSquaredError("observation", transform="asinh"), x_o=X_O)
    by_hand = gbd.MeanSquaredError("observation", transform="asinh").fitted(X, X_O)
    np.testing.assert_allclose(scale_of(near), np.asarray(by_hand.scale), rtol=1e-4)
    assert near.settings["scale_observation"] == X_O.tolist()
    assert np.all(scale_of(near) < 0.5 * scale_of(fit(gbd.MeanSquaredError("median", transform="asinh"))))


def test_an_observation_is_given_where_it_is_used() -> None:
    with pytest.raises(ValueError, match=r"fit_cost\(\.\.\., x_o=x_o\)"):
        fit(gbd.MeanSquaredError("observation"))
    with pytest.raises(ValueError, match="leave x_o out"):
        fit(gbd.MeanSquaredError("median"), x_o=X_O)
    with pytest.raises(ValueError, match=r"shape \(2, 3\), but scale='observation' takes one observation"):
        fit(gbd.MeanSquaredError("observation"), x_o=np.stack([X_O, X_O]))
    with pytest.raises(ValueError, match="x_o must be 0 or more for transform='sqrt'.*coordinates 0, 1, 2 .*-1"):
        gb.fit_cost(
            gb.Simulations.from_arrays(THETA, X**2),
            gbd.HuberError(1.0, "observation", transform="sqrt"),
            x_o=-X_O / 0.4,
        )


def earlier(path: Path) -> Path:
    """The file as version 8 would have written it."""
    with safetensors.safe_open(path, framework="numpy") as file:
        header, tensors = dict(file.metadata()), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    described = json.loads(header["description"])
    for name in described.pop("spread").values():
        del tensors[name]
    assert described.pop("transform") is None
    for node in (described["distance"], described["form"].get("fields", {}).get("distance")):
        if node is not None:
            assert node["fields"].pop("transform") is None
            del node["fields"]["scale_rule"]
    text = json.dumps(described)
    header |= {"description": text, "format_version": "8", "checksum": files._checksum(f"8{text}", tensors)}
    path.write_bytes(safetensors.numpy.save(tensors, header))
    return path


@pytest.mark.slow
def test_files_of_earlier_versions_are_read(tmp_path: Path) -> None:
    for distance in (gbd.MeanSquaredError("prior_predictive"), gbd.Mahalanobis("prior_predictive")):
        cost = fit(distance)
        again = gb.load(earlier(gb.save(cost, tmp_path / "cost")))
        np.testing.assert_array_equal(again(THETA[:20], X_O), cost(THETA[:20], X_O))
        assert again.outcome == cost.outcome
        assert gb.load(gb.save(again, tmp_path / "cost"))(THETA[0], X_O) == cost(THETA[0], X_O)


@pytest.mark.slow
def test_the_scale_rule_of_another_distance_is_that_of_the_same_simulations(tmp_path: Path) -> None:
    cost = fit(gbd.MeanSquaredError(1.0), method="marginal")
    wanted = fit(gbd.MeanAbsoluteError("median"), method="marginal")
    read = gb.load(gb.save(cost, tmp_path / "cost"))
    for other in (cost, read):
        turned = other.with_distance(gbd.MeanAbsoluteError("median"))
        np.testing.assert_array_equal(scale_of(turned), scale_of(wanted))
        np.testing.assert_allclose(turned(THETA[:20], X_O), wanted(THETA[:20], X_O), rtol=1e-5)
    with pytest.raises(ValueError, match=r"transform=None, and the distance has transform='asinh'"):
        cost.with_distance(gbd.MeanAbsoluteError(transform="asinh"))
    with pytest.raises(ValueError, match=r"give distance.fitted\(x, x_o\)"):
        cost.with_distance(gbd.HuberError(1.0, "observation"))
    near = gbd.HuberError(1.0, "observation").fitted(X, X_O)
    np.testing.assert_allclose(scale_of(cost.with_distance(near)), np.asarray(near.scale), rtol=1e-6)
    old = gb.load(earlier(tmp_path / "cost"))
    turned = old.with_distance(gbd.HuberError(1.0, "prior_predictive"))
    np.testing.assert_array_equal(
        scale_of(turned), scale_of(cost.with_distance(gbd.HuberError(1.0, "prior_predictive")))
    )
    with pytest.raises(ValueError, match="file of an earlier genbayes, which holds none: fit it again"):
        old.with_distance(gbd.HuberError(1.0, "median"))


@pytest.mark.long
@pytest.mark.slow
def test_a_sensitivity_analysis_keeps_the_transform() -> None:
    cost = fit(gbd.MeanSquaredError("median", transform="asinh"), method="marginal")
    posterior = gb.GibbsPosterior(PRIOR, cost, X_O, 5.0)
    found = gb.sensitivity(posterior, n=64, seed=0, progress=False)
    assert {variant.distance.transform for variant in found.variants} == {"asinh"}
    assert len({type(variant.distance) for variant in found.variants}) == 4
    # In units of replicate distances: of transformed outputs, of which predictions are near.
    assert np.all(found.misfit[0] < 20)


def told(posterior: gb.GibbsPosterior) -> list[str]:
    draws = posterior.sample(64, seed=0, sampler=gb.SMC(min_particles=64))
    assert all(text in draws.outcome.messages for text in posterior.scale_outcome.messages)
    found = findings(Evidence(posterior, draws, None, None))
    assert all(one.level == "care" for one in found if one.check == "scale")
    return [one.text for one in found if one.check == "scale"]


@pytest.mark.long
@pytest.mark.slow
def test_a_scale_that_leaves_a_coordinate_without_a_say_is_told(tmp_path: Path) -> None:
    x = np.stack([X[:, 0], np.exp(2.5 * RNG.standard_normal(600) + THETA[:, 0])], axis=1)
    simulations, x_o = gb.Simulations.from_arrays(THETA, x, PRIOR.names), np.array([0.4, 2.0])

    cost = gb.fit_cost(simulations, gbd.Mahalanobis("prior_predictive"), config=QUICK, progress=False)
    one = gb.GibbsPosterior(PRIOR, gb.load(gb.save(cost, tmp_path / "cost")), x_o, 5.0)
    assert "coordinate 1 is set by a few runs" in str(one.cost.outcome)
    assert "coordinate 1 dwarfs the observation" in str(one.outcome)
    assert len(told(one)) == 2
    stack = gb.GibbsPosteriors(PRIOR, one.cost, np.array([[0.4, 1e4], [0.4, 2.0], [0.1, 3.0]]), 5.0)
    assert "Of 2 of 3 observations, the first is number 1: The prior-predictive scale of the output coord" in str(
        stack.outcome
    )
    for distance in (
        gbd.MeanSquaredError("median"),
        gbd.MeanSquaredError("prior_predictive", transform="asinh"),
        gbd.MeanSquaredError("prior_predictive", weights=[1.0, 0.0]),
        gbd.MeanSquaredError([1.0, 1e4]),
    ):
        # What is said depends on the distance, the frame and the spread alone.
        frame = Frame.of(x, "nothing", distance.output_transform)
        fine = replace(one.cost, distance=distance, frame=frame, spread=OutputSpread.of(frame(x)))
        assert fine.scale_outcome.ok
        assert fine.judge_scale(x_o).ok


PROBLEM = """
simulator = "model_near:simulate"
[prior]
a = { distribution = "Uniform", low = -2.0, high = 2.0 }
[distance]
name = "MeanSquaredError"
scale = "observation"
transform = "log1p"
[fit]
method = "marginal"
members = 1
max_epochs = 2
width = 8
depth = 1
"""
OBSERVATION = "[observation]\nvalues = [{}, 2.0]\n"
MODEL = """
import numpy as np

def simulate(theta, rng):
    return np.exp(theta[0] + 0.3 * rng.normal(size=2))
"""


def test_a_problem_file_names_rule_and_transform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "model_near.py").write_text(MODEL)
    path = tmp_path / "near.toml"
    path.write_text(PROBLEM)
    with pytest.raises(ValueError, match=r"\[distance\] scale: \"observation\" needs a table \[observation\]"):
        read_problem(path)
    path.write_text(PROBLEM.replace("log1p", "log") + OBSERVATION.format(1.0))
    with pytest.raises(ValueError, match=r"\[distance\]: MeanSquaredError cannot be made of .*log1p"):
        read_problem(path)
    path.write_text(PROBLEM + OBSERVATION.format(1.0))
    problem, folder = read_problem(path), Folder(tmp_path / "out")
    simulations = stages.run_simulations(problem, folder, 300, seed=0, progress=False)
    stages.run_fit(problem, folder, simulations, seed=0, progress=False)
    cost = stored_cost(problem, folder)
    x_o = np.array([1.0, 2.0])
    by_hand = gbd.MeanSquaredError("observation", transform="log1p").fitted(simulations.x, x_o)
    # The member holds a tenth of the rows out.
    np.testing.assert_allclose(scale_of(cost), np.asarray(by_hand.scale), rtol=0.2)
    assert cost.distance.output_transform.name == "log1p"
    assert stale(problem, folder, cost) == []
    path.write_text(PROBLEM + OBSERVATION.format(1.5))
    assert "has the scale of another observation" in str(stale(read_problem(path), folder, cost))
    # Another rule is served by the same networks, another transform is not.
    path.write_text(PROBLEM.replace("observation", "median"))
    turned, median = stored_cost(read_problem(path), folder), gbd.MeanSquaredError("median", transform="log1p")
    np.testing.assert_allclose(scale_of(turned), np.asarray(median.fitted(simulations.x).scale), rtol=0.1)
    assert np.all(scale_of(turned) > 1.5 * scale_of(cost))
    path.write_text(PROBLEM.replace("observation", "median").replace("log1p", "asinh"))
    kept = stored_cost(read_problem(path), folder)
    assert kept.distance.output_transform.name == "log1p"
    assert "[distance] or [fit] have changed" in str(stale(read_problem(path), folder, kept))
