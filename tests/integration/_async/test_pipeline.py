"""The pipeline: order, typed replies, errors as values, nothing sent when the block raises."""

# ruff: noqa: PT012 - what raises is the end of a block
from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import pytest

from carmine.commands import strings
from carmine.errors import DecodeError, PipelineError, ServerError, UsageError, WrongTypeError
from tests.lab.scripted import Scripted

if TYPE_CHECKING:
    from carmine.client._async.client import AsyncClient
    from tests.integration._async.conftest import Open
    from tests.lab.servers import RedisServer

pytestmark = pytest.mark.asyncio


async def test_replies_come_in_order(client: AsyncClient[str]) -> None:
    async with client.pipeline() as pipeline:
        first = pipeline.set("a", 1)
        echoes = [pipeline.echo(str(number)) for number in range(1000)]
        last = pipeline.hgetall("missing")
        assert len(pipeline) == 1002
        with pytest.raises(UsageError, match="not here yet"):
            _ = first.value
    assert first.value is True
    assert [echo.value for echo in echoes] == [str(number) for number in range(1000)]
    assert last.value == {}
    assert pipeline.replies[:2] == [True, "0"]
    assert client.pool.stats().opened == 1


async def test_nothing_is_sent_when_the_block_raises(client: AsyncClient[str]) -> None:
    with pytest.raises(ZeroDivisionError):
        async with client.pipeline() as pipeline:
            reply = pipeline.set("key", 1)
            _ = 1 // 0
    assert await client.exists("key") == 0
    assert pipeline.replies == []
    with pytest.raises(UsageError):
        _ = reply.value


async def test_an_empty_pipeline_asks_for_no_connection(client: AsyncClient[str], server: RedisServer) -> None:
    async with client.pipeline() as pipeline:
        assert pipeline
    assert pipeline.replies == []
    assert server.clients() == []


async def test_an_error_reply_is_raised_at_the_end(client: AsyncClient[str]) -> None:
    await client.set("text", "x")
    with pytest.raises(PipelineError) as caught:
        async with client.pipeline() as pipeline:
            before = pipeline.set("before", 1)
            wrong = pipeline.lpush("text", "argument-canary")
            after = pipeline.get("before")
            pipeline.lpush("text", "again")
    assert (caught.value.index, caught.value.command) == (1, "LPUSH")
    assert "2 of 4 commands failed" in str(caught.value)
    assert "canary" not in str(caught.value)
    assert isinstance(caught.value.__cause__, WrongTypeError)
    assert [type(reply) for reply in caught.value.replies] == [bool, WrongTypeError, str, WrongTypeError]
    assert before.value is True
    assert after.value == "1"
    with pytest.raises(WrongTypeError):
        _ = wrong.value
    assert isinstance(wrong.error, WrongTypeError)


async def test_errors_may_stay_values(client: AsyncClient[str]) -> None:
    async with client.pipeline(raise_errors=False) as pipeline:
        pipeline.execute("NOSUCHCOMMAND")
        pipeline.echo("x")
    assert isinstance(pipeline.replies[0], ServerError)
    assert pipeline.replies[1] == "x"


async def test_a_reply_that_is_no_text_spoils_no_other(client: AsyncClient[str]) -> None:
    await client.set("bad", b"\x80")
    async with client.pipeline(raise_errors=False) as pipeline:
        pipeline.echo("a")
        pipeline.get("bad")
        pipeline.echo("b")
    assert pipeline.replies[::2] == ["a", "b"]
    assert isinstance(pipeline.replies[1], DecodeError)


async def test_text_and_bytes_of_one_pipeline(client: AsyncClient[str]) -> None:
    await client.set("key", "v")
    dumped = await client.dump("key")
    assert isinstance(dumped, bytes)
    async with client.pipeline() as pipeline:
        text, raw, more = pipeline.get("key"), pipeline.dump("key"), pipeline.get("key")
    assert (text.value, raw.value, more.value) == ("v", dumped, "v")
    async with client.binary.pipeline() as pipeline_of_bytes:
        of_bytes, name = pipeline_of_bytes.get("key"), pipeline_of_bytes.type("key")
    assert (of_bytes.value, name.value) == (b"v", "string")


