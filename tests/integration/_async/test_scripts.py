"""Scripts, templates and functions on a server: what is sent, what is never done twice (FAULTS S07), in batches too."""

# ruff: noqa: PT012 - what raises is the end of a block
from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from carmine._bridge import aio
from carmine.errors import (
    ConnectionLost,
    ExecAbortError,
    NoScriptError,
    Outcome,
    PipelineError,
    ServerError,
    UnexpectedReplyError,
    UsageError,
    WatchError,
)
from carmine.retry import Retry
from tests.lab.matrix import current_leg, scaled
from tests.lab.proxy import Faults
from tests.lab.scripted import Scripted

if TYPE_CHECKING:
    from carmine.client._async.client import AsyncClient
    from tests.integration._async.conftest import Open
    from tests.lab.proxy import FaultProxy
    from tests.lab.servers import RedisServer

pytestmark = pytest.mark.asyncio

COUNT = "return redis.call('INCRBY', KEYS[1], ARGV[1])"
TELL = "return {KEYS, ARGV}"
since_7 = pytest.mark.skipif(not current_leg().at_least_7, reason="came with Redis 7.0")


def calls(proxy: FaultProxy) -> list[str]:
    """Return the names of the script commands that clients sent."""
    names = (words[0].decode() for words in proxy.commands())
    return [name for name in names if name.startswith(("EVAL", "SCRIPT", "FCALL"))]


async def test_keys_and_arguments_arrive(client: AsyncClient[str]) -> None:
    tell = client.script(TELL)
    assert await tell() == [[], []]
    assert await tell(["a", b"b"], [1, 2.5, "c", b"d"]) == [["a", "b"], ["1", "2.5", "c", "d"]]
    assert await tell("key", "arg") == [["key"], ["arg"]], "a string was taken for its letters"
    assert await tell("key", 7) == [["key"], ["7"]]
    assert await tell((key for key in "ab"), (number for number in (1, 2))) == [["a", "b"], ["1", "2"]]


async def test_the_text_goes_out_where_the_hash_is_unknown(
    open_client: Open, proxy: FaultProxy, server: RedisServer
) -> None:
    client = open_client(proxy.url(server.url))
    count = client.script(COUNT)
    assert [await count("n", 1) for _ in range(3)] == [1, 2, 3]
    assert calls(proxy) == ["EVALSHA", "EVAL", "EVALSHA", "EVALSHA"]
    await client.script_flush()
    assert await count("n", 1) == 4
    assert server.call("GET", "n") == b"4"
    assert calls(proxy)[4:] == ["SCRIPT", "EVALSHA", "EVAL"]
    assert count.sha == await client.script_load(COUNT)
    assert count.text == COUNT
    assert count.sha in repr(count)


async def test_it_works_after_a_restart(make_server: Any, open_client: Open) -> None:
    """FAULTS S07: the new process knows no script."""
    server = make_server()
    client = open_client(server.url)
    count = client.script(COUNT)
    assert await count("n", 1) == 1
    server.restart()
    assert await client.exists("n") == 0  # a read, which may be sent again on a new connection
    assert await count("n", 1) == 1
    assert server.call("GET", "n") == b"1"


@pytest.mark.parametrize("error", ["NOSCRIPT of mine", "ERR x", "WRONGTYPE x"])
async def test_an_error_of_the_script_itself_does_not_run_it_again(client: AsyncClient[str], error: str) -> None:
    """FAULTS S07: an error that begins with NOSCRIPT is no proof; a script that ran may answer it."""
    script = client.script("redis.call('INCR', KEYS[1]) return redis.error_reply(ARGV[1])")
    for times in (1, 2):
        with pytest.raises(ServerError, match=error) as caught:
            await script("n", error)
        assert caught.value.command == ("EVAL" if times == 1 else "EVALSHA")
        assert await client.get("n") == str(times)


async def test_one_that_does_not_compile_is_an_error(client: AsyncClient[str]) -> None:
    broken = client.script("this is no Lua argument-canary")
    for _ in range(2):
        with pytest.raises(ServerError) as caught:
            await broken("k", "value-canary")
        assert "value-canary" not in str(caught.value)


