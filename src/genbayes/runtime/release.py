"""Installed versions."""

from importlib import metadata


def version(package: str) -> str:
    """Returns the installed version of a package, or "unknown version" (run from a source tree)."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "unknown version"