async def test_flush_sends_what_is_queued(client: AsyncClient[str]) -> None:
    async with client.pipeline() as pipeline:
        pipeline.set("key", 1)
        assert await pipeline.flush() == [True]
        assert await client.get("key") == "1"
        pipeline.incr("key")
    assert pipeline.replies == [True, 2]


async def test_commands_and_raw_words_are_queued_alike(client: AsyncClient[str]) -> None:
    async with client.pipeline() as pipeline:
        composed = pipeline.add(strings.set("key", "v"))
        raw = pipeline.execute("get", "key")
    assert (composed.value, raw.value) == (True, "v")


async def test_a_pipeline_is_used_by_one_block_at_a_time(client: AsyncClient[str]) -> None:
    pipeline = client.pipeline()
    async with pipeline:
        pipeline.echo("a")
        with pytest.raises(UsageError, match="in use already"):
            async with pipeline:
                pytest.fail("the pipeline began anew inside its own block")
    assert pipeline.replies == ["a"]
    async with pipeline:
        pipeline.echo("b")
    assert pipeline.replies == ["b"], "replies of an earlier block"


async def test_calls_inside_a_block_go_on_another_connection(open_client: Open) -> None:
    client = open_client(pool_size=1)
    async with client.pipeline() as pipeline:
        pipeline.set("key", 1)
        assert await client.get("key") is None
        pipeline.get("key")
    assert pipeline.replies == [True, "1"]


@pytest.mark.parametrize(
    "words", [("SELECT", 1), ("MULTI",), ("SUBSCRIBE", "c"), ("CLIENT", "REPLY", "OFF"), ("SYNC",)]
)
async def test_commands_that_have_no_place_in_a_pipeline(client: AsyncClient[str], words: tuple[Any, ...]) -> None:
    async with client.pipeline() as pipeline:
        with pytest.raises(UsageError):
            pipeline.execute(*words)
        pipeline.echo("x")
    assert pipeline.replies == ["x"]


async def test_an_argument_that_cannot_be_sent_sends_nothing(client: AsyncClient[str]) -> None:
    wrong: Any = object()
    with pytest.raises(UsageError):
        async with client.pipeline() as pipeline:
            pipeline.set("first", 1)
            pipeline.set("second", wrong)
    assert await client.exists("first") == 0
    assert client.pool.stats().in_use == 0


async def test_full_buffers_do_not_stop_both_sides(open_client: Open) -> None:
    """The server reads no further command until its reply is read: FAULTS C19."""
    block = b"r" * (1 << 18)
    reply = b"$%d\r\n%b\r\n" % (len(block), block)
    with Scripted.replies({b"ECHO": reply}, buffers=1 << 14) as server:
        client = open_client(server.url, protocol=3, decode=False, read_timeout=30)
        async with client.pipeline() as pipeline:
            for _ in range(16):
                pipeline.echo(b"q" * (1 << 18))
        assert pipeline.replies == [block] * 16
        server.check()


async def test_a_batch_that_is_cut_keeps_the_replies_that_came(open_client: Open) -> None:
    count = itertools.count()
    with Scripted.replies({b"INCR": lambda words: b":%d\r\n" % n if (n := next(count)) < 3 else None}) as server:
        client = open_client(server.url, protocol=3)
        pipeline = client.pipeline()
        with pytest.raises(Exception, match="may have been executed") as caught:
            async with pipeline:
                for _ in range(5):
                    pipeline.incr("n")
        assert pipeline.replies[:3] == [0, 1, 2]
        assert pipeline.replies[3:] == [caught.value] * 2
        assert server.accepted == 1, "a pipeline that writes was sent again"
