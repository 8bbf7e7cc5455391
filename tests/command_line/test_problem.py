import sys
from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest

import genbayes as gb
from genbayes.command_line.problem import read_problem
from genbayes.costs.fitting import default_config
from genbayes.simulations.simulators import Simulator

MODULE = """
import jax.numpy as jnp
import numpyro.distributions as dist
import genbayes

def simulate(theta, rng):
    return theta + 0.1 * rng.normal(size=2)

def distance(x, x_target):
    return jnp.max(jnp.abs(x - x_target))

prior = genbayes.Prior({"a": dist.Normal(0.0, 1.0), "b": dist.Normal(0.0, 1.0)})
number = 3
"""
PRIOR = """
[prior]
rate = { distribution = "LogNormal", loc = 0.0, scale = 0.5 }
delay = { distribution = "Uniform", low = 0.0, high = 5.0 }
"""
DISTANCE = '[distance]\nname = "MeanSquaredError"\nscale = "prior_predictive"\n'
HEAD = 'simulator = "model_for_problems:simulate"\n'


@pytest.fixture(autouse=True)
def module(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "model_for_problems.py").write_text(MODULE)


@pytest.fixture
def read(tmp_path):
    def write_and_read(text):
        path = tmp_path / "predator.toml"
        path.write_text(text)
        return read_problem(path)

    return write_and_read


def test_everything_that_the_file_says_arrives(read, tmp_path):
    (tmp_path / "x_o.csv").write_text("hare;lynx\n1.5;2.5\n")
    problem = read(
        HEAD
        + 'name = "p"\n'
        + PRIOR
        + 'w = { distribution = "Normal", loc = [0.0, 1.0], scale = 2 }\n'
        + DISTANCE
        + "[fit]\n"
        'members = 2\nlearning_rate = 1\nmethod = "general"\nembedding = "series"\n'
        '[observation]\nfile = "x_o.csv"\n[sample]\nbeta = [1, 10.0]\nn = 1e3\nsampler = "nuts"\n'
        '[report]\nlabels = ["a", "b"]\naxis = "year"\naxis_values = [1, 2]\nkind = "series"\n'
    )
    assert problem.name == "p"
    assert problem.prior.names == ("rate", "delay", "w[0]", "w[1]")
    described = problem.prior.describe()
    assert described[0]["distribution"] == "LogNormal"
    assert described[0]["settings"]["scale"] == 0.5
    np.testing.assert_array_equal(problem.prior.bounds[1], [0.0, 5.0])
    assert isinstance(problem.distance, gb.distances.MeanSquaredError)
    assert problem.distance.scale is None
    assert problem.x_o is not None
    np.testing.assert_array_equal(problem.x_o, [1.5, 2.5])
    # Settings that the file leaves out are those of the general network, not of FitConfig.
    assert problem.fit == replace(default_config(problem.distance, "general"), members=2, learning_rate=1.0)
    assert problem.fit != gb.FitConfig(members=2, learning_rate=1.0)
    assert (problem.method, problem.embedding) == ("general", "series")
    assert (problem.sample.beta, problem.sample.n, problem.sample.sampler) == ((1.0, 10.0), 1000, "nuts")
    assert (problem.report.labels, problem.report.axis, problem.report.kind) == (("a", "b"), "year", "series")
    assert problem.report.axis_values == (1.0, 2.0)
    assert problem.simulator(np.zeros(2), np.random.default_rng(0)).shape == (2,)


CONDITIONS = '[conditions]\ngain = { distribution = "Uniform", low = 0.5, high = 2.0 }\n'


def test_known_conditions_and_those_of_the_observation(read):
    observation = "[observation]\nvalues = [1.0, 2.0]\nconditions = { gain = 2 }\n"
    problem = read(HEAD + PRIOR + CONDITIONS + DISTANCE + observation)
    assert problem.conditions is not None
    assert problem.conditions.names == ("gain",)
    assert problem.x_o_conditions == {"gain": 2.0}
    of_the_module = read(HEAD + 'conditions = "model_for_problems:prior"\n' + PRIOR + DISTANCE)
    assert of_the_module.conditions is not None
    assert of_the_module.conditions.names == ("a", "b")


