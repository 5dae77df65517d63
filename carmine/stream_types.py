"""What commands on streams give: `carmine.types` offers these names and loads this room when one is touched.

A room of its own because a named tuple takes 12 KiB, and a program without streams needs none of these. Like
`types.py` it imports nothing of carmine and holds no behaviour; T is what the client reads strings as.
"""

from __future__ import annotations

from typing import Generic, NamedTuple, TypeVar

__all__ = [
    "ClaimPage",
    "PendingEntry",
    "PendingSummary",
    "RepeatedFields",
    "StreamConsumer",
    "StreamEntry",
    "StreamGroup",
]

T = TypeVar("T")
I = TypeVar("I")  # noqa: E741  # the items of a page


class RepeatedFields(dict[T, T]):
    """The fields of a stream entry that names one of them more than once: the last value of each name.

    Attributes:
        pairs: All names and values, in the order of the entry.
    """

    __slots__ = ("pairs",)

    pairs: list[tuple[T, T]]


class StreamEntry(NamedTuple, Generic[T]):
    """An entry of a stream: its id, and its fields (a RepeatedFields where a name comes twice).

    The fields are empty where a consumer asks for entries that it has pending and this one was deleted meanwhile.
    """

    id: T
    fields: dict[T, T]


class PendingSummary(NamedTuple, Generic[T]):
    """How many entries a group has pending, the lowest and the highest id of them, and how many each consumer has."""

    pending: int
    lowest: T | None
    highest: T | None
    consumers: dict[T, int]


class PendingEntry(NamedTuple, Generic[T]):
    """An entry that a consumer has pending: seconds since its last delivery, and how often it was delivered."""

    id: T
    consumer: T
    idle: float
    deliveries: int


class ClaimPage(NamedTuple, Generic[T, I]):
    """One answer of XAUTOCLAIM.

    Attributes:
        cursor: The id to go on from; "0-0" when all were looked at.
        items: The entries that were claimed, or their ids.
        deleted: The ids of entries that no longer exist and were taken from the pending ones (from 7.0).
    """

    cursor: T
    items: I
    deleted: list[T]


class StreamGroup(NamedTuple, Generic[T]):
    """A consumer group of a stream.

    Attributes:
        name: Its name.
        consumers: How many it has.
        pending: How many entries were delivered and not acknowledged.
        last_delivered_id: The id of the last entry that was delivered.
        entries_read: How many entries it has read; None where the server cannot tell, and before 7.0.
        lag: How many entries wait for it; None where the server cannot tell, and before 7.0.
    """

    name: T
    consumers: int
    pending: int
    last_delivered_id: T
    entries_read: int | None
    lag: int | None


class StreamConsumer(NamedTuple, Generic[T]):
    """A consumer of a group.

    Attributes:
        name: Its name.
        pending: How many entries it has pending.
        idle: Seconds since it last tried to read or claim.
        inactive: Seconds since it last got something; None where it never did, and before 7.2.
    """

    name: T
    pending: int
    idle: float
    inactive: float | None
