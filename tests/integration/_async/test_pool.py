"""The pool: bounds, order of waiters, checks, ages, and an honest account of itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from carmine._bridge import aio
from carmine.client._async.client import AsyncClient
from carmine.errors import ConnectFailed, ConnectionLost, PoolClosed, PoolTimeout
from carmine.retry import Retry
from tests.integration._async.helpers import alone, until
from tests.lab.clock import within

if TYPE_CHECKING:
    from tests.integration._async.conftest import Open
    from tests.lab.proxy import FaultProxy
    from tests.lab.servers import RedisServer

pytestmark = pytest.mark.asyncio


async def test_an_exhausted_pool(open_client: Open) -> None:
    client = open_client(pool_size=2, pool_timeout=0.05)
    async with client.connection() as one, client.transaction("k") as tx:
        await one.echo("x")
        with within(0.05, 0.05), pytest.raises(PoolTimeout) as caught:
            await alone(client, "GET", "key")
        await tx.now.get("k")
    told = str(caught.value)
    assert "2 of 2 are in use" in told
    assert "a pinned connection in" in told
    assert "a transaction in" in told
    assert client.pool.stats().timeouts == 1
    assert await alone(client, "GET", "key") is None, "the pool did not recover"


async def test_who_waits_longest_is_served_first(open_client: Open) -> None:
    client = open_client(pool_size=1, pool_timeout=10)
    order: list[int] = []

    async def use(number: int) -> None:
        async with client.connection():
            order.append(number)

    async with client.connection():
        jobs = []
        for number in range(6):
            jobs.append(aio.spawn(use, number))
            await until(lambda: client.pool.stats().waiting == len(jobs), "the caller in the queue")
    for job in jobs:
        await job.join(10)
    assert order == [0, 1, 2, 3, 4, 5]
    assert client.pool.stats().opened == 1


async def test_never_more_connections_than_pool_size(open_client: Open, server: RedisServer) -> None:
    client = open_client(pool_size=3, pool_timeout=20)

    async def use(number: int) -> None:
        for step in range(20):
            token = f"{number}-{step}"
            assert await client.echo(token) == token

    jobs = [aio.spawn(use, number) for number in range(12)]
    for job in jobs:
        await job.join(20)
    assert client.pool.stats().opened <= 3
    assert len(server.clients()) <= 3


async def test_closing_ends_who_waits_and_who_works(url: str, server: RedisServer) -> None:
    client = AsyncClient(url, pool_size=1, pool_timeout=30)

    async def block() -> Any:
        return await client.blpop("list", timeout=0)

    working, waiting = aio.spawn(block), None
    await until(lambda: client.pool.stats().in_use == 1 and server.info("clients")["blocked_clients"] == "1", "BLPOP")
    waiting = aio.spawn(alone, client, "GET", "key")
    await until(lambda: client.pool.stats().waiting == 1, "the caller in the queue")
    await client.aclose()
    with pytest.raises(ConnectionLost):
        await working.join(5)
    with pytest.raises(PoolClosed):
        await waiting.join(5)
    server.wait_clients(0)
    assert client.pool.stats().in_use == 0


@pytest.mark.parametrize("shape", ["single", "pipeline"])
async def test_closing_is_what_ends_a_read_under_way(
    open_client: Open, proxy: FaultProxy, server: RedisServer, shape: str
) -> None:
    """It would be tried again, were the client not closed: what it hears of is the connection."""
    client = open_client(proxy.url(server.url))

    async def read() -> Any:
        if shape == "single":
            return await client.get("key")
        async with client.pipeline() as pipeline:
            pipeline.get("key")
        return pipeline.replies

    await read()
    proxy.mark()
    proxy.hold("s2c")
    reading = aio.spawn(read)
    await until(lambda: proxy.passed["c2s"] > 0, "the request")
    await client.aclose()
    with pytest.raises(ConnectionLost):
        await reading.join(5)


async def test_without_pooling_each_use_has_its_own_connection(open_client: Open, server: RedisServer) -> None:
    client = open_client(pool_size=0)
    assert await alone(client, "CLIENT", "ID") != await alone(client, "CLIENT", "ID")
    stats = client.pool.stats()
    assert (stats.size, stats.open, stats.idle, stats.opened) == (0, 0, 0, 2)
    async with client.connection(), client.connection(), client.connection():
        assert client.pool.stats().open == 3


async def test_idle_connections_are_kept_up_to_max_idle(open_client: Open) -> None:
    client = open_client(max_idle=1)
    async with client.connection(), client.connection(), client.connection():
        pass
    stats = client.pool.stats()
    assert (stats.opened, stats.open, stats.idle) == (3, 1, 1)


async def test_min_idle_is_opened_beside_the_first(open_client: Open, server: RedisServer) -> None:
    client = open_client(min_idle=3)
    assert await alone(client, "ECHO", "x") == "x"
    assert client.pool.stats().open >= 3
    async with client.connection(), client.connection(), client.connection():
        assert client.pool.stats().open == client.pool.stats().opened


async def test_the_last_used_is_used_first(open_client: Open) -> None:
    client = open_client()
    async with client.connection() as one, client.connection() as two:
        first, second = await one.client_id(), await two.client_id()
    assert {await alone(client, "CLIENT", "ID") for _ in range(5)} == {first}
    assert first != second


async def test_a_connection_past_its_lifetime_is_replaced(open_client: Open) -> None:
    client = open_client(max_lifetime=0.05)
    first, shared = await alone(client, "CLIENT", "ID"), await client.client_id()
    await aio.sleep(0.06)
    assert await alone(client, "CLIENT", "ID") != first
    assert client.pool.stats().open == 1
    await client.echo("the one that is too old takes this as its last")
    assert await client.client_id() not in (first, shared)


async def test_a_connection_idle_for_too_long_is_not_used(open_client: Open) -> None:
    client = open_client(max_idle_time=0.05)
    first, shared = await alone(client, "CLIENT", "ID"), await client.client_id()
    await aio.sleep(0.06)
    assert await client.client_id() not in (first, shared)
    assert await alone(client, "CLIENT", "ID") not in (first, shared)


@pytest.mark.parametrize("check", ["borrow", "return"])
async def test_checks_ask_the_server(open_client: Open, proxy: FaultProxy, server: RedisServer, check: str) -> None:
    client = open_client(proxy.url(server.url), check=(check,))
    for _ in range(3):
        await alone(client, "ECHO", "x")
    assert sum(command[0] == b"PING" for command in proxy.commands()) >= 2
    assert client.pool.stats().opened == 1


@pytest.mark.parametrize("check", ["idle", "borrow"])
async def test_connections_that_died_idle_are_replaced_unseen(
    open_client: Open, server: RedisServer, check: str
) -> None:
    client = open_client(check=(check,), retry=Retry(1))
    async with client.connection() as one, client.connection() as two:
        await one.echo("x")
        await two.echo("x")
    server.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    await aio.sleep(0.002)  # "idle" looks at what was not used for a millisecond
    for _ in range(3):
        assert await client.incr("n")
    assert await client.get("n") == "3"


async def test_a_server_that_is_not_there_takes_no_place(open_client: Open, proxy: FaultProxy) -> None:
    proxy.refuse()
    client = open_client(f"redis://127.0.0.1:{proxy.port}", pool_size=1, retry=Retry(1))
    for _ in range(3):
        with pytest.raises(ConnectFailed, match="Connection refused"):
            await client.get("key")
    assert client.pool.stats().open == 0
    proxy.refuse(False)
    assert await client.get("key") is None


async def test_a_waiter_takes_the_place_of_a_connection_that_was_lost(open_client: Open, server: RedisServer) -> None:
    client = open_client(pool_size=1, pool_timeout=10)
    async with client.connection() as connection:
        job = aio.spawn(alone, client, "ECHO", "x")
        await until(lambda: client.pool.stats().waiting == 1, "the caller in the queue")
        await connection.select(1)  # so that it is closed at the end
    assert await job.join(10) == "x"
    assert client.pool.stats().opened == 2


async def test_a_connection_beside_the_pool(open_client: Open, server: RedisServer) -> None:
    """It takes no place, comes back to nobody, and ends with the pool."""
    client = open_client(pool_size=1, pool_timeout=0.05)
    beside = await client.pool.open_beside()
    assert await beside.execute((b"PING",), True) == "PONG"
    assert await alone(client, "PING") == "PONG", "the only place is free"
    stats = client.pool.stats()
    assert (stats.open, stats.in_use, stats.opened) == (1, 0, 2)
    await client.aclose()
    assert not beside.is_usable
    with pytest.raises(PoolClosed):
        await client.pool.open_beside()
    server.wait_clients(0)
