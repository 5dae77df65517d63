"""Worker and AsyncWorker: what handlers are given and what becomes of their word; slots, order, pauses."""

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
from carmine.ext.mq import Exponential, monitor_fn
from carmine.ext.mq._async import feeder
from carmine.ext.mq._async.queue import AsyncQueue
from carmine.ext.mq._async.worker import AsyncWorker
from carmine.ext.mq.core.values import Entry, Result
from tests.ext.mq._async.helpers import Seen, claim_one, until, until_asleep, until_status

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


async def test_messages_are_handled_with_all_that_they_tell(
    client: AsyncClient[Any], queue: AsyncQueue, seen: Seen
) -> None:
    await queue.enqueue_many([Entry({"n": n}, mid=f"m{n}") for n in range(20)])
    worker = AsyncWorker(client, "jobs", seen.quick)
    assert worker.status().state == "stopped"
    assert await worker.run_until_empty() == 20
    assert sorted(seen.mids) == sorted(f"m{n}" for n in range(20))
    first = seen.messages[0]
    assert (first.content, first.attempt, first.lease, first.cancelled) == ({"n": 0}, 1, 60.0, False)
    assert first.worker is worker
    assert first.queue.name == "jobs"
    assert 1 <= first.queue_size <= 20
    assert len({message.fence for message in seen.messages}) == 20
    status = worker.status()
    assert status.counts["claimed"] == status.counts["success"] == 20
    assert (status.state, status.running, status.ending) == ("stopped", 0, 0)
    assert status.handling.n == status.queueing.n == 20
    assert 0 < status.queueing.p50 <= status.queueing.max < 10
    assert 1 <= status.sizes["jobs"] <= 20
    worker.clear_stats()
    assert worker.status().counts["success"] == worker.status().handling.n == 0
    assert (await queue.status()).total == 0 or (await queue.status()).done > 0


async def test_a_handlers_word_counts(client: AsyncClient[Any], queue: AsyncQueue) -> None:
    told: dict[str, Any] = {
        "none": None,
        "status": "success",
        "window": Result("success", backoff=60),
        "later": Result("retry", backoff=60),
        "error": Result("error", error="no such address"),
        "nonsense": 7,
    }

    async def handler(message: AsyncMessage) -> Any:
        return told[message.mid]

    await queue.enqueue_many([Entry("v", mid=mid) for mid in told])
    worker = AsyncWorker(client, "jobs", handler)
    await worker.run_until_empty()
    counts = worker.status().counts
    assert (counts["success"], counts["retry"], counts["dead"]) == (3, 1, 2)
    assert await queue.message_status("window") == "done-with-backoff"
    assert await queue.message_status("later") == "queued-with-backoff"
    letters = {letter.mid: letter for letter in await queue.dead()}
    assert letters["error"].error == "no such address"
    assert letters["error"].content == "v"
    assert "int" in letters["nonsense"].error


@pytest.mark.parametrize("retry", [0.01, [0.01, 0.02], lambda attempt: 0.005 * attempt, Exponential(0.01, most=0.05)])
async def test_15_a_handler_that_raises_is_tried_again_and_then_a_dead_letter(
    client: AsyncClient[Any], queue: AsyncQueue, caplog: pytest.LogCaptureFixture, retry: Any
) -> None:
    attempts: list[int] = []

    async def handler(message: AsyncMessage) -> None:
        attempts.append(message.attempt)
        raise ValueError("broken")

    await queue.enqueue("secret content", mid="m")
    worker = AsyncWorker(client, "jobs", handler, retry=retry, max_attempts=3)
    with caplog.at_level(logging.WARNING, "carmine.mq"):
        await worker.run_until_empty(backoffs=True)
    assert attempts == [1, 2, 3]
    [letter] = await queue.dead()
    assert (letter.mid, letter.content, letter.attempts) == ("m", "secret content", 3)
    assert letter.error == "ValueError: broken"
    counts = worker.status().counts
    assert (counts["retry"], counts["dead"], counts["raised"]) == (2, 1, 3)
    lines = [record.getMessage() for record in caplog.records]
    assert all("'m'" in line and "attempt" in line for line in lines)
    assert len(lines) == 3
    assert "secret content" not in caplog.text
    assert await queue.replay("m") == 1
    attempts.clear()
    await AsyncWorker(client, "jobs", handler, max_attempts=1).run_until_empty()
    assert attempts == [1], "a replayed letter begins anew"


