"""Aliases and small value types that signatures of every room share.

This room imports nothing of carmine and holds no behaviour: what a command accepts, and the named tuples its
replies are made of. A named tuple here stays a tuple: it unpacks, compares and sorts as one.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Generic, NamedTuple, TypeAlias, TypeVar

__all__ = ["Arg", "Instant", "Key", "ScanPage", "ScoredMember", "Seconds"]

T = TypeVar("T")

Key: TypeAlias = str | bytes | bytearray | memoryview
"""A key: text goes out as UTF-8, bytes-like objects as they are."""

Arg: TypeAlias = str | bytes | bytearray | memoryview | int | float
"""What the protocol can carry without a choice of format; bool, None and containers are refused."""

Seconds: TypeAlias = float | timedelta
"""A duration: seconds, or a timedelta."""

Instant: TypeAlias = float | datetime
"""A point in time: seconds since the epoch, or an aware datetime."""


class ScoredMember(NamedTuple, Generic[T]):
    """A member of a sorted set with its score."""

    member: T
    score: float


class ScanPage(NamedTuple, Generic[T]):
    """One answer of the SCAN family: the cursor to go on with (0 when done), and what it found."""

    cursor: int
    items: T
