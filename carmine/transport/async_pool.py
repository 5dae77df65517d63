"""The pool of asyncio connections for one caller at a time: bounded, last in first out, fair to those who wait.

Beside them stand the shared ones (multiplexer.py), which most commands use. All belong to the first event loop they are
used on; nothing here waits but for a connection. Invariants: at most `pool_size` connections exist or are being opened;
one that owes a reply, or is not usable for any other reason, is closed and never handed out; who waits longest is
served first; whatever a cancelled caller was given goes on to the next; a connection that was dropped without being
given back frees its place.
"""

from __future__ import annotations

import asyncio
import math
import time
import weakref
from typing import TYPE_CHECKING, Any

from carmine.errors import CarmineError, NetworkError, ServerError
from carmine.transport.async_connection import AsyncConnection, AsyncConnector
from carmine.transport.bookkeeping import Place, PoolBook, PoolStats
from carmine.transport.home import Home
from carmine.transport.hooks import tell
from carmine.transport.multiplexer import Multiplexer

if TYPE_CHECKING:
    from carmine.transport.options import Options

__all__ = ["AsyncPool"]


class _Waiter:
    """A caller in the queue, with the place or the connection it was served; its future is done when it was."""

    __slots__ = ("connection", "place", "signal")

    def __init__(self, signal: asyncio.Future[None]) -> None:
        self.signal = signal
        self.connection: AsyncConnection | None = None
        self.place: Place | None = None


