"""Speed and accuracy on the 10-d linear Gaussian task, whose Gibbs posterior is known in closed form.

Prints, and writes to --out, two tables in Markdown: seconds to fit and to sample (compilation and run apart), and the
classifier two-sample test against exact draws by beta, with its spread over seeds (of simulations, fit and draws).

    python benchmarks/linear_gaussian.py --out benchmarks/linear_gaussian.md
"""

import argparse
import os
import platform
import sys
import time
from pathlib import Path

import numpy as np

import genbayes as gb
from genbayes.metrics import c2st
from genbayes.tasks.linear_gaussian import gibbs_posterior

BETAS = (1.0, 10.0, 100.0)
SIMULATIONS = 10_000
DRAWS = 5_000
# Of Gao, Deistler, Macke 2023, their implementation, the same numbers of simulations and draws.
PUBLISHED = {"specified": (0.51, 0.72, 0.99), "misspecified": (0.56, 0.90, 1.00)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5, help="independent repetitions of the whole job")
    parser.add_argument("--observations", type=int, default=10, help="observations of each kind")
    parser.add_argument("--file", type=Path, help="observations in the benchmark's NPZ format; drawn if not given")
    parser.add_argument("--out", type=Path, help="Markdown file to write")
    arguments = parser.parse_args()
    task = gb.tasks.linear_gaussian()
    fits, samples, scores = [], [], {kind: [] for kind in PUBLISHED}
    for seed in range(arguments.seeds):
        simulations = gb.simulate(task.simulator, task.prior, SIMULATIONS, seed=1000 + seed, progress=False)
        started = time.perf_counter()
        cost = gb.fit_cost(simulations, task.distance, seed=seed, progress=False)
        fits.append(time.perf_counter() - started)
        observations = read(arguments.file) if arguments.file else draw(task, seed)
        for kind, rows in observations.items():
            table = []
            for x_o in rows[: arguments.observations]:
                started = time.perf_counter()
                draws = [gb.GibbsPosterior(task.prior, cost, x_o, b).sample(DRAWS, seed=seed) for b in BETAS]
                samples.append([d.seconds["compile"] + d.seconds["run"] for d in draws])
                table.append([compare(d, x_o, seed) for d in draws])
            scores[kind].append(np.mean(table, axis=0))
            print(f"seed {seed}, {kind}: C2ST {scores[kind][-1].round(3)}", file=sys.stderr)
    text = "\n\n".join([speed_table(fits, np.array(samples)), accuracy_table(scores, arguments.observations)])
    print(text)
    if arguments.out:
        arguments.out.write_text(f"# 10-d linear Gaussian\n\n`python {' '.join(sys.argv)}`\n\n{text}\n")


def draw(task: gb.tasks.Task, seed: int) -> dict[str, np.ndarray]:
    """Outputs at prior draws, and the same pushed away from the simulations by three of their standard deviations."""
    rows = gb.simulate(task.simulator, task.prior, 100, seed=7000 + seed, progress=False).x[:10]
    away = np.sign(np.random.default_rng(seed).normal(size=rows.shape)) * 3 * rows.std(axis=0)
    return {"specified": rows, "misspecified": rows + away.astype(rows.dtype)}


def read(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as file:
        return {kind: file[f"linear_gaussian/xo_{kind}_known"] for kind in PUBLISHED}


def compare(draws: gb.Draws, x_o: np.ndarray, seed: int) -> float:
    mean, std = gibbs_posterior(x_o, draws.beta)
    exact = mean + std * np.random.default_rng(seed).normal(size=(DRAWS, len(mean)))
    return c2st(draws.flat, exact, seed=seed)


def speed_table(fits: list[float], samples: np.ndarray) -> str:
    machine = f"{platform.machine()}, {len(os.sched_getaffinity(0))} core(s)"
    return "\n".join(
        [
            f"Seconds on {machine}; absolute times mean little on shared machines.",
            "",
            "| job | first time, compilation included | compiled (median) |",
            "|---|---|---|",
            f"| fit_cost, {SIMULATIONS:,} simulations | {fits[0]:.1f} | {np.median(fits[1:] or fits):.1f} |",
            *(
                f"| {DRAWS:,} draws, beta {beta:g} | {samples[0, i]:.2f} | {np.median(samples[1:, i]):.2f} |"
                for i, beta in enumerate(BETAS)
            ),
        ]
    )


def accuracy_table(scores: dict[str, list[np.ndarray]], observations: int) -> str:
    lines = [
        f"C2ST to exact draws ({DRAWS:,} + {DRAWS:,}), mean over {observations} observations; mean and standard "
        f"deviation over {len(scores['specified'])} seeds. 0.5 is perfect.",
        "",
        "| observations | " + " | ".join(f"beta {beta:g}" for beta in BETAS) + " | published ACE |",
        "|---|---|---|---|---|",
    ]
    for kind, table in scores.items():
        cells = [f"{m:.3f} +- {s:.3f}" for m, s in zip(np.mean(table, axis=0), np.std(table, axis=0), strict=True)]
        published = " ".join(f"{value:.2f}" for value in PUBLISHED[kind])
        lines.append(f"| {kind} | " + " | ".join(cells) + f" | {published} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
