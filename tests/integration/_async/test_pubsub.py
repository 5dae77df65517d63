"""Pub/sub on a real server: what is wanted comes, once, in order, to whom it belongs, whoever asks meanwhile."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from carmine._bridge import aio
from carmine.client.subscriptions import Message
from carmine.client.timing import deadline
from carmine.errors import (
    DeadlineExceeded,
    DecodeError,
    NoPermissionError,
    PoolClosed,
    PoolTimeout,
    ServerError,
    UsageError,
)

if TYPE_CHECKING:
    from carmine.client._async.client import AsyncClient
    from tests.integration._async.conftest import Open
    from tests.lab.servers import RedisServer

pytestmark = pytest.mark.asyncio

PATIENCE = 10.0
"""Seconds within which anything here happens."""


async def until(condition: Any) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it did not come true"
        await aio.sleep(0.001)


async def test_a_message_of_each_kind(client: AsyncClient[str], server: RedisServer) -> None:
    async with client.pubsub() as pubsub:
        await pubsub.subscribe("a")
        await pubsub.psubscribe("b*")
        assert await client.publish("a", "1") == 1
        assert await client.publish("bb", "ä") == 1
        assert await pubsub.next_message(PATIENCE) == Message("message", None, "a", "1")
        assert await pubsub.next_message(PATIENCE) == Message("pmessage", "b*", "bb", "ä")
        if server.leg.at_least_7:
            await pubsub.ssubscribe("{c}1", "{c}2")
            assert await client.spublish("{c}2", "3") == 1
            assert await pubsub.next_message(PATIENCE) == Message("smessage", None, "{c}2", "3")
            assert pubsub.shard_channels == {"{c}1", "{c}2"}
        assert await pubsub.next_message(0) is None
        assert pubsub.channels == {"a"}
        assert pubsub.patterns == {"b*"}


async def test_bytes_of_a_binary_view(client: AsyncClient[str]) -> None:
    async with client.binary.pubsub() as pubsub:
        await pubsub.subscribe(b"\xff", "a")
        await client.publish(b"\xff", b"\xfe")
        assert await pubsub.next_message(PATIENCE) == Message("message", None, b"\xff", b"\xfe")
        assert pubsub.channels == {b"\xff", b"a"}


async def test_a_message_that_is_not_text(client: AsyncClient[str]) -> None:
    async with client.pubsub() as pubsub:
        await pubsub.subscribe("a")
        await client.publish("a", b"\xff")
        await client.publish("a", "ok")
        with pytest.raises(DecodeError) as caught:
            await pubsub.next_message(PATIENCE)
        assert caught.value.data == b"\xff"
        assert await pubsub.next_message(PATIENCE) == Message("message", None, "a", "ok")


async def test_one_message_for_each_matching_subscription(client: AsyncClient[str]) -> None:
    calls: list[tuple[str, Message[Any]]] = []
    async with client.pubsub() as pubsub:
        await pubsub.subscribe(news=lambda message: calls.append(("channel", message)))
        await pubsub.psubscribe({"n*": lambda message: calls.append(("pattern", message))})
        await pubsub.psubscribe("ne*")
        assert await client.publish("news", "x") == 3
        assert await pubsub.next_message(PATIENCE) == Message("pmessage", "ne*", "news", "x")
        assert await pubsub.next_message(0.02) is None
    assert sorted(calls, key=lambda call: call[0]) == [
        ("channel", Message("message", None, "news", "x")),
        ("pattern", Message("pmessage", "n*", "news", "x")),
    ]


async def test_handlers_read_as_they_ask(client: AsyncClient[str]) -> None:
    seen: list[Any] = []
    async with client.pubsub() as pubsub:
        await pubsub.subscribe({"raw": seen.append}, decode=False)
        await pubsub.subscribe(text=seen.append)
        await client.publish("raw", b"\xff")
        await client.publish("text", "x")
        while len(seen) < 2:
            assert await pubsub.next_message(0.1) is None
    assert seen == [Message("message", None, b"raw", b"\xff"), Message("message", None, "text", "x")]


async def test_a_handler_that_raises(client: AsyncClient[str]) -> None:
    def fail(message: Message[Any]) -> None:
        raise ZeroDivisionError

    async with client.pubsub() as pubsub:
        await pubsub.subscribe("b", a=fail)
        await client.publish("a", "x")
        await client.publish("b", "y")
        with pytest.raises(ZeroDivisionError):
            await pubsub.next_message(PATIENCE)
        assert await pubsub.next_message(PATIENCE) == Message("message", None, "b", "y")


async def test_a_new_handler_takes_the_place_of_the_old(client: AsyncClient[str]) -> None:
    first: list[Any] = []
    second: list[Any] = []
    async with client.pubsub() as pubsub:
        await pubsub.subscribe(a=first.append)
        await pubsub.subscribe(a=second.append)
        await client.publish("a", "x")
        while not second:
            assert await pubsub.next_message(0.05) is None
        await pubsub.subscribe("a")
        await client.publish("a", "y")
        assert await pubsub.next_message(PATIENCE) == Message("message", None, "a", "y")
    assert (len(first), len(second)) == (0, 1)


async def test_an_end_of_some_and_of_all(client: AsyncClient[str]) -> None:
    async with client.pubsub() as pubsub:
        await pubsub.subscribe("a", "b", "c")
        await pubsub.psubscribe("p*")
        await pubsub.unsubscribe("b", "never")
        assert pubsub.channels == {"a", "c"}
        assert await client.publish("b", "x") == 0
        await pubsub.unsubscribe()
        await pubsub.unsubscribe()
        await pubsub.punsubscribe()
        assert await client.publish("a", "x") == await client.publish("pp", "x") == 0
        await pubsub.subscribe("a")
        assert await client.publish("a", "x") == 1
        assert await pubsub.next_message(PATIENCE) == Message("message", None, "a", "x")


async def test_subscribing_while_somebody_listens(client: AsyncClient[str]) -> None:
    """Each returns when it is confirmed, though somebody else reads the confirmation."""
    got: list[Any] = []
    async with client.pubsub() as pubsub:

        async def listen() -> None:
            got.extend([message async for message in pubsub])

        async def subscribe(number: int) -> None:
            for index in range(10):
                name = f"{number}-{index}"
                await pubsub.subscribe(name)
                assert await client.publish(name, "x") == 1, "it was not confirmed"
                if index % 2:
                    await pubsub.unsubscribe(name)
                    assert await client.publish(name, "y") == 0

        listener = aio.spawn(listen)
        await aio.sleep(0)
        for job in [aio.spawn(subscribe, number) for number in range(8)]:
            await job.join(PATIENCE)
        await until(lambda: not pubsub._ready)
        await pubsub.aclose()
        await listener.join(PATIENCE)
    assert {message.payload for message in got} == {"x"}
    assert len({message.channel for message in got}) == 80


async def test_messages_keep_their_order_whoever_reads(client: AsyncClient[str]) -> None:
    got: list[int] = []
    async with client.pubsub() as pubsub:
        await pubsub.subscribe("a")

        async def publish() -> None:
            for number in range(500):
                await client.publish("a", number)

        async def change() -> None:
            for number in range(50):
                await pubsub.subscribe(f"other-{number}")

        jobs = [aio.spawn(publish), aio.spawn(change)]
        while len(got) < 500:
            message = await pubsub.next_message(PATIENCE)
            assert isinstance(message, Message)
            got.append(int(message.payload))
        for job in jobs:
            await job.join(PATIENCE)
    assert got == list(range(500))


async def test_two_readers_share_the_messages(client: AsyncClient[str]) -> None:
    got: list[Any] = []
    async with client.pubsub() as pubsub:
        await pubsub.subscribe("a")

        async def listen() -> None:
            async for message in pubsub:
                assert isinstance(message, Message)
                got.append(int(message.payload))

        jobs = [aio.spawn(listen), aio.spawn(listen)]
        for number in range(100):
            await client.publish("a", number)
        await until(lambda: len(got) == 100)
        await pubsub.aclose()
        for job in jobs:
            await job.join(PATIENCE)
    assert sorted(got) == list(range(100))


async def test_a_handler_that_changes_subscriptions(client: AsyncClient[str]) -> None:
    async with client.pubsub() as pubsub:

        async def once(message: Message[Any]) -> None:
            await pubsub.unsubscribe(message.channel)
            await pubsub.subscribe("b")
            await client.publish("b", message.payload)

        await pubsub.subscribe(a=once)
        assert await client.publish("a", "x") == 1
        assert await pubsub.next_message(PATIENCE) == Message("message", None, "b", "x")
        assert await client.publish("a", "y") == 0


async def test_what_the_server_refuses(open_client: Open, server: RedisServer) -> None:
    admin = open_client()
    await admin.execute("ACL", "SETUSER", "narrow", "on", ">pw", "~*", "+@all", "resetchannels", "&open*")
    client = open_client(username="narrow", password="pw")
    async with client.pubsub() as pubsub:
        await pubsub.subscribe("open1")
        with pytest.raises(NoPermissionError) as caught:
            await pubsub.subscribe("open2", "closed")
        assert caught.value.command == "SUBSCRIBE"
        assert caught.value.address == f"127.0.0.1:{server.port}"
        assert pubsub.channels == {"open1"}
        await admin.publish("open1", "x")
        assert await pubsub.next_message(PATIENCE) == Message("message", None, "open1", "x")


async def test_shard_channels_where_there_are_none(client: AsyncClient[str], server: RedisServer) -> None:
    async with client.pubsub() as pubsub:
        if server.leg.at_least_7:
            await pubsub.ssubscribe("a")
            assert await client.publish("a", "x") == 0, "SUBSCRIBE and SSUBSCRIBE are different things"
        else:
            with pytest.raises(ServerError, match="unknown command"):
                await pubsub.ssubscribe("a")
            assert pubsub.shard_channels == set()


async def test_next_message_keeps_its_time(client: AsyncClient[str]) -> None:
    async with client.pubsub() as pubsub:
        await pubsub.subscribe("a")
        for timeout in (0, 0.05):
            began = time.monotonic()
            assert await pubsub.next_message(timeout) is None
            assert timeout <= time.monotonic() - began < timeout + 0.25


async def test_a_deadline_of_the_caller(client: AsyncClient[str]) -> None:
    async with client.pubsub() as pubsub:
        await pubsub.subscribe("a")
        with deadline(0.05), pytest.raises(DeadlineExceeded):
            async for _ in pubsub:
                pass
        with deadline(1):
            assert await pubsub.next_message(0.01) is None
        await client.publish("a", "x")
        with deadline(5):
            assert await pubsub.next_message() == Message("message", None, "a", "x")


async def test_pings_are_never_seen(client: AsyncClient[str], server: RedisServer) -> None:
    server.call("CONFIG", "RESETSTAT")
    async with client.pubsub(ping=0.1) as pubsub:
        assert await pubsub.next_message(0.15) is None  # outside subscriptions RESP2 answers +PONG
        await pubsub.subscribe("a")
        assert await pubsub.next_message(0.6) is None
        assert int(server.info("commandstats")["cmdstat_ping"].split(",")[0].removeprefix("calls=")) >= 3
        await client.publish("a", "x")
        assert await pubsub.next_message(PATIENCE) == Message("message", None, "a", "x")
    assert client.pool.stats().in_use == 0


@pytest.mark.parametrize("patience", ["1", True, -1, float("nan")])
async def test_a_timeout_that_is_none(client: AsyncClient[str], patience: Any) -> None:
    async with client.pubsub() as pubsub:
        with pytest.raises(UsageError, match="timeout must be"):
            await pubsub.next_message(patience)
    async with client.monitor() as monitor:
        with pytest.raises(UsageError, match="timeout must be"):
            await monitor.next_line(patience)


@pytest.mark.parametrize("ping", [0, -1, float("nan"), "1", True])
async def test_bad_pings(client: AsyncClient[str], ping: float) -> None:
    with pytest.raises(UsageError, match="ping="):
        client.pubsub(ping=ping)


async def test_the_connection_is_its_own_and_not_pooled(open_client: Open, server: RedisServer) -> None:
    client = open_client(pool_size=1, pool_timeout=0.05)
    async with client.pubsub() as pubsub:
        assert client.pool.stats().in_use == 0, "it connects when it is first used"
        await pubsub.subscribe("a")
        assert client.pool.stats().in_use == 1
        async with client.pubsub() as second:
            with pytest.raises(PoolTimeout, match="a pub/sub in"):
                await second.subscribe("b")
    assert (client.pool.stats().in_use, client.pool.stats().idle) == (0, 0)
    assert await client.echo("x") == "x"


async def test_after_close(client: AsyncClient[str]) -> None:
    pubsub = client.pubsub()
    await pubsub.subscribe("a")
    await client.publish("a", "x")
    await pubsub.aclose()
    await pubsub.aclose()
    assert pubsub.is_closed
    for call in (
        lambda: pubsub.next_message(1),
        lambda: pubsub.subscribe("b"),
        lambda: pubsub.unsubscribe("a"),
        pubsub.__aenter__,
    ):
        with pytest.raises(UsageError, match="closed"):
            await call()
    assert [message async for message in pubsub] == []
    assert client.pool.stats().in_use == 0
    assert "closed" in repr(pubsub)


async def test_a_closed_client(open_client: Open) -> None:
    client = open_client()
    pubsub = client.pubsub()
    await pubsub.subscribe("a")
    await client.aclose()
    with pytest.raises(PoolClosed):
        await pubsub.next_message(PATIENCE)
    await pubsub.aclose()


async def test_what_cannot_be_subscribed_to(client: AsyncClient[str]) -> None:
    async with client.pubsub() as pubsub:
        bad: Any
        for bad in ((), (1,), (None,), ({"a": 1},)):
            with pytest.raises(UsageError):
                await pubsub.subscribe(*bad)
        assert client.pool.stats().in_use == 0, "nothing was sent"


async def test_a_flood_while_a_confirmation_is_awaited(client: AsyncClient[str]) -> None:
    """What is kept meanwhile is bounded: `subscribe` returns before its confirmation rather than keep more."""
    async with client.pubsub() as pubsub:
        await pubsub.subscribe("a")
        async with client.pipeline() as pipe:
            for number in range(5000):
                pipe.publish("a", number)
        await pubsub.subscribe("b")
        assert len(pubsub._ready) <= 1024
        for number in range(5000):
            message = await pubsub.next_message(PATIENCE)
            assert isinstance(message, Message)
            assert message.payload == str(number)
        await pubsub.subscribe("c")
        assert await client.publish("b", "x") == await client.publish("c", "y") == 1
        assert await pubsub.next_message(PATIENCE) == Message("message", None, "b", "x")
