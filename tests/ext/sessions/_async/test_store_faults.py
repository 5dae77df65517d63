"""The store while its server is down, deaf, loading or cut off: an error in time, and nothing half done (W01).

And a replica that is behind (W06): what was ended is not alive again because somebody asks there.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from carmine.client._async.client import AsyncClient
from carmine.errors import CarmineError, NetworkError, Outcome, ServerError
from carmine.ext.sessions._async.store import AsyncSessionStore
from carmine.ext.sessions.errors import is_outage
from carmine.retry import Retry
from tests.ext.sessions.planting import key_in
from tests.lab.scripted import Scripted
from tests.lab.servers import RedisServer, wait_until

if TYPE_CHECKING:
    import contextlib

    from tests.lab.proxy import FaultProxy

pytestmark = pytest.mark.asyncio

ID = "i" * 43
CALLS: list[tuple[str, tuple[Any, ...]]] = [
    ("read", (ID,)),
    ("fetch", (ID,)),
    ("exists", (ID,)),
    ("touch", (ID,)),
    ("delete", (ID,)),
    ("create", ({},)),
    ("update", (ID, {})),
    ("write", (ID, {})),
    ("write", (None, {})),
    ("regenerate", (ID,)),
]
BUSY = 3.0
"""Seconds that a busy machine may add."""


async def fails(store: AsyncSessionStore) -> list[CarmineError]:
    """Call everything, and return what it raised; each within the store's time."""
    found = []
    for name, args in CALLS:
        began = time.monotonic()
        with pytest.raises(CarmineError) as caught:
            await getattr(store, name)(*args)
        assert time.monotonic() - began < 0.1 + BUSY, name
        assert is_outage(caught.value), caught.value
        assert ID not in str(caught.value)
        found.append(caught.value)
    return found


async def test_w01_a_server_that_is_down(proxy: FaultProxy, server: RedisServer) -> None:
    proxy.refuse()
    async with AsyncClient(proxy.url(server.url)) as client:
        for problem in await fails(AsyncSessionStore(client, timeout=0.1)):
            assert isinstance(problem, NetworkError)


async def test_w01_a_server_that_never_answers(stack: contextlib.ExitStack) -> None:
    deaf = stack.enter_context(Scripted(lambda number, block: b""))
    async with AsyncClient(deaf.url, read_timeout=60, connect_timeout=60) as client:
        for problem in await fails(AsyncSessionStore(client, timeout=0.1)):
            assert isinstance(problem, TimeoutError)


async def test_w01_a_server_that_falls_silent(proxy: FaultProxy, server: RedisServer) -> None:
    """Connected, and then nothing: what was sent may have been done, and the caller is told."""
    for name, *data in (("read",), ("update", {"a": 2}), ("delete",)):
        async with AsyncClient(proxy.url(server.url), retry=Retry(1)) as client:
            id = await AsyncSessionStore(client).create({"a": 1})
            proxy.hold("s2c")
            began = time.monotonic()
            with pytest.raises(NetworkError) as caught:
                await getattr(AsyncSessionStore(client, timeout=0.1), name)(id, *data)
            assert caught.value.outcome is Outcome.UNKNOWN
            assert time.monotonic() - began < 0.1 + BUSY
            proxy.release()


@pytest.mark.parametrize("error", ["LOADING loading the dataset", "CLUSTERDOWN down", "NOAUTH first", "MISCONF disk"])
async def test_w01_a_server_that_refuses(stack: contextlib.ExitStack, error: str) -> None:
    line = f"-{error}\r\n".encode()
    words = (b"GET", b"EVALSHA", b"EVAL", b"DEL", b"EXISTS")
    loading = stack.enter_context(Scripted.replies(dict.fromkeys(words, line)))
    async with AsyncClient(loading.url, retry=Retry(1), protocol=2) as client:
        await fails(AsyncSessionStore(client, timeout=2))


async def test_a_server_without_memory_takes_no_session_and_loses_none(
    server: RedisServer, store: AsyncSessionStore
) -> None:
    id = await store.create({"a": 1})
    before = server.call("GET", key_in(server))
    server.call("CONFIG", "SET", "maxmemory", "1")
    for name, args in (("create", ({"a": 2},)), ("update", (id, {"a": 2})), ("regenerate", (id, {"a": 2}))):
        with pytest.raises(ServerError) as caught:
            await getattr(store, name)(*args)
        assert "OOM" in caught.value.message  # 6.2 puts its own words before it
    server.call("CONFIG", "SET", "maxmemory", "0")
    assert server.call("GET", key_in(server)) == before
    assert await store.read(id) == {"a": 1}


async def test_a_lost_answer_leaves_the_session_whole(proxy: FaultProxy, server: RedisServer) -> None:
    """Every write is one script: after a cut it was done or not, and the id of the caller still says which."""
    async with AsyncClient(proxy.url(server.url), retry=Retry(1)) as client:
        store = AsyncSessionStore(client)
        id = await store.create({"n": 0})
        await store.update(id, {"n": 1})
        for cut in (0, 1, 3):
            proxy.mark()
            proxy.cut_after["s2c"] = cut
            with pytest.raises(NetworkError) as caught:
                await store.update(id, {"n": 2})
            assert caught.value.outcome is Outcome.UNKNOWN
            proxy.heal()
            assert await store.read(id) in ({"n": 1}, {"n": 2})
            assert await store.update(id, {"n": 1}) is True
        assert server.call("DBSIZE") == 1


async def test_w06_a_replica_that_is_behind_vouches_for_nobody(
    server: RedisServer, stack: contextlib.ExitStack
) -> None:
    """A failover may forget a logout, as any write; but who is asked to write, or to let live on, must be primary."""
    replica = stack.enter_context(RedisServer(replica_of=server))
    async with AsyncClient(server.url) as client, AsyncClient(replica.url, retry=Retry(1)) as behind:
        store = AsyncSessionStore(client, rolling=True)
        id = await store.create({"user": "ada"})
        wait_until(lambda: replica.call("DBSIZE") == 1, "the session on the replica")
        replica.call("REPLICAOF", "127.0.0.1", "1")  # it hears no more
        assert await store.delete(id)
        stale = AsyncSessionStore(behind, rolling=True)
        for name, *data in (("read",), ("touch",), ("update", {}), ("delete",), ("regenerate",), ("write", {})):
            with pytest.raises(ServerError) as caught:
                await getattr(stale, name)(id, *data)
            assert "READONLY" in caught.value.message  # 6.2 puts its own words before it
            assert is_outage(caught.value)
        assert replica.call("DBSIZE") == 1
        assert await store.read(id) is None


async def test_scripts_are_sent_again_after_a_flush(server: RedisServer, store: AsyncSessionStore) -> None:
    id = await store.create({"a": 1})
    server.call("SCRIPT", "FLUSH")
    assert await store.update(id, {"a": 2})
    server.call("SCRIPT", "FLUSH")
    assert await store.read(await store.regenerate(id)) == {"a": 2}


async def test_without_a_time_of_its_own_the_clients_limits_count(stack: contextlib.ExitStack) -> None:
    deaf = stack.enter_context(Scripted(lambda number, block: b""))
    async with AsyncClient(deaf.url, connect_timeout=0.05, retry=Retry(1)) as client:
        with pytest.raises(NetworkError):
            await AsyncSessionStore(client, timeout=None).read(ID)
