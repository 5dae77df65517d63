"""The pool of blocking connections: bounded, last in first out, fair to those who wait, free of background threads.

The uncontended path takes no lock: a client pops from `idle` and appends to it, which the interpreter makes atomic,
and looks at `attention` afterwards. Everything else happens under the lock in `borrow`, `give_back` and `serve`.
Invariants: at most `pool_size` connections exist or are being opened; one that owes a reply, or is not usable for
any other reason, is closed and never handed out; who waits longest is served first; a connection that was dropped
without being given back frees its place.
"""

from __future__ import annotations

import math
import os
import random
import threading
import time
import weakref
from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

from carmine.errors import CarmineError, NetworkError, PoolClosed, PoolTimeout, ServerError
from carmine.transport.connection import Connection, Connector
from carmine.transport.hooks import tell

if TYPE_CHECKING:
    from carmine.transport.options import Options

__all__ = ["Pool", "PoolStats"]

_LOOK_AGAIN: Final = 0.1
"""Seconds after which a waiter looks itself: an exception thrown into a returning thread may have eaten its wake-up,
and a connection that was dropped tells nobody."""

_JITTER: Final = 0.1
"""A connection's lifetime is shortened by up to this share, so that those opened together do not end together."""

_TIDY_EVERY: Final = 1.0
"""Seconds between two looks for connections that have been idle for too long."""


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
    """Connections opened since the pool was made."""
    timeouts: int
    """Callers that waited in vain."""


class _Place:
    """One of the pool's places, taken for as long as it exists.

    Who holds it, a caller in the queue or a connection, frees it by dropping it. The pool counts its weak references,
    so no finalizer has to run to the end: a signal may strike in every line of Python.
    """

    __slots__ = ("__weakref__",)


class _Waiter:
    """A caller in the queue, with the place or the connection it was served; a lock is released when it was."""

    __slots__ = ("connection", "place", "signal")

    def __init__(self) -> None:
        self.signal = threading.Lock()
        self.signal.acquire()
        self.connection: Connection | None = None
        self.place: _Place | None = None

    @property
    def was_served(self) -> bool:
        """Whether there is something to go on with."""
        return self.connection is not None or self.place is not None


