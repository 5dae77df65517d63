"""Queue and AsyncQueue: pipelines, contents, dead letters, bounds, names, and what is left behind."""

# ruff: noqa: PT012 - what raises is the end of a block
from __future__ import annotations

import enum
import json
import logging
from typing import TYPE_CHECKING, Any

import pytest

from carmine import freeze
from carmine._bridge import aio
from carmine.client._async.client import AsyncClient
from carmine.client.glob import glob_escape
from carmine.errors import PipelineError, UsageError
from carmine.ext.mq._async.admin import clear_all_queues_async, clear_queues_async, queue_names_async
from carmine.ext.mq._async.queue import AsyncQueue
from carmine.ext.mq.core.values import Entry, Result
from carmine.ext.mq.errors import LayoutError
from tests.ext.mq._async.helpers import claim, claim_one, drain, later
from tests.lab.matrix import scaled

if TYPE_CHECKING:
    from tests.ext.mq.ancestor import Ancestor
    from tests.lab.servers import RedisServer

pytestmark = pytest.mark.asyncio

SOME = ["text", "", "é", b"\x00\xff", None, 7, 2.5, True, [1, (2, {"3": {4}})], "\0<", "NPY", "NPY\x05x", "7", 2**70]


async def test_contents_come_back_as_they_were(queue: AsyncQueue, server: RedisServer) -> None:
    told = await queue.enqueue_many([Entry(value, mid=f"m{n}") for n, value in enumerate(SOME)])
    assert all(one.action == "added" for one in told)
    assert [(m.content, type(m.content)) for m in await claim(queue, 50)] == [(v, type(v)) for v in SOME]
    assert server.call("HGET", "carmine:mq:jobs:messages", "m0") == b"text", "a str is stored as it is"
    assert server.call("HGET", "carmine:mq:jobs:messages", "m8") == bytes(freeze(SOME[8]))


async def test_what_cannot_be_frozen_is_refused_before_it_is_sent(queue: AsyncQueue) -> None:
    for bad in (object(), enum.Enum("Colour", "RED").RED, "\ud800"):  # type: ignore[attr-defined]
        with pytest.raises(UsageError):
            await queue.enqueue(bad)
        with pytest.raises(UsageError):
            await queue.enqueue_many(["good", bad])
    assert await queue.size() == 0


async def test_a_serializer_of_ones_own(client: AsyncClient[Any]) -> None:
    pair = (lambda value: json.dumps(value).encode(), json.loads)
    queue = AsyncQueue(client, "jobs", serializer=pair)
    await queue.enqueue_many([{"a": [1]}, "text", b"raw", None])
    assert [m.content for m in await claim(queue, 9)] == [{"a": [1]}, "text", b"raw", None]
    with pytest.raises(UsageError, match="serializer"):
        await queue.enqueue({1, 2})
    other = AsyncQueue(client, "jobs")
    await queue.enqueue({"a": 1}, mid="unreadable")
    assert await claim(other) == []
    assert [letter.mid for letter in await other.dead()] == ["unreadable"]


@pytest.mark.parametrize("options", [{}, {"decode": False}, {"serializer": True}], ids=["str", "bytes", "serializer"])
async def test_any_client_and_any_pipeline_will_do(url: str, options: dict[str, Any]) -> None:
    async with AsyncClient(url, **options) as client:
        queue = AsyncQueue(client, "jobs")
        async with client.pipeline() as pipe:
            first = queue.enqueue({"n": (1, b"\xff")}, mid="a", on=pipe)
            status = queue.message_status("a", on=pipe)
            second = queue.enqueue("v2", mid="a", on=pipe)
            [many] = queue.enqueue_many([b"x", Entry(None, mid="b")], on=pipe)
            nothing = queue.message_status("z", on=pipe)
        assert (first.value.action, second.value.error) == ("added", "already-queued")
        assert (status.value, nothing.value) == ("queued", None)
        assert [one.action for one in many.value] == ["added", "added"]
        assert [message.content for message in await claim(queue, 5)] == [{"n": (1, b"\xff")}, b"x", None]


