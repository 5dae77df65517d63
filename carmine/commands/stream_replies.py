"""The shapes of replies about streams: decoders that `streams.py` and `stream_groups.py` share.

As `decoders.py`: no command, no client; RESP2 and RESP3 give the same result. Names that the server gives are text on
every client, what the caller named or wrote is what the client reads strings as. Durations are seconds.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from carmine.commands.decoders import Raw, mapping
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
    "claimed_entries",
    "claimed_ids",
    "consumers",
    "entries",
    "groups",
    "pending_entries",
    "pending_summary",
    "read",
    "stream_info",
]

_stream_entry: Final = partial(tuple.__new__, StreamEntry)
"""`(id, fields)` as a StreamEntry without going through its constructor."""


def _fields(flat: Raw) -> dict[Any, Any]:
    """`[name, value, name, value, ...]` -> dict; a null (the entry was deleted) -> an empty one."""
    if flat is None:
        return {}
    each = iter(flat)
    told: dict[Any, Any] = dict(zip(each, each, strict=True))
    if len(told) * 2 == len(flat):
        return told
    repeated = RepeatedFields(told)
    repeated.pairs = list(zip(flat[::2], flat[1::2], strict=True))
    return repeated


def entries(raw: Raw) -> list[StreamEntry[Any]]:
    """`[[id, [name, value, ...]], ...]` -> a list of StreamEntry; a null among them (deleted, on 6.2) is left out."""
    return [_stream_entry((each[0], _fields(each[1]))) for each in raw if each is not None]


def read(raw: Raw) -> dict[Any, list[StreamEntry[Any]]]:
    """A map of streams, `[[key, entries], ...]` on RESP2, a null where there was nothing -> dict."""
    if raw is None:
        return {}
    return {key: entries(found) for key, found in (raw.items() if type(raw) is dict else raw)}


def pending_summary(raw: Raw) -> PendingSummary[Any]:
    """`[count, lowest, highest, [[consumer, text], ...]]`, nulls where nothing is pending -> PendingSummary."""
    count, lowest, highest, counts = raw
    return PendingSummary(count, lowest, highest, {consumer: int(number) for consumer, number in counts or ()})


def pending_entries(raw: Raw) -> list[PendingEntry[Any]]:
    """`[[id, consumer, milliseconds, deliveries], ...]` -> a list of PendingEntry."""
    return [PendingEntry(id, consumer, idle / 1000, deliveries) for id, consumer, idle, deliveries in raw]


def claimed_entries(raw: Raw) -> ClaimPage[Any, list[StreamEntry[Any]]]:
    """`[cursor, entries, deleted]`, the last one missing before 7.0 -> ClaimPage."""
    cursor, found, *deleted = raw
    return ClaimPage(cursor, entries(found), deleted[0] if deleted else [])


def claimed_ids(raw: Raw) -> ClaimPage[Any, list[Any]]:
    """`[cursor, ids, deleted]`, the last one missing before 7.0 -> ClaimPage."""
    cursor, ids, *deleted = raw
    return ClaimPage(cursor, ids, deleted[0] if deleted else [])


def _named(raw: Raw) -> dict[str, Any]:
    """A map, or a flat list on RESP2 -> dict with text for its names."""
    return {name if type(name) is str else name.decode(): value for name, value in mapping(raw).items()}


def groups(raw: Raw) -> list[StreamGroup[Any]]:
    """The maps of XINFO GROUPS -> a list of StreamGroup."""
    return [
        StreamGroup(
            told["name"],
            told["consumers"],
            told["pending"],
            told["last-delivered-id"],
            told.get("entries-read"),
            told.get("lag"),
        )
        for told in map(_named, raw)
    ]


def consumers(raw: Raw) -> list[StreamConsumer[Any]]:
    """The maps of XINFO CONSUMERS -> a list of StreamConsumer."""
    return [_consumer(_named(each)) for each in raw]


def _consumer(told: dict[str, Any]) -> StreamConsumer[Any]:
    inactive = told.get("inactive", -1)  # -1: it never got an entry
    return StreamConsumer(told["name"], told["pending"], told["idle"] / 1000, None if inactive < 0 else inactive / 1000)


def stream_info(raw: Raw) -> dict[str, Any]:
    """The map of XINFO STREAM, with or without FULL -> dict; entries as StreamEntry, what is nested as dicts."""
    told = _named(raw)
    for name in ("first-entry", "last-entry"):
        if told.get(name) is not None:
            told[name] = _stream_entry((told[name][0], _fields(told[name][1])))
    if "entries" in told:
        told["entries"] = entries(told["entries"])
        told["groups"] = [_full_group(group) for group in told["groups"]]
    return told


def _full_group(raw: Raw) -> dict[str, Any]:
    told = _full_pending(_named(raw))
    told["consumers"] = [_full_pending(_named(consumer)) for consumer in told["consumers"]]
    return told


def _full_pending(told: dict[str, Any]) -> dict[str, Any]:
    told["pending"] = [tuple(each) for each in told["pending"]]
    return told
