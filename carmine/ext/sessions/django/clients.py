"""The clients of this process: one for its threads, and one for each event loop that is running.

An AsyncClient belongs to one loop. A server has one loop for all its life; where a blocking server runs asynchronous
views, each of them has a loop of its own, which ends with it. So a client is made at a loop's first session and closed
when that loop ends: a loop closes the asynchronous generators that were begun in it while it can still wait.

Knows nothing of sessions or of Django. Invariants: a client is used in its own loop alone; what is made here is closed
here, what the project gives is the project's to close.
"""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from carmine import AsyncClient, Client

__all__ = ["Clients"]


class Clients:
    """Makes clients when they are first asked for.

    Args:
        make: Makes the client of the threads.
        make_async: Makes a client for the loop that is running.
        is_ours: Whether the clients are to be closed here, and those of the loops kept until then; False where the
            project hands out its own.
    """

    __slots__ = ("_by_loop", "_client", "_is_ours", "_lock", "_make", "_make_async")

    def __init__(
        self, make: Callable[[], Client[Any]], make_async: Callable[[], AsyncClient[Any]], *, is_ours: bool
    ) -> None:
        self._make = make
        self._make_async = make_async
        self._is_ours = is_ours
        self._lock = threading.Lock()
        self._client: Client[Any] | None = None
        self._by_loop: dict[asyncio.AbstractEventLoop, tuple[AsyncClient[Any], AsyncGenerator[None, None]]] = {}

    def of_threads(self) -> Client[Any]:
        """Return the blocking client."""
        client = self._client
        if client is None:
            with self._lock:
                client = self._client = self._client or self._make()
        return client

    async def of_this_loop(self) -> AsyncClient[Any]:
        """Return the client of the loop that is running."""
        if not self._is_ours:
            return self._make_async()
        loop = asyncio.get_running_loop()
        kept = self._by_loop.get(loop)
        if kept is None:
            client = self._make_async()
            guard = self._until_the_end(loop, client)
            with self._lock:  # loops of other threads come and go meanwhile
                for ended in [one for one in self._by_loop if one.is_closed()]:
                    del self._by_loop[ended]
                kept = self._by_loop[loop] = (client, guard)
            await anext(guard)
        return kept[0]

    def close(self) -> None:
        """Close the blocking client, if it was made here; those of the loops are closed when these end."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None and self._is_ours:
            client.close()

    def count(self) -> int:
        """Return how many loops have a client."""
        return len(self._by_loop)

    async def _until_the_end(
        self, loop: asyncio.AbstractEventLoop, client: AsyncClient[Any]
    ) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            with self._lock:
                self._by_loop.pop(loop, None)
            await client.aclose()