async def test_one_script_serves_many_clients(open_client: Open) -> None:
    client, other = open_client(), open_client(decode=False)
    tell = client.script("return ARGV[1]")
    assert await tell(args="ä") == "ä"
    assert await tell(args="ä", on=other) == "ä".encode()
    assert await tell(args="ä", on=client.binary) == "ä".encode()
    async with other.connection() as connection:
        assert await tell(args="ä", on=connection) == "ä".encode()
        assert await connection.script("return KEYS[1]")("k") == b"k"
        assert await connection.lua("return _:a", args={"a": 1}) == b"1"


async def test_a_decoder_shapes_what_it_returned(client: AsyncClient[str]) -> None:
    pairs = client.script("return {'a', '1', 'b', '2'}", decode=lambda raw: dict(zip(raw[::2], raw[1::2], strict=True)))
    for _ in range(2):
        assert await pairs() == {"a": "1", "b": "2"}
    async with client.pipeline() as pipeline:
        reply = pairs.queue(pipeline)
        again = pairs.queue(pipeline)
    assert reply.value == again.value == {"a": "1", "b": "2"}
    wrong = client.script("return 'x'", decode=int)
    with pytest.raises(UnexpectedReplyError):
        await wrong()
    assert await client.echo("next") == "next"


async def test_values_of_a_serializer(client: AsyncClient[str]) -> None:
    """By hash, by text, by name and in batches: the number of keys and the hash stay what they are."""
    store = "redis.call('SET', KEYS[1], ARGV[1]) return redis.call('GET', KEYS[1])"
    plain = client.with_serializer(True)
    keep: Any = plain.script(store)
    for value in ({"a": (1, 2)}, None, [True]):
        assert await keep(["key"], [value]) == value
        by_name: Any = {"v": value}
        assert (
            await plain.lua("redis.call('SET', _:k, _:v) return redis.call('GET', _:k)", {"k": "k"}, by_name) == value
        )
    async with plain.transaction() as tx:
        first, second = keep.queue(tx, ["key"], [{"b": 1}]), keep.queue(tx, ["key"], [{1, 2}])
    assert (first.value, second.value) == ({"b": 1}, {1, 2})


async def test_inside_a_multi_by_hand_the_text_goes_out(client: AsyncClient[str]) -> None:
    count = client.script(COUNT)
    async with client.connection() as connection:
        assert await count("n", 1, on=connection) == 1
        await connection.script_flush()
        await connection.execute("MULTI")
        assert await count("n", 1, on=connection) in ("QUEUED", b"QUEUED")
        assert await connection.execute("EXEC") == [2]
        await connection.script_flush()
        assert await count("n", 1, on=connection) == 3


async def test_before_multi_a_script_runs_at_once(client: AsyncClient[str]) -> None:
    count = client.script(COUNT)
    async with client.transaction("watched") as tx:
        assert await count("n", 1, on=tx.now) == 1
        assert await tx.now.lua("return _:v", args={"v": "x"}) == "x"
        reply = count.queue(tx, "n", 1)
    assert tx.prelude == [1, "x"]
    assert reply.value == 2


# What only reads. ----------------------------------------------------------------------------------------------------


@since_7
async def test_a_script_that_reads_goes_out_as_one(open_client: Open, proxy: FaultProxy, server: RedisServer) -> None:
    client = open_client(proxy.url(server.url))
    await client.set("key", "v")
    read = client.script("return redis.call('GET', KEYS[1])", readonly=True)
    assert [await read("key") for _ in range(2)] == ["v", "v"]
    assert await client.lua("return {_:k}", {"k": "key"}, readonly=True) == ["key"]
    assert calls(proxy) == ["EVALSHA_RO", "EVAL_RO", "EVALSHA_RO", "EVALSHA_RO", "EVAL_RO"]
    write = client.script("return redis.call('SET', KEYS[1], 'w')", readonly=True)
    with pytest.raises(ServerError, match=r"[Ww]rite commands are not allowed"):
        await write("key")
    assert await client.get("key") == "v"