async def test_in_a_transaction_all_or_nothing(queue: AsyncQueue, client: AsyncClient[Any]) -> None:
    async with client.transaction() as tx:
        done = tx.set("order:1", "paid")
        told = queue.enqueue("send the receipt", mid="receipt:1", on=tx)
        status = queue.message_status("receipt:1", on=tx)
    assert done.value is True
    assert (told.value.action, status.value) == ("added", "queued")
    with pytest.raises(PipelineError):
        async with client.transaction() as tx:
            tx.lpush("order:1", "wrong type")
            queue.enqueue("another", mid="receipt:2", on=tx)
    with pytest.raises(RuntimeError):
        async with client.transaction() as tx:
            queue.enqueue("never", mid="receipt:3", on=tx)
            raise RuntimeError
    assert await queue.message_status("receipt:3") is None


async def test_many_are_one_round_trip(queue: AsyncQueue, client: AsyncClient[Any], server: RedisServer) -> None:
    await queue.enqueue("first")
    count = 1300
    told = await queue.enqueue_many(map(str, range(count)), backoff=1, lease=2)
    assert len({one.mid for one in told}) == count
    assert await queue.enqueue_many([]) == []
    assert await queue.status() == (1, 0, count, 0, 0, count + 1)
    later(queue, 1)
    contents: list[str] = []
    while messages := await claim(queue, 500):
        assert {m.lease for m in messages} <= {2.0, 60.0}
        contents += [m.content for m in messages]
    assert sorted(contents) == sorted(["first", *map(str, range(count))])


async def test_mids_that_come_twice_in_one_call(queue: AsyncQueue) -> None:
    some = [Entry(f"v{n}", mid="m", can_update=n == 2) for n in range(3)]
    assert [(one.action, one.error) for one in await queue.enqueue_many(some)] == [
        ("added", None),
        (None, "already-queued"),
        ("updated", None),
    ]
    assert await drain(queue) == [("m", "v2")]


async def test_many_at_once_add_it_once(queue: AsyncQueue) -> None:
    """FAULTS Q11."""
    jobs = [aio.spawn(queue._enqueue, "m", (queue._now, 0, "m", "v", 0, 0, 0)) for _ in range(100)]
    told = [await job.join(30.0) for job in jobs]
    assert sorted(str(one.error) for one in told) == ["None"] + ["already-queued"] * 99


async def test_the_oldest_come_first(queue: AsyncQueue) -> None:
    await queue.enqueue("due", mid="due", backoff=1)
    await queue.enqueue_many([Entry("v", mid=f"early {n}") for n in range(3)])
    later(queue, 2)
    await queue.enqueue("late", mid="late")
    assert [m.mid for m in await claim(queue, 9)] in (
        ["early 0", "early 1", "early 2", "due", "late"],
        ["due", "early 0", "early 1", "early 2", "late"],
    )


async def test_a_full_queue_refuses(client: AsyncClient[Any]) -> None:
    """S-51: nobody can fill the server by one queue."""
    queue = AsyncQueue(client, "jobs", max_size=3)
    told = await queue.enqueue_many([Entry("v", mid=str(n)) for n in range(5)])
    assert [one.error for one in told] == [None, None, None, "full", "full"]
    assert (await queue.enqueue("v", mid="9")).error == "full"
    assert (await queue.enqueue("v", mid="1", can_update=True)).action == "updated"
    await drain(queue)
    assert (await queue.enqueue("v", mid="9")).action == "added"


async def test_pause_and_resume(queue: AsyncQueue) -> None:
    assert not await queue.is_paused()
    await queue.enqueue("v", mid="m")
    assert await queue.wait(1.0)
    await queue.pause()
    assert await queue.is_paused()
    found = await queue.poll(sleeps=(1, 2, 3, 4, 5))
    assert (found.kind, found.reason, found.seconds) == ("sleep", "paused", 5.0)
    assert (await queue.enqueue("v", mid="n")).success
    assert await queue.wait(1.0)
    assert await queue.resume()
    assert await queue.wait(1.0), "nobody was woken"
    assert not await queue.resume()
    assert len(await claim(queue, 5)) == 2


