"""The registry of tasks: a task is one function that makes it, in a file of its own.

How to add a task: write `tasks/NAME.py` with a function `NAME() -> Task` below `@register(benchmark=True)` (a task that
takes arguments is not registered). Every file of the package is imported, so the task is `genbayes.tasks.NAME`, and one
of `genbayes benchmark --task`; a script of yours that registers a function before it calls `genbayes.cli.main` has the
task there as well. `tests/tasks/test_task_laws.py` holds what must be true of every task.
"""

from collections.abc import Callable
from typing import TypeVar

from .task import Task

MakeTask = TypeVar("MakeTask", bound=Callable[[], Task])

# Every task by the name of the function that makes it.
TASKS: dict[str, Callable[[], Task]] = {}
# The tasks of `genbayes benchmark`.
BENCHMARK: dict[str, Callable[[], Task]] = {}

# The order in which the benchmark names its tasks; others follow in the order in which they were registered.
_ORDER = ("uniform_1d", "two_moons", "linear_gaussian", "gaussian_mixture", "lotka_volterra", "sir")


def register(*, benchmark: bool) -> Callable[[MakeTask], MakeTask]:
    """Registers a function that makes a task, under its own name; a decorator.

    Args:
        benchmark: whether it is one of `genbayes benchmark`, which needs a task with inverse temperatures and a JAX
            simulator.
    """

    def registered(make: MakeTask) -> MakeTask:
        name = make.__name__
        TASKS[name] = make
        if benchmark:
            BENCHMARK[name] = make
            _sort(BENCHMARK)
        return make

    return registered


def _sort(tasks: dict[str, Callable[[], Task]]) -> None:
    """Brings the tasks into their order, in the same dictionary."""
    ordered = sorted(tasks.items(), key=lambda item: _ORDER.index(item[0]) if item[0] in _ORDER else len(_ORDER))
    tasks.clear()
    tasks.update(ordered)
