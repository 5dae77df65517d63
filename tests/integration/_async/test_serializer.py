"""A client's serializer on a server: every type through every door, and what others planted."""

# ruff: noqa: PT012 - what raises is the end of a block
from __future__ import annotations

import pickle
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

import pytest

import carmine
from carmine.client._async.client import AsyncClient
from carmine.errors import DecodeError, PipelineError, ThawError, UsageError, WrongTypeError
from carmine.freezing import registry
from carmine.protocol.values import Members, Pairs
from tests.lab.matrix import current_leg

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.integration._async.conftest import Open
    from tests.lab.servers import RedisServer

pytestmark = pytest.mark.asyncio

VALUES: list[Any] = [
    None,
    True,
    False,
    b"",
    b"\xff\0_",
    b"NX",
    [],
    [1, "a", None, b"x", [True]],
    (),
    (1, (2.5, "b")),
    {},
    {"a": {"b": [1]}, "": None},
    {1: "one", (2, "t"): {3}, None: b"n"},
    {1, "a", b"b"},
    frozenset({(1, 2)}),
    Decimal("1.50"),
    UUID(int=7),
    datetime(2024, 2, 29, 12, tzinfo=UTC),
    date(2024, 2, 29),
    timedelta(days=-1, microseconds=1),
    1j,
    2**70,
    complex(-0.0, float("inf")),
]
PLAIN = ["text", "", "é\0", 5, -1, 1.5]
"""What goes out as it is, and comes back as text."""


@pytest.fixture
def client(open_client: Open) -> AsyncClient[Any]:
    """Give a client with carmine's own serializer."""
    return open_client(serializer=True)


def same(a: Any, b: Any) -> bool:
    return type(a) is type(b) and bool(a == b)


async def test_every_type_through_set_and_get(client: AsyncClient[Any]) -> None:
    for value in VALUES:
        assert await client.set("k", value) is True
        assert same(await client.get("k"), value), value
        assert await client.set("k", value, get=True, ex=100) == value
        assert await client.getdel("k") == value
    for value in PLAIN:
        await client.set("k", value)
        assert await client.get("k") == str(value)


async def test_what_stands_on_the_server(client: AsyncClient[Any], server: RedisServer) -> None:
    await client.mset({"a": None, "b": b"x", "c": [1], "d": "text", "e": 5})
    assert server.call("MGET", "a", "b", "c", "d", "e") == [b"\0_", b"\0<x", b"\0j[1]", b"text", b"5"]
    assert await client.mget("a", "b", "c", "d", "e", "none") == [None, b"x", [1], "text", "5", None]


async def test_hashes_lists_sets_and_sorted_sets(client: AsyncClient[Any]) -> None:
    told = {str(at): value for at, value in enumerate(VALUES)}
    assert await client.hset("h", mapping=told) == len(told)
    for field, value in told.items():
        assert same(await client.hget("h", field), value)
    found = await client.hgetall("h")
    assert found == told
    assert all(same(found[field], value) for field, value in told.items())
    assert await client.hmget("h", "0", "1", "none") == [None, True, None]
    await client.hset("odd", mapping={None: 1, (1, 2): "b", b"f": {"c": 1}})
    assert await client.hgetall("odd") == {None: "1", (1, 2): "b", b"f": {"c": 1}}
    assert await client.hget("odd", (1, 2)) == "b"
    assert await client.hexists("odd", b"f") is True
    assert (await client.hscan("odd")).items == {None: "1", (1, 2): "b", b"f": {"c": 1}}

    await client.rpush("l", *VALUES, *PLAIN)
    assert all(map(same, await client.lrange("l", 0, -1), [*VALUES, *map(str, PLAIN)]))
    assert await client.lpos("l", (1, (2.5, "b"))) == VALUES.index((1, (2.5, "b")))
    assert await client.linsert("l", "BEFORE", b"NX", [0]) > 0
    assert await client.lrem("l", 1, [0]) == 1
    assert await client.lset("l", 0, {"first": 1}) is True
    assert await client.lpop("l") == {"first": 1}
    popped = await client.blpop("l", timeout=5)
    assert popped is not None
    assert popped == ("l", True)

    await client.sadd("s", None, 1, "a", b"a", (1, 2), True)
    assert await client.smembers("s") == {None, "1", "a", b"a", (1, 2), True}
    assert await client.sismember("s", (1, 2)) is True
    assert await client.smismember("s", b"a", b"b") == [True, False]
    await client.zadd("z", {None: 1, (1, 2): 2.5, "m": 3})
    assert await client.zrange("z", 0, -1, withscores=True) == [(None, 1.0), ((1, 2), 2.5), ("m", 3.0)]
    assert await client.zscore("z", (1, 2)) == 2.5
    assert await client.zpopmin("z") == (None, 1.0)


