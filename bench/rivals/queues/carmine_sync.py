"""carmine's blocking Queue, and its Worker with threads."""

from __future__ import annotations

import threading
from importlib import metadata
from typing import TYPE_CHECKING, Any

import carmine
import carmine.protocol
from bench.queues.board import keep_filled
from bench.rivals.queues.base import BULK, QueueRival, batches
from bench.rivals.queues.place import URL, board, note
from carmine.ext.mq import Message, Queue, Worker

if TYPE_CHECKING:
    from collections.abc import Sequence

NAME = "bench"

#: Handlers at once, where it is at its best.
CONCURRENCY = 64


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
        return keep_filled(board, self.send_many, depth, sent, until)

    def size(self) -> int:
        """Return how many messages the queue holds."""
        return self._queue.size()

    def clear(self) -> None:
        """Empty the queue."""
        self._queue.clear()


def serve(setting: str) -> None:
    """Run a worker."""
    client: carmine.Client[Any] = carmine.Client(URL)
    best = setting == "best"
    with Worker(client, NAME, noop, concurrency=CONCURRENCY) if best else Worker(client, NAME, noop):
        threading.Event().wait()
