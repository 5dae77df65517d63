"""SAQ: one worker of 10 tasks; more or fewer of them made it slower."""

from __future__ import annotations

import asyncio
import time
from importlib import metadata

from saq import Queue, Worker  # type: ignore[import-not-found]

from bench.rivals.queues.base import AsyncQueueRival
from bench.rivals.queues.place import URL, note


async def noop(_: dict[str, object], *, number: int) -> None:
    """Handle a message."""
    note(number)


class Rival(AsyncQueueRival):
    """One producer."""

    def __init__(self, address: tuple[str, int]) -> None:
        super().__init__()
        self._queue = Queue.from_url(URL)
        self.loop.run(self._queue.connect())

    def versions(self) -> dict[str, str]:
        """Return the packages' versions."""
        return {name: metadata.version(name) for name in ("saq", "redis", "hiredis")}

    async def sending(self, number: int) -> object:
        """Enqueue one message."""
        return await self._queue.enqueue("noop", number=number)

    async def sending_later(self, number: int, seconds: float) -> object:
        """Enqueue one message that is scheduled."""
        return await self._queue.enqueue("noop", number=number, scheduled=time.time() + seconds)

    def size(self) -> int:
        """Return how many messages the queue holds."""
        return int(self.loop.run(self._queue.count("queued")))

    def clear(self) -> object:
        """Empty the queue."""
        return self.loop.run(self._queue.redis.flushdb())


def serve(setting: str) -> None:
    """Run a worker."""
    asyncio.run(_serve())


async def _serve() -> None:
    await Worker(Queue.from_url(URL), [("noop", noop)]).start()
