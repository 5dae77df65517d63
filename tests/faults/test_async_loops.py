"""Loops and ends of asyncio (FAULTS A07, C24): a client used where it does not belong, and programs that stop at once.

A clear error, or a client that starts anew; never a hang, and no noise at the end.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from carmine.client._async.client import AsyncClient
from carmine.errors import UsageError
from tests.integration.async_shapes import SHAPES, one, until
from tests.integration.loops import LOOPS, run_on

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.lab.proxy import FaultProxy
    from tests.lab.servers import RedisServer

pytestmark = [pytest.mark.faults, pytest.mark.parametrize("kind", LOOPS)]

ROOT: Final = Path(__file__).resolve().parents[2]


def in_a_thread(function: Callable[[], None]) -> list[BaseException]:
    """Run a function in a thread of its own, within a deadline; return what it raised."""
    caught: list[BaseException] = []

    def run() -> None:
        try:
            function()
        except BaseException as error:  # noqa: BLE001 - it is carried to the test
            caught.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(10)
    assert not thread.is_alive(), "it hangs"
    return caught


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("state", ["open", "opening", "with calls under way"])
def test_a07_another_loop_in_a_thread(
    kind: str, server: RedisServer, proxy: FaultProxy, shape: Any, state: str
) -> None:
    """FAULTS A07: refused at once, and whoever uses it where it belongs is not disturbed."""

    async def main() -> None:
        async with AsyncClient(proxy.url(server.url), pool_size=4) as client:
            if state != "opening":
                await one(client)
            proxy.mark()
            if state != "open":
                proxy.hold("s2c")
            tasks = [asyncio.create_task(one(client)) for _ in range(3)]
            await until(lambda: proxy.passed["c2s"] > 0, "the first bytes")
            caught = await asyncio.to_thread(in_a_thread, lambda: run_on("asyncio", shape(client)))
            assert [type(error) for error in caught] == [UsageError]
            assert "belongs to another event loop; make one client for each loop" in str(caught[0])
            proxy.release()
            async with asyncio.timeout(5):
                await asyncio.gather(*tasks, shape(client))

    run_on(kind, main())


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # asyncio's own, of a transport its loop did not close
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("state", ["unused", "used", "left with calls under way", "left while it opens"])
def test_a07_a_loop_that_has_ended(kind: str, server: RedisServer, proxy: FaultProxy, shape: Any, state: str) -> None:
    """FAULTS A07: after asyncio.run has ended a client that it used is of no more use, and says so."""
    made: list[AsyncClient[str]] = []

    async def first() -> None:
        client: AsyncClient[str] = AsyncClient(proxy.url(server.url), pool_size=2)
        made.append(client)
        if state == "unused":
            return
        if state != "left while it opens":
            await shape(client)
        if state != "used":
            proxy.hold("s2c")
            proxy.mark()
            made_tasks = [asyncio.ensure_future(shape(client)) for _ in range(3)]
            await until(lambda: proxy.passed["c2s"] > 0, "the first bytes")
            del made_tasks

    run_on(kind, first())
    proxy.release()

    async def second() -> None:
        async with asyncio.timeout(5):
            await shape(made[0])
            await made[0].aclose()

    if state == "unused":
        run_on(kind, second())
        return
    with pytest.raises(UsageError, match="belongs to an event loop that is closed; make a new client"):
        run_on(kind, second())
    run_on(kind, made[0].aclose())
    assert made[0].pool.stats().open == made[0].pool.stats().shared == 0
    made.clear()
    gc.collect()  # the transport is in a cycle: it is to warn here, and not in the test after this


SCRIPTS: Final = {
    "with calls under way": "tasks = [asyncio.ensure_future(client.echo('x')) for _ in range(50)]",
    "while it opens": "tasks = [asyncio.ensure_future(client.echo('x'))]\n    await asyncio.sleep(0)",
    "in a pipeline": (
        "async def work():\n        async with client.pipeline() as pipe:\n            pipe.echo('x')\n"
        "    task = asyncio.ensure_future(work())\n    await asyncio.sleep(0)\n    await asyncio.sleep(0)"
    ),
    "in a blocking command": (
        "task = asyncio.ensure_future(client.blpop('none', timeout=0))\n    await client.echo('x')"
    ),
    "in a storm": (
        "tasks = [asyncio.ensure_future(call) for _ in range(20) for call in (client.echo('x'), "
        "client.blpop('none', timeout=0.01))]\n    await asyncio.sleep(0)\n    for task in tasks[::2]: task.cancel()"
    ),
    "by an exception": (
        "await client.echo('x')\n    tasks = [asyncio.ensure_future(client.echo('x'))]\n    raise SystemExit(0)"
    ),
}
"""How a program stops -> what its main coroutine does before it returns without a word to the client."""


def run_script(kind: str, body: str, **more: Any) -> subprocess.Popen[str]:
    """Start a Python of its own with a client of its own on a loop of this kind."""
    loop = "asyncio.new_event_loop" if kind == "asyncio" else "__import__('uvloop').new_event_loop"
    script = (
        "import asyncio, sys\nfrom carmine import AsyncClient\n"
        f"async def main():\n    client = AsyncClient(sys.argv[1], pool_size=4)\n    {body}\n"
        f"with asyncio.Runner(loop_factory={loop}) as runner:\n    runner.run(main())\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", script, more["url"]],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
    )  # fmt: skip


@pytest.mark.parametrize("name", SCRIPTS)
def test_c24_a_program_that_stops_at_once(kind: str, url: str, name: str) -> None:
    """FAULTS C24: exit code 0, in time, and nothing is said."""
    process = run_script(kind, SCRIPTS[name], url=url)
    out, said = process.communicate(timeout=30)
    assert (process.returncode, out, said) == (0, "", "")


def test_c24_interrupted_from_the_keyboard(kind: str, server: RedisServer) -> None:
    """FAULTS G02: KeyboardInterrupt inside the loop ends the program as it does without us."""
    body = (
        "await client.echo('x')\n    print('ready', flush=True)\n"
        "    waits = [client.blpop('none', timeout=0) for _ in range(4)]\n"
        "    await asyncio.gather(*waits, *(work(client) for _ in range(9)))\n"
        "async def work(client):\n    while True:\n        assert await client.echo('token') == 'token'\n"
    )
    process = run_script(kind, body, url=server.url)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    os.kill(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == -signal.SIGINT
    assert said.rstrip().endswith("KeyboardInterrupt")
    assert "never retrieved" not in said
    assert "ignored" not in said
    server.wait_clients(0)


def test_a07_a_client_for_each_loop_works(kind: str, url: str) -> None:
    """Loops one after the other, and side by side in threads: each with a client of its own."""

    async def use() -> None:
        async with AsyncClient(url) as client:
            await asyncio.gather(*(one(client) for _ in range(100)))

    for _ in range(3):
        run_on(kind, use())
    caught: list[list[BaseException]] = []
    threads = [
        threading.Thread(target=lambda: caught.append(in_a_thread(lambda: run_on(kind, use())))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(15)
    assert caught == [[]] * 4
