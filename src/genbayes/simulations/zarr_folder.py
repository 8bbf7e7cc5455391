"""A Zarr group on disk: arrays with checksums, attributes with one, and nothing half done that would be believed."""

import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import zarr
import zarr.errors

from ..runtime.checksums import CHECKSUM, attributes_are_whole, checked_codecs, checksum_of
from ..runtime.files import forced
from ..runtime.object_storage import need_local

_CHUNK_BYTES = 2**20
# Rows of a chunk at most; of a store of very many rows more, about a sixty-fourth of it, because files take time: a
# power of two, since rows come in such numbers, and a chunk that two writes share is read and written twice.
MOST_ROWS = 4096
_MOST_ROWS_OF_MANY = 32_768
_MOST_LOOKED_AT = 20_000
# Outputs in another precision while they are written, and the old ones until these have their place.
NEW, OLD = "x_new", "x_old"
# Ends the name of an array that is not complete.
_PART = "_part"
_REMEDY = "Bring the file back from a copy, or simulate into another store."


class ZarrFolder:
    """An open group, of one reader or of the only writer.

    Args:
        path: of the folder.
        group: that was opened or made there.
        checked: names of the attributes that the checksum is made of.
    """

    def __init__(self, path: str | Path, group: zarr.Group, checked: Iterable[str]):
        self.path = Path(path)
        self._group, self._checked = group, tuple(checked)
        self._attributes = dict(group.attrs)
        self._arrays: dict[str, zarr.Array] = {}
        self._most_rows = MOST_ROWS

    @classmethod
    def open(cls, path: str | Path, checked: Iterable[str], *, writable: bool) -> "ZarrFolder":
        """Open a folder.

        Raises:
            FileNotFoundError: nothing at `path`.
            ValueError: no group, or one that is damaged.
        """
        need_local(path, "path", "Simulations.open(ADDRESS) reads a store from there; save it to a local path.")
        if not Path(path).exists():
            raise FileNotFoundError(f"`path`: there is nothing at {path}. Make a store with simulate(..., store=path).")
        try:
            group = zarr.open_group(str(path), mode="r+" if writable else "r", use_consolidated=False)
        except PermissionError:
            raise
        except (zarr.errors.GroupNotFoundError, zarr.errors.ContainsArrayError, OSError):
            raise ValueError(
                f"`path`: {path} is not a Zarr group, so not a store of simulations. Check the path."
            ) from None
        except Exception as error:
            raise ValueError(
                f"`path`: {path}/zarr.json cannot be read ({type(error).__name__}): it is damaged. {_REMEDY}"
            ) from None
        return cls(path, group, checked)

    @classmethod
    def create(cls, path: str | Path, checked: Iterable[str], *, rows: int = 0) -> "ZarrFolder":
        """Make a group where nothing is, for so many rows."""
        made = cls(path, zarr.open_group(str(path), mode="w-", zarr_format=3), checked)
        made._most_rows = min(_MOST_ROWS_OF_MANY, max(MOST_ROWS, 1 << (rows // 64).bit_length()))
        return made

    @property
    def attributes(self) -> dict[str, Any]:
        """The attributes of the group."""
        return dict(self._attributes)

    def check_attributes(self) -> None:
        """ValueError where attributes do not match their checksum."""
        if not attributes_are_whole(self.attributes, self._checked):
            raise ValueError(
                f"`path`: the attributes in {self.path}/zarr.json do not match their checksum: the file is damaged, or "
                f"was changed by hand. {_REMEDY} (Where the change was meant, remove the attribute {CHECKSUM!r}.)"
            )

    def check_lengths(self) -> None:
        """ValueError where an array is said to be shorter than it was: rows are only ever added."""
        try:
            before = {name: int(metadata["shape"][0]) for name, metadata in (self._copied_metadata() or {}).items()}
        except (AttributeError, IndexError, KeyError, TypeError, ValueError):
            raise ValueError(
                f"`path`: {self.path}/zarr.json does not say how long its arrays are: it is damaged. {_REMEDY}"
            ) from None
        for name, rows in before.items():
            if self.has(name) and (now := self.array(name).shape[0]) < rows:
                raise ValueError(
                    f"`path`: {self.path / name / 'zarr.json'} says that there are {now} rows, and "
                    f"{self.path}/zarr.json that there are {rows}: one of both files is damaged. {_REMEDY}"
                )
        # A writer may move one to its place before it is asked for.
        self._arrays.clear()

    def set_attributes(self, **values: Any) -> None:
        """Set attributes, and their checksum with them, in one step."""
        self._attributes |= values
        self._attributes[CHECKSUM] = checksum_of(self._attributes, self._checked)
        self.consolidate()

    def has(self, name: str) -> bool:
        """Whether there is an array of this name."""
        return (self._place(name) / "zarr.json").is_file()

    def array(self, name: str) -> zarr.Array:
        """An array.

        Raises:
            ValueError: it is not there, or its description is damaged.
        """
        if name in self._arrays:
            return self._arrays[name]
        place = self._place(name)
        try:
            # Also what has the fill value is written, so that a chunk that is missing is known to be lost; but for
            # outputs, of which nobody knows yet.
            with zarr.config.set({"array.write_empty_chunks": name not in ("x", NEW)}):
                array = self._group[place.name]
            if not isinstance(array, zarr.Array):
                raise TypeError("a group in place of an array")
        except OSError:
            raise
        except Exception as error:
            raise ValueError(
                f"`path`: {place / 'zarr.json'} cannot be read ({type(error).__name__}): it is damaged. {_REMEDY}"
            ) from None
        self._arrays[name] = array
        return array

    def make_array(self, name: str, shape: tuple[int, ...], dtype: Any, fill: Any, dimensions: tuple[str, ...]) -> None:
        """Make an array whose chunks hold whole rows; what is there of an attempt that was interrupted goes first."""
        row_bytes = max(1, int(np.prod(shape[1:], dtype=int)) * np.dtype(dtype).itemsize)
        # All arrays of a store have chunks alike, also those that are made when it is opened again.
        most = self.array("status").chunks[0] if self.has("status") else self._most_rows
        rows = min(most, max(1, _CHUNK_BYTES // row_bytes))
        self._arrays.pop(name, None)
        if (self.path / name).is_dir():
            shutil.rmtree(self.path / name)
        self._group.create_array(
            name,
            shape=shape,
            chunks=(rows, *shape[1:]),
            dtype=dtype,
            fill_value=fill,
            dimension_names=dimensions,
            compressors=checked_codecs(),
        )

    def make_filled(self, name: str, values: np.ndarray, dtype: Any = np.int32, fill: Any = 0) -> None:
        """Make an array of one number a row with its values, as a whole or not at all."""
        self.make_array(f"{name}{_PART}", (len(values),), dtype, fill, ("simulation",))
        self.array(f"{name}{_PART}")[:] = values
        (self.path / f"{name}{_PART}").rename(self.path / name)

    def take_converted(self) -> None:
        """Let the array x_new take the place of x, which it is a copy of in another precision."""
        self._arrays.pop("x", None)
        (self.path / "x").rename(self.path / OLD)
        (self.path / NEW).rename(self.path / "x")
        shutil.rmtree(self.path / OLD)
        self.consolidate()

    def tidy(self) -> None:
        """Finish or remove what an interrupted writer has left behind; nobody else writes meanwhile."""
        if not (self.path / "x").is_dir() and (self.path / OLD).is_dir():
            # Converted outputs are complete before the old ones are moved.
            (self.path / (NEW if (self.path / NEW).is_dir() else OLD)).rename(self.path / "x")
        for left in (self.path / NEW, self.path / OLD, *self.path.glob(f"*{_PART}")):
            if left.is_dir():
                shutil.rmtree(left)
        # A write that was torn leaves one; to look for them among very many chunks takes longer than they are worth.
        names = [file.parent.name for file in self.path.glob("*/zarr.json")]
        deep = [f"{name}/**/*.partial" for name in names if self.array(name).nchunks <= _MOST_LOOKED_AT]
        for pattern in ("*.partial", *(f"{name}/*.partial" for name in names), *deep):
            for left in self.path.glob(pattern):
                left.unlink(missing_ok=True)
        if not self._is_consolidated():
            self.consolidate()

    def consolidate(self) -> None:
        """Write the attributes, and the copy of all metadata that xarray reads, in one step."""
        # After every change, because xarray would trust outdated shapes.
        content = {
            "zarr_format": 3,
            "node_type": "group",
            "attributes": self._attributes,
            "consolidated_metadata": {"kind": "inline", "must_understand": False, "metadata": self._metadata()},
        }
        beside = self.path / "zarr.json.partial"
        beside.write_text(json.dumps(content), "utf-8")
        forced(beside)
        os.replace(beside, self.path / "zarr.json")

    def _metadata(self) -> dict[str, Any]:
        """That of all arrays, by name."""
        files = sorted(self.path.glob("*/zarr.json"))
        return {file.parent.name: json.loads(file.read_bytes()) for file in files if _PART not in file.parent.name}

    def _is_consolidated(self) -> bool:
        """Whether that copy is up to date."""
        return self._copied_metadata() == self._metadata()

    def _copied_metadata(self) -> Any:
        """What that copy says, None where there is none."""
        content = json.loads((self.path / "zarr.json").read_bytes())
        return (content.get("consolidated_metadata") or {}).get("metadata")

    def _place(self, name: str) -> Path:
        """The folder of an array; of outputs that are just being converted, that of the old ones."""
        place, old = self.path / name, self.path / OLD
        return old if name == "x" and not place.is_dir() and old.is_dir() else place


def is_unfinished(path: Path) -> bool:
    """Whether a folder is empty, or what an interrupted creation of a store has left: parameters, and no run.

    Earlier versions made stores in their place, and gave them their format at the end.
    """
    if not path.is_dir():
        return False
    names = {entry.name for entry in path.iterdir() if not entry.name.endswith(".partial")}
    if not names <= {"zarr.json", "theta", "conditions", "status"} or (path / "status" / "c").exists():
        return False
    try:
        return "format" not in json.loads((path / "zarr.json").read_bytes())["attributes"]
    except FileNotFoundError:
        return not names
    except (ValueError, KeyError, TypeError):
        return False
