"""Compiled programs of simulators that later calls of this process take again, if they are the same to the letter."""

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import jax

# Programs that are kept; the one that was used least recently goes first.
_MOST_KEPT = 16
_kept: OrderedDict[tuple[str, str, int], Callable[..., Any]] = OrderedDict()


def compiled_batch(function: Callable[..., Any], *arguments: Any) -> Callable[..., Any]:
    """A compiled function of arguments of these shapes.

    JAX would know it by the function object, which is another one in every call, and could not know that a simulator
    reads something that was changed since. Here the function is traced anew, and what came of it, with all constants,
    is compared: that takes 40 ms, and to compile takes half a second for the smallest simulator.

    Args:
        function: of arrays.
        arguments: of one call.
    """
    lowered = jax.jit(function).lower(*arguments)
    text = lowered.as_text()
    # A call back into Python is an address in it; and constants may be kept apart from it.
    if "callback" in text or getattr(jax.config, "jax_use_simplified_jaxpr_constants", False):
        return lowered.compile()
    key = (
        hashlib.sha256(text.encode()).hexdigest(),
        str(getattr(jax.config, "jax_default_device", None)),
        jax.device_count(),
    )
    if key not in _kept:
        _kept[key] = lowered.compile()
        while len(_kept) > _MOST_KEPT:
            _kept.popitem(last=False)
    _kept.move_to_end(key)
    return _kept[key]
