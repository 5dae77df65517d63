"""The blocking world's half of the bridge; aio.py is the other."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["CANCELLED", "Job", "Mutex", "Signal", "Turn", "call", "here", "sleep", "spawn"]

R = TypeVar("R")

sleep = time.sleep
Mutex = threading.Lock

CANCELLED: tuple[type[BaseException], ...] = ()
"""Nothing: what a signal handler raises comes at any line."""


class Signal:
    """Given once, heard by all who wait, until it is cleared."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self.give = self._event.set
        self.clear = self._event.clear

    def wait(self, timeout: float) -> bool:
        """Wait until it is given; False when it was not within `timeout` seconds."""
        return self._event.wait(None if timeout == float("inf") else max(0.0, timeout))


class Turn:
    """Something for one at a time, of which nobody waits for it.

    A thread that was struck by an exception before it could let go still has it, and may take it again.
    """

    def __init__(self) -> None:
        self._lock: Any = threading.RLock()

    def take(self) -> bool:
        """Take it, if it is free."""
        taken: bool = self._lock.acquire(blocking=False)
        return taken

    def leave(self) -> None:
        """Let it go."""
        while self._lock._is_owned():
            self._lock.release()


class Job(Generic[R]):
    """Work that goes on beside the caller's own."""

    def __init__(self, function: Callable[..., R], args: tuple[Any, ...]) -> None:
        self._returned: list[R] = []
        self._raised: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(function, args), daemon=True)
        self._thread.start()

    def _run(self, function: Callable[..., R], args: tuple[Any, ...]) -> None:
        try:
            self._returned.append(function(*args))
        except BaseException as error:  # noqa: BLE001 - join() raises it
            self._raised = error

    @property
    def is_done(self) -> bool:
        """Whether it has ended."""
        return not self._thread.is_alive()

    @property
    def is_mine(self) -> bool:
        """Whether the caller is this work itself."""
        return threading.current_thread() is self._thread

    def wait(self) -> bool:
        """Wait until it has ended; nobody can cancel it."""
        self._thread.join()
        return True

    def join(self, timeout: float | None = None) -> R:
        """Wait until it has ended; return what it returned, or raise what it raised.

        Raises:
            TimeoutError: It has not ended within `timeout` seconds; it goes on.
        """
        self._thread.join(timeout)
        if self._thread.is_alive():
            raise TimeoutError
        if self._raised is not None:
            raise self._raised
        return self._returned[0]


def here() -> object:
    """Return who runs this: the thread."""
    return threading.get_ident()


def spawn(function: Callable[..., R], *args: Any) -> Job[R]:
    """Run a function beside the caller; keep the job and join it."""
    return Job(function, args)


def call(function: Callable[..., object], *args: Any) -> object:
    """Call a function of the user's."""
    return function(*args)
