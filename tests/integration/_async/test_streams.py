"""Streams through whole clients: what waits and what does not, pipelines, a group of consumers at work."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from carmine._bridge import aio
from carmine.errors import UsageError, WrongTypeError
from carmine.types import StreamEntry
from tests.integration._async.helpers import until

if TYPE_CHECKING:
    from tests.integration._async.conftest import Open
    from tests.lab.servers import RedisServer

pytestmark = pytest.mark.asyncio


async def test_reading_waits_for_its_own_time_and_not_for_the_connections(open_client: Open) -> None:
    client = open_client(read_timeout=0.4)
    began = time.monotonic()
    assert await client.xread({"s": "$"}, block=0.5) == {}
    assert 0.4 < time.monotonic() - began < 2
    assert await client.xread({"s": "$"}) == {}


async def test_a_reader_gets_what_another_adds(open_client: Open, server: RedisServer) -> None:
    client = open_client(read_timeout=0.5, pool_size=2)
    assert await client.xgroup_create("s", "g", mkstream=True)
    job = aio.spawn(lambda: client.xreadgroup("g", "c", {"s": ">"}, block=0))
    await until(lambda: server.info("clients")["blocked_clients"] == "1", "XREADGROUP at the server")
    id = await client.xadd("s", {"a": 1})
    assert await job.join(10) == {"s": [StreamEntry(id, {"a": "1"})]}
    assert await client.xack("s", "g", id) == 1


async def test_every_entry_of_a_group_reaches_one_consumer(open_client: Open) -> None:
    client = open_client(pool_size=5)
    await client.xgroup_create("s", "g", "0", mkstream=True)
    async with client.pipeline() as pipeline:
        ids = [pipeline.xadd("s", {"n": number}) for number in range(60)]

    async def work(name: str) -> list[str]:
        had: list[str] = []
        while True:
            found = await client.xreadgroup("g", name, {"s": ">"}, count=7, block=0.2)
            if not found:
                return had
            mine = [entry.id for entry in found["s"]]
            assert await client.xack("s", "g", *mine) == len(mine)
            had += mine

    jobs = [aio.spawn(lambda name=name: work(name)) for name in "abcd"]
    had = [await job.join(20) for job in jobs]
    assert sorted(id for each in had for id in each) == sorted(id.value for id in ids)
    assert (await client.xpending("s", "g")).pending == 0
    assert (await client.xinfo_groups("s"))[0].pending == 0


async def test_in_a_pipeline_shapes_and_errors_are_those_of_single_calls(open_client: Open) -> None:
    client = open_client()
    await client.set("k", "v")
    async with client.pipeline(raise_errors=False) as pipeline:
        id = pipeline.xadd("s", {"a": 1}, "1-0")
        wrong = pipeline.xadd("k", {"a": 1})
        read = pipeline.xread({"s": "0"})
        waited = pipeline.xread({"s": "$"}, block=0.01)
    assert type(wrong.error) is WrongTypeError
    assert (id.value, read.value, waited.value) == ("1-0", {"s": [StreamEntry("1-0", {"a": "1"})]}, {})


async def test_the_view_of_bytes_reads_the_same_entries(open_client: Open) -> None:
    client = open_client()
    await client.xadd("s", {"a": b"\xff"}, "1-0")
    assert await client.binary.xrange("s") == [StreamEntry(b"1-0", {b"a": b"\xff"})]
    assert await client.binary.xread({"s": 0}) == {b"s": [StreamEntry(b"1-0", {b"a": b"\xff"})]}


async def test_the_raw_door_reads_without_waiting_too(open_client: Open) -> None:
    client = open_client()
    await client.xadd("s", {"a": 1}, "1-0")
    assert await client.execute("XRANGE", "s", "-", "+") == [["1-0", ["a", "1"]]]
    assert await client.execute("XREAD", "STREAMS", "s", "$") is None


async def test_what_a_newer_server_may_add_to_client_needs_a_pinned_connection(open_client: Open) -> None:
    client = open_client()
    with pytest.raises(UsageError, match="changes the state of one connection"):
        await client.execute("CLIENT", "NEW-THING", "ON")
    assert client.pool.stats().opened == 0
