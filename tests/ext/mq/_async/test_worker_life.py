"""Worker and AsyncWorker: start and stop, sleep and wake, and being on time."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable  # noqa: TC003 - as in the tests of integration
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from carmine._bridge import aio
from carmine.client._async.client import AsyncClient
from carmine.errors import UsageError
from carmine.ext.mq._async.crew import Crew
from carmine.ext.mq._async.queue import AsyncQueue
from carmine.ext.mq._async.worker import AsyncWorker
from carmine.ext.mq.core.values import Entry
from tests.ext.mq._async.helpers import Seen, claim, until, until_asleep

if TYPE_CHECKING:
    from carmine.ext.mq._async.message import AsyncMessage
    from tests.lab.servers import RedisServer

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture
async def client(url: str) -> AsyncIterator[AsyncClient[Any]]:
    """Give a client; what depends on the protocol is in the tests of the queue."""
    async with AsyncClient(url) as made:
        yield made


@pytest.fixture
def queue(client: AsyncClient[Any]) -> AsyncQueue:
    """Give a queue by the server's clock."""
    return AsyncQueue(client, "jobs")


async def test_auto_start(client: AsyncClient[Any], queue: AsyncQueue, seen: Seen) -> None:
    await queue.enqueue("v")
    worker = AsyncWorker(client, "jobs", seen.quick, auto_start=True)
    await until(lambda: seen.messages, "it has started by itself")
    assert worker.status().state == "running"
    assert await worker.stop()
    await queue.enqueue("v")
    began = time.monotonic()
    delayed = AsyncWorker(client, "jobs", seen.quick, auto_start=0.3)
    await until(lambda: len(seen.messages) == 2, "it has started by itself, later")
    assert time.monotonic() - began >= 0.29
    assert await delayed.stop()
    later = AsyncWorker(client, "jobs", seen.quick, auto_start=3600)
    began = time.monotonic()
    assert await later.stop()
    assert time.monotonic() - began < 2.0, "a start that lies ahead does not hold up a stop"


async def test_16_stop_waits_for_handlers(client: AsyncClient[Any], queue: AsyncQueue, seen: Seen) -> None:
    """FAULTS Q13: while handling; what was begun is brought to its end, what was not is left."""
    await queue.enqueue_many(["slow"] * 3)
    worker = AsyncWorker(client, "jobs", seen.slow, concurrency=2)
    worker.start()
    worker.start()
    await until(lambda: seen.busy == 2, "both hands are taken")
    ending = aio.spawn(worker.stop, 20.0)
    await until(lambda: worker.status().state == "stopping", "it is stopping")
    with pytest.raises(UsageError, match="stopping"):
        worker.start()
    seen.go.give()
    assert await ending.join(10.0)
    assert worker.status().state == "stopped"
    assert len(seen.ended) == 2
    assert (await queue.status()).queued == 1
    assert (await queue.status()).locked == 0
    assert await worker.stop(), "a second time is harmless"
    assert await worker.run_until_empty() == 1, "it can be started again"


async def test_16_stop_hands_back_what_does_not_end(client: AsyncClient[Any], queue: AsyncQueue, seen: Seen) -> None:
    """At once, and the attempt does not count."""
    await queue.enqueue_many([Entry("v", mid="a"), Entry("v", mid="b")])
    worker = AsyncWorker(client, "jobs", seen.watchful, concurrency=1)
    worker.start()
    await until(lambda: seen.messages, "the handler is at work")
    began = time.monotonic()
    assert not await worker.stop(0.1)
    assert time.monotonic() - began < 2.0
    await until(lambda: seen.ended, "the handler was told")
    assert worker.status().counts["back"] == 1
    assert {message.mid: message.attempt for message in await claim(queue, 2)} == {"a": 1, "b": 1}


async def test_a_second_stop_can_be_in_a_hurry(client: AsyncClient[Any], queue: AsyncQueue, seen: Seen) -> None:
    await queue.enqueue("v")
    worker = AsyncWorker(client, "jobs", seen.watchful)
    worker.start()
    await until(lambda: seen.messages, "the handler is at work")
    patient = aio.spawn(worker.stop, None)
    await until(lambda: worker.status().state == "stopping", "it waits for the handler")
    assert not await worker.stop(0.0)
    assert not await patient.join(10.0)
    assert (await queue.status()).queued == 1


