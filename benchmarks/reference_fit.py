"""Time of a fit against the training of the paper's own network (Gao, Deistler, Macke 2023), in one run, on one thread.

The paper's network is built and trained anew here, in PyTorch, as its authors' public code does for their benchmark
(github.com/mackelab/neuralgbi): parameter and target standardised, three residual blocks of 64 ReLU units, softplus
times the mean distance; Adam at 0.001, 500 parameters a step with two targets each; a tenth of the rows held out, with
five targets each, others in every epoch; the weights of the best epoch once a hundred have brought nothing. Targets are
all outputs, a hundred more with noise of two standard deviations, and no observations.

Both learn the mean squared error of the ten-dimensional linear Gaussian, whose cost is known. The error is the root
mean square difference to it, in units of its standard deviation over parameters and observations of the prior. Every
seed has a process of its own: its first fit traces its programs and reads them from the compilation cache, which a
process before has filled; the second one compiles nothing.

    taskset -c 0 python benchmarks/reference_fit.py --seeds 3 --out benchmarks/reference_fit.md
"""

import argparse
import copy
import shlex
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, cast

import numpy as np

import genbayes as gb
from genbayes.benchmark.methods.flows import import_sbi

ROWS, OBSERVATIONS = 10_000, 20
WIDTH, BLOCKS = 64, 3
BATCH, TARGETS, HELD_OUT_TARGETS, HELD_OUT, PATIENCE = 500, 2, 5, 0.1, 100
NOISY_TARGETS, NOISE = 100, 2.0
COLUMNS = (
    "seed",
    "first fit, s",
    "second fit, s",
    "reference, s",
    "epochs",
    "ratio, first",
    "ratio",
    "error",
    "its error",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3, help="of simulations, fits and weights")
    parser.add_argument("--out", type=Path, help="Markdown file to write")
    arguments = parser.parse_args()
    lines = [
        "# A fit against the training of the paper's network",
        "",
        f"`{shlex.join(['python', *sys.argv])}`",
        "",
        f"The ten-dimensional linear Gaussian, {ROWS:,} runs; seconds of processor time. Ratio: of the",
        "reference's time to that of the first fit, which reads the compilation cache, and of the second.",
        "Error: root mean square difference to the exact cost, in units of its standard deviation.",
        "",
        f"| {' | '.join(COLUMNS)} |",
        f"|{'---|' * len(COLUMNS)}",
    ]
    with ProcessPoolExecutor(1, get_context("spawn"), max_tasks_per_child=1) as pool:
        pool.submit(fill_cache).result()
        seconds = []
        for seed in range(arguments.seeds):
            line, of_seed = pool.submit(row, seed).result()
            print(line, flush=True)
            lines.append(line)
            seconds.append(of_seed)
    first, second, reference = np.sum(seconds, axis=0)
    lines += [
        "",
        f"All seeds together: {reference / first:.1f} times the first fits, {reference / second:.1f} the second.",
    ]
    if arguments.out:
        arguments.out.write_text("\n".join(lines) + "\n")


def seconds_of_fits(seed: int) -> tuple[gb.Cost, gb.Simulations, list[float]]:
    """The cost, its simulations, and the seconds of a first and of a second fit."""
    gb.cache()
    task = gb.tasks.linear_gaussian()
    simulations = gb.simulate(task.simulator, task.prior, ROWS, seed=seed, progress=False)
    seconds = []
    for _ in range(2):
        started = time.process_time()
        cost = gb.fit_cost(simulations, task.distance, seed=seed, progress=False)
        seconds.append(time.process_time() - started)
    return cost, simulations, seconds


def fill_cache() -> None:
    """A process whose fits are not counted."""
    seconds_of_fits(0)


