"""`cache`: compiled programs are kept on disk, and the next process reads them instead of compiling them again."""

import os
import sys
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

# Names a folder, or says "off".
VARIABLE = "GENBAYES_CACHE"
_OFF = ("off", "0", "no", "false")
# Compiled programs of some ten different problems.
MOST_BYTES = 2**30


def cache(folder: str | Path | None = None, *, max_bytes: int = MOST_BYTES) -> Path | None:
    """Keeps compiled programs in a folder from now on, and reads them from there; the command line does it by itself.

    Call it before anything is computed: programs that are compiled already stay where they are. Entries are found by
    program, JAX version and processor, so that a new version or another machine compiles anew; the least recently used
    ones are removed beyond `max_bytes`. Processes may share a folder.

    Args:
        folder: of the programs; by default that of the environment variable GENBAYES_CACHE, else one for genbayes in
            the user's cache folder.
        max_bytes: that they may take.

    Returns:
        The folder; None where the environment variable GENBAYES_CACHE is "off".

    Raises:
        ValueError: max_bytes is not positive.
        OSError: the folder cannot be made.

    Example:
        >>> gb.cache()
    """
    # Imported here: `genbayes --help` reads this file, and needs no numpy.
    from .counts import checked_count

    checked_count("max_bytes", max_bytes)
    path = _folder(os.environ) if folder is None else Path(folder).expanduser()
    if path is None:
        return None
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
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError:
        return
    for name, value in _settings(path, MOST_BYTES).items():
        environment.setdefault(name, str(value))


def _folder(environment: MutableMapping[str, str]) -> Path | None:
    given = environment.get(VARIABLE, "")
    if given.lower() in _OFF:
        return None
    if given:
        return Path(given).expanduser()
    from platformdirs import user_cache_path

    return user_cache_path("genbayes", appauthor=False) / "compiled"


def _settings(path: Path, max_bytes: int) -> dict[str, Any]:
    return {
        "JAX_COMPILATION_CACHE_DIR": str(path),
        "JAX_COMPILATION_CACHE_MAX_SIZE": max_bytes,
        # Hundreds of small programs take as long as a few large ones.
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": 0.0,
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": 0,
    }
