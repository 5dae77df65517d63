"""The asyncio world's half of the bridge; threads.py is the other."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

__all__ = ["Job", "sleep", "spawn"]

R = TypeVar("R")

sleep = asyncio.sleep


class Job(Generic[R]):
    """Work that goes on beside the caller's own."""

    def __init__(self, work: Coroutine[Any, Any, R]) -> None:
        self._task = asyncio.create_task(work)

    @property
    def is_done(self) -> bool:
        """Whether it has ended."""
        return self._task.done()

    async def join(self, timeout: float | None = None) -> R:  # noqa: ASYNC109 - both worlds have it
        """Wait until it has ended; return what it returned, or raise what it raised.

        Raises:
            TimeoutError: It has not ended within `timeout` seconds; it goes on.
        """
        async with asyncio.timeout(timeout):
            return await asyncio.shield(self._task)


def spawn(function: Callable[..., Coroutine[Any, Any, R]], *args: Any) -> Job[R]:
    """Run a function beside the caller; keep the job and join it."""
    return Job(function(*args))
