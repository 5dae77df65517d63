"""The blocking world's half; aio.py is the other."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING, Any, Final

from carmine._bridge.threads import Mutex, Signal, call, here, sleep, spawn

if TYPE_CHECKING:
    from collections.abc import Callable

    from carmine._bridge.threads import Job

__all__ = ["Alarm", "Mutex", "Signal", "call", "here", "sleep", "spawn", "spawn_apart"]

_LINGER: Final = 0.5
"""Seconds that a thread stays with nothing to do, so that short leases that follow each other share one; and that it
sleeps at most, so that nobody has to wake it when nothing is left to do."""


def spawn_apart(function: Callable[..., None], *args: Any) -> Job[None]:
    """Run a function beside the caller, and without his deadline: a new thread has none."""
    return spawn(function, *args)


class Alarm:
    """Calls a function when it is time, one call at a time; a daemon thread that sleeps in between.

    Args:
        work: Called when it is time; returns when to call it next (time.monotonic()), inf for not before the next
            `call_at`.
        failed: Called with what ended the thread from outside; nothing is called afterwards until the next `call_at`.
    """

    def __init__(self, work: Callable[[], float], failed: Callable[[BaseException], None]) -> None:
        self._work = work
        self._failed = failed
        self._due = float("inf")
        self._wakes_at = float("inf")
        self._thread: threading.Thread | None = None
        self._guard = threading.RLock()  # nothing waits inside; a finalizer may come in as well
        # A plain lock that is released to wake the thread: an exception thrown into a thread that waits on a condition
        # can leave the condition locked for ever.
        self._bell = threading.Lock()
        self._bell.acquire()

    def call_at(self, due: float) -> None:
        """Call it then, or earlier."""
        with self._guard:
            self._due = min(self._due, due)
            if self._thread is None or not self._thread.is_alive():
                if self._due < float("inf"):
                    self._thread = threading.Thread(target=self._run, name="carmine-locks", daemon=True)
                    self._thread.start()
            elif self._due < self._wakes_at:
                with contextlib.suppress(RuntimeError):  # somebody has rung already
                    self._bell.release()

    def call_off(self) -> None:
        """Call it no more until the next `call_at`."""
        with self._guard:
            self._due = float("inf")

    def _run(self) -> None:
        try:
            while self._wait():
                self.call_at(self._work())
        except BaseException as problem:
            with self._guard:
                self._due, self._thread = float("inf"), None
            self._failed(problem)
            raise

    def _wait(self) -> bool:
        """Wait until it is time; False when there was nothing to do for too long."""
        was_idle = False
        while True:
            with self._guard:
                now = time.monotonic()
                if now >= self._due:
                    self._due = float("inf")
                    self._wakes_at = 0.0  # at work, it looks by itself
                    return True
                is_idle = self._due == float("inf")
                if is_idle and was_idle:
                    self._thread = None
                    return False
                was_idle = is_idle
                self._wakes_at = min(self._due, now + _LINGER)
            self._bell.acquire(timeout=self._wakes_at - now)
