"""The shared connections of one asyncio client: each carries the commands of any number of tasks.

They are opened when the first command wants one, by a task of their own, so that a caller who is cancelled takes
nothing from the others. Invariants: at most `connections` of them take calls; one that has ended or is too old is out
of `lines` before anybody else sees it; a call is under way on a connection that somebody holds.
"""

from __future__ import annotations

import asyncio
import copy
import math
import time
import weakref
from collections import deque
from contextvars import Context
from typing import TYPE_CHECKING, Any, ClassVar, Final

from carmine.errors import CarmineError, ConnectTimeout, NetworkError, PoolClosed
from carmine.transport.async_connection import AsyncConnection
from carmine.transport.bookkeeping import lifetime
from carmine.transport.hooks import tell
from carmine.transport.shared_io import SharedIO

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from carmine.transport.address import Address
    from carmine.transport.async_connection import AsyncConnector
    from carmine.transport.async_io import AsyncIO
    from carmine.transport.home import Home
    from carmine.types import Arg

__all__ = ["Multiplexer", "SharedConnection"]

_AGAIN: Final = 1.0
"""Seconds after which one more connection is tried again, when some are there and another could not be opened."""


class SharedConnection(AsyncConnection):
    """A connection that takes the calls of many tasks at once.

    Attributes:
        post: `(words, decode)` -> the future of the raw reply.
    """

    __slots__ = ("post",)

    _io: SharedIO
    carrier: ClassVar[type[AsyncIO]] = SharedIO

    def __init__(self, io: SharedIO, address: Address) -> None:
        super().__init__(io, address)
        self.post: Callable[[Sequence[Arg], bool], asyncio.Future[Any]] = io.post

    def post_many(
        self,
        commands: Sequence[Sequence[Arg]],
        decode: bool,
        replies: list[Any],
        modes: bytes | None = None,
        each: bool = False,
    ) -> asyncio.Future[Any]:
        """Take several commands, which stay together; the future is done when all replies are in `replies`."""
        return self._io.post_many(commands, decode, replies, modes, each)

    def watch(self, told: _Told, expires: float) -> None:
        """Say who hears of its pushes, when it takes no more calls and when it has ended."""
        self.expires = self._io.expires = expires
        self._io.on_push = told.push
        self._io.on_retire = told.retired
        self._io.on_close = told.closed

    def is_fit(self) -> bool:
        """Whether it takes calls now; an idle one is looked at, and ended if it has died unseen or is too old."""
        return self._io.is_fit()

    def retire(self) -> None:
        """Take no more calls; close when the last one is answered."""
        self._io.retire()

    def expire(self, future: asyncio.Future[Any], began: float) -> None:
        """End the wait of one caller whose own time is over."""
        self._io.expire(future, began)


class _Told:
    """What a connection tells; it holds neither the connection nor who opened it, for the loop holds it."""

    __slots__ = ("_connection", "_hooks", "_owner", "_where")

    def __init__(self, owner: Multiplexer, connection: SharedConnection, hooks: Any) -> None:
        self._owner = weakref.ref(owner)
        self._connection = weakref.ref(connection)
        self._hooks = hooks
        self._where = str(connection.address)

    def push(self, push: Any) -> None:
        tell(self._hooks, "on_push", self._where, push)

    def retired(self) -> None:
        owner, connection = self._owner(), self._connection()
        if owner is not None and connection is not None:
            owner._retire(connection)

    def closed(self) -> None:
        tell(self._hooks, "on_close", self._where)
        owner, connection = self._owner(), self._connection()
        if owner is not None and connection is not None:
            owner._forget(connection)


