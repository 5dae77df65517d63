"""What only the asyncio world has: cancellation at every step, event loops, dropped coroutines and clients, fork."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from carmine.client._async.client import AsyncClient
from carmine.errors import ConnectionLost, ConnectTimeout, PoolTimeout, UsageError
from carmine.retry import Retry
from tests.lab.leaks import assert_no_leaks_async, snapshot
from tests.lab.matrix import scaled
from tests.lab.proxy import Faults
from tests.lab.scripted import Scripted

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from carmine.protocol import Parser
    from carmine.transport.async_io import AsyncIO
    from tests.lab.proxy import FaultProxy
    from tests.lab.servers import RedisServer

ROOT = Path(__file__).resolve().parents[2]
ONCE = Retry(1)


@pytest_asyncio.fixture
async def client(url: str, protocol: Any) -> AsyncIterator[AsyncClient[str]]:
    async with AsyncClient(url, protocol=protocol, pool_size=1, pool_timeout=5) as made:
        yield made


async def until(condition: Callable[[], bool], what: str) -> None:
    """Wait until a condition holds that nobody announces."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come true"
        await asyncio.sleep(0.001)


# Cancellation. -------------------------------------------------------------------------------------------------------

_tokens = iter(range(1 << 40))


async def one(client: AsyncClient[str]) -> None:
    token = f"one-{next(_tokens)}"
    assert await client.echo(token) == token


async def batch(client: AsyncClient[str]) -> None:
    tokens = [f"batch-{next(_tokens)}" for _ in range(5)]
    async with client.pipeline() as pipeline:
        for token in tokens:
            pipeline.echo(token)
    assert pipeline.replies == tokens


async def transaction(client: AsyncClient[str]) -> None:
    token = f"tx-{next(_tokens)}"
    async with client.transaction(f"watched-{token}") as tx:
        assert await tx.now.echo(token) == token
        reply = tx.echo(token)
    assert reply.value == token


async def pinned(client: AsyncClient[str]) -> None:
    async with client.connection() as connection:
        await connection.select(3)
        token = f"pinned-{next(_tokens)}"
        assert await connection.echo(token) == token


async def blocking(client: AsyncClient[str]) -> None:
    assert await client.blpop("nothing-here", timeout=0.002) is None


SHAPES = [one, batch, transaction, pinned, blocking]


async def cancel_after(steps: int, task: asyncio.Task[Any]) -> bool:
    """Cancel a task after so many rounds of the loop; False when it had ended by then."""
    for _ in range(steps):
        await asyncio.sleep(0)
        if task.done():
            await task
            return False
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    return True


@pytest.mark.asyncio
@pytest.mark.faults
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("warm", [True, False], ids=["warm", "cold"])
async def test_cancel_at_every_step(
    server: RedisServer, protocol: Any, shape: Callable[[AsyncClient[str]], Any], warm: bool
) -> None:
    """FAULTS A02: no canary ever gets another's reply, no place is lost, nothing is left."""
    before = snapshot(server)
    cancelled = 0
    async with AsyncClient(server.url, protocol=protocol, pool_size=1, pool_timeout=5) as client:
        for steps in range(2000):
            if warm:
                await one(client)
            else:
                close_idle(client)
            if not await cancel_after(steps, asyncio.ensure_future(shape(client))):
                break
            cancelled += 1
            await one(client)
        stats = client.pool.stats()
        assert (stats.in_use, stats.waiting, stats.open) == (0, 0, stats.idle)
        await asyncio.gather(*(one(client) for _ in range(20)))
    assert cancelled >= 1
    await assert_no_leaks_async(before, server)


@pytest.mark.asyncio
@pytest.mark.faults
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("size", [1, 4])
async def test_cancel_inside_the_waits(
    proxy: FaultProxy, server: RedisServer, protocol: Any, shape: Callable[[AsyncClient[str]], Any], size: int
) -> None:
    """FAULTS A02 with a slow network: most cancellations strike while a reply is on its way."""
    before = snapshot(server)
    async with AsyncClient(proxy.url(server.url), protocol=protocol, pool_size=size, pool_timeout=5) as client:
        for number in range(scaled(400)):
            if number % 3 == 0:
                close_idle(client)
            proxy.delay["s2c"] = 0.003
            task = asyncio.ensure_future(shape(client))
            await asyncio.sleep(number % 13 * 0.001)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert task.cancelled() or task.exception() is None
            proxy.delay["s2c"] = 0.0
            await asyncio.gather(*(one(client) for _ in range(size)))
        assert client.pool.stats().in_use == 0
        assert client.pool.stats().open <= size
    await assert_no_leaks_async(before, server)


