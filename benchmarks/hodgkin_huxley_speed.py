"""Speed of the Hodgkin-Huxley simulator: runs a second, where the time goes, and how far that is from the processor.

Prints, and writes to --out, tables in Markdown. On a CPU start it on one core (`taskset -c 0`), since large arrays
are shared out among cores; on a GPU give large batches (--batches 16384 65536).

    taskset -c 0 python benchmarks/hodgkin_huxley_speed.py --out benchmarks/hodgkin_huxley_speed.md
"""

import argparse
import os
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import genbayes as gb
from genbayes import hodgkin_huxley as hh
from genbayes.hodgkin_huxley import arithmetic, model, simulator
from genbayes.hodgkin_huxley.statistics import Moments, Spikes

STEPS = 72_500
# Seconds of the published simulator (Cython) for one run and its statistics, one core.
PUBLISHED = 0.101
# Operations of one step that are counted: each of these primitives is one per element.
COUNTED = {"add", "sub", "mul", "div", "neg", "max", "min", "sqrt", "round", "select_n", "lt", "le", "gt", "ge", "eq"}
COUNTED |= {"and", "or", "xor", "not", "shift_left", "shift_right_logical", "shift_right_arithmetic"}
COUNTED |= {"convert_element_type"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", type=int, nargs="+", default=[256, 1024, 4096], help="runs at a time")
    parser.add_argument("--repeats", type=int, default=5, help="timings, of which the least is reported")
    parser.add_argument("--out", type=Path, help="Markdown file to write")
    arguments = parser.parse_args()
    stimulus = step_of_current()
    text = "\n\n".join(
        [
            f"{platform.machine()}, {len(os.sched_getaffinity(0))} core(s), JAX {jax.__version__} on "
            f"{jax.devices()[0].device_kind}; least of {arguments.repeats} timings. Of the {STEPS:,} steps of a "
            f"recording, the {simulated(stimulus):,} to the end of the stimulus are simulated, for nothing later "
            f"enters a statistic; steps a second are those.",
            throughput(stimulus, arguments.batches, arguments.repeats),
            parts(stimulus, 1024, arguments.repeats),
        ]
    )
    print(text)
    if arguments.out:
        command = " ".join(["python benchmarks/hodgkin_huxley_speed.py", *sys.argv[1:]])
        arguments.out.write_text(f"# Hodgkin-Huxley simulator\n\n`{command}`\n\n{text}\n")


def step_of_current() -> hh.Stimulus:
    current = np.zeros(STEPS)
    current[10_250:60_250] = 0.915
    return hh.Stimulus(current, 0.02, 205.0, 1205.0, -86.8)


def simulated(stimulus: hh.Stimulus) -> int:
    return round(stimulus.off / stimulus.dt)


def throughput(stimulus: hh.Stimulus, batches: list[int], repeats: int) -> str:
    """`genbayes.simulate` as a user calls it, compilation included, and the compiled runs alone."""
    lines = [
        "| runs at a time | `genbayes.simulate`, first batch, s | compiled, ms a run | million steps a second | runs a "
        f"second | against the published simulator ({PUBLISHED * 1e3:.0f} ms) |",
        "|---|---|---|---|---|---|",
    ]
    run = hh.HodgkinHuxley(stimulus)
    for batch in batches:
        started = time.perf_counter()
        gb.simulate(run, hh.prior(), batch, seed=0, batch_size=batch, progress=False)
        first = time.perf_counter() - started
        keys = jax.random.split(jax.random.key(0), batch)
        seconds = least(jax.jit(jax.vmap(run)), (keys, hh.prior().sample(batch, seed=0)), repeats) / batch
        rate = simulated(stimulus) / seconds / 1e6
        row = f"| {batch:,} | {first:.1f} | {seconds * 1e3:.3f} | {rate:.0f} | {1 / seconds:,.0f} | "
        lines.append(row + f"{PUBLISHED / seconds:.0f} x |")
        print(lines[-1], file=sys.stderr, flush=True)
    return "\n".join(lines)


def parts(stimulus: hh.Stimulus, n: int, repeats: int) -> str:
    """Parts of a step, each alone in a loop over blocks of the same size as in the simulator, and their operations."""
    theta = jnp.asarray(hh.prior().sample(n, seed=0)).T
    words = jax.random.key_data(jax.random.split(jax.random.key(0), n)).T
    voltage = jnp.linspace(-80, 20, n, dtype=jnp.float32)
    state = model.start(voltage, theta)
    blocks = 100
    steps = blocks * simulator.BLOCK
    counter = jnp.arange(simulator.BLOCK, dtype=jnp.uint32)[:, None]

    def noise(i: Any, block: jax.Array) -> jax.Array:
        return arithmetic.standard_normal(words[:, None, :], counter + i.astype(jnp.uint32))

    def one_step(i: Any, state: model.State) -> model.State:
        return model.step(state, theta, voltage, voltage, 0.02)

    def spikes(i: Any, carry: tuple[Spikes, jax.Array]) -> tuple[Spikes, jax.Array]:
        spikes, before = carry
        return spikes.add(before, voltage, i, (0, STEPS), 25), before + 1

    def moments(i: Any, carry: tuple[Moments, jax.Array]) -> tuple[Moments, jax.Array]:
        total, block = carry
        return total.add(block, jnp.ones(simulator.BLOCK, bool)), block + 1

    block = jnp.tile(voltage, (simulator.BLOCK, 1))
    jobs: list[tuple[str, Callable, Any, int, int]] = [
        ("noise", noise, block, blocks, simulator.BLOCK),
        ("voltage and gates", one_step, state, steps, 1),
        ("spikes", spikes, (Spikes.none(voltage, 25), voltage), steps, 1),
        ("moments", moments, (Moments.none(voltage), block), blocks, simulator.BLOCK),
    ]
    peak = multiply_adds(n, repeats)
    lines = ["| part | ns a step | operations a step | operations a second / peak |", "|---|---|---|---|"]
    total, operations = 0.0, 0.0
    for name, function, start, times, per in jobs:
        seconds = least(loop(function, times), (start,), repeats) / (times * per * n)
        count = operations_of(function, start) / (per * n)
        total, operations = total + seconds, operations + count
        lines.append(f"| {name} | {seconds * 1e9:.2f} | {count:.0f} | {count / seconds / peak:.0%} |")
    lines.append(f"| sum | {total * 1e9:.2f} | {operations:.0f} | {operations / total / peak:.0%} |")
    note = (
        f"Peak: multiply-adds in registers with the widest vectors that the processor has, {peak / 1e9:.0f} thousand "
        f"million a second on one core. An operation is one element of a multiply-add, division, square root, "
        f"comparison, conversion or integer operation (a division takes as long as six multiply-adds). At the peak a "
        f"step would take {operations / peak * 1e9:.1f} ns."
    )
    return "\n".join([f"Parts of a step, {n:,} runs at a time, each timed alone.", "", *lines, "", note])


def loop(function: Callable, times: int, options: dict[str, Any] | None = None) -> Callable:
    return jax.jit(lambda start: jax.lax.fori_loop(0, times, function, start), compiler_options=options)


def multiply_adds(n: int, repeats: int) -> float:
    """Multiply-adds a second in a kernel with nothing else, the best of some lengths of chain and vector."""

    def chain(length: int) -> Callable:
        def run(i: Any, x: jax.Array) -> jax.Array:
            for _ in range(length):
                x = x * 0.99 + 0.01
            return x

        return run

    # XLA's default for a CPU is vectors of 256 bits, whatever the processor has.
    wide = {"xla_cpu_prefer_vector_width": 512} if jax.default_backend() == "cpu" else {}
    rates = [
        length * 2_000 * n / least(loop(chain(length), 2_000, options), (jnp.ones(n),), repeats)
        for length in (16, 32, 64)
        for options in ({}, wide)
    ]
    return max(rates)


def operations_of(function: Callable, start: Any) -> float:
    """Elements computed by counted primitives; a product that is only added to something is one with the addition."""

    def count(jaxpr: Any) -> float:
        found = 0.0
        uses: dict[Any, int] = {}
        for equation in jaxpr.eqns:
            for variable in equation.invars:
                if not hasattr(variable, "val"):
                    uses[variable] = uses.get(variable, 0) + 1
        products: set[Any] = set()
        for equation in jaxpr.eqns:
            inner = equation.params.get("jaxpr") or equation.params.get("call_jaxpr")
            if inner is not None:
                found += count(getattr(inner, "jaxpr", inner))
                continue
            name, size = equation.primitive.name, max(int(np.prod(v.aval.shape)) for v in equation.outvars)
            if name == "reduce_sum":
                size = int(np.prod(equation.invars[0].aval.shape))
            elif name not in COUNTED:
                continue
            fused = [v for v in equation.invars if not hasattr(v, "val") and v in products and uses[v] == 1]
            if name in ("add", "sub") and fused:
                continue
            if name == "mul":
                products.add(equation.outvars[0])
            found += size
        return found

    return count(jax.make_jaxpr(lambda x: function(jnp.asarray(1), x))(start).jaxpr)


def least(function: Callable, inputs: tuple, repeats: int) -> float:
    jax.block_until_ready(function(*inputs))
    timings = []
    for _ in range(repeats):
        started = time.perf_counter()
        jax.block_until_ready(function(*inputs))
        timings.append(time.perf_counter() - started)
    return min(timings)


if __name__ == "__main__":
    main()
