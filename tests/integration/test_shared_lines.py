"""Several shared connections of one client: how calls are spread, and how one takes the place of another."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import pytest

from carmine.client._async.client import AsyncClient
from carmine.errors import CarmineError, ConnectionLost, ReadOnlyError
from tests.integration.async_shapes import ONCE, batch, client, one, together, until
from tests.integration.loops import stock
from tests.lab.leaks import assert_no_leaks_async
from tests.lab.matrix import scaled
from tests.lab.scripted import HELLO_3, Scripted

if TYPE_CHECKING:
    from tests.lab.proxy import FaultProxy
    from tests.lab.servers import RedisServer

__all__ = ["client"]


async def four(url: str, **options: Any) -> AsyncClient[str]:
    """Return a client whose four connections are open."""
    client: AsyncClient[str] = AsyncClient(url, connections=4, **options)
    await one(client)
    await until(lambda: len(client.pool.multiplexer.lines) == 4, "four connections")
    return client


@pytest.mark.asyncio
async def test_calls_are_spread(proxy: FaultProxy, server: RedisServer, protocol: Any) -> None:
    client = await four(proxy.url(server.url), protocol=protocol)
    for _ in range(100):
        await one(client)
    await asyncio.gather(*(shape(client) for _ in range(40) for shape in (one, batch, together)))
    counts = [sum(words[0] == b"ECHO" for words in proxy.commands(number)) for number in (1, 2, 3, 4)]
    assert proxy.accepted == client.pool.stats().shared == 4
    assert min(counts) > 50, counts
    await client.aclose()


async def one_or_lost(client: AsyncClient[str]) -> None:
    """Send a canary, which may have been under way on the connection that was cut."""
    with contextlib.suppress(ConnectionLost):
        await one(client)


@pytest.mark.asyncio
async def test_a_lost_one_is_replaced_while_the_others_serve(proxy: FaultProxy, server: RedisServer) -> None:
    before = await stock(server)
    client = await four(proxy.url(server.url), retry=ONCE)
    for opened in range(5, 5 + scaled(200)):
        proxy.kill("rst", number=proxy.numbers[0])
        await asyncio.gather(*(one_or_lost(client) for _ in range(50)))
        await until(lambda opened=opened: client.pool.stats().opened == opened, "the next")  # type: ignore[misc]
        await until(lambda: len(client.pool.multiplexer.lines) == 4, "four again")
    assert client.pool.stats().shared == 4
    await client.aclose()
    await assert_no_leaks_async(before, server)


@pytest.mark.asyncio
async def test_a_replacement_that_fails_is_tried_again(
    proxy: FaultProxy, server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others go on meanwhile, and there is no hot loop of attempts."""
    monkeypatch.setattr("carmine.transport.multiplexer._AGAIN", 0.05)
    client = await four(proxy.url(server.url), retry=ONCE)
    lines = client.pool.multiplexer.lines
    proxy.refuse()
    proxy.kill("rst", number=proxy.numbers[0])
    await until(lambda: len(lines) == 3, "the loss")
    await asyncio.gather(*(one(client) for _ in range(50)))
    proxy.refuse(False)
    await until(lambda: len(lines) == 4, "the next")
    await client.aclose()


@pytest.mark.asyncio
async def test_all_lost_at_once(proxy: FaultProxy, server: RedisServer) -> None:
    client = await four(proxy.url(server.url), retry=ONCE)
    proxy.kill("rst")
    await asyncio.gather(*(one_or_lost(client) for _ in range(50)))
    await until(lambda: client.pool.stats().opened == 8, "four more")
    await until(lambda: len(client.pool.multiplexer.lines) == 4, "four again")
    await client.aclose()


# Age. ----------------------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
@pytest.mark.parametrize("connections", [1, 4])
async def test_replaced_by_age_under_load(server: RedisServer, protocol: Any, connections: int) -> None:
    """No call is lost, none meets an error, and the old ones are closed."""
    before = await stock(server)
    client: AsyncClient[str] = AsyncClient(
        server.url, protocol=protocol, connections=connections, max_lifetime=0.02, retry=ONCE
    )

    async def use() -> None:
        while client.pool.stats().opened < 10:
            await one(client)
            await batch(client)
            await together(client)

    async with asyncio.timeout(20):
        await asyncio.gather(*(use() for _ in range(20)))
    await until(lambda: not client.pool.multiplexer._retired, "the end of the old ones")
    assert client.pool.stats().shared <= connections
    await client.aclose()
    await assert_no_leaks_async(before, server)


