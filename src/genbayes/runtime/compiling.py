"""How programs are compiled: with settings for large ones (`compiled`), and with few lengths of rows (`over_rows`)."""

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, PyTree, Shaped

F = TypeVar("F", bound=Callable)

# LLVM's full optimisation takes 9.4 s on the SMC program and gains nothing at run time, for the work is in matrix
# products and exponentials, which are the same kernels at every level; level 1 takes 3.8 s.
OPTIONS = {"xla_backend_optimization_level": 1}
# Of a processor with vectors of 512 bits LLVM uses half if nothing else is said: fits take 8 to 12 % longer.
_WHOLE_VECTORS = {"xla_cpu_prefer_vector_width": 512}
# Without the library that XLA hands matrix products of a CPU to. It is faster in training and slower in a sampler,
# which multiplies many rows by small matrices: draws of a polynomial took half as long again.
_OWN_PRODUCTS = {"xla_cpu_experimental_ynn_fusion_type": ""}


def in_full_precision(function: F) -> F:
    """A function whose matrix products are in full single precision wherever it is traced, also on a GPU.

    There JAX multiplies with ten bits of mantissa if nothing else is said. On an H100 that put errors of a quarter to
    half a nat into log densities of a Gaussian process, without a word; in full precision they are below a thousandth,
    and draws take no longer. What a user has set for JAX as a whole stays.
    """

    @functools.wraps(function)
    def traced(*arguments: Any, **named: Any) -> Any:
        own = getattr(jax.config, "jax_default_matmul_precision", None)
        with jax.default_matmul_precision(own or "highest"):
            return function(*arguments, **named)

    return cast(F, traced)


def compiled(function: F) -> F:
    """Compiles a function of pytrees, in full precision; arguments that are not arrays are static."""
    return _compiled(function, _WHOLE_VECTORS)


def compiled_for_rows(function: F) -> F:
    """The same of a function that multiplies many rows by small matrices and trains nothing, such as a sampler."""
    return _compiled(function, _WHOLE_VECTORS | _OWN_PRODUCTS)


def _compiled(function: F, of_cpus: dict[str, Any]) -> F:
    @functools.cache
    def program() -> F:
        # Which options there are is known from the first call on: to ask sooner would choose the device.
        options = OPTIONS | {name: value for name, value in of_cpus.items() if _is_known(name, value)}
        # equinox hands further settings on to jax.jit; its stub does not say so.
        return cast(F, cast(Any, eqx.filter_jit)(in_full_precision(function), compiler_options=options))

    return cast(F, functools.wraps(function)(lambda *arguments, **named: program()(*arguments, **named)))


@functools.cache
def _is_known(name: str, value: Any) -> bool:
    """Whether this version of XLA has an option, which come and go, and runs on a CPU, which they are about."""
    if jax.default_backend() != "cpu":
        return False
    try:
        jax.jit(lambda: 0, compiler_options={name: value}).lower().compile()
    except jax.errors.JaxRuntimeError:
        return False
    return True


def shared_length(n: int) -> int:
    """The number of rows, at least n, of the program that runs n rows: few lengths, so that programs are shared.

    Powers of four up to 1024, for a program takes longer to compile than to run with some hundred rows. Above there are
    four lengths between powers of two: at most a quarter of many rows is in vain.
    """
    if n <= 1024:
        return next(length for length in (16, 64, 256, 1024) if length >= n)
    step = (1 << (n - 1).bit_length()) // 8
    return -(-n // step) * step


def on_device(values: Any, dtype: Any = None) -> Array:
    """Known numbers as an array of JAX, without a program.

    `jnp.asarray` compiles one for every new shape of an array of numpy, which takes 7 ms: a fit had a hundred of them.
    """
    if isinstance(values, Array):
        return jnp.asarray(values, dtype)
    # A copy, since JAX takes the memory of numpy for its own.
    return jax.device_put(np.array(values, dtype))


def over_rows(function: Callable[..., Any], *rows: Shaped[Array | np.ndarray, "n ..."]) -> Any:
    """A compiled function of n rows, called with a length that other calls share: the last row is repeated.

    Args:
        function: maps arrays of rows to an array of as many rows, or several, each row by itself.
        rows: known arrays, none that is traced.
    """
    n = len(rows[0])
    missing = shared_length(n) - n if n else 0
    # In numpy: a concatenation and a slice in JAX would be two more programs for every n.
    longer = [np.concatenate([values, np.repeat(values[-1:], missing, axis=0)]) for values in map(np.asarray, rows)]
    return jax.tree.map(lambda values: on_device(np.asarray(values)[:n]), function(*map(on_device, longer)))


def is_traced(*values: PyTree) -> bool:
    """Whether any array is part of a program that is being compiled."""
    return any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(values))
