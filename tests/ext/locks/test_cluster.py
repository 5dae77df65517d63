"""Locks on a server of a cluster: every key is declared, and all of one lock are in one slot."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

import carmine
from carmine.client.lua import Program
from carmine.errors import CrossSlotError
from carmine.ext.locks import AsyncLock, Lock, core
from tests.ext.locks.lockers import Call, wait_listeners
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
        for name in ("ACQUIRE", "EXTEND", "RELEASE"):
            program = getattr(core, name)
            decode = program.by_hash((), ())[0].decode
            monkeypatch.setattr(core, name, Program(f"#!lua\n{program.text}", decode=decode))
    return cluster


class ClusterClient(carmine.Client[str]):
    """A client that says it is one of a cluster."""

    is_cluster = True


class AsyncClusterClient(carmine.AsyncClient[str]):
    """The same."""

    is_cluster = True


@pytest.mark.parametrize("name", ["plain", "{tag}ged", "a}b", "{}", "{"])
def test_every_key_is_declared_and_in_the_slot(strict: RedisServer, name: str) -> None:
    with ClusterClient(strict.url) as client:
        lock = Lock(client, name, ttl=0.5)
        lease = lock.acquire()
        assert lease is not None
        call = Call(lock.acquire)
        wait_listeners(strict, 1)
        lease.extend()
        lease.check()
        assert lease.release()
        other = call.result()
        again = lock.resume(other.token)
        assert again.fence == other.fence > lease.fence
        assert again.release()
        assert not other.release()


def test_the_other_world(strict: RedisServer) -> None:
    async def run() -> None:
        async with AsyncClusterClient(strict.url) as client, AsyncLock(client, "plain", ttl=1) as lease:
            assert strict.call("GET", "carmine:lock:{plain}") == lease.token.encode()
            await lease.extend()

    asyncio.run(run())


def test_a_plain_client_needs_a_name_with_a_tag(strict: RedisServer) -> None:
    with carmine.Client(strict.url) as client:
        with Lock(client, "{plain}") as lease:
            assert not lease.lost
        with pytest.raises(CrossSlotError):
            Lock(client, "plain").acquire()
