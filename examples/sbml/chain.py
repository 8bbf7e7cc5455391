"""A model in SBML, simulated by libroadrunner: two rates from noisy concentrations.

pip install "genbayes[sbml]"
python examples/sbml/chain.py
"""

from pathlib import Path

import numpy as np

import genbayes as gb

TIMES = np.linspace(0.5, 10.0, 12)
ERROR = 0.3

model = gb.SBMLModel(Path(__file__).with_name("chain.xml"), outputs=["[A]", "[B]"], times=TIMES)
prior = gb.Prior.uniform([0.1, 0.05], [1.5, 0.5], names=["k1", "k2"])
noisy = gb.with_measurement_error(model, ERROR)


def main() -> None:
    """Simulates, fits, samples, and prints quantiles."""
    truth = np.array([[0.6, 0.2]], np.float32)
    x_o = gb.simulate_at(noisy, truth, seed=1, names=prior.names, progress=False).x[0]
    simulations = gb.simulate(noisy, prior, 1000, seed=0, progress=False)
    cost = gb.fit_cost(simulations, gb.distances.MeanSquaredError(), progress=False)
    # exp(-beta cost) is the likelihood of independent normal errors.
    beta = x_o.size / (2 * ERROR**2)
    draws = gb.GibbsPosterior(prior, cost, x_o, beta=beta).sample(1000, seed=0)
    print(draws.summary())
    low, high = np.quantile(np.asarray(draws), [0.005, 0.995], axis=0)
    assert np.all((low < truth[0]) & (truth[0] < high))


if __name__ == "__main__":
    main()
