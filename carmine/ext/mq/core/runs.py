"""What a worker has in its hands: who is handled, whose end is still to be told, and when leases are to be renewed.

Pure: the time comes in as an argument (any clock that only rises), and whoever shares this among threads guards it.
Invariants: no more messages are held than there are hands, and of each queue no more ends wait than that; a run ends
once; a run whose lease was lost is never told to the server.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from carmine.ext.mq.core.verdicts import Ending

__all__ = ["Run", "Runs"]

_RENEW: Final = 1 / 3
"""The share of a lease after which it is renewed: two more attempts fit before it ends."""

_TOGETHER: Final = 0.1
"""Leases go along with one that is due when this share of their length, or less, is left until they are due."""

_AGAIN: Final = 0.05
"""The share of a lease after which a renewal that failed is tried again."""


class Run:
    """One message in one pair of hands.

    Attributes:
        message: What `poll` gave.
        until: When its lease ends, seen from here: never later than the server says.
        renew_at: When the lease is to be renewed.
        ending: How it ended, once it has.
        is_lost: Whether the lease was lost.
        is_unsure: Whether its end was sent, and no answer came: it may be done already.
    """

    __slots__ = ("ending", "is_lost", "is_unsure", "message", "renew_at", "until")

    def __init__(self, message: Any, sent: float) -> None:
        self.message: Any = message
        self.ending: Ending | None = None
        self.is_lost: bool = False
        self.is_unsure: bool = False
        self.until: float = 0.0
        self.renew_at: float = 0.0
        self.confirm(sent)

    def confirm(self, sent: float) -> None:
        """Count the lease from when it was asked for."""
        lease: float = self.message.lease
        self.until = sent + lease
        self.renew_at = sent + lease * _RENEW

    def put_off(self, now: float) -> None:
        """Renew it a little later, because it failed now."""
        self.renew_at = now + self.message.lease * _AGAIN


class Runs:
    """The messages of one worker.

    Args:
        hands: How many are handled at once.
    """

    __slots__ = ("_ended", "_hands", "_running", "_telling")

    def __init__(self, hands: int) -> None:
        self._hands = hands
        self._running: dict[Any, Run] = {}
        self._ended: dict[Any, deque[Run]] = {}
        self._telling: dict[Any, list[Run]] = {}

    @property
    def running(self) -> int:
        """How many are being handled."""
        return len(self._running)

    @property
    def ended(self) -> int:
        """How many have ended, and the server was not told yet."""
        return sum(map(len, self._ended.values()))

    def room(self, queue: Any) -> int:
        """Return how many messages of a queue may be claimed.

        One for each free pair of hands, and fewer while ends of this queue pile up: others may be told theirs.
        """
        running, ended = len(self._running), self._ended.get(queue)
        return max(0, min(self._hands - running, 2 * self._hands - running - (len(ended) if ended else 0)))

    def take(self, message: Any, sent: float) -> Run:
        """Begin a run; `sent` is when its message was asked for."""
        run = self._running[message] = Run(message, sent)
        return run

    def of(self, message: Any) -> Run | None:
        """Return the run of a message, while it is handled."""
        return self._running.get(message)

    def end(self, run: Run, ending: Ending) -> bool:
        """End a run; False where it was ended before (handed back, say), or there is nothing to tell any more."""
        self._running.pop(run.message, None)
        return self.hand_back(run, ending)

    def hand_back(self, run: Run, ending: Ending) -> bool:
        """End a run whose handler goes on: its hands stay taken; False as for `end`."""
        if run.ending is not None or run.is_lost:
            return False
        run.ending = ending
        self._ended.setdefault(run.message.queue, deque()).append(run)
        return True

    def lose(self, run: Run) -> bool:
        """Take note that a lease was lost; False where that does not matter any more."""
        if run.ending is not None or run.is_lost:
            return False
        run.is_lost = True
        return True

    def all(self) -> list[Run]:
        """Return the runs whose handlers go on."""
        return list(self._running.values())

    def held(self) -> list[Run]:
        """Return the runs whose handlers go on and whose messages are still this worker's."""
        return [run for run in self._running.values() if run.ending is None and not run.is_lost]

    def waits(self, queue: Any) -> bool:
        """Tell whether ends of a queue are to be told."""
        return bool(self._ended.get(queue))

    def is_late(self, queue: Any, now: float) -> bool:
        """Tell whether the server has yet to hear of an end whose lease is over: a claim could give it out again."""
        waiting = (self._telling.get(queue, ()), self._ended.get(queue, ()))
        return any(run.until <= now for runs in waiting for run in runs)

    def to_tell(self, queue: Any, most: int) -> list[Run]:
        """Take the oldest runs of a queue that have ended, to tell the server; then call `told` or `untold`."""
        ended = self._ended.get(queue)
        runs = [ended.popleft() for _ in range(min(most, len(ended)))] if ended else []
        self._telling[queue] = runs
        return runs

    def told(self, queue: Any) -> None:
        """Take note that the server has answered."""
        self._telling.pop(queue, None)

    def untold(self, queue: Any) -> None:
        """Take back runs that could not be told."""
        runs = self._telling.pop(queue)
        for run in runs:
            run.is_unsure = True
        self._ended[queue].extendleft(reversed(runs))

    def due(self, now: float) -> list[Run]:
        """Return the runs whose leases are to be renewed, with those that will be soon; none where none is due."""
        held = self.held()
        if not any(run.renew_at <= now for run in held):
            return []
        return [run for run in held if run.renew_at <= now + run.message.lease * _TOGETHER]

    def next_renewal(self) -> float:
        """Return when the next lease is to be renewed; inf for none."""
        return min((run.renew_at for run in self.held()), default=float("inf"))
