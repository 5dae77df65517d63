"""Commands of the group "server" by which a server tells how it fares: MEMORY and LATENCY.

`memory_usage` stands in `server.py`, since it is about a key. What a server says comes as str, on Client[bytes] too.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from carmine.commands import decoders
from carmine.commands.command import Command
from carmine.commands.specs import spec


class LatencyEvent(NamedTuple):
    """The latest spike of a kind of event.

    Attributes:
        name: The kind, such as "command".
        when: When it was, in seconds since the epoch.
        latest_ms: How long it took.
        highest_ms: How long the longest of them took.
    """

    name: str
    when: int
    latest_ms: int
    highest_ms: int


class LatencyHistogram(NamedTuple):
    """How long the calls of one command took.

    Attributes:
        calls: How many there were.
        micros: How many took at most so many microseconds, by that number; each count holds those before it.
    """

    calls: int
    micros: dict[int, int]


def _memory_stats(raw: Any) -> dict[str, Any]:
    """The map, its doubles text on RESP2 -> dict; what is told of each database is a dict too."""
    told: dict[str, Any] = decoders.mapping(raw)
    for name, value in told.items():
        if isinstance(value, str):
            told[name] = float(value)
        elif not isinstance(value, int | float):
            told[name] = decoders.mapping(value)
    return told


def _latency_history(raw: Any) -> list[tuple[int, int]]:
    return [(when, millis) for when, millis in raw]


def _latency_latest(raw: Any) -> list[LatencyEvent]:
    return [LatencyEvent(*each[:4]) for each in raw]  # newer servers tell more


def _latency_histogram(raw: Any) -> dict[str, LatencyHistogram]:
    found = {name: decoders.mapping(told) for name, told in decoders.mapping(raw).items()}
    return {
        name: LatencyHistogram(told["calls"], decoders.mapping(told["histogram_usec"])) for name, told in found.items()
    }


_LATENCY_DOCTOR = spec("LATENCY DOCTOR", decoders.document, text=True)
_LATENCY_GRAPH = spec("LATENCY GRAPH", decoders.document, text=True)
_LATENCY_HISTOGRAM = spec("LATENCY HISTOGRAM", _latency_histogram, text=True)
_LATENCY_HISTORY = spec("LATENCY HISTORY", _latency_history)
_LATENCY_LATEST = spec("LATENCY LATEST", _latency_latest, text=True)
_LATENCY_RESET = spec("LATENCY RESET")
_MEMORY_DOCTOR = spec("MEMORY DOCTOR", decoders.document, text=True)
_MEMORY_MALLOC_STATS = spec("MEMORY MALLOC-STATS", decoders.document, text=True)
_MEMORY_PURGE = spec("MEMORY PURGE", decoders.ok)
_MEMORY_STATS = spec("MEMORY STATS", _memory_stats, text=True)


def latency_doctor() -> Command[str]:
    """LATENCY DOCTOR: have the server say what may be slow, and what to do.

    Since: 2.8.13. Cost: O(1). Source: redis.io/commands/latency-doctor
    """
    return Command(_LATENCY_DOCTOR, (b"LATENCY", b"DOCTOR"))


def latency_graph(event: str) -> Command[str]:
    """LATENCY GRAPH: have the server draw how long events of a kind took.

    Raises:
        ServerError: There was none.

    Since: 2.8.13. Cost: O(1). Source: redis.io/commands/latency-graph
    """
    return Command(_LATENCY_GRAPH, (b"LATENCY", b"GRAPH", event))


def latency_histogram(*commands: str) -> Command[dict[str, LatencyHistogram]]:
    """LATENCY HISTOGRAM: read how long commands took.

    Args:
        *commands: Their names; none asks for all that were called.

    Wire: Maps on RESP3, flat lists on RESP2.

    Since: 7.0.0. Cost: O(commands). Source: redis.io/commands/latency-histogram
    """
    return Command(_LATENCY_HISTOGRAM, (b"LATENCY", b"HISTOGRAM", *commands))


def latency_history(event: str) -> Command[list[tuple[int, int]]]:
    """LATENCY HISTORY: read when events of a kind were slow.

    Returns:
        Seconds since the epoch, and how many milliseconds each took.

    Since: 2.8.13. Cost: O(1). Source: redis.io/commands/latency-history
    """
    return Command(_LATENCY_HISTORY, (b"LATENCY", b"HISTORY", event))


def latency_latest() -> Command[list[LatencyEvent]]:
    """LATENCY LATEST: read the latest slow event of each kind.

    Since: 2.8.13. Cost: O(1). Source: redis.io/commands/latency-latest
    """
    return Command(_LATENCY_LATEST, (b"LATENCY", b"LATEST"))


def latency_reset(*events: str) -> Command[int]:
    """LATENCY RESET: forget slow events.

    Args:
        *events: Of these kinds; none forgets all.

    Returns:
        Of how many kinds something was forgotten.

    Since: 2.8.13. Cost: O(1). Source: redis.io/commands/latency-reset
    """
    return Command(_LATENCY_RESET, (b"LATENCY", b"RESET", *events))


def memory_doctor() -> Command[str]:
    """MEMORY DOCTOR: have the server say what may be wrong with its memory.

    Since: 4.0.0. Cost: O(1). Source: redis.io/commands/memory-doctor
    """
    return Command(_MEMORY_DOCTOR, (b"MEMORY", b"DOCTOR"))


def memory_malloc_stats() -> Command[str]:
    """MEMORY MALLOC-STATS: read what the server's allocator tells of itself.

    Since: 4.0.0. Cost: O(1). Source: redis.io/commands/memory-malloc-stats
    """
    return Command(_MEMORY_MALLOC_STATS, (b"MEMORY", b"MALLOC-STATS"))


def memory_purge() -> Command[bool]:
    """MEMORY PURGE: have the allocator give memory back that it keeps for later.

    Returns:
        True.

    Since: 4.0.0. Cost: O(memory kept). Source: redis.io/commands/memory-purge
    """
    return Command(_MEMORY_PURGE, (b"MEMORY", b"PURGE"))


def memory_stats() -> Command[dict[str, Any]]:
    """MEMORY STATS: read where the server's memory goes.

    Returns:
        Values by the server's names, such as "peak.allocated": bytes and counts as int, shares as float, databases
        as dicts.

    Wire: Doubles as text, and flat lists, on RESP2.

    Since: 4.0.0. Cost: O(databases). Source: redis.io/commands/memory-stats
    """
    return Command(_MEMORY_STATS, (b"MEMORY", b"STATS"))