def close_idle(client: AsyncClient[str]) -> None:
    """Let the next call open a connection."""
    for connection in list(client.pool.idle):
        connection.close()


@pytest.mark.asyncio
@pytest.mark.faults
async def test_cancel_storm(client: AsyncClient[str], server: RedisServer) -> None:
    async def some(number: int) -> None:
        shape = SHAPES[number % 4]
        task: asyncio.Task[Any] = asyncio.ensure_future(shape(client))
        asyncio.get_running_loop().call_later(number % 17 / 4000, task.cancel)
        await asyncio.gather(task, return_exceptions=True)
        if not task.cancelled():
            task.result()

    for start in range(0, scaled(4000), 40):
        await asyncio.gather(*(some(start + offset) for offset in range(40)))
        await one(client)
    stats = client.pool.stats()
    assert (stats.in_use, stats.waiting) == (0, 0)


@pytest.mark.asyncio
async def test_a_cancelled_waiter_in_the_middle_passes_its_turn_on(client: AsyncClient[str]) -> None:
    done: list[int] = []

    async def use(number: int) -> None:
        async with client.connection():
            done.append(number)

    async with client.connection():
        tasks = [asyncio.create_task(use(number)) for number in range(5)]
        await until(lambda: client.pool.stats().waiting == 5, "five waiters")
        tasks[2].cancel()
        await asyncio.sleep(0)
        assert client.pool.stats().waiting == 4
    await asyncio.gather(*tasks, return_exceptions=True)
    assert done == [0, 1, 3, 4]
    assert tasks[2].cancelled()


@pytest.mark.asyncio
@pytest.mark.parametrize("kind", ["connection", "place"])
async def test_a_waiter_cancelled_after_it_was_served(client: AsyncClient[str], kind: str) -> None:
    """The wake-up is under way when the cancellation comes: what was served goes to the next."""
    pool = client.pool
    held = await pool.borrow()
    first, second = asyncio.create_task(one(client)), asyncio.create_task(one(client))
    await until(lambda: pool.stats().waiting == 2, "two waiters")
    if kind == "place":
        held.close()
    pool.take_back(held)
    if kind == "place":
        await asyncio.sleep(0)
    assert pool.stats().waiting == 1
    first.cancel()
    async with asyncio.timeout(2):
        with pytest.raises(asyncio.CancelledError):
            await first
        await second
    assert pool.stats().in_use == 0


@pytest.mark.asyncio
async def test_a_late_reply_goes_to_nobody(proxy: FaultProxy, server: RedisServer, protocol: Any) -> None:
    """FAULTS C04: a reply that comes after its caller has left."""
    options: Any = {"protocol": protocol, "pool_size": 1, "read_timeout": 0.03, "retry": ONCE}
    async with AsyncClient(proxy.url(server.url), **options) as client:
        await client.set("secret:alice", "alice")
        await client.set("public:bob", "bob")
        for _ in range(scaled(200)):
            proxy.delay["s2c"] = 0.06
            with pytest.raises((TimeoutError, ConnectTimeout)):
                await client.get("secret:alice")
            proxy.delay["s2c"] = 0.0
            assert await client.get("public:bob") == "bob"


@pytest.mark.asyncio
async def test_timeouts_of_asyncio_itself(client: AsyncClient[str]) -> None:
    for _ in range(5):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await client.blpop("nothing-here", timeout=0)
        await one(client)


@pytest.mark.asyncio
async def test_a_call_inside_another_block_on_a_pool_of_one(url: str) -> None:
    """FAULTS P03: no silent dead-lock."""
    async with AsyncClient(str(url), pool_size=1, pool_timeout=0.05) as client:
        async with client.connection():
            with pytest.raises(PoolTimeout, match="held by: a pinned connection in task"):
                await client.get("key")
        await one(client)


