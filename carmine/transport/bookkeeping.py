"""What the pools of both worlds count and decide alike; they differ in how a caller waits.

It opens and waits for nothing. Invariants: at most `pool_size` places exist at once; a place is free as soon as
nobody holds it, by whatever way it was dropped; a forked child starts anew.
"""

from __future__ import annotations

import contextlib
import math
import os
import time
import weakref
from collections import deque
from typing import TYPE_CHECKING, Any, Final, Generic, NamedTuple, Protocol, TypeVar

from carmine.errors import PoolClosed, PoolTimeout, UsageError
from carmine.transport.hooks import tell

if TYPE_CHECKING:
    from collections.abc import Callable

    from carmine.transport.options import Options

__all__ = ["Place", "PoolBook", "PoolStats", "chance", "lifetime"]

_JITTER: Final = 0.1
"""A connection's lifetime is shortened by up to this share, so that those opened together do not end together."""

_TIDY_EVERY: Final = 1.0
"""Seconds between two looks for connections that have been idle for too long."""


def lifetime(opened: float, most: float | None) -> float:
    """Return when a connection that was opened at an instant is to be replaced; inf for never."""
    return math.inf if most is None else opened + most * (1.0 - _JITTER * chance())


def chance() -> float:
    """Return a random number in [0, 1), from the system: `random` is 0.6 MiB of memory, and this path is rare."""
    return int.from_bytes(os.urandom(6)) / 2**48


class PoolStats(NamedTuple):
    """Counts of one moment, and since the pool was made."""

    size: int
    """Connections at most; 0 where nothing is pooled."""
    open: int
    """Connections that exist or are being opened."""
    idle: int
    in_use: int
    waiting: int
    """Callers that wait for a connection."""
    opened: int
    """Connections opened since the pool was made, shared ones included."""
    timeouts: int
    """Callers that waited in vain."""
    shared: int = 0
    """Multiplexed connections beside these, of an asyncio client."""


class Place:
    """One of the pool's places, taken until it is marked as free, or for as long as it exists.

    Who holds it, a caller in the queue or a connection, frees it by the mark (a traceback may keep it alive, and not
    every Python collects at once) or by dropping it. The pool counts its weak references, so no finalizer has to run
    to the end: a signal may strike in every line of Python.
    """

    __slots__ = ("__weakref__", "is_free")

    def __init__(self) -> None:
        self.is_free: bool = False


def _is_taken(place: weakref.ref[Place]) -> bool:
    held = place()
    return held is not None and not held.is_free


def _drop(known: list[Any], gone: list[Any]) -> None:
    """Take these out of a list in place: whoever strikes in between may add to it."""
    for one in gone:
        with contextlib.suppress(ValueError):
            known.remove(one)


class _Pooled(Protocol):
    """What a pool asks of its connections."""

    opened: float
    expires: float
    note: str | None
    lender: object

    def pin(self, note: str) -> None: ...
    def unpin(self, max_idle: float | None) -> None: ...
    @property
    def is_usable(self) -> bool: ...
    @property
    def idle_for(self) -> float: ...
    def hold(self, place: Place) -> None: ...
    def close(self) -> None: ...
    def abandon(self) -> None: ...


C = TypeVar("C", bound=_Pooled)


