"""Archives that cannot be trusted: damaged, exchanged, replaced, of another secret; none of them is restored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from carmine.ext.tundra._async.store import AsyncTundraStore
from carmine.ext.tundra.core.failures import NotEvicted, NotRestored
from tests.ext.tundra._async.helpers import archive
from tests.ext.tundra.stores import MAC_KEY, MemoryStore

if TYPE_CHECKING:
    from carmine.client._async.client import AsyncClient
    from tests.lab.servers import RedisServer

pytestmark = pytest.mark.asyncio


async def test_d04_no_flipped_byte_reaches_the_server(
    server: RedisServer, client: AsyncClient[Any], store: AsyncTundraStore, memory: MemoryStore
) -> None:
    """D04, S-63: any byte; the key is named, the others of the batch are brought back, RESTORE is not sent."""
    await client.mset({"k": "a value", "other": "v"})
    await archive(store, "k", "other")
    await store.evict("k", "other")
    sound = memory.blobs[b"k"]
    damaged = [sound[:n] + bytes([sound[n] ^ 1]) + sound[n + 1 :] for n in range(len(sound))]
    damaged += [b"", sound[: len(sound) // 2], sound + b"\0", sound[:-1], b"x" * 10_000, bytes(sound[::-1])]
    server.call("CONFIG", "RESETSTAT")
    for blob in damaged:
        memory.blobs[b"k"] = blob
        with pytest.raises(NotRestored) as info:
            await store.ensure_keys("k")
        assert info.value.keys == (b"k",)
    assert "cmdstat_restore" not in server.info("commandstats")
    with pytest.raises(NotRestored) as info:
        await store.ensure_keys("k", "other")
    assert info.value.keys == (b"k",)
    assert await client.get("other") == "v"
    memory.blobs[b"k"] = sound
    await store.ensure_keys("k")
    assert await client.get("k") == "a value"


async def test_d05_archives_that_were_exchanged(
    client: AsyncClient[Any], store: AsyncTundraStore, memory: MemoryStore
) -> None:
    """D05, S-64: each is the other's, and neither comes back."""
    await client.mset({"a": "1", "b": "2"})
    await archive(store, "a", "b")
    await store.evict("a", "b")
    memory.blobs = {b"a": memory.blobs[b"b"], b"b": memory.blobs[b"a"]}
    with pytest.raises(NotRestored) as info:
        await store.ensure_keys("a", "b")
    assert {type(problem).__name__ for problem in info.value.failures.values()} == {"ForeignEnvelope"}
    assert await client.exists("a", "b") == 0


async def test_d06_an_older_archive_in_the_place_of_the_newer(
    client: AsyncClient[Any], store: AsyncTundraStore, memory: MemoryStore
) -> None:
    """D06: as docs/tundra.md says, it is noticed while the key is in memory, and not any more afterwards."""
    await client.set("k", "old")
    await archive(store, "k")
    older = memory.blobs[b"k"]
    await client.set("k", "new")
    await archive(store, "k")
    newer = memory.blobs[b"k"]
    memory.blobs[b"k"] = older
    assert list((await store.verify()).failures) == [b"k"]
    with pytest.raises(NotEvicted, match="is not what its archive holds"):
        await store.evict("k")
    assert store._unseal(b"k", older).generation < store._unseal(b"k", newer).generation
    memory.blobs[b"k"] = newer
    assert await store.evict("k") == 1


async def test_d11_what_was_fetched_is_never_kept(
    client: AsyncClient[Any], store: AsyncTundraStore, memory: MemoryStore
) -> None:
    """D11: neither an error nor a value is given twice."""
    await client.set("k", "old")
    await archive(store, "k")
    await store.evict("k")
    blob = memory.blobs.pop(b"k")
    with pytest.raises(NotRestored):
        await store.ensure_keys("k")
    memory.blobs[b"k"] = blob
    await store.ensure_keys("k")
    await client.set("k", "new")
    await archive(store, "k")
    await store.evict("k")
    await store.ensure_keys("k")
    assert await client.get("k") == "new"


async def test_other_secrets_and_freezers(
    client: AsyncClient[Any], store: AsyncTundraStore, memory: MemoryStore
) -> None:
    """Their rotation: what was sealed and frozen before is read, and what is archived now is of now."""
    await client.set("k", "v")
    await archive(store, "k")
    await store.evict("k")
    stranger = AsyncTundraStore(client, memory, mac_keys=b"another key of thirty-two bytes.")
    with pytest.raises(NotRestored, match="MAC key that this store does not have"):
        await stranger.ensure_keys("k")
    plain = AsyncTundraStore(client, memory, mac_keys=MAC_KEY, freezer=None)
    with pytest.raises(NotRestored, match="give that freezer too"):
        await plain.ensure_keys("k")
    heir = AsyncTundraStore(
        client, memory, mac_keys=[b"another key of thirty-two bytes.", MAC_KEY], freezer=None, older=[store._freezer]
    )
    await heir.ensure_keys("k")
    await archive(heir, "k")
    await heir.evict("k")
    with pytest.raises(NotRestored):
        await store.ensure_keys("k")
    await heir.ensure_keys("k")
    assert await client.get("k") == "v"
