"""What waiting costs the server, and how soon a lock is handed over."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from carmine._bridge import aio
from carmine.ext.locks import AsyncLock
from tests.ext.locks._async.helpers import listeners, until
from tests.lab.matrix import scaled

if TYPE_CHECKING:
    from collections.abc import Callable

    from carmine.client._async.client import AsyncClient
    from tests.ext.locks._async.conftest import Open
    from tests.lab.servers import RedisServer

pytest_plugins = ["tests.faults.invariants"]
pytestmark = pytest.mark.asyncio

WAITERS = 50


@pytest.fixture(params=[3], ids=["resp3"])
def protocol(request: pytest.FixtureRequest) -> int:
    """Give the newer RESP version: what is sent is the same on both."""
    version: int = request.param
    return version


@pytest.fixture
def told(report: Callable[..., None]) -> Callable[..., None]:
    """Give a function that has counts printed at the end of the run, for each world apart."""
    return lambda what, **counts: report(f"{what}, {AsyncLock.__name__}", **counts)


async def hold(lock: AsyncLock) -> int:
    """Acquire and release; return the fence."""
    async with lock as lease:
        return lease.fence


def executed(server: RedisServer) -> int:
    """Return how many commands the server has executed, those inside scripts included."""
    return int(server.info("stats")["total_commands_processed"])


async def cost(server: RedisServer, patience: float) -> float:
    """Return how many commands a second the server executes while nothing happens but waiting."""
    before, began = executed(server), time.monotonic()
    await until(lambda: time.monotonic() - began >= patience, "the time of the measurement", patience + 5)
    looks = (executed(server) - before, time.monotonic() - began)
    return looks[0] / looks[1]


async def test_fifty_waiters_of_one_client(
    client: AsyncClient[Any], server: RedisServer, told: Callable[..., None]
) -> None:
    """They cost no more than one, and use one connection together; each gets the lock in the end."""
    lock = AsyncLock(client, "a")
    held = await lock.acquire()
    assert held is not None
    jobs = [aio.spawn(hold, lock) for _ in range(WAITERS)]
    await until(lambda: refusals(server) > WAITERS, "a question of each, and one after the subscription")
    await until(lambda: client.pool.stats().in_use == 0, "nobody holds a connection")
    assert listeners(server) == 1
    rate = await cost(server, 4.0)  # no window of this length can hold more than three questions
    assert rate < 3
    told("fifty waiters of one client", commands_in_ten_seconds=round(rate * 10))
    began = time.monotonic()
    assert await held.release()
    fences = [await job.join(20) for job in jobs]
    assert len(set(fences)) == WAITERS
    told("fifty hand-overs in a row", milliseconds=round((time.monotonic() - began) * 1000))
    assert listeners(server) <= 1


async def test_fifty_waiters_of_fifty_clients(
    open_client: Open, server: RedisServer, told: Callable[..., None]
) -> None:
    """Less than three commands a second each, what scripts do inside counted as well."""
    held = await AsyncLock(open_client(), "a").acquire()
    assert held is not None
    jobs = [aio.spawn(hold, AsyncLock(open_client(), "a")) for _ in range(WAITERS)]
    await until(lambda: refusals(server) >= 2 * WAITERS, "a question of each, and one after his subscription")
    assert listeners(server) == WAITERS
    rate = await cost(server, 2.0)
    assert rate < 150
    told("fifty waiters of fifty clients", commands_a_second=round(rate))
    assert await held.release()
    assert len({await job.join(20) for job in jobs}) == WAITERS


async def test_hand_over(open_client: Open, server: RedisServer, told: Callable[..., None]) -> None:
    """From the release to the next holder, between two clients: by word, not by a poll."""
    first, second = AsyncLock(open_client(), "a"), AsyncLock(open_client(), "a")
    took = []
    for _ in range(max(20, scaled(500))):
        held = await first.acquire()
        assert held is not None
        job = aio.spawn(take, second)
        await until(lambda: listeners(server) > 0 and is_asked(server), "a waiter")
        began = time.perf_counter()
        assert await held.release()
        at, lease = await job.join(10)
        took.append(at - began)
        assert await lease.release()
    took.sort()
    assert took[len(took) // 2] < 0.1, "no poll is as quick"
    told(
        "hand-over",
        microseconds_p50=round(took[len(took) // 2] * 1e6),
        microseconds_p99=round(took[len(took) * 99 // 100] * 1e6),
    )


async def take(lock: AsyncLock) -> tuple[float, Any]:
    """Acquire; return when that was, and the lease."""
    lease = await lock.acquire()
    return time.perf_counter(), lease


def refusals(server: RedisServer) -> int:
    """Return how often somebody has found a lock held."""
    return int(server.info("commandstats").get("cmdstat_pttl", "calls=0,").split("calls=")[1].split(",")[0])


def is_asked(server: RedisServer) -> bool:
    """Tell whether somebody has found the lock held since this was asked last."""
    calls = refusals(server)
    server.call("CONFIG", "RESETSTAT")
    return calls > 0
