"""Subscribers that are cancelled at any await (FAULTS.md A02): asyncio's own, so in one world only."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from carmine.client._async.client import AsyncClient
from carmine.client.subscriptions import Message, Reconnected
from carmine.retry import Retry
from tests.integration.async_shapes import cancel_after, until
from tests.lab.leaks import assert_no_leaks_async, snapshot
from tests.lab.matrix import scaled

if TYPE_CHECKING:
    from tests.lab.proxy import FaultProxy
    from tests.lab.servers import RedisServer

pytestmark = [pytest.mark.faults, pytest.mark.asyncio]

PATIENCE = 10.0


async def canaries(client: AsyncClient[str]) -> None:
    for index in range(5):
        assert await client.echo(f"canary-{index}") == f"canary-{index}"
    assert client.pool.stats().in_use == 0


async def test_subscribing_is_cancelled_at_every_step(server: RedisServer, protocol: Any) -> None:
    """Opening the connection, writing, waiting: afterwards the pub/sub is as good as new."""
    before = snapshot(server)
    async with AsyncClient(server.url, protocol=protocol, pool_size=1, pool_timeout=5) as client:
        for steps in range(60):
            async with client.pubsub() as pubsub:
                finished = not await cancel_after(steps, asyncio.ensure_future(pubsub.subscribe("a")))
                await pubsub.subscribe("b")
                assert "b" in pubsub.channels
                assert server.call("PUBLISH", "b", "x") == 1
                assert await pubsub.next_message(PATIENCE) == Message("message", None, "b", "x")
            await canaries(client)
            if finished:
                break
        else:
            pytest.fail("subscribing never ended within 60 steps")
    await assert_no_leaks_async(before, server)


async def test_no_message_is_lost_with_a_cancelled_reader(server: RedisServer, protocol: Any) -> None:
    async with AsyncClient(server.url, protocol=protocol) as client:
        async with client.pubsub() as pubsub:
            await pubsub.subscribe("a")
            got: list[Any] = []

            async def read() -> None:
                message = await pubsub.next_message()
                got.append(message)  # no await between taking and keeping

            for index in range(scaled(4000)):
                if index % 3:
                    server.call("PUBLISH", "a", str(index))
                await cancel_after(index % 7, asyncio.ensure_future(read()))
            while message := await pubsub.next_message(0.1):
                got.append(message)
            assert [int(message.payload) for message in got] == [n for n in range(scaled(4000)) if n % 3]
        await canaries(client)


async def test_a_reader_is_cancelled_while_it_reconnects(server: RedisServer, proxy: FaultProxy, protocol: Any) -> None:
    """At every step of the way back: the next reader goes on, and the gap is marked once."""
    before = snapshot(server)
    retry = Retry(3, base=0.001, cap=0.005)
    async with AsyncClient(proxy.url(server.url), protocol=protocol, pool_size=1, retry=retry) as client:
        for steps in range(80):
            async with client.pubsub() as pubsub:
                await pubsub.subscribe("a")
                proxy.kill()
                proxy.wait_open(0)
                task = asyncio.ensure_future(pubsub.next_message())
                finished = not await cancel_after(steps, task)
                if not finished:
                    assert isinstance(await pubsub.next_message(PATIENCE), Reconnected)
                assert server.call("PUBLISH", "a", "x") == 1
                assert await pubsub.next_message(PATIENCE) == Message("message", None, "a", "x")
                assert await pubsub.next_message(0) is None
            await canaries(client)
            if finished:
                break
    await assert_no_leaks_async(before, server)


async def test_closing_is_cancelled(server: RedisServer, protocol: Any) -> None:
    before = snapshot(server)
    async with AsyncClient(server.url, protocol=protocol, pool_size=1, pool_timeout=5) as client:
        for steps in range(10):
            pubsub = client.pubsub()
            await pubsub.subscribe("a")
            await cancel_after(steps, asyncio.ensure_future(pubsub.aclose()))
            await pubsub.aclose()
            await canaries(client)
    await assert_no_leaks_async(before, server)


async def test_a_listener_ends_with_its_loop(server: RedisServer, protocol: Any) -> None:
    """Its task is cancelled with the others: it gives back what it has, and says nothing."""
    before = snapshot(server)
    seen: list[Any] = []
    async with AsyncClient(server.url, protocol=protocol, pool_size=1, pool_timeout=5) as client:
        listener = client.listener(lambda message, state: seen.append(message))
        await listener.subscribe("a")
        [task] = [task for task in asyncio.all_tasks() if "_run" in repr(task.get_coro()) and "Listener" in repr(task)]
        await until(lambda: bool(seen), "the confirmation")
        task.cancel()
        await listener.aclose()
        assert listener.status == "closed"
        assert [message.kind for message in seen] == ["subscribe"]
        await canaries(client)
    await assert_no_leaks_async(before, server)
