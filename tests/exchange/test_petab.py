"""PEtab problems: priors and log-likelihoods against PEtab's arithmetic and by hand; what is not read is refused."""

import importlib
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import genbayes as gb

PETAB: Any = pytest.importorskip("petab.v1", reason="petab is not installed", exc_type=ImportError)
# PEtab's package reads tables by an option that pandas will drop.
pytestmark = [
    pytest.mark.filterwarnings("ignore:The 'float_precision' argument"),
    pytest.mark.filterwarnings("ignore:The inplace keyword"),
]
BEFORE, OF_OBSERVABLES = "preequilibrationConditionId", "observableParameters"

PARAMETERS = """
parameterId parameterScale lowerBound upperBound nominalValue estimate objectivePriorType objectivePriorParameters
rate log10 0.01 10 0.5 1 - -
size log 0.1 100 3.0 1 parameterScaleNormal 1.0;0.5
shift lin -5 5 0.2 1 normal 0.5;2.0
slope lin -5 5 0.1 1 laplace 0.0;1.0
gain log10 0.1 10 1.0 1 logNormal 0.0;0.3
sd lin 0.01 1 0.1 1 - -
sd_total lin 0.01 1 0.2 0 - -
"""
OBSERVABLES = """
observableId observableFormula noiseFormula observableTransformation noiseDistribution
prey prey noiseParameter1_prey lin normal
total prey+pred sd_total*2 log10 normal
"""
CONDITIONS = """
conditionId dose
low 1.0
high gain
"""
MEASUREMENTS = """
observableId simulationConditionId measurement time noiseParameters
prey low 3.1 0 0.1
total low 3.0 1 -
prey low 1.8 1 sd
prey high 2.9 0 0.3
total high 4.0 2 -
prey low 1.9 1 0.1
"""


def written(folder: Path, **changes: str) -> Path:
    """The problem as files, some tables changed."""
    tables = {
        "parameters": PARAMETERS,
        "observables": OBSERVABLES,
        "conditions": CONDITIONS,
        "measurements": MEASUREMENTS,
    } | changes
    for name, text in tables.items():
        lines = ["\t".join("" if cell == "-" else cell for cell in line.split()) for line in text.strip().split("\n")]
        (folder / f"{name}.tsv").write_text("\n".join(lines) + "\n")
    (folder / "problem.yaml").write_text(
        f"format_version: {changes.get('version', 1)}\nparameter_file: parameters.tsv\nproblems:\n"
        "- condition_files: [conditions.tsv]\n  measurement_files: [measurements.tsv]\n"
        "  observable_files: [observables.tsv]\n  sbml_files: []\n"
    )
    return folder / "problem.yaml"


def decay(parameters, condition, times):
    prey = condition["dose"] * parameters["size"] * np.exp(-parameters["rate"] * times) + parameters["shift"]
    return {"prey": prey, "total": prey + np.exp(parameters["slope"] * times)}


@pytest.fixture
def problem(tmp_path) -> gb.PetabProblem:
    return gb.from_petab(written(tmp_path), decay, held={"sd": 0.2})


RNG = np.random.default_rng(0)
THETA = np.array([0.5, 3.0, 0.2, 0.1, 1.5])


def test_the_log_likelihood_is_petabs(problem, tmp_path) -> None:
    assert problem.prior.names == ("rate", "size", "shift", "slope", "gain")
    # By hand, in the order of the table.
    prey = [3.2, 3 * np.exp(-0.5) + 0.2, 4.5 + 0.2, 3 * np.exp(-0.5) + 0.2]
    by_hand = stats.norm.logpdf([3.1, 1.8, 2.9, 1.9], prey, [0.1, 0.2, 0.3, 0.1]).sum()
    total = [prey[1] + np.exp(0.1), 4.5 * np.exp(-1.0) + 0.2 + np.exp(0.2)]
    measured = np.array([3.0, 4.0])
    by_hand += stats.norm.logpdf(np.log10(measured), np.log10(total), 0.4).sum()
    by_hand -= np.log(measured * np.log(10)).sum()
    assert problem.log_likelihood(THETA) == pytest.approx(by_hand, rel=1e-12)

    own = PETAB.Problem.from_yaml(str(tmp_path / "problem.yaml"))
    own.parameter_df.loc[list(problem.prior.names), "nominalValue"] = THETA
    own.parameter_df.loc["sd", "nominalValue"] = 0.2
    simulated = own.measurement_df.rename(columns={"measurement": "simulation"})
    simulated["simulation"] = [prey[0], total[0], prey[1], prey[2], total[1], prey[3]]
    theirs = PETAB.calculate_llh(own.measurement_df, simulated, own.observable_df, own.parameter_df)
    assert problem.log_likelihood(THETA) == pytest.approx(theirs, rel=1e-9)


