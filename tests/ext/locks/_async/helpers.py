"""What the tests of both worlds share."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from carmine._bridge import aio

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.lab.servers import RedisServer

KEY = "carmine:lock:"


async def until(condition: Callable[[], object], what: str, patience: float = 10.0) -> None:
    """Wait until a condition holds that nobody announces."""
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come true within {patience} s"
        await aio.sleep(0.002)


def token_in(server: RedisServer, name: str) -> str | None:
    """Return what the lock's key holds."""
    held = server.call("GET", KEY + name)
    return held.decode() if isinstance(held, bytes) else None


def left_of(server: RedisServer, name: str) -> int:
    """Return how many milliseconds the server gives the lock."""
    left = server.call("PTTL", KEY + name)
    assert isinstance(left, int)
    return left


def listeners(server: RedisServer) -> int:
    """Return how many clients listen to some channel."""
    return sum(client["sub"] != "0" for client in server.clients())
