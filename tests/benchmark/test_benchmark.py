import importlib.util
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

import cloudpickle
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

import genbayes as gb
from genbayes import cli
from genbayes.benchmark import results as results_module
from genbayes.benchmark.c2st import c2st
from genbayes.benchmark.methods import MethodDraws
from genbayes.benchmark.metrics import Judge, agreement, seed_of
from genbayes.benchmark.results import Results, Row
from genbayes.benchmark.run import run_benchmark
from genbayes.tasks import Task
from genbayes.tasks.observations import draw_observations

# The stand-ins below are sent to the processes whole: those cannot import a test.
cloudpickle.register_pickle_by_value(sys.modules[__name__])


NOISE = np.array([0.5, 1.0], np.float32)


def task():
    """theta ~ N(0, I), x = theta + N(0, NOISE), mean squared error: the Gibbs posterior is N(mean, std^2 I)."""

    def simulator(key, theta):
        return theta + jnp.sqrt(NOISE) * jax.random.normal(key, theta.shape)

    def reference(x_o, beta, n, seed):
        mean, std = gibbs_posterior(x_o, beta)
        return mean + std * np.random.default_rng(seed).normal(size=(n, len(mean)))

    def expected(theta, x_o):
        return jnp.mean((theta - x_o) ** 2 + NOISE)

    prior = gb.Prior({"theta": dist.Normal(jnp.zeros(2), 1.0)})
    cost = gb.Cost.exact(expected, names=prior.names, x_shape=(2,), units="1")
    distance = gb.distances.MeanSquaredError()
    return Task("lg", prior, simulator, distance, cost=cost, betas=(1.0, 10.0), reference=reference)


def gibbs_posterior(x_o, beta):
    """exp(-beta / 2 ||theta - x_o||^2) is a normal likelihood of precision beta; the prior's is 1."""
    return beta * np.asarray(x_o) / (1 + beta), (1 + beta) ** -0.5


@dataclass(frozen=True)
class StandIn:
    """Draws of the exact posterior, moved by `shift` standard deviations; fails where it is told to."""

    name: str = "stand-in"
    shift: float = 0.0
    fail_at: tuple = ()
    fail_fit: str = ""
    flag: str = ""
    tempered: bool = True
    seconds: dict = field(default_factory=lambda: {"compile": 1.0, "run": 2.0})
    messages: tuple = ("fitted so so",)

    def fit(self, task, simulations, *, seed, progress):
        assert len(simulations) == 30
        if self.fail_fit == "exit":
            print("out of luck", file=sys.stderr, flush=True)
            import os

            os._exit(7)
        if self.fail_fit == "kill":
            import os

            os.kill(os.getpid(), signal.SIGKILL)
        if self.fail_fit == "slow":
            Path(self.flag).touch()
            time.sleep(600)
        if self.fail_fit:
            raise ImportError(self.fail_fit)
        return self

    def sample(self, x_o, beta, n, *, seed):
        if self.flag:
            with Path(self.flag).open("a") as file:
                file.write("sampled\n")
        if beta in self.fail_at:
            raise FloatingPointError("no luck at this beta")
        mean, std = gibbs_posterior(x_o, beta)
        z = np.random.default_rng(seed + 1).normal(size=(n, len(mean))) + self.shift
        used = beta if self.tempered else None
        return MethodDraws((mean + std * z).astype(np.float32), used, {"compile": 0.25, "run": 0.5})

    def predicted_cost(self, theta, x_o):
        exact = np.mean((theta - x_o) ** 2 + NOISE, axis=1)
        return None if self.shift else exact + 0.5


