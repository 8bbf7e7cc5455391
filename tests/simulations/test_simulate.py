import functools
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genbayes.priors.prior import Prior
from genbayes.runtime.progress import progress_bar
from genbayes.simulations.rows import Simulations
from genbayes.simulations.running import simulate, simulate_at

PRIOR = Prior.uniform([0, -1], [1, 1], names=["rate", "delay"])


def jax_simulator(key, theta):
    return jnp.concatenate([theta, jax.random.normal(key, (1,))])


def make_python_simulator(fail_below=0.0):
    # A closure, so that worker processes receive it whole instead of importing this file.
    def simulator(theta, rng):
        if theta[0] < fail_below:
            raise ValueError("rate too low")
        return [theta[0], theta[1], rng.normal()]

    return simulator


run = functools.partial(simulate, progress=False)


def assert_same(one, two):
    for name in ("theta", "x", "status"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
    assert one.reasons == two.reasons


@pytest.fixture(params=["jax", "python"])
def simulator(request):
    return jax_simulator if request.param == "jax" else make_python_simulator(fail_below=0.2)


def test_theta_are_the_draws_of_the_prior_and_reach_the_simulator(simulator):
    simulations = run(simulator, PRIOR, 50, seed=4)
    np.testing.assert_array_equal(simulations.theta, PRIOR.sample(50, seed=4))
    np.testing.assert_array_equal(simulations.x[simulations.ok, :2], simulations.theta[simulations.ok])
    assert simulations.x.dtype == np.float32
    assert (simulations.names, simulations.seed, simulations.prior) == (PRIOR.names, 4, PRIOR)
    assert (run(simulator, PRIOR, 50, seed=5).theta[:, 0] != simulations.theta[:, 0]).all()


@pytest.mark.parametrize("kind", ["jax", "python"])
def test_noise_is_standard_normal_and_independent_of_theta(kind):
    simulator = jax_simulator if kind == "jax" else make_python_simulator()
    simulations = run(simulator, PRIOR, 4000, seed=0)
    noise = simulations.x[:, 2]
    assert len(np.unique(noise)) > 3990
    # Correlations of independent variables have standard deviation 1 / sqrt(4000): 5 of them, false alarm 6e-7 each.
    bound = 5 / np.sqrt(4000)
    for column in simulations.theta.T:
        assert abs(np.corrcoef(column, noise)[0, 1]) < bound
    assert abs(np.corrcoef(noise[:-1], noise[1:])[0, 1]) < bound
    assert abs(noise.mean()) < bound
    assert abs(noise.var() - 1) < np.sqrt(2) * bound


def test_rows_do_not_depend_on_batch_size_or_n(simulator):
    whole = run(simulator, PRIOR, 50, seed=1)
    assert_same(run(simulator, PRIOR, 50, seed=1, batch_size=7), whole)
    np.testing.assert_array_equal(run(simulator, PRIOR, 20, seed=1).x, whole.x[:20])


def test_store_extends_shortens_and_resumes_to_the_same_rows(simulator, tmp_path):
    whole = run(simulator, PRIOR, 60, seed=1)
    store = tmp_path / "runs.zarr"
    run(simulator, PRIOR, 25, seed=1, store=store, batch_size=10)
    assert_same(run(simulator, PRIOR, 60, seed=1, store=store), whole)
    assert_same(run(simulator, PRIOR, 30, seed=1, store=store), run(simulator, PRIOR, 30, seed=1))
    assert len(Simulations.open(store)) == 60


@pytest.mark.parametrize("workers", [1, 2])
def test_interrupted_and_resumed_equals_one_go(tmp_path, workers):
    whole = run(make_python_simulator(0.2), PRIOR, 30, seed=1)
    stop_at, flag, inner = float(whole.theta[17, 0]), tmp_path / "interrupted", make_python_simulator(0.2)

    def simulator(theta, rng):
        if theta[0] == stop_at and not flag.exists():
            flag.touch()
            raise KeyboardInterrupt
        return inner(theta, rng)

    store = tmp_path / "runs.zarr"
    with pytest.raises(KeyboardInterrupt):
        run(simulator, PRIOR, 30, seed=1, store=store, workers=workers)
    status = Simulations.open(store).status
    assert status[17] == 1
    if workers == 1:
        assert (status[:17] != 1).all(), "everything done before the interruption is kept"
        assert (status[17:] == 1).all()
    assert_same(run(simulator, PRIOR, 30, seed=1, store=store), whole)


def test_finished_rows_are_not_run_again(tmp_path):
    calls = []

    def simulator(theta, rng):
        calls.append(theta)
        return theta

    run(simulator, PRIOR, 10, seed=0, store=tmp_path / "a")
    run(simulator, PRIOR, 10, seed=0, store=tmp_path / "a")
    assert len(calls) == 10


def test_failures_are_recorded_with_reason_and_retried(tmp_path):
    broken = [True]

    def simulator(theta, rng):
        if broken[0] and theta[0] < 0.2:
            raise ValueError("rate too low\nwith details")
        if broken[0] and theta[0] < 0.4:
            return [np.nan, 1.0]
        if broken[0] and theta[0] < 0.5:
            return [1e300, 1.0]
        if broken[0] and theta[0] < 0.6:
            return 1.0
        if broken[0] and theta[0] < 0.7:
            return "text"
        if broken[0] and theta[0] < 0.75:
            sys.exit(3)
        return theta

    assert PRIOR.sample(1, seed=5)[0, 0] > 0.75, "the first success, which fixes the shape, must be a good row"
    simulations = run(simulator, PRIOR, 120, seed=5, store=tmp_path / "a")
    limits = [0, 0.2, 0.4, 0.5, 0.6, 0.7, 0.75, 1]
    expected = [
        "ValueError: rate too low", "NaN in the output", "infinity in the output (float32)",
        "wrong output shape (), expected (2,)", "the output is not numeric: str of dtype <U4", "SystemExit: 3", "ok",
    ]  # fmt: skip
    reasons = np.array(simulations.reasons)[simulations.status]
    rate = simulations.theta[:, 0]
    for low, high, reason in zip(limits[:-1], limits[1:], expected, strict=True):
        rows = (rate >= low) & (rate < high)
        assert rows.any()
        assert set(reasons[rows]) == {reason}
    assert np.isnan(simulations.x[~simulations.ok]).all()
    assert np.isfinite(simulations.x[simulations.ok]).all()
    broken[0] = False
    assert run(simulator, PRIOR, 120, seed=5, store=tmp_path / "a").n_failed == simulations.n_failed
    assert run(simulator, PRIOR, 120, seed=5, store=tmp_path / "a", retry_failed=True).ok.all()


def test_jax_nan_rows_fail_alone():
    simulations = run(lambda key, theta: jnp.where(theta[0] < 0.5, jnp.nan, theta), PRIOR, 40, seed=0)
    np.testing.assert_array_equal(simulations.ok, simulations.theta[:, 0] >= 0.5)
    assert simulations.reasons[2:] == ("NaN in the output",)


def test_scalar_outputs_become_vectors_of_one(tmp_path):
    assert run(lambda theta, rng: theta[0], PRIOR, 5, seed=0).x.shape == (5, 1)
    assert run(lambda key, theta: theta[0], PRIOR, 5, seed=0).x.shape == (5, 1)
    mixed = run(lambda theta, rng: theta[0] if theta[0] < 0.5 else theta[:1], PRIOR, 30, seed=0, store=tmp_path / "a")
    assert 0 < mixed.n_failed < 30
    assert len(mixed.reasons) == 3


def test_all_failed_says_why_and_keeps_the_rows(tmp_path):
    def simulator(theta, rng):
        raise ZeroDivisionError("no spikes")

    with pytest.raises(RuntimeError, match="All 6 simulations failed: 6 x ZeroDivisionError: no spikes.*'rate': 0"):
        run(simulator, PRIOR, 6, seed=0, store=tmp_path / "a")
    np.testing.assert_array_equal(Simulations.open(tmp_path / "a").status, 2)


def test_store_of_something_else_is_refused(tmp_path):
    store = tmp_path / "runs.zarr"
    simulator = make_python_simulator()
    run(simulator, PRIOR, 5, seed=0, store=store)
    with pytest.raises(ValueError, match="made with seed 0, this call has seed 1. Give another path"):
        run(simulator, PRIOR, 5, seed=1, store=store)
    with pytest.raises(ValueError, match=r"made with another prior than that of this call\. Give") as told:
        run(simulator, Prior.uniform([0, -1], [1, 2], names=["rate", "delay"]), 5, seed=0, store=store)
    assert told.value.__notes__[0].startswith("  ")
    with pytest.raises(
        ValueError, match="made with simulator '.*make_python_simulator.*', this call has .*jax_simulator"
    ):
        run(jax_simulator, PRIOR, 5, seed=0, store=store)


@pytest.mark.parametrize("kind", ["jax", "python"])
def test_store_with_outputs_of_another_shape_is_refused(tmp_path, kind):
    def make(size):
        if kind == "jax":
            return lambda key, theta: jnp.full(size, theta[0])
        return lambda theta, rng: np.full(size, theta[0])

    run(make(3), PRIOR, 5, seed=0, store=tmp_path / "a")
    for n in (9, 40):
        with pytest.raises(ValueError, match=r"outputs of shape \(3,\), this simulator gives \(2,\)"):
            run(make(2), PRIOR, n, seed=0, store=tmp_path / "a")
    status = Simulations.open(tmp_path / "a").status
    assert (status[5:] == 1).all(), "misfits must stay pending"
    assert run(make(3), PRIOR, 40, seed=0, store=tmp_path / "a").ok.all()


class CallableSimulator:
    def __call__(self, theta, rng):
        return theta


def test_forms_of_a_simulator():
    assert run(CallableSimulator(), PRIOR, 3, seed=0).ok.all()
    assert run(CallableSimulator(), PRIOR, 3, seed=0).simulator.endswith(":CallableSimulator")
    np.testing.assert_array_equal(
        run(lambda parameters, rng: parameters + rng.normal(), PRIOR, 3, seed=0).x,
        run(lambda theta, rng: theta + rng.normal(), PRIOR, 3, seed=0).x,
    )
    scaled = functools.partial(lambda key, theta, scale: theta * scale, scale=2.0)
    np.testing.assert_allclose(run(scaled, PRIOR, 3, seed=0).x, 2 * PRIOR.sample(3, seed=0))
    assert run(jax.jit(jax_simulator), PRIOR, 3, seed=0).simulator.endswith(":jax_simulator")


@pytest.mark.parametrize(
    "wrong", [lambda parameters: 1, lambda theta: 1, lambda theta, rng, z: 1, lambda rng, theta: 1]
)
def test_other_signatures_are_refused(wrong):
    with pytest.raises(TypeError, match=r"simulator\(key, theta\)` in JAX .* simulator\(theta, rng\)` in Python"):
        run(wrong, PRIOR, 3, seed=0)


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        (lambda key, theta: (theta, theta), TypeError, "must return one array or a dictionary of arrays, got tuple"),
        (lambda key, theta: float(theta[0]), ValueError, "could not be traced: ConcretizationTypeError"),
        (lambda key, theta: theta[:0], ValueError, r"empty array of shape \(0,\)"),
        (lambda key, theta: theta + 1j, TypeError, "real numbers, got dtype complex64"),
    ],
)
def test_jax_simulators_that_cannot_work(wrong, error, message):
    with pytest.raises(error, match=message):
        run(wrong, PRIOR, 3, seed=0)


