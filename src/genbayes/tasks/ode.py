"""Ordinary differential equations of tasks, integrated by diffrax (extra `tasks`)."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

# With 1e-5 the log densities of Lotka-Volterra are wrong by up to 0.01, a tenth of its noise, and one run in 2,000
# needs more than the largest number of steps; with 1e-6 by up to 4e-4, and none does, for 40 % more steps.
TOLERANCE = 1e-6
MAX_STEPS = 1024


def need_diffrax(task: str) -> Any:
    """The module diffrax.

    Raises:
        ImportError: it is not installed; names the task and the remedy.
    """
    try:
        import diffrax
    except ImportError as error:
        raise ImportError(f"the {task} task needs diffrax: pip install 'genbayes[tasks]'.") from error
    return diffrax


def solve(
    field: Callable[[Float[Array, " dim"]], Float[Array, " dim"]],
    y0: Float[Array, " dim"],
    times: Float[Array, " times"],
    first_step: float,
    task: str,
) -> Float[Array, "times dim"]:
    """The solution of dy/dt = field(y), y(0) = y0, at given times (ascending); NaN where the integration fails.

    Args:
        field: right hand side.
        y0: state at time 0.
        times: where the solution is wanted, in the units of the rates.
        first_step: length of the first step; diffrax's own guess can overflow an exponential.
        task: name of the task, for the message where diffrax is missing.
    """
    diffrax = need_diffrax(task)
    solution = diffrax.diffeqsolve(
        diffrax.ODETerm(lambda t, y, args: field(y)),
        diffrax.Tsit5(),
        t0=0.0,
        t1=times[-1],
        dt0=first_step,
        y0=y0,
        saveat=diffrax.SaveAt(ts=times),
        stepsize_controller=diffrax.PIDController(rtol=TOLERANCE, atol=TOLERANCE),
        max_steps=MAX_STEPS,
        throw=False,
    )
    good = solution.result == diffrax.RESULTS.successful
    return jnp.where(good, jnp.asarray(solution.ys), jnp.nan)