@since_7
@pytest.mark.parametrize("readonly", [True, False])
async def test_only_a_script_that_reads_is_sent_again_when_its_reply_is_lost(
    open_client: Open, proxy: FaultProxy, server: RedisServer, readonly: bool
) -> None:
    """FAULTS S07, A01: who does not know whether it ran does not run it again, unless it changes nothing."""
    client = open_client(proxy.url(server.url), retry=Retry(3, absolute_writes=True, base=0.001, cap=0.002))
    text = "return redis.call('GET', KEYS[1])" if readonly else "return redis.call('INCR', KEYS[1])"
    script = client.script(text, readonly=readonly)
    await client.script_load(text)
    await client.set("n", 1)
    proxy.mark()
    proxy.cut_after["s2c"] = 1
    proxy.plan = lambda number: Faults()  # later connections are healthy
    if readonly:
        assert await script("n") == "1"
        assert calls(proxy)[-2:] == ["EVALSHA_RO", "EVALSHA_RO"]
        return
    with pytest.raises(ConnectionLost) as caught:
        await script("n")
    assert caught.value.outcome is Outcome.UNKNOWN
    assert await client.get("n") == "2"
    assert calls(proxy)[-1:] == ["EVALSHA"]
    assert calls(proxy).count("EVALSHA") == 1


# Templates. ----------------------------------------------------------------------------------------------------------


async def test_variables_have_names(client: AsyncClient[str]) -> None:
    text = "redis.call('SET', _:my-key, 'lua ' .. _:my-val) return redis.call('GET', _:my-key)"
    assert await client.lua(text, {"my-key": "foo"}, {"my-val": "bar"}) == "lua bar"
    assert await client.lua("return {_:k, _:key, _:k-1}", {"k": "a", "key": "b"}, {"k-1": "c"}) == ["a", "b", "c"]
    assert await client.lua("return {KEYS[1], ARGV[1]}", ["a"], ["b"]) == ["a", "b"]
    assert await client.lua("return tonumber(_:n) - 1", args={"n": 5}) == 4


async def test_a_value_is_never_text(client: AsyncClient[str], server: RedisServer) -> None:
    """S-15: neither a variable's name, nor a place, nor Lua."""
    await client.set("precious", 1)
    evil = ["_:other", "KEYS[1]", "'] redis.call('FLUSHALL') --", "]] redis.call('FLUSHALL') --", '"', "\\", "\0"]
    for value in evil:
        got = await client.lua("return {_:v, _:other}", {"other": "precious"}, {"v": value})
        assert got == [value, "precious"]
    assert await client.get("precious") == "1"
    sent = server.info("commandstats")
    assert not any("flushall" in name for name in sent), "FLUSHALL ran"


async def test_a_template_that_lacks_a_name_sends_nothing(
    open_client: Open, proxy: FaultProxy, server: RedisServer
) -> None:
    client = open_client(proxy.url(server.url))
    await client.ping()
    with pytest.raises(UsageError, match="_:key"):
        await client.lua("return _:key", {"k": "a"})
    with pytest.raises(UsageError):
        await client.lua("return 1", {"1st": "a"})
    assert calls(proxy) == []


async def test_a_template_is_known_by_its_hash(open_client: Open, proxy: FaultProxy, server: RedisServer) -> None:
    client = open_client(proxy.url(server.url))
    for number in range(3):
        assert await client.lua("return _:v", args={"v": number}) == str(number)
    assert calls(proxy) == ["EVALSHA", "EVAL", "EVALSHA", "EVALSHA"]


# Batches. ------------------------------------------------------------------------------------------------------------


async def test_each_batch_carries_the_text_once(open_client: Open, proxy: FaultProxy, server: RedisServer) -> None:
    client = open_client(proxy.url(server.url))
    count = client.script(COUNT)
    pipeline = client.pipeline()
    async with pipeline:
        replies = [count.queue(pipeline, "n", 1) for _ in range(3)]
        other = pipeline.lua("return _:v", args={"v": "x"})
        await pipeline.flush()
        replies += [count.queue(pipeline, "n", 1) for _ in range(2)]
    assert [reply.value for reply in replies] == [1, 2, 3, 4, 5]
    assert other.value == "x"
    assert calls(proxy) == ["EVAL", "EVALSHA", "EVALSHA", "EVAL", "EVAL", "EVALSHA"]


