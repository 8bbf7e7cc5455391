"""One table of a TOML file, read with errors that say where they are."""

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, get_args


class Table:
    """A table: the file it stands in, its name and its content."""

    def __init__(self, path: Path, name: str, content: dict[str, Any]):
        self.path, self.name, self.content = path, name, content

    def error(self, key: str, text: str) -> ValueError:
        """An error about a key ("": about the table itself)."""
        where = f"[{self.name}] {key}" if self.name and key else f"[{self.name}]" if self.name else key
        return ValueError(f"{self.path}: {where}: {text}")

    def need(self, key: str, example: str) -> None:
        """Raises ValueError where a key is absent."""
        if key not in self.content:
            raise self.error(key, f"is missing. Add {example}.")

    def table(self, name: str) -> "Table":
        """A table inside this one, empty where it is absent."""
        value = self.content.get(name, {})
        if not isinstance(value, dict):
            raise self.error(name, f"must be a table, got {value!r}. Start it with a line [{name}].")
        return Table(self.path, f"{self.name}.{name}" if self.name else name, value)

    def check_keys(self, known: tuple[str, ...]) -> None:
        """Raises ValueError where the table has another key."""
        for key in self.content:
            if key not in known:
                raise self.error(key, f"is not a key here{suggestion(key, known)}")

    def get(self, key: str, kind: Any, default: Any = None) -> Any:
        """A value of a plain type, the default where the key is absent; 3 is a float as well, 1e4 a whole number."""
        if key not in self.content:
            return default
        value = self.content[key]
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            return float(value)
        if kind is int and isinstance(value, float) and value.is_integer():
            return int(value)
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            words = {str: "text in quotes", int: "a whole number", float: "a number", list: "a list [..., ...]"}
            words |= {bool: "true or false", dict: "a table {name = ...}"}
            expected = " or ".join(words[one] for one in get_args(kind) or (kind,))
            raise self.error(key, f"must be {expected}, got {value!r}.")
        return value

    def choice(self, key: str, choices: tuple[str, ...], default: Any) -> Any:
        """One of a few texts."""
        value = self.get(key, str, default)
        if key in self.content and value not in choices:
            raise self.error(key, f"{value!r} is unknown{suggestion(value, choices)}")
        return value

    def numbers(self, key: str) -> tuple[float, ...] | None:
        """A number or a list of numbers, as a tuple."""
        if key not in self.content:
            return None
        value = self.content[key]
        values = value if isinstance(value, list) else [value]
        if not values or not all(isinstance(item, int | float) and not isinstance(item, bool) for item in values):
            raise self.error(key, f"must be a number or a list of numbers, got {value!r}.")
        return tuple(map(float, values))


def suggestion(name: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: the nearest known ones, or all if they are few."""
    known = list(known)
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.6)
    lower = {item.lower(): item for item in known}
    near = near or [lower[item] for item in difflib.get_close_matches(name.lower(), lower, n=3, cutoff=0.6)]
    if near:
        return f"; did you mean {' or '.join(near)}?"
    return f"; known are {', '.join(sorted(known))}." if len(known) <= 15 else "."