@pytest.mark.asyncio
async def test_two_tasks_on_one_pinned_connection(client: AsyncClient[str]) -> None:
    async with client.connection() as connection:
        first = asyncio.create_task(connection.blpop("nothing-here", timeout=0.05))
        await asyncio.sleep(0)
        with pytest.raises(UsageError, match="in use by another call"):
            await connection.echo("x")
        assert await first is None
        assert await connection.echo("x") == "x"


# Event loops. --------------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_another_loop_is_refused(client: AsyncClient[str]) -> None:
    await one(client)
    caught: list[BaseException] = []

    async def use() -> None:
        for call in (client.get("key"), client.pipeline().flush(), client.blpop("key", timeout=1), client.aclose()):
            try:
                await call
            except UsageError as error:
                caught.append(error)
        async with client.pipeline() as pipeline:
            pipeline.get("key")

    def other() -> None:
        try:
            asyncio.run(use())
        except UsageError as error:
            caught.append(error)

    thread = threading.Thread(target=other)
    thread.start()
    await until(lambda: not thread.is_alive(), "the end of the other loop")
    assert len(caught) == 4  # an empty pipeline asks nobody
    assert {str(error) for error in caught} == {
        f"this client of {client.options.address} belongs to another event loop; make one client for each loop"
    }
    await one(client)


