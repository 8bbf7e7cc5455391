"""Fits and samplers divided over several devices, such as the GPUs of a machine, where a user asks for it."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from math import gcd

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Shaped

from .compiling import on_device
from .counts import checked_count

_count: ContextVar[int] = ContextVar("genbayes_devices", default=1)


@contextmanager
def over_devices(count: int | None = None) -> Iterator[None]:
    """Divides what is fitted and sampled inside over several devices.

    Of a fit the rows of every step are divided, of SMC populations and particles; the results are those of one device
    but for rounding. It takes large networks, many particles or many observations for that to be faster: what devices
    have to tell each other in every step takes its time. What cannot be divided evenly is divided by fewer devices.

    Args:
        count: of devices, the first ones of `jax.devices()`; all if not given.

    Raises:
        ValueError: there are not so many.

    Example:
        >>> with gb.over_devices():
        ...     cost = gb.fit_cost(simulations, distance)
        ...     draws = gb.GibbsPosterior(prior, cost, x_o, beta=10.0).sample(100_000, seed=0)
    """
    there = len(jax.devices())
    count = there if count is None else checked_count("count", count)
    if count > there:
        raise ValueError(
            f"count must be at most the {there} devices of jax.devices(), got {count}. (On CPUs there is one, or "
            "XLA_FLAGS=--xla_force_host_platform_device_count=4 before the start.)"
        )
    token = _count.set(count)
    try:
        yield
    finally:
        _count.reset(token)


def devices_asked_for() -> int:
    """How many devices are to be used."""
    return _count.get()


def divided(values: Shaped[np.ndarray, "..."]) -> Shaped[Array, "..."]:
    """An array whose last axis is divided over the devices."""
    used = gcd(values.shape[-1], devices_asked_for())
    if used == 1:
        return on_device(values)
    mesh = Mesh(np.array(jax.devices()[:used]), ("rows",))
    return jax.device_put(values, NamedSharding(mesh, PartitionSpec(*(None,) * (values.ndim - 1), "rows")))


def divided_in_program(values: Shaped[Array, "p n ..."], count: int) -> Shaped[Array, "p n ..."]:
    """Inside of a program, an array whose first two axes are divided over so many devices, the first as far as it goes.

    Args:
        values: to be divided.
        count: of devices; part of what the program is compiled for.
    """
    first = gcd(values.shape[0], count)
    second = gcd(values.shape[1], count // first)
    if first * second == 1:
        return values
    mesh = Mesh(np.array(jax.devices()[: first * second]).reshape(first, second), ("first", "second"))
    return jax.lax.with_sharding_constraint(values, NamedSharding(mesh, PartitionSpec("first", "second")))
