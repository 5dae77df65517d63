"""The queue when the network fails: what was executed is known again by its mid, or by its fence."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from carmine.client._async.client import AsyncClient
from carmine.errors import NetworkError, Outcome, ServerError
from carmine.ext.mq._async.queue import AsyncQueue
from carmine.retry import Retry
from tests.ext.mq._async.helpers import claim, claim_one, drain

if TYPE_CHECKING:
    from tests.lab.proxy import FaultProxy
    from tests.lab.servers import RedisServer

pytestmark = pytest.mark.asyncio


async def test_a_lost_reply_to_enqueue(server: RedisServer, proxy: FaultProxy) -> None:
    """FAULTS Q12: nothing is sent twice; who tries again with the same mid learns that it is there."""
    async with AsyncClient(proxy.url(server.url), retry=Retry(3)) as client:
        queue = AsyncQueue(client, "jobs")
        await queue.enqueue("first")
        proxy.mark()
        proxy.cut_after["s2c"] = 0
        with pytest.raises(NetworkError) as caught:
            await queue.enqueue("v", mid="m")
        assert caught.value.outcome is Outcome.UNKNOWN
        proxy.heal()
        assert (await queue.enqueue("v", mid="m")).error == "already-queued"
        assert len(await drain(queue)) == 2


async def test_a_lost_reply_to_finish(server: RedisServer, proxy: FaultProxy) -> None:
    """FAULTS Q05: it may be sent again; the fence makes that harmless, and tells what became of it."""
    async with AsyncClient(proxy.url(server.url)) as client:
        queue = AsyncQueue(client, "jobs")
        await queue.enqueue("v", mid="m")
        assert await queue.nack(await claim_one(queue))  # the server has the script from now on
        message = await claim_one(queue)
        proxy.mark()
        proxy.cut_after["s2c"] = 0
        with pytest.raises(NetworkError):
            await queue.finish(message)
        proxy.heal()
        assert await queue.message_status("m") == "done-awaiting-gc"
        assert not await queue.finish(message)


async def test_a_lost_reply_to_poll(server: RedisServer, proxy: FaultProxy) -> None:
    """The messages that nobody was told of come again when their leases end, and count as an attempt."""
    async with AsyncClient(proxy.url(server.url)) as client:
        queue = AsyncQueue(client, "jobs")
        now = queue._now = 1_900_000_000_000
        assert await claim(queue) == []  # the server has the script from now on
        await queue.enqueue("v", mid="m")
        proxy.mark()
        proxy.cut_after["s2c"] = 0
        with pytest.raises(NetworkError):
            await queue.poll(default_lease=5)
        proxy.heal()
        assert await claim(queue) == []
        queue._now = now + 5000
        assert (await claim_one(queue)).attempt == 2


async def test_a_queue_drains_when_memory_is_short(server: RedisServer, url: str) -> None:
    """FAULTS Q14: nothing new is taken, half of nothing is done, and what is there can be handled."""
    async with AsyncClient(url) as client:
        queue = AsyncQueue(client, "jobs")
        await queue.enqueue_many(["v"] * 3)
        await queue.bury(await claim_one(queue))
        message = await claim_one(queue)
        server.call("CONFIG", "SET", "maxmemory", "1")
        with pytest.raises(ServerError, match="OOM"):
            await queue.enqueue("v")
        with pytest.raises(ServerError, match="OOM"):
            await queue.enqueue("v", backoff=1)
        assert await message.extend(99)
        assert (await queue.status()).total == 2
        assert await queue.bury(message)
        assert len(await drain(queue)) == 1
        assert await queue.size() == 0


async def test_a_server_that_refuses_writes_leaves_the_queue_whole(server: RedisServer, url: str) -> None:
    """FAULTS Q14: a script that may not write changes nothing at all."""
    async with AsyncClient(url) as client:
        queue = AsyncQueue(client, "jobs")
        await queue.enqueue_many(["v"] * 3)
        message = await claim_one(queue)
        server.call("CONFIG", "SET", "min-replicas-to-write", "1")
        for call in (queue.poll, lambda: queue.enqueue("v"), lambda: queue.finish(message), message.extend):
            with pytest.raises(ServerError, match="NOREPLICAS"):
                await call()
        server.call("CONFIG", "SET", "min-replicas-to-write", "0")
        assert await queue.status() == (2, 1, 0, 0, 0, 3)
        assert await queue.finish(message)
        assert len(await drain(queue)) == 2


async def test_a_message_too_large_for_the_server(server: RedisServer, url: str) -> None:
    """FAULTS Q22."""
    server.call("CONFIG", "SET", "proto-max-bulk-len", "1048576")
    async with AsyncClient(url) as client:
        queue = AsyncQueue(client, "jobs")
        await queue.enqueue("small", mid="m")
        with pytest.raises((ServerError, NetworkError)):
            await queue.enqueue("x" * 2_000_000)
        assert await drain(queue) == [("m", "small")]
