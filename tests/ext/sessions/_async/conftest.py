"""A client and a store for both worlds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from carmine.client._async.client import AsyncClient
from carmine.ext.sessions._async.store import AsyncSessionStore
from tests.ext.sessions.traffic import Traffic

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Generator

    from tests.lab.servers import RedisServer


@pytest_asyncio.fixture
async def client(url: str) -> AsyncIterator[AsyncClient[Any]]:
    """Give a client of the clean server, which has all scripts: their first call would cost another round trip."""
    async with AsyncClient(url) as made:
        store = AsyncSessionStore(made, "warm", rolling=True)
        id = await store.regenerate(await store.create({"a": 1}))
        assert await store.update(id, {"a": 2})
        assert await store.read(id) == {"a": 2}
        await store.delete(id)
        yield made


@pytest.fixture
def store(client: AsyncClient[Any]) -> AsyncSessionStore:
    """Give a store with its defaults."""
    return AsyncSessionStore(client)


@pytest.fixture
def traffic(server: RedisServer, client: AsyncClient[Any]) -> Generator[Traffic, None, None]:
    """Give what clients say from now on."""
    with Traffic(server) as made:
        yield made
