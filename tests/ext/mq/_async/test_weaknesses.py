"""What the ancestor gets wrong: one test for each numbered weakness, named by it, as far as the queue itself goes.

Numbers 11, 13, 14, 16 and 19 are about workers; here stands what a worker needs from the queue for them.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from carmine._bridge import aio
from carmine.errors import UsageError
from carmine.ext.mq._async.queue import AsyncQueue
from carmine.ext.mq.core.values import Result
from tests.ext.mq._async.helpers import claim, claim_one, drain, later, until_asleep
from tests.ext.mq.ancestor import T0

if TYPE_CHECKING:
    from carmine.client._async.client import AsyncClient
    from tests.ext.mq.ancestor import Ancestor
    from tests.lab.servers import RedisServer

pytestmark = pytest.mark.asyncio


async def test_01_sleepers_sleep_and_each_message_wakes_one(
    queue: AsyncQueue, client: AsyncClient[Any], server: RedisServer
) -> None:
    await queue.enqueue("v", mid="first")
    assert await queue.wait(5.0), "an enqueue before the block was lost"
    begin = time.monotonic()
    assert not await queue.wait(0.2), "the idle sleep does not sleep after an enqueue"
    assert time.monotonic() - begin >= 0.2
    sleepers = [aio.spawn(queue.wait, 30.0) for _ in range(3)]
    try:
        await until_asleep(server, 3)
        for asleep in (2, 1, 0):
            await queue.enqueue("v")
            await until_asleep(server, asleep)
    finally:
        await queue.enqueue_many(["end"] * 3)
    for sleeper in sleepers:
        assert await sleeper.join(10.0)


async def test_01_a_claim_that_leaves_work_wakes_another(queue: AsyncQueue) -> None:
    await queue.enqueue_many(["a", "b"])
    assert await queue.wait(1.0)
    await claim_one(queue)
    assert await queue.wait(1.0), "nobody else was told that work is left"
    await claim_one(queue)
    await queue.enqueue("soon", backoff=5)
    assert await queue.wait(1.0)
    await queue.enqueue("now")
    assert await queue.wait(1.0)
    await claim_one(queue)
    assert await queue.wait(1.0), "nobody else was told what is due soon"


async def test_02_and_03_a_late_finish_changes_nothing(queue: AsyncQueue) -> None:
    await queue.enqueue("v1", mid="m", lease=0.05)
    slow = await claim_one(queue)
    later(queue, 0.05)
    other = await claim_one(queue)
    assert not await queue.finish(slow)
    assert not await queue.nack(slow)
    assert not await queue.bury(slow)
    assert not await slow.extend()
    assert await queue.message_status("m") == "locked"
    assert await queue.finish(other, Result("retry"))
    third = await claim_one(queue)
    assert third.attempt == 3
    assert await queue.finish(third)
    assert await drain(queue) == []
    assert await queue.message_status("m") is None
    assert not await queue.finish(slow), "after it was collected"
    assert (await queue.enqueue("v2", mid="m")).action == "added"
    assert await drain(queue) == [("m", "v2")]


async def test_02_two_lives_in_one_millisecond_have_different_fences(queue: AsyncQueue) -> None:
    """Time of enqueueing and attempt are the same in both; the fence is not."""
    await queue.enqueue("v1", mid="m")
    first = await claim_one(queue)
    assert await queue.finish(first)
    assert await claim(queue) == []
    await queue.enqueue("v2", mid="m")
    second = await claim_one(queue)
    assert (first.attempt, first.age) == (second.attempt, second.age)
    assert not await queue.finish(first)
    assert second.fence > first.fence
    assert await queue.finish(second)


async def test_02_fences_rise_after_a_clear_and_under_a_clock_that_goes_back(queue: AsyncQueue) -> None:
    fences = []
    for step in (0, -60, 30):
        await queue.enqueue("v")
        fences.append((await claim_one(queue)).fence)
        await queue.clear()
        later(queue, step)
    assert fences == sorted(set(fences))


async def test_03_leftovers_of_a_late_finish_do_not_drop_the_next_message(
    queue: AsyncQueue, ancestor: Ancestor
) -> None:
    """What the ancestor's own late finish leaves: a mid in `done`, with nothing else."""
    ancestor.call("SADD", "done", "m")
    ancestor.call("SADD", "requeue", "m")
    ancestor.call("HSET", "messages-rq", "m", "old")
    ancestor.call("HSET", "backoffs", "m", T0 + 99_000)
    ancestor.call("HSET", "nattempts", "m", 7)
    assert await queue.message_status("m") is None
    assert (await queue.enqueue("v", mid="m")).action == "added"
    assert await queue.message_status("m") == "queued"
    message = await claim_one(queue)
    assert (message.content, message.attempt) == ("v", 1)


