"""The client: commands, text and bytes, the raw door, sharing, closing."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any

import pytest

import carmine
from carmine.client._async.client import AsyncClient, connect_async
from carmine.errors import (
    DecodeError,
    PoolClosed,
    ServerError,
    UnexpectedReplyError,
    UsageError,
    WrongTypeError,
)
from tests.lab.scripted import Scripted

if TYPE_CHECKING:
    from tests.integration._async.conftest import Open
    from tests.lab.servers import RedisServer

pytestmark = pytest.mark.asyncio


async def test_values_come_back_as_they_went(client: AsyncClient[str]) -> None:
    for value in ("", "text", "ä€😀", "\r\n$5\r\n", "x" * 100_000, "y" * 3_000_000):
        assert await client.set("key", value) is True
        assert await client.get("key") == value
    assert await client.get("missing") is None
    assert await client.incr("n", 5) == 5
    assert await client.hset("h", mapping={"a": 1, "b": b"2"}) == 2
    assert await client.hgetall("h") == {"a": "1", "b": "2"}


async def test_durations_are_seconds_or_timedeltas(client: AsyncClient[str]) -> None:
    await client.set("key", "v", ex=datetime.timedelta(minutes=1))
    assert 59 <= await client.ttl("key") <= 60


async def test_bytes_where_decode_is_off(open_client: Open) -> None:
    client = open_client(decode=False)
    await client.set(b"\xff\x00", b"\x80")
    assert await client.get(b"\xff\x00") == b"\x80"
    assert await client.keys("*") == [b"\xff\x00"]


async def test_binary_is_a_view_of_the_same_pool(client: AsyncClient[str]) -> None:
    await client.set("key", b"\x80\x81")
    assert await client.binary.get("key") == b"\x80\x81"
    assert client.binary.pool is client.pool
    assert client.pool.stats().opened == 1
    await client.binary.aclose()
    assert await client.exists("key") == 1, "the view closed the pool of its client"


async def test_a_reply_that_is_no_text_is_an_error_of_that_reply_alone(client: AsyncClient[str]) -> None:
    await client.set("bad", b"\x80")
    await client.set("good", "ü")
    with pytest.raises(DecodeError) as caught:
        await client.get("bad")
    assert caught.value.data == b"\x80"
    assert await client.get("good") == "ü"
    with pytest.raises(DecodeError):
        await client.mget("good", "bad")
    assert client.pool.stats().opened == 1, "the connection was given up"


async def test_the_raw_door(client: AsyncClient[str]) -> None:
    assert await client.execute("set", "key", 7) == "OK"
    assert await client.execute(b"GET", "key") == "7"
    assert (await client.execute("CONFIG", "GET", "maxmemory"))[0 if client.options.protocol == 2 else "maxmemory"]
    assert await client.execute("object", "encoding", "key") == "int"
    with pytest.raises(ServerError, match="unknown command"):
        await client.execute("NOSUCHCOMMAND")


async def test_an_error_reply_knows_command_and_address(client: AsyncClient[str]) -> None:
    await client.set("key", "value-canary")
    with pytest.raises(WrongTypeError) as caught:
        await client.lpush("key", "argument-canary")
    assert caught.value.code == "WRONGTYPE"
    assert caught.value.command == "LPUSH"
    assert caught.value.address == str(client.options.address)
    assert "canary" not in str(caught.value)
    assert await client.get("key") == "value-canary"


@pytest.mark.parametrize("wrong", [None, True, object(), {"a": 1}, [1]])
async def test_an_argument_that_cannot_be_sent(client: AsyncClient[str], wrong: Any) -> None:
    with pytest.raises(UsageError):
        await client.set("key", wrong)
    with pytest.raises(UsageError):
        await client.execute("SET", "key", wrong)
    assert await client.exists("key") == 0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("SELECT", 1), "client.connection()"),
        (("MULTI",), "client.connection()"),
        (("WATCH", "k"), "client.connection()"),
        (("AUTH", "secret-canary"), "client.connection()"),
        (("SUBSCRIBE", "c"), "stream of messages"),
        (("CLIENT", "REPLY", "OFF"), "CLIENT REPLY is refused"),
        (("SYNC",), "SYNC is refused"),
        ((), "begins with its name"),
        (("GET key",), "one word"),
    ],
)
async def test_commands_that_have_no_place_on_a_client(
    client: AsyncClient[str], words: tuple[Any, ...], told: str
) -> None:
    with pytest.raises(UsageError) as caught:
        await client.execute(*words)
    assert told in str(caught.value)
    assert "canary" not in str(caught.value)
    assert await client.ping() in (True, "PONG")


async def test_a_reply_of_an_undocumented_shape(open_client: Open) -> None:
    with Scripted.replies({b"HGETALL": b":1\r\n", b"PING": b"+PONG\r\n"}) as server:
        client = open_client(server.url, protocol=3)
        with pytest.raises(UnexpectedReplyError, match="HGETALL"):
            await client.hgetall("h")
        assert await client.execute("HGETALL", "h") == 1
        assert server.accepted == 1


async def test_options_reach_the_server(open_client: Open, server: RedisServer) -> None:
    client = open_client(client_name="named", db=3)
    await client.set("key", 1)
    (seen,) = server.clients()
    assert (seen["name"], seen["db"]) == ("named", "3")
    if server.leg.at_least_7 and "lib-name" in seen:
        assert seen["lib-name"] == "carmine"


async def test_one_connection_serves_calls_one_after_the_other(client: AsyncClient[str], server: RedisServer) -> None:
    for number in range(50):
        assert await client.echo(str(number)) == str(number)
    stats = client.pool.stats()
    assert (stats.open + stats.shared, stats.in_use) == (1, 0)
    assert len(server.clients()) == 1


async def test_connect(url: str) -> None:
    async with connect_async(url) as client:
        assert await client.echo("x") == "x"
    async with connect_async(url, decode=False) as other:
        assert await other.echo("x") == b"x"


async def test_unix_socket(open_client: Open, server: RedisServer) -> None:
    client = open_client(server.unix_url)
    assert await client.echo("x") == "x"
    assert str(client.options.address).startswith("unix:")


async def test_a_shared_pool(client: AsyncClient[str]) -> None:
    other = AsyncClient(pool=client.pool, decode=False)
    await client.set("key", "v")
    assert await other.get("key") == b"v"
    assert client.pool.stats().opened == 1
    await other.aclose()
    with pytest.raises(PoolClosed):
        await other.get("key")
    assert await client.get("key") == "v"
    with pytest.raises(UsageError, match="shares a pool"):
        AsyncClient("redis://elsewhere", pool=client.pool)


async def test_a_closed_client(url: str, server: RedisServer) -> None:
    client = AsyncClient(url)
    async with client:
        await client.set("key", 1)
        binary, pipeline = client.binary, client.pipeline()
    await client.aclose()
    told = f"of {client.options.address} is closed; make a new"
    for call in (client.get, binary.get):
        with pytest.raises(PoolClosed, match=told):
            await call("key")
    with pytest.raises(PoolClosed, match=told):
        async with client.connection():
            pytest.fail("a closed client gave a connection")
    with pytest.raises(PoolClosed, match=told):
        async with pipeline:
            pipeline.get("key")
    assert client.pool.is_closed
    server.wait_clients(0)


async def test_closing_an_unused_client_opens_nothing(url: str, server: RedisServer) -> None:
    client = AsyncClient(url)
    await client.aclose()
    assert server.clients() == []
    with pytest.raises(PoolClosed):
        await client.ping()


async def test_reprs_show_state_and_no_secret(make_server: Any, protocol: Any) -> None:
    server = make_server(password="pw-canary")
    async with AsyncClient(server.url, password="pw-canary", protocol=protocol) as client:
        await client.set("key", "value-canary")
        async with client.connection() as connection:
            shown = [repr(client), repr(client.pool), repr(client.options), repr(connection), str(client)]
    assert not [text for text in shown if "canary" in text]
    assert "1 open" in shown[0]


class Watcher(carmine.Hooks):
    def __init__(self) -> None:
        self.heard: list[tuple[Any, ...]] = []

    def on_command_start(self, name: str, address: str) -> None:
        self.heard.append(("start", name))

    def on_command_end(self, name: str, address: str, seconds: float, error: BaseException | None) -> None:
        self.heard.append(("end", name, type(error).__name__))

    def on_connect(self, address: str, seconds: float) -> None:
        self.heard.append(("connect", seconds > 0))

    def on_close(self, address: str) -> None:
        self.heard.append(("close",))


async def test_hooks_hear_of_commands_and_connections(url: str) -> None:
    watcher = Watcher()
    async with AsyncClient(url, hooks=watcher) as client:
        await client.set("key", 1)
        with pytest.raises(WrongTypeError):
            await client.lpush("key", 1)
        async with client.pipeline() as pipeline:
            pipeline.get("key")
    assert watcher.heard == [
        ("start", "SET"),
        ("connect", True),
        ("end", "SET", "NoneType"),
        ("start", "LPUSH"),
        ("end", "LPUSH", "WrongTypeError"),
        ("start", "PIPELINE"),
        ("end", "PIPELINE", "NoneType"),
        ("close",),
    ]
