"""Workers and servers that forget, cut, stall and are slow: each message is handled, and no hand is lost."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator  # noqa: TC003 - as in the tests of integration
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from carmine._bridge import aio
from carmine.client._async.client import AsyncClient
from carmine.ext.mq._async.queue import AsyncQueue
from carmine.ext.mq._async.worker import AsyncWorker
from tests.ext.mq._async.helpers import until, until_asleep, until_status
from tests.lab.matrix import scaled

if TYPE_CHECKING:
    from carmine.ext.mq._async.message import AsyncMessage
    from tests.lab.proxy import Direction, FaultProxy
    from tests.lab.servers import RedisServer

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture
async def queue(url: str) -> AsyncIterator[AsyncQueue]:
    """Give a queue with a client of its own, which no fault strikes."""
    async with AsyncClient(url) as client:
        yield AsyncQueue(client, "jobs")


class Log:
    """A handler that notes what it was given."""

    def __init__(self) -> None:
        self.handled: list[tuple[str, int]] = []

    async def handle(self, message: AsyncMessage) -> None:
        self.handled.append((message.mid, message.attempt))

    @property
    def mids(self) -> list[str]:
        return [mid for mid, _ in self.handled]


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.mark.parametrize("fault", ["flushed", "no scripts", "restarted empty"])
async def test_a_server_that_forgets_while_the_worker_works(
    server: RedisServer, queue: AsyncQueue, url: str, log: Log, fault: str
) -> None:
    """What it forgot is lost to all; nothing of it comes back, and what comes afterwards is handled."""
    go = aio.Signal()
    started: list[str] = []

    async def handler(message: AsyncMessage) -> None:
        started.append(message.mid)
        if message.mid == "held":
            assert await go.wait(20.0)
        await log.handle(message)

    async with AsyncClient(url) as client:
        worker = AsyncWorker(client, "jobs", handler, lease=30)
        async with worker:
            await queue.enqueue("v", mid="held")
            await until(lambda: started, "the handler is at work")
            if fault == "restarted empty":
                server.kill()
                server.start()
            elif fault == "flushed":
                server.call("FLUSHALL")
            else:
                server.call("SCRIPT", "FLUSH")
            go.give()
            await until(lambda: "held" in log.mids, "the handler ends")
            kept = int(fault == "no scripts")
            name = "success" if kept else "lost"
            await until(lambda: worker.status().counts[name] == 1, "its end was told", 15.0)
            await queue.enqueue("v", mid="next")
            await until(lambda: "next" in log.mids, "it works on", 15.0)
            await until_status(queue, "next", "done-awaiting-gc", None)
    assert log.mids == ["held", "next"]
    assert (await queue.status())[:3] == (0, 0, 0)


@pytest.mark.parametrize("direction", ["c2s", "s2c"])
async def test_cut_at_every_byte(
    server: RedisServer, proxy: FaultProxy, queue: AsyncQueue, log: Log, direction: Direction
) -> None:
    """Whatever was on its way, the claim, the end, the signal: each message is handled, twice at most for each cut."""
    count = scaled(400)
    async with AsyncClient(proxy.url(server.url)) as client:
        # polls come often: what listens is cut as well, and then rests longer each time
        worker = AsyncWorker(client, "jobs", log.handle, lease=0.1, concurrency=2, idle_backoff=lambda dry: 0.02)
        async with worker:
            await queue.enqueue("v", mid="first")
            await until(lambda: worker.status().counts["success"] == 1, "the server has the scripts")
            for n in range(count):
                failures = worker.status().counts["failures"]
                proxy.mark()
                proxy.cut_after[direction] = n * 400 // count
                await queue.enqueue("v", mid=f"m{n}")
                await until(
                    lambda n=n, failures=failures: (
                        f"m{n}" in log.mids  # type: ignore[misc]
                        or worker.status().counts["failures"] > failures
                    ),
                    "it was handled, or a call has failed",
                )
                proxy.heal()
                await until(lambda n=n: f"m{n}" in log.mids, "the message was handled")  # type: ignore[misc]
            assert len(set(log.mids)) == count + 1
            await until(lambda: not worker.status().ending, "all ends were told")
    assert len(log.mids) <= 2 * count + 1
    assert (await queue.status())[:3] == (0, 0, 0)
    assert (await queue.status()).dead == 0


async def test_q13_stop_is_bounded_with_many_queues(server: RedisServer, proxy: FaultProxy, queue: AsyncQueue) -> None:
    """No call is waited for once for each queue."""
    go = aio.Signal()
    started: list[str] = []

    async def slow(message: AsyncMessage) -> None:
        started.append(message.mid)
        await go.wait(20.0)

    names = ["jobs", *(f"other{n}" for n in range(29))]
    async with AsyncClient(proxy.url(server.url), read_timeout=0.2, connect_timeout=0.2) as client:
        worker = AsyncWorker(client, names, slow)
        worker.start()
        await queue.enqueue("v", mid="m")
        await until(lambda: started, "the handler is at work")
        proxy.blackhole = True
        began = time.monotonic()
        assert not await worker.stop(0.1)
        assert time.monotonic() - began < 4.0, "a timeout for each queue"
        go.give()
        proxy.heal()


async def test_at_most_once_and_the_answer_to_its_end_is_lost(
    server: RedisServer, proxy: FaultProxy, queue: AsyncQueue, log: Log
) -> None:
    """Nobody knows whether it has ended: it is handled once or not at all, and no hand waits for it."""
    async with AsyncClient(proxy.url(server.url)) as client:
        worker = AsyncWorker(client, "jobs", log.handle, at_most_once=True, concurrency=1)
        async with worker:
            await queue.enqueue("v", mid="first")
            await until(lambda: log.mids == ["first"], "the server has the scripts")
            for n, offset in enumerate((0, 60, 140, 220, 300)):
                await until_asleep(server, 1)
                proxy.mark()
                proxy.cut_after["c2s"] = offset
                failures = worker.status().counts["failures"]
                await queue.enqueue("v", mid=f"m{n}", lease=0.1)
                await until(
                    lambda n=n, failures=failures: (
                        f"m{n}" in log.mids  # type: ignore[misc]
                        or worker.status().counts["failures"] > failures
                    ),
                    "it was handled, or a call has failed",
                )
                proxy.heal()
                await until_status(queue, f"m{n}", "done-awaiting-gc", None)
            await until(lambda: not worker.status().ending, "all ends were told")
            await queue.enqueue("v", mid="last")
            await until(lambda: log.mids[-1] == "last", "its hand is free")
    assert len(log.mids) == len(set(log.mids)), "handled twice"
    assert worker.status().running == 0


async def test_a_lease_shorter_than_a_round_trip(server: RedisServer, proxy: FaultProxy, queue: AsyncQueue) -> None:
    """Nobody can hold such a message; the attempts are counted, and there is no frenzy."""
    attempts: list[int] = []

    async def handler(message: AsyncMessage) -> None:
        attempts.append(message.attempt)
        while not message.cancelled:
            await aio.sleep(0.002)

    async with AsyncClient(proxy.url(server.url)) as client:
        worker = AsyncWorker(client, "jobs", handler, lease=0.05, max_attempts=2, concurrency=1)
        async with worker:
            proxy.delay["s2c"] = 0.08
            await queue.enqueue("v", mid="m")
            await until(lambda: worker.status().counts["dead"] == 1, "it is a dead letter", 20.0)
    assert attempts == [1, 2]
    assert worker.status().counts["polls"] < 40
    assert [letter.mid for letter in await queue.dead()] == ["m"]


async def test_contents_of_many_mebibytes(queue: AsyncQueue, url: str) -> None:
    """A claim takes few of them, however many hands are free: what does not arrive in time is nobody's for a lease."""
    handled: list[int] = []

    async def handler(message: AsyncMessage) -> None:
        handled.append(len(message.content))

    content = b"x" * (3 * 2**20)
    for n in range(9):
        await queue.enqueue(content, mid=f"big{n}", backoff=0.001 if n % 3 == 0 else None)
    await queue.enqueue_many(["small"] * 20)
    found = await queue.poll(30)
    assert 1 <= len(found.messages) <= 8
    for message in found.messages:
        assert await queue.nack(message)
    assert await queue.status() == (29, 0, 0, 0, 0, 29)
    async with AsyncClient(url) as client:
        await AsyncWorker(client, "jobs", handler, concurrency=30).run_until_empty()
    assert sorted(handled) == [5] * 20 + [len(content)] * 9
