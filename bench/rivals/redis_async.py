"""redis-py's asyncio client, with hiredis."""

from __future__ import annotations

from typing import TYPE_CHECKING

import hiredis  # type: ignore[import-not-found]
import redis
import redis.asyncio

from bench import data
from bench.rivals.tasks import Loop

if TYPE_CHECKING:
    from bench.rivals.work import Work


class Rival:
    """One client with the package's defaults."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._loop = Loop()
        self._client = self._loop.run(self._open(*address))

    def versions(self) -> dict[str, str]:
        """Return the packages' versions."""
        return {"redis": redis.__version__, "hiredis": hiredis.__version__}

    def get_1(self) -> Work:
        """One GET at a time."""
        return self._loop.one_by_one(self._get)

    def get_50(self) -> Work:
        """50 GETs at once."""
        return self._loop.at_once(self._get, 50)

    def get_5000(self) -> Work:
        """5,000 GETs at once."""
        return self._loop.at_once(self._get, 5000)

    def close(self) -> None:
        """Close the client."""
        self._loop.run(self._client.aclose())

    async def _open(self, host: str, port: int) -> redis.asyncio.Redis:
        return redis.asyncio.Redis(host=host, port=port)

    async def _get(self) -> object:
        return await self._client.get(data.KEY)