async def test_04_the_servers_clock_counts(client: AsyncClient[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """FAULTS Q07: a client that is an hour ahead takes nobody's lease."""
    queue = AsyncQueue(client, "jobs")
    await queue.enqueue("v", mid="m", lease=30)
    held = await claim_one(queue)
    monkeypatch.setattr(time, "time", lambda: 4e9)
    monkeypatch.setattr(time, "time_ns", lambda: 4 * 10**18)
    assert (await queue.poll()).kind == "sleep"
    assert await queue.message_status("m") == "locked"
    assert await queue.finish(held)


async def test_05_steady_traffic_does_not_starve_the_rest(queue: AsyncQueue) -> None:
    await queue.enqueue_many([f"backlog {n}" for n in range(50)])
    await queue.enqueue("retried", mid="retried")
    await queue.enqueue("due", mid="due", backoff=1)
    await queue.enqueue("crashed", mid="crashed", lease=1)
    handled: list[str] = []
    for _ in range(200):
        later(queue, 0.1)
        await queue.enqueue_many(["more", "and more"])
        for message in await claim(queue):
            if message.mid == "crashed" and message.attempt == 1:
                continue
            is_first_try = message.mid == "retried" and message.attempt == 1
            await queue.finish(message, "retry" if is_first_try else "success")
            handled.append(message.mid)
        if {"due", "crashed"} <= set(handled) and handled.count("retried") == 2:
            break
    else:
        raise AssertionError(f"starved: {handled}")
    assert len(await queue.mids()) < 400
    assert (await queue.status()).done < 40, "traffic keeps what is done from being collected"


async def test_05_an_endless_retry_does_not_starve_new_messages(queue: AsyncQueue) -> None:
    await queue.enqueue("poison", mid="poison")
    await queue.enqueue("good", mid="good")
    seen = []
    for _ in range(20):
        later(queue, 0.01)
        message = await claim_one(queue)
        seen.append(message.mid)
        if message.mid == "good":
            break
        await queue.finish(message, "retry")
    assert "good" in seen[:3]


async def test_05_not_even_with_a_producer_whose_clock_is_an_hour_behind(queue: AsyncQueue, ancestor: Ancestor) -> None:
    await queue.enqueue("due", mid="due", backoff=1)
    for n in range(100):
        ancestor.ready(f"old {n}", "v", born=T0 - 3_600_000)
    for _ in range(50):
        later(queue, 1.001)
        if (await claim_one(queue)).mid == "due":
            break
    else:
        raise AssertionError("never came")


async def test_06_many_entries_in_one_call(queue: AsyncQueue, ancestor: Ancestor, server: RedisServer) -> None:
    for n in range(1000):
        ancestor.circled(f"delayed {n}", "v", backoff=T0 + 600_000)
    ancestor.circled("due", "v")
    ancestor.server.call("CONFIG", "RESETSTAT")
    assert (await claim_one(queue, scan=256)).mid == "due"
    calls = server.info("commandstats")
    count = sum(int(calls[name].split("calls=")[1].split(",")[0]) for name in calls if "eval" in name)
    assert count <= 6, "a lap of 1,001 entries took more than six calls"
    assert (await queue.status())[:3] == (0, 1, 1000)
    await queue.enqueue_many(["v"] * 40)
    assert len((await queue.poll(32)).messages) == 32


async def test_07_sleep_ends_with_the_next_due_time(queue: AsyncQueue) -> None:
    assert (await queue.poll(sleeps=(9, 9, 9, 9, 9))).seconds == 9.0
    await queue.enqueue("v", backoff=3.5)
    assert (await queue.poll(sleeps=(9, 9, 9, 9, 9))).seconds == 3.5
    later(queue, 3.5)
    message = await claim_one(queue, default_lease=2)
    assert (await queue.poll(sleeps=(9, 9, 9, 9, 9))).seconds == 2.0
    await queue.enqueue("again", mid=message.mid, can_requeue=True)
    await queue.finish(message, Result(backoff=1))
    assert (await queue.poll(sleeps=(9, 9, 9, 9, 9))).seconds == 1.0


async def test_08_a_hot_mid_has_one_entry_in_the_circle(queue: AsyncQueue, server: RedisServer) -> None:
    await queue.enqueue("v", mid="hot")
    for n in range(50):
        message = await claim_one(queue)
        if n % 2:
            assert (await queue.enqueue(f"v{n}", mid="hot", can_requeue=True)).success
            await queue.finish(message)
        else:
            await queue.finish(message)
            await queue.enqueue(f"v{n}", mid="hot")
        entries = server.call("LRANGE", "carmine:mq:jobs:mid-circle", 0, -1)
        assert isinstance(entries, list)
        assert entries.count(b"hot") <= 1


async def test_08_lives_one_after_the_other_leave_no_entries(queue: AsyncQueue, server: RedisServer) -> None:
    for n in range(200):
        await queue.enqueue("v", mid=f"m{n % 3}", backoff=0.001 * (n % 2))
        later(queue, 0.001)
        await queue.finish(await claim_one(queue))
    assert server.call("LLEN", "carmine:mq:jobs:mid-circle") <= 20  # type: ignore[operator]


async def test_09_refused_messages_push_nothing(queue: AsyncQueue, server: RedisServer) -> None:
    await queue.enqueue("v1", mid="m")
    await queue.finish(await claim_one(queue))
    assert (await queue.enqueue("v2", mid="m")).action == "added"
    for _ in range(5):
        assert not (await queue.enqueue("v3", mid="m")).success
        assert (await queue.enqueue("v3", mid="m", can_update=True)).action == "updated"
    assert server.call("LLEN", "carmine:mq:jobs:mids-ready") == 1


async def test_10_the_newest_content_wins(queue: AsyncQueue) -> None:
    await queue.enqueue("v1", mid="m")
    message = await claim_one(queue)
    await queue.enqueue("v2", mid="m", can_requeue=True)
    await queue.finish(message, "retry")
    assert (await queue.enqueue("v3", mid="m", can_update=True)).action == "updated"
    assert await drain(queue) == [("m", "v3")]


async def test_10_an_update_takes_a_lapsed_run_its_message(queue: AsyncQueue) -> None:
    """Else the run of v1, which lost its lease, would mark v2 as done."""
    await queue.enqueue("v1", mid="m", lease=1)
    slow = await claim_one(queue)
    later(queue, 1)
    assert (await queue.enqueue("v2", mid="m", can_update=True)).action == "updated"
    assert not await queue.finish(slow)
    assert await drain(queue) == [("m", "v2")]


async def test_11_nothing_is_to_be_waited_for_while_there_is_work(queue: AsyncQueue) -> None:
    await queue.enqueue_many(["v"] * 20)
    for _ in range(20):
        found = await queue.poll()
        assert (found.kind, found.seconds, len(found.messages)) == ("handle", 0.0, 1)


async def test_12_counts_tell_the_truth(queue: AsyncQueue) -> None:
    await queue.enqueue_many(["ready"] * 3)
    await queue.enqueue_many(["delayed"] * 4, backoff=10)
    await queue.enqueue("short", mid="short", lease=1)
    later(queue, 0.5)
    held = {message.mid: message for message in await claim(queue, 4)}
    assert await queue.status() == (0, 4, 4, 0, 0, 8)
    others = [message for mid, message in held.items() if mid != "short"]
    await queue.finish_many([(others[0], Result(backoff=60)), (others[1], "success"), (others[2], "retry")])
    assert await queue.status() == (1, 1, 4, 2, 0, 8)
    later(queue, 9.5)
    status = await queue.status()
    assert status == (6, 0, 0, 2, 0, 8), "expired leases and backoffs were counted"
    assert await queue.size() == status.total == sum(status[:4])
    assert {row.status for row in (await queue.content()).values()} == {
        *("queued", "done-with-backoff", "done-awaiting-gc"),
    }


async def test_13_as_many_as_are_asked_for_are_claimed(queue: AsyncQueue) -> None:
    await queue.enqueue_many(["v"] * 10)
    assert [len(await claim(queue, count)) for count in (3, 1, 8)] == [3, 1, 6]
    assert (await queue.status()).locked == 10


async def test_14_leases_are_renewed_and_attempts_counted(queue: AsyncQueue) -> None:
    await queue.enqueue_many(["v"] * 3)
    held = await claim(queue, 3, default_lease=1)
    for _ in range(5):
        later(queue, 0.9)
        assert await queue.extend_many(held[:2]) == [True, True]
    again = await claim_one(queue)
    assert again.mid == held[2].mid
    assert again.attempt == 2
    assert await queue.extend_many(held, 5) == [True, True, False]
    assert await queue.finish_many([(message, "success") for message in held]) == [True, True, False]


async def test_15_what_fails_for_good_is_a_dead_letter(queue: AsyncQueue) -> None:
    await queue.enqueue({"id": 7}, mid="m", lease=9)
    later(queue, 1)
    assert await queue.bury(await claim_one(queue), ValueError("broken é \ud800"))
    [letter] = await queue.dead()
    assert letter[:4] == ("m", {"id": 7}, 1, "ValueError: broken é \\ud800")
    assert (letter.born, letter.died) == (T0 / 1000, T0 / 1000 + 1)
    assert (await queue.status()) == (0, 0, 0, 1, 1, 1)
    assert await queue.replay("other") == 0
    assert await queue.replay("m") == 1
    assert await queue.dead() == []
    message = await claim_one(queue)
    assert (message.content, message.attempt, message.lease) == ({"id": 7}, 1, 9.0)


async def test_16_unfinished_messages_are_handed_back_at_once(queue: AsyncQueue) -> None:
    await queue.enqueue_many(["v"] * 3)
    for message in await claim(queue, 3):
        assert await queue.nack(message)
    assert await queue.wait(1.0), "nobody was woken for them"
    assert [message.attempt for message in await claim(queue, 3)] == [1, 1, 1]


@pytest.mark.parametrize("mid", ["end-of-circle", "", 1, b"m", "x" * 65_537, "\ud800"], ids=lambda m: repr(m)[:20])
async def test_17_ids_that_cannot_be_are_refused(queue: AsyncQueue, mid: Any) -> None:
    """FAULTS Q08, S-50: one rule for all of them."""
    with pytest.raises(UsageError):
        await queue.enqueue("v", mid=mid)
    with pytest.raises(UsageError):
        await queue.message_status(mid)
    assert await queue.size() == 0


@pytest.mark.parametrize("mid", ["x" * 65_536, "a\0b", "a\r\nb", "1", " ", "{}", "é", "*"], ids=lambda m: repr(m)[:20])
async def test_17_odd_ids_work(queue: AsyncQueue, mid: str) -> None:
    await queue.enqueue("v", mid=mid)
    assert await queue.mids() == [mid]
    assert await drain(queue) == [(mid, "v")]


async def test_19_polls_of_a_full_house_collect_too(queue: AsyncQueue) -> None:
    """Maintenance does not wait for the end of a lap: it is a part of every poll."""
    await queue.enqueue_many(["v"] * 64)
    for _ in range(16):
        await queue.finish_many([(message, "success") for message in await claim(queue, 4)])
    assert (await queue.status()).done <= 8
