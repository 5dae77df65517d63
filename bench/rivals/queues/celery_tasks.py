"""Celery: a pool of two processes by default (one a core); at its best one process without a pool or gossip."""

from __future__ import annotations

from importlib import metadata
from typing import TYPE_CHECKING

import redis
from celery import Celery  # type: ignore[import-not-found]

from bench.rivals.queues.base import QueueRival
from bench.rivals.queues.place import URL, note

if TYPE_CHECKING:
    from collections.abc import Sequence

app = Celery("bench", broker=URL, broker_connection_retry_on_startup=True)

_LIST = "celery"


def _noop(number: int) -> None:
    note(number)


noop = app.task(name="noop", ignore_result=True)(_noop)


class Rival(QueueRival):
    """One producer."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._redis = redis.Redis.from_url(URL)

    def versions(self) -> dict[str, str]:
        """Return the packages' versions."""
        return {name: metadata.version(name) for name in ("celery", "kombu", "redis", "hiredis")}

    def send(self, number: int) -> object:
        """Enqueue one message."""
        return noop.delay(number)

    def send_many(self, numbers: Sequence[int]) -> object:
        """Enqueue many messages with one producer."""
        with app.producer_or_acquire() as producer:
            for number in numbers:
                noop.apply_async((number,), producer=producer)
        return None

    def send_later(self, number: int, seconds: float) -> object:
        """Enqueue one message with a countdown, which its worker holds in memory."""
        return noop.apply_async((number,), countdown=seconds)

    def size(self) -> int:
        """Return how many messages the queue holds."""
        return int(self._redis.llen(_LIST))

    def clear(self) -> object:
        """Empty the queue; what a worker that was killed had not acknowledged goes too, the bindings stay."""
        return self._redis.delete(_LIST, "unacked", "unacked_index")


def serve(setting: str) -> None:
    """Run a worker."""
    best = ["--pool", "solo", "--without-gossip", "--without-mingle", "--without-heartbeat"]
    app.worker_main(["worker", "--loglevel", "ERROR", *(best if setting == "best" else [])])