@pytest.mark.parametrize("kind", ["pipeline", "transaction"])
async def test_a_batch_works_whatever_the_server_forgot(client: AsyncClient[str], kind: str) -> None:
    """FAULTS S07: there is no way back inside EXEC, so that no call may depend on what the server knows."""
    count = client.script(COUNT)
    await count("n", 1)
    batch: Any = client.pipeline() if kind == "pipeline" else client.transaction()
    async with batch:
        count.queue(batch, "n", 1)
        await client.script_flush()
        count.queue(batch, "n", 1)
        batch.get("n")
        await client.script_flush()
    assert batch.replies == [2, 3, "3"]


async def test_a_batch_works_after_a_restart(make_server: Any, open_client: Open) -> None:
    """FAULTS S07: the server is another one between the queuing and the sending."""
    server = make_server()
    client = open_client(server.url)
    count = client.script(COUNT)
    await count("n", 1)
    async with client.pipeline() as pipeline:
        count.queue(pipeline, "n", 1)
        count.queue(pipeline, "n", 1)
        server.restart()
        assert await client.exists("n") == 0
    assert pipeline.replies == [1, 2]
    async with client.transaction() as tx:
        count.queue(tx, "n", 1)
        server.restart()
        assert await client.exists("n") == 0
    assert tx.replies == [1]


async def test_what_was_dropped_was_not_carried(client: AsyncClient[str]) -> None:
    """A batch that was not sent has taught the server nothing."""
    count = client.script(COUNT)
    pipeline, tx = client.pipeline(), client.transaction()
    for batch in (pipeline, tx):
        with pytest.raises(ZeroDivisionError):
            async with batch:
                count.queue(batch, "n", 1)
                _ = 1 // 0
    async with pipeline:
        count.queue(pipeline, "n", 1)
    assert pipeline.replies == [1]
    await client.script_flush()
    async with tx:
        count.queue(tx, "n", 1)
        tx.discard()
        count.queue(tx, "n", 1)
        count.queue(tx, "n", 1)
    assert tx.replies == [2, 3]


async def test_an_exec_that_did_not_happen_ran_no_script(client: AsyncClient[str]) -> None:
    count = client.script(COUNT)
    tx = client.transaction("watched")
    with pytest.raises(WatchError):
        async with tx:
            await client.set("watched", 1)
            count.queue(tx, "n", 1)
    with pytest.raises(ExecAbortError):
        async with client.transaction() as aborted:
            count.queue(aborted, "n", 1)
            aborted.execute("NOSUCHCOMMAND")
    assert await client.exists("n") == 0
    async with tx:
        count.queue(tx, "n", 1)
    assert tx.replies == [1]


async def test_a_flush_within_a_pipeline_leaves_its_calls_undone(client: AsyncClient[str]) -> None:
    """They are told so, and not sent again behind what came after them."""
    count = client.script(COUNT)
    with pytest.raises(PipelineError) as caught:
        async with client.pipeline() as pipeline:
            count.queue(pipeline, "n", 1)
            pipeline.script_flush()
            missed = count.queue(pipeline, "n", 1)
            last = pipeline.get("n")
    assert isinstance(missed.error, NoScriptError)
    assert isinstance(caught.value.__cause__, NoScriptError)
    assert last.value == "1"


async def test_a_batch_with_a_script_that_writes_is_not_sent_again(open_client: Open) -> None:
    with Scripted.replies({b"EVAL": None}) as server:
        client = open_client(server.url, protocol=3, retry=Retry(3, absolute_writes=True, base=0.001, cap=0.002))
        pipeline = client.pipeline()
        with pytest.raises(ConnectionLost) as caught:
            async with pipeline:
                pipeline.lua("return redis.call('INCR', _:n)", {"n": "n"})
        assert caught.value.outcome is Outcome.UNKNOWN
        assert [words[0] for _, words in server.commands].count(b"EVAL") == 1


# Many at once. -------------------------------------------------------------------------------------------------------


