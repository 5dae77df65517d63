"""Scripts and walks whose caller is cancelled: none runs twice, a walk goes on (FAULTS A01, A02, S07)."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, Any

import pytest

from carmine.client._async.client import AsyncClient
from tests.integration.async_shapes import cancel_after, client, one
from tests.lab.leaks import assert_no_leaks_async, snapshot
from tests.lab.matrix import scaled

if TYPE_CHECKING:
    from collections.abc import Callable

    from carmine.client._async.script import AsyncScript
    from tests.lab.proxy import FaultProxy
    from tests.lab.servers import RedisServer

    Shape = Callable[[AsyncClient[str], AsyncScript[int], str], Any]

__all__ = ["client"]

pytestmark = [pytest.mark.asyncio, pytest.mark.faults]

COUNT = "return redis.call('INCR', KEYS[1])"


async def called(client: AsyncClient[str], count: AsyncScript[int], key: str) -> None:
    assert await count(key) == 1


async def by_name(client: AsyncClient[str], count: AsyncScript[int], key: str) -> None:
    assert await client.lua("return redis.call('INCR', _:key)", {"key": key}) == 1


async def in_a_pipeline(client: AsyncClient[str], count: AsyncScript[int], key: str) -> None:
    async with client.pipeline() as pipeline:
        reply, other = count.queue(pipeline, key), count.queue(pipeline, f"{key}-other")
        pipeline.echo(key)
    assert (reply.value, other.value, pipeline.replies[2]) == (1, 1, key)


async def in_a_transaction(client: AsyncClient[str], count: AsyncScript[int], key: str) -> None:
    async with client.transaction(f"{key}-watched") as tx:
        assert await count(f"{key}-now", on=tx.now) == 1
        reply = count.queue(tx, key)
    assert reply.value == 1


async def on_a_pinned_connection(client: AsyncClient[str], count: AsyncScript[int], key: str) -> None:
    async with client.connection() as connection:
        assert await count(key, on=connection) == 1


SHAPES: list[Shape] = [called, by_name, in_a_pipeline, in_a_transaction, on_a_pinned_connection]


@pytest.mark.parametrize("shape", SHAPES)
async def test_cancel_at_every_step(server: RedisServer, protocol: Any, shape: Shape) -> None:
    """FAULTS A02, between EVALSHA and EVAL too: at most once, no reply to the wrong caller, nothing left."""
    before = snapshot(server)
    cancelled = 0
    async with AsyncClient(server.url, protocol=protocol, pool_size=1, pool_timeout=5) as client:
        count = client.script(COUNT)
        for steps in range(2000):
            await client.script_flush()
            key = f"key-{steps}"
            ended = not await cancel_after(steps, asyncio.ensure_future(shape(client, count, key)))
            await one(client)
            assert await client.get(key) in (("1",) if ended else (None, "1"))
            if ended:
                break
            cancelled += 1
        stats = client.pool.stats()
        assert (stats.in_use, stats.waiting) == (0, 0)
    assert cancelled >= 2, "nothing was cancelled"
    await assert_no_leaks_async(before, server)


@pytest.mark.parametrize("shape", SHAPES)
async def test_cancel_on_a_slow_network(proxy: FaultProxy, server: RedisServer, protocol: Any, shape: Shape) -> None:
    """FAULTS A01: between the sending and the reply, of the hash and of the text."""
    before = snapshot(server)
    async with AsyncClient(proxy.url(server.url), protocol=protocol, pool_size=2, pool_timeout=5) as client:
        count = client.script(COUNT)
        await one(client)
        for number in range(scaled(400)):
            await client.script_flush()
            proxy.delay["s2c"] = 0.003
            key = f"key-{number}"
            task = asyncio.ensure_future(shape(client, count, key))
            asyncio.get_running_loop().call_later(number % 13 * 0.001, task.cancel)
            await asyncio.gather(task, return_exceptions=True)
            assert task.cancelled() or task.exception() is None
            proxy.delay["s2c"] = 0.0
            await asyncio.gather(one(client), one(client))
            assert await client.get(key) in ((None, "1") if task.cancelled() else ("1",))
        assert client.pool.stats().in_use == 0
    await assert_no_leaks_async(before, server)


async def test_one_script_of_many_tasks_that_are_cancelled(client: AsyncClient[str]) -> None:
    """FAULTS A01, S07: in a storm of cancellations and flushes the counter counts what ran, and the rest may have."""
    count = client.script("return redis.call('INCRBY', KEYS[1], ARGV[1])")
    echo = client.script("return ARGV[1]")
    tokens = itertools.count()
    done = 0

    async def some(number: int) -> None:
        nonlocal done
        token = f"tok-{next(tokens)}"
        assert await echo(args=token) == token
        await count("n", 1)
        done += 1

    started = 0
    for start in range(0, scaled(4000), 40):
        jobs = [asyncio.ensure_future(some(start + offset)) for offset in range(40)]
        for number, job in enumerate(jobs[::2]):
            asyncio.get_running_loop().call_later(number % 17 / 4000, job.cancel)
        await client.script_flush()
        for job, outcome in zip(jobs, await asyncio.gather(*jobs, return_exceptions=True), strict=True):
            assert job.cancelled() or outcome is None, outcome
        started += len(jobs)
    await one(client)
    assert done <= int(await client.get("n") or 0) <= started
    assert done >= started // 2


async def test_a_walk_whose_caller_was_cancelled_goes_on(proxy: FaultProxy, server: RedisServer, protocol: Any) -> None:
    """FAULTS A02: a cancelled step loses nothing; a generator would have ended in silence."""
    async with AsyncClient(proxy.url(server.url), protocol=protocol) as client:
        wanted = {f"key:{number}" for number in range(300)}
        await client.mset(dict.fromkeys(wanted, 1))
        walk = client.scan_iter(count=20)
        found, cancelled = set(), 0
        for turn in itertools.count():
            if turn % 2 == 0:
                proxy.hold("s2c")
            step = asyncio.ensure_future(anext(walk))
            if turn % 2 == 0:
                asyncio.get_running_loop().call_later(0.0005, step.cancel)
            try:
                found.add(await step)
            except asyncio.CancelledError:
                cancelled += 1
            except StopAsyncIteration:
                break
            finally:
                proxy.release()
        assert found == wanted
        assert cancelled >= 3, "nothing was cancelled"
        await one(client)
