"""carmine's AsyncQueue, and its AsyncWorker with tasks."""

from __future__ import annotations

import asyncio
from importlib import metadata
from typing import TYPE_CHECKING, Any

import carmine
import carmine.protocol
from bench.rivals.queues.base import BULK, AsyncQueueRival
from bench.rivals.queues.place import URL, note
from carmine.ext.mq import AsyncQueue, AsyncWorker

if TYPE_CHECKING:
    from collections.abc import Sequence

    from carmine.ext.mq import AsyncMessage

NAME = "bench"

#: Handlers at once, where it is at its best.
CONCURRENCY = 64


async def noop(message: AsyncMessage) -> None:
    """Handle a message."""
    note(message.content)


class Rival(AsyncQueueRival):
    """One producer."""

    bulk_size = BULK

    def __init__(self, address: tuple[str, int]) -> None:
        super().__init__()
        self._queue: AsyncQueue = self.loop.run(self._open())

    def versions(self) -> dict[str, str]:
        """Return the package's version and the twin that was loaded."""
        return {"carmine": metadata.version("carmine-redis"), "twin": carmine.protocol.__impl__}

    async def sending(self, number: int) -> object:
        """Enqueue one message."""
        return await self._queue.enqueue(number)

    async def sending_many(self, numbers: Sequence[int]) -> object:
        """Enqueue many messages in one round trip."""
        return await self._queue.enqueue_many(numbers)

    async def sending_later(self, number: int, seconds: float) -> object:
        """Enqueue one message with a backoff."""
        return await self._queue.enqueue(number, backoff=seconds)

    def size(self) -> int:
        """Return how many messages the queue holds."""
        return int(self.loop.run(self._queue.size()))

    def clear(self) -> object:
        """Empty the queue."""
        return self.loop.run(self._queue.clear())

    @staticmethod
    async def _open() -> AsyncQueue:
        # Made inside the loop it will live on.
        client: carmine.AsyncClient[Any] = carmine.AsyncClient(URL)
        return AsyncQueue(client, NAME)


def serve(setting: str) -> None:
    """Run a worker."""
    asyncio.run(_serve(setting == "best"))


async def _serve(best: bool) -> None:
    client: carmine.AsyncClient[Any] = carmine.AsyncClient(URL)
    async with AsyncWorker(client, NAME, noop, concurrency=CONCURRENCY) if best else AsyncWorker(client, NAME, noop):
        await asyncio.Event().wait()
