"""The last chapters of the demonstration: the asyncio client, on the server of the chapters before."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import carmine
from carmine.cli.stage import expect
from carmine.ext.mq import AsyncMessage, AsyncQueue, AsyncWorker

if TYPE_CHECKING:
    from carmine.embedded import EmbeddedRedis

__all__ = ["TOUR_ASYNC"]


async def until_blocked(client: carmine.AsyncClient[str]) -> None:
    """Wait until the server has a client that waits; it cannot be asked to tell when."""
    while (await client.info("clients"))["blocked_clients"] == 0:  # noqa: ASYNC110 - the event is on the server
        await asyncio.sleep(0.001)


async def together(server: EmbeddedRedis) -> None:
    """The same in asyncio.

    The same methods, awaited. All tasks share one connection, and what they ask in one round of the loop leaves in one
    write. asyncio is imported when the first Async name is touched, not before.
    """
    aclient = carmine.AsyncClient(server.url)
    assert await aclient.set("user:1", "Ada") is True
    assert set(await asyncio.gather(*(aclient.get("user:1") for _ in range(5_000)))) == {"Ada"}
    assert aclient.pool.stats().shared == 1
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


async def queued(aclient: carmine.AsyncClient[str]) -> None:
    """A queue whose handlers are tasks."""
    seen: set[int] = set()

    async def look(message: AsyncMessage) -> None:
        await aclient.set("seen:last", message.content)
        seen.add(message.content)

    photos = AsyncQueue(aclient, "photos")
    await photos.enqueue_many(range(1_000))
    assert await AsyncWorker(aclient, "photos", look, concurrency=50).run_until_empty() == 1_000
    assert (len(seen), max(seen)) == (1_000, 999)


async def subscribed(aclient: carmine.AsyncClient[str], server: EmbeddedRedis) -> None:
    """Pub/sub and deadlines in asyncio."""
    async with aclient.pubsub() as asubscriber:
        await asubscriber.subscribe("news")
        server.kill()
        server.start()
        with carmine.deadline(10):
            event = await anext(asubscriber)
            await aclient.publish("news", "after")
            news = await anext(asubscriber)
    assert (type(event).__name__, news) == ("Reconnected", ("message", None, "news", "after"))
    await aclient.aclose()


TOUR_ASYNC: Final = (together, cancelled, queued, subscribed)