async def test_clear_while_it_is_handled(queue: AsyncQueue, ancestor: Ancestor) -> None:
    """FAULTS Q16."""
    await queue.enqueue_many(["v"] * 5)
    messages = await claim(queue, 2)
    await queue.bury(messages.pop())
    await queue.clear()
    assert set(ancestor.members()) == {"fence"}
    assert not await queue.finish(messages[0])
    assert not await messages[0].extend()
    assert not await queue.nack(messages[0])
    assert not await queue.bury(messages[0])
    assert not set(ancestor.members()) - {"fence", "stats"}, "a finish left something behind"
    sleeper = aio.spawn(queue.wait, 30.0)
    await queue.enqueue("v", mid="next")
    assert await sleeper.join(10.0)
    assert await drain(queue) == [("next", "v")]


async def test_dead_letters(queue: AsyncQueue) -> None:
    await queue.enqueue_many([Entry(n, mid=f"m{n}") for n in range(6)])
    for message in await claim(queue, 6):
        later(queue, 1)
        assert await queue.bury(message, f"reason {message.mid}")
    assert [letter.mid for letter in await queue.dead(3, offset=1)] == ["m1", "m2", "m3"]
    assert await queue.purge_dead("m0") == 1
    assert await queue.purge_dead("m0") == 0
    await queue.enqueue("newer", mid="m1")
    assert await queue.replay("m1") == 0, "it took a live message's place"
    assert (await claim_one(queue)).content == "newer"
    assert await queue.replay() == 4
    assert [letter.mid for letter in await queue.dead()] == ["m1"]
    assert sorted(await drain(queue)) == [(f"m{n}", n) for n in range(2, 6)]
    assert await queue.purge_dead() == 1
    assert (await queue.status()).dead == 0


async def test_more_dead_letters_than_one_call_takes(queue: AsyncQueue) -> None:
    await queue.enqueue_many([Entry("v", mid=str(n)) for n in range(1100)])
    while messages := await claim(queue, 500):
        for message in messages[:2]:
            await queue.bury(message)
        await queue._end([(message, "dead", 0, "") for message in messages[2:]])
    assert (await queue.status()).dead == 1100
    await queue.enqueue_many([Entry("v", mid=str(n)) for n in range(600)])
    assert await queue.replay() == 500
    assert (await queue.status()).dead == 600


async def test_dead_letters_are_bounded(client: AsyncClient[Any]) -> None:
    queue = AsyncQueue(client, "jobs", max_dead=3)
    for n in range(5):
        await queue.enqueue("v", mid=f"m{n}")
        await queue.bury(await claim_one(queue))
    assert len(await queue.dead()) == 3
    assert await client.hget("carmine:mq:jobs:stats", "dead-dropped") == "2"
    assert await client.hlen("carmine:mq:jobs:dead-notes") == await client.hlen("carmine:mq:jobs:dead-messages") == 3


async def test_nothing_grows_with_the_messages_ever_handled(queue: AsyncQueue, ancestor: Ancestor) -> None:
    sizes = []
    for _ in range(2):
        for n in range(scaled(4000)):
            await queue.enqueue_many(["v"] * 3 + [Entry("delayed", backoff=0.5)])
            later(queue, 0.5)
            for message in await claim(queue, 4, default_lease=9):
                how: Any = "retry" if message.attempt == 1 and n % 3 == 0 else Result(backoff=1 if n % 5 == 0 else None)
                await queue.finish(message, how)
        later(queue, 60)
        await drain(queue)
        for _ in range(20):
            later(queue, 9)
            await queue.poll()
        sizes.append(ancestor.members())
    assert sizes[0] == sizes[1]
    assert set(sizes[1]) <= {"mid-circle", "isleep-a", "isleep-b", "ndry-runs", "fence", "stats"}
    assert sizes[1]["mid-circle"] == 1


