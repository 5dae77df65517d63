"""The pool of blocking connections: bounded, last in first out, fair to those who wait, free of background threads.

The uncontended path takes no lock: a client pops from `idle` and appends to it, which the interpreter makes atomic,
and looks at `attention` afterwards. Everything else happens under the lock in `borrow`, `give_back` and `serve`.
Invariants: at most `pool_size` connections exist or are being opened; one that owes a reply, or is not usable for
any other reason, is closed and never handed out; who waits longest is served first; a connection that was dropped
without being given back frees its place.
"""

from __future__ import annotations

import contextlib
import math
import threading
import time
from typing import TYPE_CHECKING, Final

from carmine.errors import CarmineError, NetworkError, ProtocolError, ServerError
from carmine.transport.bookkeeping import Place, PoolBook
from carmine.transport.connection import Connection, Connector
from carmine.transport.hooks import tell

if TYPE_CHECKING:
    from carmine.transport.bookkeeping import PoolStats
    from carmine.transport.options import Options

__all__ = ["Pool"]

_LOOK_AGAIN: Final = 0.1
"""Seconds after which a waiter looks itself: an exception thrown into a returning thread may have eaten its wake-up,
and a connection that was dropped tells nobody."""


class _Waiter:
    """A caller in the queue, with the place or the connection it was served; a lock is released when it was."""

    __slots__ = ("connection", "place", "signal")

    def __init__(self) -> None:
        self.signal = threading.Lock()
        self.signal.acquire()
        self.connection: Connection | None = None
        self.place: Place | None = None

    @property
    def was_served(self) -> bool:
        """Whether there is something to go on with."""
        return self.connection is not None or self.place is not None


