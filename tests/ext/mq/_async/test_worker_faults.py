"""Workers when the network or the server fails: nothing is lost, nobody gives up, and nobody is in a frenzy."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator  # noqa: TC003 - as in the tests of integration
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from carmine._bridge import aio
from carmine.client._async.client import AsyncClient
from carmine.ext.mq._async.queue import AsyncQueue
from carmine.ext.mq._async.worker import AsyncWorker
from carmine.ext.mq.core.values import Entry
from tests.ext.mq._async.helpers import until, until_asleep, until_status

if TYPE_CHECKING:
    from carmine.ext.mq._async.message import AsyncMessage
    from tests.lab.proxy import FaultProxy
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


async def test_q05_the_reply_to_an_end_is_lost(
    server: RedisServer, proxy: FaultProxy, queue: AsyncQueue, log: Log
) -> None:
    """It is told again until there is an answer; the message is not handled again, and the worker goes on."""

    async def handler(message: AsyncMessage) -> None:
        await log.handle(message)
        if message.mid == "cut":
            proxy.mark()
            proxy.cut_after["s2c"] = 0

    async with AsyncClient(proxy.url(server.url)) as client:
        await queue.enqueue("v", mid="first")
        worker = AsyncWorker(client, "jobs", handler, lease=2)
        async with worker:
            await until(lambda: worker.status().counts["success"] == 1, "the server has the scripts")
            await queue.enqueue("v", mid="cut")
            await until(lambda: worker.status().counts["failures"] > 0, "a call has failed")
            proxy.heal()
            await until_status(queue, "cut", "done-awaiting-gc", None)
            counts = worker.status().counts
            await until(lambda: not worker.status().ending, "an answer came")
            await queue.enqueue("v", mid="after")
            await until(lambda: "after" in log.mids, "the worker goes on")
            counts = worker.status().counts
    assert log.handled == [("first", 1), ("cut", 1), ("after", 1)]
    assert counts["lost"] == 0, "what is done already is not taken for lost"


@pytest.mark.parametrize("offset", [0, 1, 40, 100, 200])
async def test_q06_an_end_is_cut_on_its_way(
    server: RedisServer, proxy: FaultProxy, queue: AsyncQueue, log: Log, offset: int
) -> None:
    """Wherever the bytes end, the run ends wholly or not at all, and then once."""

    async def handler(message: AsyncMessage) -> None:
        await log.handle(message)
        if message.mid == "cut":
            proxy.mark()
            proxy.cut_after["c2s"] = offset

    async with AsyncClient(proxy.url(server.url)) as client:
        await queue.enqueue("v", mid="first")
        worker = AsyncWorker(client, "jobs", handler, lease=5)
        async with worker:
            await until(lambda: worker.status().counts["success"] == 1, "the server has the scripts")
            await queue.enqueue("v", mid="cut")
            await until(lambda: worker.status().counts["failures"] > 0, "a call has failed")
            proxy.heal()
            await until_status(queue, "cut", "done-awaiting-gc", None)
            await until(lambda: not worker.status().ending, "an answer came")
    assert log.handled == [("first", 1), ("cut", 1)]
    assert (await queue.status())[:3] == (0, 0, 0)


async def test_q07_a_clock_that_is_wrong(
    queue: AsyncQueue, url: str, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One worker's clock is an hour ahead: it takes nothing that another one handles."""
    go = aio.Signal()
    started: list[str] = []

    async def slow(message: AsyncMessage) -> None:
        started.append(message.mid)
        assert await go.wait(20.0)

    async with AsyncClient(url) as client, AsyncWorker(client, "jobs", slow, concurrency=1):
        await queue.enqueue("v", mid="m")
        await until(lambda: started, "the first has it")
        real = time.time
        monkeypatch.setattr(time, "time", lambda: real() + 3600)
        async with AsyncWorker(client, "jobs", log.handle):
            await queue.enqueue("v", mid="other")
            await until(lambda: log.mids == ["other"], "the second one works")
            assert await queue.message_status("m") == "locked"
            go.give()
            await until_status(queue, "m", "done-awaiting-gc", None)
    assert log.handled == [("other", 1)]


