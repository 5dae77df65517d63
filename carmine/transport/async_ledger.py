"""The ledger of one asyncio transport: which calls wait for which replies, and how all of them learn of its end.

The transport receives into the parser's own buffer; replies go to the calls that wait, in their order, and it is the
queue of calls that a multiplexed connection will fill. Invariants: replies and calls pair in order, or the connection
ends; reading goes on while writing waits, so that full socket buffers cannot stop both sides; no timer is made for a
call while an earlier one still runs; the end is told once, to everybody who waits, or to the first who asks later.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import socket
from asyncio import get_running_loop
from collections import deque
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, cast

from carmine.errors import (
    CarmineError,
    ConnectionLost,
    NetworkError,
    Outcome,
    ProtocolError,
    ReadTimeout,
    UsageError,
    WriteTimeout,
)
from carmine.protocol import NEED_DATA, Attributed, Parser, Push
from carmine.protocol.values import is_push

if TYPE_CHECKING:
    from collections.abc import Callable

    from carmine.transport.bookkeeping import Place

__all__ = ["SLICE", "AsyncLedger", "Call", "wake"]

_QUIET: Final = 1e-3
"""Seconds of idleness after which a call looks at the socket first, as the blocking wire does."""
_READ: Final = 1 << 14
"""Bytes asked for by a read; four times as much once a read was filled."""
_UNASKED: Final = (Push, Attributed)
SLICE: Final = 1 << 17
"""Bytes given to the transport at once: what it cannot write it copies."""


class Call:
    """Commands under way: how many replies are to come, how they are read, and who waits for them."""

    __slots__ = ("decode", "each", "future", "left", "modes", "replies", "value")

    def __init__(
        self,
        future: asyncio.Future[Any],
        decode: bool,
        each: bool = False,
        left: int = 1,
        replies: list[Any] | None = None,
        modes: bytes | None = None,
    ) -> None:
        self.future: asyncio.Future[Any] = future
        self.decode: bool = decode
        self.each: bool = each
        self.left: int = left
        self.replies: list[Any] | None = replies
        self.modes: bytes | None = modes
        self.value: Any = None


class AsyncLedger(asyncio.BufferedProtocol):
    """What is under way on one transport.

    Args:
        sock: The connected socket below the transport: looked at before an idle connection is used.
        parser: The connection's own parser.
        address: Where the socket leads, for error messages.
        timeout: Seconds a call may take when it names no other; None for no limit.

    Attributes:
        place: What counts the connection in its pool; let go at the end.
        pushes: Pushes that nobody has read.
        gone: A future that is done when the transport has closed the socket.
        on_close: Called when the connection ends, by whatever means, once.
    """

    __slots__ = (
        "_alive",
        "_busy",
        "_calls",
        "_fresh",
        "_got",
        "_handed",
        "_last_used",
        "_looked",
        "_loop",
        "_loss",
        "_max_pushes",
        "_parser",
        "_push_waiter",
        "_socket",
        "_timeout",
        "_timer",
        "_timer_at",
        "_transport",
        "_want",
        "_writable",
        "address",
        "gone",
        "is_stream",
        "look_after",
        "max_idle",
        "on_close",
        "place",
        "pushes",
    )

    def __init__(self, sock: socket.socket, parser: Parser, address: str, timeout: float | None) -> None:
        self._loop = get_running_loop()
        self._socket = sock
        self._parser = parser
        self.address: str = address
        self.pushes: deque[Any] = deque()
        self.place: Place | None = None
        self.is_stream: bool = False
        self.look_after: float = _QUIET
        self.max_idle: float = math.inf
        self.on_close: Callable[[], object] | None = None
        self.gone: asyncio.Future[None] = self._loop.create_future()
        self._transport: asyncio.Transport | None = None
        self._calls: deque[Call] = deque()
        self._timeout = math.inf if timeout is None else timeout
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = math.inf
        self._max_pushes = parser.limits.pushes
        self._push_waiter: asyncio.Future[None] | None = None
        self._writable: asyncio.Future[None] | None = None  # set while the transport takes no more
        self._alive = True
        self._busy = False  # somebody is inside a method that is no call in the queue
        self._fresh = True  # nothing was asked yet: what comes first may be the reason of a refusal
        self._loss: CarmineError | None = None  # what ended it, if nobody was there to be told
        self._last_used = self._looked = monotonic()
        self._want = _READ
        self._handed = self._got = 0  # bytes given to the transport and received, by the call under way

    @property
    def owed(self) -> int:
        """Replies that have not come."""
        return sum(call.left for call in self._calls)

    def _take_loss(self) -> CarmineError:
        """Return what ended the connection, to the first who asks."""
        loss, self._loss = self._loss, None
        return loss or UsageError(f"the connection to {self.address} is closed")

    def _write(self, out: memoryview) -> None:
        """Hand bytes to the transport, which tries to send them at once."""
        transport = self._transport
        if transport is None or not self._alive:
            return  # the call was told
        transport.write(out)
        if not transport.is_closing():  # else nothing of it went out, and connection_lost() will say why
            self._handed += len(out)

    async def _flush(self, out: memoryview) -> None:
        """Write everything, waiting whenever the peer cannot take more."""
        for start in range(0, len(out), SLICE):
            while self._writable is not None and self._alive:
                await self._writable
            self._write(out[start : start + SLICE])

    def _enter(self, call: Call) -> None:
        """Take the last place in the queue."""
        if not self._calls:
            self._parser.decode, self._parser.each = call.decode, call.each
        self._calls.append(call)

    def _advance(self) -> None:
        """Give the replies that have come to the calls that wait for them, in order."""
        parser, calls = self._parser, self._calls
        last: Call | None = None
        try:
            while calls:
                call = calls[0]
                modes = call.modes
                if modes is not None:
                    parser.decode = modes[-call.left] != 0
                value = parser.next_reply()
                if value is NEED_DATA:
                    return
                if isinstance(value, _UNASKED) and is_push(value):
                    self._keep(value)
                    continue
                if call.replies is None:
                    call.value = value
                else:
                    call.replies.append(value)
                call.left -= 1
                if not call.left:
                    last = calls.popleft()
                    if calls:
                        if not call.future.done():
                            call.future.set_result(call.value)
                        following = calls[0]
                        if following.decode is not call.decode or modes is not None:
                            parser.decode = following.decode
                        if following.each is not call.each:
                            parser.each = following.each
            if not parser.is_idle:
                self._read_pushes()
        except ConnectionLost as error:
            self._end_with(error, last)
        except ProtocolError as error:
            if calls or last is not None:
                self._end_with(error, last)
            else:  # nothing was sent: for the next caller it is a connection that had died
                self._give_up(self._lose_text(f"the idle connection had bytes that are not RESP ({error.reason})"))
        except BaseException as error:
            self._end_with(self._lose_text(f"the replies could not be read: {type(error).__name__}"), last)
            if not isinstance(error, Exception):
                raise
        else:
            if last is not None:
                self._handed = self._got = 0  # what befalls the idle connection concerns no command
                _settle(last)
                self._rest()

    def _rest(self) -> None:
        """Be told that nothing is owed any more."""

    def _end_with(self, error: CarmineError, last: Call | None) -> None:
        """End the connection; a call whose last reply came together with the reason hears of it as well."""
        if last is not None:
            self._calls.appendleft(last)
        self._give_up(error)

    def _read_pushes(self) -> None:
        """Keep the pushes that have come while no reply is owed; anything else is out of step."""
        parser = self._parser
        while True:
            parser.decode = parser.push_decode
            value = parser.next_reply()
            if value is NEED_DATA:
                if parser.is_idle or parser.is_in_push or self.is_stream:  # of a push begun the rest will follow
                    return
                raise self._surplus()
            if not self.is_stream and not is_push(value):
                raise self._surplus()
            self._keep(value)

    def _keep(self, push: Any) -> None:
        if len(self.pushes) >= self._max_pushes:
            raise self._lose_text(f"{self._max_pushes} pushes wait unread; the connection is closed")
        self.pushes.append(push)
        if self._push_waiter is not None:
            wake(self._push_waiter)

    def _set_timer(self, at: float) -> None:
        """Be called at an instant; the one timer is moved only to an earlier one, and looks again when it fires."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = at
        self._timer = None if at == math.inf else self._loop.call_later(max(0.0, at - monotonic()), self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._timer_at = math.inf
        self._check_time(monotonic())

    def _check_time(self, now: float) -> None:
        """End what is too late, and set the timer for the rest."""
        raise NotImplementedError

    def _too_late(self, began: float) -> NetworkError:
        """Return the error for a call that was not complete in time."""
        sent, waited = self._sent(), monotonic() - began
        if self._writable is not None or sent < self._handed:
            return WriteTimeout(
                f"the peer took only {sent} bytes within {waited:.3g} s", outcome=self._outcome(), address=self.address
            )
        return ReadTimeout(
            f"no complete reply within {waited:.3g} s: {sent} bytes sent, {self._got} received, {self.owed} replies "
            "owed",
            outcome=self._outcome(),
            address=self.address,
        )

    def _sent(self) -> int:
        """Return how many bytes of this call the system has taken, at most."""
        waiting = self._transport.get_write_buffer_size() if self._transport is not None and self._alive else 0
        return max(0, self._handed - waiting)

    def _outcome(self) -> Outcome:
        return Outcome.UNKNOWN if self._sent() else Outcome.NOT_SENT

    def _surplus(self) -> NetworkError:
        return self._lose_text(
            "a reply came that no command asked for; the connection is closed, since its replies and commands are out "
            "of step"
        )

    def _lose_text(self, what: str) -> NetworkError:
        return ConnectionLost(what, outcome=self._outcome(), address=self.address)

    def _lose(self, what: str, problem: BaseException | None) -> NetworkError:
        """Return the error for a connection that is lost."""
        if problem is not None:
            what = f"{what}: {getattr(problem, 'strerror', None) or type(problem).__name__}"
        return self._lose_text(what)

    def close(self) -> None:
        """Close the socket and refuse every further call; one under way fails.

        Harmless the second time, from another thread, and when the loop is closed.
        """
        loop = self._loop
        if not self._alive and self.place is None:
            return
        if loop.is_running() and asyncio._get_running_loop() is not loop:
            with contextlib.suppress(RuntimeError):  # the loop was closed in this moment
                loop.call_soon_threadsafe(self.close)  # the garbage collector runs in any thread
                return
        if loop.is_closed():
            self._drop()
        else:
            self._give_up(self._lose_text("the connection was closed during a call") if self._calls else None)

    def interrupt(self) -> None:
        """End the call that a task has under way, and let whoever comes next know that it was ended."""
        if self._alive and not self._loop.is_closed():
            self._give_up(self._lose_text("the connection was closed by another task"))
        else:
            self.close()

    def _give_up(self, error: CarmineError | None) -> None:
        """End the connection and tell whoever waits; the first error counts."""
        if not self._alive:
            if self._calls:  # the first call on a connection that was lost before it
                self._tell(error)
                self._loss = None
            return
        if isinstance(error, ProtocolError):
            error.address = self.address
        self._set_timer(math.inf)
        is_known = self._tell(error)  # while the transport can say what it has not sent
        self._alive = False
        if not is_known:
            self._loss = error
        if self._transport is not None:
            self._transport.abort()
            with contextlib.suppress(OSError):  # then the peer knows
                self._socket.shutdown(socket.SHUT_RDWR)  # it is to know before the loop's next round
        self._free()

    def _tell(self, error: CarmineError | None) -> bool:
        """Give everybody who waits the error; False when nobody did."""
        waiting = [call.future for call in self._calls]
        self._calls.clear()
        if self._push_waiter is not None:
            waiting.append(self._push_waiter)
        for future in waiting:
            if not future.done():
                future.set_exception(error or UsageError(f"the connection to {self.address} is closed"))
        if self._writable is not None:
            wake(self._writable)
        return bool(waiting)

    def _free(self) -> None:
        """Free the place in the pool."""
        if self.place is not None:
            self.place.is_free = True
            self.place = None
        told, self.on_close = self.on_close, None
        if told is not None:
            told()

    def _drop(self) -> None:
        """Let go of everything without a loop, which is closed."""
        self._alive = False
        self._calls.clear()
        self._socket.close()
        self._free()

    def abandon(self) -> None:
        """Let go of the descriptor after fork(), in the child: the loop's own descriptor is the parent's as well."""
        self._alive = False
        self._calls.clear()
        self.on_close = self.place = None
        self._socket.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Lend the parser's own memory."""
        return self._parser.get_buffer(self._want)

    def buffer_updated(self, nbytes: int) -> None:
        """Take what was received."""
        if not self._alive:
            return
        self._got += nbytes
        self._last_used = monotonic()
        if nbytes >= self._want:
            self._want = _READ * 4
        try:
            self._parser.received(nbytes)
        except ProtocolError as error:
            self._give_up(error)
            return
        if self._calls or not self._fresh:
            self._advance()

    def eof_received(self) -> None:
        """End with the stream."""
        self._give_up(self._lose(f"the server closed the connection{self._while()}", None))

    def connection_lost(self, exc: Exception | None) -> None:
        """End with the transport."""
        what = "the connection was lost" if exc is not None else "the server closed the connection"
        error = self._lose(f"{what}{self._while()}", exc)
        error.__cause__ = exc
        self._transport = None
        self._give_up(error)
        if not self.gone.done():
            self.gone.set_result(None)

    def _while(self) -> str:
        return " while a command was sent" if self._writable is not None else ""

    def pause_writing(self) -> None:
        """Let writers wait."""
        self._writable = self._loop.create_future()

    def resume_writing(self) -> None:
        """Let writers go on."""
        writable, self._writable = self._writable, None
        if writable is not None:
            wake(writable)


def wake(waiter: asyncio.Future[None]) -> None:
    """Let go on who waits."""
    if not waiter.done():
        waiter.set_result(None)


def _settle(call: Call) -> None:
    if not call.future.done():
        call.future.set_result(call.value)
