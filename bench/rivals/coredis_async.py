"""coredis, an asyncio client."""

from __future__ import annotations

from importlib import metadata
from typing import TYPE_CHECKING

import coredis  # type: ignore[import-not-found]

from bench import data
from bench.rivals.tasks import Loop

if TYPE_CHECKING:
    from bench.rivals.work import Work


class Rival:
    """One client with the package's defaults; it is entered once and lives as long as the worker."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._loop = Loop()
        self._client = self._loop.run(self._open(*address))

    def versions(self) -> dict[str, str]:
        """Return the package's version."""
        return {"coredis": metadata.version("coredis")}

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
        """Leave the connections to the end of the process: the client must be left in the task that entered it."""

    async def _open(self, host: str, port: int) -> coredis.Redis[bytes]:
        client = coredis.Redis(host=host, port=port)
        await client.__aenter__()
        return client

    async def _get(self) -> object:
        return await self._client.get(data.KEY)
