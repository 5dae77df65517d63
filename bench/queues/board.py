"""The board: where handlers of any process mark which message they began, and when.

A file that all processes of a run have mapped into memory: for each message a byte that counts its runs and eight
that hold the monotonic clock (the same for all processes of a machine) at the first. A mark takes 0.5 us, no system
call, and does not let another thread in: whatever a queue's handler would do besides is the queue's own time.

Knows files and the clock; standard library only, since it is imported in every rival's environment.
"""

from __future__ import annotations

import mmap
import time
from array import array
from struct import Struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_CLOCK = Struct("q")

#: More than any row sends: a million that wait, and what is handled meanwhile.
SLOTS = 1_500_000

#: Messages in one call while a queue is kept filled: no more than the shortest queue holds.
_TOP_UP = 50

#: Seconds between two looks at the board while something is awaited.
_LOOK = 0.002


class Board:
    """One board, opened by the parent, by producers and by handlers alike.

    Args:
        path: The file; it is made if it is not there.
        slots: How many messages it can tell apart.
    """

    def __init__(self, path: Path, slots: int = SLOTS) -> None:
        size = slots * (1 + _CLOCK.size)
        if not path.exists():
            with path.open("wb") as file:
                file.truncate(size)
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), size)
        self._slots = slots

    def note(self, number: int) -> None:
        """Mark that a message is being handled."""
        cells = self._map
        runs = cells[number]
        if not runs:
            _CLOCK.pack_into(cells, self._slots + number * _CLOCK.size, time.monotonic_ns())
        cells[number] = min(runs + 1, 255)

    def wipe(self, upto: int | None = None) -> None:
        """Forget all marks, or those of the first messages."""
        upto = self._slots if upto is None else upto
        self._map[:upto] = bytes(upto)

    def unhandled(self, start: int, stop: int) -> int:
        """Return the first message from `start` on that nobody has begun; `stop` if there is none."""
        found = self._map.find(b"\0", start, stop)
        return stop if found < 0 else found

    def wait(self, start: int, stop: int, deadline: float, is_alive: Callable[[], bool] = lambda: True) -> bool:
        """Wait until all of these were begun.

        Args:
            start: The first message.
            stop: The one after the last.
            deadline: A `time.monotonic()` to give up at.
            is_alive: Asked now and then; no use to wait for the dead.
        """
        while (start := self.unhandled(start, stop)) < stop:
            if time.monotonic() > deadline or not is_alive():
                return False
            time.sleep(_LOOK)
        return True

    def runs(self, start: int, stop: int) -> bytes:
        """Return how often each of these was begun."""
        return self._map[start:stop]

    def times(self, start: int, stop: int) -> array[int]:
        """Return when each was begun first, in nanoseconds; without meaning for those that were not."""
        found = array("q")
        first = self._slots
        found.frombytes(self._map[first + start * _CLOCK.size : first + stop * _CLOCK.size])
        return found

    def close(self) -> None:
        """Let go of the memory; the file stays."""
        self._map.close()


def keep_filled(board: Board, send_many: Callable[[range], object], depth: int, sent: int, until: int) -> int:
    """Keep a queue at a depth while it is worked on, until so many messages were begun.

    Args:
        board: Where its handlers make their marks.
        send_many: Sends messages of these numbers.
        depth: How many are to wait.
        sent: How many were sent already, beginning with 0.
        until: How many are to be begun.

    Returns:
        How many were sent in all.
    """
    begun = 0
    while begun < until:
        begun = board.unhandled(begun, sent)
        if sent - begun < depth:
            send_many(range(sent, sent + _TOP_UP))
            sent += _TOP_UP
        else:
            board.wait(begun, begun + 1, float("inf"))
    return sent
