"""Tasks that are cancelled while they acquire, hold or release (FAULTS.md L03); blocks cancelled for a loss (L09)."""

# ruff: noqa: PT012 - what raises is the end of a block
from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from carmine import AsyncClient
from carmine.ext.locks import AsyncLock, LeaseLost
from tests.ext.locks._async.helpers import KEY, token_in, until
from tests.lab import leaks
from tests.lab.matrix import scaled

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from tests.lab.servers import RedisServer

pytest_plugins = ["tests.faults.invariants"]
pytestmark = [pytest.mark.asyncio, pytest.mark.faults]


@pytest.fixture
def still(server: RedisServer) -> Iterator[None]:
    """See that nothing is left when the client is closed."""
    before = leaks.snapshot(server)
    yield
    leaks.assert_no_leaks(before, server)


@pytest_asyncio.fixture
async def client(url: str, still: None) -> AsyncIterator[AsyncClient[str]]:
    """Give a client that knows the scripts' hashes; afterwards no task is left of it."""
    async with AsyncClient(url) as made:
        async with AsyncLock(made, "warm"):
            pass
        yield made
    await until(lambda: not tasks_of_locks(), "the end of all tasks", 1)


def tasks_of_locks() -> list[asyncio.Task[Any]]:
    """Return the tasks that work behind the callers' backs."""
    everything = asyncio.all_tasks()
    return [task for task in everything if any(name in repr(task.get_coro()) for name in ("Alarm.", "WaitingRoom."))]


async def cancelled_after(ticks: int, task: asyncio.Task[Any]) -> bool:
    """Let the loop run for so many rounds, then cancel; tell whether the task was still at work."""
    for _ in range(ticks):
        if task.done():
            return False
        await asyncio.sleep(0)
    return task.cancel()


async def test_l03_acquire_is_cancelled_at_every_await(
    client: AsyncClient[str], server: RedisServer, report: Callable[..., None]
) -> None:
    """The lock is free soon after, unless the lease was given out."""
    cancelled = 0
    for rounds in range(scaled(1000)):
        ticks = rounds % 40
        task = asyncio.create_task(AsyncLock(client, "a", ttl=30).acquire())
        await cancelled_after(ticks, task)
        try:
            lease = await task
        except asyncio.CancelledError:
            cancelled += 1
        else:
            assert lease is not None
            assert await lease.release()
        await until(lambda: token_in(server, "a") is None, "the lock is free", 3)
    assert cancelled
    report("L03 acquire cancelled", cancelled=cancelled)


async def test_l03_a_waiter_is_cancelled_at_every_await(
    client: AsyncClient[str], server: RedisServer, report: Callable[..., None]
) -> None:
    """Whoever waits behind it gets the lock as soon as it is given back."""
    cancelled = 0
    for rounds in range(scaled(1000)):
        lock = AsyncLock(client, "a", ttl=30)
        held = await lock.acquire()
        assert held is not None
        first = asyncio.create_task(lock.acquire())
        await asyncio.sleep(0)
        second = asyncio.create_task(lock.acquire())
        for _ in range(rounds % 8):
            await asyncio.sleep(0.0005)  # rounds of the loop: the subscription is on its way
        release = asyncio.create_task(held.release())
        await cancelled_after(rounds % 23, first)
        with contextlib.suppress(asyncio.CancelledError):
            mine = await first
            assert mine is not None
            assert await mine.release()
        cancelled += first.cancelled()
        async with asyncio.timeout(1.5):  # sooner than a poll
            theirs = await second
        assert theirs is not None
        assert await theirs.release()
        assert await release
    assert cancelled
    report("L03 waiter cancelled", cancelled=cancelled)


async def test_l03_release_is_cancelled_at_every_await(
    client: AsyncClient[str], server: RedisServer, report: Callable[..., None]
) -> None:
    """It goes on without its caller (redis-py #3847: the token was forgotten, the lock was stuck)."""
    cancelled = 0
    for rounds in range(scaled(1000)):
        lease = await AsyncLock(client, "a", ttl=30).acquire()
        assert lease is not None
        task = asyncio.create_task(lease.release())
        await cancelled_after(1 + rounds % 12, task)  # none: it would not even begin
        with contextlib.suppress(asyncio.CancelledError):
            assert await task is True
        cancelled += task.cancelled()
        await until(lambda: token_in(server, "a") is None, "the lock is free", 3)
        assert await lease.release() in (True, False), "and may be asked for again"
    assert cancelled
    report("L03 release cancelled", cancelled=cancelled)