def test_arguments_are_checked():
    with pytest.raises(ValueError, match="`workers` must be 1 for a JAX simulator, got 2"):
        run(jax_simulator, PRIOR, 3, seed=0, workers=2)
    with pytest.raises(ValueError, match="`n` must be a whole number of at least 1, got 0"):
        run(jax_simulator, PRIOR, 0, seed=0)
    with pytest.raises(ValueError, match="`batch_size` must be a whole number of at least 1, got 0"):
        run(jax_simulator, PRIOR, 3, seed=0, batch_size=0)
    with pytest.raises(
        ValueError, match="`workers` must be a whole number of at least 1, got 0; or give a concurrent.f"
    ):
        run(jax_simulator, PRIOR, 3, seed=0, workers=0)
    with pytest.raises(ValueError, match="`seed` must lie in"):
        run(jax_simulator, PRIOR, 3, seed=-1)


def test_simulate_at(simulator):
    whole = run(simulator, PRIOR, 20, seed=0)
    again = simulate_at(simulator, whole.theta, seed=0, names=PRIOR.names, progress=False)
    assert_same(again, whole)
    assert simulate_at(simulator, whole.theta, seed=1, progress=False).names == ("theta_0", "theta_1")
    with pytest.raises(ValueError, match=r"`theta` must have shape \(n, dim\) with n, dim >= 1, got \(3,\)"):
        simulate_at(simulator, np.ones(3), seed=0)
    with pytest.raises(ValueError, match="`theta` has NaN"):
        simulate_at(simulator, np.full((3, 2), np.nan), seed=0)


