"""One flight per key: who asks for a key that is on its way waits for it, and does not fetch it again.

Invariants: a key has at most one flight; a flight that ends lets go of all its keys; one whose pilot was stopped is
void, and then whoever waited flies himself.
"""

from __future__ import annotations

import math
import threading
from time import monotonic
from typing import TYPE_CHECKING, Final

from carmine.client.deadline import limit
from carmine.errors import DeadlineExceeded
from carmine.ext.tundra._worlds import aio

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Flight", "Flights"]

_LOOKS_AGAIN: Final = 60.0


class Flight:
    """Some keys on their way back.

    Attributes:
        keys: The keys.
        failures: What became of those that could not be brought back, when it has landed.
        is_void: Whether it ended without an answer.
    """

    __slots__ = ("_landed", "failures", "is_over", "is_void", "keys")

    def __init__(self, keys: Sequence[bytes]) -> None:
        self.keys = keys
        self.failures: dict[bytes, Exception] = {}
        self.is_void = self.is_over = False
        self._landed = aio.Signal()

    def land(self) -> None:
        """Let those who wait go on."""
        self._landed.give()

    async def wait(self) -> None:
        """Wait until it has landed.

        Raises:
            DeadlineExceeded: The caller's time is over.
        """
        while True:
            left = limit() - monotonic()
            if await self._landed.wait(_LOOKS_AGAIN if left == math.inf else left):
                return
            if limit() <= monotonic():
                raise DeadlineExceeded("the time of carmine.deadline() was over before a key was brought back")


class Flights:
    """The flights of one store."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._by_key: dict[bytes, Flight] = {}

    def board(self, keys: Sequence[bytes], size: int) -> tuple[list[Flight], list[tuple[Flight, list[bytes]]]]:
        """Return the flights that the caller must make, and those of others, each with the keys wanted of it.

        Args:
            keys: The keys that are wanted.
            size: Keys of one flight at most.
        """
        others: dict[Flight, list[bytes]] = {}
        free: list[bytes] = []
        with self._guard:
            for key in keys:
                flight = self._by_key.get(key)
                if flight is None:
                    free.append(key)
                else:
                    others.setdefault(flight, []).append(key)
            mine = [Flight(free[start : start + size]) for start in range(0, len(free), size)]
            for flight in mine:
                for key in flight.keys:
                    self._by_key[key] = flight
        return mine, list(others.items())

    def end(self, flight: Flight, failures: dict[bytes, Exception] | None) -> None:
        """End a flight with its failures, or as void; what was ended stays as it is."""
        with self._guard:
            if flight.is_over:
                return
            flight.is_over = True
            flight.is_void = failures is None
            flight.failures = failures or {}
            for key in flight.keys:
                del self._by_key[key]
        flight.land()
