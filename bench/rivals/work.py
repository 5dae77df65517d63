"""What a rival hands to the worker: a timed loop, and the answer to check.

Invariant: ``run`` holds nothing but the client's calls; whatever can be prepared is prepared before it.
"""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class Unavailable(Exception):
    """This rival cannot do this work here; the message says why."""


def nothing() -> None:
    """Close a work that holds nothing."""


class Work:
    """One loop to time: ``run(n)`` does the work n times, ``answer()`` does it once and returns what came."""

    __slots__ = ("answer", "close", "run")

    def __init__(
        self, run: Callable[[int], None], answer: Callable[[], object], close: Callable[[], None] = nothing
    ) -> None:
        self.run = run
        self.answer = answer
        self.close = close


def repeated(call: Callable[..., object], *words: object) -> Work:
    """Return the work that makes one call again and again.

    The loops are written out for up to three arguments: unpacking a tuple is time that W does not spend.
    """

    def none(count: int) -> None:
        for _ in range(count):
            call()

    def one(count: int) -> None:
        (first,) = words
        for _ in range(count):
            call(first)

    def two(count: int) -> None:
        first, second = words
        for _ in range(count):
            call(first, second)

    def three(count: int) -> None:
        first, second, third = words
        for _ in range(count):
            call(first, second, third)

    def many(count: int) -> None:
        for _ in range(count):
            call(*words)

    loops = (none, one, two, three)
    return Work(loops[len(words)] if len(words) < len(loops) else many, lambda: call(*words))


def checked(work: Work, answer: Callable[[], object]) -> Work:
    """Return the same timed loop with another answer to compare, where the call's own reply says too little."""
    return Work(work.run, answer, work.close)


class Crew:
    """Threads that wait between blocks, so that a block does not pay for starting them."""

    def __init__(self, calls: Sequence[Callable[[int], None]]) -> None:
        self._orders: list[queue.SimpleQueue[int]] = [queue.SimpleQueue() for _ in calls]
        self._done: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()
        for order, call in zip(self._orders, calls, strict=True):
            threading.Thread(target=self._serve, args=(order, call), daemon=True).start()

    def run(self, count: int) -> None:
        """Let every thread do its call ``count`` times, and wait for the last."""
        for order in self._orders:
            order.put(count)
        failures = [self._done.get() for _ in self._orders]
        for failure in failures:
            if failure is not None:
                raise failure

    def close(self) -> None:
        """Send the threads home."""
        for order in self._orders:
            order.put(0)

    def _serve(self, order: queue.SimpleQueue[int], call: Callable[[int], None]) -> None:
        while count := order.get():
            try:
                call(count)
            except BaseException as failure:  # noqa: BLE001 - it is raised again in the thread that waits
                self._done.put(failure)
            else:
                self._done.put(None)


def threaded(call: Callable[..., object], *words: object, threads: int = 8) -> Work:
    """Return the work in which several threads make the same call on one client."""
    work = repeated(call, *words)
    crew = Crew([work.run] * threads)
    return Work(crew.run, lambda: [work.answer() for _ in range(threads)], crew.close)