class Pool:
    """Connections of one set of options, shared by any number of threads and clients.

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
        "_connector",
        "_everything",
        "_hooks",
        "_lock",
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
        self.options = options
        self._connector = Connector(options)
        self._hooks = options.hooks
        self.is_plain = options.pool_size > 0 and options.max_lifetime is None and not set(options.check) - {"idle"}
        self._opened = self._timeouts = 0
        self._tidy_at = time.monotonic() + _TIDY_EVERY
        self._closed = False
        self.idle: list[Connection] = []  # clients keep these two: they stay the same objects
        self.attention: deque[_Waiter] = deque()
        self._start()
        _pools.add(self)

    def _start(self) -> None:
        """Set up what belongs to one process; called again in a forked child."""
        self._lock = threading.Lock()
        self._places: list[weakref.ref[_Place]] = []
        self._everything: list[weakref.ref[Connection]] = []  # a WeakSet runs Python when a member is collected

    # Borrowing. ------------------------------------------------------------------------------------------------------

    def borrow(self, note: str | None = None) -> Connection:
        """Return a connection nobody else uses; give it back with `give_back`.

        Args:
            note: What it is wanted for, when that is more than one call.

        Raises:
            PoolClosed: The pool is closed.
            PoolTimeout: All connections stayed in use for `pool_timeout` seconds.
            NetworkError, ServerError, ProtocolError: A new connection could not be opened.
        """
        connection = self._from_idle() or self._from_queue()
        if note is not None:
            connection.note = f"{note} in thread {threading.current_thread().name!r}"
        return connection

    def _from_idle(self) -> Connection | None:
        """Return an idle connection that passes the checks, or None."""
        while not self._closed and not self.attention:
            try:
                connection = self.idle.pop()
            except IndexError:
                return None
            if self._is_fit(connection, probe="borrow" in self.options.check):
                return connection
            self._discard(connection)
        return None

    def _is_fit(self, connection: Connection, *, probe: bool) -> bool:
        if time.monotonic() >= connection.expires or not connection.probe():
            return False
        return not probe or self._answers(connection)

    def _answers(self, connection: Connection) -> bool:
        try:
            return connection.execute((b"PING",), True) == "PONG"
        except CarmineError:
            return False

    def _from_queue(self) -> Connection:
        waiter: _Waiter | None = None
        with self._lock:
            if self._closed:
                raise PoolClosed(f"the pool of {self.options.address} is closed; make a new client")
            place = self._take_place() if not self.attention else None
            if place is None:
                waiter = _Waiter()
                self.attention.append(waiter)
        if place is not None:
            return self._open_in(place)
        assert waiter is not None
        self.serve()  # a connection may have come back between the look at `idle` and the place in the queue
        return self._wait(waiter)

    def _take_place(self) -> _Place | None:
        """Return a place if there is one; the caller holds the lock."""
        self._places = [place for place in self._places if place() is not None]
        if 0 < self.options.pool_size <= len(self._places):
            return None
        place = _Place()
        self._places.append(weakref.ref(place))
        return place

    def _wait(self, waiter: _Waiter) -> Connection:
        patience = math.inf if self.options.pool_timeout is None else self.options.pool_timeout
        began = time.monotonic()
        try:
            while not waiter.was_served and not self._closed and time.monotonic() - began < patience:
                left = began + patience - time.monotonic()
                if not waiter.signal.acquire(timeout=min(_LOOK_AGAIN, max(0.0, left))):
                    self.serve()
        except BaseException:
            self._withdraw(waiter)
            if waiter.connection is not None:
                self.give_back(waiter.connection)
            waiter.place = None
            self.serve()
            raise
        waited = time.monotonic() - began
        timed_out = self._withdraw(waiter)
        tell(self._hooks, "on_pool_wait", waited, timed_out)
        if timed_out:
            self._timeouts += 1
            raise self._exhausted(waited)
        connection, waiter.connection = waiter.connection, None
        if connection is not None:
            if self._is_fit(connection, probe="borrow" in self.options.check):
                return connection
            with self._lock:  # the place that becomes free is this caller's
                connection.close()
                waiter.place = self._take_place()
        if waiter.place is None:
            raise PoolClosed(f"the pool of {self.options.address} was closed while a caller waited for a connection")
        return self._open_in(waiter.place)

    def _withdraw(self, waiter: _Waiter) -> bool:
        """Leave the queue; False when the pool has served the caller, or was closed."""
        with self._lock:
            try:
                self.attention.remove(waiter)
            except ValueError:
                return False
            return True

    def _open_in(self, place: _Place) -> Connection:
        """Open a connection for a place that was taken; on any error the place goes to the next in the queue."""
        try:
            connection = self._open_one(place)
        except BaseException:
            self.serve()
            raise
        self._top_up()
        return connection

    def _open_one(self, place: _Place) -> Connection:
        began = time.monotonic()
        where = str(self.options.address)
        try:
            connection = self._connector.open()
        except BaseException as error:
            self._vacate(place)
            if isinstance(error, Exception):
                tell(self._hooks, "on_error", where, error)
            raise
        if self.options.max_lifetime is not None:
            share = 1.0 - _JITTER * random.random()
            connection.expires = connection.opened + self.options.max_lifetime * share
        connection.hold(place)
        if self._hooks is not None:
            connection.on_close = lambda: tell(self._hooks, "on_close", where)
        self._everything = [known for known in self._everything if known() is not None]
        self._everything.append(weakref.ref(connection))
        self._opened += 1
        tell(self._hooks, "on_connect", where, time.monotonic() - began)
        if self._closed:
            connection.close()
            raise PoolClosed(f"the pool of {where} was closed while a connection was opened")
        return connection

    def _vacate(self, place: _Place) -> None:
        """Free a place at once: whoever keeps the error of a failed opening keeps the frames that hold the place."""
        with self._lock:
            self._places = [known for known in self._places if known() not in (None, place)]

    def _top_up(self) -> None:
        """Open what `min_idle` asks for; a server that refuses now is asked again with the next connection."""
        while len(self.idle) < self.options.min_idle:
            with self._lock:
                place = None if self._closed or self.attention else self._take_place()
            if place is None:
                return
            try:
                connection = self._open_one(place)
            except (NetworkError, ServerError):
                return
            self.give_back(connection)

    # Giving back. ----------------------------------------------------------------------------------------------------

    def give_back(self, connection: Connection) -> None:
        """Take a connection back; it is kept if it can be used again and there is room, else closed."""
        connection.note = None
        options = self.options
        keep = (
            options.pool_size > 0
            and not self._closed
            and self._is_fit(connection, probe="return" in options.check)
            and (options.max_idle is None or len(self.idle) < options.max_idle)
        )
        if keep:
            self.idle.append(connection)
        else:
            connection.close()
        if self.attention:
            self.serve()
        self.tidy()

    def serve(self) -> None:
        """Hand what is there to those who wait, the longest first; close what comes back to a closed pool."""
        if self._closed:
            self._close_idle()
            return
        with self._lock:
            while self.attention and not self._closed:
                waiter = self.attention[0]
                if self.idle:
                    waiter.connection = self.idle.pop()
                else:
                    waiter.place = self._take_place()
                    if waiter.place is None:
                        break
                self.attention.popleft()
                waiter.signal.release()

    def _close_idle(self) -> None:
        """Close the idle connections one by one: each is ours from its pop() on, and nobody else's."""
        while self.idle:
            try:
                connection = self.idle.pop()
            except IndexError:
                return
            connection.close()

    def tidy(self) -> None:
        """Close connections that have been idle for too long, the oldest first; at most once a second."""
        now = time.monotonic()
        limit = self.options.max_idle_time
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
                return
            oldest.close()

    def _discard(self, connection: Connection) -> None:
        connection.close()
        if self.attention:
            self.serve()

    # The whole. ------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Close every connection; calls under way fail with ConnectionLost, later ones with PoolClosed."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            waiting = list(self.attention)
            self.attention.clear()
            self.attention.append(_Waiter())  # a mark: whoever gives back from now on comes by serve()
        for waiter in waiting:
            waiter.signal.release()
        self._close_idle()
        for connection in self._alive():
            connection.interrupt()

    @property
    def is_closed(self) -> bool:
        """Whether close() was called."""
        return self._closed

    def stats(self) -> PoolStats:
        """Return the counts of this moment."""
        with self._lock:
            taken = sum(place() is not None for place in self._places)
            idle = len(self.idle)
            waiting = 0 if self._closed else len(self.attention)
            return PoolStats(
                self.options.pool_size, taken, idle, max(0, taken - idle), waiting, self._opened, self._timeouts
            )

    def _alive(self) -> list[Connection]:
        return [connection for known in self._everything if (connection := known()) is not None]

    def _exhausted(self, waited: float) -> PoolTimeout:
        stats = self.stats()
        notes = sorted(connection.note for connection in self._alive() if connection.note is not None)
        held = f"; held by: {', '.join(notes[:8])}" if notes else ""
        return PoolTimeout(
            f"no connection to {self.options.address} became free within {waited:.3g} s: {stats.in_use} of "
            f"{stats.size} are in use, {stats.waiting} callers wait{held}; give connections back sooner or raise "
            "pool_size"
        )

    def _abandon(self) -> None:
        """Start anew in a forked child; the parent's connections are not touched beyond their descriptors."""
        for connection in self._alive():
            connection.abandon()
        self.idle.clear()
        self.attention.clear()
        self._start()
        if self._closed:
            self.attention.append(_Waiter())

    def __repr__(self) -> str:
        """Show where it leads and how it stands."""
        stats = self.stats()
        state = "closed" if self._closed else f"{stats.open} open, {stats.idle} idle, {stats.waiting} waiting"
        return f"<Pool of {self.options.address}: {state}, at most {stats.size}>"


_pools: weakref.WeakSet[Pool] = weakref.WeakSet()


def _after_fork() -> None:
    for pool in list(_pools):
        pool._abandon()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
