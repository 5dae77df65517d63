"""Walks: everything once at least, pages as the server gives them, nothing left behind; patterns (S-16)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import carmine
from carmine.errors import ServerError, WrongTypeError
from carmine.types import ScoredMember
from tests.integration.reply_cases import since
from tests.lab.matrix import current_leg
from tests.lab.scripted import Scripted

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from carmine.client._async.client import AsyncClient
    from tests.integration._async.conftest import Open
    from tests.lab.proxy import FaultProxy
    from tests.lab.servers import RedisServer

pytestmark = pytest.mark.asyncio

MANY = 2000


def page(cursor: int, *items: str) -> bytes:
    """Return one answer of SCAN."""
    bulks = b"".join(b"$%d\r\n%b\r\n" % (len(item), item.encode()) for item in items)
    return b"*2\r\n$%d\r\n%d\r\n*%d\r\n%b" % (len(str(cursor)), cursor, len(items), bulks)


async def test_all_keys(client: AsyncClient[str]) -> None:
    await client.mset({f"key:{number}": number for number in range(MANY)})
    await client.rpush("list", "x")
    keys = {f"key:{number}" for number in range(MANY)}
    assert {key async for key in client.scan_iter()} == keys | {"list"}
    assert {key async for key in client.scan_iter("key:1?")} == {f"key:1{digit}" for digit in range(10)}
    assert {key async for key in client.scan_iter(match="key:*", count=5000)} == keys
    assert [key async for key in client.scan_iter(type="list")] == ["list"]
    assert [key async for key in client.scan_iter("key:*", type="list")] == []
    assert [key async for key in client.binary.scan_iter(b"lis*")] == [b"list"]


async def test_count_says_how_large_pages_are(open_client: Open, proxy: FaultProxy, server: RedisServer) -> None:
    client = open_client(proxy.url(server.url))
    await client.mset({f"key:{number}": number for number in range(MANY)})
    for count, least, most in ((None, MANY / 30, MANY), (1000, 2, 10)):
        before = len(proxy.commands())
        assert len({key async for key in client.scan_iter(count=count)}) == MANY
        assert least <= len(proxy.commands()) - before <= most


async def test_the_fields_of_a_hash(client: AsyncClient[str]) -> None:
    fields = {f"field:{number}": str(number) for number in range(MANY)}
    await client.hset("hash", mapping=fields)
    assert dict([pair async for pair in client.hscan_iter("hash")]) == fields
    assert [pair async for pair in client.hscan_iter("hash", "field:77")] == [("field:77", "77")]
    assert dict([pair async for pair in client.binary.hscan_iter("hash", "field:77")]) == {b"field:77": b"77"}
    small = {"a": "1", "b": "2"}
    await client.hset("small", mapping=small)
    assert dict([pair async for pair in client.hscan_iter("small", count=1)]) == small


async def test_the_fields_of_a_hash_without_their_values(client: AsyncClient[str], server: RedisServer) -> None:
    if not since("7.4", "8.0").holds_on(current_leg()):
        pytest.skip("this server has no NOVALUES")
    await client.hset("hash", mapping={f"field:{number}": number for number in range(MANY)})
    names = [name async for name in client.hscan_iter("hash", no_values=True)]
    assert set(names) == {f"field:{number}" for number in range(MANY)}
    assert [name async for name in client.hscan_iter("hash", "*:77", 10_000, no_values=True)] == ["field:77"]


async def test_the_members_of_a_set(client: AsyncClient[str]) -> None:
    await client.sadd("set", *range(MANY))
    assert {member async for member in client.sscan_iter("set")} == {str(number) for number in range(MANY)}
    assert {member async for member in client.sscan_iter("set", "1?", 10_000)} == {str(n) for n in range(10, 20)}


async def test_the_members_of_a_sorted_set(client: AsyncClient[str]) -> None:
    await client.zadd("sorted", {f"member:{number}": number / 2 for number in range(MANY)})
    found = [pair async for pair in client.zscan_iter("sorted")]
    assert dict(found) == {f"member:{number}": number / 2 for number in range(MANY)}
    assert all(type(pair) is ScoredMember and type(pair.score) is float for pair in found)
    assert [pair async for pair in client.zscan_iter("sorted", "*:77")] == [("member:77", 38.5)]
    if since(None, "8.1").holds_on(current_leg()):
        assert [each async for each in client.zscan_iter("sorted", "*:77", noscores=True)] == ["member:77"]


async def test_what_is_missing_has_nothing(client: AsyncClient[str]) -> None:
    walks: list[AsyncIterator[Any]] = [
        client.scan_iter(),
        client.hscan_iter("missing"),
        client.sscan_iter("missing"),
        client.zscan_iter("missing"),
    ]
    for walk in walks:
        assert [each async for each in walk] == []
        assert [each async for each in walk] == [], "a walk that had ended began again"


async def test_a_key_of_another_kind_is_an_error(client: AsyncClient[str]) -> None:
    await client.set("text", "x")
    for walk in (client.hscan_iter("text"), client.sscan_iter("text"), client.zscan_iter("text")):
        with pytest.raises(WrongTypeError):
            await anext(walk)


async def test_nothing_is_sent_before_the_first_step(client: AsyncClient[str], server: RedisServer) -> None:
    walk = client.scan_iter()
    assert client.pool.stats().opened == 0
    assert [key async for key in walk] == []


async def test_a_walk_holds_no_connection_and_may_be_left(open_client: Open, server: RedisServer) -> None:
    client = open_client(pool_size=1)
    await client.mset({f"key:{number}": number for number in range(MANY)})
    seen = []
    async for key in client.scan_iter(count=10):
        assert client.pool.stats().in_use == 0
        seen.append(await client.get(key))  # on the one connection there is
        if len(seen) == 25:
            break
    assert None not in seen
    walk = client.scan_iter(count=10)
    assert await anext(walk)
    del walk
    asked = int(server.info("commandstats")["cmdstat_scan"].split(",")[0].removeprefix("calls="))
    assert asked < 20, "a walk that was left went on"
    assert client.pool.stats().in_use == 0
    assert await client.delete("key:1") == 1


async def test_changes_during_a_walk(client: AsyncClient[str]) -> None:
    """What stays is found, whatever comes and goes meanwhile."""
    stays = {f"stays:{number}" for number in range(500)}
    await client.mset(dict.fromkeys(stays, 1))
    await client.mset({f"goes:{number}": 1 for number in range(500)})
    found = []
    async for key in client.scan_iter():
        found.append(key)
        await client.delete(f"goes:{len(found)}")
        await client.set(f"comes:{len(found)}", 1)
        if len(found) > 5000:
            break
    assert set(found) >= stays


async def test_pages_come_as_the_server_gives_them(open_client: Open) -> None:
    """Cursors of 64 bits, empty pages, the same key twice: passed on as they are."""
    pages = [page(18446744073709551615, "a", "b"), page(7), page(9), page(0, "b", "c")]
    with Scripted.replies({b"SCAN": pages}) as server:
        client = open_client(server.url, protocol=3)
        assert [key async for key in client.scan_iter("x*", 5, "hash")] == ["a", "b", "b", "c"]
        asked = [words for _, words in server.commands if words[0] == b"SCAN"]
        assert [words[1] for words in asked] == [b"0", b"18446744073709551615", b"7", b"9"]
        assert {tuple(words[2:]) for words in asked} == {(b"MATCH", b"x*", b"COUNT", b"5", b"TYPE", b"hash")}


async def test_a_page_that_failed_is_asked_for_again(open_client: Open) -> None:
    """An error does not end a walk in silence: the next step goes on where it stood."""
    with Scripted.replies({b"SCAN": [page(3, "a"), b"-ERR not now\r\n", page(0, "b")]}) as server:
        client = open_client(server.url, protocol=3)
        walk = client.scan_iter()
        assert await anext(walk) == "a"
        with pytest.raises(ServerError, match="not now"):
            await anext(walk)
        assert await anext(walk) == "b"
        with pytest.raises(StopAsyncIteration):
            await anext(walk)
        asked = [words[1] for _, words in server.commands if words[0] == b"SCAN"]
        assert asked == [b"0", b"3", b"3"]


async def test_a_walk_on_a_pinned_connection(client: AsyncClient[str]) -> None:
    async with client.connection() as connection:
        await connection.select(3)
        await connection.set("here", 1)
        assert [key async for key in connection.scan_iter()] == ["here"]
    assert [key async for key in client.scan_iter()] == []


NAMES = ["*", "?", "[ab]", "a\\*", "a*", "[", "]", "\\", "\\\\", "^-", "a?b", "ä*", "plain", "", "{x}*", "*]["]
NEIGHBOURS = ["x", "xy", "a", "b", "ab", "a\\x", "ax", "a\\", "aab", "äx", "plainer", "{x}y", "\\*"]


@pytest.mark.parametrize("name", NAMES)
async def test_an_escaped_name_finds_itself_alone(client: AsyncClient[str], name: str) -> None:
    """S-16: names with neighbours that their patterns would find; as text and as bytes."""
    everything = dict.fromkeys([f"q:{each}:end" for each in (*NAMES, *NEIGHBOURS)], 1)
    await client.mset(everything)
    exact = f"q:{name}:end"
    assert [key async for key in client.scan_iter(carmine.glob_escape(exact), 1000)] == [exact]
    assert await client.keys(f"q:{carmine.glob_escape(name)}:*") == [exact]
    assert [key async for key in client.binary.scan_iter(carmine.glob_escape(exact.encode()))] == [exact.encode()]
    for key in await client.keys(carmine.glob_escape(exact)):
        await client.delete(key)
    assert await client.dbsize() == len(everything) - 1