def test_integer_parameters(read):
    prior = read(
        HEAD
        + """
[prior]
k = { distribution = "DiscreteUniform", low = [1, 0], high = [4, 1] }
n = { distribution = "Binomial", total_count = 5, probs = 0.25 }
c = { distribution = "Categorical", probs = [0.25, 0.25, 0.5] }
"""
        + DISTANCE
    ).prior
    assert prior.integer_names == ("k[0]", "k[1]", "n", "c")
    np.testing.assert_array_equal(prior.bounds, [[1, 4], [0, 1], [0, 5], [0, 2]])
    expected = np.log([1 / 4, 1 / 2, 5 * 0.25 * 0.75**4, 0.5]).sum()
    assert float(prior.log_density(np.array([2, 1, 1, 2]))) == pytest.approx(expected, rel=1e-5)


def test_a_prior_and_a_distance_of_the_module(read):
    problem = read(
        HEAD
        + 'prior = "model_for_problems:prior"\n[distance]\nfunction = "model_for_problems:distance"\nunits = "mV"\n'
    )
    assert problem.prior.names == ("a", "b")
    assert problem.distance.units == "mV"
    assert float(problem.distance(jnp.array([0.0, 1.0]), jnp.array([0.5, -2.0]))) == 3.0
    assert problem.x_o is None
    assert problem.name == "predator"


def test_another_folder_brings_another_module_of_the_same_name(read, tmp_path):
    first = read(HEAD + PRIOR + DISTANCE).simulator
    other = tmp_path / "other"
    other.mkdir()
    (other / "model_for_problems.py").write_text("def simulate(theta, rng):\n    return 'the other'\n")
    (other / "p.toml").write_text(HEAD + PRIOR + DISTANCE)
    second = read_problem(other / "p.toml").simulator
    assert not isinstance(first, Simulator)
    assert not isinstance(second, Simulator)
    assert second(None, None) == "the other"
    assert first(np.zeros(2), np.random.default_rng(0)).shape == (2,)