@pytest.mark.asyncio
async def test_an_old_one_serves_to_the_end(proxy: FaultProxy, server: RedisServer) -> None:
    """It takes no more calls; those under way get their replies, and then it closes."""
    async with AsyncClient(proxy.url(server.url), retry=ONCE) as client:
        await one(client)
        old = client.pool.multiplexer.lines[0]
        proxy.hold("s2c")
        tasks = [asyncio.create_task(one(client)) for _ in range(5)]
        await until(lambda: old.pending == 5, "the calls")
        old.retire()
        proxy.release()
        await asyncio.gather(one(client), *tasks)
        assert not old._io._alive
        assert client.pool.multiplexer.lines[0] is not old
        assert client.pool.stats().opened == 2


# Replies that ask for another connection. ----------------------------------------------------------------------------


@pytest.mark.asyncio
@pytest.mark.parametrize("connections", [1, 4])
async def test_a_reply_after_which_the_connection_is_left(connections: int) -> None:
    """READONLY after a failover: the next call asks where the address leads now; calls under way are served."""

    def answer(words: list[bytes]) -> bytes:
        return b"-READONLY You can't write against a read only replica.\r\n" if words[1] == b"bad" else b"+OK\r\n"

    with Scripted.replies({b"SET": answer, b"ECHO": lambda words: b"$1\r\n" + words[1] + b"\r\n"}) as server:
        async with AsyncClient(server.url, protocol=3, connections=connections, retry=ONCE) as client:
            for number in range(1, 6):
                outcomes: list[Any] = await asyncio.gather(
                    *(client.set("good", "x") for _ in range(8)),
                    *(client.set("bad", "x") for _ in range(8)),
                    *(client.echo("y") for _ in range(8)),
                    return_exceptions=True,
                )
                assert outcomes[:8] == [True] * 8
                assert {type(outcome) for outcome in outcomes[8:16]} == {ReadOnlyError}
                assert outcomes[16:] == ["y"] * 8
                assert client.pool.stats().opened >= number
            assert await client.echo("z") == "z"
            assert client.pool.stats().opened >= 6
            await until(lambda: not client.pool.multiplexer._retired, "the end of those that were left")
        server.check()


# TLS and unix sockets. -----------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_over_a_unix_socket(server: RedisServer, protocol: Any) -> None:
    async with AsyncClient(server.unix_url, protocol=protocol, connections=2) as client:
        await asyncio.gather(*(shape(client) for _ in range(200) for shape in (one, batch, together)))


@pytest.mark.asyncio
@pytest.mark.tls
async def test_over_tls(certs: Any, protocol: Any) -> None:
    """The shared path over TLS: rounds, large values both ways, a stray, an end without a word."""

    def echo(words: list[bytes]) -> bytes:
        return b"$%d\r\n%s\r\n" % (len(words[1]), words[1])

    before = await stock()
    hello = HELLO_3 if protocol == 3 else b"-ERR unknown command 'HELLO'\r\n"
    tables: Any = {b"ECHO": echo, b"SET": b"+OK\r\n", b"GET": None}
    with Scripted.replies(tables, tls=certs.server_context(certs.good), hello=hello) as server:
        async with AsyncClient(server.url, ca_certs=certs.ca, protocol=protocol, retry=ONCE) as client:
            await asyncio.gather(*(one(client) for _ in range(500)))
            large = "x" * 3_000_000
            replies: list[Any] = await asyncio.gather(
                *(client.echo(large) for _ in range(4)), *(one(client) for _ in range(50))
            )
            assert replies[:4] == [large] * 4
            assert client.pool.stats().opened == 1
            server.send_now(b"+STALE\r\n")
            for _ in range(20):
                await one(client)
            outcomes = await asyncio.gather(*(client.get("key") for _ in range(5)), return_exceptions=True)
            assert all(isinstance(outcome, CarmineError) for outcome in outcomes), outcomes
            await one(client)
    await assert_no_leaks_async(before)
