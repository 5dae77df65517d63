"""The pinned connection: state for the length of a block, and never beyond it."""

# ruff: noqa: PT012 - what raises is the end of a block
from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest

from carmine.errors import ServerError, UsageError
from tests.integration._async.helpers import alone

if TYPE_CHECKING:
    from carmine.client._async.client import AsyncClient
    from tests.integration._async.conftest import Open

pytestmark = pytest.mark.asyncio


async def test_state_lasts_for_the_block(client: AsyncClient[str]) -> None:
    await client.set("key", "in 0")
    async with client.connection() as connection:
        await connection.select(1)
        await connection.set("key", "in 1")
        assert await connection.get("key") == "in 1"
        assert await client.get("key") == "in 0"
    assert await client.get("key") == "in 0"


async def test_one_connection_for_the_whole_block(client: AsyncClient[str]) -> None:
    async with client.connection() as connection:
        first = await connection.client_id()
        assert await connection.client_id() == first
        assert connection.protocol == client.options.protocol
        assert (connection.server_info.get("proto") == 3) is (connection.protocol == 3)
    async with client.connection() as connection:
        assert await connection.client_id() == first, "a clean connection was not kept"


@pytest.mark.parametrize(
    "words",
    [
        ("SELECT", 3),
        ("MULTI",),
        ("WATCH", "k"),
        ("CLIENT", "NO-EVICT", "ON"),
        ("CLIENT", "TRACKING", "ON"),
        ("CLIENT", "SETNAME", "x"),
        ("READONLY",),
        ("HELLO", 2),
        ("RESET",),
        ("NOSUCHCOMMAND",),
    ],
)
async def test_a_connection_whose_state_was_touched_is_not_given_on(
    client: AsyncClient[str], words: tuple[Any, ...]
) -> None:
    async with client.connection() as connection:
        used = await connection.client_id()
        with contextlib.suppress(ServerError):  # not every server knows every one; the state is unknown then
            await connection.execute(*words)
    assert await alone(client, "CLIENT", "ID") != used
    stats = client.pool.stats()
    assert (stats.open, stats.in_use) == (1, 0)


async def test_a_transaction_by_hand(client: AsyncClient[str]) -> None:
    async with client.connection() as connection:
        assert await connection.execute("MULTI") == "OK"
        assert await connection.execute("SET", "key", 1) == "QUEUED"
        assert await connection.execute("GET", "key") == "QUEUED"
        assert await client.exists("key") == 0
        assert await connection.execute("EXEC") == ["OK", "1"]
        assert await connection.get("key") == "1"


@pytest.mark.parametrize("version", [2, 3])
async def test_hello_changes_the_protocol(client: AsyncClient[str], version: int) -> None:
    await client.hset("h", "f", "v")
    async with client.connection() as connection:
        await connection.execute("HELLO", version)
        assert await connection.hgetall("h") == {"f": "v"}
    assert await client.hgetall("h") == {"f": "v"}


@pytest.mark.parametrize("words", [("SUBSCRIBE", "c"), ("CLIENT", "REPLY", "OFF"), ("MONITOR",), ("SYNC",)])
async def test_what_is_refused_everywhere(client: AsyncClient[str], words: tuple[str, ...]) -> None:
    async with client.connection() as connection:
        with pytest.raises(UsageError):
            await connection.execute(*words)
        assert await connection.echo("x") == "x"


async def test_a_pinned_connection_lives_in_its_block(client: AsyncClient[str]) -> None:
    connection = client.connection()
    with pytest.raises(UsageError, match="lives in its block"):
        await connection.get("key")
    async with connection:
        with pytest.raises(UsageError, match="in use already"):
            async with connection:
                pytest.fail("the connection was taken twice")
        assert await connection.echo("x") == "x"
    with pytest.raises(UsageError, match="lives in its block"):
        await connection.get("key")
    assert client.pool.stats().in_use == 0


async def test_the_connection_comes_back_when_the_block_raises(client: AsyncClient[str]) -> None:
    with pytest.raises(ZeroDivisionError):
        async with client.connection() as connection:
            await connection.echo("x")
            _ = 1 // 0
    stats = client.pool.stats()
    assert (stats.open, stats.in_use, stats.idle) == (1, 0, 1)


async def test_bytes_of_a_binary_view(open_client: Open) -> None:
    client = open_client()
    await client.set("key", b"\x80")
    async with client.binary.connection() as connection:
        assert await connection.get("key") == b"\x80"