ERRORS = {
    "not toml": ("name = predator", "not valid TOML"),
    "no simulator": (
        PRIOR + DISTANCE,
        'simulator: is missing. Add simulator = "module:function", or a table [simulator]',
    ),
    "no prior": (HEAD + DISTANCE, "prior: is missing"),
    "no distance": (HEAD + PRIOR, "distance: is missing"),
    "unknown table": (HEAD + PRIOR + DISTANCE + "[fits]\nmembers = 1", "fits: is not a key here; did you mean fit?"),
    "simulator form": ('simulator = "simulate"\n' + PRIOR + DISTANCE, "must be of the form"),
    "simulator type": ("simulator = 3\n" + PRIOR + DISTANCE, "simulator: must be text in quotes, got 3"),
    "no module": ('simulator = "nowhere_xyz:f"\n' + PRIOR + DISTANCE, "there is no module 'nowhere_xyz'"),
    "no function": ('simulator = "model_for_problems:run"\n' + PRIOR + DISTANCE, "has no 'run'. It has "),
    "no callable": ('simulator = "model_for_problems:number"\n' + PRIOR + DISTANCE, "is no function but int"),
    "half integers": (
        HEAD + '[prior]\nk = { distribution = "DiscreteUniform", low = 0.5, high = 3 }\n' + DISTANCE,
        "must be a whole number",
    ),
    "endless integers": (
        HEAD + '[prior]\nk = { distribution = "Poisson", rate = 3.0 }\n' + DISTANCE,
        "infinitely many whole numbers",
    ),
    "prior object": (HEAD + 'prior = "model_for_problems:number"\n' + DISTANCE, "must be a genbayes.Prior, got int"),
    "empty prior": (HEAD + "[prior]\n" + DISTANCE, "[prior]: is empty"),
    "prior entry": (HEAD + "[prior]\nrate = 3\n" + DISTANCE, "[prior] rate: must be like { distribution"),
    "unknown distribution": (
        HEAD + '[prior]\nrate = { distribution = "lognorml", loc = 0 }\n' + DISTANCE,
        "[prior.rate] distribution: 'lognorml' is unknown; did you mean LogNormal",
    ),
    "unknown argument": (
        HEAD + '[prior]\nrate = { distribution = "Normal", loc = 0, scal = 1 }\n' + DISTANCE,
        "[prior.rate] scal: Normal has no such argument; did you mean scale?",
    ),
    "missing argument": (
        HEAD + '[prior]\nrate = { distribution = "Gamma", rate = 1.0 }\n' + DISTANCE,
        "[prior.rate] concentration: is missing; Gamma takes concentration, rate.",
    ),
    "bad argument": (
        HEAD + '[prior]\nrate = { distribution = "Normal", scale = -1.0 }\n' + DISTANCE,
        "[prior.rate]: Normal cannot be made of {'scale': -1.0}",
    ),
    "argument type": (
        HEAD + '[prior]\nrate = { distribution = "Normal", scale = "wide" }\n' + DISTANCE,
        "[prior.rate]: Normal cannot be made of {'scale': 'wide'}",
    ),
    "swapped limits": (
        HEAD + '[prior]\nrate = { distribution = "Uniform", low = 2.0, high = 1.0 }\n' + DISTANCE,
        "[prior]: Parameter 'rate' has no room between its limits [2.0] and [1.0]",
    ),
    "condition entry": (HEAD + PRIOR + DISTANCE + "[conditions]\ngain = 3\n", "[conditions] gain: must be like"),
    "conditions of no simulator": (
        HEAD + PRIOR + DISTANCE + "[observation]\nvalues = [1.0]\nconditions = { gain = 2 }\n",
        "[observation] conditions: the simulator takes none",
    ),
    "conditions missing": (
        HEAD + PRIOR + CONDITIONS + DISTANCE + "[observation]\nvalues = [1.0]\n",
        "[observation.conditions] gain: is missing. Add gain = 1.0",
    ),
    "condition of another name": (
        HEAD + PRIOR + CONDITIONS + DISTANCE + "[observation]\nvalues = [1.0]\nconditions = { gian = 2 }\n",
        "[observation.conditions] gian: is not a key here; did you mean gain?",
    ),
    "infinitely many integers": (
        HEAD + '[prior]\nk = { distribution = "Poisson", rate = 1.0 }\n' + DISTANCE,
        "distribution Poisson over infinitely many whole numbers",
    ),
    "unknown distance": (
        HEAD + PRIOR + '[distance]\nname = "MeanSquareError"',
        "[distance] name: 'MeanSquareError' is unknown; did you mean MeanSquaredError",
    ),
    "distance argument": (
        HEAD + PRIOR + '[distance]\nname = "MMD"\nbandwith = 1.0',
        "[distance] bandwith: MMD has no such argument; did you mean bandwidth?",
    ),
    "distance value": (
        HEAD + PRIOR + '[distance]\nname = "MMD"\nbandwidth = -1.0',
        "[distance]: MMD cannot be made of {'bandwidth': -1.0}: bandwidth must be positive and finite",
    ),
    "no units": (HEAD + PRIOR + '[distance]\nfunction = "model_for_problems:distance"', "[distance] units: is missing"),
    "no observation file": (
        HEAD + PRIOR + DISTANCE + '[observation]\nfile = "gone.csv"',
        "[observation] file: there is no file",
    ),
    "infinite": (
        HEAD + PRIOR + DISTANCE + "[observation]\nvalues = [1.0, inf]",
        "[observation] values: the values: 1 of 2 values are infinite, the first at index (1,)",
    ),
    "all missing": (HEAD + PRIOR + DISTANCE + "[observation]\nvalues = [nan, nan]", "all 2 values are missing"),
    "column of values": (
        HEAD + PRIOR + DISTANCE + '[observation]\nvalues = [1.0]\ncolumn = "q"',
        "[observation] column: says how a file is read, and there are values. Leave it out.",
    ),
    "column type": (
        HEAD + PRIOR + DISTANCE + '[observation]\nfile = "x"\ncolumn = 3',
        "[observation] column: must be text in quotes or a list [..., ...], got 3",
    ),
    "column items": (
        HEAD + PRIOR + DISTANCE + '[observation]\nfile = "x"\ncolumn = [3]',
        "column: must be a text or a",
    ),
    "regular": (
        HEAD + PRIOR + DISTANCE + '[observation]\nfile = "x"\nregular = "yes"',
        "[observation] regular: must be true or false, got 'yes'",
    ),
    "observation key": (
        HEAD + PRIOR + DISTANCE + '[observation]\nfile = "x"\ncolum = "q"',
        "[observation] colum: is not a key here; did you mean column?",
    ),
    "ragged": (HEAD + PRIOR + DISTANCE + "[observation]\nvalues = [[1.0], [1.0, 2.0]]", "different lengths"),
    "words": (HEAD + PRIOR + DISTANCE + '[observation]\nvalues = ["a"]', "must hold numbers"),
    "both": (HEAD + PRIOR + DISTANCE + '[observation]\nvalues = [1.0]\nfile = "x"', "give either file"),
    "fit key": (
        HEAD + PRIOR + DISTANCE + "[fit]\nmember = 1",
        "[fit] member: is not a key here; did you mean members?",
    ),
    "fit type": (HEAD + PRIOR + DISTANCE + "[fit]\nmembers = 1.5", "[fit] members: must be a whole number, got 1.5"),
    "fit bool": (HEAD + PRIOR + DISTANCE + "[fit]\nmembers = true", "[fit] members: must be a whole number, got True"),
    "fit fraction": (HEAD + PRIOR + DISTANCE + "[fit]\nwidth = 1e400", "[fit] width: must be a whole number, got inf"),
    "fit value": (HEAD + PRIOR + DISTANCE + "[fit]\nmembers = 0", "[fit]: FitConfig: members must be a whole number"),
    "embedding": (
        HEAD + PRIOR + DISTANCE + '[fit]\nembedding = "serie"',
        "[fit] embedding: 'serie' is unknown; did you mean series?",
    ),
    "beta": (HEAD + PRIOR + DISTANCE + "[sample]\nbeta = 0", "[sample] beta: must be greater than 0, got 0"),
    "beta type": (HEAD + PRIOR + DISTANCE + '[sample]\nbeta = "1"', "[sample] beta: must be a number or a list"),
    "sampler": (HEAD + PRIOR + DISTANCE + '[sample]\nsampler = "NUTS"', "'NUTS' is unknown; did you mean nuts?"),
    "labels": (HEAD + PRIOR + DISTANCE + "[report]\nlabels = [1]", "[report] labels: must be a list of texts"),
}