async def test_exceptions_that_are_never_retried_and_those_that_drop(
    client: AsyncClient[Any], queue: AsyncQueue
) -> None:
    async def handler(message: AsyncMessage) -> None:
        raise KeyError(message.mid)

    await queue.enqueue("v", mid="never")
    await AsyncWorker(client, "jobs", handler, never=(LookupError,)).run_until_empty()
    assert [letter.mid for letter in await queue.dead()] == ["never"]
    await queue.enqueue("v", mid="drop")
    worker = AsyncWorker(client, "jobs", handler, on_exception="drop")
    await worker.run_until_empty()
    assert worker.status().counts["dropped"] == 1
    assert [letter.mid for letter in await queue.dead()] == ["never"]


@pytest.mark.parametrize("kind", [Exception, BaseException, SystemExit, KeyboardInterrupt, GeneratorExit])
async def test_whatever_a_handler_raises_the_worker_goes_on(
    client: AsyncClient[Any], queue: AsyncQueue, kind: type[BaseException]
) -> None:
    """FAULTS Q10."""
    handled: list[str] = []

    async def handler(message: AsyncMessage) -> None:
        if message.attempt == 1 and message.mid == "bad":
            raise kind("on purpose")
        handled.append(message.mid)

    await queue.enqueue_many([Entry("v", mid="bad"), Entry("v", mid="good")])
    await AsyncWorker(client, "jobs", handler, concurrency=1, retry=0.01).run_until_empty(backoffs=True)
    assert sorted(handled) == ["bad", "good"]


async def test_13_a_message_is_claimed_for_a_free_hand_only(
    client: AsyncClient[Any], queue: AsyncQueue, seen: Seen
) -> None:
    """FAULTS Q15: what waits for a hand does not burn its lease."""
    await queue.enqueue_many(["slow"] * 10)
    worker = AsyncWorker(client, "jobs", seen.slow, concurrency=2)
    async with worker:
        await until(lambda: seen.busy == 2, "both hands are taken")
        status = await queue.status()
        assert (status.locked, status.queued) == (2, 8)
        seen.go.give()
        await until(lambda: len(seen.ended) == 10, "all were handled")
    assert seen.most == 2
    assert all(message.attempt == 1 for message in seen.messages)


async def test_free_hands_are_filled_by_one_call(client: AsyncClient[Any], queue: AsyncQueue, seen: Seen) -> None:
    await queue.enqueue_many(["slow"] * 16)
    worker = AsyncWorker(client, "jobs", seen.slow, concurrency=16)
    async with worker:
        await until(lambda: seen.busy == 16, "all hands are taken")
        assert worker.status().counts["polls"] == 1
        assert worker.status().running == 16
        seen.go.give()


async def test_no_end_waits_for_others(client: AsyncClient[Any], queue: AsyncQueue, seen: Seen) -> None:
    """A batch is what has ended, not what may end soon."""
    await queue.enqueue_many([Entry("slow", mid="slow"), Entry("quick", mid="quick")])
    async with AsyncWorker(client, "jobs", seen.slow, concurrency=2):
        await until_status(queue, "quick", "done-awaiting-gc", None)
        assert await queue.message_status("slow") == "locked"
        seen.go.give()


