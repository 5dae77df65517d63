"""Transactions that several tasks get hold of: none of them gets a connection that nobody knows of."""

# ruff: noqa: PT012 - what raises is the end of a block
from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from carmine.client._async.client import AsyncClient
from carmine.errors import UsageError, WatchError
from tests.integration._async.helpers import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture
async def client(url: str, protocol: int) -> AsyncIterator[AsyncClient[str]]:
    """Give a client whose pool is small."""
    options: Any = {"protocol": protocol, "pool_size": 2, "pool_timeout": 5}
    async with AsyncClient[str](url, **options) as made:
        yield made


@pytest.mark.parametrize("changed", ["a", "b"])
async def test_a_watch_beside_another_is_not_lost(client: AsyncClient[str], changed: str) -> None:
    async def watch(tx: Any, key: str) -> None:
        while True:
            try:
                await tx.now.watch(key)
            except UsageError:  # the connection is in use by the other one
                await asyncio.sleep(0)
            else:
                return

    with pytest.raises(WatchError):
        async with client.transaction() as tx:
            await asyncio.gather(watch(tx, "a"), watch(tx, "b"))
            assert client.pool.stats().in_use == 1
            await client.set(changed, "theirs")
            tx.set("key", "mine")
    assert await client.get("key") is None
    assert client.pool.stats().in_use == 0


async def test_a_block_that_ended_takes_no_connection(client: AsyncClient[str]) -> None:
    tx = client.transaction()
    async with client.connection(), client.connection(), tx:
        late = asyncio.create_task(tx.now.get("key"))
        await until(lambda: client.pool.stats().waiting == 1, "a task that waits for a connection")
    with pytest.raises(UsageError, match="lives in its block"):
        await late
    assert client.pool.stats().in_use == 0
    assert tx.replies == []
