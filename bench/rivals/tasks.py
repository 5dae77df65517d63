"""How every asyncio rival is timed: one loop that lives as long as the worker, and N calls at once in it.

The gathering of N coroutines is part of the work and the same for all, R included.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from bench.rivals.work import Work

Call = Callable[[], Coroutine[Any, Any, object]]


class Loop:
    """An event loop that runs between blocks only as long as a block lasts."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self._loop)

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run one coroutine to its end."""
        return self._loop.run_until_complete(work)

    @staticmethod
    async def gather(calls: Iterable[Coroutine[Any, Any, object]]) -> list[object]:
        """Have all of these under way at once, and wait for the last."""
        return await asyncio.gather(*calls)

    def one_by_one(self, call: Call) -> Work:
        """Return the work that awaits one call after the other."""

        async def block(count: int) -> None:
            for _ in range(count):
                await call()

        return Work(lambda count: self.run(block(count)), lambda: self.run(call()))

    def at_once(self, call: Call, width: int) -> Work:
        """Return the work that has ``width`` calls under way, waits for all, and begins again."""

        async def together() -> list[object]:
            return await asyncio.gather(*[call() for _ in range(width)])

        async def block(count: int) -> None:
            for _ in range(count):
                await together()

        return Work(lambda count: self.run(block(count)), lambda: self.run(together()))
