"""The asyncio connection's own corners: opening, idle sockets, timers, memory."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from carmine.client._async.client import AsyncClient
from carmine.errors import ConnectionLost, ConnectTimeout, UsageError
from tests.integration.async_shapes import ONCE, SHAPES, alone, cancel_after, client, one, until
from tests.lab.clock import within
from tests.lab.leaks import assert_no_leaks_async, snapshot
from tests.lab.proxy import Faults
from tests.lab.scripted import Scripted

if TYPE_CHECKING:
    from collections.abc import Callable

    from carmine.protocol import Parser
    from carmine.transport.async_io import AsyncIO
    from tests.lab.proxy import FaultProxy
    from tests.lab.servers import RedisServer

__all__ = ["client"]


# The wire's own corners. ---------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_awaitable_providers(make_server: Callable[..., RedisServer]) -> None:
    server = make_server(password="right")
    connected: list[object] = []

    async def provide() -> tuple[str, str]:
        await asyncio.sleep(0)
        return "default", "right"

    async def greet(connection: Any) -> None:
        connected.append(await connection.execute((b"PING",), True))

    options: Any = {"credentials": provide, "on_connect": greet}
    async with AsyncClient(f"redis://127.0.0.1:{server.port}", **options) as client:
        await one(client)
    assert connected == ["PONG"]


@pytest.mark.asyncio
async def test_opening_may_be_cancelled_anywhere(server: RedisServer, certs: Any, protocol: Any) -> None:
    """Also inside the TLS handshake and a slow socket_factory."""
    before = snapshot()
    with Scripted.replies({b"ECHO": b"+x\r\n"}, tls=certs.server_context(certs.good)) as tls_server:
        for steps in range(60):
            client: AsyncClient[str] = AsyncClient(tls_server.url, ca_certs=certs.ca, protocol=3, pool_size=1)
            finished = not await cancel_after(steps, asyncio.ensure_future(client.echo("x")))
            assert client.pool.stats().in_use == 0
            assert await client.echo("x") == "x"
            await client.aclose()
            if finished:
                break
    await assert_no_leaks_async(before)


@pytest.mark.asyncio
async def test_a_slow_factory_is_left_behind(server: RedisServer) -> None:
    import socket  # noqa: PLC0415 - for this test alone

    may_go_on, made = threading.Event(), []

    def slow(address: Any, timeout: float) -> socket.socket:
        may_go_on.wait(10)
        made.append(socket.create_connection((address.host, address.port), 5))
        return made[-1]

    async with AsyncClient(server.url, socket_factory=slow, connect_timeout=0.05, retry=ONCE) as client:
        with within(0.05), pytest.raises(ConnectTimeout, match="socket_factory"):
            await client.get("key")
        may_go_on.set()
        await until(lambda: bool(made) and made[0].fileno() == -1, "the late socket is closed")


@pytest.mark.asyncio
async def test_one_timer_for_many_calls(client: AsyncClient[str]) -> None:
    await one(client)
    loop: Any = asyncio.get_running_loop()
    if not hasattr(loop, "_scheduled"):
        pytest.skip("this loop does not show its timers")
    before = len(loop._scheduled)
    for _ in range(100):
        await one(client)
    assert len(loop._scheduled) <= before + 1


@pytest.mark.asyncio
async def test_memory_that_runs_out_ends_the_connection(server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """FAULTS G04."""
    async with AsyncClient(server.url, retry=ONCE, pool_size=1) as client:
        await one(client)
        await alone(client)
        for connection, call in ((client.pool.multiplexer.lines[0], one), (client.pool.idle[0], alone)):
            monkeypatch.setattr(connection._io, "_parser", _NoMemory(connection._io._parser))
            with pytest.raises(ConnectionLost, match="MemoryError"):
                await call(client)
            assert not connection.is_usable
            await call(client)


class _NoMemory:
    def __init__(self, parser: Parser) -> None:
        self._parser = parser

    def __getattr__(self, name: str) -> Any:
        return getattr(self._parser, name)

    def next_reply(self) -> Any:
        raise MemoryError


@pytest.mark.asyncio
async def test_modes_must_fit(client: AsyncClient[str]) -> None:
    connection = await client.pool.borrow()
    io: AsyncIO = connection._io
    with pytest.raises(UsageError, match="one byte for each command"):
        await io.execute_many([(b"PING",), (b"PING",)], True, [], None, b"\x01")
    await io.execute_many([], True, [])
    assert connection.is_usable
    await client.pool.give_back(connection)


@pytest.mark.asyncio
async def test_faults_of_the_idle_connection_are_seen_before_it_is_used(
    proxy: FaultProxy, server: RedisServer, protocol: Any
) -> None:
    """FAULTS C07, C14: the loop has had no time to read what the kernel holds already."""
    async with AsyncClient(proxy.url(server.url), protocol=protocol, pool_size=1, retry=ONCE) as client:
        for break_it in (
            lambda: proxy.inject_now("s2c", b"+STALE\r\n"),
            lambda: proxy.inject_now("s2c", b"+STA"),
            lambda: proxy.kill("fin"),
            lambda: proxy.kill("rst"),
        ):
            await one(client)
            break_it()
            time.sleep(0.1)  # noqa: ASYNC251 - the loop is to be taken by surprise; a reset waits for an ACK first
            assert await client.incr("n")
    assert server.call("GET", "n") == b"4"


@pytest.mark.asyncio
async def test_many_at_once_on_few_connections(proxy: FaultProxy, server: RedisServer, protocol: Any) -> None:
    proxy.plan = lambda number: _chunked()
    async with AsyncClient(proxy.url(server.url), protocol=protocol, pool_size=3, pool_timeout=20) as client:
        await asyncio.gather(*(shape(client) for _ in range(20) for shape in SHAPES[:3]))
        assert proxy.accepted <= 3 + 1


def _chunked() -> Faults:
    faults = Faults()
    faults.chunk["s2c"] = 3
    return faults
