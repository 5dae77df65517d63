"""Values that move between servers of different kinds: upwards they come back, all else is refused before RESTORE."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

import carmine
from carmine.ext.tundra import IncompatibleVersion, NotEvicted, NotRestored, TundraStore
from carmine.ext.tundra.core.values import checked_version
from carmine.ext.tundra.envelope import Sealed
from carmine.ext.tundra.redis import RedisDataStore
from tests.ext.tundra.stores import MAC_KEY, MemoryStore
from tests.lab.matrix import LEGS
from tests.lab.servers import RedisServer

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.one_server, pytest.mark.one_twin]

UPWARDS: Final = {
    ("redis62", "redis70"), ("redis62", "redis82"), ("redis70", "redis82"),
    ("redis62", "valkey91"), ("redis70", "valkey91"),
}  # fmt: skip


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, RedisServer]]:
    """Give one server of each kind."""
    made = {name: RedisServer(leg) for name, leg in LEGS.items()}
    try:
        for one in made.values():
            one.start()
        yield made
    finally:
        for one in made.values():
            one.stop()


@pytest.mark.parametrize("source", list(LEGS))
def test_d13_values_come_back_upwards_and_are_refused_downwards(source: str, servers: dict[str, RedisServer]) -> None:
    """D13: the refusal says which server it came from; and nothing was sent."""
    memory = MemoryStore()
    with carmine.Client(servers[source].url) as client:
        client.flushall()
        client.set("string", "v" * 100)
        client.hset("hash", mapping={f"f{n}": n for n in range(600)})
        client.rpush("list", *range(200))
        client.zadd("zset", {f"m{n}": n for n in range(200)})
        client.xadd("stream", {"a": "1"}, id="1-1")
        client.expire("string", 5000)
        store = TundraStore(client, memory, mac_keys=MAC_KEY)
        keys = ["string", "hash", "list", "zset", "stream"]
        store.dirty(*keys)
        store.worker().run_until_empty()
        archived = dict(memory.blobs)
    for target, server in servers.items():
        with carmine.Client(server.url) as client:
            client.flushall()
            server.call("CONFIG", "RESETSTAT")
            memory.blobs = dict(archived)
            store = TundraStore(client, memory, mac_keys=MAC_KEY)
            report = store.restore_all()
            if source == target or (source, target) in UPWARDS:
                assert report[:4] == (5, 0, 0, 0), (source, target)
                assert client.get("string") == "v" * 100
                assert 4900 < client.ttl("string") <= 5000
                assert client.hgetall("hash") == {f"f{n}": str(n) for n in range(600)}
                assert client.zrange("zset", 0, -1) == [f"m{n}" for n in range(200)]
                assert [client.llen("list"), client.xlen("stream")] == [200, 1]
                assert store.verify()[:2] == (5, 5)
                if source != target:
                    with pytest.raises(NotEvicted, match="the archive is of an older server"):
                        store.evict(*keys)
                    store.dirty(*keys)
                    store.worker().run_until_empty()
                assert store.evict(*keys) == 5
            else:
                assert {type(problem) for problem in report.failures.values()} == {IncompatibleVersion}
                assert source.removesuffix(source[-2:]) in str(report.failures[b"string"])
                assert "cmdstat_restore" not in server.info("commandstats")
                assert client.exists(*keys) == 0
                client.sadd(store._marks.evictable, "string")
                with pytest.raises(NotRestored, match="does not read that"):
                    store.ensure_keys("string")


@pytest.mark.parametrize(
    ("payload", "target", "fits"),
    [
        (9, 9, True), (9, 10, True), (9, 12, True), (9, 80, True), (11, 80, True), (80, 80, True), (80, 81, True),
        (10, 9, False), (12, 11, False), (12, 80, False), (79, 80, False), (80, 12, False), (81, 80, False),
    ],
)  # fmt: skip
def test_which_versions_fit(payload: int, target: int, fits: bool) -> None:
    sealed = Sealed(b"", 1, "redis 8.2.0", payload, None, True)
    if fits:
        checked_version(b"k", sealed, target)
        return
    with pytest.raises(IncompatibleVersion, match=r"redis 8\.2\.0 in RDB version") as info:
        checked_version(b"k", sealed, target)
    assert info.value.key == b"k"


def test_a_second_server_of_another_kind_keeps_archives(servers: dict[str, RedisServer]) -> None:
    """It stores bytes: its own version does not matter."""
    with (
        carmine.Client(servers["valkey91"].url) as client,
        carmine.Client(servers["redis62"].url) as second,
    ):
        client.flushall()
        second.flushall()
        store = TundraStore(client, RedisDataStore(second), mac_keys=MAC_KEY)
        client.mset({"a": "1", "b": "2"})
        store.dirty("a", "b")
        store.worker().run_until_empty()
        assert sorted(second.keys()) == ["carmine:archive:a", "carmine:archive:b"]
        assert second.ttl("carmine:archive:a") == -1
        store.evict("a", "b")
        store.ensure_keys("a", "b")
        assert client.mget("a", "b") == ["1", "2"]
        second.set("carmine:archive:a", "forged")
        store.evict("b")
        assert {type(p).__name__ for p in store.verify().failures.values()} == {"DamagedEnvelope"}
        store.forget("a", "b")
        assert second.keys() == []
