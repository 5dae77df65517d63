"""The statuses, one by one, and what enqueue does in each (FAULTS Q20): a message's whole life by the table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from carmine.ext.mq.core.values import Enqueued, Result
from tests.ext.mq._async.helpers import claim, claim_one, drain, later

if TYPE_CHECKING:
    from carmine.ext.mq._async.queue import AsyncQueue

pytestmark = pytest.mark.asyncio

ADDED = Enqueued(True, "m", "added", None)
UPDATED = Enqueued(True, "m", "updated", None)


def refused(error: str) -> Enqueued:
    return Enqueued(False, "m", None, error)  # type: ignore[arg-type]  # the test's own table


async def test_a_life_from_none_to_none(queue: AsyncQueue) -> None:
    assert await queue.message_status("m") is None
    assert await queue.enqueue("v1", mid="m") == ADDED
    assert await queue.message_status("m") == "queued"
    message = await claim_one(queue)
    assert (message.mid, message.content, message.attempt, message.lease, message.queue_size) == ("m", "v1", 1, 60.0, 1)
    assert await queue.message_status("m") == "locked"
    assert await queue.finish(message)
    assert await queue.message_status("m") == "done-awaiting-gc"
    assert (await queue.poll()).kind == "sleep"
    assert await queue.message_status("m") is None
    assert await queue.size() == 0


async def test_a_queued_message(queue: AsyncQueue) -> None:
    await queue.enqueue("v1", mid="m", lease=5)
    assert await queue.enqueue("v2", mid="m") == refused("already-queued")
    assert await queue.enqueue("v2", mid="m", can_requeue=True) == refused("already-queued")
    assert await queue.enqueue("v2", mid="m", can_update=True) == UPDATED
    message = await claim_one(queue)
    assert (message.content, message.lease) == ("v2", 60.0), "an update did not overwrite the lease"
    assert await claim(queue) == []


async def test_a_delayed_message(queue: AsyncQueue) -> None:
    assert await queue.enqueue("v1", mid="m", backoff=10) == ADDED
    assert await queue.message_status("m") == "queued-with-backoff"
    assert await queue.enqueue("v2", mid="m", can_update=True, backoff=99) == UPDATED
    later(queue, 9.999)
    assert await claim(queue) == []
    assert await queue.message_status("m") == "queued-with-backoff", "an update alone changed the backoff"
    later(queue, 0.001)
    assert await queue.message_status("m") == "queued"
    assert (await claim_one(queue)).content == "v2"


async def test_reset_backoff_alone_debounces(queue: AsyncQueue) -> None:
    await queue.enqueue("v1", mid="m", backoff=10)
    for _ in range(3):
        later(queue, 9)
        assert await queue.enqueue("v2", mid="m", backoff=10, reset_backoff=True) == UPDATED
        assert await claim(queue) == []
    later(queue, 10)
    assert (await claim_one(queue)).content == "v1", "debounce replaced the content"


async def test_reset_backoff_to_nothing_is_at_once(queue: AsyncQueue) -> None:
    await queue.enqueue("v1", mid="m", backoff=1000)
    assert await queue.enqueue("v2", mid="m", can_update=True, reset_backoff=True) == UPDATED
    assert await queue.message_status("m") == "queued"
    assert (await claim_one(queue)).content == "v2"


async def test_a_ready_message_may_be_put_off(queue: AsyncQueue) -> None:
    await queue.enqueue("v1", mid="m")
    assert await queue.enqueue("v2", mid="m", backoff=10, reset_backoff=True) == UPDATED
    assert await queue.message_status("m") == "queued-with-backoff"
    assert (await queue.status()).backoff == 1
    assert await claim(queue) == []
    later(queue, 10)
    assert (await claim_one(queue)).content == "v1"


async def test_a_locked_message(queue: AsyncQueue) -> None:
    await queue.enqueue("v1", mid="m")
    message = await claim_one(queue)
    assert await queue.enqueue("v2", mid="m") == refused("locked")
    assert await queue.enqueue("v2", mid="m", can_update=True) == refused("locked")
    assert await queue.enqueue("v2", mid="m", can_requeue=True, lease=7) == ADDED
    assert await queue.message_status("m") == "locked-with-requeue"
    assert await queue.enqueue("v3", mid="m", can_requeue=True) == refused("already-queued")
    assert await queue.enqueue("v3", mid="m", can_requeue=True, can_update=True, lease=9) == UPDATED
    assert await queue.finish(message)
    assert await queue.message_status("m") == "done-with-requeue"
    again = await claim_one(queue)
    assert (again.content, again.attempt, again.lease) == ("v3", 1, 9.0)
    assert again.fence > message.fence


async def test_a_message_that_is_done(queue: AsyncQueue) -> None:
    """Without a backoff nothing has to be allowed: the new content is handled soon."""
    await queue.enqueue("v1", mid="m")
    await queue.finish(await claim_one(queue))
    assert await queue.enqueue("v2", mid="m") == ADDED
    assert await queue.message_status("m") == "done-with-requeue"
    assert await queue.enqueue("v3", mid="m") == refused("already-queued")
    assert await queue.enqueue("v3", mid="m", can_update=True) == UPDATED
    assert await drain(queue) == [("m", "v3")]


async def test_a_message_that_rests_after_success(queue: AsyncQueue) -> None:
    """The dedupe window."""
    await queue.enqueue("v1", mid="m")
    assert await queue.finish(await claim_one(queue), Result("success", backoff=10))
    assert await queue.message_status("m") == "done-with-backoff"
    assert await queue.enqueue("v2", mid="m") == refused("backoff")
    assert await queue.enqueue("v2", mid="m", can_update=True) == refused("backoff")
    assert await queue.enqueue("v2", mid="m", can_requeue=True) == ADDED
    assert await queue.enqueue("v3", mid="m", can_requeue=True) == refused("already-queued")
    assert await queue.message_status("m") == "done-with-requeue"
    assert await claim(queue) == [], "the dedupe window was cut short"
    later(queue, 10)
    assert await drain(queue) == [("m", "v2")]


async def test_the_window_ends(queue: AsyncQueue) -> None:
    await queue.enqueue("v1", mid="m")
    await queue.finish(await claim_one(queue), Result("success", backoff=10))
    assert await claim(queue) == []
    later(queue, 10)
    assert await queue.message_status("m") == "done-awaiting-gc"
    assert await claim(queue) == []
    assert await queue.message_status("m") is None


@pytest.mark.parametrize("backoff", [None, 0, 5])
async def test_a_retry(queue: AsyncQueue, backoff: float | None) -> None:
    await queue.enqueue("v1", mid="m")
    assert await queue.finish(await claim_one(queue), Result("retry", backoff=backoff))
    if backoff:
        assert await queue.message_status("m") == "queued-with-backoff"
        assert await claim(queue) == []
        later(queue, backoff)
    assert await queue.message_status("m") == "queued"
    message = await claim_one(queue)
    assert (message.content, message.attempt) == ("v1", 2)


async def test_an_error_drops_the_message(queue: AsyncQueue) -> None:
    await queue.enqueue("v1", mid="m")
    assert await queue.finish(await claim_one(queue), "error")
    assert await queue.message_status("m") == "done-awaiting-gc"
    assert await queue.dead() == []


async def test_a_lease_that_runs_out(queue: AsyncQueue) -> None:
    await queue.enqueue("v1", mid="m", lease=5)
    first = await claim_one(queue)
    later(queue, 4.999)
    assert await claim(queue) == []
    later(queue, 0.001)
    assert await queue.message_status("m") == "queued"
    second = await claim_one(queue)
    assert (second.attempt, second.age) == (2, 5.0)
    assert not await queue.finish(first)
    assert not await first.extend(10)
    assert await queue.message_status("m") == "locked"
    assert await second.extend(10)
    later(queue, 9.999)
    assert await queue.message_status("m") == "locked"
    assert await queue.finish(second)


async def test_one_handed_back_keeps_its_place_and_its_attempts(queue: AsyncQueue) -> None:
    await queue.enqueue("v1", mid="m")
    first = await claim_one(queue)
    later(queue, 1)
    await queue.enqueue("other", mid="n")
    assert await queue.nack(first)
    assert not await queue.nack(first)
    assert [(m.mid, m.attempt) for m in await claim(queue, 2)] == [("m", 1), ("n", 1)]


async def test_the_ancestors_single_step(queue: AsyncQueue) -> None:
    """scan=1: from ready, else one entry of the circle; the end mark counts a dry run."""
    naps = (1, 2, 3, 4, 5)

    async def step() -> tuple[str, float, list[str]]:
        found = await queue.poll(scan=1, sleeps=naps)
        return found.kind, found.seconds, [message.mid for message in found.messages]

    assert [await step() for _ in range(7)] == [("sleep", float(n), []) for n in (1, 2, 3, 4, 5, 5, 5)]
    await queue.enqueue("v1", mid="m")
    await queue.enqueue("v1", mid="n", backoff=100)
    assert await step() == ("handle", 0.0, ["m"])
    assert [(await step())[0] for _ in range(3)] == ["sleep", "skip", "skip"]  # end mark, n in backoff, m locked
    message = (await queue.content())["m"]
    assert message.status == "locked"
    later(queue, 60)
    kinds = [await step() for _ in range(3)]
    assert sorted(kind for kind, _, _ in kinds) == ["handle", "skip", "sleep"]
    assert ("handle", 0.0, ["m"]) in kinds


async def test_the_single_step_collects(queue: AsyncQueue) -> None:
    await queue.enqueue("v1", mid="m")
    [message] = (await queue.poll(scan=1)).messages
    await queue.finish(message)
    assert [(await queue.poll(scan=1)).kind for _ in range(2)] == ["sleep", "skip"]
    assert await queue.message_status("m") is None
    assert [(await queue.poll(scan=1)).kind for _ in range(2)] == ["sleep", "sleep"], "its entry is still in the circle"
