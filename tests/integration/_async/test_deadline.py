"""The deadline: one limit over pool wait, connect, retries and reads, in both worlds."""

# ruff: noqa: PT012 - what raises is the end of a block
from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

import pytest

import carmine
from carmine.client.deadline import limit
from carmine.errors import ConnectTimeout, DeadlineExceeded, LoadingError, Outcome, PoolTimeout, ReadTimeout
from carmine.retry import Retry
from tests.integration._async.helpers import alone
from tests.lab.clock import within
from tests.lab.scripted import Scripted

if TYPE_CHECKING:
    from carmine.client._async.client import AsyncClient
    from tests.integration._async.conftest import Open
    from tests.lab.proxy import FaultProxy
    from tests.lab.servers import RedisServer

pytestmark = pytest.mark.asyncio


async def test_in_time_nothing_changes(client: AsyncClient[str]) -> None:
    with carmine.deadline(10):
        assert await client.set("key", "v")
        async with client.pipeline() as pipeline:
            pipeline.get("key")
        async with client.transaction("key") as tx:
            assert await tx.now.get("key") == "v"
            tx.append("key", "w")
        async with client.connection() as connection:
            assert await connection.get("key") == "vw"
        assert await client.blpop("list", timeout=0.01) is None
    assert pipeline.replies == ["v"]
    assert tx.replies == [2]


async def test_a_call_that_would_begin_too_late_is_not_sent(client: AsyncClient[str]) -> None:
    with carmine.deadline(0):
        with pytest.raises(DeadlineExceeded, match="before INCR was sent") as caught:
            await client.incr("n")
        assert caught.value.outcome is Outcome.NOT_SENT
        with pytest.raises(TimeoutError):
            async with client.pipeline() as pipeline:
                reply = pipeline.incr("n")
        assert isinstance(reply.error, TimeoutError)
        with pytest.raises(TimeoutError):
            async with client.transaction() as tx:
                tx.incr("n")
        with pytest.raises(TimeoutError):
            await client.blpop("list", timeout=1)
    assert await client.get("n") is None


SHAPES = ["single", "pipeline", "transaction", "watched", "pinned"]


async def read(client: AsyncClient[str], shape: str) -> Any:
    if shape == "single":
        return await client.get("key")
    if shape == "pipeline":
        async with client.pipeline() as pipeline:
            pipeline.get("key")
        return pipeline.replies[0]
    if shape == "transaction":
        async with client.transaction() as tx:
            tx.get("key")
        return tx.replies[0]
    if shape == "watched":
        async with client.transaction("key") as tx:
            tx.get("key")
        return tx.replies[0]
    return await alone(client, "GET", "key")


@pytest.mark.parametrize("shape", SHAPES)
async def test_a_read_ends_with_it(open_client: Open, proxy: FaultProxy, server: RedisServer, shape: str) -> None:
    client = open_client(proxy.url(server.url), read_timeout=30, retry=Retry(3))
    await client.set("key", "v")
    assert await read(client, shape) == "v"
    proxy.hold("s2c")
    with within(0.2, 0.19), pytest.raises(ReadTimeout, match="sent") as caught, carmine.deadline(0.2):
        await read(client, shape)
    assert caught.value.outcome is Outcome.UNKNOWN
    assert caught.value.__notes__ == ["the limit was carmine.deadline(0.2)"]
    proxy.heal()
    for _ in range(20):
        assert await read(client, shape) == "v"


async def test_a_blocking_command_ends_with_it(client: AsyncClient[str], server: RedisServer) -> None:
    with within(0.2, 0.19), pytest.raises(ReadTimeout), carmine.deadline(0.2):
        await client.blpop("list", timeout=0)
    await client.rpush("list", "x")
    assert await client.lrange("list", 0, -1) == ["x"], "who waited no longer has taken it"


async def test_the_wait_for_a_connection_ends_with_it(open_client: Open) -> None:
    client = open_client(pool_size=1, pool_timeout=30)
    async with client.connection():
        with within(0.1, 0.09), pytest.raises(PoolTimeout), carmine.deadline(0.1):
            await alone(client, "PING")
    assert await alone(client, "PING") == "PONG"


@pytest.mark.parametrize("shape", ["single", "pinned"])
async def test_opening_ends_with_it(open_client: Open, shape: str) -> None:
    with Scripted(lambda number, block: b"") as silent:
        client = open_client(silent.url, connect_timeout=20, retry=Retry(3))
        with within(0.2, 0.19), pytest.raises(ConnectTimeout), carmine.deadline(0.2):
            await read(client, shape)


async def test_retries_end_with_it(open_client: Open) -> None:
    loading = b"-LOADING Redis is loading the dataset in memory\r\n"
    with Scripted.replies({b"INCR": loading, b"PING": b"+PONG\r\n"}) as server:
        client = open_client(server.url, protocol=3, retry=Retry(1000, base=0.6, cap=0.6, jitter=0))
        await client.ping()
        with within(1.0), pytest.raises(LoadingError), carmine.deadline(1.0):
            await client.incr("n")
        assert 2 <= sum(words[0] == b"INCR" for _, words in server.commands) <= 11


async def test_the_shorter_of_two(open_client: Open, proxy: FaultProxy, server: RedisServer) -> None:
    client = open_client(proxy.url(server.url), read_timeout=30)
    await client.echo("warm")
    proxy.hold("s2c")
    with carmine.deadline(30) as outer:
        with within(0.1, 0.09), pytest.raises(ReadTimeout), carmine.deadline(0.1):
            await client.echo("x")
        assert outer.left > 20
        proxy.heal()
        assert await client.echo("y") == "y"
    with within(0.1, 0.09), pytest.raises(ReadTimeout), carmine.deadline(0.1), carmine.deadline(30):
        proxy.hold("s2c")
        await client.echo("z")
    proxy.heal()
    assert await client.echo("after") == "after"


async def test_read_timeout_still_counts_where_it_is_shorter(
    open_client: Open, proxy: FaultProxy, server: RedisServer
) -> None:
    client = open_client(proxy.url(server.url), read_timeout=0.1, retry=Retry(1))
    await client.echo("warm")
    proxy.hold("s2c")
    with within(0.1, 0.09), pytest.raises(ReadTimeout), carmine.deadline(30):
        await client.echo("x")
    proxy.heal()


class Slow(carmine.Hooks):
    """Lets the caller's time pass once a connection is there."""

    def __init__(self) -> None:
        self.errors: list[str] = []

    def on_connect(self, address: str, seconds: float) -> None:
        while time.monotonic() < limit() < math.inf:
            pass

    def on_error(self, address: str, error: BaseException) -> None:
        self.errors.append(type(error).__name__)


async def test_it_ends_between_the_connection_and_the_command(open_client: Open, server: RedisServer) -> None:
    hooks = Slow()
    client = open_client(pool_size=1, hooks=hooks)
    with pytest.raises(DeadlineExceeded, match="before BLPOP was sent") as caught, carmine.deadline(0.2):
        await client.blpop("list", timeout=5)
    assert caught.value.outcome is Outcome.NOT_SENT
    assert hooks.errors == [], "no connection was lost"
    assert client.pool.stats().idle == 1
    await client.rpush("list", "x")
    assert await client.blpop("list", timeout=5) == ("list", "x")