class AsyncPool(PoolBook[AsyncConnection]):
    """Connections of one set of options, shared by any number of tasks and clients of one event loop.

    Attributes:
        options: What its connections are opened with.
        multiplexer: The shared connections.
        idle: The connections nobody uses, the latest used last.
        attention: True in a boolean context when a returned connection must be looked at: somebody waits, or the
            pool is closed.
        is_plain: Whether a connection may be popped from `idle` and used without further checks.
    """

    __slots__ = ("_connector", "_home", "multiplexer")

    def __init__(self, options: Options) -> None:
        self._connector = AsyncConnector(options)
        self._home = Home(str(options.address))
        self.multiplexer: Multiplexer = Multiplexer(self._connector, self._home)
        super().__init__(options)

    # Borrowing. ------------------------------------------------------------------------------------------------------

    async def borrow(self, note: str | None = None, until: float = math.inf) -> AsyncConnection:
        """Return a connection nobody else uses; give it back with `give_back`.

        Args:
            note: What it is wanted for, when that is more than one call.
            until: When the caller's own time is over (time.monotonic()).

        Raises:
            UsageError: The pool belongs to another event loop.
            PoolClosed: The pool is closed.
            PoolTimeout: All connections stayed in use for `pool_timeout` seconds.
            NetworkError, ServerError, ProtocolError: A new connection could not be opened.
        """
        self._home.enter()
        connection = await self._from_idle(until) or await self._from_queue(until)
        task = asyncio.current_task() if note is not None else None
        return self._lend(connection, note and f"{note} in task {task.get_name() if task else '?'!r}")

    async def _from_idle(self, until: float) -> AsyncConnection | None:
        """Return an idle connection that passes the checks, or None."""
        while self.idle and not self._closed and not self.attention:
            connection = self.idle.pop()
            if await self._is_fit(connection, until):
                return connection
        return None

    async def _is_fit(self, connection: AsyncConnection, until: float) -> bool:
        """Whether a connection may be used; one that may not, or whose check was cancelled, is closed."""
        is_fit = False
        try:
            is_fit = time.monotonic() < connection.expires and await connection.probe()
            if is_fit and "borrow" in self.options.check:
                is_fit = await self._answers(connection, until)
        finally:
            if not is_fit:
                connection.close()
        return is_fit

    async def _answers(self, connection: AsyncConnection, until: float = math.inf) -> bool:
        left = min(self.options.connect_timeout, max(0.001, until - time.monotonic()))
        try:
            return bool(await connection.execute((b"PING",), True, left) == "PONG")
        except CarmineError:
            return False

    async def _from_queue(self, until: float) -> AsyncConnection:
        if self._closed:
            raise self._is_over()
        place = self._take_place() if not self.attention else None
        if place is None:
            waiter = _Waiter(self._home.enter().create_future())
            self.attention.append(waiter)
            given = await self._wait(waiter, time.monotonic(), until)
            if isinstance(given, AsyncConnection):
                return given
            place = given
        return await self._open_in(place, until)

    async def _wait(self, waiter: _Waiter, began: float, until: float) -> AsyncConnection | Place:
        """Wait in the queue; return what the pool had to give."""
        loop = self._home.enter()
        patience = math.inf if self.options.pool_timeout is None else self.options.pool_timeout
        left = max(0.0, min(began + patience, until) - time.monotonic())
        alarm = None if left == math.inf else loop.call_later(left, self._dismiss, waiter)
        try:
            await waiter.signal
        except BaseException:
            self._dismiss(waiter)
            if waiter.connection is not None:
                self.take_back(waiter.connection)
            if waiter.place is not None:
                waiter.place.is_free = True
            self.serve()
            raise
        finally:
            if alarm is not None:
                alarm.cancel()
        waited = time.monotonic() - began
        connection, place = waiter.connection, waiter.place
        timed_out = connection is None and place is None and not self._closed
        tell(self._hooks, "on_pool_wait", waited, timed_out)
        if timed_out:
            raise self._exhausted(waited)
        if connection is not None:
            if await self._is_fit(connection, until):
                return connection
            place = self._take_place()  # the one that this closing has freed, unless somebody was quicker
            if place is None and not self._closed:
                again = _Waiter(loop.create_future())
                self.attention.appendleft(again)
                return await self._wait(again, began, until)
        if place is None:
            raise self._is_over("a caller waited for a connection")
        return place

    def _dismiss(self, waiter: _Waiter) -> None:
        """Let a caller go with nothing; harmless when it was served."""
        if not waiter.signal.done():
            waiter.signal.set_result(None)
        if waiter in self.attention:
            self.attention.remove(waiter)

    async def _open_in(self, place: Place, until: float) -> AsyncConnection:
        """Open a connection for a place that was taken; on any error the place goes to the next in the queue."""
        try:
            connection = await self._open_one(place, until)
        except BaseException:
            place.is_free = True
            self.serve()
            raise
        try:
            await self._top_up(until)
        except BaseException:
            self.take_back(connection)
            raise
        return connection

    async def _open_one(self, place: Place, until: float = math.inf) -> AsyncConnection:
        began = time.monotonic()
        where = str(self.options.address)
        try:
            connection = await self._connector.open(AsyncConnection, until)
        except Exception as error:
            tell(self._hooks, "on_error", where, error)
            raise
        us: weakref.ref[AsyncPool] = weakref.ref(self)
        itself = weakref.ref(connection)  # the loop keeps the transport, and that this function
        hooks = self._hooks
        connection.on_close = lambda: _note_closed(us, itself, hooks, where)
        self._enter(connection, place)
        self._tell_opened(began)
        if self._closed:
            connection.close()
            raise self._is_over("a connection was opened")
        return connection

    async def _top_up(self, until: float) -> None:
        """Open what `min_idle` asks for; a server that refuses now is asked again with the next connection.

        It takes half of the caller's own time at most: the rest is for what he wants.
        """
        now = time.monotonic()
        until = now + (until - now) / 2
        while len(self.idle) < self.options.min_idle:
            place = None if self._closed or self.attention else self._take_place()
            if place is None:
                return
            try:
                connection = await self._open_one(place, until)
            except BaseException as error:
                place.is_free = True
                if isinstance(error, (NetworkError, ServerError)):
                    return
                raise
            self.take_back(connection)

    async def open_beside(self, until: float = math.inf) -> AsyncConnection:
        """Return a connection that takes no place: its caller's until he closes it, or the pool ends.

        For what has to go on while all places are taken. It is counted in `opened` and by the hooks, nowhere else.

        Args:
            until: When the caller's time is over (time.monotonic()).

        Raises:
            UsageError: The pool belongs to another event loop.
            PoolClosed: The pool is closed.
            NetworkError, ServerError, ProtocolError: As for a connection of the pool.
        """
        self._home.enter()
        if self._closed:
            raise self._is_over()
        return await self._open_one(Place(), until)

    # Giving back. ----------------------------------------------------------------------------------------------------

    async def give_back(self, connection: AsyncConnection) -> None:
        """Take back a connection that was borrowed; it is kept if it can be used again and there is room, else closed.

        Raises:
            UsageError: It was given back already, or another pool has lent it; whoever has it now is not disturbed.
        """
        self._check_returned(connection)
        try:
            if "return" in self.options.check and connection.is_usable and not await self._answers(connection):
                connection.close()
        finally:
            self.take_back(connection)

    def take_back(self, connection: AsyncConnection) -> None:
        """Take a connection that this pool or its clients popped from `idle`; nothing here waits or is cancelled."""
        if self._has_space() and connection.is_usable and time.monotonic() < connection.expires:
            self.idle.append(connection)
        else:
            connection.close()
        if self.attention:
            self.serve()
        self.tidy()

    def serve(self) -> None:
        """Hand what is there to those who wait, the longest first; close what comes back to a closed pool."""
        if self._closed:
            while self.idle:
                self.idle.pop().close()
            return
        while self.attention:
            waiter = self.attention[0]
            if waiter.signal.done():  # cancelled in this moment
                self.attention.popleft()
                continue
            if self.idle:
                waiter.connection = self.idle.pop()
            else:
                waiter.place = self._take_place()
                if waiter.place is None:
                    return
            self.attention.popleft()
            waiter.signal.set_result(None)

    def _serve_soon(self) -> None:
        if self._home.loop is not None and not self._home.loop.is_closed():
            self._home.loop.call_soon(self.serve)

    # The whole. ------------------------------------------------------------------------------------------------------

    async def aclose(self) -> None:
        """Close every connection; calls under way fail with ConnectionLost, later ones with PoolClosed.

        Raises:
            UsageError: The pool belongs to another event loop, which is not closed.
        """
        is_here = self._home.is_here()
        if self._closed:
            return
        self._closed = True
        waiting = [*self.attention]
        self.attention.clear()
        self.attention.append(None)  # a mark: whoever gives back from now on comes by serve()
        everything = self._alive()
        while self.idle:
            self.idle.pop().close()
        for waiter in waiting:
            if not waiter.signal.done() and not waiter.signal.get_loop().is_closed():
                waiter.signal.set_result(None)
        for connection in everything:
            connection.interrupt()
        await self.multiplexer.aclose()
        if is_here:
            for connection in everything:
                await connection.wait_closed()

    def stats(self) -> PoolStats:
        """Return the counts of this moment."""
        book, shared = super().stats(), self.multiplexer
        return book._replace(opened=book.opened + shared.opened, shared=len(shared.everything))

    def _abandon(self) -> None:
        super()._abandon()
        self.multiplexer.abandon()
        self._home.loop = None
        if self._closed:
            self.attention.append(None)


def _note_closed(
    pool: weakref.ref[AsyncPool], connection: weakref.ref[AsyncConnection], hooks: Any, where: str
) -> None:
    """Take a connection that has ended out of the idle ones, and let the next caller have its place."""
    tell(hooks, "on_close", where)
    book, closed = pool(), connection()
    if book is None:
        return
    if closed is not None and closed in book.idle:
        book.idle.remove(closed)
    if book.attention:
        book._serve_soon()