def test_jax_simulator_is_traced_once_for_many_batches():
    traces = []

    def simulator(key, theta):
        traces.append(1)
        return theta

    run(simulator, PRIOR, 50, seed=0, batch_size=16)
    assert len(traces) == 2  # its shape, and the compiled batch


def test_workers_give_the_same_rows(tmp_path):
    simulator = make_python_simulator(0.2)
    whole = run(simulator, PRIOR, 40, seed=1)
    assert_same(run(simulator, PRIOR, 40, seed=1, workers=2, store=tmp_path / "a"), whole)
    assert_same(Simulations.open(tmp_path / "a"), whole)


def test_a_dying_worker_costs_one_row():
    inner = make_python_simulator()

    def simulator(theta, rng):
        if 0.4 < theta[0] < 0.45:
            os._exit(1)
        return inner(theta, rng)

    rates = np.asarray(PRIOR.sample(30, seed=1))[:, 0]
    deadly = (rates > 0.4) & (rates < 0.45)
    assert 1 <= deadly.sum() <= 3
    simulations = run(simulator, PRIOR, 30, seed=1, workers=2)
    np.testing.assert_array_equal(~simulations.ok, deadly)
    assert simulations.reasons[2:] == ("worker process died",)
    np.testing.assert_array_equal(simulations.x[~deadly], run(inner, PRIOR, 30, seed=1).x[~deadly])


