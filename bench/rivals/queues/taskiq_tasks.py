"""taskiq with taskiq-redis's ListQueueBroker (no acknowledgements): one worker process of 100 tasks."""

from __future__ import annotations

import sys
from importlib import metadata

from redis.asyncio import Redis
from taskiq.__main__ import main  # type: ignore[import-not-found]
from taskiq_redis import ListQueueBroker  # type: ignore[import-not-found]

from bench.rivals.queues.base import AsyncQueueRival
from bench.rivals.queues.place import URL, note

NAME = "bench"

broker = ListQueueBroker(URL, queue_name=NAME)


async def _noop(number: int) -> None:
    note(number)


noop = broker.task(task_name="noop")(_noop)


class Rival(AsyncQueueRival):
    """One producer."""

    def __init__(self, address: tuple[str, int]) -> None:
        super().__init__()
        self._redis = Redis.from_url(URL)
        self.loop.run(broker.startup())

    def versions(self) -> dict[str, str]:
        """Return the packages' versions."""
        return {name: metadata.version(name) for name in ("taskiq", "taskiq-redis", "redis", "hiredis")}

    async def sending(self, number: int) -> object:
        """Enqueue one message."""
        return await noop.kiq(number)

    def size(self) -> int:
        """Return how many messages the queue holds."""
        return int(self.loop.run(self._redis.llen(NAME)))

    def clear(self) -> object:
        """Empty the queue."""
        return self.loop.run(self._redis.flushdb())


def serve(setting: str) -> None:
    """Run a worker."""
    prefetch = ["--max-prefetch", "100"] if setting == "best" else []
    sys.argv = ["taskiq", "worker", "bench.rivals.queues.taskiq_tasks:broker", "--workers", "1", *prefetch]
    main()
