"""A Python simulator of one's own: logistic growth with multiplicative noise, two observations from one fit."""

import numpy as np
import numpyro.distributions as dist

import genbayes as gb


def simulator(theta, rng):
    """Twenty yearly counts."""
    growth, capacity = theta
    counts = [5.0]
    for _ in range(19):
        counts.append(counts[-1] + growth * counts[-1] * (1 - counts[-1] / capacity))
    return np.array(counts) * rng.lognormal(0, 0.1, 20)


prior = gb.Prior({"growth": dist.Uniform(0.0, 1.0), "capacity": dist.LogNormal(4.0, 0.5)})
simulations = gb.simulate(simulator, prior, 3_000, seed=0)
cost = gb.fit_cost(simulations, gb.distances.MeanAbsoluteError(scale="prior_predictive"))

for true in ((0.4, 60.0), (0.7, 40.0)):
    x_o = simulator(true, np.random.default_rng(42))
    posterior = gb.GibbsPosterior(prior, cost, x_o, beta=30.0)
    draws = posterior.sample(1_000, seed=1)
    print(f"\ntrue parameters {true}")
    print(draws.summary())
    print(gb.check_predictive(simulator, posterior, draws, n=200, seed=2).summary())
