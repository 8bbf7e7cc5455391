"""All rows of a store that is larger than the memory: read a block at a time, for sums over rows and for networks.

A fit in memory reads some blocks, and makes every choice by them. What it solves for is then solved for over all
blocks, and networks are trained on blocks in random order. A block is divided between the members of an ensemble
by itself, always in the same way, so that a member holds out the same rows of it in every pass.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int, PyTree

from .folds import Folds
from .training import FitConfig

NO_FOLDS = Folds(np.zeros((0, 0), int), np.zeros((0, 0), int))


class Block(NamedTuple):
    """Rows of one block: parameters (n, dim), what is learned of (n, ...), and what each member holds out."""

    theta: Float[np.ndarray, "n dim"]
    values: Float[np.ndarray, "n ..."]
    folds: Folds


@dataclass(frozen=True, eq=False)
class StreamedRows:
    """The blocks of a store.

    Attributes:
        count: number of blocks.
        of_sample: numbers of those in memory, whose rows are the arrays that a fit is given, in this order.
        read: from the number of a block to its rows.
        seed: of the order in which networks see blocks.
    """

    count: int
    of_sample: tuple[int, ...]
    read: Callable[[int], Block]
    seed: int

    def __iter__(self) -> Iterator[Block]:
        return (block for block in map(self.read, range(self.count)) if len(block.theta))

    def mapped(self, function: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> "StreamedRows":
        """The same rows with values function(theta, values)."""

        def read(number: int) -> Block:
            theta, values, folds = self.read(number)
            return Block(theta, function(theta, values) if len(theta) else values[:0], folds)

        return replace(self, read=read)

    def shuffled(self) -> Iterator[Block]:
        """As many random blocks at a time as are in memory, joined, for ever; each comes once before any twice."""
        rng = np.random.default_rng(self.seed)
        waiting: list[int] = []
        while True:
            parts = []
            while len(parts) < len(self.of_sample):
                waiting = waiting or rng.permutation(self.count).tolist()
                block = self.read(waiting.pop())
                parts += [block] if len(block.theta) else []
            theta, values = (np.concatenate([part[i] for part in parts]) for i in (0, 1))
            yield Block(theta, values, joined([part.folds for part in parts], [len(part.theta) for part in parts]))


def folds_of_block(rows: int, config: FitConfig, seed: int, number: int) -> Folds | None:
    """What every member holds out of a block; None where the block has too few rows to be divided."""
    if rows < max(2, round(config.validation_fraction * rows)) + 2:
        return None
    return Folds.make(np.arange(rows), config, [seed, number])


def joined(folds: Sequence[Folds], lengths: Sequence[int]) -> Folds:
    """The folds of blocks that stand one behind the other."""
    starts = np.cumsum([0, *lengths[:-1]])
    parts = [(one.train + start, one.validation + start) for one, start in zip(folds, starts, strict=True)]
    train, validation = (np.concatenate(part, axis=1) for part in zip(*parts, strict=True))
    return Folds(train, validation)


class TrainingData(NamedTuple):
    """What `train` reads of rows: arrays, each member's rows of them, and where more come from.

    Attributes:
        data: arrays that the loss reads by row.
        train: training rows of each member.
        validation: held-out rows of each member.
        renewed: other arrays and training rows, of the same shapes and with the same held-out rows; None where all rows
            are in memory.
    """

    data: PyTree
    train: Int[np.ndarray, "members n_train"]
    validation: Int[np.ndarray, "members n_validation"]
    renewed: Callable[[], tuple[PyTree, Int[np.ndarray, "members n_train"]]] | None = None


def training_data(
    of_rows: Callable[[np.ndarray, np.ndarray], Any],
    theta: Float[np.ndarray, "n dim"],
    values: Float[np.ndarray, "n ..."],
    folds: Folds,
    stream: StreamedRows | None,
) -> TrainingData:
    """The arrays of all rows in memory; of a store, its held-out rows in memory with shuffled blocks behind them.

    Args:
        of_rows: from parameters and values of rows to what the loss reads.
        theta: of the rows in memory.
        values: of the same rows.
        folds: of the same rows.
        stream: the store, if they are not all.
    """
    if stream is None:
        return TrainingData(of_rows(theta, values), folds.train, folds.validation)
    held_out, parts = folds.validation.reshape(-1), stream.shuffled()
    most = folds.train.shape[1]

    def renewed() -> tuple[PyTree, np.ndarray]:
        block = next(parts)
        # Blocks in which runs failed have fewer rows: some come twice, so that one program serves all.
        rows = np.resize(np.arange(len(block.theta)), len(theta))
        data = of_rows(
            np.concatenate([theta[held_out], block.theta[rows]]), np.concatenate([values[held_out], block.values[rows]])
        )
        train = np.stack([np.resize(own[own < len(rows)], most) for own in block.folds.train])
        return data, len(held_out) + train

    return TrainingData(*renewed(), np.arange(len(held_out)).reshape(folds.validation.shape), renewed)