async def test_what_no_dict_or_set_can_hold_comes_as_a_list(client: AsyncClient[Any]) -> None:
    await client.hset("h", carmine.freeze([1]), "v")
    await client.hset("h", carmine.freeze("a"), "frozen")
    await client.hset("h", "a", "plain")
    found: Any = await client.hgetall("h")
    assert type(found) is Pairs
    assert sorted(map(repr, found)) == ["('a', 'frozen')", "('a', 'plain')", "([1], 'v')"]
    await client.sadd("s", [1], {"a": 1}, "b")
    members: Any = await client.smembers("s")
    assert type(members) is Members
    assert sorted(map(repr, members)) == ["'b'", "[1]", "{'a': 1}"]


async def test_streams(client: AsyncClient[Any]) -> None:
    await client.xadd("x", {"a": [1], None: b"LIMIT"}, maxlen=100)
    ((_, fields),) = await client.xrange("x")
    assert fields == {"a": [1], None: b"LIMIT"}


async def test_pipelines(client: AsyncClient[Any]) -> None:
    async with client.pipeline() as pipe:
        entries = [(pipe.set(f"k{at}", value), pipe.get(f"k{at}"), value) for at, value in enumerate(VALUES)]
        count = pipe.incr("n")
        dump = pipe.dump("k0")
        raw = pipe.execute("GET", "k7")
        composed: Any = {"a": 1}  # a function of carmine.commands knows no client, and no serializer
        added = pipe.add(carmine.commands.lists.rpush("l", composed))
        echo = pipe.lrange("l", 0, -1)
    assert all(put.value is True and same(got.value, value) for put, got, value in entries)
    assert (count.value, added.value, echo.value) == (1, 1, [{"a": 1}])
    assert isinstance(dump.value, bytes)
    assert raw.value == VALUES[7]


async def test_transactions(client: AsyncClient[Any]) -> None:
    async with client.transaction() as tx:
        first = tx.set("k", [1])
        second = tx.get("k")
        third = tx.dump("k")
    assert (first.value, second.value) == (True, [1])
    assert isinstance(third.value, bytes)

    async def append(tx: Any) -> None:
        tx.set("k", [*(await tx.now.get("k")), None])
        tx.get("k")

    atomic = await client.atomic(append, "k")
    assert atomic == ([[1]], [True, [1, None]])


async def test_a_pinned_connection(client: AsyncClient[Any]) -> None:
    async with client.connection() as connection:
        await connection.multi()
        assert str(await connection.set("k", {"a": 1})) == "QUEUED"
        assert await connection.get("k") == "QUEUED"
        assert await connection.execute("ECHO", carmine.raw(b"\0j[")) == "QUEUED"
        done, value, bad = await connection.execute("EXEC")
    assert (done, value) == ("OK", {"a": 1})
    assert isinstance(bad, ThawError)


async def test_scripts(client: AsyncClient[Any]) -> None:
    text = "return {ARGV[1], ARGV[2], {ARGV[3], 5, redis.call('GET', KEYS[1])}, false, {ok='fine'}}"
    await client.set("k", {"a": (1, 2)})
    named: dict[str, Any] = {"v": {"b": None}}
    args: list[Any] = [None, [b"x"], "t"]
    expected = [None, [b"x"], ["t", 5, {"a": (1, 2)}], None, "fine"]
    assert await client.eval(text, ["k"], args) == expected
    assert await client.script(text)(["k"], args) == expected
    assert await client.script(text)("k", args) == expected  # by its hash
    assert await client.lua("return {_:v, redis.call('GET', _:k)}", {"k": "k"}, named) == [
        {"b": None},
        {"a": (1, 2)},
    ]


async def test_the_raw_door(client: AsyncClient[Any]) -> None:
    assert await client.execute("SET", "k", {"a": 1}, "EX", 100) == "OK"
    assert await client.execute("GET", "k") == {"a": 1}
    assert await client.execute("ECHO", [1]) == [1]
    assert await client.execute(b"set", b"k", b"v", b"NX") is None