async def test_ends_go_in_batches(client: AsyncClient[Any], queue: AsyncQueue, server: RedisServer, seen: Seen) -> None:
    """Far fewer calls than messages; each still at once."""
    await queue.enqueue_many(["v"] * 500)
    worker = AsyncWorker(client, "jobs", seen.quick, concurrency=64)
    await worker.run_until_empty()
    assert worker.status().counts["success"] == 500
    calls = sum(
        int(words.split("calls=")[1].split(",")[0])
        for name, words in server.info("commandstats").items()
        if name in ("cmdstat_evalsha", "cmdstat_eval")
    )
    assert calls < 250, f"{calls} calls for 500 messages"


async def test_14_a_lease_is_renewed_while_its_handler_lives(
    client: AsyncClient[Any], queue: AsyncQueue, seen: Seen
) -> None:
    await queue.enqueue("slow", mid="m")
    other = Seen()
    async with AsyncWorker(client, "jobs", seen.slow, lease=0.3):
        await until(lambda: seen.busy == 1, "the handler is at work")
        began = time.monotonic()
        async with AsyncWorker(client, "jobs", other.quick, lease=0.3):
            await until(lambda: time.monotonic() - began > 1.0, "three leases have gone by")
            assert await queue.message_status("m") == "locked"
            seen.go.give()
            await until_status(queue, "m", "done-awaiting-gc", None)
    assert [message.attempt for message in seen.messages] == [1]
    assert other.messages == []


async def test_a_lost_lease_is_told_to_the_handler(client: AsyncClient[Any], queue: AsyncQueue, seen: Seen) -> None:
    """FAULTS Q16: the queue is cleared; nothing is left behind when the handler ends."""
    await queue.enqueue("v", mid="m")
    worker = AsyncWorker(client, "jobs", seen.watchful, lease=0.3)
    async with worker:
        await until(lambda: seen.messages, "the handler is at work")
        await queue.clear()
        await until(lambda: seen.ended, "the handler saw that its lease is lost")
        await until(lambda: worker.status().running == 0, "its hand is free")
    counts = worker.status().counts
    assert (counts["lost"], counts["success"], counts["back"]) == (1, 0, 0)
    assert (await queue.status()).total == 0
    assert await queue.mids() == []


async def test_02_a_late_end_is_refused_and_counted(client: AsyncClient[Any], queue: AsyncQueue, seen: Seen) -> None:
    """FAULTS Q02 and Q03: another has it meanwhile, and keeps it."""
    await queue.enqueue("slow", mid="m")
    worker = AsyncWorker(client, "jobs", seen.slow)
    async with worker:
        await until(lambda: seen.busy == 1, "the handler is at work")
        queue._now = int(time.time() * 1000) + 120_000
        theirs = await claim_one(queue)
        queue._now = ""
        assert theirs.fence > seen.messages[0].fence
        seen.go.give()
        await until(lambda: worker.status().counts["lost"] == 1, "the late end was refused")
    assert await queue.finish(theirs, Result("retry"))
    again = Seen()
    await AsyncWorker(client, "jobs", again.quick).run_until_empty()
    assert [message.attempt for message in again.messages] == [3]
    await queue.enqueue("new", mid="m")
    await AsyncWorker(client, "jobs", again.quick).run_until_empty()
    assert again.messages[-1].content == "new"


async def test_14_what_kills_its_worker_becomes_a_dead_letter(
    client: AsyncClient[Any], queue: AsyncQueue, seen: Seen
) -> None:
    await queue.enqueue_many([Entry("v", mid="poison"), Entry("v", mid="good", backoff=0.01)])
    start = int(time.time() * 1000)
    for n in range(3):
        queue._now = start - (3 - n) * 100
        assert (await claim_one(queue, default_lease=0.05)).mid == "poison", "and its worker dies"
    queue._now = ""
    await AsyncWorker(client, "jobs", seen.quick, max_attempts=3).run_until_empty(backoffs=True)
    assert seen.mids == ["good"]
    [letter] = await queue.dead()
    assert (letter.mid, letter.content) == ("poison", "v")


