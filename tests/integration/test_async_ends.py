"""Event loops, dropped coroutines and clients, the end of a program, fork (FAULTS C21, C24, P08)."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import threading
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from carmine.client._async.client import AsyncClient
from carmine.errors import UsageError
from tests.integration.async_shapes import ONCE, alone, client, one, until
from tests.lab.leaks import assert_no_leaks_async, snapshot

if TYPE_CHECKING:
    from tests.lab.proxy import FaultProxy
    from tests.lab.servers import RedisServer

__all__ = ["client"]

ROOT = Path(__file__).resolve().parents[2]


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
    waiting = asyncio.create_task(alone(client))
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