SCRIPT = """
import sys

def simulator(theta, rng):
    import sys
    return float("jax" in sys.modules)

from genbayes.priors.prior import Prior
from genbayes.simulations.running import simulate
x = simulate(simulator, Prior.uniform(0, 1), 4, seed=0, workers=2, progress=False).x
assert (x == 0).all(), "a worker has loaded JAX"
"""


def test_workers_of_a_script_load_no_jax_and_need_no_guard(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, str(tmp_path / "script.py")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


def test_simulators_that_workers_cannot_get(tmp_path):
    with open(tmp_path / "log", "w") as log, pytest.raises(TypeError, match="cannot be sent to worker processes"):
        run(lambda theta, rng: log.write("x"), PRIOR, 3, seed=0, workers=2)


def test_progress_counts_completions_and_failures(capsys):
    simulator = make_python_simulator(0.2)
    failed = simulate(simulator, PRIOR, 20, seed=0).n_failed
    assert failed > 0
    output = capsys.readouterr()
    assert output.out == ""
    assert "simulating: 20/20" in output.err
    assert f"{failed} failed" in output.err
    run(simulator, PRIOR, 20, seed=0)
    assert capsys.readouterr().err == ""


def test_progress_says_how_far_an_interrupted_job_got(capsys):
    def interrupted():
        with progress_bar("fitting", 3) as advance:
            advance(2)
            raise KeyError

    with pytest.raises(KeyError):
        interrupted()
    assert "fitting: 2/3" in capsys.readouterr().err


def test_progress_says_at_once_what_a_long_step_does(capsys):
    with progress_bar("sampling", 1) as advance:
        advance(0, note="compiles first")
        assert "sampling: 0/1 (0 s, compiles first)" in capsys.readouterr().err
        advance()
    assert capsys.readouterr().err == "sampling: 1/1 (0 s)\n"


def test_a_simulator_edited_between_two_calls_is_told(tmp_path):
    def make(factor):
        def simulator(theta, rng):
            return factor * theta + rng.normal(size=2)

        return simulator

    options = {"seed": 0, "store": tmp_path / "runs.zarr", "progress": False}
    simulate(make(1.0), PRIOR, 5, **options)
    simulate(make(1.0), PRIOR, 8, **options)  # the same one: no warning (warnings are errors here)
    with pytest.warns(UserWarning, match="simulation 0 of the store, run again, gives another output"):
        simulate(make(2.0), PRIOR, 11, **options)


def test_n_must_be_whole():
    with pytest.raises(ValueError, match=r"`n` must be a whole number of at least 0, got 100.5"):
        PRIOR.sample(100.5, seed=0)  # pyright: ignore
    assert PRIOR.sample(1e2, seed=0).shape == (100, 2)  # pyright: ignore
