"""Backpressure on the shared connection: a peer that takes nothing fills neither memory nor the order of things."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

import pytest

import carmine.protocol
from carmine.client._async.client import AsyncClient
from carmine.errors import UsageError
from tests.integration.async_shapes import ONCE, client, one, together, until
from tests.lab.leaks import peak_memory, reset_peak_memory

if TYPE_CHECKING:
    from tests.lab.servers import RedisServer

__all__ = ["client"]

COUNT = "return redis.call('INCR', 'order')"
MiB = 1 << 20


def io_of(client: AsyncClient[Any]) -> Any:
    return client.pool.multiplexer.lines[0]._io


@pytest.mark.asyncio
@pytest.mark.skipif(sys.platform != "linux", reason="the peak of memory is told by Linux")
async def test_a_peer_that_reads_nothing(server: RedisServer, protocol: Any) -> None:
    """2,000 callers with 100 kB each: memory stays, the order stays, and all are served when the peer goes on."""
    async with AsyncClient(server.url, protocol=protocol, retry=ONCE) as client:
        await client.eval(COUNT, [], [b"x"])
        await client.delete("order")
        io = io_of(client)
        value = b"x" * 100_000
        reset_peak_memory()
        before = peak_memory()
        server.pause()
        try:
            tasks = [asyncio.create_task(client.eval(COUNT, [], [value])) for _ in range(2_000)]
            await until(lambda: len(io._backlog) > 1_900, "callers that wait")
            assert io._transport.get_write_buffer_size() <= 2 * MiB + 200_000
            gone = tasks[1_000::3]
            for task in gone:
                task.cancel()
        finally:
            server.resume()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        grown = peak_memory() - before
        served = [outcome for outcome in outcomes if isinstance(outcome, int)]
        assert served == list(range(1, len(served) + 1))
        assert len(served) == 2_000 - len(gone)
        assert await client.get("order") == str(len(served))
        assert grown <= 24 * MiB, f"{grown / MiB:.1f} MiB"
        assert client.pool.stats().opened == 1


@pytest.mark.asyncio
async def test_bad_arguments_behind_a_full_transport(server: RedisServer) -> None:
    """They are found when it is their turn, and are that caller's own affair."""

    class Odd:
        def __buffer__(self, flags: int) -> memoryview:
            raise ValueError("no")

    async with AsyncClient(server.url, retry=ONCE) as client:
        await one(client)
        io = io_of(client)
        server.pause()
        try:
            tasks: list[Any] = [asyncio.create_task(client.set("key", b"x" * 200_000)) for _ in range(100)]
            await until(lambda: len(io._backlog) > 10, "callers that wait")
            odd: list[Any] = [object(), "\ud800", [1], 1j, Odd(), memoryview(bytearray(8))[::2]]
            bad = [asyncio.create_task(client.set("key", value)) for value in odd]
            good = [asyncio.create_task(shape(client)) for shape in (one, together)]
        finally:
            server.resume()
        async with asyncio.timeout(20):
            refused = await asyncio.gather(*bad, return_exceptions=True)
            assert await asyncio.gather(*tasks) == [True] * 100
            await asyncio.gather(*good)
        assert {type(outcome) for outcome in refused[:-1]} == {UsageError}
        assert type(refused[-1]) is UsageError or refused[-1] is True
        assert client.pool.stats().opened == 1


@pytest.mark.asyncio
async def test_an_argument_that_breaks_the_packing_behind_a_full_transport(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever packing raises is raised in its caller, and those behind him are served."""

    def encode(*words: Any) -> bytes:
        if b"burst" in words:
            raise MemoryError
        return known(*words)

    known = carmine.protocol.encode
    monkeypatch.setattr("carmine.transport.shared_io.encode", encode)
    async with AsyncClient(server.url, retry=ONCE) as client:
        await one(client)
        io = io_of(client)
        server.pause()
        try:
            tasks = [asyncio.create_task(client.set("key", b"x" * 200_000)) for _ in range(100)]
            await until(lambda: len(io._backlog) > 10, "callers that wait")
            bad = asyncio.create_task(client.set("key", b"burst"))
            behind = asyncio.create_task(one(client))
        finally:
            server.resume()
        async with asyncio.timeout(20):
            assert await asyncio.gather(*tasks) == [True] * 100
            await behind
            with pytest.raises(MemoryError):
                await bad


@pytest.mark.asyncio
async def test_large_values_both_ways_at_once(client: AsyncClient[str]) -> None:
    """FAULTS C19: reading goes on while writing waits."""
    value = "x" * 2_000_000

    async def both(number: int) -> None:
        await client.set(f"{number}", value)
        assert await client.get(f"{number}") == value

    await asyncio.gather(*(both(n) for n in range(20)), *(client.echo(value) for _ in range(20)))
    assert client.pool.stats().opened == 1
