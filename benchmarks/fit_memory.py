"""How much memory a fit takes for each row: peak of a process that fits, over two numbers of rows, by kind of cost.

Each fit runs in a process of its own on simulations that are made in memory; one epoch of training, for memory does not
depend on their number. Bytes a row are the difference of two peaks over that of their rows, so that programs, libraries
and compilation do not count. Prints, and writes to --out, a table.

    python benchmarks/fit_memory.py --out benchmarks/fit_memory.md
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

FIT = """
import json, resource, sys
import numpy as np
import genbayes as gb

kind, n, outputs = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
rng = np.random.default_rng(0)
theta = rng.uniform(-1, 1, (n, 3)).astype(np.float32)
mixing = rng.normal(size=(3, outputs)).astype(np.float32)
x = np.sin(theta @ mixing) + 0.1 * rng.standard_normal((n, outputs), np.float32)
simulations = gb.Simulations.from_arrays(theta, x)
del theta, x
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
distance = gb.distances.MeanAbsoluteError() if kind == "marginal" else gb.distances.MeanSquaredError()
method = {"features": "auto", "marginal": "marginal", "general": "general"}[kind]
config = gb.FitConfig(max_epochs=1, patience=1)
if kind != "features":
    from dataclasses import replace
    from genbayes.costs.fitting import default_config
    config = replace(default_config(distance, method), max_epochs=1, patience=1)
gb.fit_cost(simulations, distance, method=method, config=config, progress=False)
print(json.dumps({"before": before, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}))
"""
KINDS = ("features", "marginal", "general")


def peak(kind: str, n: int, outputs: int) -> int:
    """Peak of a process that fits n rows, in bytes."""
    command = [sys.executable, "-c", FIT, kind, str(n), str(outputs)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return 1024 * json.loads(done.stdout)["peak"]


def main() -> None:
    """Measures, prints, writes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs=2, default=(50_000, 150_000))
    parser.add_argument("--outputs", type=int, nargs="+", default=(10, 50))
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    lines = ["| cost | outputs | bytes of a row | bytes that its fit takes | times |", "|---|---|---|---|---|"]
    for kind in KINDS:
        for outputs in options.outputs:
            less, more = (peak(kind, n, outputs) for n in options.rows)
            slope = (more - less) / (options.rows[1] - options.rows[0])
            row = 4 * (3 + outputs)
            lines.append(f"| {kind} | {outputs} | {row} | {slope:.0f} | {slope / row:.0f} |")
            print(lines[-1], flush=True)
    if options.out is not None:
        rows = f"{options.rows[0]:,} and {options.rows[1]:,} rows"
        head = f"# Memory of a fit\n\n`python benchmarks/fit_memory.py`, of 3 parameters, by fits of {rows}:\n"
        options.out.write_text("\n".join([head, *lines]) + "\n", "utf-8")


if __name__ == "__main__":
    main()
