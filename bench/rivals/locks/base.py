"""What a lock is asked for: turns that are timed, holding, letting go, taking, and waiting in a crowd."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable

from bench.rivals.work import Work

NAME = "bench"

#: Seconds that a lock lasts: nothing measured here comes near.
TTL = 60

Release = Callable[[], object]


class LockRival(ABC):
    """One client and one lock's name; the methods without an underscore may be asked for by name."""

    def __init__(self) -> None:
        self._release: Release | None = None
        self._waiting: list[None] = []

    @abstractmethod
    def versions(self) -> dict[str, str]:
        """Return the packages' versions."""

    @abstractmethod
    def acquire(self) -> Release:
        """Wait for the lock, and return what gives it back."""

    @abstractmethod
    def exists(self) -> int:
        """Return how many keys say that somebody holds the lock."""

    def turn(self) -> Work:
        """Acquire and release while nobody else wants it."""

        def answer() -> list[int]:
            release = self.acquire()
            held = self.exists()
            release()
            return [held, self.exists()]

        return Work(self.turns, answer)

    def turns(self, count: int) -> None:
        """Acquire and release so many times."""
        for _ in range(count):
            self.acquire()()

    def hold(self) -> None:
        """Acquire and keep it."""
        self._release = self.acquire()

    def let_go(self) -> int:
        """Give it back; return when that began, in nanoseconds of the monotonic clock."""
        release, self._release = self._release, None
        began = time.monotonic_ns()
        if release is not None:
            release()
        return began

    def take(self) -> int:
        """Wait for it and give it back; return when it was had."""
        release = self.acquire()
        had = time.monotonic_ns()
        release()
        return had

    def crowd(self, count: int) -> None:
        """Have so many wait for it, until this process ends."""
        self._waiting = [None] * count
        for _ in range(count):
            threading.Thread(target=self._wait_in_crowd, daemon=True).start()

    def waiting(self) -> int:
        """Return how many of the crowd wait."""
        return len(self._waiting)

    def _wait_in_crowd(self) -> None:
        try:
            self.acquire()
        finally:
            self._waiting.pop()
