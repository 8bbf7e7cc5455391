"""`--executor`: whoever runs the simulator elsewhere, by name: a Dask cluster, or a function that makes an executor."""

from concurrent.futures import Executor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from ..runtime.processes import plain_main
from .user_code import load_object

DASK = "dask://"
# Until the scheduler of a cluster has to have answered.
_CONNECT_SECONDS = 20


def opened_executor(name: str, folder: Path, closing: ExitStack) -> Executor:
    """An executor by its name on the command line, or in a problem file.

    Args:
        name: "dask://host:port", the scheduler of a Dask cluster; or "module:function", a function without arguments
            that returns a `concurrent.futures.Executor`, or a context manager that yields one.
        folder: in which the module is looked for first.
        closing: ends what is begun here.

    Raises:
        ImportError: there is no such module, or the package of the cluster is not installed.
        OSError: the cluster does not answer.
        TypeError: the function is none, or makes something else.
        ValueError: the name is of neither form, or the module has no such function.
    """
    if name.startswith(DASK):
        return _of_dask(name, closing)
    if "://" in name:
        raise ValueError(
            f"--executor {name} is unknown: give dask://HOST:PORT, or MODULE:FUNCTION, a function that returns an "
            "executor of anything else."
        )
    function = load_object(name, folder)
    if not callable(function):
        raise TypeError(
            f"--executor {name} is {type(function).__name__}, expected a function that returns an Executor."
        )
    # Processes that it starts are to import neither this command nor JAX.
    with plain_main():
        made: Any = function()
        entered = closing.enter_context(made) if hasattr(made, "__enter__") else made
    if isinstance(entered, Executor):
        return entered
    raise TypeError(
        f"--executor {name} has made {type(entered).__name__}, expected a concurrent.futures.Executor, or a context "
        f"manager that yields one{_hint(entered)}."
    )


def _hint(made: Any) -> str:
    """What to do with what is nearly right."""
    return ": of a Client of Dask return client.get_executor()" if hasattr(made, "get_executor") else ""


def _of_dask(name: str, closing: ExitStack) -> Executor:
    try:
        from distributed import Client
    except ImportError as error:
        raise ImportError(f"--executor {name} needs the package distributed: pip install 'genbayes[dask]'.") from error
    address = f"tcp://{name.removeprefix(DASK)}"
    try:
        client = closing.enter_context(Client(address, timeout=_CONNECT_SECONDS, set_as_default=False))
    except (OSError, ValueError) as error:
        raise OSError(
            f"--executor {name}: no scheduler of Dask answers at {address} ({error}). Start one (dask scheduler, dask "
            "worker), and give the address that it prints."
        ) from error
    # A task that is asked for twice is to run twice: what the cluster remembers may be that of an edited simulator.
    return client.get_executor(pure=False)
