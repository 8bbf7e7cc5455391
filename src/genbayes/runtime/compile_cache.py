"""`cache`: compiled programs are kept on disk, and the next process reads them instead of compiling them again."""

import hashlib
import os
import platform
import sys
from collections.abc import MutableMapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

# Names a folder, or says "off".
VARIABLE = "GENBAYES_CACHE"
_OFF = ("off", "0", "no", "false")
# Compiled programs of some ten different problems.
MOST_BYTES = 2**30


def cache(folder: str | Path | None = None, *, max_bytes: int = MOST_BYTES) -> Path | None:
    """Keeps compiled programs in a folder from now on, and reads them from there; the command line does it by itself.

    Call it before anything is computed: programs that are compiled already stay where they are. Each kind of processor
    and each version of jaxlib has a folder of its own in it, so that machines may share it; the least recently used
    programs are removed from that beyond `max_bytes`. Processes may share a folder.

    Args:
        folder: of the programs; by default that of the environment variable GENBAYES_CACHE, else one for genbayes in
            the user's cache folder.
        max_bytes: that those of one processor and version may take.

    Returns:
        The folder of this processor and version; None where the environment variable GENBAYES_CACHE is "off".

    Raises:
        ValueError: max_bytes is not positive.
        OSError: the folder cannot be made.

    Example:
        >>> gb.cache()
    """
    # Imported here: `genbayes --help` reads this file, and needs no numpy.
    from .counts import checked_count

    max_bytes = checked_count("max_bytes", max_bytes)
    path = _folder(os.environ) if folder is None else Path(folder).expanduser()
    if path is None:
        return None
    path = path / _machine()
    path.mkdir(parents=True, exist_ok=True)
    import jax
    from jax.experimental.compilation_cache import compilation_cache

    for name, value in _settings(path, max_bytes).items():
        jax.config.update(name.lower(), value)
    # JAX decides at its first program whether there is a cache.
    compilation_cache.reset_cache()
    return path


def cache_in_environment(environment: MutableMapping[str, str]) -> None:
    """The same for a process that has not imported JAX yet, by JAX's environment variables; those that are set stay.

    A folder that cannot be made is no error: programs are then compiled, as they would be without.
    """
    path = _folder(environment)
    if path is None or "jax" in sys.modules or "JAX_COMPILATION_CACHE_DIR" in environment:
        return
    if sys.platform == "darwin" and VARIABLE not in environment:
        # Reading a large program from disk has crashed there (jaxlib 0.9).
        return
    path = path / _machine()
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError:
        return
    for name, value in _settings(path, MOST_BYTES).items():
        environment.setdefault(name, str(value))
    # On some Intel processors XLA takes back its own programs for those of another machine, compiles them again, and
    # says so in a line for each. What is wrong with a program is raised as an exception.
    environment.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def _folder(environment: MutableMapping[str, str]) -> Path | None:
    given = environment.get(VARIABLE, "")
    if given.lower() in _OFF:
        return None
    if given:
        return Path(given).expanduser()
    from platformdirs import user_cache_path

    return user_cache_path("genbayes", appauthor=False) / "compiled"


def _machine() -> str:
    """A name for the instructions of this processor and the version of its compiler.

    A program with instructions that a processor does not have would end the process.
    """
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        text = platform.processor()
    # On x86 `flags`, on ARM `Features`: those of the first core are those of all.
    features = next((line for line in text.splitlines() if line.lower().startswith(("flags", "features"))), text)
    try:
        compiler = version("jaxlib")
    except PackageNotFoundError:
        compiler = "unknown"
    described = f"{platform.system()} {platform.machine()} {sorted(features.split())}"
    return f"{platform.machine()}-{hashlib.sha256(described.encode()).hexdigest()[:12]}-jaxlib-{compiler}"


def _settings(path: Path, max_bytes: int) -> dict[str, Any]:
    return {
        "JAX_COMPILATION_CACHE_DIR": str(path),
        "JAX_COMPILATION_CACHE_MAX_SIZE": max_bytes,
        # Hundreds of small programs take as long as a few large ones.
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": 0.0,
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": 0,
    }
