"""Cancellation at every step: no canary gets another's reply, no place is lost, nothing is left (FAULTS A02, C04)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from carmine.client._async.client import AsyncClient
from carmine.errors import ConnectTimeout, PoolTimeout, UsageError
from tests.integration.async_shapes import ONCE, SHAPES, alone, cancel_after, client, one, until
from tests.lab.leaks import assert_no_leaks_async, snapshot
from tests.lab.matrix import scaled

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.lab.proxy import FaultProxy
    from tests.lab.servers import RedisServer

pytestmark = pytest.mark.one_server

__all__ = ["client"]


@pytest.mark.asyncio
@pytest.mark.faults
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("warm", [True, False], ids=["warm", "cold"])
async def test_cancel_at_every_step(
    server: RedisServer, protocol: Any, shape: Callable[[AsyncClient[str]], Any], warm: bool
) -> None:
    """FAULTS A02: no canary ever gets another's reply, no place is lost, nothing is left."""
    before = snapshot(server)
    cancelled = 0
    async with AsyncClient(server.url, protocol=protocol, pool_size=1, pool_timeout=5) as client:
        for steps in range(2000):
            if warm:
                await one(client)
            else:
                close_idle(client)
            if not await cancel_after(steps, asyncio.ensure_future(shape(client))):
                break
            cancelled += 1
            await one(client)
        stats = client.pool.stats()
        assert (stats.in_use, stats.waiting, stats.open) == (0, 0, stats.idle)
        await asyncio.gather(*(one(client) for _ in range(20)))
    assert cancelled >= 1
    await assert_no_leaks_async(before, server)


@pytest.mark.asyncio
@pytest.mark.faults
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("size", [1, 4])
async def test_cancel_inside_the_waits(
    proxy: FaultProxy, server: RedisServer, protocol: Any, shape: Callable[[AsyncClient[str]], Any], size: int
) -> None:
    """FAULTS A02 with a slow network: most cancellations strike while a reply is on its way."""
    before = snapshot(server)
    async with AsyncClient(proxy.url(server.url), protocol=protocol, pool_size=size, pool_timeout=5) as client:
        for number in range(scaled(400)):
            if number % 3 == 0:
                close_idle(client)
            proxy.delay["s2c"] = 0.003
            task = asyncio.ensure_future(shape(client))
            await asyncio.sleep(number % 13 * 0.001)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert task.cancelled() or task.exception() is None
            proxy.delay["s2c"] = 0.0
            await asyncio.gather(*(one(client) for _ in range(size)))
        assert client.pool.stats().in_use == 0
        assert client.pool.stats().open <= size
    await assert_no_leaks_async(before, server)


def close_idle(client: AsyncClient[str]) -> None:
    """Let the next call open a connection."""
    for connection in [*client.pool.idle, *client.pool.multiplexer.lines]:
        connection.close()


@pytest.mark.asyncio
@pytest.mark.faults
async def test_cancel_storm(client: AsyncClient[str], server: RedisServer) -> None:
    async def some(number: int) -> None:
        shape = SHAPES[number % 6]
        task: asyncio.Task[Any] = asyncio.ensure_future(shape(client))
        asyncio.get_running_loop().call_later(number % 17 / 4000, task.cancel)
        await asyncio.gather(task, return_exceptions=True)
        if not task.cancelled():
            task.result()

    for start in range(0, scaled(4000), 40):
        await asyncio.gather(*(some(start + offset) for offset in range(40)))
        await one(client)
    stats = client.pool.stats()
    assert (stats.in_use, stats.waiting) == (0, 0)


@pytest.mark.asyncio
async def test_a_cancelled_waiter_in_the_middle_passes_its_turn_on(client: AsyncClient[str]) -> None:
    done: list[int] = []

    async def use(number: int) -> None:
        async with client.connection():
            done.append(number)

    async with client.connection():
        tasks = [asyncio.create_task(use(number)) for number in range(5)]
        await until(lambda: client.pool.stats().waiting == 5, "five waiters")
        tasks[2].cancel()
        await asyncio.sleep(0)
        assert client.pool.stats().waiting == 4
    await asyncio.gather(*tasks, return_exceptions=True)
    assert done == [0, 1, 3, 4]
    assert tasks[2].cancelled()


@pytest.mark.asyncio
@pytest.mark.parametrize("kind", ["connection", "place"])
async def test_a_waiter_cancelled_after_it_was_served(client: AsyncClient[str], kind: str) -> None:
    """The wake-up is under way when the cancellation comes: what was served goes to the next."""
    pool = client.pool
    held = await pool.borrow()
    first, second = asyncio.create_task(alone(client)), asyncio.create_task(alone(client))
    await until(lambda: pool.stats().waiting == 2, "two waiters")
    if kind == "place":
        held.close()
    pool.take_back(held)
    if kind == "place":
        await asyncio.sleep(0)
    assert pool.stats().waiting == 1
    first.cancel()
    async with asyncio.timeout(2):
        with pytest.raises(asyncio.CancelledError):
            await first
        await second
    assert pool.stats().in_use == 0


@pytest.mark.asyncio
async def test_a_late_reply_goes_to_nobody(proxy: FaultProxy, server: RedisServer, protocol: Any) -> None:
    """FAULTS C04: a reply that comes after its caller has left."""
    options: Any = {"protocol": protocol, "pool_size": 1, "read_timeout": 0.15, "retry": ONCE}
    async with AsyncClient(proxy.url(server.url), **options) as client:
        await client.set("secret:alice", "alice")
        await client.set("public:bob", "bob")
        for _ in range(scaled(200)):
            proxy.delay["s2c"] = 0.3
            with pytest.raises((TimeoutError, ConnectTimeout)):
                await client.get("secret:alice")
            proxy.delay["s2c"] = 0.0
            assert await client.get("public:bob") == "bob"


@pytest.mark.asyncio
async def test_timeouts_of_asyncio_itself(client: AsyncClient[str]) -> None:
    for _ in range(5):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await client.blpop("nothing-here", timeout=0)
        await one(client)


@pytest.mark.asyncio
async def test_a_call_inside_another_block_on_a_pool_of_one(url: str) -> None:
    """FAULTS P03: no silent dead-lock."""
    async with AsyncClient(str(url), pool_size=1, pool_timeout=0.05) as client:
        async with client.connection():
            with pytest.raises(PoolTimeout, match="held by: a pinned connection in task"):
                await alone(client)
            await one(client)
        await alone(client)


@pytest.mark.asyncio
async def test_two_tasks_on_one_pinned_connection(client: AsyncClient[str]) -> None:
    async with client.connection() as connection:
        first = asyncio.create_task(connection.blpop("nothing-here", timeout=0.05))
        await asyncio.sleep(0)
        with pytest.raises(UsageError, match="in use by another call"):
            await connection.echo("x")
        assert await first is None
        assert await connection.echo("x") == "x"
