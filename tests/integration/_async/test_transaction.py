"""Transactions: one attempt, several attempts, and what is left of them when they fail."""

# ruff: noqa: PT012 - what raises is the end of a block
from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from carmine.errors import (
    DecodeError,
    ExecAbortError,
    PipelineError,
    ReadOnlyError,
    UsageError,
    WatchError,
    WrongTypeError,
)
from tests.lab.scripted import Scripted

if TYPE_CHECKING:
    from carmine.client._async.client import AsyncClient
    from carmine.client._async.transaction import AsyncTransaction
    from tests.integration._async.conftest import Open
    from tests.lab.servers import RedisServer

pytestmark = pytest.mark.asyncio


def watched_on(client: AsyncClient[str]) -> int:
    """Return how many connections were opened for one caller at a time."""
    stats = client.pool.stats()
    return stats.opened - stats.shared


async def test_commands_run_together(client: AsyncClient[str]) -> None:
    async with client.transaction() as tx:
        first, second, third = tx.set("key", 1), tx.incr("key"), tx.hset("h", "f", "v")
        assert await client.exists("key") == 0
    assert (first.value, second.value, third.value) == (True, 2, 1)
    assert tx.replies == [True, 2, 1]


async def test_reads_at_once_before_the_rest(client: AsyncClient[str]) -> None:
    await client.set("key", 5)
    async with client.transaction("key") as tx:
        now = int(await tx.now.get("key") or 0)
        raw = await tx.now.execute("EXISTS", "key")
        tx.set("key", now * 2)
    assert raw == 1
    assert tx.prelude == ["5", 1]
    assert tx.replies == [True]
    assert await client.get("key") == "10"
    assert watched_on(client) == 1


async def test_a_watched_key_changed_by_another(client: AsyncClient[str], open_client: Open) -> None:
    other = open_client()
    with pytest.raises(WatchError, match="not executed"):
        async with client.transaction("key") as tx:
            await other.set("key", "theirs")
            mine = tx.set("key", "mine")
    assert await client.get("key") == "theirs"
    with pytest.raises(WatchError):
        _ = mine.value
    assert watched_on(client) == 1, "the connection was good"


async def test_watch_inside_the_block(client: AsyncClient[str], open_client: Open) -> None:
    other = open_client()
    with pytest.raises(WatchError):
        async with client.transaction() as tx:
            await tx.now.watch("key")
            await other.set("key", 1)
            tx.set("key", 2)
    async with client.transaction("key") as tx:
        await other.set("key", 3)
        await tx.now.unwatch()
        tx.set("key", 4)
    assert await client.get("key") == "4"


async def test_nothing_runs_when_the_block_raises(client: AsyncClient[str], open_client: Open) -> None:
    other = open_client()
    with pytest.raises(ZeroDivisionError):
        async with client.transaction("key") as tx:
            tx.set("key", 1)
            _ = 1 // 0
    assert await client.exists("key") == 0
    async with client.transaction() as tx:  # on the same connection: the watch must be gone
        await tx.now.get("key")
        await other.set("key", 2)
        tx.incr("key")
    assert tx.replies == [3]
    assert watched_on(client) == 1


async def test_an_empty_transaction_sends_no_exec(client: AsyncClient[str]) -> None:
    async with client.transaction("key") as tx:
        tx.set("key", 1)
        tx.discard()
    assert tx.replies == []
    assert await client.exists("key") == 0
    async with client.transaction() as tx:
        pass
    assert tx.replies == []


async def test_a_command_that_fails_when_it_runs(client: AsyncClient[str]) -> None:
    await client.set("text", "x")
    with pytest.raises(PipelineError) as caught:
        async with client.transaction() as tx:
            tx.set("a", 1)
            wrong = tx.lpush("text", 1)
            tx.incr("a")
    assert (caught.value.index, caught.value.command) == (1, "LPUSH")
    assert tx.replies[0] is True
    assert isinstance(wrong.error, WrongTypeError)
    assert tx.replies[2] == 2, "the others were executed"


