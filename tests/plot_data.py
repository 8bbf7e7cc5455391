"""A small, realistic run for the tests of plots and report: predator-prey, log-normal priors, made without fitting."""

from dataclasses import replace
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
from numpyro.distributions import LogNormal

from genbayes import Cost, Draws, FitRecord, GibbsPosterior, PredictiveCheck, Prior, Simulations
from genbayes.runtime.outcome import Outcome

NAMES = (
    "prey_birth",
    "prey_death",
    "predator_birth",
    "predator_death",
    "prey_0",
    "predator_0",
    "k7",
    "k8",
    "k9",
    "k10",
)


MEDIANS = np.array([0.5, 0.03, 0.025, 0.8, 30.0, 5.0] + [1.0] * 40)
SPREAD = 0.7


def log_normal_prior(dim):
    """Independent log-normals."""
    names = (NAMES + tuple(f"k{i}" for i in range(11, 30)))[:dim]
    return Prior({name: LogNormal(float(np.log(m)), SPREAD) for name, m in zip(names, MEDIANS, strict=False)})


def predator_prey(theta, rng, steps=21):
    """Yearly prey and predators (n, steps, 2) by Euler steps, with log-normal noise."""
    theta = np.pad(theta, ((0, 0), (0, max(0, 6 - theta.shape[1]))), constant_values=1.0)
    a, b, c, d, u, v = theta[:, :6].T.astype(float)
    rows = []
    for _ in range(steps):
        rows.append(np.stack([u, v], -1))
        for _ in range(100):
            u, v = u + 0.01 * u * (a - b * v), v + 0.01 * v * (c * u - d)
            u, v = np.clip(u, 1e-3, 1e4), np.clip(v, 1e-3, 1e4)
    x = np.stack(rows, 1)
    return (x * np.exp(0.15 * rng.standard_normal(x.shape))).astype(np.float32)


def make_run(dim=6, n=2000, seed=0):
    """Returns a namespace: prior, truth, posterior, draws, check, simulations."""
    rng = np.random.default_rng(seed)
    prior = log_normal_prior(dim)
    truth = MEDIANS[:dim] * np.exp(0.15 * np.sin(np.arange(dim)))
    factor = rng.standard_normal((dim, dim)) * 0.4 + np.eye(dim)
    log_theta = np.log(truth) + 0.05 * rng.standard_normal((n, dim)) @ factor.T
    theta = np.exp(log_theta)

    def cost_of(theta, x_o):
        return 0.3 + 8.0 * jnp.sum((jnp.log(theta) - jnp.log(jnp.asarray(truth, jnp.float32))) ** 2)

    x_o = predator_prey(truth[None], rng)[0]
    epochs = np.arange(1, 41)
    losses = np.stack([2.0 * np.exp(-epochs / 6) + 0.2 + 0.01 * k for k in range(3)])
    validation = losses + 0.05 + 0.002 * np.maximum(epochs - 25, 0)
    validation[1, 35:] = np.nan
    validation = np.concatenate([np.full((3, 1), 2.4), validation], axis=1)
    seconds = {"compile": 1.5, "run": 4.0}
    kept = np.array([25, 25, 25])
    records = [
        FitRecord(name, "mean squared error", losses, validation, kept, seconds, Outcome())
        for name in ("mean", "spread")
    ]
    exact = Cost.exact(
        cost_of, names=prior.names, x_shape=x_o.shape, units="squared log counts", name="mean_squared_error"
    )
    cost = replace(exact, fit=tuple(records))
    posterior = GibbsPosterior(prior, cost, x_o, 50.0)
    draws = Draws(
        theta=theta.reshape(4, n // 4, dim),
        cost=np.asarray(cost(theta, x_o)).reshape(4, -1),
        names=prior.names,
        beta=50.0,
        x_o=x_o,
        sampler="SMC",
        seed=11,
        statistics={
            "beta_ladder": np.geomspace(0.5, 50, 8),
            "acceptance": np.linspace(0.7, 0.4, 8),
            "ess": np.full(8, 1050.0),
            "log_evidence": -12.3,
        },
        seconds={"compile": 2.0, "run": 1.0},
    )
    rows = rng.choice(n, 400)
    predicted = np.asarray(posterior.cost_at(theta[rows]))
    check = PredictiveCheck(
        theta=theta[rows],
        x=predator_prey(theta[rows], rng),
        predicted=predicted,
        simulated=predicted * 0.97 * rng.gamma(10, 0.1, 400),
        replicate=0.32 * rng.gamma(10, 0.1, 400),
        n_failed=2,
        seconds=1.0,
        beta=50.0,
    )
    t = np.asarray(prior.sample(1000, seed=3))
    x = predator_prey(t, rng)
    status = (np.arange(1000) % 50 == 0).astype(np.int32) * 2
    simulations = Simulations(
        theta=t,
        x=x,
        status=status,
        reasons=("ok", "pending", "NaN in the output"),
        names=prior.names,
        seed=7,
        prior_description=prior.describe(),
        simulator="predator_prey:simulate",
        seconds=3.5,
    )
    return SimpleNamespace(
        prior=prior, truth=truth, posterior=posterior, draws=draws, check=check, simulations=simulations, x_o=x_o
    )
