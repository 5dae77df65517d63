"""carmine's blocking Queue, and its Worker with threads."""

from __future__ import annotations

import threading
from importlib import metadata
from typing import TYPE_CHECKING, Any

import carmine
import carmine.protocol
from bench.rivals.queues.base import BULK, QueueRival, batches
from bench.rivals.queues.place import URL, board, note
from carmine.ext.mq import Message, Queue, Worker

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.queues.board import Board

NAME = "bench"

#: Handlers at once, where it is at its best.
CONCURRENCY = 64

#: Messages in one call while a queue is held at its length: no more than the shortest queue holds.
_TOP_UP = 50


def noop(message: Message) -> None:
    """Handle a message."""
    note(message.content)


class Rival(QueueRival):
    """One producer."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._client: carmine.Client[Any] = carmine.Client(URL)
        self._queue = Queue(self._client, NAME)

    def versions(self) -> dict[str, str]:
        """Return the package's version and the twin that was loaded."""
        return {"carmine": metadata.version("carmine-redis"), "twin": carmine.protocol.__impl__}

    def send(self, number: int) -> object:
        """Enqueue one message."""
        return self._queue.enqueue(number)

    def send_many(self, numbers: Sequence[int]) -> object:
        """Enqueue many messages in one round trip."""
        return self._queue.enqueue_many(numbers)

    def send_later(self, number: int, seconds: float) -> object:
        """Enqueue one message with a backoff."""
        return self._queue.enqueue(number, backoff=seconds)

    def fill_later(self, first: int, count: int, seconds: float) -> None:
        """Enqueue these numbers with a backoff."""
        for some in batches(range(first, first + count), BULK):
            self._queue.enqueue_many(some, backoff=seconds)

    def hold(self, depth: int, sent: int, until: int) -> int:
        """Keep the queue at a depth while it is worked on, until so many messages were begun.

        Args:
            depth: Messages that wait.
            sent: How many were sent already, beginning with 0.
            until: How many are to be begun.

        Returns:
            How many were sent in all.
        """
        return keep(board, self.send_many, depth, sent, until)

    def size(self) -> int:
        """Return how many messages the queue holds."""
        return self._queue.size()

    def clear(self) -> None:
        """Empty the queue."""
        self._queue.clear()


def keep(where: Board, send_many: Any, depth: int, sent: int, until: int) -> int:
    """Send as many messages as are begun; see `Rival.hold`."""
    begun = 0
    while begun < until:
        begun = where.unhandled(begun, sent)
        if sent - begun < depth:
            send_many(range(sent, sent + _TOP_UP))
            sent += _TOP_UP
        else:
            where.wait(begun, begun + 1, float("inf"))
    return sent


def serve(setting: str) -> None:
    """Run a worker."""
    client: carmine.Client[Any] = carmine.Client(URL)
    best = setting == "best"
    with Worker(client, NAME, noop, concurrency=CONCURRENCY) if best else Worker(client, NAME, noop):
        threading.Event().wait()