async def test_bytes_clients_and_views(client: AsyncClient[Any], open_client: Open) -> None:
    await client.set("k", [1])
    await client.set("t", "text")
    as_bytes = open_client(serializer=True, decode=False)
    assert await as_bytes.mget("k", "t") == [[1], b"text"]
    assert await client.binary.get("k") == b"\0j[1]"
    assert carmine.thaw(await client.binary.get("k") or b"") == [1]
    without = client.with_serializer(None)
    assert await without.get("k") == "\0j[1]"
    with pytest.raises(UsageError, match="a list is no command argument"):
        await without.set("k", [1])
    assert await without.set("k", carmine.freeze({"forced": 1})) is True
    assert await client.get("k") == {"forced": 1}
    again = without.with_serializer(True)
    assert await again.get("k") == {"forced": 1}
    plain = AsyncClient(pool=client.pool)
    assert await plain.get("t") == "text"
    assert await plain.get("k") == '\0j{"forced":1}'
    assert client.pool.stats().opened <= 2


async def test_arguments_that_bypass_markers(client: AsyncClient[Any], server: RedisServer) -> None:
    await client.set("k", carmine.raw(b"\0j[1]"))
    assert await client.get("k") == [1]
    await client.set("k", carmine.raw(b"plain"))
    assert server.call("GET", "k") == b"plain"
    assert await client.get("k") == "plain"
    for value in ("\0_", "\0j1", "\0"):
        with pytest.raises(UsageError, match="begins with NUL"):
            await client.set("k", value)
        await client.set("k", carmine.freeze(value))
        assert await client.get("k") == value
    await client.append("k", b"plain bytes")  # a part of a value gets no marker
    assert server.call("GET", "k") == carmine.freeze("\0") + b"plain bytes"


async def test_numbers_still_count(client: AsyncClient[Any]) -> None:
    await client.set("n", 5)
    assert await client.incr("n") == 6
    assert await client.hincrby("h", "f", 2) == 2
    assert await client.incrbyfloat("f", 1.5) == 1.5


async def test_nothing_is_sent_when_a_value_cannot_be_frozen(client: AsyncClient[Any], server: RedisServer) -> None:
    await client.ping()
    before = int(server.info("stats")["total_commands_processed"])
    with pytest.raises(UsageError, match="a object cannot be frozen"):
        await client.set("k", object())
    with pytest.raises(UsageError, match=r"a object \(at entry 0\) cannot be frozen"):
        await client.rpush("k", 1, {"a": object()})
    with pytest.raises(UsageError, match="GET has no place for a NoneType"):
        await client.get(None)  # type: ignore[arg-type]  # on purpose
    with pytest.raises(UsageError, match="a object"):
        async with client.pipeline() as pipe:
            pipe.set("a", 1)
            pipe.set("b", object())
    with pytest.raises(UsageError, match="a object"):
        async with client.transaction() as tx:
            tx.set("a", object())
    assert int(server.info("stats")["total_commands_processed"]) - before == 1  # the look before
    assert await client.exists("a", "b", "k") == 0


BAD = {
    "broken": b"\0j[",
    "nippy": b"\0>NPY\0\1",
    "other": b"\0swhat",
    "stranger": b'\0j{"!:nobody.Knows":{}}',
    "deep": b"\0j" + b"[" * 100_000,
    "after": b"\0_x",
}


async def test_what_another_client_planted_is_an_error_of_that_reply_alone(
    client: AsyncClient[Any], server: RedisServer
) -> None:
    for key, data in BAD.items():
        server.call("SET", key, data)
        server.call("RPUSH", "list", b"fine", data)
        server.call("HSET", "hash", key, data)
        with pytest.raises(ThawError, match="a value in the reply to GET cannot be thawed") as caught:
            await client.get(key)
        assert (caught.value.command, bool(caught.value.reason)) == ("GET", True)
    with pytest.raises(ThawError, match="the reply to LRANGE"):  # inside an aggregate: the whole of it
        await client.lrange("list", 0, -1)
    assert await client.lrange("list", 0, 0) == ["fine"]
    with pytest.raises(ThawError, match="the reply to HGETALL"):
        await client.hgetall("hash")
    with pytest.raises(ThawError, match="the reply to EVAL"):
        await client.eval("return {1, {redis.call('GET', KEYS[1])}}", ["broken"])
    await client.set("good", [1])
    async with client.pipeline(raise_errors=False) as pipe:
        replies = [pipe.get("good"), pipe.get("broken"), pipe.lpush("good", 1), pipe.get("good")]
    assert [type(reply.error) for reply in replies] == [type(None), ThawError, WrongTypeError, type(None)]
    assert replies[3].value == [1]
    with pytest.raises(PipelineError, match=r"command 1 of .*: a value in the reply"):
        async with client.pipeline() as pipe:
            pipe.get("good")
            pipe.get("nippy")
    with pytest.raises(PipelineError, match="command 1 of the transaction, GET"):
        async with client.transaction() as tx:
            first = tx.get("good")
            tx.get("nippy")
            last = tx.get("good")
    assert (first.value, last.value) == ([1], [1])
    assert await client.get("good") == [1]
    assert client.pool.stats().opened <= 2  # no connection was lost over it


