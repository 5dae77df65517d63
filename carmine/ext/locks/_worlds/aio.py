"""The asyncio world's half; threads.py is the other."""

from __future__ import annotations

import asyncio
import contextvars
import time
from typing import TYPE_CHECKING, Any

from carmine._bridge.aio import Mutex, Signal, call, here, sleep, spawn

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from carmine._bridge.aio import Job

__all__ = ["Alarm", "Mutex", "Signal", "call", "here", "sleep", "spawn", "spawn_apart"]


def spawn_apart(function: Callable[..., Coroutine[Any, Any, None]], *args: Any) -> Job[None]:
    """Run a function beside the caller, and without his deadline."""
    return contextvars.Context().run(spawn, function, *args)


class Alarm:
    """Calls a function when it is time, one call at a time; a timer while there is nothing to do, then a task.

    Args:
        work: Called when it is time; returns when to call it next (time.monotonic()), inf for not before the next
            `call_at`.
        failed: Called with what ended the work from outside, such as a cancellation; nothing is called afterwards
            until the next `call_at`.
    """

    def __init__(self, work: Callable[[], Awaitable[float]], failed: Callable[[BaseException], None]) -> None:
        self._work = work
        self._failed = failed
        self._due = float("inf")
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None

    def call_at(self, due: float) -> None:
        """Call it then, or earlier."""
        if due >= self._due:
            return
        self._due = due
        if self._timer is not None:
            self._timer.cancel()
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(max(0.0, due - time.monotonic()), self._ring)

    def call_off(self) -> None:
        """Call it no more until the next `call_at`."""
        if self._timer is not None:
            self._timer.cancel()
            self._due, self._timer = float("inf"), None

    def _ring(self) -> None:
        self._due, self._timer = float("inf"), None
        if self._task is None:
            # without the deadline of whoever asked
            self._task = asyncio.get_running_loop().create_task(self._run(), context=contextvars.Context())
            self._task.add_done_callback(self._end)
        else:
            self._due = 0.0  # it is at work, and looks when it is done

    async def _run(self) -> None:
        again = True
        while again:
            due = await self._work()
            again = self._due == 0.0
            if again:
                self._due = float("inf")
            self.call_at(due)

    def _end(self, task: asyncio.Task[None]) -> None:
        """Take note of the end of the task, which may have been cancelled before it began."""
        self._task = None
        if task.cancelled():
            problem: BaseException | None = asyncio.CancelledError()
        elif problem := task.exception():
            told = {"message": "keeping leases has failed", "exception": problem, "task": task}
            task.get_loop().call_exception_handler(told)
        if problem is not None:
            self.call_off()
            self._due = float("inf")
            self._failed(problem)
