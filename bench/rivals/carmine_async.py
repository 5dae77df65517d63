"""carmine's asyncio client, driven through its public names."""

from __future__ import annotations

from importlib import metadata
from typing import TYPE_CHECKING, Any

import carmine
import carmine.protocol
from bench import data
from bench.rivals.tasks import Loop
from bench.rivals.work import Unavailable, Work

if TYPE_CHECKING:
    from collections.abc import Callable


class Rival:
    """One client with bytes replies."""

    def __init__(self, address: tuple[str, int]) -> None:
        make = getattr(carmine, "AsyncClient", None)
        if make is None:
            raise Unavailable("carmine.AsyncClient does not exist yet")
        host, port = address
        self._loop = Loop()
        self._client: Any = self._loop.run(self._open(make, f"redis://{host}:{port}/0"))

    def versions(self) -> dict[str, str]:
        """Return the package's version and the twin that was loaded."""
        return {"carmine": metadata.version("carmine-redis"), "twin": carmine.protocol.__impl__}

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

    @staticmethod
    async def _open(make: Callable[..., Any], url: str) -> Any:
        # Made inside the loop it will live on.
        return make(url, decode=False)

    async def _get(self) -> object:
        return await self._client.get(data.KEY)
