"""Many callers who want the same keys: one flight for each, and none who waits for nothing."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from carmine._bridge import aio
from carmine.client.timing import deadline
from carmine.errors import DeadlineExceeded
from carmine.ext.tundra._async.flights import Flights
from carmine.ext.tundra._async.store import AsyncTundraStore
from carmine.ext.tundra.core.failures import NotRestored
from tests.ext.tundra._async.helpers import archive, until
from tests.ext.tundra.stores import MAC_KEY, MemoryStore

if TYPE_CHECKING:
    from carmine.client._async.client import AsyncClient
    from tests.lab.servers import RedisServer

pytestmark = pytest.mark.asyncio


async def test_d09_fifty_at_once_ensure_one_key(
    client: AsyncClient[Any], store: AsyncTundraStore, memory: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D09: one fetch, one restore, all succeed."""
    await client.set("k", "v")
    await archive(store, "k")
    await store.evict("k")
    before = memory.count("fetch")
    looked: list[int] = []
    run_all = store._run_all

    async def counted(*args: Any) -> Any:
        found = await run_all(*args)
        looked.append(1)
        return found

    monkeypatch.setattr(store, "_run_all", counted)
    everybody_has_looked = threading.Event()
    memory.after = lambda name, keys: everybody_has_looked.wait(20.0)
    jobs = [aio.spawn(store.ensure_keys, "k") for _ in range(50)]
    await until(lambda: len(looked) == 50, "fifty have seen that the key is away")
    everybody_has_looked.set()
    for job in jobs:
        await job.join(20.0)
    assert await client.get("k") == "v"
    assert memory.count("fetch") - before == 1


async def test_d09_stores_that_do_not_know_each_other(
    client: AsyncClient[Any], store: AsyncTundraStore, memory: MemoryStore
) -> None:
    """D09: between processes the server decides, and nobody gets an error."""
    others = [AsyncTundraStore(client, memory, mac_keys=MAC_KEY) for _ in range(8)]
    for _ in range(5):
        await client.set("k", "v")
        await archive(store, "k")
        await store.evict("k")
        jobs = [aio.spawn(other.ensure_keys, "k") for other in others]
        for job in jobs:
            await job.join(20.0)
        assert await client.get("k") == "v"


async def test_overlapping_wishes(client: AsyncClient[Any], store: AsyncTundraStore, memory: MemoryStore) -> None:
    keys = [f"k{n}" for n in range(100)]
    await client.mset(dict.fromkeys(keys, "v"))
    await archive(store, *keys)
    await store.evict(*keys)
    del memory.blobs[b"k50"]
    memory.asked.clear()
    jobs = [aio.spawn(wish, store, keys[start : start + 60]) for start in range(0, 50, 10)]
    told = [await job.join(20.0) for job in jobs]
    assert told == [(b"k50",)] * 5
    assert await client.exists(*keys) == 99
    assert not store._flights._by_key


async def wish(store: AsyncTundraStore, keys: list[str]) -> tuple[bytes, ...]:
    """Ensure keys; return those that could not be brought back."""
    try:
        await store.ensure_keys(*keys)
    except NotRestored as problem:
        return problem.keys
    return ()


async def test_who_waits_flies_himself_when_the_pilot_was_stopped() -> None:
    flights = Flights()
    [mine], others = flights.board([b"a", b"b"], 64)
    assert others == []
    none, [(theirs, wanted)] = flights.board([b"b"], 64)
    assert none == []
    assert theirs is mine
    assert wanted == [b"b"]
    flights.end(mine, None)
    await theirs.wait()
    assert theirs.is_void
    assert len(flights.board([b"b"], 64)[0]) == 1


async def test_nobody_waits_longer_than_his_deadline() -> None:
    flights = Flights()
    [mine], _ = flights.board([b"a"], 64)
    with pytest.raises(DeadlineExceeded), deadline(0.02):
        await mine.wait()
    flights.end(mine, {b"a": ValueError()})
    await mine.wait()
    flights.end(mine, None)
    assert not mine.is_void, "what has landed has landed"


async def test_ten_thousand_keys_go_in_batches(
    server: RedisServer, client: AsyncClient[Any], store: AsyncTundraStore
) -> None:
    """Ten calls of a script to note them, twenty to queue them, ten to ask for them; in three round trips."""
    keys = [f"k{n}" for n in range(10_000)]
    await client.mset(dict.fromkeys(keys, "v"))
    server.call("CONFIG", "RESETSTAT")
    await store.dirty(*keys)
    assert scripts_run(server) == 30
    assert (await store.stats()).queued == (await store.stats()).waiting == 10_000
    server.call("CONFIG", "RESETSTAT")
    await store.ensure_keys(*keys)
    assert scripts_run(server) == 10


def scripts_run(server: RedisServer) -> int:
    """Return how many scripts the server has run since its figures were reset."""
    stats = server.info("commandstats")
    return sum(int(stats[f"cmdstat_{name}"].split(",")[0].partition("=")[2]) for name in ("eval", "evalsha"))
