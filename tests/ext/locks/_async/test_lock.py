"""The lock and its lease on a server, in both worlds."""

# ruff: noqa: PT012, PT031 - what raises or warns is the end of a block
from __future__ import annotations

import contextlib
import gc
import math
import pickle
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

import carmine
from carmine._bridge import aio
from carmine.errors import DeadlineExceeded, PoolClosed, ServerError, UsageError, WrongTypeError
from carmine.ext.locks import AsyncLock, LeaseLost, LockError, LockNotAcquired, core
from tests.ext.locks._async.helpers import KEY, left_of, token_in, until
from tests.lab.matrix import current_leg

if TYPE_CHECKING:
    from carmine.client._async.client import AsyncClient
    from carmine.ext.locks import AsyncLease
    from tests.ext.locks._async.conftest import Open
    from tests.lab.proxy import FaultProxy
    from tests.lab.servers import RedisServer

pytestmark = pytest.mark.asyncio


async def taken(lock: AsyncLock) -> AsyncLease:
    """Acquire what is free."""
    lease = await lock.acquire()
    assert lease is not None
    return lease


# Acquire and release. ------------------------------------------------------------------------------------------------


async def test_a_lock_has_one_holder(client: AsyncClient[Any], server: RedisServer) -> None:
    first, second = AsyncLock(client, "a", wait=0), AsyncLock(client, "a", wait=0)
    lease = await taken(first)
    assert token_in(server, "a") == lease.token
    assert await second.acquire() is None
    assert await first.acquire() is None
    assert await lease.release() is True
    assert token_in(server, "a") is None
    assert await (await taken(second)).release() is True


async def test_a_block_has_the_lease(client: AsyncClient[Any], server: RedisServer) -> None:
    lock = AsyncLock(client, "a", ttl=5)
    async with lock as lease:
        assert token_in(server, "a") == lease.token
        assert not lease.lost
        assert 4 < lease.left <= 5
        assert 4000 < left_of(server, "a") <= 5000
        await lease.check()
    assert token_in(server, "a") is None
    assert lease.left == 0
    assert not lease.lost


async def test_not_acquired_is_an_error_of_a_block(client: AsyncClient[Any]) -> None:
    async with AsyncLock(client, "a"):
        with pytest.raises(LockNotAcquired) as caught:
            async with AsyncLock(client, "a", wait=0.05):
                raise AssertionError("two holders")
    assert caught.value.name == "a"
    assert isinstance(caught.value, LockError)
    assert pickle.loads(pickle.dumps(caught.value)).name == "a"


async def test_wait_is_kept_to(client: AsyncClient[Any]) -> None:
    lease = await taken(AsyncLock(client, "a"))
    began = time.monotonic()
    assert await AsyncLock(client, "a", wait=timedelta(seconds=0.2)).acquire() is None
    assert 0.2 <= time.monotonic() - began < 1
    await lease.release()


async def test_a_waiter_gets_it_when_it_is_released(client: AsyncClient[Any], server: RedisServer) -> None:
    lock = AsyncLock(client, "a")
    lease = await taken(lock)
    job = aio.spawn(taken, lock)
    await until(lambda: any(one["sub"] == "1" for one in server.clients()), "a waiter that listens")
    assert not job.is_done
    await lease.release()
    began = time.monotonic()
    other = await job.join(5)
    assert time.monotonic() - began < core.POLL / 2, "word came, it was no poll"
    assert other.token == token_in(server, "a") != lease.token
    assert other.fence > lease.fence
    await other.release()


async def test_a_waiter_gets_it_when_it_runs_out(client: AsyncClient[Any]) -> None:
    lease = await taken(AsyncLock(client, "a", ttl=0.2, auto_extend=False))
    began = time.monotonic()
    other = await taken(AsyncLock(client, "a"))
    assert time.monotonic() - began < 1
    assert lease.lost
    assert await lease.release() is False
    with pytest.raises(UsageError, match="was released"):
        await lease.check()
    await other.check()
    await other.release()


