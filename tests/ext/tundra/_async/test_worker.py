"""The worker: nothing expires before its archive is confirmed, whatever fails, and nothing is overlooked."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest

import carmine
import carmine.ext.tundra
from carmine.client._async.client import AsyncClient
from carmine.errors import ServerError
from carmine.ext.mq._async.queue import AsyncQueue
from carmine.ext.tundra._async.store import AsyncTundraStore
from carmine.ext.tundra.core.failures import NotRestored
from carmine.ext.tundra.errors import DataStoreError
from tests.ext.tundra._async.helpers import archive, ends, near, until, until_gone
from tests.ext.tundra.stores import MAC_KEY, MemoryStore, failing

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.lab.proxy import FaultProxy
    from tests.lab.servers import RedisServer

pytestmark = pytest.mark.asyncio


async def test_d01_an_archive_is_read_back_before_the_key_may_expire(
    client: AsyncClient[Any], lending: AsyncTundraStore, memory: MemoryStore
) -> None:
    """D01: put, then read, then the mark and the expiry."""
    await client.set("k", "v")
    seen: list[tuple[str, int, bool]] = []
    server = lending._client

    def note(name: str, keys: list[bytes]) -> None:
        seen.append((name, len(memory.blobs), b"k" in memory.blobs))

    memory.after = note
    await archive(lending, "k")
    assert [name for name, _, _ in seen] == ["put", "fetch"]
    assert 0 < await client.pttl("k") <= 60_000
    assert await server.smembers(lending._marks.evictable) == {b"k"}


@pytest.mark.parametrize(
    ("problem", "times", "attempts", "told"),
    [
        (DataStoreError("503 SlowDown", is_transient=True), 2, 3, "archived"),
        (DataStoreError("no such bucket"), 2, 3, "archived"),
        (OSError(28, "No space left on device"), 1, 3, "archived"),
        (TimeoutError("after it was stored"), 1, 2, "archived"),
        (DataStoreError("no such bucket"), 99, 3, "dead"),
        (MemoryError(), 99, 1, "dead"),
    ],
)
async def test_d10_a_datastore_that_fails(
    client: AsyncClient[Any],
    lending: AsyncTundraStore,
    memory: MemoryStore,
    problem: Exception,
    times: int,
    attempts: int,
    told: str,
) -> None:
    """D03, D10: tried again; in the end a dead letter that says why. The key stays, and stays without an expiry."""
    await client.set("k", "v", ex=5000)
    own = await ends(client, "k")
    await lending.dirty("k")
    hook = "after" if isinstance(problem, TimeoutError) else "before"
    setattr(memory, hook, failing(times, problem))
    await archive(lending, attempts=attempts, retry_backoff=0.005)
    assert await client.get("k") == "v"
    if told == "archived":
        assert 0 < await client.pttl("k") <= 60_000
        assert (await lending.stats())[:2] == (1, 0)
        return
    assert await client.pttl("k") == -1
    stats = await lending.stats()
    assert (stats.evictable, stats.waiting, stats.dead) == (0, 1, 1)
    [letter] = await lending._queue.dead()
    assert letter.mid == "k"
    assert type(problem).__name__ in letter.error
    setattr(memory, hook, lambda name, keys: None)
    assert await lending.worker().sweep() == 0, "whoever looks at dead letters replays it"
    assert await lending._queue.replay() == 1
    await archive(lending)
    await lending.evict("k")
    lasting = AsyncTundraStore(client, memory, mac_keys=MAC_KEY)
    await lasting.ensure_keys("k")
    assert near(await ends(client, "k"), own)


@pytest.mark.parametrize(
    "gives",
    [
        lambda keys, found: None,
        lambda keys, found: [],
        lambda keys, found: found * 2,
        lambda keys, found: [None for _ in found],
        lambda keys, found: [blob[:-1] for blob in found],
        lambda keys, found: [blob[:-1] + bytes([blob[-1] ^ 1]) for blob in found],
        lambda keys, found: [b"" for _ in found],
        lambda keys, found: [DataStoreError("500", key=key) for key in keys],
        lambda keys, found: 1 / 0,
    ],
    ids=["none", "empty", "too-many", "nones", "short", "flipped", "no-bytes", "errors", "raises"],
)
async def test_d10_what_is_read_back_is_not_what_was_written(
    client: AsyncClient[Any], lending: AsyncTundraStore, memory: MemoryStore, gives: Any
) -> None:
    """D04: then it is no archive."""
    await client.set("k", "v")
    memory.gives = gives
    await lending.dirty("k")
    await archive(lending, attempts=2, retry_backoff=0.005)
    assert await client.pttl("k") == -1
    assert (await lending.stats())[:2] == (0, 1)
    assert (await lending.stats()).dead == 1
    assert memory.count("put") == 2


@pytest.mark.parametrize("change", ["value", "expiry", "deleted", "replaced", "forgotten"])
async def test_d07_a_key_that_changes_while_it_is_archived(
    client: AsyncClient[Any], lending: AsyncTundraStore, memory: MemoryStore, url: str, change: str
) -> None:
    """D07: at the last moment, after the archive was read back; the newer value is archived before it can expire."""
    await client.set("k", "old")
    changed: list[str] = []

    def meanwhile(name: str, keys: list[bytes]) -> None:
        if name == "fetch" and not changed:
            changed.append(change)
            change_now(url, memory, change)

    memory.after = meanwhile
    await archive(lending, "k")
    assert changed
    if change in ("deleted", "forgotten"):
        assert memory.blobs == {}
        await lending.ensure_keys("k")
        assert not await client.exists("k")
        assert (await lending.stats())[:2] == (0, 0)
        return
    value = "old" if change == "expiry" else "new"
    assert memory.count("put") == 2
    assert 0 < await client.pttl("k") <= 60_000
    assert await lending.evict("k") == 1
    lasting = AsyncTundraStore(client, memory, mac_keys=MAC_KEY)
    await lasting.ensure_keys("k")
    assert await client.get("k") == value
    assert (await client.ttl("k") > 900) == (change == "expiry")


def change_now(url: str, memory: MemoryStore, change: str) -> None:
    """Change the key behind the worker's back, from its own thread."""
    with carmine.Client(url) as other:
        if change == "value":
            other.set("k", "new")
        elif change == "expiry":
            other.expire("k", 1000)
        elif change == "deleted":
            other.delete("k")
        elif change == "replaced":
            other.delete("k")
            other.set("k", "new")
        else:
            carmine.ext.tundra.TundraStore(other, memory, mac_keys=MAC_KEY).forget("k")