async def test_text_that_is_none(client: AsyncClient[Any], server: RedisServer) -> None:
    server.call("SET", "k", b"\xff")
    with pytest.raises(DecodeError):
        await client.get("k")
    assert await client.ping() is True


class Bomb:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return self.path.write_text, ("boom",)


async def test_a_pickle_never_goes_off(client: AsyncClient[Any], server: RedisServer, tmp_path: Path) -> None:  # S-30
    path = tmp_path / "boom"
    bomb = b""
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        bomb = pickle.dumps(Bomb(path), protocol)
        for at, data in enumerate((bomb, b"\0s" + bomb, b"\0j" + bomb, b"\0>" + bomb)):
            server.call("SET", "k", data)
            server.call("RPUSH", f"l{at}", data)
            server.call("HSET", f"h{at}", data, data)
            server.call("SADD", f"s{at}", data)
            server.call("ZADD", f"z{at}", "1", data)
            server.call("XADD", f"x{at}", "*", data, data)
            async with client.pipeline(raise_errors=False) as pipe:
                replies = [
                    *(pipe.get("k"), pipe.lrange(f"l{at}", 0, -1), pipe.hgetall(f"h{at}"), pipe.smembers(f"s{at}")),
                    *(pipe.zrange(f"z{at}", 0, -1, withscores=True), pipe.xrange(f"x{at}"), pipe.execute("GET", "k")),
                    *(pipe.eval("return redis.call('GET', KEYS[1])", ["k"]), pipe.keys("*")),
                ]
            held = [reply.error for reply in replies[:-1]]
            kinds = (ThawError,) if at else (DecodeError, type(None))
            assert all(isinstance(error, kinds) for error in held), held
        server.call("SET", "k", b"\0<" + bomb)
        assert await client.get("k") == bomb
    assert not path.exists()
    pickle.loads(bomb)
    assert path.exists(), "the bomb would not have gone off"


class Point(NamedTuple):
    x: int
    y: int = 0


@pytest.fixture
def _registered() -> Iterator[None]:
    carmine.freezable("tests.Point")(Point)
    yield
    del registry.by_name["tests.Point"], registry.by_type[Point]


@pytest.mark.usefixtures("_registered")
async def test_registered_classes(client: AsyncClient[Any]) -> None:
    await client.set("k", [Point(1, 2)])
    found: Any = await client.get("k")
    assert found == [(1, 2)]
    assert type(found[0]) is Point
    await client.sadd("s", Point(3))
    assert await client.smembers("s") == {Point(3)}


async def test_a_serializer_of_one_s_own(open_client: Open, client: AsyncClient[Any], server: RedisServer) -> None:
    def dumps(value: Any) -> bytes:
        return repr(value).encode()[::-1]

    def loads(data: bytes) -> Any:
        return ("own", data[::-1].decode())

    own = open_client(serializer=(dumps, loads))
    await own.mset({"a": [1], "b": None, "c": b"x", "d": "text"})
    assert server.call("MGET", "a", "b", "c", "d") == [b"\0s]1[", b"\0_", b"\0<x", b"text"]
    assert await own.mget("a", "b", "c", "d") == [("own", "[1]"), None, b"x", "text"]
    await client.set("e", [2])
    assert await own.get("e") == [2]  # what carmine's own format wrote is read by all
    with pytest.raises(ThawError, match="a serializer of its own"):
        await client.get("a")


async def test_hooks_and_retries_see_commands_as_ever(open_client: Open) -> None:
    class Watcher(carmine.Hooks):
        def __init__(self) -> None:
            self.heard: list[tuple[str, str]] = []

        def on_command_end(self, name: str, address: str, seconds: float, error: BaseException | None) -> None:
            self.heard.append((name, type(error).__name__))

    watcher = Watcher()
    client = open_client(serializer=True, hooks=watcher)
    await client.set("k", [1])
    await client.set("bad", carmine.raw(b"\0j["))
    with pytest.raises(ThawError):
        await client.get("bad")
    assert watcher.heard == [("SET", "NoneType"), ("SET", "NoneType"), ("GET", "ThawError")]


