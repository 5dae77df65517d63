"""A queue that the ancestor has half drained, written by hand in its layout, drains with our scripts."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest

from carmine.ext.mq._async.queue import AsyncQueue
from tests.ext.mq._async.helpers import claim, claim_one, drain, later
from tests.ext.mq.ancestor import T0

if TYPE_CHECKING:
    from carmine.client._async.client import AsyncClient
    from tests.ext.mq.ancestor import Ancestor

pytestmark = pytest.mark.asyncio

NIPPY = b"\x00>NPY\x00payload-canary"
BARE_NIPPY = b"NPY\x05payload-canary"


@pytest.mark.parametrize("scan", [1, 256])
async def test_a_half_drained_queue_drains(queue: AsyncQueue, ancestor: Ancestor, scan: int) -> None:
    ancestor.ready("ready 1", "content 1", born=T0 - 2000)
    ancestor.ready("ready 2", "content 2", born=T0 - 1000)
    ancestor.circled("delayed", "content d", backoff=T0 + 5000)
    ancestor.circled("retried", "content r", attempts=2, backoff=T0 - 1)
    ancestor.circled("at once", "content a", attempts=1)
    ancestor.circled("held", "content h", attempts=1, locked=T0 + 3000)
    ancestor.call("HSET", "lock-times", "held", 1234)
    ancestor.circled("lost", "content l", attempts=3, locked=T0 - 1)
    ancestor.circled("held again", "old", attempts=1, locked=T0 + 3000)
    ancestor.call("HSET", "messages-rq", "held again", "new")
    ancestor.done("over", "content o")
    ancestor.done("dedupe", "content x", backoff=T0 + 5000)
    ancestor.done("requeued", "old", requeue="new")
    ancestor.call("HSET", "lock-times-rq", "requeued", 4321)
    ancestor.done("flagged", "flagged content")
    ancestor.call("SADD", "requeue", "flagged")
    ancestor.call("SADD", "done", "orphan of a late finish")
    ancestor.call("LPUSH", "mid-circle", "gone", "end-of-circle")  # a second mark, by a message of that mid

    statuses = {row.mid: row.status for row in (await queue.content()).values()}
    assert statuses == {
        **dict.fromkeys(["ready 1", "ready 2", "retried", "at once", "lost"], "queued"),
        "delayed": "queued-with-backoff",
        "held": "locked",
        "held again": "locked-with-requeue",
        "over": "done-awaiting-gc",
        "dedupe": "done-with-backoff",
        **dict.fromkeys(["requeued", "flagged"], "done-with-requeue"),
    }
    assert await queue.status() == (5, 2, 1, 4, 0, 12), "before anything is indexed"

    seen: list[tuple[str, Any, int, float]] = []

    async def drain_now() -> None:
        for _ in range(60):
            for message in (await queue.poll(3, scan=scan)).messages:
                seen.append((message.mid, message.content, message.attempt, message.lease))
                assert await queue.finish(message)

    await drain_now()
    assert sorted(seen) == [
        ("at once", "content a", 2, 60.0),
        ("flagged", "flagged content", 1, 60.0),
        ("lost", "content l", 4, 60.0),
        ("ready 1", "content 1", 1, 60.0),
        ("ready 2", "content 2", 1, 60.0),
        ("requeued", "new", 1, 4.321),
        ("retried", "content r", 3, 60.0),
    ]
    assert await queue.status() == (0, 2, 1, 1, 0, 4)
    later(queue, 5)
    seen.clear()
    await drain_now()
    assert sorted(seen) == [
        ("delayed", "content d", 1, 60.0),
        ("held", "content h", 2, 1.234),
        ("held again", "new", 1, 60.0),
        ("held again", "old", 2, 60.0),
    ]
    seen.clear()
    later(queue, 5)
    await drain_now()
    assert await queue.size() == 0
    await queue.poll()  # a single step lets the second end mark be
    left = ancestor.members()
    assert left.pop("done", 1) == 1  # the orphan, which nothing leads to, until somebody enqueues that mid
    assert set(left) <= {"mid-circle", "ndry-runs", "isleep-a", "isleep-b", "fence", "stats"}
    assert left["mid-circle"] == 1


async def test_what_waits_behind_a_run_of_the_ancestor(queue: AsyncQueue, ancestor: Ancestor) -> None:
    ancestor.circled("m", "old", attempts=1, locked=T0 + 1000)
    ancestor.call("HSET", "messages-rq", "m", "new")
    assert await claim(queue) == []
    later(queue, 1)
    assert await drain(queue) == [("m", "old"), ("m", "new")]


async def test_the_ancestors_producers_may_run_beside_us(queue: AsyncQueue, ancestor: Ancestor) -> None:
    await queue.enqueue("ours", mid="ours")
    await queue.enqueue("ours", mid="later", backoff=2)
    ancestor.ready("theirs", "theirs", born=T0 + 1)
    ancestor.circled("their delay", "theirs", backoff=T0 + 2000)
    assert await drain(queue) == [("ours", "ours"), ("theirs", "theirs")]
    assert (await queue.poll()).seconds <= 2.0
    later(queue, 2)
    assert sorted(await drain(queue)) == [("later", "ours"), ("their delay", "theirs")]
    # a delayed message of theirs whose mid still has the entry of its last life
    ancestor.circled("ours", "again", backoff=T0 + 3000)
    later(queue, 1)
    assert await drain(queue) == [("ours", "again")]
    assert await claim(queue) == []
    assert ancestor.members()["mid-circle"] == 1


@pytest.mark.parametrize("content", [NIPPY, BARE_NIPPY])
async def test_nippy_is_handed_back_intact(
    queue: AsyncQueue, ancestor: Ancestor, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    ancestor.ready("foreign", content)
    ancestor.ready("foreign too", content)
    ancestor.ready("ours", "text")
    with caplog.at_level(logging.DEBUG):
        assert await drain(queue) == [("ours", "text")]
        later(queue, 59)
        assert await claim(queue) == []
        later(queue, 1)
        assert await claim(queue) == []
    assert len(caplog.records) == 1, "one clear line, not one for each"
    assert "Nippy" in caplog.text
    assert "payload-canary" not in caplog.text
    assert (await queue.content())["foreign"].attempts == 0, "handing it back counted as an attempt"
    assert (await queue.content())["foreign"].content == content
    assert ancestor.server.call("HGET", ancestor.key("messages"), "foreign") == content
    assert await queue.dead() == []


async def test_a_hook_reads_nippy(client: AsyncClient[Any], ancestor: Ancestor) -> None:
    queue = AsyncQueue(client, "jobs", thaw_foreign=lambda data: data.decode("latin-1")[-7:])
    ancestor.ready("foreign", NIPPY)
    assert (await claim_one(queue)).content == "-canary"


async def test_what_nobody_can_read_becomes_a_dead_letter(
    queue: AsyncQueue, ancestor: Ancestor, caplog: pytest.LogCaptureFixture
) -> None:
    """FAULTS Q09: the others go on."""
    broken = [b"\x00jcanary{", b"\x00_more", b"\xff\xfe", b"\x00sxyz", b'\x00j{"!nothing":1}']
    for n, content in enumerate(broken):
        ancestor.ready(f"broken {n}", content)
    ancestor.ready("good", "text")
    assert await drain(queue) == [("good", "text")]
    assert await queue.size() == 0
    letters = await queue.dead()
    assert [(letter.mid, letter.content) for letter in letters] == [
        (f"broken {n}", content) for n, content in enumerate(broken)
    ]
    assert all("ContentError" in letter.error for letter in letters)
    assert len(caplog.records) == len(broken)
    assert "canary" not in caplog.text