async def test_l03_a_block_is_cancelled(client: AsyncClient[str], server: RedisServer) -> None:
    """Cancelled inside, and a second time while the lock is given back."""
    for ticks in range(1, 8):
        entered = asyncio.Event()

        async def hold(told: asyncio.Event = entered) -> None:
            async with AsyncLock(client, "a", ttl=30):
                told.set()
                await asyncio.sleep(3600)

        task = asyncio.create_task(hold())
        await entered.wait()
        task.cancel()
        await cancelled_after(ticks, task)
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: token_in(server, "a") is None, "the lock is free", 3)


async def test_a_timeout_while_waiting(client: AsyncClient[str], server: RedisServer) -> None:
    lock = AsyncLock(client, "a")
    async with lock as lease:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await AsyncLock(client, "a").acquire()
        assert token_in(server, "a") == lease.token
    assert token_in(server, "a") is None


# cancel_on_lost. -----------------------------------------------------------------------------------------------------


async def test_a_lost_lease_cancels_its_block(client: AsyncClient[str], server: RedisServer) -> None:
    """The block ends with LeaseLost, and the task that ran it is not a cancelled one."""
    lock = AsyncLock(client, "a", ttl=0.6, cancel_on_lost=True)
    with pytest.raises(LeaseLost) as caught:
        async with lock as lease:
            server.call("SET", KEY + "a", "another")
            await asyncio.sleep(3600)
    assert isinstance(caught.value.__cause__, asyncio.CancelledError)
    assert lease.lost
    assert token_in(server, "a") == "another"
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    await asyncio.sleep(0)


async def test_a_cancellation_from_elsewhere_stays_one(client: AsyncClient[str], server: RedisServer) -> None:
    entered = asyncio.Event()

    async def hold() -> None:
        async with AsyncLock(client, "a", ttl=0.6, cancel_on_lost=True):
            entered.set()
            await asyncio.sleep(3600)

    task = asyncio.create_task(hold())
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert token_in(server, "a") is None


async def test_a_block_that_ends_as_its_lease_is_lost(client: AsyncClient[str], server: RedisServer) -> None:
    """The cancellation that is on its way ends here, and strikes nobody later."""
    lost = asyncio.Event()
    lock = AsyncLock(client, "a", ttl=0.6, cancel_on_lost=True)
    with pytest.raises(LeaseLost):
        async with lock as lease:
            server.call("DEL", KEY + "a")
            with contextlib.suppress(asyncio.CancelledError):  # as a careless body may
                await lost.wait()
            assert lease.lost
    for _ in range(5):
        await asyncio.sleep(0)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_the_error_of_a_body_that_is_cancelled_wins(client: AsyncClient[str], server: RedisServer) -> None:
    with pytest.raises(KeyError):
        async with AsyncLock(client, "a", ttl=0.6, cancel_on_lost=True):
            server.call("DEL", KEY + "a")
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                raise KeyError("mine") from None
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_l09_the_task_that_renews_is_cancelled(client: AsyncClient[str]) -> None:
    """As asyncio.run() does at its end, and a careless library may: the holder is told at once."""
    told: list[object] = []
    lease = await AsyncLock(client, "a", ttl=0.3, on_lost=told.append).acquire()
    assert lease is not None

    def renewing() -> list[asyncio.Task[Any]]:
        return [task for task in asyncio.all_tasks() if "Alarm._run" in repr(task.get_coro())]

    await until(lambda: bool(renewing()), "the task that renews")
    for task in renewing():
        task.cancel()
    await until(lambda: bool(told), "on_lost was called", 0.4)
    assert lease.lost
    with pytest.raises(LeaseLost):
        await lease.check()
    assert await lease.release() is True, "the server still had it"


async def test_an_async_on_lost(client: AsyncClient[str], server: RedisServer) -> None:
    told: list[Any] = []

    async def tell(lease: object) -> None:
        await asyncio.sleep(0)
        told.append(lease)

    lease = await AsyncLock(client, "a", ttl=0.3, on_lost=tell).acquire()
    assert lease is not None
    server.call("DEL", KEY + "a")
    await until(lambda: told == [lease], "on_lost was called")
    assert not await lease.release()
