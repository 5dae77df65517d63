"""How the shared connection of asyncio is opened: once for all who wait, each of whom gets an outcome of his own."""

from __future__ import annotations

import asyncio
import gc
import socket
from typing import TYPE_CHECKING, Any

import pytest

import carmine
from carmine.client._async.client import AsyncClient
from carmine.errors import AuthError, ConnectFailed, ConnectionLost, PoolClosed
from tests.integration.async_shapes import ONCE, alone, client, one, together, until
from tests.integration.loops import stock
from tests.lab.leaks import assert_no_leaks_async
from tests.lab.scripted import HELLO_3, Scripted

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.lab.proxy import FaultProxy
    from tests.lab.servers import RedisServer

__all__ = ["client"]


class Noise:
    """What the loop was told that nobody else has heard."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, facts: self.heard.append(str(facts)))


# One for all. --------------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
@pytest.mark.parametrize("count", [2, 500])
async def test_many_callers_open_one_connection(
    proxy: FaultProxy, server: RedisServer, protocol: Any, count: int
) -> None:
    async with AsyncClient(proxy.url(server.url), protocol=protocol) as client:
        await asyncio.gather(*(one(client) for _ in range(count)))
        assert client.pool.stats().shared == client.pool.stats().opened == 1
    assert proxy.accepted == 1


@pytest.mark.asyncio
async def test_the_caller_that_came_first_is_cancelled(proxy: FaultProxy, server: RedisServer) -> None:
    """He takes nothing from the others."""
    proxy.hold("s2c")
    async with AsyncClient(proxy.url(server.url)) as client:
        tasks = [asyncio.create_task(one(client)) for _ in range(5)]
        await until(lambda: proxy.passed["c2s"] > 0, "the first bytes")
        tasks[0].cancel()
        with pytest.raises(asyncio.CancelledError):
            await tasks[0]
        proxy.release()
        async with asyncio.timeout(5):
            await asyncio.gather(*tasks[1:])
    assert proxy.accepted == 1


@pytest.mark.asyncio
async def test_all_callers_are_cancelled_while_it_opens(proxy: FaultProxy, server: RedisServer) -> None:
    """What they have begun is finished for those who come later."""
    proxy.hold("s2c")
    async with AsyncClient(proxy.url(server.url)) as client:
        tasks = [asyncio.create_task(one(client)) for _ in range(5)]
        await until(lambda: proxy.passed["c2s"] > 0, "the first bytes")
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        proxy.release()
        await one(client)
    assert proxy.accepted == 1


@pytest.mark.asyncio
async def test_the_opening_itself_is_cancelled_at_every_step(server: RedisServer) -> None:
    """By somebody who cancels all tasks there are, as asyncio.run does at its end; also before its first step."""
    before = await stock(server)
    for steps in range(1, 40):
        client: AsyncClient[str] = AsyncClient(server.url)
        waiting = asyncio.create_task(one(client))
        for _ in range(steps):
            await asyncio.sleep(0)
        opening = client.pool.multiplexer._opening
        if opening is not None:
            opening.cancel()
        async with asyncio.timeout(5):
            await waiting
            await one(client)
        await client.aclose()
        if opening is None and steps > 2:
            break
    else:
        raise AssertionError("it never came to an end")
    await assert_no_leaks_async(before, server)


@pytest.mark.asyncio
async def test_every_task_is_cancelled_and_the_client_used_again(server: RedisServer) -> None:
    for steps in range(1, 12):
        async with AsyncClient(server.url) as client:
            waiting = asyncio.create_task(one(client))
            for _ in range(steps):
                await asyncio.sleep(0)
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
            async with asyncio.timeout(5):
                await one(client)


# What goes wrong. ----------------------------------------------------------------------------------------------------


def a_deaf_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


@pytest.mark.asyncio
async def test_refused_for_each_of_them() -> None:
    connects: list[int] = []

    class Counting(carmine.Hooks):
        def on_error(self, address: str, error: BaseException) -> None:
            connects.append(1)

    async with AsyncClient(f"redis://127.0.0.1:{a_deaf_port()}", retry=ONCE, hooks=Counting()) as client:
        errors = await asyncio.gather(*(client.get("key") for _ in range(50)), return_exceptions=True)
    assert {type(error) for error in errors} == {ConnectFailed}
    assert len({id(error) for error in errors}) == 50
    assert len(connects) == 1


@pytest.mark.asyncio
async def test_a_wrong_password_is_told_to_each_and_tried_once(make_server: Callable[..., RedisServer]) -> None:
    """FAULTS T01: no storm of logins."""
    server = make_server(password="right")
    async with AsyncClient(f"redis://:wrong@127.0.0.1:{server.port}") as client:
        errors = await asyncio.gather(*(client.get("key") for _ in range(50)), return_exceptions=True)
    assert {type(error) for error in errors} == {AuthError}
    assert len({id(error) for error in errors}) == 50
    log = server.call("ACL", "LOG")
    assert isinstance(log, list)
    assert len(log) == 1


@pytest.mark.asyncio
async def test_an_error_nobody_waits_for_is_no_noise() -> None:
    """The only caller was cancelled before the connection was refused."""
    noise = Noise()
    async with AsyncClient(f"redis://127.0.0.1:{a_deaf_port()}", retry=ONCE) as client:
        task = asyncio.create_task(client.get("key"))
        await asyncio.sleep(0)
        assert client.pool.multiplexer._opening is not None
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await until(lambda: client.pool.multiplexer._opening is None, "the end of it")
    del task
    gc.collect()
    assert noise.heard == []


def closing_after_hello() -> Scripted:
    """Return a server that shakes hands, and closes at once."""

    def play(number: int, block: bytes) -> Any:
        return [HELLO_3 + b"+OK\r\n" * 2, None]

    return Scripted(play)


@pytest.mark.asyncio
@pytest.mark.parametrize("shape", [one, together, alone])
async def test_a_server_that_closes_after_the_handshake(shape: Any) -> None:
    """It is not asked for ever: attempts are bounded, and the error says what happened."""
    before = await stock()
    with closing_after_hello() as server:
        async with AsyncClient(server.url, protocol=3, retry=ONCE, pool_size=1, pool_timeout=1) as client:
            for _ in range(5):
                async with asyncio.timeout(5):
                    with pytest.raises(ConnectionLost):
                        await shape(client)
            assert client.pool.stats().in_use == 0
        assert server.accepted <= 10
    await assert_no_leaks_async(before)


@pytest.mark.asyncio
@pytest.mark.parametrize("shape", [one, together, alone])
async def test_a_connection_that_is_lost_inside_on_connect(server: RedisServer, shape: Any) -> None:
    """It had died before the pool knew it: it is not kept, and no place is lost with it."""
    before = await stock(server)
    struck = 0

    async def greet(connection: Any) -> None:
        nonlocal struck
        if struck < 3:
            struck += 1
            io = connection._io
            io._socket.shutdown(socket.SHUT_RDWR)
            await until(lambda: not io._alive, "the end")

    async with AsyncClient(server.url, on_connect=greet, pool_size=1, pool_timeout=1, retry=ONCE) as client:
        lost = 0
        for _ in range(6):
            async with asyncio.timeout(5):
                try:
                    await shape(client)
                except ConnectionLost:
                    lost += 1
        assert struck == 3
        assert lost <= 3
        await asyncio.gather(*(shape(client) for _ in range(10)))
        assert client.pool.stats().in_use == 0
    await assert_no_leaks_async(before, server)


# The end. ------------------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_closed_while_it_opens(proxy: FaultProxy, server: RedisServer) -> None:
    before = await stock(server)
    proxy.hold("s2c")
    client: AsyncClient[str] = AsyncClient(proxy.url(server.url))
    tasks = [asyncio.create_task(one(client)) for _ in range(3)]
    await until(lambda: proxy.passed["c2s"] > 0, "the first bytes")
    async with asyncio.timeout(2):
        await client.aclose()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {PoolClosed}
    proxy.release()
    await assert_no_leaks_async(before, server)


@pytest.mark.asyncio
async def test_closed_at_every_step_of_a_first_call(server: RedisServer) -> None:
    before = await stock(server)
    for steps in range(60):
        client: AsyncClient[str] = AsyncClient(server.url, retry=ONCE)
        task = asyncio.create_task(one(client))
        for _ in range(steps):
            await asyncio.sleep(0)
        is_over = task.done()
        async with asyncio.timeout(5):
            await client.aclose()
            outcome = (await asyncio.gather(task, return_exceptions=True))[0]
        assert outcome is None or isinstance(outcome, (PoolClosed, ConnectionLost)), outcome
        with pytest.raises(PoolClosed):
            await one(client)
        await client.aclose()
        if is_over:
            break
    await assert_no_leaks_async(before, server)


@pytest.mark.asyncio
async def test_closed_from_two_tasks_with_calls_under_way(proxy: FaultProxy, server: RedisServer) -> None:
    before = await stock(server)
    client: AsyncClient[str] = AsyncClient(proxy.url(server.url), retry=ONCE)
    await one(client)
    proxy.hold("s2c")
    proxy.mark()
    tasks = [asyncio.create_task(client.incr("counter")) for _ in range(20)]
    await until(lambda: proxy.passed["c2s"] > 0, "the first bytes")
    async with asyncio.timeout(5):
        await asyncio.gather(client.aclose(), client.aclose())
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {ConnectionLost}
    assert len({id(outcome) for outcome in outcomes}) == 20
    proxy.heal()
    await assert_no_leaks_async(before, server)
