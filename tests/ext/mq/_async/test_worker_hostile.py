"""Workers and what is not theirs: handlers, monitors, logs, contents and keys that behave as badly as they can."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator  # noqa: TC003 - as in the tests of integration
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from carmine._bridge import aio
from carmine.client._async.client import AsyncClient
from carmine.errors import UsageError
from carmine.ext.mq._async.queue import AsyncQueue
from carmine.ext.mq._async.worker import AsyncWorker
from carmine.ext.mq.core.values import Entry, Result
from carmine.ext.mq.keys import SUFFIXES
from tests.ext.mq._async.helpers import until, until_status

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from carmine.ext.mq._async.message import AsyncMessage
    from tests.lab.servers import RedisServer

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture
async def client(url: str) -> AsyncIterator[AsyncClient[Any]]:
    """Give a client."""
    async with AsyncClient(url) as made:
        yield made


@pytest.fixture
def queue(client: AsyncClient[Any]) -> AsyncQueue:
    """Give a queue by the server's clock."""
    return AsyncQueue(client, "jobs")


class Unspeakable(Exception):
    """An error that cannot be told."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


class Quitter(BaseException):
    """What is no Exception, and nobody's name for the end of a program."""


def raises(kind: type[BaseException]) -> Callable[..., Any]:
    def function(*_: Any) -> Any:
        raise kind

    return function


HOSTILE: dict[str, Callable[[], Any]] = {
    "raises what cannot be told": raises(Unspeakable),
    "returns what cannot be told": lambda: Result("error", error=Unspeakable()),
    "retries with what cannot be told": lambda: Result("retry", error=Unspeakable()),
    "rests for no time": lambda: Result("retry", backoff="soon"),
    "returns a class": lambda: Result,
    "returns a list of statuses": lambda: Result(["success"]),  # type: ignore[arg-type]  # rubbish, on purpose
    "returns bytes": lambda: b"success",
}


@pytest.mark.parametrize("how", HOSTILE)
async def test_q10_whatever_a_handler_makes_of_it_its_hand_comes_free(
    client: AsyncClient[Any], queue: AsyncQueue, how: str
) -> None:
    """One hand: were it lost, the good message would never be handled."""
    handled: list[str] = []

    async def handler(message: AsyncMessage) -> Any:
        if message.mid == "bad":
            return HOSTILE[how]()
        handled.append(message.mid)
        return None

    await queue.enqueue_many([Entry("v", mid="bad"), Entry("v", mid="good")])
    worker = AsyncWorker(client, "jobs", handler, concurrency=1, retry=0.001, max_attempts=2)
    await worker.run_until_empty(10, backoffs=True)
    assert handled == ["good"]
    assert [letter.mid for letter in await queue.dead()] == ["bad"]
    assert (worker.status().running, worker.status().ending) == (0, 0)


@pytest.mark.parametrize("retry", [raises(SystemExit), raises(Quitter), raises(Unspeakable)])
async def test_a_retry_function_that_fails_in_any_way(client: AsyncClient[Any], queue: AsyncQueue, retry: Any) -> None:
    """As one that gives no number: the message is tried again."""
    await queue.enqueue("v", mid="m")
    worker = AsyncWorker(client, "jobs", raises(ValueError), retry=retry)
    async with worker:
        await until(lambda: worker.status().counts["retry"] == 1, "it is to be tried again")
    assert worker.status().counts["raised"] == 1


@pytest.fixture
def broken_log() -> Generator[list[str], None, None]:
    """Have a log whose disk is full; give the lines that did not fit."""
    lines: list[str] = []

    class Full(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())
            raise OSError(28, "No space left on device")

    log, full = logging.getLogger("carmine.mq"), Full()
    log.addHandler(full)
    yield lines
    log.removeHandler(full)


