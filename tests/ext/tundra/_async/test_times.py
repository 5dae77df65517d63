"""Expiries: a key's own time is neither lost nor invented, and what Tundra lends is told from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from carmine._bridge import aio
from carmine.ext.tundra._async.store import AsyncTundraStore
from tests.ext.tundra._async.helpers import archive, ends, near, until_gone
from tests.ext.tundra.stores import MAC_KEY, MemoryStore

if TYPE_CHECKING:
    from carmine.client._async.client import AsyncClient

pytestmark = pytest.mark.asyncio


async def test_an_own_time_is_kept_through_everything(client: AsyncClient[Any], lending: AsyncTundraStore) -> None:
    """Later than the time lent, so that the key leaves memory before it is over."""
    await client.set("k", "v", ex=5000)
    own = await ends(client, "k")
    await lending.dirty("k")
    assert await ends(client, "k") == -1, "nothing expires before its archive is confirmed"
    await archive(lending)
    lent = await client.pttl("k")
    assert 50_000 < lent <= 60_000
    await client.append("k", "w")
    await lending.dirty("k")
    assert await ends(client, "k") == -1
    await archive(lending)
    assert await lending.evict("k") == 1
    await lending.ensure_keys("k")
    assert 50_000 < await client.pttl("k") <= 60_000
    plain = AsyncTundraStore(client, lending._shelf.datastore, mac_keys=MAC_KEY)
    assert await plain.evict("k") == 1
    await plain.ensure_keys("k")
    assert near(await ends(client, "k"), own), "its own time is what it was"
    assert await client.get("k") == "vw"


async def test_an_own_time_that_is_earlier_than_what_is_lent(
    client: AsyncClient[Any], lending: AsyncTundraStore
) -> None:
    await client.set("k", "v", ex=30)
    own = await ends(client, "k")
    await archive(lending, "k")
    assert near(await ends(client, "k"), own)
    await lending.ensure_keys("k")
    assert near(await ends(client, "k"), own), "not longer"
    await client.expire("k", 40)
    own = await ends(client, "k")
    await lending.ensure_keys("k")
    await archive(lending, "k")
    assert near(await ends(client, "k"), own)


async def test_no_time_is_invented(
    client: AsyncClient[Any], store: AsyncTundraStore, lending: AsyncTundraStore
) -> None:
    await client.set("k", "v")
    await archive(store, "k")
    assert await client.ttl("k") == -1
    await store.evict("k")
    await store.ensure_keys("k")
    assert await client.ttl("k") == -1
    await archive(lending, "k")  # lends a minute
    await client.set("k", "w")  # takes it away
    await lending.ensure_keys("k")
    assert await client.ttl("k") == -1
    await archive(lending, "k")
    await archive(store, "k")  # one that lends nothing takes the other's loan for none of its business
    assert await client.ttl("k") == -1


async def test_a_loan_is_extended_by_asking_for_the_key(client: AsyncClient[Any], lending: AsyncTundraStore) -> None:
    await client.set("k", "v")
    await archive(lending, "k")
    marks = lending._marks
    at = await ends(client, "k") - 30_000
    await client.pexpireat("k", at)
    await client.zadd(marks.lent, {"k": at})
    await lending.ensure_keys("k")
    assert 55_000 < await client.pttl("k") <= 60_000
    await client.expire("k", 20)
    await lending.ensure_keys("k")
    assert await client.pttl("k") <= 20_000, "an expiry of the application's is left alone"


async def test_a_key_whose_own_time_is_over_is_not_brought_back(
    client: AsyncClient[Any], store: AsyncTundraStore, memory: MemoryStore
) -> None:
    await client.set("k", "v", px=300)
    await archive(store, "k")
    assert await store.evict("k") == 1
    await until_time(client, store, "k")
    await store.ensure_keys("k")
    assert not await client.exists("k")
    assert await store.restore_all() == (0, 0, 0, 1, {})
    assert not await client.exists("k")
    assert await store.worker().sweep() == 1
    assert memory.blobs == {}
    assert await client.zcard(store._marks.own) == await client.scard(store._marks.evictable) == 0


async def until_time(client: AsyncClient[Any], store: AsyncTundraStore, key: str) -> None:
    """Wait until a key's own time, as it is noted, is over."""
    end = await client.zscore(store._marks.own, key)
    assert end is not None
    while True:
        seconds, microseconds = await client.time()
        if seconds * 1000 + microseconds / 1000 > end + 1:
            return
        await aio.sleep(0.005)


async def test_a_key_that_waits_beyond_its_own_time_is_deleted(
    client: AsyncClient[Any], store: AsyncTundraStore, memory: MemoryStore
) -> None:
    """By whoever comes first: who asks for it, a worker, or a sweep."""
    for number in range(3):
        key = f"k{number}"
        await client.set(key, "v", px=200)
        await store.dirty(key)
        await until_time(client, store, key)
        assert await client.exists(key) == 1
        if number == 0:
            await store.ensure_keys(key)
        elif number == 1:
            await archive(store)
        else:
            await store.worker().sweep()
        assert not await client.exists(key)
    await archive(store)
    assert memory.blobs == {}
    assert (await store.stats())[:3] == (0, 0, 0.0)


async def test_a_key_written_again_after_its_time_is_a_new_one(
    client: AsyncClient[Any], store: AsyncTundraStore
) -> None:
    await client.set("k", "v", px=200)
    await store.dirty("k")
    await until_time(client, store, "k")
    await client.set("k", "new")
    await archive(store, "k")
    assert await client.get("k") == "new"
    assert await client.ttl("k") == -1


async def test_a_loan_ends_and_the_key_comes_back(client: AsyncClient[Any], memory: MemoryStore) -> None:
    brief = AsyncTundraStore(client, memory, mac_keys=MAC_KEY, redis_ttl=0.05, allow_short_ttl=True)
    await client.set("k", "v", ex=5000)
    own = await ends(client, "k")
    await archive(brief, "k")
    await until_gone(client, "k")
    lasting = AsyncTundraStore(client, memory, mac_keys=MAC_KEY)
    await lasting.ensure_keys("k")
    assert await client.get("k") == "v"
    assert near(await ends(client, "k"), own)
