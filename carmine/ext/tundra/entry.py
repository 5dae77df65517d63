"""The entry: how a datastore of files or objects keeps a blob together with its key.

A pure room. A file's name is a hash of the key, so the key itself stands inside, and can be told from another's. The
layout: 8 bytes of magic, the version in 1, the length of the key in 4 and of the blob in 8, the CRC-32 of both in 4
(all big-endian), the key, the blob. The CRC shows accidents; who forges is the envelope's business. Invariant: what is
not exactly one whole entry of the key that was asked for is a DataStoreError.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from typing import Final, NamedTuple

from carmine.ext.tundra.datastore import LONGEST_KEY
from carmine.ext.tundra.errors import DataStoreError

__all__ = ["HEAD", "MOST", "Head", "is_name", "name_of", "pack", "parse_head", "unpack"]

MAGIC: Final = b"\x89TunKey\n"
VERSION: Final = 1

_LAYOUT: Final = struct.Struct(">8sBIQI")
HEAD: Final = _LAYOUT.size
"""Bytes before the key."""

MOST: Final = HEAD + LONGEST_KEY
"""Bytes that an entry has more than its blob, at most."""

_HEX: Final = frozenset("0123456789abcdef")


class Head(NamedTuple):
    """What the first bytes of an entry say."""

    key_size: int
    blob_size: int
    crc: int


def name_of(key: bytes) -> str:
    """Return the name of a key's file: the SHA-256 of the key, in hexadecimal; it can name nothing else."""
    return hashlib.sha256(key).hexdigest()


def is_name(name: str) -> bool:
    """Tell whether a file's name is that of an entry."""
    return len(name) == 64 and _HEX.issuperset(name)


def pack(key: bytes, blob: bytes) -> bytes:
    """Return an entry up to its blob, which follows."""
    return _LAYOUT.pack(MAGIC, VERSION, len(key), len(blob), zlib.crc32(blob, zlib.crc32(key))) + key


def parse_head(start: bytes) -> Head | None:
    """Return what an entry's first `HEAD` bytes say; None where they are no entry's."""
    if len(start) < HEAD:
        return None
    magic, version, key_size, blob_size, crc = _LAYOUT.unpack_from(start)
    if magic != MAGIC or version != VERSION or not 0 < key_size <= LONGEST_KEY:
        return None
    return Head(key_size, blob_size, crc)


def unpack(key: bytes, data: bytes) -> bytes:
    """Return the blob of a key's entry.

    Raises:
        DataStoreError: It is not one whole entry of this key.
    """
    head = parse_head(data)
    if head is None:
        raise DataStoreError("what is stored in this key's place was not stored by carmine, or is damaged", key=key)
    start = HEAD + head.key_size
    if data[HEAD:start] != key:
        raise DataStoreError("what is stored in this key's place is another key's", key=key)
    if len(data) != start + head.blob_size:
        raise DataStoreError("what is stored for this key is cut short, or longer than it was", key=key)
    blob = data[start:]
    if zlib.crc32(blob, zlib.crc32(key)) != head.crc:
        raise DataStoreError("what is stored for this key is damaged: its checksum differs", key=key)
    return blob