def test_a_closed_loop_is_refused(url: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # asyncio's own, of a transport its loop did not close
        _use_on_two_loops(url)
        gc.collect()


def _use_on_two_loops(url: str) -> None:
    client = AsyncClient(url, retry=ONCE)

    async def use() -> None:
        assert await client.echo("x") == "x"

    async def use_pipeline() -> None:
        async with client.pipeline() as pipeline:
            pipeline.echo("x")

    asyncio.run(use())
    for again in (use, use_pipeline):
        with pytest.raises(UsageError, match="belongs to an event loop that is closed; make a new client"):
            asyncio.run(again())
    asyncio.run(client.aclose())  # which has no loop to wait for
    assert client.pool.is_closed
    assert client.pool.stats().open == 0


# Dropped. ------------------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_dropped_connection_frees_its_place(client: AsyncClient[str], server: RedisServer) -> None:
    """FAULTS P08."""
    connection = await client.pool.borrow("forgotten")
    waiting = asyncio.create_task(one(client))
    await until(lambda: client.pool.stats().waiting == 1, "the waiter")
    del connection
    gc.collect()
    async with asyncio.timeout(2):
        await waiting
    await asyncio.to_thread(server.wait_clients, 1)


@pytest.mark.asyncio
async def test_a_dropped_coroutine_frees_its_place(client: AsyncClient[str]) -> None:
    steps = client.blpop("nothing-here", timeout=0)
    waiter = steps.send(None)
    while client.pool.stats().opened == 0 or client.pool.stats().in_use == 0:
        await asyncio.sleep(0.001)
        if waiter.done():
            waiter = steps.send(None)
    assert client.pool.stats().in_use == 1
    steps.close()
    del steps
    assert client.pool.stats().in_use == 0
    await one(client)


@pytest.mark.asyncio
async def test_a_dropped_client_leaves_nothing(url: str, server: RedisServer) -> None:
    before = snapshot(server)
    client = AsyncClient(url)
    await client.echo("x")
    async with client.connection() as connection:
        await connection.echo("x")
    del client, connection
    gc.collect()
    await assert_no_leaks_async(before, server)


SCRIPTS = {
    "dropped": "async def main():\n    client = AsyncClient(url)\n    await client.echo('x')\nasyncio.run(main())\n",
    "global": "client = AsyncClient(url)\nasyncio.run(client.echo('x'))\n",
    "used twice": (
        "client = AsyncClient(url)\nasyncio.run(client.echo('x'))\n"
        "try:\n    asyncio.run(client.echo('x'))\nexcept carmine.UsageError as error:\n    print('refused')\n"
    ),
    "closed elsewhere": "client = AsyncClient(url)\nasyncio.run(client.echo('x'))\nasyncio.run(client.aclose())\n",
    "in a call": (
        "async def main():\n    client = AsyncClient(url)\n    blocked = client.blpop('nothing', timeout=0)\n"
        "    globals()['task'] = asyncio.create_task(blocked)\n    await asyncio.sleep(0.05)\n"
        "loop = asyncio.new_event_loop()\nloop.run_until_complete(main())\n"
    ),
    "loop closed in a call": (
        "async def main():\n    client = AsyncClient(url)\n    call = client.blpop('nothing', timeout=0)\n"
        "    first = call.send(None)\n    globals()['call'] = call\n"
        "loop = asyncio.new_event_loop()\nloop.run_until_complete(main())\nloop.close()\ndel call\n"
    ),
    "in a cycle": (
        "class Holder: pass\nasync def main():\n    holder = Holder()\n    holder.client = AsyncClient(url)\n"
        "    holder.me = holder\n    await holder.client.echo('x')\nasyncio.run(main())\nimport gc\ngc.collect()\n"
    ),
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_end_of_a_program_is_quiet(name: str, url: str) -> None:
    """FAULTS C24."""
    script = f"import asyncio, carmine\nfrom carmine import AsyncClient\nurl = {url!r}\n{SCRIPTS[name]}"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=False, cwd=ROOT
    )
    noise = [line for line in done.stderr.splitlines() if "was destroyed but it is pending" not in line]
    if name == "in a call":  # the loop's own words about the task it was left with
        noise = [line for line in noise if not line.startswith(("task:", "Task "))]
    assert done.returncode == 0, done.stderr
    assert not [line for line in noise if "ignored" in line.lower() or "Traceback" in line], done.stderr
    assert done.stdout == ("refused\n" if name == "used twice" else "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_starts_anew(proxy: FaultProxy, server: RedisServer) -> None:
    """FAULTS C21: the child never touches what it inherited."""
    script = f"""
import asyncio, os, sys
from carmine import AsyncClient
client = AsyncClient({proxy.url(server.url)!r}, pool_size=2)
async def canaries(who):
    for number in range(100):
        token = f"{{who}}-{{number}}"
        assert await client.echo(token) == token
async def parent():
    await canaries("before")
    pid = os.fork()
    if not pid:
        os._exit(child())
    await canaries("parent")
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    await canaries("after")
    await client.aclose()
def child():
    import threading
    failed = []
    def run():
        try:
            asyncio.run(canaries("child"))
        except BaseException as error:
            failed.append(error)
            print(repr(error), file=sys.stderr)
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return len(failed)
asyncio.run(parent())
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", script],
        capture_output=True, text=True, timeout=60, check=False, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    by_connection = {
        number: {words[1].split(b"-")[0] for words in proxy.commands(number) if words[0] == b"ECHO"}
        for number in range(1, proxy.accepted + 1)
    }
    assert {frozenset(seen) for seen in by_connection.values()} == {
        frozenset({b"before", b"parent", b"after"}),
        frozenset({b"child"}),
    }


# The wire's own corners. ---------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_awaitable_providers(make_server: Callable[..., RedisServer]) -> None:
    server = make_server(password="right")
    connected: list[object] = []

    async def provide() -> tuple[str, str]:
        await asyncio.sleep(0)
        return "default", "right"

    async def greet(connection: Any) -> None:
        connected.append(await connection.execute((b"PING",), True))

    options: Any = {"credentials": provide, "on_connect": greet}
    async with AsyncClient(f"redis://127.0.0.1:{server.port}", **options) as client:
        await one(client)
    assert connected == ["PONG"]


@pytest.mark.asyncio
async def test_opening_may_be_cancelled_anywhere(server: RedisServer, certs: Any, protocol: Any) -> None:
    """Also inside the TLS handshake and a slow socket_factory."""
    before = snapshot()
    with Scripted.replies({b"ECHO": b"+x\r\n"}, tls=certs.server_context(certs.good)) as tls_server:
        for steps in range(60):
            client: AsyncClient[str] = AsyncClient(tls_server.url, ca_certs=certs.ca, protocol=3, pool_size=1)
            finished = not await cancel_after(steps, asyncio.ensure_future(client.echo("x")))
            assert client.pool.stats().in_use == 0
            assert await client.echo("x") == "x"
            await client.aclose()
            if finished:
                break
    await assert_no_leaks_async(before)


@pytest.mark.asyncio
async def test_a_slow_factory_is_left_behind(server: RedisServer) -> None:
    import socket  # noqa: PLC0415 - for this test alone

    may_go_on, made = threading.Event(), []

    def slow(address: Any, timeout: float) -> socket.socket:
        may_go_on.wait(10)
        made.append(socket.create_connection((address.host, address.port), 5))
        return made[-1]

    async with AsyncClient(server.url, socket_factory=slow, connect_timeout=0.05, retry=ONCE) as client:
        began = time.monotonic()
        with pytest.raises(ConnectTimeout, match="socket_factory"):
            await client.get("key")
        assert time.monotonic() - began < 0.3
        may_go_on.set()
        await until(lambda: bool(made) and made[0].fileno() == -1, "the late socket is closed")


@pytest.mark.asyncio
async def test_one_timer_for_many_calls(client: AsyncClient[str]) -> None:
    await one(client)
    loop: Any = asyncio.get_running_loop()
    if not hasattr(loop, "_scheduled"):
        pytest.skip("this loop does not show its timers")
    before = len(loop._scheduled)
    for _ in range(100):
        await one(client)
    assert len(loop._scheduled) <= before + 1


@pytest.mark.asyncio
async def test_memory_that_runs_out_ends_the_connection(server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """FAULTS G04."""
    async with AsyncClient(server.url, retry=ONCE, pool_size=1) as client:
        await one(client)
        (connection,) = client.pool.idle
        monkeypatch.setattr(connection._io, "_parser", _NoMemory(connection._io._parser))
        with pytest.raises(ConnectionLost, match="MemoryError"):
            await client.echo("x")
        await one(client)
        assert client.pool.stats().opened == 2


class _NoMemory:
    def __init__(self, parser: Parser) -> None:
        self._parser = parser

    def __getattr__(self, name: str) -> Any:
        return getattr(self._parser, name)

    def next_reply(self) -> Any:
        raise MemoryError


@pytest.mark.asyncio
async def test_modes_must_fit(client: AsyncClient[str]) -> None:
    connection = await client.pool.borrow()
    io: AsyncIO = connection._io
    with pytest.raises(UsageError, match="one byte for each command"):
        await io.execute_many([(b"PING",), (b"PING",)], True, [], None, b"\x01")
    await io.execute_many([], True, [])
    assert connection.is_usable
    await client.pool.give_back(connection)


@pytest.mark.asyncio
async def test_faults_of_the_idle_connection_are_seen_before_it_is_used(
    proxy: FaultProxy, server: RedisServer, protocol: Any
) -> None:
    """FAULTS C07, C14: the loop has had no time to read what the kernel holds already."""
    async with AsyncClient(proxy.url(server.url), protocol=protocol, pool_size=1, retry=ONCE) as client:
        for break_it in (
            lambda: proxy.inject_now("s2c", b"+STALE\r\n"),
            lambda: proxy.inject_now("s2c", b"+STA"),
            lambda: proxy.kill("fin"),
            lambda: proxy.kill("rst"),
        ):
            await one(client)
            break_it()
            time.sleep(0.1)  # noqa: ASYNC251 - the loop is to be taken by surprise; a reset waits for an ACK first
            assert await client.incr("n")
    assert server.call("GET", "n") == b"4"


@pytest.mark.asyncio
async def test_many_at_once_on_few_connections(proxy: FaultProxy, server: RedisServer, protocol: Any) -> None:
    proxy.plan = lambda number: _chunked()
    async with AsyncClient(proxy.url(server.url), protocol=protocol, pool_size=3, pool_timeout=20) as client:
        await asyncio.gather(*(shape(client) for _ in range(20) for shape in SHAPES[:3]))
        assert proxy.accepted <= 3


def _chunked() -> Faults:
    faults = Faults()
    faults.chunk["s2c"] = 3
    return faults
