"""A registry: things of one kind, each in a file of its own that registers it, told in a fixed order."""

import importlib
import pkgutil
import sys
from typing import Generic, TypeVar

T = TypeVar("T")


class Registry(Generic[T]):
    """What is known of one kind of thing, by name.

    Args:
        kind: what a thing of it is called in messages, such as "check".
        package: full name of the package whose files are imported before the registry is read; None for none.
        prefix: of the names of these files, such as "check_".
    """

    def __init__(self, kind: str, package: str | None = None, prefix: str = ""):
        self.kind, self.package, self.prefix = kind, package, prefix
        self.entries: dict[str, tuple[str, T]] = {}

    def add(self, name: str, entry: T, source: str) -> None:
        """Registers a thing; the same source may register it again, as a cell of a notebook does.

        Args:
            name: of the thing, unique in this registry.
            entry: the thing itself.
            source: module in which it stands.

        Raises:
            ValueError: another module has registered a thing of this name.
        """
        # Otherwise a name would be free until the library's own file is imported, and that import would fail.
        if not source.startswith(f"{self.package}."):
            self.discover()
        known = self.entries.get(name)
        if known is not None and known[0] != source:
            raise ValueError(
                f"there is a {self.kind} {name!r} already, registered by {known[0]}: give the one of {source} another "
                "name."
            )
        self.entries[name] = source, entry

    def discover(self) -> None:
        """Imports the files of the package, which register themselves."""
        if self.package is None:
            return
        for module in pkgutil.iter_modules(sys.modules[self.package].__path__):
            if module.name.startswith(self.prefix):
                importlib.import_module(f"{self.package}.{module.name}")

    def all(self) -> tuple[T, ...]:
        """Everything registered, in the order of registration."""
        self.discover()
        return tuple(entry for _, entry in self.entries.values())

    def get(self, name: str) -> T | None:
        """The thing of this name, if there is one."""
        self.discover()
        entry = self.entries.get(name)
        return None if entry is None else entry[1]