async def test_g03_a_log_that_fails_breaks_nothing(
    server: RedisServer, client: AsyncClient[Any], queue: AsyncQueue, broken_log: list[str]
) -> None:
    """FAULTS G03: a handler that raises, a content that nobody reads, a lease that is lost, a server that refuses."""
    handled: list[str] = []

    async def handler(message: AsyncMessage) -> None:
        handled.append(message.mid)
        if message.mid == "bad":
            raise ValueError("on purpose")
        if message.mid == "late":
            await message.queue._end([(message, "back", 0, "")])

    worker = AsyncWorker(client, "jobs", handler, concurrency=1, retry=60, monitor=raises(ValueError))
    async with worker:
        await queue.enqueue("v", mid="bad")
        await until(lambda: worker.status().counts["retry"] == 1, "its end was told")
        await queue.enqueue("v", mid="late")
        await until(lambda: worker.status().counts["lost"] >= 1, "its end was refused")
        server.call("CONFIG", "SET", "min-replicas-to-write", "1")
        await until(lambda: worker.status().counts["failures"] >= 1, "a call has failed")
        server.call("CONFIG", "SET", "min-replicas-to-write", "0")
        await queue.enqueue("v", mid="unread")
        await until(lambda: "unread" in handled, "it works on")
        server.call("HSET", "carmine:mq:jobs:messages", "odd", b"\x00j{")
        server.call("LPUSH", "carmine:mq:jobs:mids-ready", "odd")
        await queue.enqueue("v", mid="last")
        await until(lambda: "last" in handled, "it works on after all of them")
        await until_status(queue, "odd", "done-awaiting-gc", None)
    told = " ".join(broken_log)
    for part in ("attempt 1 failed", "after its lease", "failed for", "dead letter", "monitor"):
        assert part in told


@pytest.mark.parametrize("error", [ValueError, SystemExit, Quitter])
async def test_a_monitor_or_a_throttle_that_fails_stops_nothing(
    client: AsyncClient[Any], queue: AsyncQueue, error: type[BaseException]
) -> None:
    handled: list[str] = []

    async def handler(message: AsyncMessage) -> None:
        handled.append(message.mid)

    each: list[dict[str, Any]] = [{"monitor": raises(error)}, {"throttle": raises(error)}]
    for options in each:
        handled.clear()
        async with AsyncWorker(client, "jobs", handler, concurrency=1, **options):
            await queue.enqueue_many([Entry("v", mid="a"), Entry("v", mid="b")])
            await until(lambda: sorted(handled) == ["a", "b"], f"it works on after {handled}")


async def test_q13_stop_by_a_monitor(client: AsyncClient[Any], queue: AsyncQueue) -> None:
    """The monitor is called by the loop that a stop waits for: it must not wait for itself."""
    answers: list[bool] = []

    async def monitor(queue_size: int, dry_runs: int, poll: Any, worker: Any) -> None:
        answers.append(await worker.stop(5))

    worker = AsyncWorker(client, "jobs", raises(ValueError), monitor=monitor)
    worker.start()
    await until(lambda: worker.status().state == "stopped", "it has stopped")
    assert answers == [False]


@pytest.mark.parametrize("error", [ValueError, SystemExit, Quitter])
async def test_q09_a_function_that_reads_contents_and_fails(
    server: RedisServer, client: AsyncClient[Any], error: type[BaseException]
) -> None:
    """Whatever `thaw_foreign` or `loads` raise, the others go on."""
    handled: list[str] = []

    async def handler(message: AsyncMessage) -> None:
        handled.append(message.mid)

    writer = AsyncQueue(client, "jobs", serializer=(lambda value: b"x", raises(error)))
    queue = AsyncQueue(client, "jobs", serializer=(lambda value: b"x", raises(error)), thaw_foreign=raises(error))
    await writer.enqueue_many([Entry({"n": n}, mid=f"own {n}") for n in range(2)])
    await writer.enqueue_many([Entry("v", mid="nippy"), Entry("v", mid="good")])
    server.call("HSET", "carmine:mq:jobs:messages", "nippy", b"\x00>NPY\x00")
    await AsyncWorker(client, queue, handler, concurrency=1).run_until_empty(10)
    assert handled == ["good"]
    assert sorted(letter.mid for letter in await queue.dead()) == ["own 0", "own 1"]
    assert await queue.message_status("nippy") == "queued-with-backoff"
    assert server.call("HGET", "carmine:mq:jobs:messages", "nippy") == b"\x00>NPY\x00"


async def test_a_queue_that_fails_does_not_keep_the_next_ones_waiting(
    server: RedisServer, client: AsyncClient[Any]
) -> None:
    """Strict order is about messages: one whose layout is too new, say, is asked again after pauses of its own."""
    handled: list[str] = []

    async def handler(message: AsyncMessage) -> None:
        handled.append(message.mid)

    high, low = AsyncQueue(client, "high"), AsyncQueue(client, "low")
    await high.enqueue("v", mid="high")
    server.call("HSET", "carmine:mq:high:stats", "layout", "99")
    worker = AsyncWorker(client, [high, low], handler, concurrency=1)
    async with worker:
        await low.enqueue_many([Entry("v", mid=f"low{n}") for n in range(20)])
        began = time.monotonic()
        await until(lambda: len(handled) == 20, "the others are handled")
        assert worker.status().counts["failures"] <= 3 + (time.monotonic() - began) * 20, "a frenzy"
        server.call("HSET", "carmine:mq:high:stats", "layout", "1")
        await until(lambda: handled[-1] == "high", "it is asked again")


