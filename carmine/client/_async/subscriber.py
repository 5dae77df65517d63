"""The half of pub/sub that waits: a connection of its own, whose subscriptions outlive it, and one who reads it.

Whoever waits for something reads, one at a time; the others hear of what it has read. Invariants: a message is kept
whole or not at all, in order, once; after a lost connection everything wanted is subscribed to before the mark of the
gap, and that before what comes next; nothing is read that nobody waits for, so a slow consumer slows the server and
not this process's memory; an exception that strikes at any line costs the connection at most, and the gap is marked.
"""

from __future__ import annotations

import math
import time
from collections import deque
from typing import TYPE_CHECKING, Final

from carmine import _checks
from carmine._bridge import aio
from carmine.client.subscriptions import Asked, Lost, Message, Reconnected, Subscriptions, is_passing
from carmine.client.timing import after
from carmine.errors import (
    CarmineError,
    ConnectionLost,
    NetworkError,
    Outcome,
    ProtocolError,
    ReadTimeout,
    UsageError,
)
from carmine.transport.bookkeeping import chance
from carmine.transport.hooks import tell

if TYPE_CHECKING:
    from collections.abc import Callable

    from carmine.client.async_engine import AsyncEngine
    from carmine.client.subscriptions import Event, Handler
    from carmine.transport.async_connection import AsyncConnection

__all__ = ["AsyncSubscriber"]

_LOOK_AGAIN: Final = 0.1
"""Seconds after which a waiter looks itself: what a signal handler raised may have eaten its wake-up."""
_AHEAD: Final = 1024
"""Messages that are kept while a caller waits for the confirmation behind them."""