class Multiplexer:
    """Opens shared connections and keeps those that take calls.

    Attributes:
        lines: Those that take calls; clients keep this object.
        opened: How many were opened since the start.
    """

    __slots__ = ("__weakref__", "_closed", "_connector", "_home", "_opening", "_retired", "lines", "opened")

    def __init__(self, connector: AsyncConnector, home: Home) -> None:
        self.lines: deque[SharedConnection] = deque()
        self.opened: int = 0
        self._connector = connector
        self._home = home
        self._closed = False
        self._start()

    def _start(self) -> None:
        self._opening: asyncio.Task[SharedConnection] | None = None
        self._retired: list[SharedConnection] = []

    async def line(self, until: float = math.inf) -> SharedConnection:
        """Return a connection that takes calls; open one if there is none.

        Args:
            until: When the caller's own time is over (time.monotonic()); what is being opened is for others as well.

        Raises:
            UsageError: It belongs to another event loop.
            PoolClosed: It is closed.
            NetworkError, ServerError, ProtocolError: No connection could be opened.
        """
        loop = self._home.enter()
        while True:
            while self.lines:
                self.lines.rotate(-1)
                line = self.lines[0]
                if line.is_fit():
                    return line
                await asyncio.sleep(0)  # the loop reads what lies there; one that has ended is gone from `lines`
            if self._closed:
                raise self._is_over()
            opening = self._begin(loop)
            left = None if until == math.inf else max(0.0, until - time.monotonic())
            await asyncio.wait((opening,), timeout=left)
            if not opening.done():
                where = str(self._connector.options.address)
                raise ConnectTimeout("no connection before the caller's deadline", address=where)
            opened = self._outcome(opening)
            if opened is not None:
                return opened  # lost again by now, it says so itself: to open more and more would be no answer

    def _begin(self, loop: asyncio.AbstractEventLoop) -> asyncio.Task[SharedConnection]:
        """Return the task that opens a connection; make one if there is none."""
        opening = self._opening
        if opening is None or opening.done():  # cancelled before its first step, it could not say that it is over
            # Not in the caller's context: a deadline there is the caller's, not that of whoever waits as well.
            opening = self._opening = loop.create_task(self._open(), context=Context())
            opening.add_done_callback(_look_at)
        return opening

    def _outcome(self, opening: asyncio.Task[SharedConnection]) -> SharedConnection | None:
        if opening.cancelled():
            if self._closed:
                raise self._is_over()
            return None  # by somebody who cancels every task there is: whoever still waits opens it anew
        error = opening.exception()
        if isinstance(error, CarmineError):  # a copy: raised in several tasks, one would collect all tracebacks
            raise copy.copy(error) from error.__cause__
        return opening.result()

    async def _open(self) -> SharedConnection:
        """Open a connection; the others that are wanted follow when it takes calls."""
        try:
            opened = await self._open_one()
        except NetworkError:
            if self.lines:  # which go on without it
                us: weakref.ref[Multiplexer] = weakref.ref(self)
                asyncio.get_running_loop().call_later(_AGAIN, _fill_later, us)
            raise
        finally:
            self._opening = None
        self._fill()
        return opened

    def _fill(self) -> None:
        """Have one more opened if one is missing."""
        loop = self._home.loop
        if self._closed or loop is None or not loop.is_running():
            return
        if 0 < len(self.lines) < self._connector.options.connections:
            self._begin(loop)

    async def _open_one(self) -> SharedConnection:
        began = time.monotonic()
        options = self._connector.options
        where = str(options.address)
        try:
            connection = await self._connector.open(SharedConnection)
        except Exception as error:
            tell(options.hooks, "on_error", where, error)
            raise
        connection.watch(_Told(self, connection, options.hooks), lifetime(connection.opened, options.max_lifetime))
        self.opened += 1
        tell(options.hooks, "on_connect", where, time.monotonic() - began)
        if self._closed:
            connection.close()
            raise self._is_over()
        self.lines.append(connection)
        return connection

    def _retire(self, connection: SharedConnection) -> None:
        """Take a connection out of those that take calls, and hold it as long as it has some."""
        if connection in self.lines:
            self.lines.remove(connection)
            self._retired.append(connection)
            self._fill()

    def _forget(self, connection: SharedConnection) -> None:
        """Take out a connection that has ended."""
        if connection in self._retired:
            self._retired.remove(connection)
        if connection in self.lines:
            self.lines.remove(connection)
            self._fill()

    def _is_over(self) -> PoolClosed:
        return PoolClosed(f"the client of {self._connector.options.address} is closed; make a new one")

    @property
    def everything(self) -> list[SharedConnection]:
        """All that are open."""
        return [*self.lines, *self._retired]

    async def aclose(self) -> None:
        """Close every connection; calls under way fail with ConnectionLost, later ones with PoolClosed."""
        self._closed = True
        everything, opening = self.everything, self._opening
        self.lines.clear()
        self._retired.clear()
        for connection in everything:
            connection.interrupt()
        if not self._home.is_here():
            return
        if opening is not None:
            opening.cancel()
            await asyncio.wait((opening,))
        for connection in everything:
            await connection.wait_closed()

    def abandon(self) -> None:
        """Start anew in a forked child; nothing is written, read or shut down."""
        for connection in self.everything:
            connection.abandon()
        self.lines.clear()
        self._start()


def _look_at(opening: asyncio.Task[Any]) -> None:
    """Take note of an error nobody waits for any more; the hooks were told."""
    if not opening.cancelled():
        opening.exception()


def _fill_later(multiplexer: weakref.ref[Multiplexer]) -> None:
    owner = multiplexer()
    if owner is not None:
        owner._fill()
