"""What the tests of Tundra's stores share."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from carmine._bridge import aio

if TYPE_CHECKING:
    from collections.abc import Callable

    from carmine.client._async.client import AsyncClient
    from carmine.ext.tundra._async.store import AsyncTundraStore


async def archive(store: AsyncTundraStore, *keys: str | bytes, **options: Any) -> None:
    """Note keys as changed, and let a worker archive all that waits."""
    if keys:
        await store.dirty(*keys)
    await store.worker(**options).run_until_empty(20.0, backoffs=True)


async def ends(client: AsyncClient[Any], key: str) -> int:
    """Return the ms at which a key expires, -1 for never, -2 where there is no such key; 6.2 has no such command."""
    async with client.transaction() as transaction:  # the two at one moment, however long the way takes
        left, now = transaction.pttl(key), transaction.time()
    if left.value < 0:
        return left.value
    seconds, microseconds = now.value
    return seconds * 1000 + microseconds // 1000 + left.value


def near(a: int, b: int, slack: int = 25) -> bool:
    """Tell whether two instants are the same, but for the time that asking takes."""
    return abs(a - b) <= slack


async def until(condition: Callable[[], object], what: str, within: float = 10.0) -> None:
    """Wait until something is so; the event loop goes on meanwhile."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come true"
        await aio.sleep(0.002)


async def until_gone(client: AsyncClient[Any], key: str) -> None:
    """Wait until a key has expired."""
    deadline = time.monotonic() + 10.0
    while await client.exists(key):
        assert time.monotonic() < deadline, f"{key} does not expire"
        await aio.sleep(0.002)
