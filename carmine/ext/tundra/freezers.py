"""Freezers: bytes to fewer, or to secret ones, and back.

A pure room: what a freezer is, chains of them, and zlib; zstd and AES-GCM have their own files, for they need an extra.
Invariants: `thaw(freeze(data)) == data`; what cannot have come from this freezer is a FreezerError and nothing else;
thawing makes at most `limit` bytes, whatever the frozen ones claim, and freezing refuses what could not be thawed.
"""

from __future__ import annotations

import zlib
from typing import Final, Protocol, runtime_checkable

from carmine import _checks
from carmine.errors import UsageError
from carmine.ext.tundra.errors import FreezerError

__all__ = ["LARGEST", "Chain", "Freezer", "Zlib", "freezer_name"]

LARGEST: Final = 1 << 29
"""Bytes (512 MiB, a string's limit in Redis) that a freezer makes at most, unless it was given another limit."""

LONGEST_NAME: Final = 255


@runtime_checkable
class Freezer(Protocol):
    """Bytes to bytes and back. An attribute `name` says what it does in the envelope; else its class's name does."""

    def freeze(self, data: bytes) -> bytes:
        """Return the bytes to archive in place of these."""
        ...

    def thaw(self, data: bytes) -> bytes:
        """Return what was frozen.

        Raises:
            FreezerError: These bytes did not come from this freezer, or were changed since.
        """
        ...


def freezer_name(freezer: Freezer | None) -> str:
    """Return what an envelope calls a freezer; "" for none.

    Raises:
        UsageError: The name is no ASCII, empty or too long.
    """
    if freezer is None:
        return ""
    if isinstance(freezer, type) or not isinstance(freezer, Freezer):
        raise UsageError(f"a freezer has the methods freeze and thaw; {_checks.kind(freezer)} is none")
    name = getattr(freezer, "name", type(freezer).__name__)
    if not isinstance(name, str) or not 0 < len(name) <= LONGEST_NAME or not (name.isascii() and name.isprintable()):
        raise UsageError(f"a freezer's name is 1 to {LONGEST_NAME} printable ASCII characters")
    return name


class Chain:
    """Several freezers as one: the first freezes first, the last thaws first. Compress, then encrypt.

    >>> Chain(Zlib(), AesGcm(key))

    Args:
        freezers: At least one.
    """

    __slots__ = ("_freezers", "name")

    def __init__(self, *freezers: Freezer) -> None:
        if not freezers or None in freezers:
            raise UsageError("a Chain is made of freezers, at least one")
        self.name: Final = "+".join(freezer_name(freezer) for freezer in freezers)
        self._freezers: Final = freezers
        freezer_name(self)

    def __repr__(self) -> str:
        return f"Chain({', '.join(map(repr, getattr(self, '_freezers', ())))})"

    def freeze(self, data: bytes) -> bytes:
        """Freeze by each, from the first to the last."""
        for freezer in self._freezers:
            data = freezer.freeze(data)
        return data

    def thaw(self, data: bytes) -> bytes:
        """Thaw by each, from the last to the first."""
        for freezer in reversed(self._freezers):
            data = freezer.thaw(data)
        return data


class Zlib:
    """Compress with zlib, which every Python has.

    Args:
        level: 1 (fast) to 9 (small).
        limit: Bytes that thawing makes at most: a kilobyte of frozen bytes can claim to be a megabyte.
    """

    __slots__ = ("_level", "_limit")

    name: Final = "zlib"

    def __init__(self, level: int = 6, *, limit: int = LARGEST) -> None:
        self._level = _checks.whole("level", level, least=1, most=9)
        self._limit = _checks.whole("limit", limit, least=1)

    def __repr__(self) -> str:
        return f"Zlib({getattr(self, '_level', None)})"  # None where the constructor has refused its arguments

    def freeze(self, data: bytes) -> bytes:
        """Compress."""
        within(data, self._limit)
        return zlib.compress(data, self._level)

    def thaw(self, data: bytes) -> bytes:
        """Decompress, within the limit."""
        stream = zlib.decompressobj()
        try:
            thawed = stream.decompress(data, self._limit + 1)
        except zlib.error as exc:
            raise FreezerError("the frozen bytes are no zlib data, or damaged") from exc
        whole(thawed, self._limit, is_ended=stream.eof, rest=stream.unused_data)
        return thawed


def within(data: bytes, limit: int) -> None:
    """Refuse to freeze what thawing would refuse to make."""
    if len(data) > limit:
        raise FreezerError(f"{len(data)} bytes are more than the {limit} that this freezer thaws; give it a limit=")


def whole(thawed: bytes, limit: int, *, is_ended: bool, rest: bytes) -> None:
    """Refuse decompressed bytes that are too many, cut short, or followed by others."""
    if len(thawed) > limit:
        raise FreezerError(f"the frozen bytes are more than {limit} bytes when they are thawed; give it a limit=")
    if not is_ended:
        raise FreezerError("the frozen bytes are cut short")
    if rest:
        raise FreezerError("other bytes follow the frozen ones")
