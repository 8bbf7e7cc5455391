"""`compiled`: equinox's filter_jit with the compiler settings of this library's large programs."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import equinox as eqx

F = TypeVar("F", bound=Callable)

# LLVM's full optimisation takes 9.4 s on the SMC program and gains nothing at run time, for the work is in matrix
# products and exponentials, which are the same kernels at every level; level 1 takes 3.8 s.
_OPTIONS = {"xla_backend_optimization_level": 1}


def compiled(function: F) -> F:
    """Compiles a function of pytrees; arguments that are not arrays are static."""
    # equinox hands further settings on to jax.jit; its stub does not say so.
    return cast(F, cast(Any, eqx.filter_jit)(function, compiler_options=_OPTIONS))
