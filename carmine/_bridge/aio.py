"""The asyncio world's half of the bridge; threads.py is the other."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

__all__ = ["CANCELLED", "Job", "Mutex", "Signal", "Turn", "call", "here", "sleep", "spawn"]

R = TypeVar("R")

sleep = asyncio.sleep
Mutex = asyncio.Lock

CANCELLED = (asyncio.CancelledError,)
"""What may be raised at an await, and at no other line."""


class Signal:
    """Given once, heard by all who wait, until it is cleared."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self.give = self._event.set
        self.clear = self._event.clear

    async def wait(self, timeout: float) -> bool:  # noqa: ASYNC109 - both worlds have it
        """Wait until it is given; False when it was not within `timeout` seconds."""
        if timeout <= 0:
            await asyncio.sleep(0)
            return self._event.is_set()
        try:
            async with asyncio.timeout(None if timeout == float("inf") else timeout):
                return await self._event.wait()
        except TimeoutError:
            return False


class Turn:
    """Something for one at a time, of which nobody waits for it."""

    def __init__(self) -> None:
        self._is_taken = False

    def take(self) -> bool:
        """Take it, if it is free."""
        if self._is_taken:
            return False
        self._is_taken = True
        return True

    def leave(self) -> None:
        """Let it go."""
        self._is_taken = False


class Job(Generic[R]):
    """Work that goes on beside the caller's own."""

    def __init__(self, work: Coroutine[Any, Any, R]) -> None:
        self._task = asyncio.create_task(work)

    @property
    def is_done(self) -> bool:
        """Whether it has ended."""
        return self._task.done()

    @property
    def is_mine(self) -> bool:
        """Whether the caller is this work itself."""
        return asyncio.current_task() is self._task

    async def wait(self) -> bool:
        """Wait until it has ended; False where it was cancelled, and so has nothing to return or raise."""
        await asyncio.wait([self._task])
        return not self._task.cancelled()

    async def join(self, timeout: float | None = None) -> R:  # noqa: ASYNC109 - both worlds have it
        """Wait until it has ended; return what it returned, or raise what it raised.

        Raises:
            TimeoutError: It has not ended within `timeout` seconds; it goes on.
        """
        async with asyncio.timeout(timeout):
            return await asyncio.shield(self._task)


def here() -> object:
    """Return who runs this: the task."""
    return asyncio.current_task()


def spawn(function: Callable[..., Coroutine[Any, Any, R]], *args: Any) -> Job[R]:
    """Run a function beside the caller; keep the job and join it."""
    return Job(function(*args))


async def call(function: Callable[..., object], *args: Any) -> object:
    """Call a function of the user's, which may be a coroutine function."""
    result = function(*args)
    return await result if isinstance(result, Awaitable) else result