def test_priors_have_petabs_densities(problem, tmp_path) -> None:
    theirs = importlib.import_module("petab.v1.priors").Prior
    table = PETAB.Problem.from_yaml(str(tmp_path / "problem.yaml")).parameter_df
    draws = np.asarray(problem.prior.sample(40, seed=0), np.float64)
    expected = np.zeros(len(draws))
    for j, name in enumerate(problem.prior.names):
        row = table.loc[name].to_dict()
        expected += np.log(theirs.from_par_dict(row, "objective").pdf(draws[:, j]))
        low, high = problem.prior.bounds[j]
        assert (low, high) == pytest.approx((row["lowerBound"], row["upperBound"]), rel=1e-5)
    np.testing.assert_allclose(problem.prior.log_density(draws), expected, rtol=1e-3, atol=1e-3)


def test_outputs_have_names_and_noise(problem) -> None:
    assert {name: values.tolist() for name, values in problem.x_o.items()} == {
        "prey low": [3.1, 1.8, 1.9],
        "total low": [float(np.log10(3.0))],
        "prey high": [2.9],
        "total high": [float(np.log10(4.0))],
    }
    assert problem.times["prey low"].tolist() == [0.0, 1.0, 1.0]
    np.testing.assert_allclose(problem.noise_scale(), [0.1, 0.2, 0.1, 0.4, 0.3, 0.4])
    mean, rng = problem.model(THETA, RNG), np.random.default_rng(0)
    runs = [problem.simulator(THETA, rng) for _ in range(4000)]
    flat = np.array([np.concatenate(list(run.values())) for run in runs])
    error = np.abs(flat.mean(axis=0) - np.concatenate(list(mean.values()))) / problem.noise_scale()
    # Six means and six deviations of 4,000 values, five standard errors.
    assert error.max() < 5 / np.sqrt(4000)
    assert np.abs(flat.std(axis=0) / problem.noise_scale() - 1).max() < 5 / np.sqrt(8000)


def test_at_its_beta_the_gibbs_posterior_is_bayes(problem) -> None:
    """-beta times the distance to the model differs from the log-likelihood by a constant."""
    theta = np.asarray(problem.prior.sample(20, seed=1), np.float64)
    x_o = np.concatenate(list(problem.x_o.values()))
    exponent, likelihood = [], []
    for row in theta:
        predicted = np.concatenate(list(problem.model(row, RNG).values()))
        if np.isfinite(predicted).all():
            exponent.append(-problem.beta * float(problem.distance(jnp.asarray(predicted), jnp.asarray(x_o))))
            likelihood.append(problem.log_likelihood(row))
    assert len(exponent) > 10
    constant = np.array(likelihood) - exponent
    np.testing.assert_allclose(constant, constant[0], atol=1e-4 * np.abs(likelihood).max())


def test_laplace_noise_has_another_distance(tmp_path) -> None:
    table = OBSERVABLES.replace("lin normal", "lin laplace").replace("log10 normal", "log laplace")
    problem = gb.from_petab(written(tmp_path, observables=table), decay, held={"sd": 0.2})
    assert isinstance(problem.distance, gb.distances.MeanAbsoluteError)
    assert problem.beta == 6
    prey = np.array([3.2, 3 * np.exp(-0.5) + 0.2, 4.7, 3 * np.exp(-0.5) + 0.2])
    by_hand = stats.laplace.logpdf([3.1, 1.8, 2.9, 1.9], prey, [0.1, 0.2, 0.3, 0.1]).sum()
    total = [prey[1] + np.exp(0.1), 4.5 * np.exp(-1.0) + 0.2 + np.exp(0.2)]
    by_hand += stats.laplace.logpdf(np.log([3.0, 4.0]), np.log(total), 0.4).sum() - np.log(12.0)
    assert problem.log_likelihood(THETA) == pytest.approx(by_hand, rel=1e-12)
    mixed = gb.from_petab(
        written(tmp_path, observables=OBSERVABLES.replace("lin normal", "lin laplace")), decay, held={"sd": 0.2}
    )
    with pytest.raises(ValueError, match="Choose one yourself"):
        _ = mixed.distance