async def test_a_look_is_bounded(queue: AsyncQueue) -> None:
    await queue.enqueue_many([Entry("v", mid=str(n)) for n in range(1500)])
    assert len(await queue.content(10)) == 10
    assert len(await queue.mids()) == 1000
    assert set(await queue.mids(2000)) == set(map(str, range(1500)))
    row = (await queue.content(2000))["7"]
    assert (row.content, row.status, row.attempts, row.backoff, row.age) == ("v", "queued", 0, 0.0, 0.0)


@pytest.mark.parametrize("name", ["", "x" * 1025, "\ud800", 7, None, b"jobs"], ids=lambda name: repr(name)[:12])
async def test_names_that_cannot_be(client: AsyncClient[Any], name: Any) -> None:
    with pytest.raises(UsageError, match="queue"):
        AsyncQueue(client, name)


async def test_options_that_cannot_be(queue: AsyncQueue, client: AsyncClient[Any]) -> None:
    refused: Any
    for refused in (
        {"backoff": -1},
        {"backoff": "1"},
        {"lease": 0},
        {"lease": float("nan")},
        {"can_update": 1},
        {"can_requeue": None, "can_update": True},
        {"mid": 7},
    ):
        with pytest.raises(UsageError):
            await queue.enqueue("v", **refused)
    for refused in ({"count": 0}, {"count": 501}, {"scan": 0}, {"scan": 1001}, {"sleeps": (1,)}, {"default_lease": 0}):
        with pytest.raises(UsageError):
            await queue.poll(**refused)
    with pytest.raises(UsageError):
        AsyncQueue(client, "q", max_size=0)
    await queue.enqueue("v")
    message = await claim_one(queue)
    for result in ("done", Result("nonsense"), Result(backoff=-1)):  # type: ignore[arg-type]
        with pytest.raises(UsageError):
            await queue.finish(message, result)
    assert await queue.finish(message)


async def test_names_are_kept_and_found(client: AsyncClient[Any], ancestor: Ancestor) -> None:
    names = ["a", "a*", "a\\*", "[ab]", "b", "é:x", "?"]
    for name in names:
        await AsyncQueue(client, name).enqueue("v")
    ancestor.ready("m", "v")
    assert await queue_names_async(client) == sorted(names)
    assert await queue_names_async(client, scan=True) == sorted([*names, "jobs"])
    assert await queue_names_async(client, "a*") == ["a", "a*", "a\\*"]
    assert await queue_names_async(client, glob_escape("a*"), scan=True) == ["a*"]
    await client.delete("carmine:mq:queues")
    assert await queue_names_async(client) == sorted([*names, "jobs"]), "no registry: all keys are looked through"
    for name in ("*", "[ab]", "?", "a\\*", "nobody"):
        await clear_queues_async(client, name)  # S-16: exactly these
    assert await queue_names_async(client, scan=True) == ["a", "a*", "b", "jobs", "é:x"]
    await client.set("neighbour", "v")
    assert await clear_queues_async(client, "a", "nobody") == 1
    assert await clear_all_queues_async(client) == 4
    assert await client.keys("*") == ["neighbour"], "nothing was claimed, so that not even a fence is left"
    assert await queue_names_async(client) == []


async def test_a_newer_layout_is_left_alone(queue: AsyncQueue, client: AsyncClient[Any]) -> None:
    await queue.enqueue("v", mid="m")
    await client.hset("carmine:mq:jobs:stats", "layout", "2")
    for call in (lambda: queue.enqueue("v2"), queue.poll, queue.replay):
        with pytest.raises(LayoutError, match="layout 2"):
            await call()
    assert await queue.message_status("m") == "queued"


async def test_contents_never_get_into_logs_or_errors(
    queue: AsyncQueue, ancestor: Ancestor, caplog: pytest.LogCaptureFixture
) -> None:
    """S-24."""
    ancestor.ready("m", b"\x00j payload-canary")
    with caplog.at_level(logging.DEBUG):
        await queue.enqueue("payload-canary", mid="n")
        message = await claim_one(queue)
        await claim(queue)
    assert "payload-canary" not in caplog.text + repr(message) + repr(queue)
    with pytest.raises(UsageError) as caught:
        await queue.enqueue(["payload-canary", object()])
    assert "payload-canary" not in str(caught.value)
