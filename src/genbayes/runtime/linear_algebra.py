"""How many threads numpy's linear algebra uses."""

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

from threadpoolctl import ThreadpoolController

F = TypeVar("F", bound=Callable)


def on_one_thread(function: F) -> F:
    """A function whose products and factors of matrices by numpy and scipy are computed on one thread.

    Of a few hundred rows threads wait for each other longer than they work: on two cores a fit of Gaussian processes to
    200 runs took 2.7 times as long with both, and more cores make it worse.
    """

    @functools.wraps(function)
    def limited(*arguments: Any, **named: Any) -> Any:
        with _controller().limit(limits=1, user_api="blas"):
            return function(*arguments, **named)

    return cast(F, limited)


@functools.cache
def _controller() -> ThreadpoolController:
    """The libraries that are loaded, which takes some milliseconds to find out."""
    return ThreadpoolController()
