"""The asyncio world's half: a handler runs in a task; threads.py is the other."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from carmine._bridge.aio import CANCELLED, Job, Signal, call, spawn
from carmine.client._async.client import AsyncClient
from carmine.client.async_engine import make_pool
from carmine.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from carmine.transport.options import Options

__all__ = ["CANCELLED", "Hands", "Home", "Job", "Signal", "call", "checked_handler", "client_of", "spawn"]

R = TypeVar("R")


def checked_handler(handler: Any) -> Any:
    """Return a handler, or refuse what cannot be one; a plain function is run in the event loop itself."""
    if not callable(handler):
        raise UsageError(f"handler must be a function, not {type(handler).__name__}")
    return handler


def client_of(options: Options) -> tuple[AsyncClient[Any], Callable[[], Coroutine[Any, Any, None]]]:
    """Return a client with a pool of its own, and what closes that."""
    pool = make_pool(options)
    return AsyncClient[Any](pool=pool), pool.aclose


class Home:
    """Where a crew lives: the running event loop of this process.

    Raises:
        UsageError: There is none.
    """

    def __init__(self) -> None:
        self._pid = os.getpid()
        try:
            self._loop = asyncio.get_running_loop()
        except RuntimeError:
            raise UsageError("an AsyncWorker starts in a running event loop: call start() in a coroutine") from None

    @property
    def is_gone(self) -> bool:
        """Whether nothing lives there any more: this is a forked child, or the loop was closed."""
        return self._pid != os.getpid() or self._loop.is_closed()


class Hands(Generic[R]):
    """Tasks that run handlers, one for each run.

    Args:
        work: Called with a run; it raises nothing, also where it is cancelled, unless it was before it began.
    """

    def __init__(self, work: Callable[[R], Coroutine[Any, Any, None]]) -> None:
        self._work = work
        self._tasks: dict[R, asyncio.Task[None]] = {}

    def give(self, run: R) -> None:
        """Have a run done."""
        task = self._tasks[run] = asyncio.get_running_loop().create_task(self._take(run))
        task.add_done_callback(lambda _: self._tasks.pop(run, None))

    def cancel(self, run: R) -> None:
        """Cancel it, unless it has ended."""
        task = self._tasks.get(run)
        if task is not None:
            # one that has not begun would never come to its end otherwise
            task.get_loop().call_soon(task.cancel)

    def is_here(self) -> bool:
        """Tell whether a handler is the caller."""
        return asyncio.current_task() in self._tasks.values()

    def close(self) -> None:
        """Nothing is left to close: each task ends with its run."""

    async def _take(self, run: R) -> None:
        await self._work(run)
