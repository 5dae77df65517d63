"""What a store does with keys, with a datastore that works: out of memory and back, times of its own, the end."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from carmine.client._async.client import AsyncClient
from carmine.errors import UsageError
from carmine.ext.tundra._async.store import AsyncTundraStore
from carmine.ext.tundra.core.failures import KeysMissing, NotEvicted, NotRestored, StaleArchive
from carmine.ext.tundra.errors import NotStored, UnsealedWarning
from tests.ext.tundra._async.helpers import archive, ends, near
from tests.ext.tundra.stores import MAC_KEY, MemoryStore

if TYPE_CHECKING:
    from tests.lab.proxy import FaultProxy
    from tests.lab.servers import RedisServer

pytestmark = pytest.mark.asyncio


async def _fill(client: AsyncClient[Any]) -> dict[str, str]:
    """Make a key of every type; return what DUMP says of the ordered ones."""
    await client.set("string", "é" * 100)
    await client.rpush("list", *range(300))
    await client.sadd("set", *range(700))
    await client.hset("hash", mapping={f"f{n}": "v" * n for n in range(200)})
    await client.zadd("zset", {f"m{n}": n / 3 for n in range(300)})
    await client.xadd("stream", {"a": "1"}, id="1-1")
    await client.xgroup_create("stream", "readers", "0")
    return {"string": "string", "list": "list", "set": "set", "hash": "hash", "zset": "zset", "stream": "stream"}


async def test_a_round_trip_of_every_type(
    client: AsyncClient[Any], store: AsyncTundraStore, memory: MemoryStore
) -> None:
    kinds = await _fill(client)
    before = [
        *(await client.get("string"), await client.lrange("list", 0, -1), await client.smembers("set")),
        *(await client.hgetall("hash"), await client.zrange("zset", 0, -1, withscores=True)),
        *(await client.xrange("stream"), await client.xinfo_groups("stream")),
    ]
    await archive(store, *kinds)
    assert {key.decode() for key in memory.blobs} == set(kinds)
    for _ in range(2):  # a second time without a second archive
        assert await store.evict(*kinds) == 6
        assert await client.exists(*kinds) == 0
        await store.ensure_keys(*kinds)
        assert {key: await client.type(key) for key in kinds} == kinds
    after = [
        *(await client.get("string"), await client.lrange("list", 0, -1), await client.smembers("set")),
        *(await client.hgetall("hash"), await client.zrange("zset", 0, -1, withscores=True)),
        *(await client.xrange("stream"), await client.xinfo_groups("stream")),
    ]
    assert before == after
    assert memory.count("put") == 6


async def test_existing_keys_are_queued_first_and_then_the_missing_are_named(
    client: AsyncClient[Any], store: AsyncTundraStore
) -> None:
    await client.set("here", "v")
    with pytest.raises(KeysMissing, match="2 keys are to be archived and not there") as info:
        await store.dirty("gone", "here", b"\xff")
    assert info.value.keys == (b"gone", b"\xff")
    assert info.value.key is None
    assert (await store.stats()).waiting == (await store.stats()).queued == 1
    with pytest.raises(KeysMissing) as info:
        await store.dirty("gone")
    assert info.value.key == b"gone"
    assert "gone" not in str(info.value)


async def test_a_message_has_the_key_as_its_mid_and_stands_once(
    client: AsyncClient[Any], store: AsyncTundraStore, memory: MemoryStore
) -> None:
    await client.set("k", "v")
    for _ in range(3):
        await store.dirty("k", "k")
    assert await store._queue.mids() == ["k"]
    assert (await store.stats()).queued == 1
    await archive(store)
    assert memory.count("put") == 1


@pytest.mark.parametrize(
    "key", [b"\xff\xfe\x00", b"\x00", "end-of-circle", "\0" + "0" * 64, "é", "a b\r\n", "x" * 65_536]
)
async def test_any_name_can_be_archived(
    client: AsyncClient[Any], store: AsyncTundraStore, memory: MemoryStore, key: str | bytes
) -> None:
    """S-60: whatever the datastore makes of it."""
    await client.set(key, "v")
    await archive(store, key)
    assert list(memory.blobs) == [key.encode() if isinstance(key, str) else key]
    assert await store.evict(key) == 1
    await store.ensure_keys(key)
    assert await client.get(key) == "v"


@pytest.mark.parametrize(
    "key", ["", "x" * 65_537, "carmine:tundra:evictable", "carmine:mq:tundra:default:done", "\ud800", 1]
)
async def test_what_is_no_key_is_refused_before_a_byte_is_sent(
    server: RedisServer, store: AsyncTundraStore, key: Any
) -> None:
    before = server.info("stats")["total_commands_processed"]
    for call in (store.dirty, store.ensure_keys, store.evict, store.forget, store.verify):
        with pytest.raises(UsageError):
            await call("fine", key)
    assert int(server.info("stats")["total_commands_processed"]) - int(before) <= 2  # the laboratory's own


async def test_options_that_are_none_are_refused(client: AsyncClient[Any], memory: MemoryStore) -> None:
    make: Any = partial(AsyncTundraStore, mac_keys=MAC_KEY)
    cases: list[tuple[dict[str, Any], str]] = [
        ({"redis_ttl": 3600}, "allow_short_ttl"),
        ({"redis_ttl": 0, "allow_short_ttl": True}, "redis_ttl"),
        ({"queue": ""}, "queue"),
        ({"queue": 3}, "queue"),
        ({"freezer": 3}, "freezer"),
        ({"mac_keys": b"short"}, "16 random bytes"),
        ({"allow_unsealed": 1}, "allow_unsealed"),
    ]
    for options, told in cases:
        with pytest.raises(UsageError, match=told):
            make(client, memory, **options)
    with pytest.raises(UsageError, match="a datastore has the methods"):
        AsyncTundraStore(client, object(), mac_keys=MAC_KEY)
    with pytest.raises(UsageError, match="at_most_once"):
        AsyncTundraStore(client, memory, mac_keys=MAC_KEY).worker(at_most_once=True)
    with pytest.warns(UnsealedWarning, match="mac_keys"):
        AsyncTundraStore(client, memory)
    AsyncTundraStore(client, memory, mac_keys=MAC_KEY, redis_ttl=36_000)


# Asking for keys. ----------------------------------------------------------------------------------------------------


async def test_keys_that_are_here_cost_one_round_trip(
    server: RedisServer, proxy: FaultProxy, memory: MemoryStore
) -> None:
    async with AsyncClient(proxy.url(server.url)) as client:
        store = AsyncTundraStore(client, memory, mac_keys=MAC_KEY, redis_ttl=60, allow_short_ttl=True)
        await client.mset({f"k{n}": "v" for n in range(20)})
        await archive(store, *(f"k{n}" for n in range(10)))
        await store.ensure_keys("k1")  # the server knows the script from now on
        proxy.mark()
        before = len(proxy.commands())
        await store.ensure_keys(*(f"k{n}" for n in range(20)), "never")
        assert len(proxy.commands()) - before == 1
        assert memory.count("fetch") == 10, "one for each archive, when it was read back"


async def test_a_value_that_is_here_wins(
    client: AsyncClient[Any], store: AsyncTundraStore, memory: MemoryStore
) -> None:
    await client.set("k", "old")
    await archive(store, "k")
    await store.evict("k")
    memory.before = lambda name, keys: None
    [(marks, _)] = store._grouped([b"k"])
    assert marks == store._marks
    await client.set("k", "new")
    assert (await store._restore([b"k"]))[0] == {"here": 1}
    await store.ensure_keys("k")
    assert await client.get("k") == "new"


async def test_all_that_can_be_are_brought_back_before_the_others_are_named(
    client: AsyncClient[Any], store: AsyncTundraStore, memory: MemoryStore
) -> None:
    await client.mset({"a": "1", "b": "2", "c": "3"})
    await archive(store, "a", "b", "c")
    await store.evict("a", "b", "c")
    del memory.blobs[b"b"]
    memory.blobs[b"c"] = memory.blobs[b"c"][:-1] + b"\0"
    with pytest.raises(NotRestored, match="2 keys are archived and could not be brought back") as info:
        await store.ensure_keys("a", "b", "c", "never")
    assert await client.get("a") == "1"
    assert {key: type(problem).__name__ for key, problem in info.value.failures.items()} == {
        b"b": "NotStored",
        b"c": "DamagedEnvelope",
    }
    assert all(getattr(problem, "key", None) == key for key, problem in info.value.failures.items())
    assert info.value.keys == (b"b", b"c")


async def test_no_call_adds_to_an_enclosing_pipeline(client: AsyncClient[Any], store: AsyncTundraStore) -> None:
    await client.mset({"a": "1", "b": "2"})
    await archive(store, "a")
    await store.evict("a")
    async with client.pipeline() as pipe:
        first = pipe.get("b")
        await store.ensure_keys("a")
        second = pipe.get("a")
        await store.dirty("b")
    assert pipe.replies == ["2", "1"]
    assert (first.value, second.value) == ("2", "1")


async def test_read_ensures_first(client: AsyncClient[Any], store: AsyncTundraStore, memory: MemoryStore) -> None:
    await client.mset({"a": "1", "b": "2"})
    await archive(store, "a", "b")
    await store.evict("a", "b")
    assert await store.read("a", lambda one: one.get("a")) == "1"
    assert await store.read(["a", "b"], lambda one: one.mget("a", "b")) == ["1", "2"]
    await store.evict("a")
    memory.blobs.clear()
    with pytest.raises(NotRestored):
        await store.read("a", lambda one: one.get("a"))


# Out of memory, and for good. ----------------------------------------------------------------------------------------


async def test_only_what_its_archive_holds_is_evicted(
    client: AsyncClient[Any], store: AsyncTundraStore, memory: MemoryStore
) -> None:
    keys = ["fine", "unarchived", "dirty", "changed", "expiring", "damaged", "lost"]
    await client.mset(dict.fromkeys(keys, "v"))
    await archive(store, *(key for key in keys if key != "unarchived"))
    await store.dirty("dirty")
    await client.set("changed", "w")
    await client.expire("expiring", 100)
    memory.blobs[b"damaged"] = b"damage"
    del memory.blobs[b"lost"]
    with pytest.raises(NotEvicted, match="6 keys are not evicted") as info:
        await store.evict(*keys)
    assert await client.exists(*keys) == 6
    assert not await client.exists("fine")
    kinds = {key.decode(): type(problem) for key, problem in info.value.failures.items()}
    assert kinds.pop("unarchived") is kinds.pop("lost") is NotStored
    assert kinds.pop("damaged").__name__ == "DamagedEnvelope"
    assert kinds == dict.fromkeys(["dirty", "changed", "expiring"], StaleArchive)
    await archive(store, *keys[1:])
    assert await store.evict(*keys) == 6


async def test_d08_a_key_that_is_forgotten_does_not_come_back(
    client: AsyncClient[Any], store: AsyncTundraStore, memory: MemoryStore
) -> None:
    """S-65: neither its value nor its archive is left, whatever else is on its way."""
    await client.mset({"here": "1", "away": "2", "queued": "3", "other": "4"})
    await archive(store, "here", "away", "other")
    await store.evict("away")
    await store.dirty("queued", "here")
    assert await store.forget("here", "away", "queued", "never") == 3
    assert list(memory.blobs) == [b"other"]
    await archive(store)
    await store.ensure_keys("here", "away", "queued", "never")
    assert await client.exists("here", "away", "queued") == 0
    assert list(memory.blobs) == [b"other"]
    assert await client.zcard(store._marks.own) == await client.zcard(store._marks.dirty) == 0
    assert await client.smembers(store._marks.evictable) == {"other"}
    await client.set("here", "new life")
    await archive(store, "here")
    await store.evict("here")
    await store.ensure_keys("here")
    assert await client.get("here") == "new life"


async def test_a_datastore_that_fails_to_forget(
    client: AsyncClient[Any], store: AsyncTundraStore, memory: MemoryStore
) -> None:
    await client.set("k", "v")
    await archive(store, "k")

    def fail(name: str, keys: list[bytes]) -> None:
        if name == "delete":
            raise OSError("no")

    memory.before = fail
    with pytest.raises(OSError, match="no"):
        await store.forget("k")
    await store.ensure_keys("k")
    assert not await client.exists("k"), "it is deleted all the same"
    memory.before = lambda name, keys: None
    assert await store.worker().sweep() == 1
    assert memory.blobs == {}


async def test_a_life_that_begins_while_the_old_archive_is_deleted(
    client: AsyncClient[Any], store: AsyncTundraStore, memory: MemoryStore
) -> None:
    await client.set("k", "old")
    await archive(store, "k")
    await client.unlink("k")
    await store._run_each("forget", [b"k"])
    await client.set("k", "new")
    await archive(store, "k")  # before the deletion comes through
    await store._clear([b"k"])
    assert memory.blobs == {}
    await archive(store)
    await store.evict("k")
    await store.ensure_keys("k")
    assert await client.get("k") == "new"


# The whole. ----------------------------------------------------------------------------------------------------------


async def test_verify(client: AsyncClient[Any], store: AsyncTundraStore, memory: MemoryStore) -> None:
    keys = [f"k{n}" for n in range(200)]
    await client.mset(dict.fromkeys(keys, "v"))
    await archive(store, *keys)
    await store.evict(*keys[:100])
    seen: list[Any] = []
    assert await store.verify(progress=seen.append) == (200, 200, 0, {})
    assert seen[-1] == (200, 200, 0, {})
    del memory.blobs[b"k1"]
    memory.blobs[b"k2"] = memory.blobs[b"k3"]
    await client.set("k150", "changed")
    await client.set("k151", "changed")
    await store.dirty("k151")
    await client.srem(store._marks.evictable, "k4")
    found = await store.verify()
    assert {key: type(problem).__name__ for key, problem in found.failures.items()} == {
        b"k1": "NotStored",
        b"k2": "ForeignEnvelope",
        b"k150": "StaleArchive",
    }
    assert found[:3] == (200, 197, 1)
    assert (await store.verify("k1", "k5"))[:3] == (2, 1, 0)
    with pytest.raises(UsageError, match="progress"):
        await store.verify(progress=3)  # type: ignore[arg-type]


async def test_after_a_disaster(client: AsyncClient[Any], store: AsyncTundraStore, memory: MemoryStore) -> None:
    keys = [f"k{n}" for n in range(150)]
    await client.mset(dict.fromkeys(keys, "v"))
    await client.expire("k7", 1000)
    own = await ends(client, "k7")
    await archive(store, *keys)
    await client.flushall()
    memory.blobs[b"k9"] = b"\0" * 100
    await client.set("k8", "newer")
    seen: list[Any] = []
    report = await store.restore_all(values=False, progress=seen.append)
    assert report[:4] == (0, 148, 1, 0)
    assert [type(problem).__name__ for problem in report.failures.values()] == ["ForeignEnvelope"]
    assert seen
    assert seen[-1] == report
    assert await client.dbsize() < 10
    await store.ensure_keys("k7")
    assert near(await ends(client, "k7"), own), "the archive knows of it"
    report = await store.restore_all()
    assert report[:4] == (147, 0, 2, 0)
    assert await client.get("k8") == "newer"
    assert await client.exists(*keys) == 149


async def test_stats(client: AsyncClient[Any], store: AsyncTundraStore) -> None:
    assert await store.stats() == (0, 0, 0.0, 0, 0, 0, 0)
    await client.mset({"a": "1", "b": "2"})
    await archive(store, "a")
    await store.dirty("b")
    stats = await store.stats()
    assert (stats.evictable, stats.waiting, stats.queued, stats.dead) == (1, 1, 1, 0)
    assert 0.0 <= stats.oldest < 30.0
