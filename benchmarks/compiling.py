"""What compiling costs a new process, without and with the cache of compiled programs (`gb.cache`).

Each row is a process of its own: simulate, fit, sample, check and report of a small problem. The last one has another
prior of the same family and another observation than those before.

python benchmarks/compiling.py --out benchmarks/compiling.md
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROCESSES = {
    "without a cache": ("off", 2.0),
    "first with an empty cache": ("on", 2.0),
    "second, the same problem": ("on", 2.0),
    "third, another prior and observation": ("on", 2.5),
}


def session(folder: str, high: float) -> dict[str, float]:
    """One session in this process; seconds and programs, by what took them."""
    started = time.process_time()
    import genbayes as gb

    if folder != "off":
        gb.cache(folder)
    import jax
    import jax.monitoring
    import jax.numpy as jnp
    import numpy as np
    import numpyro.distributions as dist

    seconds = {"tracing": 0.0, "compiling": 0.0, "programs": 0.0}
    kinds = {"jaxpr_trace_duration": "tracing", "jaxpr_to_mlir_module_duration": "tracing"}

    def on_event(event: str, duration_secs: float, **_: object) -> None:
        kind = event.rsplit("/", 1)[-1]
        if kind in kinds:
            seconds[kinds[kind]] += duration_secs
        if kind == "backend_compile_duration":
            # With a cache this is the time in which a program is read from it.
            seconds["compiling"] += duration_secs
            seconds["programs"] += 1

    jax.monitoring.register_event_duration_secs_listener(on_event)

    def simulator(key: jax.Array, theta: jax.Array) -> jax.Array:
        return theta[0] * jnp.array([1.0, 2.0, 3.0]) + theta[1] + 0.2 * jax.random.normal(key, (3,))

    prior = gb.Prior({"slope": dist.Uniform(0.0, high), "offset": dist.Normal(0.0, high / 2)})
    simulations = gb.simulate(simulator, prior, 2000, seed=0, progress=False)
    cost = gb.fit_cost(simulations, gb.distances.MeanSquaredError("prior_predictive"), progress=False)
    posterior = gb.GibbsPosterior(prior, cost, np.array([1.0, high, 3.0]), 30.0)
    draws = posterior.sample(2000, seed=0)
    check = gb.check(posterior, draws, simulator, simulations, seed=1, progress=False)
    with tempfile.TemporaryDirectory() as made:
        gb.report(Path(made) / "report.html", posterior, draws, check=check, simulations=simulations)
    return {**seconds, "processor": time.process_time() - started}


def main() -> None:
    """Writes the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--session", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help="file for the table")
    options = parser.parse_args()
    if options.session:
        print(json.dumps(session(options.session[0], float(options.session[1]))))
        return
    lines = ["| process | processor s | compiling s | tracing s | programs |", "|---|---|---|---|---|"]
    with tempfile.TemporaryDirectory() as folder:
        for name, (cache, high) in PROCESSES.items():
            command = [sys.executable, __file__, "--session", folder if cache == "on" else "off", str(high)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            found = json.loads(done.stdout.splitlines()[-1])
            parts = " | ".join(f"{found[kind]:.1f}" for kind in ("processor", "compiling", "tracing"))
            lines.append(f"| {name} | {parts} | {found['programs']:.0f} |")
        size = sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())
    command = "python benchmarks/compiling.py --out benchmarks/compiling.md"
    told = f"By `{command}`; the programs of all processes take {size / 2**20:.1f} MiB on disk. With a cache "
    told += "`compiling` is the time in which programs are read from it."
    text = "\n".join(["# What compiling costs a new process", "", told, "", *lines, ""])
    print(text)
    if options.out is not None:
        options.out.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
