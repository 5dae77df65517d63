"""Clients and stores for the middlewares' tests; those of the store itself have their own, in both worlds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

import carmine
from carmine.ext.sessions import AsyncSessionStore, SessionStore
from tests.ext.sessions.traffic import Traffic

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from tests.lab.servers import RedisServer


@pytest.fixture
def client(url: str) -> Iterator[carmine.Client[str]]:
    """Give a client of the clean server, which has all scripts: their first call would cost another round trip."""
    with carmine.Client(url) as made:
        store = SessionStore(made, "warm", rolling=True)
        id = store.regenerate(store.create({}))
        store.update(id, {})
        store.read(id)
        store.delete(id)
        yield made


@pytest.fixture
def store(client: carmine.Client[str]) -> SessionStore:
    """Give a store whose sessions last for ten minutes."""
    return SessionStore(client, ttl=600)


@pytest_asyncio.fixture
async def async_client(url: str, client: carmine.Client[str]) -> AsyncIterator[carmine.AsyncClient[str]]:
    """Give a client of the same server."""
    async with carmine.AsyncClient(url) as made:
        yield made


@pytest.fixture
def async_store(async_client: carmine.AsyncClient[str]) -> AsyncSessionStore:
    """Give the same store for asyncio."""
    return AsyncSessionStore(async_client, ttl=600)


@pytest.fixture
def traffic(server: RedisServer, client: carmine.Client[str]) -> Iterator[Traffic]:
    """Give what clients say from now on."""
    with Traffic(server) as made:
        yield made