async def test_a_foreign_release_is_found_by_a_poll(
    client: AsyncClient[Any], server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ancestor deletes the key without a word, and a lock without an expiry has no end either."""
    monkeypatch.setattr(core, "POLL", 0.4)
    server.call("SET", KEY + "a", "86c5-ancestor", "PX", 60_000)
    server.call("SET", KEY + "b", "somebody")
    jobs = [aio.spawn(taken, AsyncLock(client, name)) for name in ("a", "b")]
    await until(lambda: any(one["sub"] == "2" for one in server.clients()), "two waiters that listen")
    server.call("DEL", KEY + "a", KEY + "b")
    for job in jobs:
        await (await job.join(core.POLL * 2)).release()


async def test_round_trips_uncontended(open_client: Open, server: RedisServer, proxy: FaultProxy) -> None:
    """Two: one to acquire, one to release; nothing else goes over any connection."""
    client = open_client(proxy.url(server.url))
    lock = AsyncLock(client, "a")
    async with lock:
        pass  # the server learns the scripts
    before = len(proxy.commands())
    for _ in range(10):
        async with lock:
            pass
    after = proxy.commands()
    assert [words[0] for words in after[before:]] == [b"EVALSHA"] * 20
    assert proxy.open == 1


async def test_a_serializer_leaves_the_token_as_it_is(open_client: Open, server: RedisServer) -> None:
    async with AsyncLock(open_client(serializer=True), "a") as lease:
        assert token_in(server, "a") == lease.token
        await lease.check()
        await lease.extend()


async def test_a_deadline_bounds_the_wait(client: AsyncClient[Any]) -> None:
    lock = AsyncLock(client, "a")
    lease = await taken(lock)
    began = time.monotonic()
    with pytest.raises(DeadlineExceeded), carmine.deadline(0.2):
        await lock.acquire()
    assert time.monotonic() - began < 1
    await lease.release()
    await (await taken(lock)).release()


async def test_a_closed_client(open_client: Open) -> None:
    client = open_client()
    lock = AsyncLock(client, "a", ttl=0.3)
    lease = await taken(lock)
    await client.aclose()
    with pytest.raises(PoolClosed):
        await lock.acquire()
    with pytest.raises(PoolClosed):
        await lease.release()
    await until(lambda: lease.lost, "the end of a lease that nobody renews")


async def test_a_key_of_another_type_is_an_error(client: AsyncClient[Any], server: RedisServer) -> None:
    server.call("LPUSH", KEY + "a", "x")
    with pytest.raises(ServerError, match="WRONGTYPE"):  # Redis 6.2 gives a script's error another code
        await AsyncLock(client, "a").acquire()


async def test_a_waiter_of_a_user_without_channels_polls(open_client: Open, server: RedisServer) -> None:
    server.call("ACL", "SETUSER", "deaf", "on", ">pw-of-deaf", "~*", "resetchannels", "+@all")
    client = open_client(username="deaf", password="pw-of-deaf")
    lock = AsyncLock(client, "a")
    lease = await taken(lock)
    job = aio.spawn(taken, lock)
    await until(lambda: server.call("ACL", "LOG"), "a refusal to subscribe")
    assert await lease.release() is True
    await (await job.join(5)).release()


# Lease. --------------------------------------------------------------------------------------------------------------


async def test_tokens_and_fences(client: AsyncClient[Any], server: RedisServer) -> None:
    """S-25, S-53: 128 random bits for each acquisition, told apart on the server; fences rise."""
    lock = AsyncLock(client, "a")
    leases = []
    for _ in range(20):
        async with lock as lease:
            leases.append(lease)
    assert len({lease.token for lease in leases}) == 20
    assert all(len(lease.token) == 32 and int(lease.token, 16) >= 0 for lease in leases)
    assert sum(int(lease.token, 16).bit_count() for lease in leases) > 20 * 32, "bits are set all over"
    fences = [lease.fence for lease in leases]
    assert fences == sorted(set(fences))
    assert all(fence < 2**53 for fence in fences)
    assert server.call("GET", "carmine:lock-fence:a") == str(fences[-1]).encode()
    left = server.call("PTTL", "carmine:lock-fence:a")
    assert isinstance(left, int)
    assert 86_000_000 < left <= 86_400_000


async def test_fences_rise_when_the_server_forgets_or_its_clock_goes_back(
    client: AsyncClient[Any], server: RedisServer
) -> None:
    lock = AsyncLock(client, "a", auto_extend=False)
    async with lock as first:
        pass
    ahead = first.fence + 10**12
    server.call("SET", "carmine:lock-fence:a", str(ahead))
    async with lock as second:
        assert second.fence == ahead + 1, "the clock is behind the last fence"
    server.call("DEL", "carmine:lock-fence:a")
    async with lock as third:
        assert third.fence > first.fence, "the clock is ahead of what was forgotten"


async def test_release_is_idempotent_and_theft_is_impossible(client: AsyncClient[Any], server: RedisServer) -> None:
    """S-53, L10: released twice, by somebody else, or when it is another's."""
    lock = AsyncLock(client, "a", wait=0, auto_extend=False)
    lease = await taken(lock)
    assert [await lease.release(), await lease.release()] == [True, True]
    other = await taken(lock)
    assert await lease.release() is True, "nothing was sent, so the other keeps it"
    assert token_in(server, "a") == other.token
    late = await taken(AsyncLock(client, "b", auto_extend=False))
    server.call("SET", KEY + "b", "another")
    assert [await late.release(), await late.release()] == [False, False]
    assert token_in(server, "b") == "another"
    await other.release()


async def test_extend(client: AsyncClient[Any], server: RedisServer) -> None:
    async with AsyncLock(client, "a", ttl=2, auto_extend=False) as lease:
        await lease.extend(50)
        assert 49_000 < left_of(server, "a") <= 50_000
        assert 49 < lease.left <= 50
        await lease.extend(timedelta(seconds=3))
        await lease.extend()
        assert 2000 < left_of(server, "a") <= 3000
        fence = server.call("GET", "carmine:lock-fence:a")
        assert fence == str(lease.fence).encode()
    with pytest.raises(UsageError, match="was released"):
        await lease.extend()


@pytest.mark.parametrize("change", ["SET", "DEL", "FLUSHALL"])
async def test_a_lease_whose_key_was_taken_away(client: AsyncClient[Any], server: RedisServer, change: str) -> None:
    """L07, S13: evicted, flushed, or lost by a restart or a failover: it is lost, and what is there now stays."""
    lock = AsyncLock(client, "a", auto_extend=False)
    for ask in ("check", "extend"):
        lease = await taken(lock)
        server.call(*{"SET": ("SET", KEY + "a", "another"), "DEL": ("DEL", KEY + "a")}.get(change, (change,)))
        assert not lease.lost, "nobody has asked"
        with pytest.raises(LeaseLost, match="holds another token, or is gone") as caught:
            await getattr(lease, ask)()
        assert caught.value.name == "a"
        assert lease.lost
        assert lease.left == 0
        assert await lease.release() is False
        assert token_in(server, "a") == ("another" if change == "SET" else None)
        server.call("DEL", KEY + "a")


async def test_a_block_whose_lease_was_lost_says_so(client: AsyncClient[Any], server: RedisServer) -> None:
    with pytest.raises(LeaseLost):
        async with AsyncLock(client, "a"):
            server.call("DEL", KEY + "a")


async def test_the_error_of_the_block_wins(client: AsyncClient[Any], server: RedisServer) -> None:
    """L05: what went wrong afterwards is a note on it."""
    with pytest.raises(KeyError) as caught:
        async with AsyncLock(client, "a"):
            server.call("DEL", KEY + "a")
            raise KeyError("mine")
    assert caught.value.__notes__ == ["the lease had been lost before the lock was to be given back"]
    with pytest.raises(KeyError) as caught:
        async with AsyncLock(client, "a"):
            raise KeyError("mine")
    assert not hasattr(caught.value, "__notes__")
    assert token_in(server, "a") is None


async def test_resume(client: AsyncClient[Any], open_client: Open, server: RedisServer) -> None:
    """By name and token, in another process if need be."""
    lease = await taken(AsyncLock(client, "a", auto_extend=False))
    lock = AsyncLock(open_client(), "a", ttl=60, auto_extend=False)
    again = await lock.resume(lease.token)
    assert (again.token, again.fence) == (lease.token, lease.fence)
    assert left_of(server, "a") > 59_000
    assert await again.release() is True
    assert await lease.release() is False
    with pytest.raises(LeaseLost):
        await lock.resume(lease.token)
    for odd in (None, 7, "", b"x", "\ud800"):
        with pytest.raises(UsageError, match="a token is the text"):
            await lock.resume(odd)  # type: ignore[arg-type]


async def test_a_lock_is_not_reentrant(client: AsyncClient[Any]) -> None:
    """L10: by the same caller it is a mistake at once, not a wait for ever; others may use the same object."""
    lock = AsyncLock(client, "a")
    async with lock:
        with pytest.raises(UsageError, match="not reentrant"):
            async with lock:
                raise AssertionError("two holders")
        assert await AsyncLock(client, "a", wait=0).acquire() is None
    async with lock:
        pass


async def test_one_lock_is_shared(client: AsyncClient[Any], server: RedisServer) -> None:
    """Each has a lease of his own, and one at a time."""
    lock = AsyncLock(client, "a")
    inside: list[str] = []
    most = 0

    async def use() -> None:
        nonlocal most
        for _ in range(5):
            async with lock as lease:
                inside.append(lease.token)
                most = max(most, len(inside))
                await aio.sleep(0)
                inside.remove(lease.token)

    jobs = [aio.spawn(use) for _ in range(8)]
    for job in jobs:
        await job.join(20)
    assert most == 1
    assert token_in(server, "a") is None


async def test_a_lease_that_is_dropped_says_so(client: AsyncClient[Any], server: RedisServer) -> None:
    lock = AsyncLock(client, "a", ttl=0.5)
    with pytest.warns(ResourceWarning, match="dropped without a release"):
        await lock.acquire()
        gc.collect()
    began = time.monotonic()
    await until(lambda: token_in(server, "a") is None, "its end")
    assert time.monotonic() - began < 1, "it was not renewed any more"


async def test_nothing_shows_the_token(client: AsyncClient[Any], server: RedisServer) -> None:
    """S-24: not a repr, not an error."""
    lock = AsyncLock(client, "a", wait=0)
    async with lock as lease:
        shown = [repr(lease), repr(lock), str(lease)]
    shown.append(repr(lease))
    with pytest.raises(LeaseLost) as caught:
        await lock.resume(lease.token)
    with contextlib.suppress(UsageError):
        await lease.check()
    shown += [str(caught.value), repr(caught.value)]
    assert [text for text in shown if lease.token in text] == []


# Arguments. ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ttl", [0, -1, 0.0001, math.nan, math.inf, 10**20, "5", None, True, timedelta(0)])
async def test_odd_ttl(client: AsyncClient[Any], ttl: Any) -> None:
    """L10."""
    with pytest.raises(UsageError, match="ttl must be"):
        AsyncLock(client, "a", ttl=ttl)


@pytest.mark.parametrize("wait", [-1, math.nan, 10**20, "5", True])
async def test_odd_wait(client: AsyncClient[Any], wait: Any) -> None:
    """L10."""
    with pytest.raises(UsageError, match="wait must be"):
        AsyncLock(client, "a", wait=wait)


async def test_odd_switches(client: AsyncClient[Any]) -> None:
    with pytest.raises(UsageError, match="auto_extend must be"):
        AsyncLock(client, "a", auto_extend=1)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="on_lost"):
        AsyncLock(client, "a", on_lost=1)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="this lock works with AsyncClient, not with AsyncPipeline"):
        AsyncLock(client.pipeline(), "a")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "name", ["a b", "a\0b", "*", "?", "[ab]", "a\\*", "{a}b", "a}b", "{}", "\n", "ä", b"\xff", "x" * 9999]
)
async def test_odd_names(client: AsyncClient[Any], server: RedisServer, name: Any) -> None:
    """L10, S-16: any name is one lock; its neighbours, were it a pattern, are left alone."""
    raw = name if isinstance(name, bytes) else name.encode()
    server.call("SET", KEY + "neighbour", "other")
    async with AsyncLock(client, name) as lease:
        assert server.call("GET", KEY.encode() + raw) == lease.token.encode()
        assert server.call("DBSIZE") == 3
    assert server.call("DBSIZE") == 2


@pytest.mark.parametrize("name", ["", b"", None, 7, "\ud800"])
async def test_names_that_are_none(client: AsyncClient[Any], name: Any) -> None:
    with pytest.raises(UsageError, match="the name of a lock"):
        AsyncLock(client, name)


async def test_a_key_of_another_program_is_named(client: AsyncClient[Any], server: RedisServer) -> None:
    """S14."""
    server.call("RPUSH", KEY + "a", "x")
    with pytest.raises(ServerError, match="WRONGTYPE") as caught:
        await AsyncLock(client, "a", wait=0).acquire()
    if current_leg().at_least_7:  # 6.2 wraps what a script met
        assert isinstance(caught.value, WrongTypeError)
        assert caught.value.key == (KEY + "a").encode()
    assert server.call("TYPE", KEY + "a") == b"list"
