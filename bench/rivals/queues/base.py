"""What all queues' producers have in common: the works that are timed, and what a session asks for.

A rival says how one message, many messages and a delayed one are sent, how many wait, and how its queue is emptied.
"""

from __future__ import annotations

import random
import time
from abc import ABC, abstractmethod
from itertools import islice
from typing import TYPE_CHECKING, Any

from bench.rivals.queues.place import board
from bench.rivals.tasks import Loop
from bench.rivals.work import Unavailable, Work

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

#: Messages in one call that takes many.
BULK = 1000

#: Seconds in which a message that was sent must have been begun.
_PATIENCE = 10.0


def batches(numbers: Iterable[int], size: int) -> Iterator[list[int]]:
    """Cut a row of numbers into lists."""
    rest = iter(numbers)
    while batch := list(islice(rest, size)):
        yield batch


class QueueRival(ABC):
    """A producer; the methods without an underscore may be asked for by name."""

    #: Messages in one bulk call; 0 where the rival has none.
    bulk_size = BULK

    @abstractmethod
    def versions(self) -> dict[str, str]:
        """Return the packages' versions."""

    @abstractmethod
    def send(self, number: int) -> object:
        """Enqueue one message."""

    def send_many(self, numbers: Sequence[int]) -> object:
        """Enqueue many messages in the fastest way that the rival offers."""
        for number in numbers:
            self.send(number)
        return None

    def send_later(self, number: int, seconds: float) -> object:
        """Enqueue one message that rests first."""
        raise Unavailable("it has no delayed messages without a scheduler of its own")

    @abstractmethod
    def size(self) -> int:
        """Return how many messages the queue holds."""

    @abstractmethod
    def clear(self) -> object:
        """Empty the queue."""

    def enqueue(self) -> Work:
        """One message a call."""
        return self._counted(self._send_each)

    def bulk(self) -> Work:
        """Many messages a call, or many calls at once."""
        if not self.bulk_size:
            raise Unavailable("it sends messages one by one only")
        numbers = range(self.bulk_size)

        def run(count: int) -> None:
            for _ in range(count):
                self.send_many(numbers)

        return self._counted(run)

    def bulk_count(self) -> int:
        """Return how many messages one turn of the work `bulk` sends."""
        return self.bulk_size

    def fill(self, first: int, count: int) -> None:
        """Enqueue these numbers, as fast as it goes."""
        for some in batches(range(first, first + count), self.bulk_size or BULK):
            self.send_many(some)

    def pings(self, first: int, count: int, gaps: tuple[float, float], budget: float, seed: int) -> list[int]:
        """Send messages to an idle worker, each when the one before was begun and a while has passed.

        Returns:
            When each was sent, in nanoseconds of the monotonic clock; fewer than `count` when the budget was over.
        """
        chance, until = random.Random(seed), time.monotonic() + budget
        sent: list[int] = []
        for number in range(first, first + count):
            time.sleep(chance.uniform(*gaps))
            sent.append(time.monotonic_ns())
            self.send(number)
            self._await(number, number + 1)
            if time.monotonic() > until:
                break
        return sent

    def delays(self, first: int, count: int, delay: float, gap: float) -> list[int]:
        """Send delayed messages and wait for all.

        Returns:
            When each was sent, in nanoseconds of the monotonic clock.
        """
        sent: list[int] = []
        for number in range(first, first + count):
            sent.append(time.monotonic_ns())
            self.send_later(number, delay)
            time.sleep(gap)
        self._await(first, first + count)
        return sent

    def _send_each(self, count: int) -> None:
        for number in range(count):
            self.send(number)

    def _counted(self, run: Any) -> Work:
        # The answer that all must agree on: one turn of one message makes the queue longer by one.
        def answer() -> int:
            before = self.size()
            self.send(0)
            return self.size() - before

        return Work(run, answer)

    def _await(self, start: int, stop: int) -> None:
        if not board.wait(start, stop, time.monotonic() + _PATIENCE):
            raise Unavailable(f"a message was not handled in {_PATIENCE:g} s")


class AsyncQueueRival(QueueRival):
    """A producer in asyncio: one loop, which runs only as long as something is asked."""

    #: Calls under way at once where there is no call for many.
    bulk_size = 100

    def __init__(self) -> None:
        self.loop = Loop()

    @abstractmethod
    async def sending(self, number: int) -> object:
        """Enqueue one message."""

    async def sending_many(self, numbers: Sequence[int]) -> object:
        """Enqueue many messages: as many calls at once."""
        return await self.loop.gather([self.sending(number) for number in numbers])

    async def sending_later(self, number: int, seconds: float) -> object:
        """Enqueue one message that rests first."""
        return super().send_later(number, seconds)

    def send(self, number: int) -> object:
        """Enqueue one message."""
        return self.loop.run(self.sending(number))

    def send_many(self, numbers: Sequence[int]) -> object:
        """Enqueue many messages."""
        return self.loop.run(self.sending_many(numbers))

    def send_later(self, number: int, seconds: float) -> object:
        """Enqueue one message that rests first."""
        return self.loop.run(self.sending_later(number, seconds))

    def _send_each(self, count: int) -> None:
        async def block() -> None:
            for number in range(count):
                await self.sending(number)

        self.loop.run(block())
