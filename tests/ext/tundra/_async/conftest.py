"""A client, a datastore in memory and a store over both, for both worlds."""

from __future__ import annotations

from collections.abc import AsyncIterator  # noqa: TC003 - as in the tests of integration
from typing import Any

import pytest
import pytest_asyncio

from carmine.client._async.client import AsyncClient
from carmine.ext.tundra._async.store import AsyncTundraStore
from tests.ext.tundra.stores import MAC_KEY, MemoryStore


@pytest_asyncio.fixture
async def client(url: str) -> AsyncIterator[AsyncClient[Any]]:
    """Give a client of the clean server."""
    async with AsyncClient(url) as made:
        yield made


@pytest.fixture
def memory() -> MemoryStore:
    """Give the datastore."""
    return MemoryStore()


@pytest.fixture
def store(client: AsyncClient[Any], memory: MemoryStore) -> AsyncTundraStore:
    """Give a store without a time of its own."""
    return AsyncTundraStore(client, memory, mac_keys=MAC_KEY)


@pytest.fixture
def lending(client: AsyncClient[Any], memory: MemoryStore) -> AsyncTundraStore:
    """Give a store that lends a minute."""
    return AsyncTundraStore(client, memory, mac_keys=MAC_KEY, redis_ttl=60, allow_short_ttl=True)