class AsyncSubscriber:
    """What is wanted of a server, the connection over which it comes, and what has come.

    Args:
        client: Whose pool gives the connection.
        ping: Seconds of silence after which a reader asks whether the server is there, and as many for the answer.
        tells_all: Whether confirmations and losses are events as well, as a listener wants them.
    """

    def __init__(self, client: AsyncEngine, *, ping: float | None, tells_all: bool) -> None:
        self._client = client
        self._ping = math.inf if ping is None else _checks.seconds("ping=", ping, least=_checks.SHORTEST_WAIT)
        self._tells_all = tells_all
        self._subscriptions = Subscriptions()
        self._ready: deque[tuple[Event, Handler | None]] = deque()
        self._connection: AsyncConnection | None = None
        self._opening: AsyncConnection | None = None  # until all that is wanted is subscribed to
        self._mutex = aio.Mutex()  # who sends, and who changes the connection
        self._turn = aio.Turn()  # who reads
        self._waiting: list[aio.Signal] = []  # those who wait while another reads
        self._stop = aio.Signal()
        self._is_closed = False
        self._loss: CarmineError | None = None  # what ended the last connection, until there is another
        self._attempts = 0
        self._retry_at = 0.0
        self._heard = 0.0
        self._pinging: Asked | None = None

    # Asking. ----------------------------------------------------------------------------------------------------------

    async def _ask(self, ask: Callable[[], Asked | None]) -> None:
        """Send a command and wait for what answers it, unless too many messages before it must be read first."""
        deadline = after(self._client._pool.options.read_timeout)
        connection, asked = await self._send_new(ask, deadline)
        if asked is None:
            return
        if not await self._until(lambda: asked.is_settled or len(self._ready) >= _AHEAD, deadline):
            raise self._late("no confirmation")
        asked.raise_refusal(connection.address)

    async def _send_new(self, ask: Callable[[], Asked | None], deadline: float) -> tuple[AsyncConnection, Asked | None]:
        """Send a command on the connection, made if there is none; return both."""
        while True:
            if not await self._until(lambda: self._connection is not None, deadline):
                raise self._late("no connection")
            connection = self._connection
            if connection is None:
                continue  # lost again
            async with self._mutex:
                if self._connection is not connection:
                    continue
                asked = ask()
                problem = None if asked is None else await self._send(connection, asked)
            if problem is not None:
                await self._lose(connection, problem)  # whoever reads next subscribes anew
            return connection, asked

    async def _send(self, connection: AsyncConnection, asked: Asked) -> NetworkError | None:
        try:
            await connection.send(asked.words)
        except NetworkError as problem:
            return problem
        except UsageError as problem:  # it was closed in this moment, or a call that was struck is in it for ever
            lost = NetworkError(str(problem), outcome=Outcome.NOT_SENT)
            lost.__cause__ = problem.with_traceback(None)  # its frames would keep the connection, which has a place
            return lost
        return None

    def _late(self, what: str) -> ReadTimeout:
        address = str(self._client._pool.options.address)
        return ReadTimeout(f"{what} within read_timeout", outcome=Outcome.UNKNOWN, address=address)

    # What has come. ---------------------------------------------------------------------------------------------------

    async def _next_event(self, deadline: float) -> tuple[Event | None, Handler | None]:
        """Return the next event and its handler; raise the DecodeError of one that is not text."""
        while True:
            try:
                event, handler = self._ready.popleft()
            except IndexError:
                self._check_open()
                if not await self._until(self._has_some, deadline):
                    return None, None
                continue
            if isinstance(event, Exception):
                raise event
            return event, handler

    def _has_some(self) -> bool:
        return bool(self._ready)

    # Reading. --------------------------------------------------------------------------------------------------------

    async def _until(self, is_done: Callable[[], bool], deadline: float) -> bool:
        """Read, or wait while somebody else reads, until something is so; False when the deadline has passed first."""
        if self._turn.take():
            return await self._read_until(is_done, deadline)
        signal = aio.Signal()
        self._waiting.append(signal)
        try:
            while True:
                signal.clear()
                if is_done():
                    return True
                self._check_open()
                if self._turn.take():
                    return await self._read_until(is_done, deadline)
                if time.monotonic() >= deadline:
                    return False
                await signal.wait(min(_LOOK_AGAIN, deadline - time.monotonic()))
        finally:
            self._waiting.remove(signal)

    async def _read_until(self, is_done: Callable[[], bool], deadline: float) -> bool:
        """Read, with the turn, which is given back."""
        try:
            while not is_done():
                if not await self._read(deadline):
                    return is_done()
                if self._waiting:
                    self._wake()
            return True
        finally:
            self._turn.leave()
            self._wake()

    def _wake(self) -> None:
        for signal in list(self._waiting):
            signal.give()

    async def _read(self, deadline: float) -> bool:
        """Take what comes next; False when nothing came before the deadline."""
        self._check_open()
        connection = self._connection
        if connection is None:
            return await self._connect(deadline)
        now = time.monotonic()
        try:
            value = await connection.next_push(max(0.0, min(deadline, self._due()) - now))
            if value is not None:
                self._heard = now if self._ping == math.inf else time.monotonic()
                self._keep(self._subscriptions.take(value), self._ready)
                return True
            return await self._bear_silence(connection, deadline)
        except (NetworkError, ProtocolError) as problem:
            await self._lose(connection, problem)
        except UsageError:  # it was closed in this moment, by whoever sends
            if connection.is_usable:
                raise
            await self._lose(connection, ConnectionLost("the connection was closed", address=str(connection.address)))
        except aio.CANCELLED:  # at an await: nothing was taken
            raise
        except BaseException:  # at any line, by a signal handler: a message may have been taken and not kept
            connection.close()
            raise
        return True

    def _keep(self, told: tuple[Event, Handler | None] | None, into: deque[tuple[Event, Handler | None]]) -> None:
        if told is None:
            return
        event = told[0]
        if self._tells_all or not isinstance(event, Message) or event.kind.endswith("message"):
            into.append(told)

    def _due(self) -> float:
        """Return when silence has lasted for too long."""
        return self._heard + self._ping

    async def _bear_silence(self, connection: AsyncConnection, deadline: float) -> bool:
        """Ask a silent server whether it is there; raise when it does not say so. False when the deadline is over."""
        now = time.monotonic()
        if now >= self._due():
            if self._pinging is not None and not self._pinging.is_settled:
                raise ReadTimeout(
                    f"no answer to a ping within {self._ping:.3g} s",
                    outcome=Outcome.UNKNOWN,
                    address=str(connection.address),
                )
            async with self._mutex:
                self._pinging = self._subscriptions.ping()
                self._heard = now
                problem = await self._send(connection, self._pinging)
            if problem is not None:
                raise problem
        return now < deadline

    # The connection. -------------------------------------------------------------------------------------------------

    async def _connect(self, deadline: float) -> bool:
        """Make a connection and subscribe to everything that is wanted; False when the deadline comes before its time.

        The first one is tried for as often as a command would be; a lost one is replaced whenever that is possible.
        """
        wait = self._retry_at - time.monotonic()
        if wait > 0:
            await self._stop.wait(min(wait, deadline - time.monotonic()))
            return time.monotonic() < deadline
        options = self._client._pool.options
        try:
            await self._subscribe_anew()
        except CarmineError as problem:
            self._attempts += 1
            seconds = options.retry.delay(self._attempts, chance())
            self._check_open()
            if self._loss is None:
                tries = options.retry.decide(problem, attempt=self._attempts, chance=0.0, readonly=True) is not None
            else:
                tries = is_passing(problem)
            if not tries:
                self._attempts = 0
                raise
            self._retry_at = time.monotonic() + seconds
            tell(self._client._hooks, "on_retry", "SUBSCRIBE", self._attempts, seconds, problem)
        return True

    async def _subscribe_anew(self) -> None:
        if self._opening is not None:  # an exception struck, perhaps when it had just been borrowed
            await self._discard(self._opening)
            self._opening = None  # whoever keeps it may keep its place in the pool
        connection = self._opening = await self._client._borrow("a pub/sub")
        deadline = after(self._client._pool.options.read_timeout)
        came: deque[tuple[Event, Handler | None]] = deque()
        try:
            connection.stream()
            flight = self._subscriptions.restart(connection.protocol)  # nobody asks while there is no connection
            self._pinging = None
            for asked in flight:
                await connection.send(asked.words)
            while not all(asked.is_settled for asked in flight) and len(came) < _AHEAD:
                value = await connection.next_push(max(0.0, deadline - time.monotonic()))
                if value is None:
                    raise self._late("no confirmation")
                self._keep(self._subscriptions.take(value), came)
            for asked in flight:
                asked.raise_refusal(connection.address)
            self._subscriptions.restarted()
            if self._loss is not None:
                self._ready.append((Reconnected(self._loss), None))
            self._ready.extend(came)
            self._heard = time.monotonic()
            self._attempts = 0
            async with self._mutex:
                self._check_open()
                self._connection = connection
        except BaseException:
            await self._discard(connection)
            raise
        self._opening = self._loss = None

    async def _lose(self, connection: AsyncConnection, problem: CarmineError) -> None:
        """Take note that the connection is lost; whoever reads next makes another."""
        if self._connection is connection and not self._is_closed:
            # First: whatever happens on the way, the gap is marked. Its traceback would keep the connection's frames.
            self._loss = problem.with_traceback(None)
        if not await self._discard(connection) or self._is_closed:
            return
        self._retry_at = 0.0
        tell(self._client._hooks, "on_error", str(connection.address), problem)
        if self._tells_all:
            self._ready.append((Lost(problem), None))

    async def _discard(self, connection: AsyncConnection) -> bool:
        """Close the connection and give its place back; False when somebody else has."""
        connection.close()  # before the mutex: a sender inside is woken
        async with self._mutex:
            is_ours = self._connection is connection or connection.lender is not None
            if self._connection is connection:
                self._connection = None
            if is_ours:
                await self._client._give_back(connection)
        return is_ours

    def _check_open(self) -> None:
        if self._is_closed:
            raise UsageError("this pub/sub is closed; make another one with client.pubsub()")

    @property
    def is_closed(self) -> bool:
        """Whether it was closed."""
        return self._is_closed

    async def aclose(self) -> None:
        """End all subscriptions and close the connection; a reader's iteration ends. Harmless the second time."""
        self._is_closed = True
        self._stop.give()
        for connection in (self._opening, self._connection):
            if connection is not None:
                await self._discard(connection)
        self._wake()