async def test_at_most_once(client: AsyncClient[Any], queue: AsyncQueue, seen: Seen) -> None:
    """It is over before it is handled, and what fails is gone."""

    async def handler(message: AsyncMessage) -> None:
        seen.messages.append(message)
        assert await message.queue.message_status(message.mid) == "done-awaiting-gc"
        if message.mid == "bad":
            raise ValueError("gone")

    await queue.enqueue_many([Entry("v", mid="good"), Entry("v", mid="bad")])
    worker = AsyncWorker(client, "jobs", handler, at_most_once=True, concurrency=2)
    async with worker:
        await until(lambda: worker.status().handling.n == 2, "both were handled")
    counts = worker.status().counts
    assert (counts["success"], counts["dropped"], counts["retry"], counts["lost"]) == (1, 1, 0, 0)
    assert (await queue.status()).queued == (await queue.status()).locked == (await queue.status()).dead == 0


async def test_queues_in_strict_order(client: AsyncClient[Any], seen: Seen) -> None:
    names = ["high", "middle", "low"]
    queues = [AsyncQueue(client, name) for name in names]
    for queue in reversed(queues):
        await queue.enqueue_many([Entry("v", mid=f"{queue.name}{n}") for n in range(3)])
    worker = AsyncWorker(client, ["high", queues[1], "low"], seen.quick, concurrency=1)
    assert await worker.run_until_empty() == 9
    assert [message.queue.name for message in seen.messages] == [name for name in names for _ in range(3)]
    assert [queue.name for queue in worker.queues] == names
    async with worker:
        seen.messages.clear()
        await queues[2].enqueue("v")
        await until(lambda: seen.messages, "each is listened to")
        await queues[0].enqueue("v")
        await until(lambda: len(seen.messages) == 2, "the first as well")
    with pytest.raises(UsageError, match="once"):
        AsyncWorker(client, ["a", "a"], seen.quick)
    with pytest.raises(UsageError, match="one queue or more"):
        AsyncWorker(client, [], seen.quick)


async def test_pause_and_resume(client: AsyncClient[Any], queue: AsyncQueue, server: RedisServer, seen: Seen) -> None:
    worker = AsyncWorker(client, "jobs", seen.quick)
    worker.pause()
    async with worker:
        assert worker.status().state == "paused"
        await queue.enqueue("v", mid="a")
        assert await queue.wait(5.0), "a paused worker takes nobody's signal"
        assert worker.status().counts["polls"] == 0
        worker.resume()
        await until(lambda: seen.mids == ["a"], "it goes on")
        await until_asleep(server, 1)
        await queue.pause()
        polls = worker.status().counts["polls"]
        await queue.enqueue("v", mid="b")
        await until(lambda: worker.status().counts["polls"] > polls, "it looks at the paused queue")
        assert seen.mids == ["a"]
        await queue.resume()
        await until(lambda: seen.mids == ["a", "b"], "the queue goes on")


async def test_11_no_throttle_unless_asked_for(client: AsyncClient[Any], queue: AsyncQueue) -> None:
    """The ancestor's 200 ms after each poll would take 20 s."""
    times: list[float] = []
    sizes: list[int] = []

    async def handler(message: AsyncMessage) -> None:
        times.append(time.monotonic())

    def throttle(size: int) -> float | None:
        sizes.append(size)
        return 0.1 if size > 1 else None

    await queue.enqueue_many(["v"] * 100)
    await AsyncWorker(client, "jobs", handler, concurrency=1).run_until_empty()
    assert times[-1] - times[0] < 5.0
    times.clear()
    await queue.enqueue_many(["v"] * 3)
    began = time.monotonic()
    await AsyncWorker(client, "jobs", handler, concurrency=1, throttle=0.1).run_until_empty()
    assert times[-1] - began >= 0.2, "the third claim came after two pauses"
    await queue.enqueue_many(["v"] * 3)
    await AsyncWorker(client, "jobs", handler, concurrency=1, throttle=throttle).run_until_empty()
    assert len(sizes) == 3
    assert sizes[0] >= 3


