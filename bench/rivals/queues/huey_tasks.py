"""Huey: one consumer thread by default, two at its best."""

from __future__ import annotations

from importlib import metadata

from huey import RedisHuey  # type: ignore[import-not-found]

from bench.rivals.queues.base import QueueRival
from bench.rivals.queues.place import URL, note

huey = RedisHuey("bench", url=URL)


def _noop(number: int) -> None:
    note(number)


noop = huey.task(name="noop")(_noop)


class Rival(QueueRival):
    """One producer."""

    bulk_size = 0

    def __init__(self, address: tuple[str, int]) -> None:
        huey.storage.conn.ping()

    def versions(self) -> dict[str, str]:
        """Return the packages' versions."""
        return {name: metadata.version(name) for name in ("huey", "redis", "hiredis")}

    def send(self, number: int) -> object:
        """Enqueue one message."""
        return noop(number)

    def send_later(self, number: int, seconds: float) -> object:
        """Enqueue one message with a delay."""
        return noop.schedule((number,), delay=seconds)

    def size(self) -> int:
        """Return how many messages the queue holds."""
        return len(huey)

    def clear(self) -> object:
        """Empty the queue."""
        return huey.storage.conn.flushdb()


def serve(setting: str) -> None:
    """Run a worker."""
    huey.create_consumer(workers=2 if setting == "best" else 1).run()