class PoolBook(Generic[C]):
    """The books of one pool.

    Attributes:
        options: What its connections are opened with.
        idle: The connections nobody uses, the latest used last.
        attention: True in a boolean context when a returned connection must be looked at: somebody waits, or the
            pool is closed.
        is_plain: Whether a connection may be popped from `idle` and used without further checks.
    """

    __slots__ = (
        "__weakref__",
        "_closed",
        "_everything",
        "_hooks",
        "_opened",
        "_places",
        "_tidy_at",
        "_timeouts",
        "attention",
        "idle",
        "is_plain",
        "options",
    )

    def __init__(self, options: Options) -> None:
        self.options: Options = options
        self._hooks = options.hooks
        checked = set(options.check) - {"idle"}
        self.is_plain: bool = options.pool_size > 0 and options.max_lifetime is None and not checked
        self._opened = self._timeouts = 0
        self._tidy_at = time.monotonic() + _TIDY_EVERY
        self._closed = False
        self.idle: list[C] = []  # clients keep these two: they stay the same objects
        self.attention: deque[Any] = deque()
        self._start()
        _books.add(self)

    def _start(self) -> None:
        """Set up what belongs to one process; called again in a forked child."""
        self._places: list[weakref.ref[Place]] = []
        self._everything: list[weakref.ref[C]] = []  # a WeakSet runs Python when a member is collected

    def _take_place(self) -> Place | None:
        """Return a place if there is one; one thread at a time.

        It is counted before it is known whether there is one: a signal handler or a finalizer may strike in between,
        and ask for a place in its turn.
        """
        place = Place()
        self._places.append(weakref.ref(place))
        _drop(self._places, [known for known in self._places if not _is_taken(known)])
        if 0 < self.options.pool_size < len(self._places):
            place.is_free = True
            return None
        return place

    def _enter(self, connection: C, place: Place) -> None:
        """Put a new connection into the books; one thread at a time."""
        connection.expires = lifetime(connection.opened, self.options.max_lifetime)
        connection.hold(place)
        self._everything.append(weakref.ref(connection))
        _drop(self._everything, [known for known in self._everything if known() is None])
        self._opened += 1

    def _tell_opened(self, began: float) -> None:
        tell(self._hooks, "on_connect", str(self.options.address), time.monotonic() - began)

    def _has_space(self) -> bool:
        """Whether one more unused connection is to be kept."""
        options = self.options
        return (
            options.pool_size > 0
            and not self._closed
            and (options.max_idle is None or len(self.idle) < options.max_idle)
        )

    def _lend(self, connection: C, note: str | None) -> C:
        """Note that a caller has a connection, and what for."""
        connection.lender = self
        if note is not None:
            connection.pin(note)
        return connection

    def _check_returned(self, connection: C) -> None:
        """Note that a caller gives a connection back.

        Raises:
            UsageError: It was given back already, or another pool has lent it; whoever has it now is not disturbed.
        """
        lender, connection.lender = connection.lender, None
        if lender is not self:
            connection.lender = lender
            raise UsageError(
                "this connection was given back already: it may be another caller's now"
                if lender is None
                else "this connection was lent by another pool: give it back there"
            )
        if connection.note is not None:
            connection.unpin(self.options.max_idle_time)

    def tidy(self) -> None:
        """Close connections that are too many, and at most once a second those that have been idle for too long.

        The fast path gives back without a look at `max_idle`; this is its look.
        """
        now = time.monotonic()
        limit = self.options.max_idle_time
        most = self.options.max_idle
        while most is not None and len(self.idle) > most:
            try:
                self.idle.pop(0).close()
            except IndexError:
                return
        if now < self._tidy_at:
            return
        self._tidy_at = now + _TIDY_EVERY
        while len(self.idle) > self.options.min_idle:
            try:
                oldest = self.idle.pop(0)  # ours alone from here on
            except IndexError:
                return
            if oldest.is_usable and now < oldest.expires and (limit is None or oldest.idle_for <= limit):
                self.idle.insert(0, oldest)
                break
            oldest.close()
        if self.attention:  # somebody came, or the pool was closed, while the oldest was in nobody's sight
            self.serve()

    def serve(self) -> None:
        """Hand what is there to those who wait, the longest first; close what comes back to a closed pool."""
        raise NotImplementedError

    @property
    def is_closed(self) -> bool:
        """Whether the pool was closed."""
        return self._closed

    def stats(self) -> PoolStats:
        """Return the counts of this moment."""
        taken = sum(map(_is_taken, list(self._places)))
        idle = len(self.idle)
        waiting = 0 if self._closed else len(self.attention)
        return PoolStats(
            self.options.pool_size, taken, idle, max(0, taken - idle), waiting, self._opened, self._timeouts
        )

    def _alive(self) -> list[C]:
        return [connection for known in list(self._everything) if (connection := known()) is not None]

    def _exhausted(self, waited: float) -> PoolTimeout:
        """Return the error for a caller that waited in vain; it counts as well. One caller at a time."""
        self._timeouts += 1
        stats = self.stats()
        notes = sorted(connection.note for connection in self._alive() if connection.note is not None)
        held = f"; held by: {', '.join(notes[:8])}" if notes else ""
        return PoolTimeout(
            f"no connection to {self.options.address} became free within {waited:.3g} s: {stats.in_use} of "
            f"{stats.size} are in use, {stats.waiting} callers wait{held}; give connections back sooner or raise "
            "pool_size"
        )

    def _is_over(self, when: str = "") -> PoolClosed:
        """Return the error for a closed pool."""
        if when:
            return PoolClosed(f"the pool of {self.options.address} was closed while {when}")
        return PoolClosed(f"the pool of {self.options.address} is closed; make a new client")

    def _abandon(self) -> None:
        """Start anew in a forked child; the parent's connections are not touched beyond their descriptors."""
        for connection in self._alive():
            connection.abandon()
        self.idle.clear()
        self.attention.clear()
        self._start()

    def __repr__(self) -> str:
        """Show where it leads and how it stands."""
        stats = self.stats()
        state = "closed" if self._closed else f"{stats.open} open, {stats.idle} idle, {stats.waiting} waiting"
        return f"<{type(self).__name__} of {self.options.address}: {state}, at most {stats.size}>"


_books: weakref.WeakSet[PoolBook[Any]] = weakref.WeakSet()


def _after_fork() -> None:
    for book in list(_books):
        book._abandon()


_register: Callable[..., None] | None = getattr(os, "register_at_fork", None)
if _register is not None:
    _register(after_in_child=_after_fork)
