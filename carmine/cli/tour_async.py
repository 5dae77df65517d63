"""The last chapters of the demonstration: the asyncio client, on the server of the chapters before."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import carmine
from carmine.cli.stage import expect

if TYPE_CHECKING:
    from carmine.embedded import EmbeddedRedis

__all__ = ["TOUR_ASYNC"]


async def until_blocked(client: carmine.AsyncClient[str]) -> None:
    """Wait until the server has a client that waits; it cannot be asked to tell when."""
    while (await client.info("clients"))["blocked_clients"] == 0:  # noqa: ASYNC110 - the event is on the server
        await asyncio.sleep(0.001)


async def together(server: EmbeddedRedis) -> None:
    """The same in asyncio.

    The same methods, awaited. asyncio is imported when the first Async name is touched, not before.
    """
    aclient = carmine.AsyncClient(server.url)
    assert await aclient.get("user:1") == "Ada"
    assert sum(await asyncio.gather(*(aclient.incr("tasks") for _ in range(100)))) == 5050
    async with aclient.pipeline() as apipe:
        last = [apipe.incr("tasks") for _ in range(1_000)][-1]
    assert last.value == 1100
    with expect(carmine.WrongTypeError):
        await aclient.lpush("user:1", "x")


async def cancelled(aclient: carmine.AsyncClient[str]) -> None:
    """A cancelled call never leaves its reply to another."""
    waiting = asyncio.ensure_future(aclient.blpop("nothing", timeout=10))
    await until_blocked(aclient)
    assert waiting.cancel() is True
    assert await aclient.get("user:1") == "Ada"
    await aclient.aclose()


TOUR_ASYNC: Final = (together, cancelled)
