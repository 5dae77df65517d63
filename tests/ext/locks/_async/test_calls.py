"""The ancestor's four calls, and its keys."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from carmine.errors import UsageError
from carmine.ext.locks import AsyncLock, LeaseLost, Locked
from carmine.ext.locks._async.calls import acquire_lock, have_lock, release_lock, with_lock
from tests.ext.locks._async.helpers import KEY, left_of, token_in, until

if TYPE_CHECKING:
    from carmine.client._async.client import AsyncClient
    from tests.lab.servers import RedisServer

pytestmark = pytest.mark.asyncio

ANCESTORS = "5ad6b8a5-4d31-4c8f-9d1c-0a4c7f6e2b11"
"""As the ancestor writes its tokens."""


async def test_acquire_have_release(client: AsyncClient[Any], server: RedisServer) -> None:
    token = await acquire_lock(client, "a", 5, 0)
    assert token is not None
    assert token_in(server, "a") == token
    assert 4000 < left_of(server, "a") <= 5000
    assert await have_lock(client, "a", token)
    assert not await have_lock(client, "a", "other")
    assert not await have_lock(client, "b", token)
    assert await acquire_lock(client, "a", 5, 0) is None
    assert not await release_lock(client, "a", "other")
    assert await release_lock(client, "a", token)
    assert not await release_lock(client, "a", token)
    assert not await have_lock(client, "a", token)


async def test_both_libraries_exclude_each_other(client: AsyncClient[Any], server: RedisServer) -> None:
    """A plain string with PX under the same key."""
    assert server.call("SET", KEY + "a", ANCESTORS, "NX", "PX", 300) == b"OK"
    assert await acquire_lock(client, "a", 5, 0) is None
    assert await have_lock(client, "a", ANCESTORS)
    began = time.monotonic()
    token = await acquire_lock(client, "a", 5, 3)
    assert token is not None
    assert time.monotonic() - began < 1
    assert server.call("SET", KEY + "a", ANCESTORS, "NX", "PX", 300) is None
    assert await release_lock(client, "a", token)
    assert server.call("SET", KEY + "a", ANCESTORS, "NX", "PX", 5000) == b"OK"
    assert await release_lock(client, "a", ANCESTORS)
    lease = await AsyncLock(client, "a", wait=0).acquire()
    assert lease is not None
    assert await release_lock(client, "a", lease.token), "a lease's token is as good"
    assert not await lease.release()


async def test_with_lock(client: AsyncClient[Any], server: RedisServer) -> None:
    held: list[str | None] = []

    async def work() -> int:
        held.append(token_in(server, "a"))
        return 7

    assert await with_lock(client, "a", 5, 0, work) == Locked(7)
    assert held != [None]
    assert token_in(server, "a") is None
    server.call("SET", KEY + "a", ANCESTORS)
    assert await with_lock(client, "a", 5, 0, work) is None
    assert len(held) == 1


async def test_with_lock_that_ran_out(client: AsyncClient[Any], server: RedisServer) -> None:
    """It tells; and what the function itself raises comes first, which the ancestor hides."""

    async def work() -> None:
        await until(lambda: token_in(server, "a") is None, "the end of the lease")

    async def fail() -> None:
        await work()
        raise KeyError("mine")

    with pytest.raises(LeaseLost):
        await with_lock(client, "a", 0.05, 0, work)
    with pytest.raises(KeyError) as caught:
        await with_lock(client, "a", 0.05, 0, fail)
    assert caught.value.__notes__ == ["the lease had been lost before the lock was to be given back"]


@pytest.mark.parametrize("token", [None, "", 7])
async def test_odd_tokens(client: AsyncClient[Any], token: Any) -> None:
    with pytest.raises(UsageError, match="a token"):
        await release_lock(client, "a", token)
    with pytest.raises(UsageError, match="a token"):
        await have_lock(client, "a", token)
