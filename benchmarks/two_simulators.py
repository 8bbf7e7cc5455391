"""Few runs of a dear simulator and many of a cheap one, against as many dear runs alone.

python benchmarks/two_simulators.py [--seeds 3] writes benchmarks/two_simulators.md. An epidemic of 20 weeks by
stochastic differential equations; the dear simulator takes 64 steps a week, the cheap ones 2 or 8 of the same Brownian
path. The reference is the cost of 20,000 other dear runs; posteriors by importance weights on draws of the prior.
A shift is one of a mean in standard deviations of the reference, a width a ratio of standard deviations, an error the
standard deviation of the difference of log densities over the reference's posterior; all over parameters, observations
and seeds.
"""

import argparse
import sys
import textwrap
import warnings
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist

import genbayes as gb

WEEKS, STEPS, PEOPLE, INFECTED = 20, 64, 1000.0, 10.0
PRIOR = gb.Prior(
    {"infection": dist.Uniform(0.3, 2.0), "recovery": dist.Uniform(0.1, 0.8), "reported": dist.Uniform(0.1, 1.0)}
)
TRUTHS = np.array([[0.9, 0.35, 0.5], [1.4, 0.3, 0.7], [0.6, 0.25, 0.9], [1.2, 0.6, 0.4]], np.float32)
DISTANCE = gb.distances.MeanSquaredError(scale=[40.0] * WEEKS)
BETA = 20.0
FEW, MANY, CHEAP = 100, 2000, 10_000


def epidemic(steps: int) -> Callable[[jax.Array, jax.Array], jax.Array]:
    """Reported new cases of each week, with so many steps a week."""

    def simulator(key: jax.Array, theta: jax.Array) -> jax.Array:
        infection, recovery, reported = theta
        path = jax.random.normal(key, (WEEKS, steps, STEPS // steps, 2)).sum(axis=2) / jnp.sqrt(STEPS // steps)
        path = path.reshape(WEEKS * steps, 2)

        def step(state: tuple[jax.Array, jax.Array], noise: jax.Array) -> tuple[tuple[jax.Array, jax.Array], jax.Array]:
            susceptible, infected = state
            rates = jnp.stack([infection * susceptible / PEOPLE, recovery]) * infected / steps
            events = rates + jnp.sqrt(jnp.maximum(rates, 0.0)) * noise
            new = jnp.clip(events[0], 0.0, susceptible)
            gone = jnp.clip(events[1], 0.0, infected + new)
            return (susceptible - new, infected + new - gone), new

        _, new = jax.lax.scan(step, (jnp.asarray(PEOPLE - INFECTED), jnp.asarray(INFECTED)), path)
        return reported * new.reshape(WEEKS, steps).sum(axis=1)

    return simulator


DEAR, TWO, EIGHT = epidemic(STEPS), epidemic(2), epidemic(8)


def log_densities(cost: gb.Cost, theta: np.ndarray, x_o: np.ndarray) -> np.ndarray:
    """Log densities of every observation at draws of a uniform prior, normalised."""
    values = -BETA * np.stack([np.asarray(cost(theta, x), float) for x in x_o])
    values -= values.max(axis=1, keepdims=True)
    return values - np.log(np.exp(values).sum(axis=1, keepdims=True))


def moments(log_density: np.ndarray, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means and standard deviations of every observation's posterior."""
    weights = np.exp(log_density)
    mean = weights @ theta
    return mean, np.sqrt(weights @ theta**2 - mean**2)


def compared(log_density: np.ndarray, reference: np.ndarray, theta: np.ndarray) -> tuple[np.ndarray, ...]:
    """Shifts, widths and errors in nats."""
    (mean, sd), (of_reference, sd_of_reference) = moments(log_density, theta), moments(reference, theta)
    weights, away = np.exp(reference), log_density - reference
    centre = np.sum(weights * away, axis=1, keepdims=True)
    error = np.sqrt(np.sum(weights * (away - centre) ** 2, axis=1))
    return (mean - of_reference) / sd_of_reference, sd / sd_of_reference, error


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    seeds = parser.parse_args().seeds
    warnings.simplefilter("ignore")
    theta = np.asarray(PRIOR.sample(20_000, seed=903), float)
    x_o = np.asarray(gb.simulate_at(DEAR, TRUTHS, seed=905, names=PRIOR.names, progress=False).x)
    of_reference = gb.simulate(DEAR, PRIOR, 20_000, seed=977, progress=False)
    reference = log_densities(gb.fit_cost(of_reference, DISTANCE, progress=False), theta, x_o)
    found: dict[str, list[tuple[np.ndarray, ...]]] = {}
    for seed in range(seeds):
        dear = gb.simulate(DEAR, PRIOR, MANY, seed=seed, progress=False)
        cheap = {2: gb.simulate(TWO, PRIOR, CHEAP, seed=seed, progress=False)}
        cheap[8] = gb.simulate(EIGHT, PRIOR, CHEAP, seed=seed, progress=False)
        few = dear.selected(np.arange(FEW))
        fits: dict[str, tuple[gb.Simulations, gb.Simulations | None]]
        fits = {f"{FEW} dear": (few, None), f"{MANY:,} dear": (dear, None)}
        for steps, runs in cheap.items():
            fits[f"{CHEAP:,} with {steps} steps"] = (runs, None)
            fits[f"{FEW} dear, {CHEAP:,} with {steps} steps"] = (few, runs)
        for name, (runs, beside) in fits.items():
            cost = gb.fit_cost(runs, DISTANCE, cheap=beside, progress=False)
            found.setdefault(name, []).append(compared(log_densities(cost, theta, x_o), reference, theta))
    lines = [
        "# A dear and a cheap simulator",
        "",
        textwrap.fill(f"`python benchmarks/two_simulators.py --seeds {seeds}`. {described()}", 99),
        "",
    ]
    lines += ["| runs | shift, rms | largest | width | error (nats) |", "|---|---|---|---|---|"]
    for name, results in found.items():
        shift, width, error = (np.stack(part) for part in zip(*results, strict=True))
        lines.append(
            f"| {name} | {np.sqrt(np.mean(shift**2)):.2f} | {np.abs(shift).max():.2f} | {width.mean():.2f} | "
            f"{np.sqrt(np.mean(error**2)):.2f} |"
        )
    text = "\n".join(lines) + "\n"
    Path(__file__).with_suffix(".md").write_text(text)
    sys.stdout.write(text)


def described() -> str:
    """What the table shows, from this file's first lines."""
    return " ".join(str(__doc__).split("writes benchmarks/two_simulators.md. ")[1].split())


if __name__ == "__main__":
    main()
