"""Walks through keys and the parts of one, page by page, as an iterator.

No connection is held between pages, so that a walk may be left at any time and leaves nothing. A page that failed, or
whose caller was cancelled, is asked for again by the next step: the server keeps nothing about a walk, the cursor is
all. What stays from beginning to end comes at least once; the server may give the same one twice, in one page or two.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, Literal, Self, TypeVar, overload

from carmine.client.folding import Reduced, mark_of
from carmine.commands import hashes, keys, sets, sorted_sets

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from carmine.commands.command import Command, Spec, Words
    from carmine.types import Arg, Key, ScanPage, ScoredMember

__all__ = ["AsyncScan", "AsyncScanning"]

T = TypeVar("T")
R = TypeVar("R")


class AsyncScan(Generic[R]):
    """A walk: gives one item after the other, and asks for the next page when it has none."""

    __slots__ = ("_client", "_cursor", "_items", "_page")

    def __init__(self, client: AsyncScanning[Any], page: Callable[[int], Command[ScanPage[Any]]]) -> None:
        self._client = client
        self._page = page
        self._cursor: int | None = 0  # None behind the last page
        self._items: Iterator[R] = iter(())

    def __aiter__(self) -> Self:
        """Return itself: a walk is gone once."""
        return self

    async def __anext__(self) -> R:
        """Return the next item."""
        while True:
            for item in self._items:
                return item
            if self._cursor is None:
                raise StopAsyncIteration
            command = self._page(self._cursor)
            page = await self._client._execute(command.spec, command.words)
            found: Any = page.items.items() if isinstance(page.items, dict) else page.items
            self._items = iter(found)
            self._cursor = page.cursor or None


class AsyncScanning(Generic[T]):
    """The walks of a client and of a pinned connection."""

    __slots__ = ()

    if TYPE_CHECKING:

        def _execute(self, spec: Spec, words: Words) -> Awaitable[Any]: ...

    def scan_iter(
        self, match: Arg | None = None, count: int | None = None, type: str | None = None
    ) -> AsyncIterator[T]:
        """Walk through all keys by SCAN.

        A key that is there from beginning to end comes at least once, possibly more often.

        Args:
            match: A pattern for the names; `glob_escape` takes the meaning from `*`, `?`, `[` and the backslash.
            count: About how many keys the server looks at for a page; 10 when not given.
            type: Only keys of this kind, named as by `type`.
        """
        return AsyncScan(self, lambda cursor: keys.scan(cursor, match, count, type))

    @overload
    def hscan_iter(
        self, key: Key, match: Arg | None = None, count: int | None = None, *, no_values: Literal[False] = False
    ) -> AsyncIterator[tuple[T, T]]: ...
    @overload
    def hscan_iter(
        self, key: Key, match: Arg | None = None, count: int | None = None, *, no_values: Literal[True]
    ) -> AsyncIterator[T]: ...
    @overload
    def hscan_iter(
        self, key: Key, match: Arg | None = None, count: int | None = None, *, no_values: bool
    ) -> AsyncIterator[tuple[T, T]] | AsyncIterator[T]: ...
    def hscan_iter(
        self, key: Key, match: Arg | None = None, count: int | None = None, *, no_values: bool = False
    ) -> AsyncIterator[Any]:
        """Walk through the fields of a hash by HSCAN.

        A field that is there from beginning to end comes at least once, possibly more often.

        Args:
            key: The key of a hash.
            match: A pattern for the names of the fields.
            count: About how many fields the server looks at for a page; 10 when not given.
            no_values: Give names alone instead of `(field, value)` (from 7.4).
        """
        return AsyncScan(self, lambda cursor: hashes.hscan(key, cursor, match, count, no_values=no_values))

    def sscan_iter(self, key: Key, match: Arg | None = None, count: int | None = None) -> AsyncIterator[T]:
        """Walk through the members of a set by SSCAN.

        A member that is there from beginning to end comes at least once, possibly more often.

        Args:
            key: The key of a set.
            match: A pattern for the members.
            count: About how many members the server looks at for a page; 10 when not given.
        """
        return AsyncScan(self, lambda cursor: sets.sscan(key, cursor, match, count))

    @overload
    def zscan_iter(
        self, key: Key, match: Arg | None = None, count: int | None = None, *, noscores: Literal[False] = False
    ) -> AsyncIterator[ScoredMember[T]]: ...
    @overload
    def zscan_iter(
        self, key: Key, match: Arg | None = None, count: int | None = None, *, noscores: Literal[True]
    ) -> AsyncIterator[T]: ...
    @overload
    def zscan_iter(
        self, key: Key, match: Arg | None = None, count: int | None = None, *, noscores: bool
    ) -> AsyncIterator[ScoredMember[T]] | AsyncIterator[T]: ...
    def zscan_iter(
        self, key: Key, match: Arg | None = None, count: int | None = None, *, noscores: bool = False
    ) -> AsyncIterator[Any]:
        """Walk through the members of a sorted set by ZSCAN.

        A member that is there from beginning to end comes at least once, possibly more often.

        Args:
            key: The key of a sorted set.
            match: A pattern for the members.
            count: About how many members the server looks at for a page; 10 when not given.
            noscores: Give members instead of `(member, score)` (Valkey only).
        """
        return AsyncScan(self, lambda cursor: sorted_sets.zscan(key, cursor, match, count, noscores=noscores))

    async def reduce_scan(
        self,
        fn: Callable[[Any, T], Any],
        start: Any,
        match: Arg | None = None,
        count: int | None = None,
        type: str | None = None,
    ) -> Any:
        """Fold all keys into one value; a key may come more than once.

        Args:
            fn: Called with the value so far and a key; returns the next value, or `reduced(value)` to stop there.
            start: The value before the first key.
            match: As for `scan_iter`.
            count: As for `scan_iter`.
            type: As for `scan_iter`.
        """
        made = start
        async for key in self.scan_iter(match, count, type):
            made = fn(made, key)
            if isinstance(made, Reduced):
                return made.value
        return made

    async def reduce_hscan(
        self, fn: Callable[[Any, T, T], Any], start: Any, key: Key, match: Arg | None = None, count: int | None = None
    ) -> Any:
        """Fold the fields of a hash into one value, each field once.

        Cost: the names of all fields seen are kept until the end.

        Args:
            fn: Called with the value so far, a field and its value; returns the next value, or `reduced(value)`.
            start: The value before the first field.
            key: The key of a hash.
            match: As for `hscan_iter`.
            count: As for `hscan_iter`.
        """
        made, seen = start, set[Any]()
        async for field, value in self.hscan_iter(key, match, count):
            mark = mark_of(field)
            if mark in seen:
                continue
            seen.add(mark)
            made = fn(made, field, value)
            if isinstance(made, Reduced):
                return made.value
        return made

    async def scan_keys(self, match: Arg | None = None, count: int | None = None, type: str | None = None) -> set[T]:
        """Return the set of all keys that match, by SCAN.

        Args:
            match: As for `scan_iter`.
            count: As for `scan_iter`.
            type: As for `scan_iter`.
        """
        return {key async for key in self.scan_iter(match, count, type)}
