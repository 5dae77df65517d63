"""What comes unasked on the shared connection: replies nobody asked for end it, pushes never disturb a reply."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

import pytest

import carmine
from carmine.client._async.client import AsyncClient
from carmine.errors import ConnectionLost
from tests.integration.async_shapes import ONCE, SHAPES, batch, client, one, together, until
from tests.lab.leaks import peak_memory, reset_peak_memory
from tests.lab.scripted import Scripted

if TYPE_CHECKING:
    from tests.lab.proxy import FaultProxy
    from tests.lab.servers import RedisServer

__all__ = ["client"]

STALE = b"+STALE\r\n"


# Replies. ------------------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
@pytest.mark.parametrize("shape", [one, batch, together])
@pytest.mark.parametrize("seen", [True, False], ids=["the loop ran", "the loop stood still"])
async def test_a_stray_on_the_idle_line(
    proxy: FaultProxy, server: RedisServer, protocol: Any, shape: Any, seen: bool
) -> None:
    """FAULTS C07: it answers nobody; the next call has another connection and hears nothing of it."""
    async with AsyncClient(proxy.url(server.url), protocol=protocol, retry=ONCE) as client:
        for number in range(2, 6):
            await shape(client)
            io = client.pool.multiplexer.lines[0]._io
            io._looked -= 1  # what is known about the socket is old
            proxy.inject_now("s2c", STALE)
            if seen:
                await until(lambda io=io: not io._alive, "the end")  # type: ignore[misc]  # bound in this round
            await asyncio.gather(*(shape(client) for _ in range(10)))
            assert client.pool.stats().opened == number


@pytest.mark.asyncio
@pytest.mark.parametrize("offset", [0, 4, 8])
async def test_a_stray_between_and_with_the_replies(
    proxy: FaultProxy, server: RedisServer, protocol: Any, offset: int
) -> None:
    """FAULTS C07: it cannot be told from a reply by its looks; one reply is left over, and the connection ends."""
    async with AsyncClient(proxy.url(server.url), protocol=protocol, retry=ONCE) as client:
        await one(client)
        proxy.mark()
        proxy.inject["s2c"] = {offset: STALE}  # before, between or behind two replies of four bytes
        outcomes = await asyncio.gather(client.incr("a"), client.incr("b"), return_exceptions=True)
        proxy.inject.clear()
        await until(lambda: client.pool.stats().opened == 2 or not client.pool.multiplexer.lines, "the end of the line")
        assert isinstance(outcomes[-1], ConnectionLost) or list(outcomes) == [1, 1]
        await asyncio.gather(*(shape(client) for _ in range(10) for shape in SHAPES))
        assert client.pool.stats().shared == 1


@pytest.mark.asyncio
async def test_a_reply_that_comes_twice(proxy: FaultProxy, server: RedisServer, protocol: Any) -> None:
    """FAULTS C07: the surplus ends the connection at the latest when it rests."""
    async with AsyncClient(proxy.url(server.url), protocol=protocol, retry=ONCE) as client:
        await one(client)
        proxy.mark()
        proxy.dup["s2c"] = (0, 4)
        outcomes = await asyncio.gather(*(client.incr("a") for _ in range(5)), return_exceptions=True)
        proxy.dup.clear()
        assert isinstance(outcomes[-1], ConnectionLost)
        assert outcomes[0] == 1
        await asyncio.gather(*(one(client) for _ in range(10)))
        assert client.pool.stats().opened == 2


# Pushes. -------------------------------------------------------------------------------------------------------------


class Heard(carmine.Hooks):
    """Hooks that keep the pushes."""

    def __init__(self) -> None:
        self.pushes: list[Any] = []

    def on_push(self, address: str, push: list[Any]) -> None:
        self.pushes.append(push)


async def track(connection: Any) -> None:
    reply = await connection.execute((b"CLIENT", b"TRACKING", b"ON", b"BCAST", b"PREFIX", b"tracked:"), True)
    assert reply == "OK"


@pytest.mark.asyncio
async def test_invalidations_go_to_the_hook(server: RedisServer) -> None:
    """Also those that came while the line was idle, and across a new connection."""
    heard = Heard()
    async with AsyncClient(server.url, protocol=3, hooks=heard, on_connect=track) as client:
        await one(client)
        for number in range(50):
            server.call("SET", f"tracked:{number}", "x")
            await asyncio.gather(one(client), batch(client), together(client))
        await until(lambda: len(heard.pushes) == 50, "the invalidations")
        assert heard.pushes == [["invalidate", [f"tracked:{number}"]] for number in range(50)]
        client.pool.multiplexer.lines[0].close()
        await one(client)
        server.call("SET", "tracked:again", "x")
        await until(lambda: len(heard.pushes) == 51, "the invalidation")
        assert client.pool.stats().opened == 2


@pytest.mark.asyncio
@pytest.mark.parametrize("listens", [True, False], ids=["a hook", "nobody"])
async def test_a_storm_of_pushes_with_10_000_commands_in_flight(
    server: RedisServer, listens: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FAULTS B06, C08: replies keep their order, whatever the hook raises; pushes nobody wants do not pile up."""
    raised: list[object] = []
    monkeypatch.setattr(sys, "excepthook", lambda *facts: raised.append(facts[0]))

    class Raising(Heard):
        def on_push(self, address: str, push: list[Any]) -> None:
            super().on_push(address, push)
            if len(self.pushes) % 3 == 0:
                raise ValueError("a hook's own mistake")

    heard = Raising() if listens else None
    async with AsyncClient(server.url, protocol=3, hooks=heard, on_connect=track, retry=ONCE) as client:
        await one(client)

        async def write(number: int) -> None:
            assert await client.set(f"tracked:{number}", "x") is True

        async def read(number: int) -> None:
            assert await client.echo(f"token-{number}") == f"token-{number}"

        await asyncio.gather(*(act(n) for n in range(5_000) for act in (write, read)))
        assert client.pool.stats().opened == 1
        assert not client.pool.multiplexer.lines[0]._io.pushes
        if heard is not None:
            await until(lambda: sum(len(push[1]) for push in heard.pushes) == 5_000, "the invalidations")
            assert raised == [ValueError] * (len(heard.pushes) // 3)
            assert raised


@pytest.mark.asyncio
@pytest.mark.skipif(sys.platform != "linux", reason="the peak of memory is told by Linux")
async def test_pushes_on_an_idle_line_take_no_memory() -> None:
    """FAULTS C08: a server that goes on pushing while nothing is asked."""
    push = b">2\r\n$10\r\ninvalidate\r\n*1\r\n$6\r\nkey:%d\r\n"
    block = b"".join(push % (n % 90 + 10) for n in range(20_000))
    with Scripted.replies({b"ECHO": lambda words: b"$%d\r\n%s\r\n" % (len(words[1]), words[1])}) as server:
        async with AsyncClient(server.url, protocol=3, retry=ONCE) as client:
            await one(client)
            reset_peak_memory()
            before = peak_memory()
            for _ in range(10):
                await asyncio.to_thread(server.send_now, block)
                await one(client)
            assert client.pool.stats().opened == 1
            assert peak_memory() - before < 8 << 20


@pytest.mark.asyncio
async def test_half_a_push_on_an_idle_line() -> None:
    """It is no stray: a reply may follow its rest."""
    rest = b"idate\r\n*1\r\n+k\r\n"
    with Scripted.replies({b"ECHO": lambda words: rest + b"$%d\r\n%s\r\n" % (len(words[1]), words[1])}) as server:
        heard = Heard()
        async with AsyncClient(server.url, protocol=3, retry=ONCE, hooks=heard) as client:
            io = (await client.pool.multiplexer.line())._io
            for number in range(1, 4):
                got = io._got
                io._looked -= 1
                server.send_now(b">2\r\n$10\r\ninval")
                await until(lambda got=got: io._got > got, "half a push")  # type: ignore[misc]  # bound in this round
                assert await client.echo("abc") == "abc"
                assert heard.pushes == [["invalidate", ["k"]]] * number
            assert client.pool.stats().opened == 1