async def test_keys_are_no_values(client: AsyncClient[Any], server: RedisServer) -> None:
    """Whoever can make a key could otherwise have others read it as a value, or not read at all."""
    planted = [b"\0_", b"\0j[1]", b"\0jnone", b"\0<raw", b"\0>nippy", b"\0sown"]
    as_text = sorted(key.decode() for key in planted)
    for key in planted:
        server.call("SET", key, b"v")
    assert sorted(await client.keys("*")) == as_text
    walked = [key async for key in client.scan_iter()]
    assert sorted(walked) == as_text
    assert await client.randomkey() in as_text
    assert await client.execute("KEYS", "*") == await client.keys("*")
    for key in planted:
        server.call("DEL", key)
        server.call("RPUSH", key, *[b"\0j[2]"] * 4)
        name = key.decode()
        assert await client.blpop([key], timeout=5) == (name, [2])
        assert await client.execute("BRPOP", key, 5) == [name, [2]]
        if current_leg().at_least_7:
            assert await client.lmpop([key], "LEFT") == (name, [[2]])
            assert await client.blmpop([key], "LEFT", timeout=5) == (name, [[2]])
        server.call("DEL", key)
        server.call("ZADD", key, 1, b"\0j[1]", 2, b"\0j[2]", 3, b"\0j[3]")
        assert await client.bzpopmin([key], timeout=5) == (name, [1], 1.0)
        if current_leg().at_least_7:
            assert await client.zmpop([key], "MAX") == (name, [([3], 3.0)])
            assert await client.bzmpop([key], "MIN", timeout=5) == (name, [([2], 2.0)])
        server.call("DEL", key)
        id = await client.xadd(key, {"f": [3]})
        assert await client.xread({key: 0}) == {name: [(id, {"f": [3]})]}
        assert await client.xread({key: 0}, block=1) == {name: [(id, {"f": [3]})]}
        raw = await client.execute("XREAD", "STREAMS", key, 0)
        assert (raw if type(raw) is dict else dict(raw)) == {name: [[id, ["f", [3]]]]}
        await client.xgroup_create(key, key, 0)
        assert await client.xreadgroup(key, key, {key: ">"}) == {name: [(id, {"f": [3]})]}
        assert [group.name for group in await client.xinfo_groups(key)] == [name]
        assert [one.name for one in await client.xinfo_consumers(key, key)] == [name]
        assert (await client.xpending(key, key)).consumers == {name: 1}


async def test_parts_of_values_are_no_values(client: AsyncClient[Any]) -> None:
    await client.set("a", [1, "é"])
    await client.set("b", [1])
    assert await client.getrange("a", 0, 3) == "\0j[1"
    if current_leg().at_least_7:
        assert await client.lcs("a", "b") == "\0j[1]"
    for text in ("\0", "\0_", "\0jx"):
        with pytest.raises(UsageError, match="a str given to APPEND begins with NUL"):
            await client.append("new", text)
        with pytest.raises(UsageError, match="a str given to SETRANGE begins with NUL"):
            await client.setrange("new", 0, text)
    assert await client.get("new") is None
    assert await client.append("new", carmine.raw("\0_")) == 2
    assert await client.append("new", "x\0") == 4


async def test_the_decoder_of_a_script_gets_values_and_keeps_its_result(client: AsyncClient[Any]) -> None:
    class Kept(dict[str, Any]):
        pass

    await client.set("k", {"a": (1, 2)})
    made = Kept(raw=b"\0_", text=b"\xff", nested=[b"\0_"])
    seen: list[Any] = []

    def decode(value: Any) -> Kept:
        seen.append(value)
        return made

    script: Any = client.script("return {redis.call('GET', KEYS[1]), ARGV[1], 'text', 5}", decode=decode)
    for _ in range(2):
        assert await script(["k"], [None]) is made
    async with client.pipeline() as pipeline:
        first, second = script.queue(pipeline, ["k"], [None]), script.queue(pipeline, ["k"], [None])
    assert first.value is second.value is made
    async with client.transaction() as tx:
        third = script.queue(tx, ["k"], [None])
    assert third.value is made
    assert seen == [[{"a": (1, 2)}, None, "text", 5]] * 5