async def test_q08_odd_mids_are_mids(queue: AsyncQueue, url: str, log: Log) -> None:
    mids = ["1", "a b", "\0", "\r\n", "é" * 100, "x" * 65_536, "{tag}", "-1", "end-of-circle2"]
    assert all(one.success for one in await queue.enqueue_many([Entry("v", mid=mid) for mid in mids]))
    async with AsyncClient(url) as client:
        assert await AsyncWorker(client, "jobs", log.handle).run_until_empty() == len(mids)
    assert sorted(log.mids) == sorted(mids)


async def test_q09_a_content_that_nobody_can_read(server: RedisServer, queue: AsyncQueue, url: str, log: Log) -> None:
    """The others go on; it becomes a dead letter without a handler."""
    await queue.enqueue_many([Entry({"n": n}, mid=f"m{n}") for n in range(6)])
    server.call("HSET", "carmine:mq:jobs:messages", "m2", b"\xff\xfe", "m4", b"\x00j{")
    async with AsyncClient(url) as client:
        await AsyncWorker(client, "jobs", log.handle, concurrency=1).run_until_empty()
    assert sorted(log.mids) == ["m0", "m1", "m3", "m5"]
    assert sorted(letter.mid for letter in await queue.dead()) == ["m2", "m4"]


async def test_q11_one_of_many_adds(queue: AsyncQueue) -> None:
    """A hundred at once, one mid."""
    jobs = [aio.spawn(_enqueue, queue) for _ in range(100)]
    actions = [await job.join(20.0) for job in jobs]
    assert sorted(actions, key=str) == [None] * 99 + ["added"]


async def _enqueue(queue: AsyncQueue) -> str | None:
    return (await queue.enqueue("v", mid="m")).action


@pytest.mark.parametrize("fault", ["refused", "silent"])
async def test_q13_stop_while_the_server_is_away(
    server: RedisServer, proxy: FaultProxy, queue: AsyncQueue, fault: str
) -> None:
    """Within the time for the handlers and that of one call; the message comes again."""
    go = aio.Signal()
    started: list[str] = []

    async def slow(message: AsyncMessage) -> None:
        started.append(message.mid)
        await go.wait(20.0)

    async with AsyncClient(proxy.url(server.url), read_timeout=0.5, connect_timeout=0.5) as client:
        worker = AsyncWorker(client, "jobs", slow, lease=0.5, concurrency=2)
        worker.start()
        await queue.enqueue("v", mid="m")
        await until(lambda: started, "the handler is at work")
        if fault == "refused":
            proxy.refuse()
            proxy.kill()
        else:
            proxy.blackhole = True
        began = time.monotonic()
        assert not await worker.stop(0.2)
        assert time.monotonic() - began < 4.0
        assert worker.status().state == "stopped"
        go.give()
        proxy.refuse(False)
        proxy.heal()
    log = Log()
    async with AsyncClient(server.url) as client:
        await AsyncWorker(client, "jobs", log.handle).run_until_empty()
    assert log.mids == ["m"]


async def test_q14_the_server_is_away_for_a_while(
    server: RedisServer, proxy: FaultProxy, queue: AsyncQueue, log: Log, caplog: pytest.LogCaptureFixture
) -> None:
    """Few attempts, growing pauses, one line in the log for each thing that fails; then it goes on by itself."""
    async with AsyncClient(proxy.url(server.url)) as client:
        worker = AsyncWorker(client, "jobs", log.handle)
        with caplog.at_level(logging.INFO, "carmine.mq"):
            async with worker:
                await until_asleep(server, 1)
                proxy.cut_after["c2s"] = 0
                before = proxy.accepted
                proxy.kill()
                await queue.enqueue_many([Entry("v", mid=f"m{n}") for n in range(10)])
                began, processor = time.monotonic(), time.process_time()
                await until(lambda: time.monotonic() - began > 2.0, "two seconds have gone by")
                attempts = proxy.accepted - before
                assert 3 <= attempts <= 40, f"{attempts} connections in two seconds"
                assert log.handled == []
                proxy.heal()
                await until(lambda: len(log.handled) == 10, "it goes on by itself", 15.0)
                spent = time.process_time() - processor
    assert spent < 1.0
    assert sorted(log.handled) == [(f"m{n}", 1) for n in range(10)]
    lines = [record.getMessage() for record in caplog.records if "failed for" in record.getMessage()]
    assert len(lines) == len({line.split()[0] for line in lines}), lines