async def test_a_command_that_is_refused_while_it_is_queued(client: AsyncClient[str]) -> None:
    with pytest.raises(ExecAbortError) as caught:
        async with client.transaction() as tx:
            tx.set("a", 1)
            tx.execute("NOSUCHCOMMAND", "argument-canary")
    ((index, cause),) = caught.value.causes
    assert index == 1
    assert cause.command == "NOSUCHCOMMAND"
    assert "canary" not in str(caught.value) + str(cause)
    assert await client.exists("a") == 0
    assert client.pool.stats().opened == 1


async def test_a_reply_that_is_no_text(client: AsyncClient[str]) -> None:
    await client.set("bad", b"\x80")
    async with client.transaction(raise_errors=False) as tx:
        tx.echo("a")
        tx.get("bad")
        tx.dump("bad")
        tx.echo("b")
    assert tx.replies[0] == "a"
    assert isinstance(tx.replies[1], DecodeError)
    assert isinstance(tx.replies[2], bytes)
    assert tx.replies[3] == "b"


async def test_a_transaction_lives_in_its_block(client: AsyncClient[str]) -> None:
    tx = client.transaction()
    with pytest.raises(UsageError, match="lives in its block"):
        await tx.now.get("key")
    async with tx:
        with pytest.raises(UsageError, match="in use already"):
            async with tx:
                pytest.fail("the transaction began anew inside its own block")
    with pytest.raises(UsageError, match="lives in its block"):
        await tx.now.get("key")


@pytest.mark.parametrize("words", [("SELECT", 1), ("MULTI",), ("EXEC",), ("SUBSCRIBE", "c"), ("RESET",)])
async def test_commands_that_have_no_place_in_a_transaction(client: AsyncClient[str], words: tuple[Any, ...]) -> None:
    async with client.transaction() as tx:
        with pytest.raises(UsageError):
            await tx.now.execute(*words)
        with pytest.raises(UsageError):
            tx.execute(*words)
        tx.echo("x")
    assert tx.replies == ["x"]


async def test_atomic_tries_again(client: AsyncClient[str], open_client: Open) -> None:
    other, tries = open_client(), []

    async def double(tx: AsyncTransaction[str]) -> None:
        value = int(await tx.now.get("n") or 1)
        tries.append(value)
        if len(tries) < 3:
            await other.incr("n")
        tx.set("n", value * 2)

    prelude, replies = await client.atomic(double, "n")
    assert tries == [1, 1, 2]
    assert (prelude, replies) == (["2"], [True])
    assert await client.get("n") == "4"


async def test_atomic_gives_up(client: AsyncClient[str], open_client: Open) -> None:
    other, tries = open_client(), []

    async def always_late(tx: AsyncTransaction[str]) -> None:
        tries.append(1)
        await other.incr("n")
        tx.set("n", "mine")

    with pytest.raises(WatchError, match="each of 4 attempts"):
        await client.atomic(always_late, "n", attempts=4)
    assert len(tries) == 4
    with pytest.raises(UsageError, match="attempts"):
        await client.atomic(always_late, "n", attempts=0)


async def test_what_atomic_runs_may_raise(client: AsyncClient[str], server: RedisServer) -> None:
    async def fails(tx: AsyncTransaction[str]) -> None:
        tx.set("n", 1)
        raise KeyError("n")

    with pytest.raises(KeyError):
        await client.atomic(fails, "n")
    assert await client.exists("n") == 0
    assert client.pool.stats().in_use == 0


async def test_a_reply_that_asks_for_another_connection(open_client: Open) -> None:
    """READONLY after a failover: who comes next is not to meet the same server (S05)."""
    readonly = b"-READONLY You can't write against a read only replica.\r\n"
    with Scripted.replies({b"SET": readonly, b"WATCH": b"+OK\r\n"}) as server:
        client = open_client(server.url, protocol=3, pool_size=1)
        for watched in ((), ("key",)):
            with pytest.raises(ReadOnlyError):
                async with client.transaction(*watched) as tx:
                    await tx.now.set("key", "v")
            assert client.pool.stats().open == 0
        assert server.accepted == 2
        assert not [words for _, words in server.commands if words[0] == b"UNWATCH"]