@pytest.mark.parametrize(("text", "message"), list(ERRORS.values()), ids=list(ERRORS))
def test_errors_name_file_table_key_and_remedy(read, text, message):
    with pytest.raises((ValueError, FileNotFoundError)) as caught:
        read(text)
    assert message in str(caught.value)
    assert "predator.toml" in str(caught.value)


def test_errors_inside_the_users_module_say_where(read, tmp_path):
    (tmp_path / "broken_module.py").write_text("x = 1\ny = 1 / 0\n")
    with pytest.raises(ValueError, match=r"importing the module broken_module failed: ZeroDivisionError.*py:2\)"):
        read('simulator = "broken_module:f"\n' + PRIOR + DISTANCE)
    (tmp_path / "needy_module.py").write_text("import absent_xyz\n")
    with pytest.raises(ValueError, match="needy_module failed: ModuleNotFoundError: No module named 'absent_xyz'"):
        read('simulator = "needy_module:f"\n' + PRIOR + DISTANCE)
    (tmp_path / "json.py").write_text("def f(theta, rng): ...\n")
    with pytest.raises(ValueError, match="has the name of a module that Python has loaded already.*Rename it"):
        read('simulator = "json:f"\n' + PRIOR + DISTANCE)


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no problem file"):
        read_problem(tmp_path / "gone.toml")


DATED = "date;discharge [m3/s];stage\n2021-04-08;1,5;2\n2021-04-09;;3\n2021-04-10;2,5;4\n"


def test_keys_of_the_observation_say_how_its_file_is_read(read, tmp_path):
    (tmp_path / "river.csv").write_text(DATED)
    problem = read(
        HEAD + PRIOR + DISTANCE + '[observation]\nfile = "river.csv"\ncolumn = "discharge"\nindex = "date"\n'
        'decimal = ","\nmissing = [-9999, "?"]\n'
    )
    np.testing.assert_array_equal(problem.x_o, [1.5, np.nan, 2.5])
    assert problem.observation is not None
    assert problem.observation.summary == "3 days of discharge, 1 missing: 2021-04-09"
    assert problem.observation.units == ("m3/s",)
    assert problem.reading["missing"] == [-9999, "?"]
    with pytest.raises(ValueError, match=r"predator.toml: \[observation\] file: river.csv has no column 'flow'"):
        read(HEAD + PRIOR + DISTANCE + '[observation]\nfile = "river.csv"\ncolumn = "flow"\n')


def test_groups_are_not_for_conditions(read, tmp_path):
    (tmp_path / "doses.csv").write_text("patient,conc\nA,1\nB,2\n")
    text = '[observation]\nfile = "doses.csv"\ngroup = "patient"\n'
    with pytest.raises(ValueError, match=r"\[observation\] group: the simulator takes known conditions"):
        read(HEAD + PRIOR + CONDITIONS + DISTANCE + text)