async def test_a_change_that_is_noted_meanwhile_is_archived_too(
    client: AsyncClient[Any], store: AsyncTundraStore, memory: MemoryStore, url: str
) -> None:
    """The message is locked then: it is queued behind its own run."""
    await client.set("k", "old")
    noted: list[str] = []

    def meanwhile(name: str, keys: list[bytes]) -> None:
        if name == "put" and not noted:
            with carmine.Client(url) as other:
                other.set("k", "new")
                carmine.ext.tundra.TundraStore(other, memory, mac_keys=MAC_KEY).dirty("k")
                noted.append(str(store._queue.name))

    memory.before = meanwhile
    await archive(store, "k")
    assert noted == ["tundra:default"]
    assert (await store.stats())[:2] == (1, 0)
    await store.evict("k")
    await store.ensure_keys("k")
    assert await client.get("k") == "new"


async def test_an_archive_whose_message_is_anothers_is_not_written(
    client: AsyncClient[Any], store: AsyncTundraStore, memory: MemoryStore
) -> None:
    await client.set("k", "v")
    assert await store._archive(b"k", 1, lambda: False) == "lost"
    assert memory.blobs == {}


async def test_d15_nothing_expires_while_no_worker_works(client: AsyncClient[Any], memory: MemoryStore) -> None:
    """D15: not even what was archived before, once it is noted as changed."""
    brief = AsyncTundraStore(client, memory, mac_keys=MAC_KEY, redis_ttl=0.3, allow_short_ttl=True)
    await client.set("k", "old")
    await archive(brief, "k")
    await client.append("k", " and new")
    await brief.dirty("k")
    assert await ends(client, "k") == -1
    await brief.ensure_keys("k")
    assert await ends(client, "k") == -1
    assert await client.get("k") == "old and new"


async def test_a_key_that_never_reached_the_queue_is_found(
    client: AsyncClient[Any], store: AsyncTundraStore, memory: MemoryStore
) -> None:
    """Who noted it died before it was queued; the next sweep after a minute sees it."""
    await client.mset({"k": "v", "fresh": "v"})
    await store._run_each("dirty", [b"k", b"fresh"])
    worker = store.worker()
    assert await worker.sweep() == 0
    await client.zincrby(store._marks.dirty, -61_000, "k")
    assert await worker.sweep() == 1
    assert await store._queue.mids() == ["k"]
    assert await worker.sweep() == 0
    assert await worker.run_until_empty() == 1
    assert list(memory.blobs) == [b"k"]


async def test_a_worker_sweeps_by_itself(
    client: AsyncClient[Any], store: AsyncTundraStore, memory: MemoryStore
) -> None:
    await client.set("k", "v", px=400)
    await archive(store, "k")
    async with store.worker(sweep_every=0.01) as worker:
        await until(lambda: not memory.blobs, "the archive of a key whose time is over is deleted")
        assert worker.status().state == "running"
    assert worker.status().state == "stopped"
    assert (await store.stats())[:2] == (0, 0)


async def test_a_sweep_in_the_last_moment_of_a_key(
    client: AsyncClient[Any], store: AsyncTundraStore, memory: MemoryStore
) -> None:
    """Its time is over, and the server has not let it expire yet: it is nobody's new value."""
    await client.set("k", "v")
    await archive(store, "k")
    await client.pexpire("k", 40)
    await client.zadd(store._marks.own, {"k": await ends(client, "k") - 50})
    worker = store.worker()
    await worker.sweep()
    assert list(memory.blobs) == [b"k"]
    await until_gone(client, "k")
    assert await worker.sweep() == 1
    assert memory.blobs == {}
    assert (await store.stats())[:2] == (0, 0)


