"""A sampler let loose on a target, with what a user gave checked and the time taken: what all posteriors share."""

import jax

from ..runtime.counts import checked_count
from ..runtime.program_memory import make_room
from ..runtime.timing import stopwatch
from .sampler import Sampled, Sampler
from .smc import SMC
from .target import Target


def run_sampler(
    target: Target, n: int, seed: int, sampler: Sampler | None
) -> tuple[Sampler, Sampled, dict[str, float]]:
    """The sampler, what it returns for a target, and the seconds that it took; see `GibbsPosterior.sample`."""
    n = checked_count("n", n)
    sampler = SMC() if sampler is None else sampler
    if isinstance(sampler, type) or not isinstance(sampler, Sampler):
        raise TypeError(f"sampler must be a sampler such as genbayes.SMC() or genbayes.NUTS(), got {sampler!r}.")
    make_room()
    with stopwatch() as seconds:
        sampled = sampler.run(target, n, key=jax.random.key(seed))
    return sampler, sampled, seconds
