"""Speed and accuracy on the 10-d linear Gaussian task, whose Gibbs posterior is known in closed form.

Prints, and writes to --out, three tables in Markdown: seconds to fit and to sample (compilation and run apart); the
accuracy of the ideal classifier between draws and exact posterior, over many seeds (of simulations, fit and draws) and
observations; and the classifier two-sample test (C2ST) with scikit-learn's network, which takes minutes for each
number, on the first few of them.

    python benchmarks/linear_gaussian.py --out benchmarks/linear_gaussian.md
"""

import argparse
import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import multivariate_normal

import genbayes as gb
from genbayes.benchmark.c2st import c2st
from genbayes.tasks.linear_gaussian import gibbs_posterior

BETAS = (1.0, 10.0, 100.0)
SIMULATIONS = 10_000
DRAWS = 5_000
# Of Gao, Deistler, Macke 2023, their implementation, the same numbers of simulations and draws.
PUBLISHED = {"specified": (0.51, 0.72, 0.99), "misspecified": (0.56, 0.90, 1.00)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5, help="independent repetitions of the whole job")
    parser.add_argument("--c2st", type=int, default=2, help="observations of each kind for the C2ST, of the first seed")
    parser.add_argument("--file", type=Path, help="observations in the benchmark's NPZ format; drawn if not given")
    parser.add_argument("--out", type=Path, help="Markdown file to write")
    arguments = parser.parse_args()
    task = gb.tasks.linear_gaussian()
    fits, samples = [], []
    ideal: dict[str, list[np.ndarray]] = {kind: [] for kind in PUBLISHED}
    trained: dict[str, list[np.ndarray]] = {kind: [] for kind in PUBLISHED}
    for seed in range(arguments.seeds):
        simulations = gb.simulate(task.simulator, task.prior, SIMULATIONS, seed=1000 + seed, progress=False)
        started = time.perf_counter()
        cost = gb.fit_cost(simulations, task.distance, seed=seed, progress=False)
        fits.append(time.perf_counter() - started)
        observations = read(arguments.file) if arguments.file else draw(task, seed)
        for kind, rows in observations.items():
            scores = []
            for i, x_o in enumerate(rows):
                draws = [gb.GibbsPosterior(task.prior, cost, x_o, b).sample(DRAWS, seed=seed) for b in BETAS]
                samples.append([d.seconds["compile"] + d.seconds["run"] for d in draws])
                scores.append([ideal_accuracy(d, x_o) for d in draws])
                if seed == 0 and i < arguments.c2st:
                    trained[kind].append(np.array([compare(d, x_o, seed) for d in draws]))
                    print(f"{kind} observation {i}: C2ST {trained[kind][-1].round(3)}", file=sys.stderr, flush=True)
            ideal[kind].append(np.mean(scores, axis=0))
            print(f"seed {seed}, {kind}: ideal {ideal[kind][-1].round(3)}", file=sys.stderr, flush=True)
    tables = [
        speed_table(fits, np.array(samples)),
        accuracy_table("Accuracy of the ideal classifier, mean over 10 observations", ideal, "seeds"),
    ]
    if arguments.c2st:
        title = f"C2ST with scikit-learn, {DRAWS:,} + {DRAWS:,} draws"
        tables.append(accuracy_table(title, trained, "observations"))
    text = "\n\n".join(tables)
    print(text)
    if arguments.out:
        command = " ".join(["python benchmarks/linear_gaussian.py", *sys.argv[1:]])
        arguments.out.write_text(f"# 10-d linear Gaussian\n\n`{command}`\n\n{text}\n")


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


def ideal_accuracy(draws: gb.Draws, x_o: np.ndarray) -> float:
    """Accuracy of the best possible classifier between the exact posterior and a normal fitted to the draws.

    Both are normal here (the fitted cost is quadratic), so their density ratio is known. The estimate from 5,000 draws
    of ten coordinates has 65 free parameters, which alone bring it above 0.5; `draws` that are exact show by how much.
    """
    mean, std = gibbs_posterior(x_o, draws.beta)
    return ideal_accuracy_of((draws.flat - mean) / std)


def ideal_accuracy_of(z: np.ndarray) -> float:
    normal: Any = multivariate_normal  # scipy's stub takes a covariance for a number
    fitted, exact = normal(z.mean(axis=0), np.cov(z.T)), normal(np.zeros(z.shape[1]), np.eye(z.shape[1]))
    rng = np.random.default_rng(0)
    ours, theirs = (d.rvs(50_000, random_state=rng) for d in (fitted, exact))
    right = [np.mean(fitted.logpdf(ours) > exact.logpdf(ours)), np.mean(fitted.logpdf(theirs) < exact.logpdf(theirs))]
    return float(np.mean(right))


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


def accuracy_table(title: str, scores: dict[str, list[np.ndarray]], over: str) -> str:
    perfect = ideal_accuracy_of(np.random.default_rng(1).normal(size=(DRAWS, 10)))
    note = f" (exact draws have {perfect:.3f}, the noise of the fitted normal)" if "ideal" in title else ""
    count = len(scores["specified"])
    what = f"mean and standard deviation over {count} {over}" if count > 1 else "one observation of each kind"
    lines = [
        f"{title}; {what}. 0.5 is perfect{note}.",
        "",
        "| observations | " + " | ".join(f"beta {beta:g}" for beta in BETAS) + " | published ACE, C2ST |",
        "|---|---|---|---|---|",
    ]
    for kind, table in scores.items():
        # Of a single one there is no deviation.
        deviations = [f" +- {value:.3f}" if count > 1 else "" for value in np.std(table, axis=0)]
        cells = [f"{m:.3f}{deviation}" for m, deviation in zip(np.mean(table, axis=0), deviations, strict=True)]
        published = " ".join(f"{value:.2f}" for value in PUBLISHED[kind])
        lines.append(f"| {kind} | " + " | ".join(cells) + f" | {published} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