def test_noise_that_grows_with_the_value(tmp_path) -> None:
    table = OBSERVABLES.replace("noiseParameter1_prey", "0.1*prey+noiseParameter1_prey")
    problem = gb.from_petab(written(tmp_path, observables=table), decay, held={"sd": 0.2})
    np.testing.assert_allclose(problem.noise_scale()[:3], [0.41, 0.38, 0.29])
    with pytest.raises(ValueError, match="no beta makes the Gibbs posterior Bayes'"):
        _ = problem.beta


@pytest.mark.parametrize(
    ("changes", "held", "text"),
    [
        ({}, {}, r"depends on the estimated sd: .* held=\{'sd': 0.1\}"),
        ({}, {"sd": 0.1, "sdd": 0.2}, r"held has \['sdd'\]"),
        ({"version": "2.0.0"}, {}, "format_version is 2.0.0, expected 1"),
        ({"observables": OBSERVABLES.replace("sd_total*2", "pred")}, {"sd": 0.1}, "which only the model knows"),
        (
            {
                "measurements": f"{MEASUREMENTS}prey low 1 3 0.1 2".replace(
                    "noiseParameters", "noiseParameters observableParameters"
                )
            },
            {"sd": 0.1},
            "observableParameters",
        ),
        (
            {"measurements": f"{MEASUREMENTS}prey low 1 3 0.1 low".replace("meters", f"meters {BEFORE}")},
            {"sd": 0.1},
            "let your simulator equilibrate before time 0",
        ),
        ({"parameters": PARAMETERS.replace("0.2 0 - -", "- 0 - -")}, {"sd": 0.1}, "nominal"),
        ({"parameters": PARAMETERS.replace(" 10 0.5 1", " 0.001 0.5 1")}, {"sd": 0.1}, "cannot be read"),
    ],
)
def test_what_is_not_read_is_refused(tmp_path, changes, held, text) -> None:
    with pytest.raises(ValueError, match=text):
        gb.from_petab(written(tmp_path, **changes), decay, held=held)


def test_a_simulator_that_returns_something_else_is_told(tmp_path) -> None:
    path = written(tmp_path)
    with pytest.raises(ValueError, match=r"must return a mapping with 'prey' under condition 'low', got \['pry'\]"):
        gb.from_petab(path, lambda p, c, t: {"pry": t}, held={"sd": 0.1}).model(THETA, RNG)
    with pytest.raises(ValueError, match=r"of shape \(3,\), expected one value at each of the 2 times"):
        gb.from_petab(path, lambda p, c, t: {"prey": np.ones(3), "total": t}, held={"sd": 0.1}).model(THETA, RNG)
    with pytest.raises(FileNotFoundError, match="expected the YAML file"):
        gb.from_petab(tmp_path / "none.yaml", decay)


@pytest.mark.slow
def test_from_the_tables_to_draws(tmp_path) -> None:
    """A straight line with normal priors and noise, whose posterior is known in closed form."""
    parameters = """
parameterId parameterScale lowerBound upperBound nominalValue estimate objectivePriorType objectivePriorParameters
a lin -inf inf 0 1 normal 0;1
b lin -inf inf 0 1 normal 0;1
"""
    observables = "observableId observableFormula noiseFormula\ny y 0.5"
    rows = [f"y c {value} {time}" for time, value in enumerate([1.2, 1.4, 2.1, 2.3])]
    measurements = "observableId simulationConditionId measurement time\n" + "\n".join(rows)
    path = written(
        tmp_path, parameters=parameters, observables=observables, measurements=measurements, conditions="conditionId\nc"
    )
    problem = gb.from_petab(path, lambda p, c, times: {"y": p["a"] + p["b"] * times})
    simulations = gb.simulate(problem.simulator, problem.prior, 1000, seed=0, progress=False)
    cost = gb.fit_cost(simulations, problem.distance, progress=False)
    draws = gb.GibbsPosterior(problem.prior, cost, problem.x_o, problem.beta).sample(2000, seed=1)
    design = np.stack([np.ones(4), np.arange(4.0)], axis=1)
    precision = design.T @ design / 0.25 + np.eye(2)
    mean = np.linalg.solve(precision, design.T @ np.array([1.2, 1.4, 2.1, 2.3]) / 0.25)
    sd = np.sqrt(np.diag(np.linalg.inv(precision)))
    # 2,000 draws give means to 0.03 standard deviations; the regression of 1,000 runs as many again.
    assert np.abs((draws.flat.mean(axis=0) - mean) / sd).max() < 0.25
    assert np.abs(draws.flat.std(axis=0) / sd - 1).max() < 0.15
