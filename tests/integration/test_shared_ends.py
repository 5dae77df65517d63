"""How a shared connection ends: each caller is told whether his own command may have run, and nothing runs twice."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from typing import TYPE_CHECKING, Any, Self

import pytest

from carmine.client._async.client import AsyncClient
from carmine.errors import CarmineError, ConnectionLost, NetworkError, Outcome, ProtocolError, WriteTimeout
from tests.integration.async_shapes import ONCE, batch, client, one, together, until
from tests.integration.loops import stock
from tests.lab.leaks import assert_no_leaks_async
from tests.lab.matrix import scaled
from tests.lab.scripted import HELLO_3, Scripted

if TYPE_CHECKING:
    from tests.lab.proxy import FaultProxy
    from tests.lab.servers import RedisServer

pytestmark = pytest.mark.one_server

__all__ = ["client"]


def io_of(client: AsyncClient[Any]) -> Any:
    return client.pool.multiplexer.lines[0]._io


def outcomes_of(errors: list[Any]) -> list[Outcome]:
    assert all(isinstance(error, NetworkError) for error in errors), errors
    assert len({id(error) for error in errors}) == len(errors)
    return [error.outcome for error in errors]


class Deaf:
    """A server that answers the handshake, and reads nothing behind it until it is told to go on."""

    def __init__(self, then: Any = b"") -> None:
        self.may_go_on = threading.Event()

        def play(number: int, block: bytes) -> Any:
            if block.startswith(b"*1\r\n$4\r\nPING"):
                return b"+PONG\r\n"
            if b"HELLO" in block:
                return HELLO_3 + b"+OK\r\n" * block.count(b"SETINFO")
            self.may_go_on.wait(20)
            return then

        self.server = Scripted(play, buffers=8192)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.may_go_on.set()
        self.server.stop()


# Who may have been executed. -----------------------------------------------------------------------------------------


@pytest.mark.asyncio
@pytest.mark.parametrize("end", ["fin", "silence", "close"])
async def test_who_still_waited_in_memory_was_not_sent(end: str) -> None:
    """What the system has not taken cannot have been executed, however the connection ends."""
    with Deaf(then=None) as deaf:
        timeout = 0.3 if end == "silence" else 20
        async with AsyncClient(deaf.server.url, protocol=3, read_timeout=timeout, retry=ONCE) as client:
            await client.ping()
            io = io_of(client)
            line = client.pool.multiplexer.lines[0]
            tasks = []  # the futures themselves: the client would send again what was not sent
            while io._writable is None:  # one flight after the other, until the transport takes no more
                tasks.append(line.post((b"SET", b"key", b"x" * 200_000), True))
                await asyncio.sleep(0)
                await asyncio.sleep(0)
            tasks += [line.post((b"SET", b"key", b"x"), True) for _ in range(3)]
            assert len(io._backlog) == 3
            in_memory = io._transport.get_write_buffer_size() // 200_100
            assert in_memory >= 2
            if end == "fin":
                deaf.may_go_on.set()
            elif end == "close":
                line.close()
            errors = await asyncio.gather(*tasks, return_exceptions=True)
            told = outcomes_of(errors)
            sent = told.count(Outcome.UNKNOWN)
            assert told == [Outcome.UNKNOWN] * sent + [Outcome.NOT_SENT] * (len(told) - sent)
            assert sent >= 1
            if end != "fin":  # then the system may have taken more while the end was on its way
                assert told.count(Outcome.NOT_SENT) == 3 + in_memory
            kind = WriteTimeout if end == "silence" else ConnectionLost
            assert {type(error) for error in errors} == {kind}


@pytest.mark.asyncio
@pytest.mark.faults
@pytest.mark.parametrize("mode", ["fin", "rst"])
async def test_cut_at_every_byte_of_the_requests(proxy: FaultProxy, server: RedisServer, mode: Any) -> None:
    """FAULTS C02: what is told agrees with what was executed, for each of those who shared the write."""
    length = len(b"*2\r\n$4\r\nINCR\r\n$1\r\n0\r\n")
    proxy.cut_mode = mode
    for count in range(0, 3 * length + 1, 4):
        server.call("DEL", "0", "1", "2")
        async with AsyncClient(proxy.url(server.url), retry=ONCE) as client:
            await one(client)
            proxy.mark()
            proxy.cut_after["c2s"] = count
            outcomes = await asyncio.gather(*(client.incr(f"{n}") for n in range(3)), return_exceptions=True)
            proxy.cut_after.clear()
            for n, outcome in enumerate(outcomes):
                executed = server.call("GET", f"{n}") is not None
                if outcome == 1:
                    assert executed
                else:
                    assert isinstance(outcome, NetworkError), outcome
                    assert outcome.outcome is Outcome.UNKNOWN  # the system had taken it
                    assert executed <= (count >= (n + 1) * length)
            await one(client)


@pytest.mark.asyncio
@pytest.mark.faults
@pytest.mark.parametrize("mode", ["fin", "rst"])
async def test_cut_at_every_byte_of_the_replies(
    proxy: FaultProxy, server: RedisServer, protocol: Any, mode: Any
) -> None:
    """FAULTS C01: the replies that came whole are delivered, a part never is."""
    values = [f"value-{n}" for n in range(3)]
    for n, value in enumerate(values):
        server.call("SET", f"{n}", value)
    length = len(b"$7\r\nvalue-0\r\n")
    proxy.cut_mode = mode
    for count in range(3 * length):
        async with AsyncClient(proxy.url(server.url), protocol=protocol, retry=ONCE) as client:
            await one(client)
            proxy.mark()
            proxy.cut_after["s2c"] = count
            outcomes = await asyncio.gather(*(client.get(f"{n}") for n in range(3)), return_exceptions=True)
            proxy.cut_after.clear()
            whole = sum(isinstance(outcome, str) for outcome in outcomes)
            assert outcomes[:whole] == values[:whole]
            assert whole <= count // length
            assert set(outcomes_of(outcomes[whole:])) == {Outcome.UNKNOWN}


@pytest.mark.asyncio
@pytest.mark.faults
async def test_nothing_runs_twice_while_connections_are_killed(proxy: FaultProxy, server: RedisServer) -> None:
    """FAULTS C14, I2: writes in flight are never sent again; reads are, unseen."""
    async with AsyncClient(proxy.url(server.url)) as client:
        done = unknown = 0

        async def add() -> None:
            nonlocal done, unknown
            try:
                await client.incr("counter")
                done += 1
            except NetworkError as error:
                unknown += error.outcome is Outcome.UNKNOWN

        for _ in range(scaled(400)):
            tasks = [asyncio.create_task(add()) for _ in range(50)]
            await asyncio.sleep(0)
            proxy.kill()
            await asyncio.gather(*tasks, one(client), batch(client))
        count = int(await client.get("counter") or 0)
        assert done <= count <= done + unknown
        assert done


@pytest.mark.asyncio
async def test_bytes_that_are_no_protocol(protocol: Any) -> None:
    """FAULTS C06: everybody is told what came; those who were not sent, that they were not."""
    with Scripted.replies({b"ECHO": b"$1\r\nx\r\n", b"GET": b"?nonsense\r\n"}) as server:
        async with AsyncClient(server.url, protocol=3, retry=ONCE) as client:
            assert await client.echo("x") == "x"
            outcomes = await asyncio.gather(
                client.echo("x"), *(client.get("x") for _ in range(5)), return_exceptions=True
            )
            assert outcomes[0] == "x"
            assert {type(outcome) for outcome in outcomes[1:]} == {ProtocolError}
            assert len({id(outcome) for outcome in outcomes[1:]}) == 5
            assert await client.echo("x") == "x"


# Idle connections. ---------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
@pytest.mark.parametrize("shape", [one, batch, together])
@pytest.mark.parametrize("how", ["killed", "restarted", "too long idle", "unseen"])
async def test_a_stale_connection_is_replaced_unseen(
    proxy: FaultProxy, server: RedisServer, protocol: Any, shape: Any, how: str
) -> None:
    """FAULTS C14, S10: nothing was sent, so no caller hears of it."""
    idle = 0.05 if how == "too long idle" else 300
    options: Any = {"protocol": protocol, "retry": ONCE, "max_idle_time": idle}
    async with AsyncClient(proxy.url(server.url), **options) as client:
        await one(client)
        if how == "killed":
            server.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        elif how == "restarted":
            server.kill()
            server.start()
        elif how == "unseen":
            proxy.kill("rst")
            proxy.wait_open(0)  # the loop stands still: it has not seen the end when the next call begins
        if how != "unseen":
            began = time.monotonic()
            await until(lambda: time.monotonic() - began > 0.06, "some time")
        await asyncio.gather(*(shape(client) for _ in range(20)))
        assert client.pool.stats().opened == 2


# Closing, dropping. --------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_closed_by_a_task_that_has_a_call_under_way_itself(proxy: FaultProxy, server: RedisServer) -> None:
    before = await stock(server)
    client: AsyncClient[str] = AsyncClient(proxy.url(server.url), retry=ONCE)
    await one(client)
    proxy.hold("s2c")
    tasks = [asyncio.create_task(client.incr("counter")) for _ in range(3)]
    await until(lambda: io_of(client).owed == 3, "the calls")
    async with asyncio.timeout(5):
        await client.aclose()
    assert set(outcomes_of(await asyncio.gather(*tasks, return_exceptions=True))) == {Outcome.UNKNOWN}
    await client.aclose()
    proxy.heal()
    await assert_no_leaks_async(before, server)


@pytest.mark.asyncio
async def test_a_client_dropped_with_a_call_under_way(proxy: FaultProxy, server: RedisServer) -> None:
    """The call holds what it needs; when it has ended nothing is left."""
    before = await stock(server)
    proxy.hold("s2c")
    task = asyncio.create_task(one(AsyncClient(proxy.url(server.url))))
    await until(lambda: proxy.passed["c2s"] > 0, "the first bytes")
    gc.collect()
    proxy.release()
    async with asyncio.timeout(5):
        await task
    del task
    gc.collect()
    await assert_no_leaks_async(before, server)


@pytest.mark.asyncio
async def test_a_client_dropped_with_a_cancelled_call(proxy: FaultProxy, server: RedisServer) -> None:
    heard: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, facts: heard.append(str(facts)))
    before = await stock(server)
    client: AsyncClient[str] = AsyncClient(proxy.url(server.url))
    await one(client)
    io = io_of(client)
    proxy.hold("s2c")
    task = asyncio.create_task(one(client))
    await until(lambda: bool(io.owed), "the call")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    del task, client
    gc.collect()
    proxy.heal()
    await assert_no_leaks_async(before, server)
    assert heard == []


@pytest.mark.asyncio
async def test_a_retired_connection_whose_last_callers_have_gone(server: RedisServer) -> None:
    """It closes though nothing more is sent on it."""
    before = await stock(server)
    async with AsyncClient(server.url, retry=ONCE) as client:
        await one(client)
        line = client.pool.multiplexer.lines[0]
        tasks = [asyncio.ensure_future(client.get("key")) for _ in range(3)]
        await asyncio.sleep(0)
        line.retire()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await until(lambda: not line._io._alive, "the end of the retired connection")
        assert client.pool.stats().shared == 0
        await one(client)
    await assert_no_leaks_async(before, server)


@pytest.mark.asyncio
async def test_retired_while_callers_wait_for_room(server: RedisServer) -> None:
    """Those who wait behind a full transport are still served, and the connection ends when nobody is left."""
    async with AsyncClient(server.url, retry=ONCE) as client:
        await one(client)
        line = client.pool.multiplexer.lines[0]
        server.pause()
        try:
            tasks = [asyncio.create_task(client.set("key", b"x" * 200_000)) for _ in range(100)]
            await until(lambda: len(line._io._backlog) > 10, "callers that wait")
            line.retire()
            for task in tasks[50:]:
                task.cancel()
        finally:
            server.resume()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert outcomes[:50] == [True] * 50
        assert {type(outcome) for outcome in outcomes[50:]} == {asyncio.CancelledError}
        await until(lambda: not line._io._alive, "the end of the retired connection")
        await one(client)
        assert client.pool.stats().shared == 1


@pytest.mark.asyncio
async def test_answered_before_it_was_read_and_then_silent() -> None:
    """A peer that refuses a command half read and reads no more: who waits behind it is told, in time."""
    over = threading.Event()

    def deaf_for_ever(number: int, block: bytes) -> None:
        over.wait(20)

    with Deaf(then=b"-ERR too large\r\n") as deaf:
        async with AsyncClient(deaf.server.url, protocol=3, read_timeout=0.4, retry=ONCE) as client:
            await client.ping()
            io = io_of(client)
            first = asyncio.create_task(client.set("key", b"x" * 20_000_000))
            await until(lambda: io._writable is not None, "a full transport")
            behind = asyncio.create_task(client.set("key", b"y"))
            await asyncio.sleep(0)
            deaf.server._play = deaf_for_ever
            deaf.may_go_on.set()
            errors = await asyncio.gather(first, behind, return_exceptions=True)
            over.set()
            assert all(isinstance(error, CarmineError) for error in errors), errors
            assert isinstance(errors[1], NetworkError)
            assert errors[1].outcome is Outcome.NOT_SENT
