"""What is given to `simulate` and its kin, looked at before anything runs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..runtime.counts import checked_count
from .executors import Workers, checked_workers
from .run_limits import unbounded
from .shards import Shard, checked_shard
from .simulators import AnySimulator, Simulator, as_simulator


def checked_share(shard: tuple[int, int], n: int, store: str | Path | None) -> Shard:
    """The share that is asked for, which has rows and a place where it is kept."""
    share = checked_shard(shard)
    if share.of > n:
        raise ValueError(f"`shard`: {n} simulations cannot be shared out among {share.of}. Give a larger `n`.")
    if store is None:
        raise ValueError(
            f"`shard`: {share} is put together with the others from stores. Give the path of the whole as `store`."
        )
    return share


def checked_conditions(conditions: Any, n: int) -> tuple[list[str], np.ndarray]:
    """The names of known conditions, and their values (n, c)."""
    names = None
    if isinstance(conditions, Mapping):
        names = list(conditions)
        try:
            conditions = np.stack([np.broadcast_to(value, (n,)) for value in conditions.values()], axis=1)
        except ValueError:
            shapes = {name: np.shape(value) for name, value in conditions.items()}
            raise ValueError(f"`conditions` must have one number per name, or ({n},) numbers, got {shapes}.") from None
    values = np.atleast_1d(np.array(conditions, np.float32))
    if values.ndim > 2 or 0 in values.shape or (values.ndim == 2 and len(values) != n):
        raise ValueError(f"`conditions` must have shape (c,) or ({n}, c), one row per parameter, got {values.shape}.")
    if not np.isfinite(values).all():
        raise ValueError("`conditions` has NaN or infinite entries.")
    names = [f"condition_{i}" for i in range(values.shape[-1])] if names is None else names
    return names, np.broadcast_to(values, (n, values.shape[-1]))


def checked_call(
    simulator: AnySimulator, batch_size: int | None, workers: Workers, *, conditional: bool
) -> tuple[Simulator, int | None]:
    """The simulator in its kind, and the size of its batches, after a look at what goes with them."""
    batch_size = None if batch_size is None else checked_count("`batch_size`", batch_size)
    checked_workers(workers)
    found = as_simulator(simulator, conditional=conditional)
    who, timeout, memory = unbounded(workers)
    if found.vectorised and timeout is not None:
        raise ValueError(
            f"`timeout` must be None for a {found.kind} simulator, got {timeout:g}: its runs are one compiled program, "
            "in which no single run can be ended. Bound its loops, such as the steps of a solver, inside it."
        )
    if found.vectorised and memory is not None:
        raise ValueError(
            f"`memory` must be None for a {found.kind} simulator, got {memory} bytes: its runs are one compiled "
            "program in this process. Lower `batch_size`, on which its memory depends."
        )
    if found.vectorised and who != 1:
        given = who if isinstance(who, int) else type(who).__name__
        raise ValueError(
            f"`workers` must be 1 for a {found.kind} simulator, got {given}: its runs are vectorised and use all "
            f"cores already. Raise `batch_size` instead."
        )
    return found, batch_size