async def test_stop_by_a_handler(client: AsyncClient[Any], queue: AsyncQueue, seen: Seen) -> None:
    """FAULTS Q13: it does not wait for itself, and its own message is finished."""
    answers: list[bool] = []

    async def handler(message: AsyncMessage) -> None:
        answers.append(await message.worker.stop(20.0))
        seen.messages.append(message)

    await queue.enqueue_many(["v"] * 2)
    worker = AsyncWorker(client, "jobs", handler, concurrency=1)
    worker.start()
    await until(lambda: worker.status().state == "stopped", "it has stopped")
    assert answers == [False]
    assert worker.status().counts["success"] == 1
    assert (await queue.status()).queued == 1


async def test_a_stop_takes_hold_at_once(
    client: AsyncClient[Any], queue: AsyncQueue, seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FAULTS Q13: nothing is claimed after a handler's stop, however late the job that ends the rest comes to run."""
    again = aio.Signal()
    wind_up = Crew.wind_up

    async def late(crew: Crew, close_ears: Callable[[], Any]) -> bool:
        await again.wait(0.3)
        return await wind_up(crew, close_ears)

    async def handler(message: AsyncMessage) -> None:
        await message.worker.stop(20.0)
        seen.messages.append(message)
        if len(seen.messages) > 1:
            again.give()

    monkeypatch.setattr(Crew, "wind_up", late)
    await queue.enqueue_many(["v"] * 2)
    worker = AsyncWorker(client, "jobs", handler, concurrency=1)
    worker.start()
    await until(lambda: worker.status().state == "stopped", "it has stopped")
    assert len(seen.messages) == 1
    assert (await queue.status()).queued == 1


async def test_01_an_idle_worker_sleeps_and_stops_at_once(
    client: AsyncClient[Any], server: RedisServer, seen: Seen
) -> None:
    """FAULTS Q13 and weakness 1: no call while there is nothing to do; a stop does not wait for the sleep."""
    worker = AsyncWorker(client, "jobs", seen.quick, idle_backoff=lambda dry: 30.0)
    async with worker:
        await until_asleep(server, 1)
        calls = _calls(server)
        began = time.monotonic()
        await until(lambda: time.monotonic() - began > 0.5, "half a second has gone by")
        assert _calls(server) == calls, "it does not sleep"
        queue = AsyncQueue(client, "jobs")
        for n in range(3):
            await queue.enqueue("v")
            await until(lambda n=n: len(seen.messages) == n + 1, "an enqueue woke it", 2.0)  # type: ignore[misc]
        await until_asleep(server, 1)
        began = time.monotonic()
        assert await worker.stop()
        assert time.monotonic() - began < 2.0
    await until_asleep(server, 0)


def _calls(server: RedisServer) -> int:
    """Count the commands of others, since the server's beginning."""
    stats = {name: words for name, words in server.info("commandstats").items() if name != "cmdstat_info"}
    return sum(int(words.split("calls=")[1].split(",")[0]) for words in stats.values())


async def test_07_what_becomes_due_is_handled_on_time(
    client: AsyncClient[Any], queue: AsyncQueue, server: RedisServer
) -> None:
    """By a local clock, beside a blocked call that goes on: the server's own time-outs are 100 ms late."""
    late: list[float] = []

    async def handler(message: AsyncMessage) -> None:
        late.append(time.time() - float(message.content))

    async with AsyncWorker(client, "jobs", handler, idle_backoff=lambda dry: 30.0):
        await until_asleep(server, 1)
        for n in range(5):
            await queue.enqueue(repr(time.time() + 0.15), backoff=0.15)
            await until_asleep(server, 1)
            await until(lambda n=n: len(late) == n + 1, "it was handled")  # type: ignore[misc]
        assert server.info("clients")["blocked_clients"] == "1", "the blocked call was not abandoned"
    assert min(late) > -0.002, "never early, but for the rounding of milliseconds"
    assert sorted(late)[2] < 0.05, late


async def test_a_signal_that_finds_no_hand_is_passed_on(
    client: AsyncClient[Any], queue: AsyncQueue, server: RedisServer, seen: Seen
) -> None:
    """The first worker is blocked and busy: another one has to hear of the message, at once."""
    other = Seen()
    async with AsyncWorker(client, "jobs", seen.slow, concurrency=1, idle_backoff=lambda dry: 30.0):
        await until_asleep(server, 1)
        await queue.enqueue("slow", backoff=0.2)
        await until(lambda: seen.busy == 1, "its one hand is taken, by the clock")
        await until_asleep(server, 1)
        async with AsyncWorker(client, "jobs", other.quick, idle_backoff=lambda dry: 30.0):
            await until_asleep(server, 2)
            await queue.enqueue("v", mid="m")
            await until(lambda: other.mids == ["m"], "the other has it", 5.0)
            seen.go.give()
