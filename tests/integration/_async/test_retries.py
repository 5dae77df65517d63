"""What is tried again, and what never is (D8)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import carmine
from carmine.errors import AuthError, ConnectionLost, LoadingError, Outcome, ReadTimeout
from carmine.retry import Retry
from tests.lab.proxy import FaultProxy, Faults
from tests.lab.scripted import Scripted

if TYPE_CHECKING:
    from carmine.client._async.client import AsyncClient
    from tests.integration._async.conftest import Open
    from tests.lab.servers import RedisServer

pytestmark = pytest.mark.asyncio

QUICK: Any = {"base": 0.001, "cap": 0.002}


class Watcher(carmine.Hooks):
    def __init__(self) -> None:
        self.retries: list[tuple[str, int, str]] = []

    def on_retry(self, name: str, attempt: int, wait: float, error: BaseException) -> None:
        self.retries.append((name, attempt, type(error).__name__))


async def test_a_server_that_loads_is_asked_again(open_client: Open) -> None:
    loading = b"-LOADING Redis is loading the dataset in memory\r\n"
    with Scripted.replies({b"INCR": [loading, loading, b":1\r\n"]}) as server:
        watcher = Watcher()
        client = open_client(server.url, protocol=3, retry=Retry(3, **QUICK), hooks=watcher)
        assert await client.incr("n") == 1
        assert watcher.retries == [("INCR", 1, "LoadingError"), ("INCR", 2, "LoadingError")]
        assert server.accepted == 1
    with Scripted.replies({b"INCR": loading}) as server:
        client = open_client(server.url, protocol=3, retry=Retry(3, **QUICK))
        with pytest.raises(LoadingError):
            await client.incr("n")
        assert sum(words[0] == b"INCR" for _, words in server.commands) == 3


async def cut(proxy: FaultProxy, client: AsyncClient[str]) -> None:
    """Let the next reply be lost, on this connection alone."""
    await client.echo("warm")
    proxy.mark()
    proxy.cut_after["s2c"] = 1
    proxy.plan = lambda number: Faults()  # later ones are healthy


async def test_a_read_whose_reply_was_lost_is_sent_again(
    open_client: Open, proxy: FaultProxy, server: RedisServer
) -> None:
    client = open_client(proxy.url(server.url), retry=Retry(3, **QUICK))
    await client.set("key", "v")
    await cut(proxy, client)
    assert await client.get("key") == "v"
    assert client.pool.stats().opened == 2


async def test_a_write_whose_reply_was_lost_is_not_sent_again(
    open_client: Open, proxy: FaultProxy, server: RedisServer
) -> None:
    client = open_client(proxy.url(server.url), retry=Retry(3, **QUICK))
    await cut(proxy, client)
    with pytest.raises(ConnectionLost) as caught:
        await client.incr("n")
    assert caught.value.outcome is Outcome.UNKNOWN
    assert await client.get("n") == "1"


async def test_an_absolute_write_is_sent_again_by_leave(
    open_client: Open, proxy: FaultProxy, server: RedisServer
) -> None:
    client = open_client(proxy.url(server.url), retry=Retry(3, absolute_writes=True, **QUICK))
    await cut(proxy, client)
    assert await client.set("key", "v") is True
    assert client.pool.stats().opened == 2


@pytest.mark.parametrize("readonly", [True, False])
async def test_a_pipeline_is_sent_again_only_if_it_writes_nothing(
    open_client: Open, proxy: FaultProxy, server: RedisServer, readonly: bool
) -> None:
    client = open_client(proxy.url(server.url), retry=Retry(3, absolute_writes=True, **QUICK))
    await cut(proxy, client)
    pipeline = client.pipeline()
    pipeline.get("key")
    if readonly:
        assert await pipeline.flush() == [None]
        return
    pipeline.set("key", "v")
    with pytest.raises(ConnectionLost) as caught:
        await pipeline.flush()
    assert caught.value.outcome is Outcome.UNKNOWN
    assert pipeline.replies == [caught.value, caught.value]


async def test_a_timeout_is_final(open_client: Open, proxy: FaultProxy, server: RedisServer) -> None:
    client = open_client(proxy.url(server.url), read_timeout=0.1, retry=Retry(3, **QUICK))
    await client.echo("warm")
    proxy.hold("s2c")
    with pytest.raises(ReadTimeout) as caught:
        await client.get("key")
    assert caught.value.outcome is Outcome.UNKNOWN
    assert client.pool.stats().open == 0, "a connection that owes a reply was kept"
    proxy.heal()
    assert await client.echo("again") == "again"


async def test_a_wrong_password_is_final(make_server: Any, open_client: Open) -> None:
    server = make_server(password="right")
    watcher = Watcher()
    url = f"redis://:wrong-canary@127.0.0.1:{server.port}"
    client = open_client(url, retry=Retry(5, **QUICK), hooks=watcher)
    with pytest.raises(AuthError) as caught:
        await client.get("key")
    assert "canary" not in str(caught.value)
    assert watcher.retries == []


async def test_a_refused_connection_is_tried_again(open_client: Open, proxy: FaultProxy, server: RedisServer) -> None:
    watcher = Watcher()
    client = open_client(proxy.url(server.url), retry=Retry(4, **QUICK), hooks=watcher)
    broken = Faults()
    broken.cut_after["s2c"] = 0
    proxy.plan = lambda number: broken if number < 3 else None
    assert await client.incr("n") == 1
    assert len(watcher.retries) == 2
