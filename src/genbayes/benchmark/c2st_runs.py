"""The slow metric of the benchmark, filled into rows whose draws are stored: one per core side by side."""

import importlib.util
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

import numpy as np

from ..runtime.processes import cores, end_now, ignore_interrupt, plain_main
from .c2st import c2st

T = TypeVar("T")
# A pair to be told apart: draws, reference draws and the seed.
Pair = tuple[np.ndarray, np.ndarray, int]


def need_scikit_learn() -> None:
    """Raises ImportError early where C2ST would fail after hours of work."""
    if importlib.util.find_spec("sklearn") is None:
        raise ImportError(
            "C2ST needs scikit-learn: pip install 'genbayes[benchmark]'; or leave it out (c2st=0, --c2st 0) and have "
            "it filled in later."
        )


def c2st_of(items: Sequence[T], pair_of: Callable[[T], Pair]) -> Iterator[tuple[T, float | Exception]]:
    """Yields C2ST, or what went wrong, of each item as it is ready.

    Args:
        items: what to compare, handed back with the result.
        pair_of: gives the two sets of draws and a seed; called in this process, shortly before they are needed.
    """
    workers = max(1, min(cores(), len(items)))
    pool = _Pool(workers)
    queue, running = list(items)[::-1], {}
    try:
        while queue or running:
            # Two per worker keep all busy, and few draws in memory.
            while queue and len(running) < 2 * workers:
                item = queue.pop()
                try:
                    running[pool.submit(pair_of(item))] = item
                except Exception as error:
                    yield item, error
            done = wait(running, return_when=FIRST_COMPLETED).done if running else ()
            for future in done:
                item, error = running.pop(future), future.exception()
                if isinstance(error, BrokenProcessPool):
                    error = RuntimeError("a process that computed C2ST died, perhaps for want of memory")
                    pool.renew()
                yield item, error if isinstance(error, Exception) else future.result()
    finally:
        pool.stop()


class _Pool:
    """Spawned processes; a broken pool is replaced."""

    def __init__(self, workers: int):
        self._workers = workers
        self._executor: ProcessPoolExecutor | None = None

    def submit(self, pair: Pair) -> Future:
        if self._executor is None:
            context = multiprocessing.get_context("spawn")
            self._executor = ProcessPoolExecutor(self._workers, context, ignore_interrupt)
        with plain_main():
            return self._executor.submit(_compare, *pair)

    def renew(self) -> None:
        if self._executor is not None:
            self._executor.shutdown(wait=False, cancel_futures=True)
            self._executor = None

    def stop(self) -> None:
        if self._executor is not None:
            end_now(self._executor)


def _compare(draws: np.ndarray, reference: np.ndarray, seed: int) -> float:
    return c2st(draws, reference, seed=seed, workers=1)