async def test_a_value_that_nobody_noted_is_left_alone(
    client: AsyncClient[Any], store: AsyncTundraStore, memory: MemoryStore
) -> None:
    await client.set("k", "v", px=400)
    await archive(store, "k")
    await until_gone(client, "k")
    await client.set("k", "new")
    assert await store.worker().sweep() == 1
    assert await client.get("k") == "new"
    assert (await store.stats())[:2] == (0, 0)


async def test_a_sweep_that_fails_is_tried_again(
    client: AsyncClient[Any], store: AsyncTundraStore, memory: MemoryStore, caplog: pytest.LogCaptureFixture
) -> None:
    await client.set("k", "v", px=400)
    await archive(store, "k")
    memory.before = failing(3, DataStoreError("not now"), "delete")
    with caplog.at_level(logging.WARNING, "carmine.tundra"):
        async with store.worker(sweep_every=0.01):
            await until(lambda: not memory.blobs, "the archive is deleted")
    assert len([record for record in caplog.records if "a sweep of" in record.getMessage()]) == 1
    assert memory.count("delete") == 4


async def test_s12_a_policy_that_evicts_keys_without_an_archive_is_told(
    server: RedisServer, store: AsyncTundraStore, caplog: pytest.LogCaptureFixture
) -> None:
    """S12: once, when the worker starts."""
    server.call("CONFIG", "SET", "maxmemory", "100mb")
    server.call("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    with caplog.at_level(logging.WARNING, "carmine.tundra"):
        async with store.worker(sweep_every=60):
            await until(lambda: caplog.records, "a warning")
    assert "maxmemory-policy is allkeys-lru" in caplog.text


async def test_keys_that_are_here_are_served_while_memory_is_short(
    server: RedisServer, client: AsyncClient[Any], lending: AsyncTundraStore
) -> None:
    await client.mset({"a": "1", "b": "2"})
    await archive(lending, "a", "b")
    await lending.evict("b")
    server.call("CONFIG", "SET", "maxmemory", "1")
    await lending.ensure_keys("a")
    with pytest.raises(ServerError, match="OOM"):  # an error of the script before 7.0
        await lending.dirty("a")
    with pytest.raises(NotRestored) as info:
        await lending.ensure_keys("a", "b")
    assert ["OOM" in str(problem) for problem in info.value.failures.values()] == [True]
    assert info.value.keys == (b"b",)
    server.call("CONFIG", "SET", "maxmemory", "0")
    await lending.ensure_keys("a", "b")
    assert await client.mget("a", "b") == ["1", "2"]


async def test_a_message_of_somebody_else_becomes_a_dead_letter(
    client: AsyncClient[Any], store: AsyncTundraStore, memory: MemoryStore
) -> None:
    """S-30: what it holds is never looked into but as the bytes of a key."""
    await AsyncQueue(client, "tundra:default").enqueue({"a": 1}, mid="\0" + "0" * 64)
    await archive(store, attempts=1)
    assert [letter.mid for letter in await store._queue.dead()] == ["\0" + "0" * 64]
    assert memory.asked == []


# The network. --------------------------------------------------------------------------------------------------------


async def test_d12_the_server_is_lost_in_the_middle_of_ensure(
    server: RedisServer, proxy: FaultProxy, client: AsyncClient[Any], store: AsyncTundraStore, memory: MemoryStore
) -> None:
    """D12: each key is wholly there or named; and then it can be had."""
    keys = [f"k{n}" for n in range(10)]
    await client.mset(dict.fromkeys(keys, "v" * 1000))
    await archive(store, *keys)
    for offset in (0, 700, 3000, 6000, 9000):
        await store.evict(*keys)
        async with AsyncClient(proxy.url(server.url)) as bad:
            other = AsyncTundraStore(bad, memory, freezer=None, older=[store._freezer], mac_keys=MAC_KEY)
            await other.ensure_keys("never")
            await other._know()
            memory.after = cutting(proxy, offset)
            failures: tuple[bytes, ...] = ()
            try:
                await other.ensure_keys(*keys)
            except NotRestored as problem:
                failures = problem.keys
            memory.after = nothing
            proxy.heal()
            here = {key for key in keys if await client.exists(key)}
            assert {key.encode() for key in keys} - {key.encode() for key in here} <= set(failures)
            await other.ensure_keys(*keys)
        assert await client.mget(*keys) == ["v" * 1000] * 10
    assert await client.exists(*keys) == 10


def cutting(proxy: FaultProxy, offset: int) -> Callable[[str, list[bytes]], object]:
    """Return what cuts the connection after so many bytes more."""

    def cut(name: str, keys: list[bytes]) -> None:
        proxy.mark()
        proxy.cut_after["c2s"] = offset

    return cut


def nothing(name: str, keys: list[bytes]) -> None:
    """Let the datastore work."""
