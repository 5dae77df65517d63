"""Who waits for a connection of the asyncio pool and is handed a dead one goes on waiting."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from carmine.transport.async_pool import AsyncPool
from carmine.transport.options import Options

if TYPE_CHECKING:
    import pytest

    from carmine.transport.async_connection import AsyncConnection


def test_a_dead_connection_whose_place_is_taken_is_waited_on(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        pool = AsyncPool(Options.build(url, pool_size=1, pool_timeout=10))
        stolen: list[Any] = []

        async def unfit(self: AsyncPool, connection: AsyncConnection, until: float) -> bool:
            connection.close()
            stolen.append(pool._take_place())
            monkeypatch.undo()
            return False

        first = await pool.borrow()
        waiting = asyncio.ensure_future(pool.borrow())
        while not pool.attention:  # noqa: ASYNC110 - the pool's own state, which sets no event
            await asyncio.sleep(0)
        monkeypatch.setattr(AsyncPool, "_is_fit", unfit)
        pool.take_back(first)
        while not stolen:
            await asyncio.sleep(0)
            assert not waiting.done()
        assert stolen[0] is not None
        while not pool.attention:
            await asyncio.sleep(0)
            assert not waiting.done()
        stolen[0].is_free = True
        pool.serve()
        async with asyncio.timeout(10):
            second = await waiting
        assert second.is_usable
        pool.take_back(second)
        await pool.aclose()

    asyncio.run(scenario())
