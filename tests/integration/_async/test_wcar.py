"""The ancestor's context: one reply or a list, parsers, blocks inside blocks, values among the replies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import carmine
from carmine import ParserError, as_int, compose, wcar
from carmine._bridge import aio
from carmine.errors import ConnectionLost, ServerError, UsageError, WrongTypeError

if TYPE_CHECKING:
    from carmine.client._async.client import AsyncClient
    from tests.integration._async.conftest import Open
    from tests.lab.proxy import FaultProxy
    from tests.lab.servers import RedisServer

pytestmark = pytest.mark.asyncio


def fail(_: object) -> None:
    """Raise, when something was queued."""
    raise ZeroDivisionError


async def test_one_reply_or_a_list(client: AsyncClient[str]) -> None:
    async with wcar(client) as p:
        assert p.replies is None
        reply = p.set("key", "1")
    assert p.replies is True
    assert reply.value is True
    async with wcar(client, as_list=True) as p:
        p.get("key")
    assert p.replies == ["1"]
    async with wcar(client) as p:
        p.get("key")
        p.get("nothing")
    assert p.replies == ["1", None]
    async with wcar(client) as p:
        pass
    assert p.replies is None
    async with wcar(client, True) as p:
        pass
    assert p.replies == []


async def test_errors_are_values_among_several(client: AsyncClient[str]) -> None:
    await client.set("key", "text")
    with pytest.raises(WrongTypeError):
        async with wcar(client) as p:
            p.lpush("key", "x")
    for as_list in (True, False):
        async with wcar(client, as_list) as p:
            p.lpush("key", "x")
            if not as_list:
                p.ping()
        assert isinstance(p.replies[0], WrongTypeError)


async def test_it_is_one_write_and_nothing_when_it_raises(
    open_client: Open, proxy: FaultProxy, server: RedisServer
) -> None:
    client = open_client(proxy.url(server.url))
    with pytest.raises(ZeroDivisionError):
        async with wcar(client) as p:
            fail(p.set("key", "1"))
    assert proxy.commands() == []
    async with wcar(client) as p:
        assert len(p) == 0
        for number in range(100):
            p.set("key", number)
        assert len(p) == 100
        assert proxy.commands() == []
    assert p.replies == [True] * 100


async def test_parsers(client: AsyncClient[str]) -> None:
    await client.set("n", "5")
    await client.rpush("list", "a", "1")
    async with wcar(client) as p:
        p.get("n")
        with p.parse(int):
            p.get("n")
            with p.parse(str):
                p.incr("n")  # the inner one wins
            with p.parse(None):
                p.get("n")
            p.value("7")
        with p.parse(compose(lambda n: n + 1, as_int)):
            p.get("n")
            p.lpush("n", "x")  # errors pass by
        with p.parse(type, errors=True):
            p.lpush("n", "x")
        with p.parse_int():
            p.get("nothing")
        with p.parse_float():
            p.get("n")
        with p.parse_bool():
            p.incrby("n", -5)
        with p.parse_map(str.upper, lambda key, value: (key, int(value))):
            p.lrange("list", 0, -1)
        with p.suppress():
            p.set("n", "9")
            p.lpush("n", "x")
        p.value(None)
    replies = p.replies
    assert replies[:7] == ["5", 5, "6", "6", 7, 7, replies[6]]
    assert isinstance(replies[6], WrongTypeError)
    assert replies[7:12] == [WrongTypeError, None, 6.0, True, {"A": ("A", 1)}]
    assert isinstance(replies[12], WrongTypeError), "suppress hides no error"
    assert replies[13:] == [None]


async def test_a_parser_that_raises_leaves_the_connection_clean(client: AsyncClient[str]) -> None:
    """FAULTS P05."""
    async with wcar(client) as p:
        with p.parse(lambda _: 1 // 0):
            p.get("key")
            p.value("x")
        p.echo("after")
    assert [type(reply) for reply in p.replies] == [ParserError, ParserError, str]
    assert isinstance(p.replies[0].__cause__, ZeroDivisionError)
    assert str(p.replies[0]) == "a parser raised ZeroDivisionError at the reply to GET"

    def fail_later(p: Any) -> None:
        def struck(_: object) -> None:
            raise KeyboardInterrupt

        with p.parse(struck):
            p.execute(["ECHO", "a"], ["ECHO", "b"])

    with pytest.raises(KeyboardInterrupt):
        async with wcar(client) as p:
            fail_later(p)
    assert await client.echo("c") == "c"
    assert client.pool.stats().in_use == 0


async def test_raw(open_client: Open) -> None:
    client = open_client(serializer=True)
    await client.set("key", {"a": 1})
    async with wcar(client) as p:
        p.get("key")
        with p.parse_raw():
            p.get("key")
            p.hset("hash", mapping={"f": "v"})
        with p.parse_raw(), p.parse(len):
            p.get("key")
    assert p.replies == [{"a": 1}, b'\0j{"a":1}', 1, 9]
    async with wcar(open_client(decode=False)) as p:
        p.get("key")
        p.ping()
    assert p.replies == [b'\0j{"a":1}', True]


async def test_flush_gives_the_replies_of_its_own_block(
    open_client: Open, proxy: FaultProxy, server: RedisServer
) -> None:
    client = open_client(proxy.url(server.url))
    async with wcar(client) as p:
        p.echo("before")
        async with p.flush() as block:
            p.echo("inside")
            assert proxy.commands() == []
            async with p.flush(as_list=True) as inner:
                p.echo("deep")
            assert (p.replies, block.replies, inner.replies) == ("before", "inside", ["deep"])
            p.echo("inside too")
        assert (p.replies, block.replies) == ("before", ["inside", "inside too"])
        p.echo("after")
        with pytest.raises(ServerError):
            async with p.flush():
                p.execute("NO-SUCH")
        async with p.flush(True) as block:
            p.execute("NO-SUCH")
        assert isinstance(block.replies[0], ServerError)
        with pytest.raises(ZeroDivisionError):
            async with p.flush() as block:
                fail(p.echo("never"))
        p.echo("last")
    assert p.replies == ["before", "after", "last"]
    assert "never" not in str(proxy.commands())
    with pytest.raises(UsageError, match="lives in its context"):
        async with p.flush():
            pass


async def test_a_context_inside_another_sends_first_what_that_has_queued(
    open_client: Open, proxy: FaultProxy, server: RedisServer
) -> None:
    client, other = open_client(proxy.url(server.url)), open_client(proxy.url(server.url))
    async with wcar(client) as outer:
        outer.set("key", "1")
        with outer.parse_int():
            outer.get("key")
        async with wcar(other) as inner:
            assert outer.replies == [True, 1]
            inner.get("key")
        assert inner.replies == "1"
        outer.incr("key")
    assert outer.replies == [True, 1, 2]


async def test_a_context_of_another_worker_is_left_alone(
    open_client: Open, proxy: FaultProxy, server: RedisServer
) -> None:
    client = open_client(proxy.url(server.url))

    async def apart() -> object:
        async with wcar(client) as p:
            p.echo("apart")
        return p.replies

    async with wcar(client) as p:
        p.echo("mine")
        assert await aio.spawn(apart).join(10) == "apart"
        assert p.replies is None
    assert p.replies == "mine"


async def test_raw_requests(client: AsyncClient[str]) -> None:
    async with wcar(client) as p:
        p.execute("SET", "key", 1)
        replies = p.execute(["GET", "key"], ("config-get", "maxmemory"), ["object-encoding", "key"])
    assert p.replies[:2] == ["OK", "1"]
    assert replies[0].value == "1"
    assert replies[1].value in (["maxmemory", "0"], {"maxmemory": "0"})
    assert replies[2].value == "int"
    async with wcar(client, True) as p:
        odd: Any
        for odd in ((), (["GET", "k"], "PING"), (["GET", "k"], []), ("PING", ["GET", "k"])):
            with pytest.raises(UsageError):
                p.execute(*odd)
        for state in ("SELECT", "SUBSCRIBE"):
            with pytest.raises(UsageError):
                p.execute(state, "1")
    assert p.replies == []


async def test_scripts_carry_their_text_once_and_again_after_a_drop(client: AsyncClient[str]) -> None:
    await client.script_flush()
    script = client.script("return ARGV[1]")
    async with wcar(client) as p:
        script.queue(p, (), "a")
        script.queue(p, (), "b")
        with pytest.raises(ZeroDivisionError):
            async with p.flush():
                fail(p.lua("return 7"))
        p.lua("return 7")
        p.compare_and_set("key", carmine.MISSING, "x")
    assert p.replies == ["a", "b", 7, True]


async def test_misuse(client: AsyncClient[str]) -> None:
    odd: Any
    for odd in (None, "redis://", client.pipeline(), 1):
        with pytest.raises(UsageError, match="wcar takes a Client or"):
            wcar(odd)
    with pytest.raises(UsageError, match="as_list must be"):
        wcar(client, 1)  # type: ignore[call-overload]
    async with wcar(client) as p:
        with pytest.raises(UsageError, match="in use already"):
            async with p:
                pass
        with pytest.raises(UsageError, match="parse takes a function"), p.parse("int"):  # type: ignore[arg-type]
            pass
    with pytest.raises(UsageError, match="compose takes functions"):
        compose()


async def test_a_lost_connection(open_client: Open, proxy: FaultProxy, server: RedisServer) -> None:
    client = open_client(proxy.url(server.url))
    await client.ping()
    proxy.cut_after["s2c"] = 0
    with pytest.raises(ConnectionLost):
        async with wcar(client) as p:
            p.execute(["INCR", "key"], ["INCR", "key"])
    assert isinstance(p.replies[-1], ConnectionLost)
    proxy.heal()
    assert await client.ping() is True
