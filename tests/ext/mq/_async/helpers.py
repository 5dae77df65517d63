"""What the queue's tests share."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from carmine._bridge import aio

if TYPE_CHECKING:
    from collections.abc import Callable

    from carmine.ext.mq._async.message import AsyncMessage
    from carmine.ext.mq._async.queue import AsyncQueue
    from tests.lab.servers import RedisServer


def later(queue: AsyncQueue, seconds: float) -> None:
    """Let time go by, for the scripts that this queue runs."""
    assert isinstance(queue._now, int)
    queue._now += int(seconds * 1000)


async def claim(queue: AsyncQueue, count: int = 1, **options: Any) -> list[AsyncMessage]:
    """Poll until there are messages or the answer is to sleep; "skip" means: poll again."""
    for _ in range(100):
        found = await queue.poll(count, **options)
        if found.kind != "skip":
            return found.messages
    raise AssertionError("a hundred polls in a row said: poll again")


async def claim_one(queue: AsyncQueue, **options: Any) -> AsyncMessage:
    """Claim exactly one message, which must be there."""
    [message] = await claim(queue, 1, **options)
    return message


async def drain(queue: AsyncQueue, count: int = 8) -> list[tuple[str, Any]]:
    """Handle everything that can be handled now; return mids and contents in their order."""
    handled = []
    while messages := await claim(queue, count):
        for message in messages:
            handled.append((message.mid, message.content))
            assert await queue.finish(message)
    return handled


async def until_asleep(server: RedisServer, count: int) -> None:
    """Wait until exactly so many clients are blocked on the server."""
    deadline = time.monotonic() + 10.0
    while server.info("clients")["blocked_clients"] != str(count):
        assert time.monotonic() < deadline, f"{count} blocked clients did not come true"
        await aio.sleep(0.002)


async def until(condition: Callable[[], object], what: str, within: float = 10.0) -> None:
    """Wait until something is so; the event loop goes on meanwhile."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come true"
        await aio.sleep(0.002)


async def until_status(queue: AsyncQueue, mid: str, *statuses: str | None) -> None:
    """Wait until a message has one of these statuses."""
    deadline = time.monotonic() + 10.0
    while (status := await queue.message_status(mid)) not in statuses:
        assert time.monotonic() < deadline, f"{mid} is {status}, not {statuses}"
        await aio.sleep(0.002)


class Seen:
    """A handler that writes down what it is given, and may be kept busy."""

    def __init__(self) -> None:
        self.messages: list[AsyncMessage] = []
        self.ended: list[str] = []
        self.go = aio.Signal()
        self.busy = 0
        self.most = 0

    @property
    def mids(self) -> list[str]:
        return [message.mid for message in self.messages]

    async def quick(self, message: AsyncMessage) -> None:
        self.messages.append(message)

    async def slow(self, message: AsyncMessage) -> None:
        """Go on until `go` is given, where the content says so."""
        self.messages.append(message)
        self.busy += 1
        self.most = max(self.most, self.busy)
        try:
            if message.content == "slow":
                assert await self.go.wait(20.0), "nobody let the handler go on"
        finally:
            self.busy -= 1
        self.ended.append(message.mid)

    async def watchful(self, message: AsyncMessage) -> None:
        """Go on until the message is this handler's no more."""
        self.messages.append(message)
        try:
            while not message.cancelled:
                await aio.sleep(0.002)
        finally:
            self.ended.append(message.mid)
