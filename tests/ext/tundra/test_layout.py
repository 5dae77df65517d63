"""The keys and the scripts: what is declared is what is touched, on a cluster too, and nobody's name is another's."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

import carmine
from carmine.client.lua import Program
from carmine.errors import CrossSlotError, UsageError
from carmine.ext.tundra import AsyncTundraStore, KeysMissing, TundraStore
from carmine.ext.tundra import keys as keys_room
from carmine.ext.tundra import programs as programs_room
from carmine.ext.tundra._async import base as async_base
from carmine.ext.tundra._sync import base
from carmine.ext.tundra.keys import key_of_message, marks_of, mid_of, names_of, probe_of, tag
from carmine.ext.tundra.programs import names, text_of
from carmine.protocol import key_slot
from tests.ext.tundra.stores import MAC_KEY, AsyncMemoryStore, MemoryStore
from tests.lab.servers import RedisServer

if TYPE_CHECKING:
    from collections.abc import Iterator

SCRIPTS = Path(programs_room.__file__).parent / "scripts"


@pytest.mark.parametrize("name", names())
def test_a_script_tells_its_contract_and_names_no_key(name: str) -> None:
    text = (SCRIPTS / f"{name}.lua").read_text(encoding="utf-8")
    head = text[: text.index("-- include: marks")] if "-- include: marks" in text else text[: text.index("local ")]
    assert "-- KEYS:" in head
    assert "-- Returns" in head
    assert ("-- ARGV:" in head) == bool(re.search(r"\bARGV\b", text.replace(head, "")))
    assert "carmine:" not in text_of(name)
    assert "-- " not in text_of(name)


def test_the_page_of_keys_names_every_mark() -> None:
    told = keys_room.__doc__ or ""
    for name in (*marks_of("<queue>"), probe_of("<queue>")):
        assert name.decode() in told


@given(st.text(min_size=1, max_size=20), st.text(min_size=1, max_size=20))
def test_no_two_queues_share_a_key(one: str, other: str) -> None:
    """S-17: whatever their names hold."""
    mine, theirs = {*marks_of(one)[1:], probe_of(one)}, {*marks_of(other)[1:], probe_of(other)}
    assert len(mine) == 4
    assert (mine == theirs) == (one == other)
    assert one == other or not mine & theirs
    assert marks_of(one)[0] == marks_of(other)[0] == b"carmine:tundra:evictable"


def test_every_slot_has_marks_of_its_own() -> None:
    tags = [tag(slot) for slot in range(16_384)]
    assert len(set(tags)) == 16_384
    assert [key_slot(f"x{{{each}}}".encode()) for each in tags] == list(range(16_384))
    assert {key_slot(name) for name in (*marks_of("{a}b", 77), probe_of("{a}b", 77))} == {77}


@given(st.binary(min_size=1, max_size=80) | st.text(min_size=1, max_size=80).map(lambda text: text.encode()))
def test_a_message_leads_back_to_its_key(key: bytes) -> None:
    mid, content = mid_of(key)
    assert key_of_message(mid, content) == key


@given(st.lists(st.binary(min_size=1, max_size=8), unique=True, max_size=30))
def test_no_two_keys_share_a_mid(keys: list[bytes]) -> None:
    keys += [b"\0" + key for key in keys[:5] if b"\0" + key not in keys]
    assert len({mid_of(key)[0] for key in keys}) == len(keys)


def test_a_message_that_is_none_is_refused() -> None:
    for mid, content in [("\0abc", b"k"), ("\0abc", 3), (mid_of(b"\xff")[0], b"\xfe")]:
        with pytest.raises(UsageError, match="none of Tundra's"):
            key_of_message(mid, content)


def test_names_come_once_and_in_their_order() -> None:
    assert names_of(["b", b"a", "b", bytearray(b"c"), memoryview(b"a"), "é"]) == [b"b", b"a", b"c", "é".encode()]


# On a cluster. -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cluster() -> Iterator[RedisServer]:
    """Give one server that owns all slots."""
    with RedisServer(cluster=True) as made:
        yield made


@pytest.fixture
def strict(cluster: RedisServer, monkeypatch: pytest.MonkeyPatch) -> RedisServer:
    """Have the scripts run so that a key they have not declared is refused (from 7.0)."""
    cluster.call("FLUSHALL")
    if cluster.leg.at_least_7:

        def strict_program(name: str) -> Program[Any]:
            return Program(f"#!lua\n{text_of(name)}")

        monkeypatch.setattr(base, "program", strict_program)
        monkeypatch.setattr(async_base, "program", strict_program)
    return cluster


class ClusterClient(carmine.Client[str]):
    """A client that says it is one of a cluster."""

    is_cluster = True


class AsyncClusterClient(carmine.AsyncClient[str]):
    """The same."""

    is_cluster = True


KEYS: Final[list[str | bytes]] = ["plain", "{tag}ged", "a}b", "{}", "{", "k1", "k2", "k3", b"\xff"]


@pytest.mark.cluster
def test_every_key_is_declared_and_in_the_slot(strict: RedisServer) -> None:
    """D13 of the design, Q21: whatever the keys' names are; and each slot has its own marks."""
    memory = MemoryStore()
    with ClusterClient(strict.url) as client:
        store = TundraStore(client, memory, mac_keys=MAC_KEY, redis_ttl=60, allow_short_ttl=True)
        for key in KEYS:
            client.set(key, "v", ex=5000 if key == "k1" else None)
        with pytest.raises(KeysMissing):
            store.dirty(*KEYS, "never")
        store.worker().run_until_empty()
        assert store.stats()[:2] == (9, 0)
        assert store.evict(*KEYS) == 9
        store.ensure_keys(*KEYS)
        assert [client.get(key) for key in KEYS] == ["v"] * 9
        assert store.verify()[:3] == (9, 9, 0)
        assert store.forget("k2", "k3") == 2
        worker = store.worker()
        assert worker.sweep() == 0
        assert store.verify()[:2] == (7, 7)
        for key in KEYS:
            if key not in ("k2", "k3"):
                marks = store._marks_of(names_of([key])[0])
                assert client.sismember(marks.evictable, key)
        strict.call("FLUSHALL")
        assert store.restore_all().restored == 7
        assert store.stats().evictable == 7