def run(out, *methods, **options):
    settings = {"simulations": 30, "observations": 1, "draws": 400, "c2st": 0, "resimulate": 0, "progress": False}
    named = {method.name: method for method in methods}
    return run_benchmark({"lg": task}, named, out=out, **{**settings, **options})


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A benchmark of a right, a wrong and an untempered method; C2ST comes by a second call."""
    out = tmp_path_factory.mktemp("benchmark")
    flag = str(out / "sampled")
    methods = [StandIn("right", flag=flag), StandIn("wrong", shift=1.0, flag=flag)]
    methods.append(StandIn("flat", tempered=False, flag=flag))
    options = {"draws": 2000, "resimulate": 500, "betas": [5.0, 10.0]}
    first = run(out, *methods, **options)
    sampled = Path(flag).read_text().split()
    second = run(out, *methods, c2st=1, **options)
    assert Path(flag).read_text().split() == sampled, "C2ST needs no new draws"
    return out, len(sampled), first, second


@pytest.mark.slow
@pytest.mark.long
def test_numbers_of_exact_and_of_wrong_draws(done):
    out, _, first, second = done
    assert first.failures == second.failures == ()
    assert len(second.rows) == 12
    assert all(row.c2st is None for row in first.rows)
    stored = {row.key: row for row in Results(out / "results.csv").read()}
    assert stored == {row.key: replace(row, **rounded(row)) for row in second.rows}
    for row in second.rows:
        x_o = draw_observations(task(), 1, seed=0)[row.specified][0]
        mean, std = gibbs_posterior(x_o, 10.0 if row.method == "flat" else row.beta)
        away = mean + (row.method == "wrong") * std - x_o
        # E[mean_j (theta_j - x_o_j)^2 + noise_j] for theta_j ~ N(x_o_j + away_j, std^2).
        expected = np.mean(away**2 + std**2 + NOISE)
        # The cost is a mean of squares of normals, each of variance 2 std^4 + 4 std^2 away^2.
        error = np.sqrt(np.sum(2 * std**4 + 4 * std**2 * away**2)) / len(mean) / np.sqrt(2000)
        assert abs(row.cost_true_mean - expected) < 4.5 * error  # false alarm: 7e-6 each
        assert row.cost_true_error == pytest.approx(error, rel=0.2)
        assert abs(row.distance_simulated_mean - expected) < 4.5 * row.distance_simulated_error
        # One run at each of 500 draws scatters more than the cost of 2000.
        assert row.cost_true_error < row.distance_simulated_error < 0.2 * expected


@pytest.mark.slow
def test_draws_without_a_beta_are_made_once(done):
    _, sampled, _, second = done
    # Two kinds, of two betas each for the others.
    assert sampled == 4 + 4 + 2
    flat = [row for row in second.rows if row.method == "flat"]
    assert [row.beta_used for row in flat] == [None] * 4
    assert len({row.cost_true_mean for row in flat}) == 2


def rounded(row):
    return {name: float(f"{value:.7g}") for name, value in vars(row).items() if isinstance(value, float)}


@pytest.mark.slow
def test_c2st_tells_wrong_draws(done):
    # 2 x 2000 rows: the standard error of an accuracy is 0.008. The ideal classifier for two coordinates that are one
    # standard deviation off is right in Phi(sqrt(2) / 2) = 76 % of cases.
    for row in done[-1].rows:
        if row.method != "flat":
            low, high = (0.46, 0.54) if row.method == "right" else (0.72, 0.80)
            assert low < row.c2st < high
        elif row.beta == 10:
            assert 0.46 < row.c2st < 0.54


@pytest.mark.slow
def test_predicted_cost_times_and_messages(done):
    for row in done[-1].rows:
        if row.method != "wrong":
            assert row.cost_correlation == pytest.approx(1, abs=1e-5)
            assert row.cost_mse == pytest.approx(0.25, rel=1e-4)
        else:
            assert row.cost_correlation is None
            assert row.cost_mse is None
        assert (row.seconds_fit, row.seconds_fit_compile) == (2.0, 1.0)
        assert (row.seconds_sample, row.seconds_sample_compile) == (0.5, 0.25)
        assert row.seconds_simulate_compile > 0.01
        assert 50 < row.peak_memory_mib < 5000
        assert row.message == "fitted so so"
        assert (row.simulations, row.draws, row.observations) == (30, 2000, "seed 0")


def test_the_wrong_seed_would_be_noticed():
    """Reference draws share nothing with those of a method that draws by the same function and seed."""
    judge = Judge.of(task())
    x_o = np.asarray(draw_observations(task(), 1, seed=0)["specified"][0])
    ours, theirs = cast(Callable, task().reference)(x_o, 10.0, 2000, 0), judge.reference(x_o, 10.0, 2000, 0)
    # Correlation of independent draws: standard error 0.022.
    assert abs(np.corrcoef(ours[:, 0], theirs[:, 0])[0, 1]) < 0.12
    assert seed_of(0, "a") != seed_of(1, "a") != seed_of(1, "b")


def no_process(group):
    raise AssertionError("a process was started")


@pytest.mark.long
@pytest.mark.slow
def test_resume_runs_what_is_missing_and_failed(tmp_path, monkeypatch):
    flag = tmp_path / "sampled"
    fine, broken = StandIn("fine", flag=str(flag)), StandIn("broken", fail_at=(10.0,))
    first = run(tmp_path / "out", fine, broken, kinds=["specified"])
    assert len(flag.read_text().split()) == 2
    (failure,) = first.failures
    assert failure == "lg, broken, specified 0, beta 10, seed 0: FloatingPointError: no luck at this beta"
    path = tmp_path / "out" / "results.csv"
    before = {row.key: row for row in Results(path).read()}
    assert [row.status for row in before.values()] == ["ok", "ok", "ok", "failed"]
    # Half a line, as a power cut would leave it.
    with path.open("a") as file:
        file.write("lg,0,specified,fine,25,25")
    mended = StandIn("broken", flag=str(tmp_path / "again"))
    second = run(tmp_path / "out", fine, mended, kinds=["specified"])
    assert len(flag.read_text().split()) == 2
    assert len((tmp_path / "again").read_text().split()) == 1
    assert second.failures == ()
    after = {row.key: row for row in Results(path).read()}
    assert after.keys() == before.keys()
    assert all(after[key] == row for key, row in before.items() if row.ok)
    assert len(path.read_text().splitlines()) == 5
    # Nothing is left to do: no process is started. Other settings are other rows.
    monkeypatch.setattr("genbayes.benchmark.run.run_group", no_process)
    third = run(tmp_path / "out", fine, mended, kinds=["specified"])
    assert third.rows == tuple(replace(row, **rounded(row)) for row in second.rows)
    with pytest.raises(AssertionError, match="a process was started"):
        run(tmp_path / "out", fine, kinds=["specified"], draws=300)


@pytest.mark.long
@pytest.mark.slow
def test_failing_groups_are_reported_and_the_rest_goes_on(tmp_path):
    faults = {
        "it needs sbi: pip install 'genbayes[sbi]'": "ImportError: it needs sbi: pip install 'genbayes[sbi]'",
        "exit": "its process ended with exit code 7: out of luck",
        "kill": "its process was killed by SIGKILL, perhaps for want of memory",
    }
    broken = [StandIn(f"broken {i}", fail_fit=fault) for i, fault in enumerate(faults)]
    result = run(tmp_path, *broken, StandIn("fine"), kinds=["specified"])
    assert result.failures == tuple(
        f"lg, broken {i}, seed 0, 2 posteriors: {message}" for i, message in enumerate(faults.values())
    )
    assert [row.status for row in result.rows] == ["failed"] * 6 + ["ok"] * 2
    assert [row.message for row in result.rows][::2] == [*faults.values(), "fitted so so"]


def test_arguments_are_checked(tmp_path):
    for options, message in (
        ({"kinds": ["wrong"]}, "`kinds` has 'wrong'; expected 'specified' or 'misspecified'"),
        ({"betas": [0.0]}, "`betas` must be positive and finite, got 0.0"),
        ({"seeds": []}, "`seeds` is empty"),
        ({"draws": 0}, "`draws` must be a whole number of at least 1, got 0"),
        ({"resimulate": -1}, "`resimulate` must be a whole number of at least 0, got -1"),
        ({"observations": 0}, "`observations` must be a whole number of at least 1"),
    ):
        with pytest.raises(ValueError, match=message.replace("(", r"\(")):
            run(tmp_path, StandIn(), **options)
    with pytest.raises(ValueError, match="no inverse temperatures of its own; give them"):
        run_benchmark({"lg": lambda: replace(task(), betas=())}, {"a": StandIn()}, out=tmp_path)
    assert not (tmp_path / "results.csv").exists()


def test_results_file(tmp_path):
    results = Results(tmp_path / "results.csv")
    row = Row("t", 1, "specified", "m", 0.1, None, 0, 10, 20, "seed 0", "abc", c2st=0.5, message='a, "b"\nc')
    results.append(row)
    results.append(replace(row, c2st=0.7))
    (read,) = results.read()
    assert read == replace(row, c2st=0.7, message='a, "b" c')
    text = results.path.read_text()
    results.path.write_text(text.replace("specified,m,0.1", "specified,m,much", 1))
    with pytest.raises(ValueError, match=r"line 2 of .*results.csv is not a row .*much"):
        results.read()
    results.path.write_text("a,b\n")
    with pytest.raises(ValueError, match="has other columns than this version writes"):
        results.read()
    with results.locked():
        assert results_module.fcntl is None or raises_locked(results)


def raises_locked(results):
    with pytest.raises(RuntimeError, match="another benchmark is writing into"), results.locked():
        pass
    return True


def test_agreement_leaves_out_what_is_not_finite():
    exact = np.array([1.0, 2.0, 4.0, np.nan])
    assert agreement(exact * 2, exact) == {"cost_correlation": pytest.approx(1), "cost_mse": pytest.approx(7.0)}
    assert agreement(exact * np.nan, exact) == {"cost_correlation": None, "cost_mse": None}


@pytest.mark.long
@pytest.mark.slow
def test_c2st_does_not_depend_on_workers():
    one, two = np.random.default_rng(0).normal(size=(2, 300, 4))
    assert c2st(one, two, workers=1) == c2st(one, two, workers=2)


@pytest.mark.slow
def test_command_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    published = "task,xo_specified,algorithm,beta,cost_true_mean,c2st\nlg,specified,ACE,10.0,1.25,0.875\n"
    Path("published.csv").write_text(published)
    methods = {"ace": StandIn("ace"), "abc": StandIn("abc", fail_fit="not today")}
    monkeypatch.setattr("genbayes.benchmark.command.METHODS", methods)
    monkeypatch.setattr("genbayes.benchmark.command.BENCHMARK", {"lg": task})
    line = (
        "benchmark --task lg --method ace abc --simulations 30 --draws 300 --observations 1 --kind specified --c2st 0"
    )
    line += " --resimulate 0 --published published.csv --out b"
    assert cli.main(line.split()) == 1
    printed = capsys.readouterr()
    assert "warning: lg, abc, seed 0, 2 posteriors: ImportError: not today" in printed.err
    assert "error: 1 part(s) of the benchmark failed" in printed.err
    assert "benchmark: 4/4" in printed.err
    assert "ACE, published" in printed.out
    summary = Path("b/summary.md").read_text()
    assert f"- command: `genbayes {line}`" in summary
    assert "| ACE, published | - | 1.250 |" in summary
    assert "- lg, abc, seed 0, 2 posteriors: ImportError: not today" in summary
    assert Path("b/figures/lg.png").stat().st_size > 10_000
    page = Path("b/benchmark.html").read_text()
    assert page.count("data:image/png;base64,") == 1
    assert "Some posteriors are missing" in page
    methods["abc"] = StandIn("abc")
    assert cli.main([*line.split(), "--quiet"]) == 0
    assert capsys.readouterr().out.split() == ["b/summary.md", "b/benchmark.html"]
    assert cli.main(["benchmark", "--observations", "none.npz"]) == 2
    assert "there is no file none.npz" in capsys.readouterr().err
    Path("published.csv").write_text("task,beta\n")
    assert cli.main(line.split()) == 1
    assert "it lacks the column(s) xo_specified, algorithm" in capsys.readouterr().err


def test_missing_extras_are_named_first(tmp_path, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name in missing else found(name))
    missing = ["sklearn"]
    with pytest.raises(ImportError, match=r"genbayes\[benchmark\]"):
        run(tmp_path / "out", StandIn(), c2st=None)
    missing = ["matplotlib"]
    with pytest.raises(ImportError, match=r"genbayes\[plots\]"):
        cli.main(["benchmark", "--debug", "--out", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()


SCRIPT = """
import signal, sys
# Of a suite that a shell runs in the background: interrupts are ignored there, and that is inherited.
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.path.insert(0, {here!r})
import test_benchmark as t
from genbayes import cli
from genbayes.benchmark import command as benchmark_command
benchmark_command.METHODS.update(ace=t.StandIn("ace"), abc=t.StandIn("abc", fail_fit="slow", flag={flag!r}))
benchmark_command.BENCHMARK["two_moons"] = t.task
sys.exit(cli.main("benchmark --task two_moons --method ace abc --simulations 30 --draws 300 --observations 1 --c2st 0 "
                  "--resimulate 0 --out {out}".split()))
"""


@pytest.mark.long
@pytest.mark.slow
def test_an_interrupted_benchmark_keeps_its_rows_and_leaves_no_process(tmp_path):
    flag, out = tmp_path / "fitting", tmp_path / "b"
    text = SCRIPT.format(here=str(Path(__file__).parent), flag=str(flag), out=str(out))
    with subprocess.Popen([sys.executable, "-c", text], stderr=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        deadline = time.monotonic() + 120
        while not flag.exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"interrupted; kept in {out}: 4 rows of results.csv. Run the same command again" in errors.decode()
    assert [row.method for row in Results(out / "results.csv").read()] == ["ace"] * 4
