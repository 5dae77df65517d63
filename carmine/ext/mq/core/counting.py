"""What a worker counts: how many, and how long.

Pure. Durations go into buckets whose bounds grow by a tenth, so that percentiles are right to 10 % and cost the same
memory after a billion messages.
"""

from __future__ import annotations

from math import log
from typing import Final, Literal, NamedTuple

__all__ = ["Statistics", "Times", "WorkerStatus"]

_STEP: Final = log(1.1)
_LEAST: Final = 1e-6
_BUCKETS: Final = 400
"""1.1 ** 400 microseconds are a thousand years."""

COUNTED: Final = (
    *("polls", "claimed", "success", "retry", "dead", "dropped", "back", "lost", "unsure", "raised", "failures"),
)
"""Polls; messages claimed; runs by their end as the server confirmed it: handled, to be tried again, dead letters,
dropped, handed back, those whose lease was lost, those of which nobody knows; handlers that raised; calls to the server
that failed."""


class Times(NamedTuple):
    """Durations in seconds, `n` of them: half were below `p50`, and so on, to 10 %; `max` is exact."""

    n: int
    p50: float
    p90: float
    p99: float
    max: float


class WorkerStatus(NamedTuple):
    """What a worker does, and did since `clear_stats`.

    Attributes:
        state: "running", "paused" (it claims nothing), "stopping" or "stopped".
        concurrency: Messages it handles at once.
        running: Messages it handles now.
        ending: Runs that have ended and are being told to the server.
        counts: How many, by name.
        sizes: Messages in each queue when the worker last claimed there.
        queueing: Seconds from a message's first enqueue to its first claim.
        handling: Seconds that handlers took.
    """

    state: Literal["running", "paused", "stopping", "stopped"]
    concurrency: int
    running: int
    ending: int
    counts: dict[str, int]
    sizes: dict[str, int]
    queueing: Times
    handling: Times


class _Durations:
    __slots__ = ("_buckets", "_count", "_most")

    def __init__(self) -> None:
        self._buckets = [0] * _BUCKETS
        self._count = 0
        self._most = 0.0

    def add(self, seconds: float) -> None:
        at = int(log(seconds / _LEAST) / _STEP) + 1 if seconds > _LEAST else 0
        self._buckets[min(at, _BUCKETS - 1)] += 1
        self._count += 1
        self._most = max(self._most, seconds)

    def times(self) -> Times:
        return Times(self._count, self._below(0.5), self._below(0.9), self._below(0.99), self._most)

    def _below(self, part: float) -> float:
        passed = 0
        for at, count in enumerate(self._buckets):
            passed += count
            if passed and passed >= part * self._count:
                return min(self._most, _LEAST * 1.1**at)
        return 0.0


class Statistics:
    """Counts and times since the last `clear`; whoever shares it among threads guards it."""

    __slots__ = ("counts", "handling", "queueing", "sizes")

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Begin to count anew."""
        self.counts: dict[str, int] = dict.fromkeys(COUNTED, 0)
        self.sizes: dict[str, int] = {}
        self.queueing: _Durations = _Durations()
        self.handling: _Durations = _Durations()

    def count(self, name: str, by: int = 1) -> None:
        """Count something."""
        self.counts[name] += by

    def claimed(self, queue: str, size: int, ages: list[float]) -> None:
        """Count messages that were claimed; the ages of those that were for the first time."""
        self.sizes[queue] = size
        for age in ages:
            self.queueing.add(age)
