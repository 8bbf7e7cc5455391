"""False alarms and detections of the support test, and of other scores, on the tasks and on recordings of neurons.

python benchmarks/support.py [--recordings DIR] writes benchmarks/support.md. Everything is calibrated on held-out
simulations and judged on fresh ones (seeds of its own), 10,000 simulations a task.
"""

import argparse
from pathlib import Path

import numpy as np
from scipy.spatial import KDTree

import genbayes as gb
from genbayes import hodgkin_huxley as hh
from genbayes import tasks
from genbayes.checks.output_space import as_vectors
from genbayes.checks.support import LEVEL, SupportReference

NAMES = ("uniform_1d", "two_moons", "linear_gaussian", "gaussian_mixture", "lotka_volterra", "sir")
OBSERVATIONS = 400
SCORES = ("joint", "isolation", "least cost", "5th neighbour", "Mahalanobis")
SEED = 4711


def displaced(x: np.ndarray, std: np.ndarray, seed: int) -> np.ndarray:
    """Outputs with one value each moved by one prior-predictive standard deviation: mildly misspecified."""
    rng = np.random.default_rng(seed)
    flat = x.reshape(len(x), -1).copy()
    which = rng.integers(flat.shape[1], size=len(x))
    flat[np.arange(len(x)), which] += std.reshape(-1)[which] * rng.choice([-1.0, 1.0], len(x))
    return flat.reshape(x.shape)


def rates(reference: SupportReference, simulations: gb.Simulations, groups: dict[str, np.ndarray]) -> dict:
    """Share of every group that each score calls unusual."""
    found = {name: np.mean(reference.p_values(x) <= LEVEL, axis=0) for name, x in groups.items()}
    rows = np.random.default_rng(1).permutation(np.flatnonzero(simulations.ok))
    base, held_out = simulations.x[rows[1000:6000]], simulations.x[rows[:1000]]
    vectors = as_vectors(base, reference.kind)
    std = vectors.std(axis=0) + 1e-12
    tree = KDTree(vectors / std)
    for score in (
        lambda x: tree.query(as_vectors(x, reference.kind) / std, k=5)[0][:, -1],
        lambda x: np.linalg.norm(reference.space(as_vectors(x, reference.kind)), axis=1),
    ):
        limit = np.quantile(score(held_out), 1 - LEVEL)
        for name, x in groups.items():
            found[name] = np.append(found[name], np.mean(score(x) > limit))
    return found


def task_rows(name: str) -> list[tuple[str, str, np.ndarray]]:
    """One row for each group of observations of a task."""
    task = getattr(tasks, name)()
    simulations = gb.simulate(task.simulator, task.prior, 10_000, seed=SEED, progress=False)
    cost = gb.fit_cost(simulations, task.distance, seed=0, progress=False)
    observations = tasks.draw_observations(task, OBSERVATIONS, seed=SEED + 1)
    fresh = tasks.draw_observations(task, OBSERVATIONS, seed=SEED + 2)["specified"]
    groups = {
        "fresh simulations (false alarms)": np.concatenate([observations["specified"], fresh]),
        "misspecified": observations["misspecified"],
        "one value moved by its prior-predictive std": displaced(
            observations["specified"], simulations.x[simulations.ok].std(axis=0), SEED
        ),
    }
    found = rates(SupportReference.of(cost, simulations), simulations, groups)
    return [(name, group, values) for group, values in found.items()]


def recordings(folder: Path) -> list[str]:
    """Every recording of a folder against simulations under its own stimulus."""
    head = "| recording | joint p | isolation | least cost (units of the distance) | usual: median, 95 % |"
    lines = [head, "|" + "---|" * 5]
    false = []
    for recording in hh.read_recordings(folder):
        task = hh.hodgkin_huxley(recording)
        simulations = gb.simulate(task.simulator, task.prior, 5_000, seed=SEED, progress=False)
        cost = gb.fit_cost(simulations, task.distance, seed=0, progress=False)
        reference = SupportReference.of(cost, simulations)
        found = reference.judge(task.x_o)
        fresh = gb.simulate(task.simulator, task.prior, OBSERVATIONS, seed=SEED + 1, progress=False)
        false.append(np.mean(reference.p_values(fresh.x[fresh.ok])[:, 0] <= LEVEL))
        lines.append(
            f"| {recording.name} | {found.p_value:.3f} | {found.isolation:.3f} | {found.cost:.3f} | "
            f"{found.usual_cost[0]:.3f}, {found.usual_cost[1]:.3f} |"
        )
        print(lines[-1], flush=True)
    shares = ", ".join(f"{100 * share:.1f} %" for share in false)
    return [*lines, "", f"False alarms on {OBSERVATIONS} fresh simulations for each: {shares}."]


def main() -> None:
    """Measures all, prints and writes the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recordings", type=Path, help="folder of Allen Institute recordings")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".md"))
    options = parser.parse_args()
    lines = [
        "# The support test: false alarms and detections",
        "",
        "Share of observations that each score calls unusual at the 5 % level, in percent. `joint` is what",
        "`genbayes check` uses. 10,000 simulations a task, 1,000 of them held out; "
        f"{2 * OBSERVATIONS} fresh simulations",
        "(binomial standard error 0.8, and 0.7 more from the held-out rows), "
        f"{OBSERVATIONS} observations of each other kind.",
        "Command: `python benchmarks/support.py --recordings DIR`.",
        "",
        f"| task | observations | {' | '.join(SCORES)} |",
        "|" + "---|" * (2 + len(SCORES)),
    ]
    for name in NAMES:
        for task, group, values in task_rows(name):
            lines.append(f"| {task} | {group} | {' | '.join(f'{100 * value:.1f}' for value in values)} |")
            print(lines[-1], flush=True)
    lines += [
        "",
        "- isolation: distance to the 5th nearest simulated output in a space with every direction of the simulations",
        "  equal, relative to the same distance of those neighbours.",
        "- least cost: the least expected distance over the parameters of the 64 nearest simulated outputs.",
        "- 5th neighbour: its distance in standardised output space; Mahalanobis: in the space of isolation.",
    ]
    if options.recordings:
        lines += ["", "## Recordings of neurons", ""]
        lines += ["Hodgkin-Huxley, 5,000 simulations for each recording (under its own stimulus).", ""]
        lines += recordings(options.recordings)
    options.out.write_text("\n".join(lines) + "\n", "utf-8")


if __name__ == "__main__":
    main()
