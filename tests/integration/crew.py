"""Threads of a test: started together, joined within a deadline, their errors raised in the test.

A thread that does not end fails the test with its stack instead of hanging the run.
"""

from __future__ import annotations

import sys
import threading
import time
import traceback
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

__all__ = ["Crew"]


class Crew:
    """Threads that run functions; leaving the block joins them and raises the first error.

    Attributes:
        results: What the functions returned, by the order of their start; None where one raised or still runs.
        errors: What they raised, by the same order.
    """

    def __init__(self, within: float = 20.0) -> None:
        self.results: list[Any] = []
        self.errors: list[BaseException | None] = []
        self._threads: list[threading.Thread] = []
        self._within = within

    def start(self, function: Callable[..., object], *args: Any, name: str | None = None) -> threading.Thread:
        """Start a thread that calls a function."""
        index = len(self._threads)
        self.results.append(None)
        self.errors.append(None)

        def run() -> None:
            try:
                self.results[index] = function(*args)
            except BaseException as error:  # noqa: BLE001 - carried to the test's thread and raised there
                self.errors[index] = error

        thread = threading.Thread(target=run, name=name or f"crew-{index}", daemon=True)
        self._threads.append(thread)
        thread.start()
        return thread

    def join(self) -> None:
        """Wait until every thread has ended; fail with the stacks of those that do not."""
        deadline = time.monotonic() + self._within
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        stuck = [thread for thread in self._threads if thread.is_alive()]
        if stuck:
            frames = sys._current_frames()
            stacks = ["".join(traceback.format_stack(frames[t.ident])) for t in stuck if t.ident in frames]
            raise AssertionError(f"{len(stuck)} threads did not end within {self._within} s:\n" + "\n".join(stacks[:3]))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if kind is None:
            self.join()
            for problem in self.errors:
                if problem is not None:
                    raise problem