class Pool(PoolBook[Connection]):
    """Connections of one set of options, shared by any number of threads and clients.

    Attributes:
        options: What its connections are opened with.
        idle: The connections nobody uses, the latest used last.
        attention: True in a boolean context when a returned connection must be looked at: somebody waits, or the
            pool is closed.
        is_plain: Whether a connection may be popped from `idle` and used without further checks.
    """

    __slots__ = ("_connector", "_lock")

    def __init__(self, options: Options) -> None:
        self._lock = threading.RLock()  # a signal handler or a finalizer of the thread inside may come in as well
        self._connector = Connector(options)
        super().__init__(options)

    # Borrowing. ------------------------------------------------------------------------------------------------------

    def borrow(self, note: str | None = None, until: float = math.inf) -> Connection:
        """Return a connection nobody else uses; give it back with `give_back`.

        Args:
            note: What it is wanted for, when that is more than one call.
            until: When the caller's own time is over (time.monotonic()).

        Raises:
            PoolClosed: The pool is closed.
            PoolTimeout: All connections stayed in use for `pool_timeout` seconds.
            NetworkError, ServerError, ProtocolError: A new connection could not be opened.
        """
        connection = self._from_idle(until) or self._from_queue(until)
        return self._lend(connection, note and f"{note} in thread {threading.current_thread().name!r}")

    def _from_idle(self, until: float) -> Connection | None:
        """Return an idle connection that passes the checks, or None."""
        while not self._closed and not self.attention:
            try:
                connection = self.idle.pop()
            except IndexError:
                return None
            if self._is_fit(connection, probe="borrow" in self.options.check, until=until):
                return connection
            self._discard(connection)
        return None

    def _is_fit(self, connection: Connection, *, probe: bool, until: float = math.inf) -> bool:
        if time.monotonic() >= connection.expires or not connection.probe():
            return False
        return not probe or self._answers(connection, until)

    def _answers(self, connection: Connection, until: float) -> bool:
        left = min(self.options.connect_timeout, max(0.001, until - time.monotonic()))
        try:
            return bool(connection.execute((b"PING",), True, left) == "PONG")
        except CarmineError:
            return False

    def _from_queue(self, until: float) -> Connection:
        waiter: _Waiter | None = None
        with self._lock:
            if self._closed:
                raise self._is_over()
            place = self._take_place() if not self.attention else None
            if place is None:
                waiter = _Waiter()
                self.attention.append(waiter)
        if place is not None:
            return self._open_in(place, until)
        assert waiter is not None
        self.serve()  # a connection may have come back between the look at `idle` and the place in the queue
        return self._wait(waiter, until)

    def _wait(self, waiter: _Waiter, until: float) -> Connection:
        began = time.monotonic()
        while True:
            self._until_served(waiter, began, until)
            connection, waiter.connection = waiter.connection, None
            if connection is not None:
                if self._is_fit(connection, probe="borrow" in self.options.check, until=until):
                    return connection
                with self._lock:  # the place that becomes free is this caller's, unless somebody was quicker
                    connection.close()
                    waiter.place = self._take_place()
                    if waiter.place is None and not self._closed:
                        waiter = _Waiter()
                        self.attention.appendleft(waiter)
                        continue
            if waiter.place is None:
                raise self._is_over("a caller waited for a connection")
            return self._open_in(waiter.place, until)

    def _until_served(self, waiter: _Waiter, began: float, until: float) -> None:
        """Wait until the pool has something for a caller, or is closed.

        Raises:
            PoolTimeout: `pool_timeout` seconds since `began` are over, or the caller's own time is.
        """
        patience = math.inf if self.options.pool_timeout is None else self.options.pool_timeout
        end = min(began + patience, until)
        try:
            while not waiter.was_served and not self._closed and time.monotonic() < end:
                left = end - time.monotonic()
                if not waiter.signal.acquire(timeout=min(_LOOK_AGAIN, max(0.0, left))):
                    self._look_again(waiter)
        except BaseException:
            self._withdraw(waiter)
            if waiter.connection is not None:
                self.take_back(waiter.connection)
            if waiter.place is not None:
                waiter.place.is_free = True
            self.serve()
            raise
        waited = time.monotonic() - began
        self._withdraw(waiter)
        timed_out = not waiter.was_served and not self._closed
        tell(self._hooks, "on_pool_wait", waited, timed_out)
        if timed_out:
            with self._lock:
                error = self._exhausted(waited)
            raise error

    def _look_again(self, waiter: _Waiter) -> None:
        with self._lock:
            if not (waiter.was_served or self._closed or waiter in self.attention):
                self.attention.appendleft(waiter)  # who was about to serve it was interrupted
        self.serve()

    def _withdraw(self, waiter: _Waiter) -> None:
        """Leave the queue, unless the pool has served the caller, or was closed."""
        with self._lock, contextlib.suppress(ValueError):
            self.attention.remove(waiter)

    def _open_in(self, place: Place, until: float) -> Connection:
        """Open a connection for a place that was taken; on any error the place goes to the next in the queue."""
        try:
            connection = self._open_one(place, until)
        except BaseException:
            self.serve()
            raise
        self._top_up(until)
        return connection

    def _open_one(self, place: Place, until: float = math.inf) -> Connection:
        began = time.monotonic()
        where = str(self.options.address)
        try:
            connection = self._connector.open(until)
        except BaseException as error:
            place.is_free = True  # whoever keeps the error keeps the frames that hold the place
            if isinstance(error, Exception):
                tell(self._hooks, "on_error", where, error)
            raise
        if self._hooks is not None:
            hooks = self._hooks  # not the pool: it would live for as long as its connections do
            connection.on_close = lambda: tell(hooks, "on_close", where)
        with self._lock:
            self._enter(connection, place)
        self._tell_opened(began)
        if self._closed:
            connection.close()
            raise self._is_over("a connection was opened")
        return connection

    def _top_up(self, until: float) -> None:
        """Open what `min_idle` asks for; a server that refuses now is asked again with the next connection.

        It takes half of the caller's own time at most: the rest is for what he wants.
        """
        now = time.monotonic()
        until = now + (until - now) / 2
        while len(self.idle) < self.options.min_idle:
            with self._lock:
                place = None if self._closed or self.attention else self._take_place()
            if place is None:
                return
            try:
                connection = self._open_one(place, until)
            except (NetworkError, ServerError, ProtocolError):
                return
            self.take_back(connection)

    def open_beside(self, until: float = math.inf) -> Connection:
        """Return a connection that takes no place: its caller's until he closes it, or the pool ends.

        For what has to go on while all places are taken. It is counted in `opened` and by the hooks, nowhere else.

        Args:
            until: When the caller's time is over (time.monotonic()).

        Raises:
            PoolClosed: The pool is closed.
            NetworkError, ServerError, ProtocolError: As for a connection of the pool.
        """
        if self._closed:
            raise self._is_over()
        return self._open_one(Place(), until)

    # Giving back. ----------------------------------------------------------------------------------------------------

    def give_back(self, connection: Connection) -> None:
        """Take back a connection that was borrowed; it is kept if it can be used again and there is room, else closed.

        Raises:
            UsageError: It was given back already, or another pool has lent it; whoever has it now is not disturbed.
        """
        self._check_returned(connection)
        self.take_back(connection)

    def take_back(self, connection: Connection) -> None:
        """Take a connection that this pool or its clients popped from `idle`; as `give_back`, without its check."""
        keep = self._has_space() and self._is_fit(connection, probe="return" in self.options.check)
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
                connection, place = self._next_free()
                if connection is None and place is None:
                    return
                try:
                    waiter: _Waiter = self.attention.popleft()
                except IndexError:  # a signal handler has served it meanwhile
                    if connection is not None:
                        self.idle.append(connection)
                    if place is not None:
                        place.is_free = True
                    return
                waiter.connection, waiter.place = connection, place
                waiter.signal.release()

    def _next_free(self) -> tuple[Connection | None, Place | None]:
        try:
            return self.idle.pop(), None
        except IndexError:
            return None, self._take_place()

    def _close_idle(self) -> None:
        """Close the idle connections one by one: each is ours from its pop() on, and nobody else's."""
        while self.idle:
            try:
                connection = self.idle.pop()
            except IndexError:
                return
            connection.close()

    def _discard(self, connection: Connection) -> None:
        connection.close()
        if self.attention:
            self.serve()

    # The whole. ------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Close every connection; calls under way fail with ConnectionLost, later ones with PoolClosed."""
        with self._lock:  # each step again the second time: the first may have been interrupted
            self._closed = True
            waiting = list(self.attention)
            self.attention.clear()
            self.attention.append(_Waiter())  # a mark: whoever gives back from now on comes by serve()
        for waiter in waiting:
            if waiter.signal.locked():
                waiter.signal.release()
        self._close_idle()
        for connection in self._alive():
            connection.interrupt()

    def stats(self) -> PoolStats:
        """Return the counts of this moment."""
        with self._lock:  # a place is counted before it is known whether there is one
            return super().stats()

    def _abandon(self) -> None:
        """Start anew in a forked child; the parent's connections are not touched beyond their descriptors."""
        super()._abandon()
        self._lock = threading.RLock()
        if self._closed:
            self.attention.append(_Waiter())