async def test_a_storm_of_noscript(open_client: Open, server: RedisServer) -> None:
    """FAULTS S07: while somebody flushes all the time every call runs, and runs once."""
    client, other = open_client(), open_client()
    count = client.script(COUNT)
    told = client.script("return ARGV[1]")
    rounds = scaled(1000)

    async def flush() -> None:
        while not all(job.is_done for job in working):
            await other.script_flush()

    async def call(number: int) -> list[int]:
        here = client if number % 2 else other
        got = []
        for turn in range(rounds):
            got.append(await count("n", 1, on=here))
            token = f"{number}-{turn}"
            assert await told(args=token, on=here) == token
        return got

    async def transact(number: int) -> list[int]:
        got: list[int] = []
        for _ in range(rounds):
            async with client.transaction() as tx:
                one, two = count.queue(tx, "n", 1), count.queue(tx, "n", 1)
                token = told.queue(tx, args=str(number))
            got += (one.value, two.value)
            assert token.value == str(number)
            assert two.value == one.value + 1
        return got

    async def pipe(number: int) -> list[int]:
        got: list[int] = []
        for _ in range(rounds):
            async with client.pipeline(raise_errors=False) as pipeline:
                for _ in range(5):
                    count.queue(pipeline, "n", 1)
            assert all(isinstance(reply, int | NoScriptError) for reply in pipeline.replies)
            assert isinstance(pipeline.replies[0], int), "the first call carries the text"
            got += (reply for reply in pipeline.replies if isinstance(reply, int))
        return got

    working = [aio.spawn(job, number) for number, job in enumerate([call, call, call, call, transact, pipe])]
    flushing = aio.spawn(flush)
    numbers = [number for job in working for number in await job.join(60)]
    await flushing.join(60)
    assert sorted(numbers) == list(range(1, len(numbers) + 1)), "a call was lost, or ran twice"
    assert len(numbers) >= rounds * 7
    assert server.call("GET", "n") == str(len(numbers)).encode()


# Functions. ----------------------------------------------------------------------------------------------------------

LIBRARY = """#!lua name=shelf
redis.register_function('put', function(keys, args) return redis.call('SET', keys[1], args[1]) end)
redis.register_function{function_name='take', flags={'no-writes'},
    callback=function(keys, args) return redis.call('GET', keys[1]) end}
"""


@since_7
async def test_a_library_is_loaded_called_and_deleted(client: AsyncClient[str]) -> None:
    assert await client.function_load(LIBRARY) == "shelf"
    with pytest.raises(ServerError, match="already exists"):
        await client.function_load(LIBRARY)
    assert await client.function_load(LIBRARY, replace=True) == "shelf"
    assert await client.fcall("put", "key", "v") == "OK"
    assert await client.fcall("take", ["key"]) == await client.fcall_ro("take", ["key"]) == "v"
    assert await client.binary.fcall_ro("take", ["key"]) == b"v"
    with pytest.raises(ServerError, match="write flag"):
        await client.fcall_ro("put", "key", "w")
    (library,) = await client.function_list("sh*", withcode=True)
    assert (library.name, library.code) == ("shelf", LIBRARY)
    assert {each.name: each.flags for each in library.functions} == {"put": set(), "take": {"no-writes"}}
    assert await client.function_delete("shelf") is True
    with pytest.raises(ServerError, match=r"[Ff]unction not found"):
        await client.fcall("take", ["key"])
    with pytest.raises(ServerError, match="not found"):
        await client.function_delete("shelf")


@since_7
async def test_libraries_are_dumped_and_restored(client: AsyncClient[str]) -> None:
    await client.function_load(LIBRARY)
    dumped = await client.function_dump()
    assert isinstance(dumped, bytes)
    await client.function_flush()
    assert await client.function_list() == []
    assert await client.function_restore(dumped) is True
    with pytest.raises(ServerError, match="already exists"):
        await client.function_restore(dumped)
    assert await client.function_restore(dumped, "REPLACE") is True
    assert await client.fcall("put", "key", "v") == "OK"


@since_7
async def test_functions_in_batches(client: AsyncClient[str]) -> None:
    await client.function_load(LIBRARY)
    async with client.pipeline() as pipeline:
        pipeline.fcall("put", "key", "v")
        pipeline.fcall_ro("take", "key")
    async with client.transaction() as tx:
        tx.fcall("put", "key", "w")
        tx.fcall_ro("take", "key")
    assert (pipeline.replies, tx.replies) == (["OK", "v"], ["OK", "w"])
