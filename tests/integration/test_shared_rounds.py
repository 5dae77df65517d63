"""The shared connection's rounds: one write for all that was asked, nothing for who has gone, no reply to another."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest

import carmine
from carmine.client._async.client import AsyncClient
from carmine.errors import DecodeError, NetworkError, Outcome, ReadTimeout, UsageError, WrongTypeError
from tests.integration.async_shapes import ONCE, batch, client, one, together, until
from tests.lab.clock import within
from tests.lab.matrix import scaled
from tests.lab.scripted import Scripted
from tests.lab.wire import parse_commands

if TYPE_CHECKING:
    from carmine.transport.shared_io import SharedIO
    from tests.lab.proxy import FaultProxy
    from tests.lab.servers import RedisServer

pytestmark = pytest.mark.one_server

__all__ = ["client"]


class Written:
    """A transport that keeps what is written."""

    def __init__(self, client: AsyncClient[Any]) -> None:
        self.blocks: list[bytes] = []
        io = io_of(client)
        self._transport: Any = io._transport
        io._transport = self  # type: ignore[assignment]  # it does what the ledger asks of one

    def write(self, data: bytes) -> None:
        self.blocks.append(bytes(data))
        self._transport.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    @property
    def commands(self) -> list[list[bytes]]:
        return parse_commands(b"".join(self.blocks))[0]


def io_of(client: AsyncClient[Any]) -> SharedIO:
    return client.pool.multiplexer.lines[0]._io


async def warm(client: AsyncClient[Any]) -> Written:
    await client.ping()
    return Written(client)


# One write. ----------------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
@pytest.mark.parametrize("count", [1, 50, 5_000])
async def test_one_write_for_a_round(client: AsyncClient[str], count: int) -> None:
    written = await warm(client)
    assert await asyncio.gather(*(client.echo(f"{n}") for n in range(count))) == [f"{n}" for n in range(count)]
    assert len(written.blocks) == 1
    assert [words[1] for words in written.commands] == [b"%d" % n for n in range(count)]


@pytest.mark.asyncio
async def test_all_shapes_share_the_write(client: AsyncClient[str]) -> None:
    """Pipelines and transactions that watch nothing as well, each in one piece."""
    written = await warm(client)
    await asyncio.gather(one(client), batch(client), together(client), one(client))
    names = [words[0] for words in written.commands]
    assert len(written.blocks) <= 2  # a batch comes a round or two later
    assert sorted(names) == sorted([b"ECHO"] * 2 + [b"ECHO"] * 5 + [b"MULTI", b"ECHO", b"ECHO", b"EXEC"])
    first = names.index(b"MULTI")
    assert names[first : first + 4] == [b"MULTI", b"ECHO", b"ECHO", b"EXEC"]


@pytest.mark.asyncio
async def test_a_round_of_many_bytes_leaves_in_pieces(client: AsyncClient[str]) -> None:
    """What one round may hold in memory is bounded."""
    written = await warm(client)
    value = b"x" * 100_000
    await asyncio.gather(*(client.set(f"key:{n}", value) for n in range(100)))
    assert max(map(len, written.blocks)) <= (1 << 20) + 2 * 100_100
    assert [words[1] for words in written.commands] == [b"key:%d" % n for n in range(100)]


@pytest.mark.asyncio
async def test_a_large_command_in_a_round_of_small_ones(client: AsyncClient[str]) -> None:
    written = await warm(client)
    small = [client.echo(f"{n}") for n in range(20)]
    large = client.set("key", b"x" * 3_000_000)
    replies = await asyncio.gather(*small[:10], large, *small[10:])
    assert replies == [*(f"{n}" for n in range(10)), True, *(f"{n}" for n in range(10, 20))]
    assert [words[0] for words in written.commands] == [b"ECHO"] * 10 + [b"SET"] + [b"ECHO"] * 10


@pytest.mark.asyncio
async def test_pushes_unread_and_a_round_of_many_bytes(url: str) -> None:
    """What lies unread is read by the loop; a round that leaves in pieces meanwhile does not take it for a stray."""

    async def track(connection: Any) -> None:
        await connection.execute((b"CLIENT", b"TRACKING", b"ON", b"BCAST"), True)

    async with AsyncClient(url, protocol=3, on_connect=track, retry=ONCE) as client:
        await one(client)
        io = io_of(client)
        with carmine.Client(url) as other:
            other.set("key", "value")  # blocks the loop: the push lies unread
        io._looked = time.monotonic() - 1
        assert await asyncio.gather(*(client.set(f"{n}", b"x" * 1_100_000) for n in range(80))) == [True] * 80
        assert io_of(client) is io


# Who has gone. -------------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_cancelled_in_its_round_is_never_sent(client: AsyncClient[str]) -> None:
    written = await warm(client)
    tasks = [asyncio.ensure_future(client.echo(f"{n}")) for n in range(100)]
    await asyncio.sleep(0)  # each has asked; nothing was written yet
    assert written.blocks == []
    for task in tasks[::3]:
        task.cancel()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    kept = [n for n in range(100) if n % 3]
    assert [outcomes[n] for n in kept] == [f"{n}" for n in kept]
    assert all(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes[::3])
    assert [words[1] for words in written.commands] == [b"%d" % n for n in kept]


@pytest.mark.asyncio
async def test_a_round_of_which_nobody_is_left_writes_nothing(client: AsyncClient[str]) -> None:
    written = await warm(client)
    tasks = [asyncio.ensure_future(shape(client)) for shape in (one, together, batch)]
    await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.sleep(0)
    assert written.blocks == []
    await one(client)


@pytest.mark.asyncio
async def test_who_is_alone_in_his_round_does_not_wait_for_its_end(client: AsyncClient[str]) -> None:
    """On a loop that shows what else runs; on any loop a round is one write."""
    written = await warm(client)
    line = client.pool.multiplexer.lines[0]
    alone = line.post((b"ECHO", b"alone"), True)
    assert len(written.blocks) == hasattr(asyncio.get_running_loop(), "_ready")
    assert await alone == "alone"
    assert len(written.blocks) == 1


@pytest.mark.asyncio
async def test_out_of_time_in_its_round_is_never_sent(client: AsyncClient[str]) -> None:
    """He is told that nothing was sent, so nothing may be."""
    written = await warm(client)
    line = client.pool.multiplexer.lines[0]
    asyncio.get_running_loop().call_soon(lambda: None)  # alone in its round, it would leave at once
    late = line.post((b"INCR", b"counter"), True)
    line.expire(late, time.monotonic())
    with pytest.raises(ReadTimeout) as caught:
        await late
    assert caught.value.outcome is Outcome.NOT_SENT
    assert await client.get("counter") is None
    assert [words[0] for words in written.commands] == [b"GET"]


@pytest.mark.asyncio
async def test_a_deadline_of_one_caller(proxy: FaultProxy, server: RedisServer) -> None:
    """His entry takes his reply; the others go on, and the next gets his own."""
    async with AsyncClient(proxy.url(server.url), retry=ONCE) as client:
        await one(client)
        proxy.hold("s2c")

        async def short(number: int) -> str | None:
            with carmine.deadline(0.2):
                return await client.echo(f"short-{number}")

        others = [asyncio.create_task(one(client)) for _ in range(5)]
        outcomes = await asyncio.gather(*(short(n) for n in range(5)), return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {ReadTimeout}
        assert {outcome.outcome for outcome in outcomes if isinstance(outcome, NetworkError)} == {Outcome.UNKNOWN}
        proxy.release()
        await asyncio.gather(*others, one(client))
        assert client.pool.stats().opened == 1


@pytest.mark.asyncio
@pytest.mark.parametrize("shape", [one, batch, together])
async def test_a_late_reply_of_a_cancelled_caller(
    proxy: FaultProxy, server: RedisServer, protocol: Any, shape: Any
) -> None:
    """FAULTS A01: between its sending and its reply; the connection goes on."""
    async with AsyncClient(proxy.url(server.url), protocol=protocol) as client:
        await one(client)
        for _ in range(20):
            proxy.hold("s2c")
            proxy.mark()
            tasks = [asyncio.create_task(shape(client)) for _ in range(3)]
            await until(lambda: proxy.passed["c2s"] > 0, "the request has passed")
            tasks[1].cancel()
            proxy.release()
            outcomes = await asyncio.gather(*tasks, one(client), return_exceptions=True)
            assert [type(outcome) for outcome in outcomes] == [
                type(None), asyncio.CancelledError, type(None), type(None),
            ]  # fmt: skip
        assert client.pool.stats().opened == 1
        assert io_of(client).owed == 0


# Time. ---------------------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_slow_drip_ends_the_callers_not_the_connection(proxy: FaultProxy, server: RedisServer) -> None:
    """FAULTS C20: the deadline of a call is total, while the bytes that flow show that the peer lives."""
    server.call("SET", "large", "x" * 300)
    async with AsyncClient(proxy.url(server.url), read_timeout=0.3, retry=ONCE) as client:
        await one(client)
        proxy.chunk["s2c"], proxy.pace["s2c"] = 1, 0.004
        with within(0.3, at_least=0.3):
            outcomes = await asyncio.gather(*(client.get("large") for _ in range(3)), return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {ReadTimeout}
        assert len({id(outcome) for outcome in outcomes}) == 3
        assert {outcome.outcome for outcome in outcomes if isinstance(outcome, NetworkError)} == {Outcome.UNKNOWN}
        assert "replies are owed" in str(outcomes[0])
        proxy.heal()
        await one(client)
        assert client.pool.stats().opened == 1


@pytest.mark.asyncio
async def test_silence_ends_the_connection(proxy: FaultProxy, server: RedisServer) -> None:
    """When replies are owed and no byte has come for read_timeout: everybody is told, the next call has another one."""
    async with AsyncClient(proxy.url(server.url), read_timeout=0.2, retry=ONCE) as client:
        await one(client)
        proxy.hold("s2c")
        tasks = []
        with within(0.2, at_least=0.2):
            for _ in range(5):
                tasks.append(asyncio.create_task(client.incr("counter")))
                await asyncio.sleep(0)
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {ReadTimeout}
        assert len({id(outcome) for outcome in outcomes}) == 5
        proxy.heal()
        await one(client)
        assert client.pool.stats().opened == 2
        assert client.pool.stats().shared == 1


@pytest.mark.asyncio
async def test_an_abandoned_reply_that_never_comes(proxy: FaultProxy, server: RedisServer) -> None:
    """Its caller was cancelled, nobody waits: the connection is found silent all the same."""
    async with AsyncClient(proxy.url(server.url), read_timeout=0.1) as client:
        await one(client)
        proxy.hold("s2c")
        task = asyncio.create_task(client.get("key"))
        await until(lambda: io_of(client).owed == 1, "the call")
        task.cancel()
        await until(lambda: not client.pool.multiplexer.lines, "the end of the connection")
        proxy.heal()
        await one(client)


@pytest.mark.asyncio
async def test_a_crowd_that_is_out_of_time_does_not_stop_the_loop(proxy: FaultProxy, server: RedisServer) -> None:
    """Each of 20,000 gets an error of his own, in time that grows with their number and no faster."""
    crowd = max(4_000, scaled(20_000))
    async with AsyncClient(proxy.url(server.url), read_timeout=0.3, retry=ONCE) as client:
        await one(client)
        proxy.chunk["s2c"], proxy.pace["s2c"] = 1, 0.05  # bytes flow: the connection lives
        with within(6):
            outcomes = await asyncio.gather(*(client.echo("x") for _ in range(crowd)), return_exceptions=True)
        late = [outcome for outcome in outcomes if isinstance(outcome, ReadTimeout)]
        assert len(late) == len({id(outcome) for outcome in late}) > 0.95 * crowd


@pytest.mark.asyncio
async def test_a_crowd_whose_deadlines_end_together(proxy: FaultProxy, server: RedisServer) -> None:
    async with AsyncClient(proxy.url(server.url), retry=ONCE) as client:
        await one(client)
        proxy.hold("s2c")

        async def short() -> str | None:
            with carmine.deadline(0.5):
                return await client.echo("x")

        with within(8):
            outcomes = await asyncio.gather(
                *(short() for _ in range(max(4_000, scaled(10_000)))), return_exceptions=True
            )
        assert {type(outcome) for outcome in outcomes} <= {ReadTimeout, carmine.DeadlineExceeded}
        proxy.release()
        await one(client)
        assert client.pool.stats().opened == 1


# Errors among many. --------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_an_error_is_its_callers_alone(client: AsyncClient[str]) -> None:
    await client.set("text", "no number")
    await client.set("bytes", b"\xff\xfe")
    calls: list[Any] = []
    for n in range(200):
        calls += [client.echo(f"{n}"), client.incr("text"), client.get("bytes"), client.lpush("text", "x")]
        calls += [client.set("key", object())]  # type: ignore[call-overload]
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert outcomes[0::5] == [f"{n}" for n in range(200)]
    kinds = [{type(outcome) for outcome in outcomes[start::5]} for start in range(1, 5)]
    assert kinds == [{carmine.ServerError}, {DecodeError}, {WrongTypeError}, {UsageError}]
    assert client.pool.stats().opened == 1


@pytest.mark.asyncio
async def test_text_and_bytes_on_one_connection(client: AsyncClient[str]) -> None:
    await client.set("key", "café".encode())
    replies = await asyncio.gather(*(one.get("key") for _ in range(100) for one in (client, client.binary)))
    assert replies == ["café", "café".encode()] * 100


@pytest.mark.asyncio
@pytest.mark.parametrize("count", [5_000, scaled(200_000)])
async def test_very_many_at_once(client: AsyncClient[str], count: int) -> None:
    replies = await asyncio.gather(*(client.echo(f"{n}") for n in range(count)))
    assert replies == [f"{n}" for n in range(count)]
    assert client.pool.stats().opened == 1


@pytest.mark.asyncio
async def test_a_pipeline_of_100_000_beside_other_calls(client: AsyncClient[str]) -> None:
    count = max(20_000, scaled(100_000))

    async def long() -> None:
        async with client.pipeline() as pipeline:
            for n in range(count):
                pipeline.echo(f"{n}")
        assert pipeline.replies == [f"{n}" for n in range(count)]

    await asyncio.gather(long(), *(one(client) for _ in range(100)), long())
    assert client.pool.stats().opened == 1


@pytest.mark.asyncio
async def test_attributes_take_nobodys_place() -> None:
    """A server that puts attributes before replies, and pushes between them."""
    count = iter(range(1 << 20))

    def answer(words: list[bytes]) -> bytes:
        token = b"$%d\r\n%s\r\n" % (len(words[1]), words[1])
        return [token, b"|1\r\n+ttl\r\n:3\r\n" + token, b">2\r\n+invalidate\r\n*1\r\n+k\r\n" + token][next(count) % 3]

    with Scripted.replies({b"ECHO": answer}) as server:
        async with AsyncClient(server.url, protocol=3) as client:
            for _ in range(30):
                replies = await asyncio.gather(*(client.echo(f"{n}") for n in range(50)))
                assert [getattr(reply, "value", reply) for reply in replies] == [f"{n}" for n in range(50)]
            assert client.pool.stats().opened == 1
