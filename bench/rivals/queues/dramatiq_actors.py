"""Dramatiq: one worker process of 8 threads, as its command starts it for each core."""

from __future__ import annotations

import sys
from importlib import metadata

import dramatiq  # type: ignore[import-not-found]
from dramatiq.brokers.redis import RedisBroker  # type: ignore[import-not-found]
from dramatiq.cli import main  # type: ignore[import-not-found]

from bench.rivals.queues.base import QueueRival
from bench.rivals.queues.place import URL, note

broker = RedisBroker(url=URL)
dramatiq.set_broker(broker)


def _noop(number: int) -> None:
    note(number)


noop = dramatiq.actor(_noop, actor_name="noop")


class Rival(QueueRival):
    """One producer."""

    bulk_size = 0

    def __init__(self, address: tuple[str, int]) -> None:
        broker.client.ping()

    def versions(self) -> dict[str, str]:
        """Return the packages' versions."""
        return {name: metadata.version(name) for name in ("dramatiq", "redis", "hiredis")}

    def send(self, number: int) -> object:
        """Enqueue one message."""
        return noop.send(number)

    def send_later(self, number: int, seconds: float) -> object:
        """Enqueue one message with a delay."""
        return noop.send_with_options(args=(number,), delay=round(seconds * 1000))

    def size(self) -> int:
        """Return how many messages the queue holds."""
        return int(broker.do_qsize(noop.queue_name))

    def clear(self) -> object:
        """Empty the queue."""
        return broker.client.flushdb()


def serve(setting: str) -> None:
    """Run a worker."""
    threads = "32" if setting == "best" else "8"
    sys.argv = ["dramatiq", "bench.rivals.queues.dramatiq_actors", "--processes", "1", "--threads", threads]
    main()
