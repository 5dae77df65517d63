"""Cancellation in asyncio (FAULTS A01 to A06): at every await point, in storms, doubled, nested and in queues.

On asyncio's own loop and on uvloop. After each: no reply to another, no place lost, nothing left.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from typing import TYPE_CHECKING, Any, Final

import pytest

from carmine.client._async.client import AsyncClient
from carmine.errors import CarmineError
from tests.integration.async_shapes import (
    SHAPES,
    alone,
    batch,
    blocking,
    cancel_after,
    one,
    pinned,
    together,
    transaction,
    until,
)
from tests.integration.loops import LOOPS, run_on, stock
from tests.lab.leaks import assert_no_leaks_async
from tests.lab.matrix import scaled

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from tests.lab.proxy import FaultProxy
    from tests.lab.servers import RedisServer

pytest_plugins = ["tests.faults.invariants"]
pytestmark = [pytest.mark.faults, pytest.mark.parametrize("kind", LOOPS)]

_tokens = iter(range(1 << 40))


async def script(client: AsyncClient[str]) -> None:
    """Run a script the server may not know, so that its text may have to follow."""
    number = next(_tokens)
    run = client.script(f"return ARGV[1] .. '{number % 7}'")
    assert await run(args=[f"token-{number}-"]) == f"token-{number}-{number % 7}"


EVERY: Final[dict[str, Callable[[AsyncClient[str]], Coroutine[Any, Any, None]]]] = {
    "single": one,
    "pipeline": batch,
    "MULTI": together,
    "WATCH": transaction,
    "blocking": blocking,
    "pinned": pinned,
    "script": script,
}
"""The ways in which a token travels."""


async def settled(client: AsyncClient[str]) -> None:
    """Assert that nobody is served or waits any more, and that canaries get their own replies (I1, I5, I6)."""
    stats = client.pool.stats()
    assert (stats.in_use, stats.waiting) == (0, 0), stats
    async with asyncio.timeout(10):
        await asyncio.gather(one(client), batch(client), alone(client))


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("warm", [True, False], ids=["warm", "cold"])
def test_a02_at_every_await_point(
    kind: str, server: RedisServer, protocol: Any, name: str, warm: bool, report: Callable[..., None]
) -> None:
    """FAULTS A02: one step later each time, until the call completes."""

    async def main() -> int:
        before = await stock(server)
        async with AsyncClient(server.url, protocol=protocol, pool_size=1, pool_timeout=5) as client:
            steps = cancelled = 0
            while True:
                if not warm:
                    for connection in [*client.pool.idle, *client.pool.multiplexer.lines]:
                        connection.close()
                if not await cancel_after(steps, asyncio.ensure_future(EVERY[name](client))):
                    break
                cancelled += 1
                steps += 1 + steps // 40  # far out it only waits
                await settled(client)
        await assert_no_leaks_async(before, server)
        assert cancelled
        return cancelled

    report("test_a02_at_every_await_point", cancelled=run_on(kind, main()))


@pytest.mark.parametrize("name", EVERY)
def test_a01_between_the_request_and_its_reply(kind: str, server: RedisServer, proxy: FaultProxy, name: str) -> None:
    """FAULTS A01: the request has passed, the reply is on its way."""

    async def main() -> None:
        before = await stock(server)
        async with AsyncClient(proxy.url(server.url), pool_size=2, pool_timeout=5) as client:
            for _ in range(5):
                await settled(client)
                proxy.hold("s2c")
                proxy.mark()
                task = asyncio.ensure_future(EVERY[name](client))
                await until(lambda: proxy.passed["c2s"] > 0, "the request has passed")
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    async with asyncio.timeout(5):
                        await task
                proxy.release()
                await settled(client)
            assert client.pool.stats().opened <= 12
        proxy.heal()
        await assert_no_leaks_async(before, server)

    run_on(kind, main())


def test_a03_a_storm(kind: str, server: RedisServer, protocol: Any, report: Callable[..., None]) -> None:
    """FAULTS A03: 100,000 cancellations and timeouts at random points, over the shared connection and a pool of 8."""
    count = scaled(100_000 // 4)  # both kinds of loop, both protocols

    async def main() -> tuple[int, int]:
        chance = random.Random(count)
        before = await stock(server)
        cancelled = completed = 0

        async def strike(client: AsyncClient[str], shape: Callable[[AsyncClient[str]], Any], after: float) -> None:
            nonlocal cancelled, completed
            if chance.random() < 0.5:
                try:
                    async with asyncio.timeout(after):
                        await shape(client)
                    completed += 1
                except TimeoutError:
                    cancelled += 1
            else:
                task = asyncio.ensure_future(shape(client))
                asyncio.get_running_loop().call_later(after, task.cancel)
                try:
                    await task
                    completed += 1
                except asyncio.CancelledError:
                    cancelled += 1

        shapes = list(EVERY.values())
        async with AsyncClient(server.url, protocol=protocol, pool_size=8, pool_timeout=30) as client:
            while cancelled < count:
                await asyncio.gather(
                    *(strike(client, chance.choice(shapes), chance.uniform(0, 0.003)) for _ in range(100))
                )
                await one(client)
            stats = client.pool.stats()
            assert (stats.in_use, stats.waiting) == (0, 0), stats
            assert stats.open <= 8
            assert stats.shared == 1
            await asyncio.gather(*(shape(client) for _ in range(5) for shape in shapes))
            assert client.pool.multiplexer.lines[0].pending == 0
        await assert_no_leaks_async(before, server)
        return cancelled, completed

    cancelled, completed = run_on(kind, main())
    report("test_a03_a_storm", cancelled=cancelled, completed=completed, to_the_wrong_caller=0)


# A04. ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EVERY)
def test_a04_cancelled_twice(kind: str, server: RedisServer, proxy: FaultProxy, name: str) -> None:
    """FAULTS A04: also during what is cleared away after the first time; it comes out as one CancelledError."""

    async def main() -> None:
        before = await stock(server)
        async with AsyncClient(proxy.url(server.url), pool_size=1, pool_timeout=5) as client:
            for between in range(6):
                await settled(client)
                proxy.hold("s2c")
                proxy.mark()
                task = asyncio.ensure_future(EVERY[name](client))
                await until(lambda: proxy.passed["c2s"] > 0, "the request has passed")
                task.cancel()
                for _ in range(between):
                    await asyncio.sleep(0)
                asked = 1 + task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    async with asyncio.timeout(5):
                        await task
                assert task.cancelled()
                assert task.cancelling() == asked
                proxy.release()
                await settled(client)
        proxy.heal()
        await assert_no_leaks_async(before, server)

    run_on(kind, main())


@pytest.mark.parametrize("name", EVERY)
def test_a04_a_sibling_fails(kind: str, server: RedisServer, proxy: FaultProxy, name: str) -> None:
    """FAULTS A04: a TaskGroup cancels the others; its own error comes out, and theirs do not."""

    class Failed(Exception):
        pass

    async def main() -> None:
        async with AsyncClient(proxy.url(server.url), pool_size=4, pool_timeout=5) as client:
            await settled(client)
            proxy.hold("s2c")
            proxy.mark()

            async def fail() -> None:
                await until(lambda: proxy.passed["c2s"] > 0, "a request has passed")
                raise Failed

            tasks: list[asyncio.Task[None]] = []

            async def run() -> None:
                async with asyncio.timeout(5), asyncio.TaskGroup() as group:
                    tasks.extend(group.create_task(EVERY[name](client)) for _ in range(4))
                    group.create_task(fail())

            with pytest.raises(BaseExceptionGroup) as caught:
                await run()
            assert [type(error) for error in caught.value.exceptions] == [Failed]
            assert [(task.cancelled(), task.cancelling()) for task in tasks] == [(True, 1)] * 4
            proxy.release()
            await settled(client)

    run_on(kind, main())


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize(("outer", "inner"), [(0.02, 5), (5, 0.02), (0.02, 0.02)])
def test_a04_timeouts_in_one_another(
    kind: str, server: RedisServer, proxy: FaultProxy, name: str, outer: float, inner: float
) -> None:
    """FAULTS A04: the timeout that struck is the one that raises; we turn no cancellation into another error."""

    async def main() -> None:
        async with AsyncClient(proxy.url(server.url), pool_size=1, pool_timeout=5) as client:
            await settled(client)
            proxy.hold("s2c")
            with pytest.raises(TimeoutError) as caught:
                async with asyncio.timeout(outer) as first, asyncio.timeout(inner) as second:
                    await EVERY[name](client)
            assert not isinstance(caught.value, CarmineError)
            assert first.expired() or second.expired()
            if outer != inner:
                assert (first.expired(), second.expired()) == (outer < inner, inner < outer)
            task = asyncio.current_task()
            assert task is not None
            assert task.cancelling() == 0
            proxy.release()
            await settled(client)

    run_on(kind, main())


# A05, A06. -----------------------------------------------------------------------------------------------------------


def test_a05_a_cancelled_blpop(kind: str, server: RedisServer, proxy: FaultProxy) -> None:
    """FAULTS A05: what the server has popped by then is lost with the connection; nobody else is given it."""

    async def main() -> None:
        async with AsyncClient(proxy.url(server.url), pool_size=1, pool_timeout=5) as client:
            for number in range(10):
                await alone(client)
                opened = client.pool.stats().opened
                proxy.hold("s2c")
                task = asyncio.create_task(client.blpop("queue", timeout=0))
                await until(lambda: b"blocked_clients:1" in as_bytes(server.call("INFO", "clients")), "the wait")
                assert server.call("RPUSH", "queue", f"item-{number}") == 1
                await until(lambda: server.call("LLEN", "queue") == 0, "the pop")
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                proxy.release()
                assert await client.blpop("queue", timeout=0.001) is None
                assert client.pool.stats().opened == opened + 1
                await settled(client)

    run_on(kind, main())


def as_bytes(reply: object) -> bytes:
    return reply if isinstance(reply, bytes) else str(reply).encode()


@pytest.mark.parametrize("gone", [0, 1, 2])
def test_a06_a_waiter_in_the_queue_is_cancelled(kind: str, server: RedisServer, gone: int) -> None:
    """FAULTS A06: one place, three waiters; the place goes to the next one, whoever leaves."""

    async def main() -> None:
        async with AsyncClient(server.url, pool_size=1, pool_timeout=5) as client:
            for _ in range(20):
                async with contextlib.AsyncExitStack() as stack:
                    await stack.enter_async_context(client.connection())
                    tasks = [asyncio.create_task(alone(client)) for _ in range(3)]
                    await until(lambda: client.pool.stats().waiting == 3, "three waiters")
                    tasks[gone].cancel()
                async with asyncio.timeout(5):
                    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
                assert [type(outcome) for outcome in outcomes] == [
                    asyncio.CancelledError if n == gone else type(None) for n in range(3)
                ]
                await settled(client)

    run_on(kind, main())


def test_the_canaries_on_this_loop(kind: str, server: RedisServer, protocol: Any, report: Callable[..., None]) -> None:
    """FAULTS G05: every shape, side by side, on a loop that is not asyncio's own as well."""

    async def main() -> int:
        before = await stock(server)
        async with AsyncClient(server.url, protocol=protocol, pool_size=4, pool_timeout=10) as client:
            for _ in range(scaled(200)):
                await asyncio.gather(*(shape(client) for shape in [*SHAPES, script] * 5))
            await settled(client)
        await assert_no_leaks_async(before, server)
        return scaled(200) * 5 * (len(SHAPES) + 1)

    report("test_the_canaries_on_this_loop", canaries=run_on(kind, main()))
