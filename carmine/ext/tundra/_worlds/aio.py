"""The asyncio world's half: a blocking datastore is called in threads; threads.py is the other."""

from __future__ import annotations

import asyncio
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, TypeVar

from carmine._bridge.aio import Job, Signal, call, spawn
from carmine.errors import UsageError
from carmine.ext.tundra.core.values import checked_fetch, failed_fetch
from carmine.ext.tundra.datastore import AsyncDataStore, DataStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Sequence

    from carmine.ext.tundra.errors import DataStoreError

__all__ = ["Job", "Shelf", "Signal", "aside", "call", "each", "spawn"]

R = TypeVar("R")
X = TypeVar("X")

_LONG: Final = 256 * 1024
"""Bytes from which on sealing takes longer than handing it to a thread, by far."""


class Shelf:
    """A datastore, called so that nobody waits but the caller.

    Args:
        datastore: An AsyncDataStore, or a DataStore whose calls then run in the loop's default executor.
    """

    def __init__(self, datastore: Any) -> None:
        if isinstance(datastore, type) or not isinstance(datastore, AsyncDataStore | DataStore):
            raise UsageError("a datastore has the methods put, fetch, delete, scan, or aput, afetch, adelete, ascan")
        self._is_async = isinstance(datastore, AsyncDataStore)
        self.datastore: Any = datastore

    async def put(self, key: bytes, blob: bytes) -> None:
        """Store bytes."""
        if self._is_async:
            await self.datastore.aput(key, blob)
        else:
            await asyncio.to_thread(self.datastore.put, key, blob)

    async def fetch(self, keys: Sequence[bytes]) -> list[bytes | DataStoreError]:
        """Return bytes or an error for each key; raises nothing that the datastore raises."""
        try:
            if self._is_async:
                got = await self.datastore.afetch(keys)
            else:
                got = await asyncio.to_thread(self.datastore.fetch, keys)
        except Exception as problem:  # noqa: BLE001 - whatever it was, it is each key's error
            return failed_fetch(keys, problem)
        return checked_fetch(keys, got)

    async def delete(self, keys: Sequence[bytes]) -> None:
        """Delete what is stored."""
        if self._is_async:
            await self.datastore.adelete(keys)
        else:
            await asyncio.to_thread(self.datastore.delete, keys)

    async def pages(self, size: int) -> AsyncIterator[list[bytes]]:
        """Yield all stored keys, so many at a time."""
        page: list[bytes] = []
        if self._is_async:
            async for key in self.datastore.ascan():
                page.append(key)
                if len(page) == size:
                    yield page
                    page = []
            if page:
                yield page
            return
        walk = self.datastore.scan()
        while page := await asyncio.to_thread(lambda: list(islice(walk, size))):
            yield page


async def each(function: Callable[[X], Coroutine[Any, Any, object]], items: Sequence[X], at_once: int) -> None:
    """Call a function with each item, so many at a time; the first that raises ends all."""
    if len(items) < 2:
        for item in items:
            await function(item)
        return
    todo = iter(items)
    raised: list[Exception] = []

    async def lane() -> None:
        for item in todo:
            if raised:
                return
            try:
                await function(item)
            except Exception as problem:  # noqa: BLE001 - raised below, by itself and not in a group
                raised.append(problem)

    async with asyncio.TaskGroup() as group:
        for _ in range(min(at_once, len(items))):
            group.create_task(lane())
    if raised:
        raise raised[0]


async def aside(size: int, function: Callable[..., R], *args: Any) -> R:
    """Call a function that computes; apart from the event loop where it has so many bytes that it would be held up."""
    return await asyncio.to_thread(function, *args) if size >= _LONG else function(*args)