def row(seed: int) -> tuple[str, list[float]]:
    """One line of the table, and its seconds."""
    task = gb.tasks.linear_gaussian()
    cost, simulations, seconds = seconds_of_fits(seed)
    started = time.process_time()
    reference, epochs = trained(np.asarray(simulations.theta), np.asarray(simulations.x), seed)
    theirs = time.process_time() - started
    new = gb.simulate(task.simulator, task.prior, ROWS, seed=1000 + seed, progress=False)
    theta, x_o = np.asarray(new.theta), np.asarray(new.x)[:OBSERVATIONS]
    exact = np.stack([cast(gb.Cost, task.cost)(theta, x) for x in x_o])
    errors = [
        np.sqrt(np.mean((np.stack([function(theta, x) for x in x_o]) - exact) ** 2)) / exact.std()
        for function in (cost, reference)
    ]
    line = (
        f"| {seed} | {seconds[0]:.2f} | {seconds[1]:.2f} | {theirs:.1f} | {epochs} | {theirs / seconds[0]:.0f} | "
        f"{theirs / seconds[1]:.0f} | {errors[0]:.4f} | {errors[1]:.4f} |"
    )
    return line, [*seconds, theirs]


def trained(theta: np.ndarray, x: np.ndarray, seed: int) -> tuple[Callable[[np.ndarray, np.ndarray], np.ndarray], int]:
    """The paper's network, as a function of parameters (n, dim) and one observation, and how many epochs it took."""
    torch = import_sbi("torch")
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    parameters, outputs = (torch.tensor(part, dtype=torch.float32) for part in (theta, x))
    noisy = outputs[torch.randperm(len(outputs))[:NOISY_TARGETS]]
    targets = torch.cat([outputs, noisy + NOISE * outputs.std(dim=0) * torch.randn_like(noisy)])
    typical = _distance(outputs[torch.randperm(len(outputs))], outputs).mean()
    network = _network(parameters.shape[1] + outputs.shape[1])
    centred = [(part.mean(dim=0), part.std(dim=0)) for part in (parameters, outputs)]

    def value(of: Any, at: Any) -> Any:
        both = torch.cat([(part - mean) / std for part, (mean, std) in zip((of, at), centred, strict=True)], dim=1)
        return typical * torch.nn.functional.softplus(network(both))[:, 0]

    def loss(rows: Any, count: int) -> Any:
        rows = rows.repeat(count)
        chosen = targets[torch.cat([torch.randperm(len(targets))[: len(rows) // count] for _ in range(count)])]
        return torch.mean((value(parameters[rows], chosen) - _distance(outputs[rows], chosen)) ** 2)

    order = torch.randperm(len(parameters))
    held_out, rows = order.split([round(HELD_OUT * len(order)), len(order) - round(HELD_OUT * len(order))])
    optimiser = torch.optim.Adam(network.parameters())
    best, best_loss, best_epoch, epoch = copy.deepcopy(network.state_dict()), np.inf, 0, 0
    while epoch - best_epoch < PATIENCE:
        epoch += 1
        for batch in rows[torch.randperm(len(rows))].split(BATCH):
            optimiser.zero_grad()
            loss(batch, TARGETS).backward()
            optimiser.step()
        with torch.no_grad():
            new = loss(held_out, HELD_OUT_TARGETS).item()
        if new < best_loss:
            best, best_loss, best_epoch = copy.deepcopy(network.state_dict()), new, epoch
    network.load_state_dict(best)

    def cost(at: np.ndarray, x_o: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            one = torch.tensor(x_o, dtype=torch.float32).expand(len(at), -1)
            return value(torch.tensor(at, dtype=torch.float32), one).numpy()

    return cost, epoch


def _distance(x: Any, target: Any) -> Any:
    return ((x - target) ** 2).mean(dim=1)


def _network(inputs: int) -> Any:
    """Residual blocks before whose layers the activation stands; each starts as next to nothing."""
    nn = import_sbi("torch").nn

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
            for part in (self.second.weight, self.second.bias):
                nn.init.uniform_(part, -1e-3, 1e-3)

        def forward(self, hidden: Any) -> Any:
            return hidden + self.second(nn.functional.relu(self.first(nn.functional.relu(hidden))))

    return nn.Sequential(nn.Linear(inputs, WIDTH), *(Block() for _ in range(BLOCKS)), nn.Linear(WIDTH, 1))


if __name__ == "__main__":
    main()