@pytest.mark.cluster
def test_the_other_world(strict: RedisServer) -> None:
    async def run() -> None:
        async with AsyncClusterClient(strict.url) as client:
            store = AsyncTundraStore(client, MemoryStore(), mac_keys=MAC_KEY)
            for key in KEYS:
                await client.set(key, "v", px=50 if key == "k1" else None)
            await store.dirty(*KEYS)
            worker = store.worker()
            await worker.run_until_empty()
            await store.evict(*KEYS[:3])
            await store.ensure_keys(*KEYS)
            assert await client.get("plain") == "v"

    asyncio.run(run())


@pytest.mark.cluster
def test_a_plain_client_is_told_by_the_server(strict: RedisServer) -> None:
    with carmine.Client(strict.url) as client:
        client.set("plain", "v")
        with pytest.raises(CrossSlotError):
            TundraStore(client, MemoryStore(), mac_keys=MAC_KEY).dirty("plain")


# Datastores of either world. -----------------------------------------------------------------------------------------


def test_a_datastore_for_asyncio(url: str) -> None:
    """It has no place in the blocking world; the other kind works in both."""
    memory = MemoryStore()
    with carmine.Client(url) as blocking, pytest.raises(UsageError, match="AsyncTundraStore takes others too"):
        TundraStore(blocking, AsyncMemoryStore(memory), mac_keys=MAC_KEY)

    async def run() -> None:
        async with carmine.AsyncClient(url) as client:
            store = AsyncTundraStore(client, AsyncMemoryStore(memory), mac_keys=MAC_KEY)
            await client.mset({"a": "1", "b": "2", "c": "3"})
            await store.dirty("a", "b", "c")
            await store.worker().run_until_empty()
            await store.evict("a")
            await store.ensure_keys("a")
            assert await client.get("a") == "1"
            assert (await store.verify())[:2] == (3, 3)
            await store.forget("a")
            assert list(memory.blobs) == [b"b", b"c"]
            assert [page async for page in store._shelf.pages(1)] == [[b"b"], [b"c"]]

    asyncio.run(run())