@pytest.mark.parametrize("suffix", sorted(SUFFIXES))
async def test_keys_of_wrong_types_hurt_their_queue_alone(
    server: RedisServer, client: AsyncClient[Any], suffix: str
) -> None:
    """What somebody planted there: the worker goes on, without a frenzy, and with the queue when it was cleared."""
    handled: list[str] = []

    async def handler(message: AsyncMessage) -> None:
        handled.append(message.mid)
        if message.mid == "first":
            server.call("DEL", f"carmine:mq:bad:{suffix}")
            server.call("XADD", f"carmine:mq:bad:{suffix}", "*", "k", "v")

    bad, good = AsyncQueue(client, "bad"), AsyncQueue(client, "good")
    worker = AsyncWorker(client, [bad, good], handler, concurrency=1, lease=0.3)
    async with worker:
        await bad.enqueue("v", mid="first")
        await until(lambda: handled, "it is handled, and the key is spoilt")
        await good.enqueue_many([Entry("v", mid=f"good{n}") for n in range(5)])
        await until(lambda: sum(mid.startswith("good") for mid in handled) == 5, "the others are handled")
        server.call("DEL", f"carmine:mq:bad:{suffix}")
        await bad.clear()
        await bad.enqueue("v", mid="healed")
        await until(lambda: "healed" in handled, "the queue works again", 15.0)
    assert worker.status().counts["failures"] < 40


async def test_an_extension_may_be_shorter(client: AsyncClient[Any], queue: AsyncQueue) -> None:
    """Then it is renewed sooner: nobody else gets the message while its handler lives."""
    handled: list[int] = []
    go = aio.Signal()

    async def handler(message: AsyncMessage) -> None:
        handled.append(message.attempt)
        assert await message.extend(0.15)
        await go.wait(10)

    await queue.enqueue("v", mid="m")
    async with AsyncWorker(client, "jobs", handler, lease=60), AsyncWorker(client, "jobs", handler, lease=60):
        await until(lambda: handled, "it is at work")
        began = time.monotonic()
        await until(lambda: time.monotonic() - began > 0.4, "its lease went by more than twice")
        go.give()
        await until_status(queue, "m", "done-awaiting-gc", None)
    assert handled == [1]


async def test_an_extension_may_be_longer(client: AsyncClient[Any], queue: AsyncQueue, server: RedisServer) -> None:
    """Renewals that fail lose nothing before what was extended is over."""
    started: list[AsyncMessage] = []
    go = aio.Signal()

    async def handler(message: AsyncMessage) -> None:
        assert await message.extend(60)
        started.append(message)
        await go.wait(10)

    await queue.enqueue("v", mid="m")
    worker = AsyncWorker(client, "jobs", handler, lease=0.2)
    async with worker:
        await until(lambda: started, "it is at work")
        server.call("CONFIG", "SET", "min-replicas-to-write", "1")
        began = time.monotonic()
        await until(lambda: time.monotonic() - began > 0.3, "the first lease is over")
        server.call("CONFIG", "SET", "min-replicas-to-write", "0")
        assert not started[0].cancelled
        go.give()
        await until(lambda: worker.status().counts["success"] == 1, "it is finished")
    assert worker.status().counts["lost"] == 0


async def test_a_message_may_be_touched_after_its_end(client: AsyncClient[Any], queue: AsyncQueue) -> None:
    """While the worker works: too late. After its stop: closed, in one sentence."""
    kept: list[AsyncMessage] = []

    async def handler(message: AsyncMessage) -> None:
        kept.append(message)

    await queue.enqueue("v", mid="m")
    worker = AsyncWorker(client, "jobs", handler)
    async with worker:
        await until(lambda: worker.status().counts["success"] == 1, "it is over")
        [message] = kept
        assert not await message.extend()
        assert not await message.queue.finish(message)
        with pytest.raises(UsageError, match="lease"):
            await message.extend(-1)
    with pytest.raises(UsageError, match="closed"):
        await message.extend()
    assert (await queue.status())[:3] == (0, 0, 0)
