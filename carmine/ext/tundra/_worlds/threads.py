"""The blocking world's half: a datastore is called as it is; aio.py is the other."""

from __future__ import annotations

import contextvars
import threading
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from carmine._bridge.threads import Job, Signal, call, spawn
from carmine.errors import UsageError
from carmine.ext.tundra.core.values import checked_fetch, failed_fetch
from carmine.ext.tundra.datastore import DataStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from carmine.ext.tundra.errors import DataStoreError

__all__ = ["Job", "Shelf", "Signal", "aside", "call", "each", "spawn"]

R = TypeVar("R")
X = TypeVar("X")


class Shelf:
    """A datastore, called by whoever asks.

    Args:
        datastore: A DataStore; one for asyncio alone has no place here.
    """

    def __init__(self, datastore: Any) -> None:
        if isinstance(datastore, type) or not isinstance(datastore, DataStore):
            raise UsageError("a datastore has the methods put, fetch, delete, scan; AsyncTundraStore takes others too")
        self.datastore: Any = datastore

    def put(self, key: bytes, blob: bytes) -> None:
        """Store bytes."""
        self.datastore.put(key, blob)

    def fetch(self, keys: Sequence[bytes]) -> list[bytes | DataStoreError]:
        """Return bytes or an error for each key; raises nothing that the datastore raises."""
        try:
            got = self.datastore.fetch(keys)
        except Exception as problem:  # noqa: BLE001 - whatever it was, it is each key's error
            return failed_fetch(keys, problem)
        return checked_fetch(keys, got)

    def delete(self, keys: Sequence[bytes]) -> None:
        """Delete what is stored."""
        self.datastore.delete(keys)

    def pages(self, size: int) -> Iterator[list[bytes]]:
        """Yield all stored keys, so many at a time."""
        walk = self.datastore.scan()
        while page := list(islice(walk, size)):
            yield page


def each(function: Callable[[X], object], items: Sequence[X], at_once: int) -> None:
    """Call a function with each item, so many at a time; the first that raises ends all."""
    if len(items) < 2:
        for item in items:
            function(item)
        return
    guard, todo = threading.Lock(), iter(items)
    raised: list[BaseException] = []

    def lane() -> None:
        while not raised:
            with guard:
                try:
                    item = next(todo)
                except StopIteration:
                    return
            try:
                function(item)
            except BaseException as problem:  # noqa: BLE001 - raised below, where the caller hears it
                raised.append(problem)

    lanes = []
    for _ in range(min(at_once, len(items))):
        # a thread of its own would not know of the caller's deadline
        run = contextvars.copy_context().run
        lanes.append(threading.Thread(target=run, args=(lane,), daemon=True))
        lanes[-1].start()
    for thread in lanes:
        thread.join()
    if raised:
        raise raised[0]


def aside(size: int, function: Callable[..., R], *args: Any) -> R:
    """Call a function that computes."""
    return function(*args)