async def test_idle_backoff_and_monitor(
    client: AsyncClient[Any], queue: AsyncQueue, caplog: pytest.LogCaptureFixture, seen: Seen
) -> None:
    reports: list[tuple[int, int, str, Any]] = []
    warn = monitor_fn(2, every=60)

    async def monitor(queue_size: int, dry_runs: int, poll: Any, worker: Any) -> None:
        reports.append((queue_size, dry_runs, poll.kind, worker))
        warn(queue_size, dry_runs, poll, worker)
        raise RuntimeError("a monitor that fails stops nothing")

    with caplog.at_level(logging.WARNING, "carmine.mq"):
        await queue.enqueue_many(["v"] * 5)
        worker = AsyncWorker(
            client, "jobs", seen.quick, concurrency=1, monitor=monitor, idle_backoff=lambda dry: 0.01 * dry
        )
        async with worker:
            await until(lambda: any(dry >= 3 for _, dry, _, _ in reports), "it polls as often as it was told")
    assert reports[0][:3] == (5, 0, "handle")
    assert reports[0][3] is worker
    assert {kind for _, _, kind, _ in reports} >= {"handle", "sleep"}
    assert sum("more than 2" in record.getMessage() for record in caplog.records) == 1
    assert len(seen.messages) == 5


async def test_19_maintenance_goes_on_beside_a_slow_handler(
    client: AsyncClient[Any], queue: AsyncQueue, seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeder, "_TIDY", 0.1)
    await queue.enqueue_many([Entry("quick", mid=f"m{n}") for n in range(20)] + [Entry("slow", mid="slow")])
    worker = AsyncWorker(client, "jobs", seen.slow, concurrency=1)
    async with worker:
        await until(lambda: seen.busy == 1, "its one hand is taken")
        polls = worker.status().counts["polls"]
        began = time.monotonic()
        while await queue.size() > 1:
            assert time.monotonic() - began < 5.0, "what is done is not collected"
            await aio.sleep(0.005)
        assert worker.status().counts["polls"] == polls
        seen.go.give()


async def test_a_handler_may_use_its_queue_and_its_lease(client: AsyncClient[Any], queue: AsyncQueue) -> None:
    """The worker's connections serve its handlers as well."""

    async def handler(message: AsyncMessage) -> None:
        assert await message.extend(120)
        assert message.lease == 120
        if message.content < 5:
            await message.queue.enqueue(message.content + 1)

    await queue.enqueue_many([0] * 8)
    worker = AsyncWorker(client, queue, handler, concurrency=8)
    assert await worker.run_until_empty() == 8 * 6
    assert worker.status().counts["success"] == 8 * 6


async def test_what_cannot_handle_is_refused(client: AsyncClient[Any]) -> None:
    not_one: Any = "handler"
    with pytest.raises(UsageError, match="function"):
        AsyncWorker(client, "jobs", not_one)


async def test_19_maintenance_of_a_queue_whose_turn_never_comes(
    client: AsyncClient[Any], queue: AsyncQueue, seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Strict order: the first one always has a message, and a hand is often free; the second is tidied all the same."""
    monkeypatch.setattr(feeder, "_TIDY", 0.05)
    low = AsyncQueue(client, "low")
    await low.enqueue("v", mid="done")
    assert await low.finish(await claim_one(low))

    async def handler(message: AsyncMessage) -> None:
        await queue.enqueue("v")
        await seen.quick(message)

    await queue.enqueue_many(["v"] * 20)
    worker = AsyncWorker(client, [queue, low], handler, concurrency=4)
    async with worker:
        began = time.monotonic()
        while await low.size():
            assert time.monotonic() - began < 5.0, "what is done there is not collected"
            await aio.sleep(0.005)
        assert worker.status().counts["claimed"] > 0
