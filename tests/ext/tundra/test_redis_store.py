"""A second Redis as the datastore: the public checks, and what it says when that server fails."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, Any

import pytest

import carmine
from carmine.errors import UsageError
from carmine.ext.tundra import DataStoreError, NotStored
from carmine.ext.tundra.conformance import DataStoreSuite
from carmine.ext.tundra.redis import AsyncRedisDataStore, RedisDataStore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lab.proxy import FaultProxy
    from tests.lab.servers import RedisServer


class TestConformance(DataStoreSuite):
    """The checks that every datastore passes."""

    @pytest.fixture(autouse=True)
    def place(self, server: RedisServer) -> Iterator[None]:
        """Give each check a place of its own on the server, beside keys of others."""
        server.call("SET", "carmine:archive", "somebody's")
        server.call("SADD", "carmine:archive:set", "somebody's")
        with carmine.Client(server.url) as client:
            self._client = client
            yield

    def make_store(self) -> RedisDataStore:
        return RedisDataStore(self._client)


def test_prefixes_are_no_patterns(server: RedisServer) -> None:
    """S-16: neighbours are left alone."""
    with carmine.Client(server.url) as client:
        names = ["a*:", "a[b]:", "a\\*:", "ab:", "?:"]
        stores = [RedisDataStore(client, prefix=name) for name in names]
        for store, name in zip(stores, names, strict=True):
            store.put(b"k", name.encode())
        for store, name in zip(stores, names, strict=True):
            assert list(store.scan()) == [b"k"]
            assert store.fetch([b"k"]) == [name.encode()]
        stores[0].delete([b"k"])
        assert [list(store.scan()) for store in stores] == [[], [b"k"], [b"k"], [b"k"], [b"k"]]


def test_what_it_is_given_is_checked(server: RedisServer) -> None:
    with carmine.Client(server.url) as client:
        cases: list[dict[str, Any]] = [{"prefix": ""}, {"prefix": 3}, {"limit": 0}, {"limit": 2**40}]
        for options in cases:
            with pytest.raises(UsageError):
                RedisDataStore(client, **options)
        with pytest.raises(UsageError, match="4 bytes and this datastore takes 3"):
            RedisDataStore(client, limit=3).put(b"k", b"abcd")


def test_a_server_that_is_away_is_each_keys_error(server: RedisServer, proxy: FaultProxy) -> None:
    """And one that may go away again."""
    with carmine.Client(proxy.url(server.url)) as client:
        store = RedisDataStore(client)
        store.put(b"k", b"v")
        proxy.refuse()
        proxy.kill()
        problems: list[Any] = list(store.fetch([b"k", b"other"]))
        for call in (lambda: store.put(b"k", b"w"), lambda: store.delete([b"k"]), lambda: list(store.scan())):
            with pytest.raises(DataStoreError, match="the second server failed") as info:
                call()
            problems.append(info.value)
        assert [problem.is_transient for problem in problems] == [True] * 5
        assert [problem.key for problem in problems] == [b"k", b"other", b"k", None, None]
        proxy.refuse(False)
        proxy.heal()
        assert store.fetch([b"k"]) == [b"v"]
        client.delete("carmine:archive:k")
        client.rpush("carmine:archive:k", 1)
        [found] = store.fetch([b"k"])
        assert isinstance(found, DataStoreError)
        assert not isinstance(found, NotStored)
        assert not found.is_transient


def test_the_other_world(server: RedisServer) -> None:
    async def run() -> None:
        async with carmine.AsyncClient(server.url) as client:
            store = AsyncRedisDataStore(client)
            keys = [f"k{n}".encode() for n in range(200)]
            for key in keys:
                await store.aput(key, key * 2)
            assert await store.afetch(keys) == [key * 2 for key in keys]
            assert isinstance((await store.afetch([b"no"]))[0], NotStored)
            assert sorted([key async for key in store.ascan()]) == sorted(keys)
            await store.adelete(keys)
            assert [key async for key in store.ascan()] == []

    asyncio.run(run())


def test_a_scan_forgets_no_more_than_it_says(server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a server gives twice in a short while comes once."""
    with carmine.Client(server.url) as client:
        store = RedisDataStore(client)
        walk = itertools.chain([b"carmine:archive:a"] * 3, [b"carmine:archive:b", b"carmine:archive:a"])
        monkeypatch.setattr(store._client, "scan_iter", lambda *args: walk)
        assert list(store.scan()) == [b"a", b"b"]
