"""Posteriors against exact ones as parameters and outputs become many.

python benchmarks/dimensions.py [--part PART ...] [--seeds 1] writes benchmarks/dimensions.md. The simulator
adds noise of standard deviation 1 to A theta + s sin(B theta), with matrices of independent entries: s = 0 (linear),
0.5 (mild) or 2 (strong). Parameters are standard normal; the distance is the mean squared error, and beta that of the
ordinary posterior, half the number of outputs. The exact posterior is sampled by NUTS from the known cost. A shift is
one of a mean in exact standard deviations (rms over parameters), a width the mean ratio of standard deviations, the
error the standard deviation of the difference of log densities over exact draws. "told" says whether the posterior or
its draws warn before any new run is made; `gb.check` makes new runs.
"""

import argparse
import resource
import sys
import textwrap
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist

import genbayes as gb
from genbayes.costs.forms import HilbertForm

DRAWS = 2000
STRENGTHS = {"linear": 0.0, "mild": 0.5, "strong": 2.0}
# Parameters, outputs and runs of each part.
PARTS = {
    "parameters": [(dim, 100, runs) for runs in (1000, 10_000) for dim in (2, 5, 10, 20, 50)],
    "outputs": [(10, 10, 10_000), (10, 1000, 10_000), (10, 10_000, 3000)],
    "largest": [(100, 100, 10_000), (10, 100, 100_000)],
}


class Case(NamedTuple):
    """One simulator with its exact cost and an observation."""

    prior: gb.Prior
    simulator: Callable[[jax.Array, jax.Array], jax.Array]
    exact: gb.Cost
    x_o: np.ndarray


def case(dim: int, outputs: int, strength: float, seed: int) -> Case:
    """A simulator of so many parameters and outputs, drawn by the seed."""
    rng = np.random.default_rng([seed, dim, outputs])
    # A mean moves by about 1 over the prior, and each parameter moves it by as much as the others.
    line, waves = (jnp.asarray(rng.standard_normal((outputs, dim)) / np.sqrt(dim), jnp.float32) for _ in range(2))

    def mean(theta: jax.Array) -> jax.Array:
        return line @ theta + strength * jnp.sin(waves @ theta)

    def cost(theta: jax.Array, x: jax.Array) -> jax.Array:
        return jnp.mean((mean(theta) - x) ** 2) + 1.0

    names = tuple(f"p{j}" for j in range(dim))
    truth = jnp.asarray(rng.standard_normal(dim), jnp.float32)
    return Case(
        gb.Prior({name: dist.Normal(0.0, 1.0) for name in names}),
        lambda key, theta: mean(theta) + jax.random.normal(key, (outputs,)),
        gb.Cost.exact(cost, names=names, x_shape=(outputs,), units="1"),
        np.asarray(mean(truth)) + rng.standard_normal(outputs),
    )


def row(kind: str, dim: int, outputs: int, runs: int, seed: int) -> str:
    """One line of the table."""
    made = case(dim, outputs, STRENGTHS[kind], seed)
    beta = outputs / 2
    exact = gb.GibbsPosterior(made.prior, made.exact, made.x_o, beta)
    truth = exact.sample(DRAWS, seed=seed, sampler=gb.NUTS()).flat
    simulations = gb.simulate(made.simulator, made.prior, runs, seed=seed, progress=False)
    started = time.perf_counter()
    cost = gb.fit_cost(simulations, gb.distances.MeanSquaredError(), seed=seed, progress=False)
    fitted = time.perf_counter()
    posterior = gb.GibbsPosterior(made.prior, cost, made.x_o, beta)
    draws = posterior.sample(DRAWS, seed=seed, sampler=gb.NUTS() if dim > 20 else gb.SMC())
    done = time.perf_counter()
    shift = (draws.flat.mean(axis=0) - truth.mean(axis=0)) / truth.std(axis=0)
    width = draws.flat.std(axis=0) / truth.std(axis=0)
    away = beta * (np.asarray(cost(truth, made.x_o), float) - np.asarray(made.exact(truth, made.x_o), float))
    assert isinstance(cost.form, HilbertForm)
    told = "yes" if posterior.outcome.messages or draws.outcome.messages else "no"
    return (
        f"| {kind} | {dim} | {outputs:,} | {runs:,} | {np.sqrt(np.mean(shift**2)):.2f} | {width.mean():.2f} | "
        f"{away.std():.2f} | {told} | {type(cost.form.mean).__name__} | {fitted - started:.0f} | {done - fitted:.0f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", nargs="+", choices=tuple(PARTS), default=list(PARTS))
    parser.add_argument("--seeds", type=int, default=1)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    command = f"python benchmarks/dimensions.py --part {' '.join(arguments.part)} --seeds {arguments.seeds}"
    lines = ["# Many parameters, many outputs", "", textwrap.fill(f"`{command}`. {described()}", 99), ""]
    columns = "simulator", "parameters", "outputs", "runs", "shift", "width", "error (nats)", "told", "means"
    lines += [f"| {' | '.join(columns)} | fit (s) | draws (s) |", "|---" * (len(columns) + 2) + "|"]
    for part in arguments.part:
        for dim, outputs, runs in PARTS[part]:
            for kind in STRENGTHS:
                for seed in range(arguments.seeds):
                    lines.append(row(kind, dim, outputs, runs, seed))
                    sys.stdout.write(lines[-1] + "\n")
                    sys.stdout.flush()
                    Path(__file__).with_suffix(".md").write_text("\n".join(lines) + "\n")
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    lines += ["", f"Largest memory of the process: {memory:.1f} GiB."]
    Path(__file__).with_suffix(".md").write_text("\n".join(lines) + "\n")


def described() -> str:
    """What the table shows, from this file's first lines."""
    return " ".join(str(__doc__).split("writes benchmarks/dimensions.md. ")[1].split())


if __name__ == "__main__":
    main()
