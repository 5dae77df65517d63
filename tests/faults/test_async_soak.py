"""Long runs in both worlds: objects, traced memory and resident memory stay flat over 1,000,000 commands.

Tests run a share of them (`scaled`); `make soak` runs them all, four times. After a first part, in which caches fill,
nothing may grow with the number of commands.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import tracemalloc
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import pytest

import carmine
from carmine.client._async.client import AsyncClient
from carmine.errors import WrongTypeError
from tests.integration.loops import LOOPS, run_on
from tests.lab.matrix import scaled

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.lab.servers import RedisServer

pytest_plugins = ["tests.faults.invariants"]
pytestmark = [
    pytest.mark.faults,
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="resident memory is read from /proc"),
]

PARTS: Final = 5
MORE: Final = 200
"""Objects of one type that may come and go with caches, timers and the collector's own moment."""


class Held:
    """What the process holds at one moment."""

    def __init__(self) -> None:
        gc.collect()
        self.objects = Counter(type(one).__name__ for one in gc.get_objects())
        self.traced = tracemalloc.get_traced_memory()[0]
        with open("/proc/self/statm") as file:
            self.resident = int(file.read().split()[1]) * 4096

    def more_than(self, before: Held) -> list[str]:
        """Name what has grown."""
        grown = [
            f"{count - before.objects[kind]} {kind}"
            for kind, count in self.objects.items()
            if count > before.objects[kind] + MORE
        ]
        if self.traced > before.traced + (128 << 10):
            grown.append(f"{self.traced - before.traced} bytes traced")
        if self.resident > before.resident + (4 << 20):
            grown.append(f"{self.resident - before.resident} bytes resident")
        return grown


def judge(held: list[Held]) -> None:
    """Compare the end of every later part with the end of the first."""
    grown = held[-1].more_than(held[0])
    assert not grown, "; ".join(grown)


@pytest.mark.parametrize("kind", LOOPS)
def test_the_async_client_stays_flat(kind: str, server: RedisServer, report: Callable[..., None]) -> None:
    """Single commands at once, pipelines, transactions, errors, cancellations and blocking commands."""
    rounds = max(2, scaled(1_000_000) // 100 // PARTS)

    async def gone(client: AsyncClient[str]) -> None:
        task = asyncio.ensure_future(client.get("key"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def wrong(client: AsyncClient[str]) -> None:
        with pytest.raises(WrongTypeError):
            await client.lpush("key", "x")

    async def batch(client: AsyncClient[str]) -> None:
        async with client.pipeline() as pipeline:
            for _ in range(20):
                pipeline.get("key")
        assert pipeline.replies == ["value"] * 20

    async def transaction(client: AsyncClient[str]) -> None:
        async with client.transaction() as tx:
            reply = tx.get("key")
        assert reply.value == "value"

    async def plain(client: AsyncClient[str]) -> None:
        assert await client.get("key") == "value"

    async def main() -> int:
        done = 0
        held: list[Held] = []
        async with AsyncClient(server.url, pool_size=2) as client:
            await client.set("key", "value")
            tracemalloc.start(1)
            try:
                for _ in range(PARTS):
                    for _ in range(rounds):
                        await asyncio.gather(
                            *(plain(client) for _ in range(70)),
                            *(act(client) for act in (gone, wrong, batch, transaction) for _ in range(2)),
                            client.rpush("queue", "x"),
                            client.blpop("queue", timeout=5),
                        )
                        done += 70 + 2 + 2 + 40 + 6 + 2
                    held.append(Held())
            finally:
                tracemalloc.stop()
            stats = client.pool.stats()
            assert (stats.in_use, stats.waiting, stats.opened) == (0, 0, 2), stats
        judge(held)
        return done

    report("test_the_async_client_stays_flat", commands=run_on(kind, main()))


def test_the_blocking_client_stays_flat(server: RedisServer, report: Callable[..., None]) -> None:
    """The same of the blocking client, one after the other."""
    rounds = max(2, scaled(1_000_000) // 94 // PARTS + 1)  # 94 commands in each
    done = 0
    held: list[Held] = []

    def once(client: carmine.Client[Any]) -> int:
        for _ in range(70):
            assert client.get("key") == "value"
        with pytest.raises(WrongTypeError):
            client.lpush("key", "x")
        with client.pipeline() as pipeline:
            for _ in range(20):
                pipeline.get("key")
        assert pipeline.replies == ["value"] * 20
        with client.transaction() as tx:
            reply = tx.get("key")
        assert reply.value == "value"
        return 70 + 1 + 20 + 3

    with carmine.Client(server.url, pool_size=2) as client:
        client.set("key", "value")
        tracemalloc.start(1)
        try:
            for _ in range(PARTS):
                for _ in range(rounds):
                    done += once(client)
                held.append(Held())
        finally:
            tracemalloc.stop()
        assert client.pool.stats().opened == 1
    judge(held)
    report("test_the_blocking_client_stays_flat", commands=done)
