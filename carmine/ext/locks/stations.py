"""One thing for each pool, for as long as the pool exists; a forked child starts anew."""

from __future__ import annotations

import os
import threading
import weakref
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Stations"]

S = TypeVar("S")


class Stations(Generic[S]):
    """What pools have that they know nothing of.

    Args:
        make: Makes what a pool is to have; it must not refer to the pool for longer than it works.
    """

    def __init__(self, make: Callable[[], S]) -> None:
        self._make = make
        self._start()
        register: Callable[..., None] | None = getattr(os, "register_at_fork", None)
        if register is not None:
            register(after_in_child=self._start)

    def _start(self) -> None:
        self._guard = threading.RLock()
        self._known: weakref.WeakKeyDictionary[Any, S] = weakref.WeakKeyDictionary()

    def of(self, pool: object) -> S:
        """Return what this pool has."""
        with self._guard:
            found = self._known.get(pool)
            if found is None:
                found = self._known[pool] = self._make()
            return found
