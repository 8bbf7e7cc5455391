"""Three patients measured at hours of their own: a deterministic model, one fit for all, a table and a verdict."""

from pathlib import Path

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist

import genbayes as gb

HERE = Path(__file__).parent
# One row per patient, one column per hour; NaN where a patient was not measured.
measured = gb.read_observation(
    HERE / "patients" / "concentrations.csv", column="concentration", index="hour", group="patient"
)
print(measured.summary)
hours = jnp.asarray(measured.index, jnp.float32)


def one_compartment(key, theta):
    """Concentration in mg/l after 100 mg by mouth: clearance in l/h, volume in l, uptake per hour."""
    del key
    clearance, volume, uptake = theta
    gone = clearance / volume
    # Where uptake and loss are equal their difference is kept from 0.
    faster = jnp.where(jnp.abs(uptake - gone) < 1e-3, gone + 1e-3, uptake)
    return 100 / volume * faster / (faster - gone) * (jnp.exp(-gone * hours) - jnp.exp(-faster * hours))


# An assay reads with 10 % of error. What it reads is compared by logarithms, for a tenth counts alike at all sizes.
simulator = gb.with_measurement_error(one_compartment, lambda x: 0.1 * x)
prior = gb.Prior(
    {
        "clearance": dist.LogNormal(np.log(4.0), 0.5),
        "volume": dist.LogNormal(np.log(40.0), 0.5),
        "uptake": dist.LogNormal(np.log(1.0), 0.5),
    }
)
simulations = gb.simulate(simulator, prior, 2_000, seed=0)
cost = gb.fit_cost(simulations, gb.distances.MeanSquaredError(transform="log1p"))
# The patients' gaps differ; nothing is fitted again for any of them.
patients = gb.GibbsPosteriors(prior, cost, measured, beta=300.0)
draws = patients.sample(1_000, seed=1)
for name, one in zip(measured.groups or (), draws.theta[:, 0], strict=True):
    means = one.reshape(-1, 3).mean(axis=0)
    print(f"{name}: clearance {means[0]:.2f} l/h, volume {means[1]:.1f} l, uptake {means[2]:.2f} 1/h")
print(gb.check_stack(patients, draws, simulations).summary())

first = patients.posterior(0)
verdict = gb.check(first, draws.draws(0), simulator, simulations, n=100, seed=2)
print(f"\n{(measured.groups or ('',))[0]}: {verdict.summary()}")
