"""What tests of both worlds share."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from carmine._bridge import aio

if TYPE_CHECKING:
    from collections.abc import Callable

    from carmine.client._async.client import AsyncClient


async def until(condition: Callable[[], bool], what: str, patience: float = 10.0) -> None:
    """Wait until a condition holds that nobody announces."""
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come true within {patience} s"
        await aio.sleep(0.002)


async def alone(client: AsyncClient[Any], *words: Any) -> Any:
    """Run one command on a connection that is the caller's for its time, in both worlds."""
    async with client.connection() as connection:
        return await connection.execute(*words)
