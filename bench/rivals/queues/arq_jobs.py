"""arq: polls each half second by default; at its best it polls each 10 ms, 500 jobs at once, and keeps no results."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from importlib import metadata
from typing import Any

from arq import create_pool  # type: ignore[import-not-found]
from arq.connections import RedisSettings  # type: ignore[import-not-found]
from arq.worker import Worker  # type: ignore[import-not-found]

from bench.rivals.queues.base import AsyncQueueRival
from bench.rivals.queues.place import URL, note

_BEST: dict[str, Any] = {"max_jobs": 500, "poll_delay": 0.01, "keep_result": 0}


async def noop(_: dict[str, object], number: int) -> None:
    """Handle a message."""
    note(number)


class Rival(AsyncQueueRival):
    """One producer."""

    def __init__(self, address: tuple[str, int]) -> None:
        super().__init__()
        self._pool = self.loop.run(create_pool(RedisSettings.from_dsn(URL)))

    def versions(self) -> dict[str, str]:
        """Return the packages' versions."""
        return {name: metadata.version(name) for name in ("arq", "redis", "hiredis")}

    async def sending(self, number: int) -> object:
        """Enqueue one message."""
        return await self._pool.enqueue_job("noop", number)

    async def sending_later(self, number: int, seconds: float) -> object:
        """Enqueue one message that is deferred."""
        return await self._pool.enqueue_job("noop", number, _defer_by=timedelta(seconds=seconds))

    def size(self) -> int:
        """Return how many messages the queue holds."""
        return int(self.loop.run(self._pool.zcard("arq:queue")))

    def clear(self) -> object:
        """Empty the queue."""
        return self.loop.run(self._pool.flushdb())


def serve(setting: str) -> None:
    """Run a worker."""
    asyncio.set_event_loop(asyncio.new_event_loop())
    Worker([noop], redis_settings=RedisSettings.from_dsn(URL), **(_BEST if setting == "best" else {})).run()
