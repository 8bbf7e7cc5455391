"""Functions of the user's own modules, by name."""

import importlib
import sys
import traceback
from pathlib import Path
from typing import Any

# Modules that were found beside a problem file; another problem may bring others of the same name.
_loaded: dict[str, Path] = {}


def load_object(name: str, folder: Path) -> Any:
    """Imports "module:object"; the module is looked up in `folder` first, then on the Python path.

    The folder joins `sys.path`, which spawned worker processes inherit: they import the module by name.

    Raises:
        ValueError: a name of another form, no such object, or the module raises an error.
        ImportError: no such module, or one that would hide another.
    """
    module_name, colon, object_name = name.partition(":")
    if not (colon and object_name and all(part.isidentifier() for part in [*module_name.split("."), object_name])):
        raise ValueError(f'{name!r} must be of the form "module:object", such as "predator:simulate".')
    module = _load_module(module_name, folder)
    if not hasattr(module, object_name):
        public = [key for key in vars(module) if not key.startswith("_")]
        listed = f" It has {', '.join(sorted(public)[:12])}." if public else ""
        raise ValueError(f"the module {module_name} ({_place(module)}) has no {object_name!r}.{listed}")
    return getattr(module, object_name)


def _load_module(name: str, folder: Path) -> Any:
    first = name.split(".")[0]
    beside = any((folder / place).is_file() for place in (f"{first}.py", f"{first}/__init__.py"))
    if beside and first in sys.modules and _loaded.get(first) != folder:
        if first not in _loaded:
            place = _place(sys.modules[first])
            raise ImportError(
                f"{first}.py in {folder} has the name of a module that Python has loaded already ({place}). Rename it."
            )
        for key in [key for key in sys.modules if key.split(".")[0] == first]:
            del sys.modules[key]
    if str(folder) not in sys.path or beside:
        sys.path[:] = [str(folder), *(entry for entry in sys.path if entry != str(folder))]
    importlib.invalidate_caches()
    try:
        module = importlib.import_module(name)
    except Exception as error:
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        if missing is not None and (name == missing or name.startswith(f"{missing}.")):
            raise ImportError(
                f"there is no module {name!r}: neither {name.replace('.', '/')}.py in {folder}, nor on the Python "
                f"path. Correct the name, or put the file there."
            ) from error
        frame = traceback.extract_tb(error.__traceback__)[-1]
        where = (
            f"{error.filename}:{error.lineno}" if isinstance(error, SyntaxError) else f"{frame.filename}:{frame.lineno}"
        )
        raise ValueError(f"importing the module {name} failed: {type(error).__name__}: {error} ({where}).") from error
    if beside:
        _loaded[first] = folder
    return module


def _place(module: Any) -> str:
    return str(getattr(module, "__file__", None) or "built in")
