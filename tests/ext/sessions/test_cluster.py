"""Sessions on a server of a cluster: every key is declared, old and new key of one session share a slot (D13)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

import carmine
from carmine.client.lua import Program
from carmine.errors import CrossSlotError, UsageError
from carmine.ext.sessions import AsyncSessionStore, SessionStore, programs
from carmine.ext.sessions.keys import Keys
from carmine.protocol import key_slot
from tests.lab.servers import RedisServer

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def cluster() -> Iterator[RedisServer]:
    """Give one server that owns all slots."""
    with RedisServer(cluster=True) as made:
        yield made


@pytest.fixture
def strict(cluster: RedisServer, monkeypatch: pytest.MonkeyPatch) -> RedisServer:
    """Have the scripts run so that a key they have not declared is refused (from 7.0)."""
    if cluster.leg.at_least_7:
        for name in programs.__all__:
            program = getattr(programs, name)
            decode = program.by_hash((), ())[0].decode
            monkeypatch.setattr(programs, name, Program(f"#!lua\n{program.text}", decode=decode))
    return cluster


class ClusterClient(carmine.Client[str]):
    """A client that says it is one of a cluster."""

    is_cluster = True


class AsyncClusterClient(carmine.AsyncClient[str]):
    """The same."""

    is_cluster = True


@pytest.mark.parametrize("prefix", ["carmine:session", "{shop}:session", "a}b", "{", "a{b", "}{"])
def test_every_key_is_declared_and_in_the_slot(strict: RedisServer, prefix: str) -> None:
    with ClusterClient(strict.url) as client:
        store = SessionStore(client, prefix, rolling=True, absolute_ttl=60)
        first = store.create({"a": 1})
        assert store.read(first) == {"a": 1}
        assert store.update(first, {"a": 2})
        second = store.regenerate(first)
        third = store.regenerate(second, {"a": 3}, begin_anew=True)
        assert len({first, second, third}) == 3
        assert [store.read(id) for id in (first, second, third)] == [None, None, {"a": 3}]
        assert store.touch(third)
        assert store.delete(third)


def test_the_other_world(strict: RedisServer) -> None:
    async def run() -> None:
        async with AsyncClusterClient(strict.url) as client:
            store = AsyncSessionStore(client)
            new = await store.regenerate(await store.create({"a": 1}))
            assert await store.read(new) == {"a": 1}
            await store.delete(new)

    asyncio.run(run())


def test_a_plain_client_needs_a_prefix_with_a_tag(strict: RedisServer) -> None:
    with carmine.Client(strict.url) as client:
        store = SessionStore(client)
        two = ["a" * 43, "b" * 43]
        store._make_id = two.pop  # type: ignore[method-assign]  # two of 16,384 slots are the same once in a while
        old = store.create({})
        with pytest.raises(CrossSlotError):
            store.regenerate(old)
        tagged = SessionStore(client, "{session}")
        assert tagged.read(tagged.regenerate(tagged.create({"a": 1}))) == {"a": 1}


@pytest.mark.parametrize("prefix", ["{}", "a{}b{c}"])
def test_braces_that_a_cluster_does_not_see_are_refused(prefix: str) -> None:
    with pytest.raises(UsageError, match="cannot be empty"):
        SessionStore(ClusterClient(), prefix)
    assert isinstance(SessionStore(carmine.Client(), prefix), SessionStore), "elsewhere they mean nothing"


def test_sessions_spread_and_a_new_id_keeps_little_of_the_old() -> None:
    store = SessionStore(ClusterClient())
    keys = Keys(is_split=True)
    slots = set()
    for _ in range(500):
        old, fresh = store._make_id(), store._make_id()
        new = keys.successor(old, fresh)
        assert key_slot(keys.key_of(old)) == key_slot(keys.key_of(new))
        assert (new[:4], new[4:]) == (old[:4], fresh[4:])
        slots.add(key_slot(keys.key_of(old)))
    assert len(slots) > 450