@pytest.mark.parametrize("fault", ["oom", "readonly", "noreplicas"])
async def test_q14_the_server_refuses_writes(
    server: RedisServer, queue: AsyncQueue, url: str, log: Log, fault: str
) -> None:
    """Nothing is lost, and the worker goes on when it takes them again; with OOM it goes on handling."""
    on: dict[str, tuple[str, ...]] = {
        "oom": ("CONFIG", "SET", "maxmemory", "1"),
        "readonly": ("REPLICAOF", "127.0.0.1", "1"),
        "noreplicas": ("CONFIG", "SET", "min-replicas-to-write", "1"),
    }
    off: dict[str, tuple[str, ...]] = {
        "oom": ("CONFIG", "SET", "maxmemory", "0"),
        "readonly": ("REPLICAOF", "NO", "ONE"),
        "noreplicas": ("CONFIG", "SET", "min-replicas-to-write", "0"),
    }
    await queue.enqueue_many([Entry("v", mid=f"m{n}") for n in range(3)])
    async with AsyncClient(url) as client:
        worker = AsyncWorker(client, "jobs", log.handle)
        server.call(*on[fault])
        try:
            async with worker:
                if fault != "oom":
                    await until(lambda: worker.status().counts["failures"] >= 3, "it has tried")
                    assert log.handled == []
                    assert worker.status().counts["failures"] < 20
                    server.call(*off[fault])
                await until(lambda: worker.status().counts["success"] == 3, "it goes on by itself", 15.0)
        finally:
            server.call(*off[fault])
    assert sorted(log.mids) == ["m0", "m1", "m2"]


async def test_q16_the_queue_is_cleared_while_the_worker_sleeps(
    server: RedisServer, queue: AsyncQueue, url: str, log: Log
) -> None:
    async with AsyncClient(url) as client, AsyncWorker(client, "jobs", log.handle):
        await queue.enqueue("v", backoff=60)
        await until_asleep(server, 1)
        await queue.clear()
        await queue.enqueue("v", mid="m")
        await until(lambda: log.mids == ["m"], "it wakes")


async def test_q17_a_read_timeout_shorter_than_the_sleep(
    server: RedisServer, queue: AsyncQueue, url: str, log: Log
) -> None:
    """The blocked call has a time of its own: nothing fails, nothing connects again."""
    async with AsyncClient(url, read_timeout=0.1) as client:
        worker = AsyncWorker(client, "jobs", log.handle, idle_backoff=lambda dry: 30.0)
        async with worker:
            await until_asleep(server, 1)
            connections = server.info("stats")["total_connections_received"]
            began = time.monotonic()
            await until(lambda: time.monotonic() - began > 0.6, "six timeouts have gone by")
            assert worker.status().counts["failures"] == 0
            assert server.info("stats")["total_connections_received"] == connections
            await queue.enqueue("v", mid="m")
            await until(lambda: log.mids == ["m"], "it wakes")


async def test_a_lease_that_cannot_be_renewed_is_told(
    server: RedisServer, proxy: FaultProxy, queue: AsyncQueue
) -> None:
    """Others may have the message by then: its handler hears it at the end of the lease."""
    told: list[float] = []

    async def handler(message: AsyncMessage) -> None:
        proxy.refuse()
        proxy.kill()
        began = time.monotonic()
        try:
            while not message.cancelled:
                await aio.sleep(0.002)
        finally:
            told.append(time.monotonic() - began)

    async with AsyncClient(proxy.url(server.url)) as client:
        worker = AsyncWorker(client, "jobs", handler, lease=0.5)
        async with worker:
            await queue.enqueue("v", mid="m")
            await until(lambda: told, "the handler was told")
            await until(lambda: not worker.status().running, "its hand is free")
            assert worker.status().counts["lost"] == 1
            proxy.refuse(False)
    assert 0.3 < told[0] < 1.0
