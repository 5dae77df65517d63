"""carmine's AsyncLock, with its defaults; a crowd waits in a loop of its own thread."""

from __future__ import annotations

import asyncio
import threading
import time
from importlib import metadata
from typing import Any

import carmine
import carmine.protocol
from bench.rivals.locks.base import NAME, TTL, LockRival, Release
from bench.rivals.tasks import Loop
from bench.rivals.work import Unavailable
from carmine.ext.locks import AsyncLock


class Rival(LockRival):
    """One client."""

    def __init__(self, address: tuple[str, int]) -> None:
        super().__init__()
        host, port = address
        self._url = f"redis://{host}:{port}/0"
        self._loop = Loop()
        self._client: carmine.AsyncClient[Any] = self._loop.run(self._open())
        self._lock = AsyncLock(self._client, NAME, ttl=TTL)

    def versions(self) -> dict[str, str]:
        """Return the package's version and the twin that was loaded."""
        return {"carmine": metadata.version("carmine-redis"), "twin": carmine.protocol.__impl__}

    def acquire(self) -> Release:
        """Wait for the lock."""
        lease = self._loop.run(self._acquire())
        return lambda: self._loop.run(lease.release())

    def turns(self, count: int) -> None:
        """Acquire and release so many times, in one run of the loop."""

        async def block() -> None:
            for _ in range(count):
                lease = await self._acquire()
                await lease.release()

        self._loop.run(block())

    def take(self) -> int:
        """Wait for it and give it back; return when it was had."""

        async def taking() -> int:
            lease = await self._acquire()
            had = time.monotonic_ns()
            await lease.release()
            return had

        return int(self._loop.run(taking()))

    def exists(self) -> int:
        """Tell whether somebody holds it."""
        return int(self._loop.run(self._client.exists(f"carmine:lock:{NAME}")))

    def crowd(self, count: int) -> None:
        """Have so many tasks wait for it, until this process ends."""
        self._waiting = [None] * count
        threading.Thread(target=lambda: asyncio.run(self._crowd(count)), daemon=True).start()

    async def _crowd(self, count: int) -> None:
        lock = AsyncLock(carmine.AsyncClient(self._url), NAME, ttl=TTL)

        async def wait() -> None:
            try:
                await lock.acquire()
            finally:
                self._waiting.pop()

        await asyncio.gather(*[wait() for _ in range(count)])

    async def _acquire(self) -> Any:
        lease = await self._lock.acquire()
        if lease is None:
            raise Unavailable("it did not wait")
        return lease

    async def _open(self) -> carmine.AsyncClient[Any]:
        # Made inside the loop it will live on.
        return carmine.AsyncClient(self._url)
