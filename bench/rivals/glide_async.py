"""valkey-glide's asyncio client."""

from __future__ import annotations

from importlib import metadata
from typing import TYPE_CHECKING

import glide  # type: ignore[import-not-found]

from bench import data
from bench.rivals.tasks import Loop

if TYPE_CHECKING:
    from bench.rivals.work import Work


class Rival:
    """One client with the package's defaults, but for the request timeout and the limit on calls under way."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._loop = Loop()
        self._client = self._loop.run(self._open(*address))

    def versions(self) -> dict[str, str]:
        """Return the package's version."""
        return {"valkey-glide": metadata.version("valkey-glide")}

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
        self._loop.run(self._client.close())

    async def _open(self, host: str, port: int) -> glide.GlideClient:
        nodes = [glide.NodeAddress(host, port)]
        return await glide.GlideClient.create(
            glide.GlideClientConfiguration(nodes, request_timeout=60_000, inflight_requests_limit=10_000)
        )

    async def _get(self) -> object:
        return await self._client.get(data.KEY)
