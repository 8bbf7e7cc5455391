"""Divided over four devices, a fit has the same loss, and SMC the same draws, as on one."""

import json
import os
import subprocess
import sys

import jax
import numpy as np
import pytest

import genbayes as gb

PROGRAM = """
import json
import jax
import numpy as np
import genbayes as gb
from genbayes.runtime import compiling
from genbayes.runtime.devices import divided

compiling.OPTIONS["xla_backend_optimization_level"] = 0
rng = np.random.default_rng(0)
theta = rng.uniform(-1, 1, (800, 2)).astype(np.float32)
x = np.abs(theta[:, :1] - theta[:, 1:]) * np.ones(3) + 0.05 * rng.normal(size=(800, 3))
simulations = gb.Simulations.from_arrays(theta, x, ["a", "b"])
prior = gb.Prior.uniform([-1, -1], [1, 1], names=["a", "b"])
config = gb.FitConfig(members=2, width=16, depth=1, max_epochs=8, batch_size=64)
found = {"devices": len(jax.devices())}


def both(name):
    cost = gb.fit_cost(simulations, gb.distances.MeanSquaredError(), config=config, progress=False)
    posterior = gb.GibbsPosterior(prior, cost, np.full(3, 0.3), beta=20.0)
    draws = posterior.sample(400, sampler=gb.SMC(populations=2), seed=0)
    many = gb.GibbsPosteriors(prior, cost, np.linspace(0.1, 0.8, 4)[:, None] * np.ones(3), [20.0]).sample(100, seed=0)
    found[name] = {
        "loss": cost.fit[0].train_loss.tolist(),
        "draws": np.asarray(draws).tolist(),
        "many": many.theta.tolist(),
        "used": len(divided(np.zeros((2, 64))).sharding.device_set),
    }


both("one")
with gb.over_devices():
    both("four")
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def found():
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=4"
    environment = {**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_four_devices_are_used_where_they_are_asked_for(found) -> None:
    assert found["devices"] == 4
    assert found["one"]["used"] == 1
    assert found["four"]["used"] == 4


@pytest.mark.slow
def test_the_loss_of_a_fit_is_that_of_one_device(found) -> None:
    one, four = (np.array(found[name]["loss"]) for name in ("one", "four"))
    assert one[:, -1].mean() < one[:, 0].mean()
    np.testing.assert_allclose(four, one, rtol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["draws", "many"])
def test_draws_are_those_of_one_device(found, name) -> None:
    # The costs differ by rounding, which a trajectory of a few steps carries on; a draw that is accepted on one side
    # and not on the other would differ by the width of the posterior.
    one, four = (np.array(found[which][name]) for which in ("one", "four"))
    assert np.mean(np.abs(four - one) < 1e-2) > 0.99


def test_more_devices_than_there_are_are_refused() -> None:
    with pytest.raises(ValueError, match=rf"at most the {len(jax.devices())} devices"), gb.over_devices(1000):
        pass
    with pytest.raises(ValueError, match="count must be a whole number"), gb.over_devices(0):
        pass
