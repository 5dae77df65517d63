"""Compare and set, and the loops around it: exact under contention, nothing written by what raises, ends when told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import carmine
from carmine import ABORT, DELETE, MISSING, swapped
from carmine._bridge import aio
from carmine.errors import DecodeError, ServerError, UsageError
from tests.lab.matrix import scaled

if TYPE_CHECKING:
    from carmine.client._async.client import AsyncClient
    from tests.integration._async.conftest import Open
    from tests.lab.proxy import FaultProxy
    from tests.lab.servers import RedisServer

pytestmark = pytest.mark.asyncio

LONG = "x" * 41  # its SHA-1 goes out instead


@pytest.mark.parametrize(
    "old", ["", "a", "é" * 20, "é" * 21, "x" * 40, LONG, b"\xff\x00" * 30, bytearray(b"a" * 99), 7, -1.5]
)
async def test_compare_and_set(client: AsyncClient[str], old: Any) -> None:
    assert await client.compare_and_set("key", old, "new") is False
    assert await client.exists("key") == 0
    await client.set("key", old, ex=100)
    assert await client.compare_and_set("key", "another", "new") is False
    assert await client.compare_and_set("key", MISSING, "new") is False
    assert await client.compare_and_set("key", old, "new") is True
    assert await client.get("key") == "new"
    assert 90 < await client.ttl("key") <= 100, "the time to live stays"
    assert await client.compare_and_set("key", old, "newer") is False


async def test_a_long_value_does_not_travel(open_client: Open, proxy: FaultProxy, server: RedisServer) -> None:
    client = open_client(proxy.url(server.url))

    def size() -> int:
        return len(proxy.log("c2s"))

    await client.set("key", "x" * 50_000)
    await client.compare_and_set("key", "", "")  # the script is known from here on
    before = size()
    assert await client.compare_and_set("key", "x" * 50_000, "y")
    assert size() - before < 400


async def test_missing_and_delete(client: AsyncClient[str]) -> None:
    assert await client.compare_and_set("key", MISSING, DELETE) is True
    assert await client.compare_and_set("key", MISSING, "a") is True
    assert await client.compare_and_set("key", "b", DELETE) is False
    assert await client.compare_and_set("key", "a", DELETE) is True
    assert await client.dbsize() == 0
    assert await client.compare_and_hset("hash", "f", MISSING, "1") is True
    assert await client.compare_and_hset("hash", "f", MISSING, "2") is False
    assert await client.compare_and_hset("hash", "f", "1", LONG) is True
    assert await client.compare_and_hset("hash", "f", LONG, DELETE) is True
    assert await client.dbsize() == 0


async def test_hmsetnx(client: AsyncClient[str]) -> None:
    assert await client.hmsetnx("hash", {"a": 1, "b": "2"}) is True
    assert await client.hmsetnx("hash", {"c": 3, "a": 4}) is False
    assert await client.hgetall("hash") == {"a": "1", "b": "2"}


async def test_in_a_pipeline_and_a_transaction(client: AsyncClient[str]) -> None:
    for batch in (client.pipeline(), client.transaction()):
        await client.flushall()
        async with batch as queue:
            replies = [
                queue.compare_and_set("key", MISSING, "1"),
                queue.compare_and_set("key", "2", "3"),
                queue.compare_and_hset("hash", "f", MISSING, "v"),
                queue.compare_and_hset("hash", "f", "w", DELETE),
                queue.hmsetnx("hash", {"g": 1}),
                queue.hmsetnx("hash", {"g": 1}),
            ]
        assert [reply.value for reply in replies] == [True, False, True, False, True, False]


async def test_swap(client: AsyncClient[str]) -> None:
    async def count(value: str | None, missing: bool) -> int:
        assert missing is (value is None)
        return 1 if value is None else int(value) + 1

    assert [await client.swap("n", count) for _ in range(3)] == [1, 2, 3]
    assert await client.swap("n", lambda value, _: swapped(int(value or 0) * 2, "told")) == "told"
    assert await client.get("n") == "6"
    assert await client.swap("n", lambda *_: ABORT) is None
    assert await client.swap("n", lambda *_: swapped(ABORT, 1), abort="no") == "no"
    assert await client.get("n") == "6"
    assert await client.swap("n", lambda *_: swapped(DELETE, "gone")) == "gone"
    assert await client.swap("n", lambda *_: DELETE) is None
    assert await client.exists("n") == 0
    assert [await client.hswap("hash", "f", count) for _ in range(3)] == [1, 2, 3]
    assert await client.hswap("hash", "f", lambda *_: DELETE) is None
    assert await client.exists("hash") == 0


async def test_swap_is_two_round_trips_and_one_for_each_later_attempt(
    open_client: Open, proxy: FaultProxy, server: RedisServer
) -> None:
    client = open_client(proxy.url(server.url))
    await client.swap("key", lambda *_: "0")
    before = len(proxy.commands())
    seen: list[str | None] = []

    def late(value: str | None, _: bool) -> str:
        seen.append(value)
        if len(seen) < 4:
            server.call("SET", "key", f"{len(seen)}" * 50)
        return "mine"

    assert await client.swap("key", late) == "mine"
    assert seen == ["0", *(f"{n}" * 50 for n in range(1, 4))]
    assert len(proxy.commands()) - before == 5


async def test_attempts_run_out(client: AsyncClient[str], server: RedisServer) -> None:
    calls: list[bool] = []

    def beaten(value: str | None, missing: bool) -> str:
        calls.append(missing)
        server.call(*(("SET", "key", "theirs") if missing else ("DEL", "key")))
        return "mine"

    assert await client.swap("key", beaten, 3, "no luck") == "no luck"
    assert calls == [True, False, True]
    assert await client.get("key") == "theirs"


async def test_what_raises_writes_nothing(client: AsyncClient[str]) -> None:
    await client.set("key", "1")
    with pytest.raises(ZeroDivisionError):
        await client.swap("key", lambda *_: 1 // 0)
    with pytest.raises(UsageError):
        await client.swap("key", lambda *_: object())
    assert await client.get("key") == "1"
    await client.set("key", b"\xff")
    with pytest.raises(DecodeError):
        await client.swap("key", lambda *_: "2")
    assert await client.binary.get("key") == b"\xff"
    await client.delete("key")
    await client.rpush("key", "1")
    for wrong in (client.swap, client.compare_and_set):
        with pytest.raises(ServerError, match="WRONGTYPE"):  # 6.2 wraps what a script met
            await wrong("key", *((lambda *_: "2",) if wrong == client.swap else ("1", "2")))
    assert client.pool.stats().in_use == 0


async def test_misuse_sends_nothing(open_client: Open, proxy: FaultProxy, server: RedisServer) -> None:
    client = open_client(proxy.url(server.url))
    odd: Any
    for odd, text in (
        (lambda: client.swap("key", 1), "takes a function"),  # type: ignore[arg-type]
        (lambda: client.swap("key", print, attempts=0), "attempts must be 1 or more"),
        (lambda: client.compare_and_set("key", DELETE, "x"), "no old value"),
        (lambda: client.compare_and_set("key", "x", MISSING), "no new value"),
        (lambda: client.compare_and_set("key", "x", ABORT), "no new value"),
        (lambda: client.compare_and_set("key", "\ud800", "x"), "lone surrogate"),
        (lambda: client.compare_and_set("key", None, "x"), "no command argument"),
        (lambda: client.hmsetnx("key", {}), "not an empty one"),
        (lambda: client.hmsetnx("key", [1, 2]), "takes a dict"),  # type: ignore[arg-type]
    ):
        with pytest.raises(UsageError, match=text):
            await odd()
    assert {words[0] for words in proxy.commands()} <= {b"HELLO", b"CLIENT"}, "the handshake, and nothing else"


async def test_with_a_serializer(open_client: Open) -> None:
    """What is compared is what is stored; a value may be anything, None too."""
    client = open_client(serializer=True)
    one, two = {"a": [1, None]}, {"b": (2.5, b"x")}
    assert await client.compare_and_set("key", MISSING, one)
    assert not await client.compare_and_set("key", two, one)
    assert await client.compare_and_set("key", one, two)
    assert await client.compare_and_set("key", two, None)
    assert await client.swap("key", lambda value, missing: [value, missing]) == [None, False]
    assert await client.swap("key", lambda value, _: {"so": value}) == {"so": [None, False]}
    assert await client.get("key") == {"so": [None, False]}
    assert await client.hswap("hash", (1, 2), lambda *given: given) == (None, True)
    assert await client.hgetall("hash") == {(1, 2): (None, True)}
    assert await client.hmsetnx("hash", {(1, 2): 3}) is False
    async with client.pipeline() as queue:
        done = queue.compare_and_set("key", {"so": [None, False]}, [1])
    assert done.value is True
    assert await client.get("key") == [1]


async def test_many_at_once_lose_no_step(open_client: Open) -> None:
    """20 at once, 1,000 swaps each at full length: the sum is exact, whoever was beaten how often."""
    each = max(10, scaled(1000))
    clients = [open_client() for _ in range(4)]

    async def work(client: AsyncClient[str]) -> None:
        for _ in range(each):
            await client.swap("n", lambda value, _: int(value or 0) + 1)
            await client.hswap("hash", "n", lambda value, _: int(value or 0) + 1)

    jobs = [aio.spawn(work, clients[number % 4]) for number in range(20)]
    for job in jobs:
        await job.join(600)
    assert await clients[0].get("n") == f"{20 * each}"
    assert await clients[0].hget("hash", "n") == f"{20 * each}"


async def test_folds(client: AsyncClient[str]) -> None:
    await client.mset({f"key:{number}": number for number in range(500)})
    await client.hset("hash", mapping={f"f{number}": number for number in range(1000)})
    assert await client.scan_keys("key:*") == {f"key:{number}" for number in range(500)}
    assert await client.scan_keys(type="hash") == {"hash"}
    assert await client.reduce_scan(lambda made, key: made | {key}, frozenset(), "key:1?") == {
        f"key:1{digit}" for digit in range(10)
    }
    assert await client.reduce_hscan(lambda made, _, value: made + int(value), 0, "hash") == sum(range(1000))
    assert await client.reduce_hscan(lambda made, _, value: made + int(value), 0, "hash", "f99?") == sum(
        range(990, 1000)
    )

    def three(made: int, *_: str) -> Any:
        return carmine.reduced("three") if made == 3 else made + 1

    assert await client.reduce_scan(three, 0) == "three"
    assert await client.reduce_hscan(three, 0, "hash") == "three"


async def test_atomic_on_failure(client: AsyncClient[str], server: RedisServer) -> None:
    async def beaten(tx: Any) -> None:
        server.call("INCR", "key")
        tx.set("other", "x")

    async def told() -> str:
        return "given up"

    assert await client.atomic(beaten, "key", attempts=2, on_failure=told) == "given up"
    assert await client.mget("key", "other") == ["2", None]
    with pytest.raises(UsageError, match="attempts must be"):
        await client.atomic(beaten, attempts=0)
