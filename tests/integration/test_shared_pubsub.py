"""The asyncio wire as a stream of pushes, on every kind of event loop: reading beside sending, and reading no further.

The file is named for the loops it runs on (conftest.py); the connection is one of its own, as every subscriber's is.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import pytest

from carmine.client._async.client import AsyncClient
from carmine.client.subscriptions import Message
from carmine.errors import ConnectionLost, NetworkError, UsageError, WriteTimeout
from tests.integration.async_shapes import until
from tests.lab.scripted import Scripted

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from carmine.transport.async_connection import AsyncConnection
    from tests.lab.servers import RedisServer

pytestmark = pytest.mark.asyncio

CONFIRMED = b">3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n"
PATIENCE = 10.0


@contextlib.asynccontextmanager
async def stream(server: Scripted, **options: Any) -> AsyncIterator[AsyncConnection]:
    """Give a connection in its own right, as a stream."""
    async with AsyncClient(server.url, protocol=3, **options) as client:
        connection = await client._borrow("a test")
        connection.stream()
        try:
            yield connection
        finally:
            connection.close()
            await client._give_back(connection)


async def waiting(connection: AsyncConnection) -> asyncio.Task[Any]:
    """Start a wait for a push and return when it is under way."""
    task = asyncio.ensure_future(connection.next_push())
    await until(lambda: not connection.is_usable, "the wait")
    return task


async def test_a_command_is_sent_while_another_task_waits() -> None:
    with Scripted.replies({b"SUBSCRIBE": CONFIRMED}) as server:
        async with stream(server) as connection:
            task = await waiting(connection)
            await connection.send((b"SUBSCRIBE", b"c"))
            assert await asyncio.wait_for(task, PATIENCE) == [b"subscribe", b"c", 1]
            assert connection.is_usable
        server.check()


async def test_what_else_is_refused_meanwhile() -> None:
    with Scripted.replies({b"SUBSCRIBE": CONFIRMED}) as server:
        async with stream(server) as connection:
            task = await waiting(connection)
            for call in (connection.next_push(0), connection.next_push(), connection.execute((b"PING",), True)):
                with pytest.raises(UsageError, match="in use"):
                    await call
            with pytest.raises(UsageError):
                await connection.send((b"SUBSCRIBE", None))  # type: ignore[arg-type]  # it is refused
            await connection.send((b"SUBSCRIBE", b"c"))
            assert await asyncio.wait_for(task, PATIENCE) == [b"subscribe", b"c", 1]


async def test_a_write_that_is_too_late_ends_the_wait() -> None:
    """The peer reads nothing: who sends hears that, and who waits for a push hears of the end."""

    def reply(words: list[bytes]) -> Iterator[bytes]:
        for _ in range(100_000):  # while it sends it does not read
            yield b">1\r\n$1000\r\n" + b"x" * 1000 + b"\r\n"

    with Scripted.replies({b"SUBSCRIBE": reply}, buffers=1 << 14) as server:
        async with stream(server, read_timeout=0.3) as connection:
            await connection.send((b"SUBSCRIBE", b"c"))
            push = await connection.next_push(PATIENCE)
            assert push == [b"x" * 1000]
            with pytest.raises(WriteTimeout):
                await connection.send((b"SUBSCRIBE", bytes(16 << 20)))
            while connection._io.pushes:
                await connection.next_push(PATIENCE)
            with pytest.raises((NetworkError, UsageError)):
                await connection.next_push(PATIENCE)


async def test_the_end_reaches_a_waiter() -> None:
    with Scripted.replies({b"SUBSCRIBE": None}) as server:
        async with stream(server) as connection:
            task = await waiting(connection)
            await connection.send((b"SUBSCRIBE", b"c"))
            with pytest.raises(ConnectionLost):
                await asyncio.wait_for(task, PATIENCE)
            assert not connection.is_usable


async def test_a_cancelled_wait_loses_nothing() -> None:
    with Scripted.replies({b"SUBSCRIBE": CONFIRMED * 3}) as server:
        async with stream(server) as connection:
            for _ in range(3):
                task = await waiting(connection)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            await connection.send((b"SUBSCRIBE", b"c"))
            for _ in range(3):
                assert await connection.next_push(PATIENCE) == [b"subscribe", b"c", 1]
            assert await connection.next_push(0) is None


async def test_reading_stops_while_nobody_takes(server: RedisServer) -> None:
    """A little is read ahead; the rest stays with the peer, however long it lasts, and comes when it is asked for."""
    count, size = 3000, 10_000
    server.call("CONFIG", "SET", "client-output-buffer-limit", "pubsub 0 0 0")
    async with AsyncClient(server.url) as client, client.pubsub() as pubsub:
        await pubsub.subscribe("c")
        for index in range(count):
            server.call("PUBLISH", "c", f"{index:06}" + "x" * size)
        io: Any = pubsub._connection and pubsub._connection._io
        await until(lambda: io._is_paused, "a pause")
        for _ in range(100):
            await asyncio.sleep(0)
        assert sum(len(push[2]) for push in io.pushes) < (1 << 18) + (1 << 17)
        for index in range(count):
            message = await pubsub.next_message(PATIENCE)
            assert isinstance(message, Message)
            assert message.payload[:6] == f"{index:06}"
            assert len(io.pushes) * size < (1 << 18) + (1 << 17)
        assert await pubsub.next_message(0) is None
        assert not io._is_paused


async def test_a_look_in_a_storm(server: RedisServer) -> None:
    """timeout=0 takes what is there, and is no reason to end a connection that always has more."""
    over = False

    async def publish() -> None:
        while not over:
            async with client.pipeline() as pipe:
                for _ in range(200):
                    pipe.publish("c", "x" * 500)

    async with AsyncClient(server.url) as client, client.pubsub() as pubsub:
        await pubsub.subscribe("c")
        job = asyncio.ensure_future(publish())
        got = 0
        while got < 5000:
            message = await pubsub.next_message(0)
            got += message is not None
            assert message is None or isinstance(message, Message)
        over = True
        await job
