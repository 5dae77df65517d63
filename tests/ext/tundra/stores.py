"""Datastores for the tests of stores and workers: memory, with a script of faults and a book of what was asked."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from carmine.ext.tundra.errors import DataStoreError, NotStored

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence

MAC_KEY = b"a key of thirty-two random bytes"


class MemoryStore:
    """A datastore in memory.

    Attributes:
        blobs: What it holds.
        asked: The method and the keys of each call.
        before: Called with a method's name and keys, before it is done; what it raises, the method raises.
        after: The same, after it was done.
        gives: Called with what a fetch found; what it returns is given.
    """

    def __init__(self) -> None:
        self.blobs: dict[bytes, bytes] = {}
        self.asked: list[tuple[str, list[bytes]]] = []
        self.before: Callable[[str, list[bytes]], object] = lambda name, keys: None
        self.after: Callable[[str, list[bytes]], object] = lambda name, keys: None
        self.gives: Callable[[list[bytes], list[Any]], Any] = lambda keys, found: found
        self._guard = threading.Lock()

    def _ask(self, name: str, keys: Sequence[bytes]) -> None:
        with self._guard:
            self.asked.append((name, list(keys)))
        self.before(name, list(keys))

    def put(self, key: bytes, blob: bytes) -> None:
        self._ask("put", [key])
        self.blobs[key] = blob
        self.after("put", [key])

    def fetch(self, keys: Sequence[bytes]) -> list[bytes | DataStoreError]:
        self._ask("fetch", keys)
        found = [self.blobs.get(key) or NotStored(key=key) for key in keys]
        self.after("fetch", list(keys))
        given: list[bytes | DataStoreError] = self.gives(list(keys), found)
        return given

    def delete(self, keys: Sequence[bytes]) -> None:
        self._ask("delete", keys)
        for key in keys:
            self.blobs.pop(key, None)
        self.after("delete", list(keys))

    def scan(self) -> Iterator[bytes]:
        self._ask("scan", [])
        yield from list(self.blobs)

    def count(self, name: str) -> int:
        """Return how often a method was called."""
        return sum(asked == name for asked, _ in self.asked)


class AsyncMemoryStore:
    """The same for asyncio, over one for threads."""

    def __init__(self, store: MemoryStore) -> None:
        self.store = store

    async def aput(self, key: bytes, blob: bytes) -> None:
        self.store.put(key, blob)

    async def afetch(self, keys: Sequence[bytes]) -> list[bytes | DataStoreError]:
        return self.store.fetch(keys)

    async def adelete(self, keys: Sequence[bytes]) -> None:
        self.store.delete(keys)

    async def ascan(self) -> AsyncIterator[bytes]:
        for key in self.store.scan():
            yield key


def failing(times: int, problem: Exception, method: str = "put") -> Callable[[str, list[bytes]], object]:
    """Return what raises in the first calls of a method."""
    left = [times]

    def fail(name: str, keys: list[bytes]) -> None:
        if name == method and left[0] > 0:
            left[0] -= 1
            raise problem

    return fail
