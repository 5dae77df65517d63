"""Aliases and small value types that signatures of every room share.

This room imports nothing of carmine and holds no behaviour: what a command accepts, and the named tuples its
replies are made of. A named tuple here stays a tuple: it unpacks, compares and sorts as one. Those of scripts, of
streams, and of places and vectors stand in `script_types.py`, `stream_types.py` and `geo_types.py`, which are loaded
when one of theirs is touched.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, Literal, NamedTuple, Protocol, TypeAlias, TypeVar

from carmine._loading import load

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime, timedelta

    from carmine.geo_types import GeoMember, GeoPoint, VectorData, VectorMatch
    from carmine.script_types import EngineStats, FunctionStats, Library, LibraryFunction, RunningFunction
    from carmine.stream_types import (
        ClaimPage,
        PendingEntry,
        PendingSummary,
        RepeatedFields,
        StreamConsumer,
        StreamEntry,
        StreamGroup,
    )

__all__ = [
    "Aggregate",
    "Arg",
    "ClaimPage",
    "EngineStats",
    "FunctionStats",
    "GeoMember",
    "GeoPoint",
    "Instant",
    "Items",
    "Key",
    "Library",
    "LibraryFunction",
    "PendingEntry",
    "PendingSummary",
    "Popped",
    "PoppedItems",
    "PoppedMember",
    "PoppedMembers",
    "Ranking",
    "RepeatedFields",
    "RunningFunction",
    "ScanPage",
    "ScoreBound",
    "ScoredMember",
    "Seconds",
    "Serializer",
    "SerializerArg",
    "Side",
    "Value",
    "StreamConsumer",
    "StreamEntry",
    "StreamGroup",
    "VectorData",
    "VectorMatch",
]

T = TypeVar("T")
K_co = TypeVar("K_co", covariant=True)
V_co = TypeVar("V_co", covariant=True)

Key: TypeAlias = str | bytes | bytearray | memoryview
"""A key: text goes out as UTF-8, bytes-like objects as they are."""

Arg: TypeAlias = str | bytes | bytearray | memoryview | int | float
"""What the protocol can carry without a choice of format; bool, None and containers are refused."""

Value: TypeAlias = Arg
"""An argument that is data, which a client with a serializer freezes: any plain value on a `Client[Any]`. Where these
stand among a command's words, `carmine.commands.values` says."""

Seconds: TypeAlias = "float | timedelta"
"""A duration: seconds, or a timedelta."""

Instant: TypeAlias = "float | datetime"
"""A point in time: seconds since the epoch, or an aware datetime."""

Side: TypeAlias = Literal["LEFT", "RIGHT"]
"""An end of a list: LEFT is its head (position 0), RIGHT its tail."""

Aggregate: TypeAlias = Literal["SUM", "MIN", "MAX"]
"""What becomes of the scores of a member that is in several sorted sets."""

ScoreBound: TypeAlias = float | str | bytes
"""An end of a range of scores: a number, or text such as "(1.5" (1.5 excluded), "-inf" and "+inf"."""


class Items(Protocol[K_co, V_co]):
    """A dict, or anything else with items(); unlike Mapping it does not mind which of several types its keys have."""

    def items(self) -> Iterable[tuple[K_co, V_co]]:
        """Give the pairs."""
        ...


class Serializer(Protocol):
    """Two functions between values and bytes, as many libraries have them."""

    def dumps(self, value: Any, /) -> bytes:
        """Return the bytes that stand for a value."""
        ...

    def loads(self, data: bytes, /) -> Any:
        """Return the value that the bytes stand for."""
        ...


SerializerArg: TypeAlias = "bool | Serializer | tuple[Callable[[Any], bytes], Callable[[bytes], Any]]"
"""What freezes and thaws values: True for carmine's own format, or two functions; False for nothing."""


class ScoredMember(NamedTuple, Generic[T]):
    """A member of a sorted set with its score."""

    member: T
    score: float


class ScanPage(NamedTuple, Generic[T]):
    """One answer of the SCAN family: the cursor to go on with (0 when done), and what it found."""

    cursor: int
    items: T


class Popped(NamedTuple, Generic[T]):
    """A value that was popped, and the key of the list it came from."""

    key: T
    value: T


class PoppedItems(NamedTuple, Generic[T]):
    """Items that were popped together, and the key of the list they came from."""

    key: T
    items: list[T]


class PoppedMember(NamedTuple, Generic[T]):
    """A member that was popped, its score, and the key of the sorted set it came from."""

    key: T
    member: T
    score: float


class PoppedMembers(NamedTuple, Generic[T]):
    """Members that were popped together, and the key of the sorted set they came from."""

    key: T
    members: list[ScoredMember[T]]


class Ranking(NamedTuple):
    """A member's place in its sorted set, counted from 0, and its score."""

    rank: int
    score: float


_ROOMS = {
    **dict.fromkeys(("EngineStats", "FunctionStats", "Library", "LibraryFunction", "RunningFunction"), "script_types"),
    **dict.fromkeys(("GeoMember", "GeoPoint", "VectorData", "VectorMatch"), "geo_types"),
}
"""Where those are that are loaded late; the others of them are in stream_types.py."""

if not TYPE_CHECKING:  # to type checkers it would make every misspelt name one of Any

    def __getattr__(name: str) -> Any:
        """Load the room of what is loaded late at its first use."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        room = load(f"carmine.{_ROOMS.get(name, 'stream_types')}")
        return globals().setdefault(name, getattr(room, name))

    def __dir__() -> list[str]:
        """List the names that are loaded late as well."""
        return sorted({*globals(), *__all__})
