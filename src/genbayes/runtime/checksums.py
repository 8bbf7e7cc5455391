"""Checksums of what is stored: of every chunk of an array, and of attributes."""

import json
import zlib
from collections.abc import Iterable, Mapping
from typing import Any

import zarr
from zarr.codecs import Crc32cCodec, ZstdCodec

# The attribute that holds the checksum of others.
CHECKSUM = "checksum"


def checked_codecs() -> list[Any]:
    """The codecs of a new array: compressed as zarr does it by itself, and a crc32c behind every chunk."""
    return [ZstdCodec(level=0), Crc32cCodec()]


def is_checked(array: zarr.Array) -> bool:
    """Whether an array has checksums; stores of earlier versions have none."""
    return any(isinstance(codec, Crc32cCodec) for codec in getattr(array.metadata, "codecs", ()))


def checksum_of(attributes: Mapping[str, Any], keys: Iterable[str]) -> str:
    """The checksum of those attributes that are there."""
    chosen = {key: attributes[key] for key in keys if key in attributes}
    return f"{zlib.crc32(json.dumps(chosen, sort_keys=True).encode()):08x}"


def attributes_are_whole(attributes: Mapping[str, Any], keys: Iterable[str]) -> bool:
    """Whether attributes are those that the checksum beside them was made of; true where there is none."""
    return attributes.get(CHECKSUM) in (None, checksum_of(attributes, keys))
