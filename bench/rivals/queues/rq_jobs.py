"""RQ: a process forked for each job by default, `SimpleWorker` without the fork; its scheduler runs beside both."""

from __future__ import annotations

from datetime import timedelta
from importlib import metadata
from typing import TYPE_CHECKING

import redis
import rq  # type: ignore[import-not-found]

from bench.rivals.queues.base import QueueRival
from bench.rivals.queues.place import URL, note

if TYPE_CHECKING:
    from collections.abc import Sequence

NAME = "bench"


def noop(number: int) -> None:
    """Handle a message."""
    note(number)


class Rival(QueueRival):
    """One producer."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._queue = rq.Queue(NAME, connection=redis.Redis.from_url(URL))

    def versions(self) -> dict[str, str]:
        """Return the packages' versions."""
        return {name: metadata.version(name) for name in ("rq", "redis", "hiredis")}

    def send(self, number: int) -> object:
        """Enqueue one message."""
        return self._queue.enqueue(noop, number)

    def send_many(self, numbers: Sequence[int]) -> object:
        """Enqueue many messages in one pipeline."""
        return self._queue.enqueue_many([rq.Queue.prepare_data(noop, [number]) for number in numbers])

    def send_later(self, number: int, seconds: float) -> object:
        """Enqueue one message in so many seconds."""
        return self._queue.enqueue_in(timedelta(seconds=seconds), noop, number)

    def size(self) -> int:
        """Return how many messages the queue holds."""
        return int(self._queue.count)

    def clear(self) -> object:
        """Empty the queue."""
        return self._queue.connection.flushdb()


def serve(setting: str) -> None:
    """Run a worker."""
    make = rq.SimpleWorker if setting == "best" else rq.Worker
    make([NAME], connection=redis.Redis.from_url(URL)).work(with_scheduler=True, logging_level="ERROR")
