"""Calls of any number of tasks over one asyncio transport: what was asked in one round of the loop leaves in one write.

Replies go to those who wait in the order of the commands. Invariants: a command is packed whole before its first byte
is written; a waiter that is gone (cancelled, or out of time) leaves its entry, which takes its reply; one that is gone
before the round ends was never sent; what the peer does not take waits here as it was given, not packed, and in order;
the connection ends when replies are owed and no byte has come for `timeout` seconds, and each waiter is told whether
its own command may have been executed.
"""

from __future__ import annotations

import copy
import sys
from asyncio import get_running_loop
from collections import deque
from itertools import chain, compress
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from carmine.errors import CarmineError, ConnectionLost, NetworkError, Outcome, ReadTimeout, UsageError
from carmine.protocol import encode, encode_many
from carmine.transport.async_io import AsyncIO
from carmine.transport.async_ledger import Call
from carmine.transport.home import wrong_loop

if TYPE_CHECKING:
    import asyncio
    import socket
    from collections.abc import Callable, Iterator, Sequence

    from carmine.protocol import Parser
    from carmine.types import Arg

__all__ = ["SharedIO"]

_FULL: Final = 1 << 20
"""Bytes of one round that leave before its end; also what may wait in the transport before callers wait here."""
_TICK: Final = 5e-3
"""Seconds between two looks at who is out of time, at least: each looks at all that is under way."""
_LOOKS: Final = 64
"""Rounds of the loop within which what has come to an idle socket is to be read."""


class _Flight(NamedTuple):
    """Commands that left in one write."""

    left_at: float
    last: int
    """How many calls had been sent before, and with it."""
    handed: int
    """How many bytes had been given to the transport before it."""


_HANDSHAKE: Final = _Flight(0.0, sys.maxsize, 0)
"""The flight of a call that is in none."""


class _Waiting(NamedTuple):
    """A call that waits until the peer takes more."""

    since: float
    call: Call
    commands: Sequence[Any]
    is_one: bool


class SharedIO(AsyncIO):
    """Calls over one transport, any number at once; made as AsyncIO, whose calls serve for the handshake.

    Attributes:
        on_push: Called with each push; it must not raise.
        expires: When it takes no more calls (time.monotonic()); it is closed when the last one is answered.
        on_retire: Called once when it takes no more calls.
    """

    __slots__ = (
        "_backlog",
        "_entered",
        "_expired",
        "_flights",
        "_is_due",
        "_looks",
        "_others",
        "_out",
        "_out_size",
        "_posted",
        "expires",
        "on_push",
        "on_retire",
    )

    def __init__(self, sock: socket.socket, parser: Parser, address: str, timeout: float | None) -> None:
        super().__init__(sock, parser, address, timeout)
        self.on_push: Callable[[Any], object] | None = None
        self.on_retire: Callable[[], object] | None = None
        self.expires: float = float("inf")
        self._posted: list[Call] = []  # of this round, with their bytes in _out
        self._out: list[bytes] = []
        self._out_size = 0
        self._is_due = False  # whether the loop will call _leave()
        self._looks = 0
        self._backlog: deque[_Waiting] = deque()
        self._flights: deque[_Flight] = deque()
        self._entered = 0
        self._expired: dict[asyncio.Future[Any], float] = {}
        # What else runs in this round, where the loop lets us see it (asyncio's own does, uvloop does not): to wait for
        # the end of a round that is ours alone costs 11 % of the processor time of a GET, and changes no write.
        self._others: Sequence[object] | None = getattr(self._loop, "_ready", None)

    # Asking. ---------------------------------------------------------------------------------------------------------

    def post(self, words: Sequence[Arg], decode: bool) -> asyncio.Future[Any]:
        """Take one command for the write at the end of this round, and return the future of its reply.

        Raises:
            UsageError: A word cannot be sent, or this is another event loop. Nothing was sent.
            ConnectionLost: The connection has ended. Nothing was sent.
        """
        loop = self._loop
        if get_running_loop() is not loop:
            raise wrong_loop(self.address, loop)
        if self._writable is not None or not self._alive:
            return self._wait(Call(loop.create_future(), decode), words, True)
        out = encode(*words)
        future = loop.create_future()
        self._posted.append(Call(future, decode))
        self._out.append(out)
        self._out_size += len(out)
        if not self._is_due:
            if self._others is not None and not self._others:
                self._leave()  # nobody else runs in this round, so this is its end
            else:
                self._is_due = True
                loop.call_soon(self._leave)
        elif self._out_size > _FULL and not self._looks:
            self._leave()
        return future

    def post_many(
        self,
        commands: Sequence[Sequence[Arg]],
        decode: bool,
        replies: list[Any],
        modes: bytes | None = None,
        each: bool = False,
    ) -> asyncio.Future[Any]:
        """Take several commands, which stay together; the future is done when all their replies are in `replies`.

        Raises:
            UsageError: A word cannot be sent, or this is another event loop. Nothing was sent.
            ConnectionLost: The connection has ended. Nothing was sent.
        """
        loop = self._loop
        if get_running_loop() is not loop:
            raise wrong_loop(self.address, loop)
        call = Call(loop.create_future(), decode, each, len(commands), replies, modes)
        if not commands:
            raise UsageError("no commands were given")
        if self._writable is not None or not self._alive:
            return self._wait(call, commands, False)
        self._admit(call, encode_many(commands))
        return call.future

    def is_fit(self) -> bool:
        """Whether it takes calls now; an idle one is looked at, and ended if it has died unseen or is too old.

        False as well while something lies unread, which the loop has to read first.
        """
        now = monotonic()
        if not self._alive or self._calls or self._posted or now - self._looked < self.look_after:
            return self._alive
        try:
            return self._is_quiet(now)
        except NetworkError as error:
            self._give_up(error)
            return False

    def _is_quiet(self, now: float) -> bool:
        """Look at the idle socket; False if the loop is to read first, and another look is due then."""
        if self._peek(now):
            self._looks = 0
            return True
        if self._looks >= _LOOKS:
            raise self._surplus()
        self._looks += 1
        self._looked = now - self.look_after
        return False

    def _wait(self, call: Call, commands: Sequence[Any], is_one: bool) -> asyncio.Future[Any]:
        """Let a call wait until the peer takes more."""
        if not self._alive:
            raise ConnectionLost("the connection has ended", outcome=Outcome.NOT_SENT, address=self.address)
        now = monotonic()
        self._backlog.append(_Waiting(now, call, commands, is_one))
        if now + self._timeout < self._timer_at:
            self._set_timer(now + self._timeout)
        return call.future

    def _admit(self, call: Call, out: bytes) -> None:
        self._posted.append(call)
        self._out.append(out)
        self._out_size += len(out)
        if not self._is_due:
            self._is_due = True
            self._loop.call_soon(self._leave)
        elif self._out_size > _FULL and not self._looks:
            self._leave()

    def expire(self, future: asyncio.Future[Any], began: float) -> None:
        """End the wait of one caller whose own time is over; its entry stays and takes the reply."""
        if not self._expired:
            self._loop.call_soon(self._tell_expired)  # in one walk for all of this round
        self._expired[future] = began

    def _tell_expired(self) -> None:
        expired, self._expired = self._expired, {}
        if not expired:
            return
        owed = self.owed
        for call, _, outcome in self._under_way():
            began = expired.pop(call.future, None)
            if began is not None and not call.future.done():
                call.future.set_exception(self._late(began, outcome, owed))
        for future, began in expired.items():
            if not future.done():
                future.set_exception(self._late(began, Outcome.NOT_SENT, owed))

    def _under_way(self) -> Iterator[tuple[Call, float, Outcome]]:
        """Walk the calls that were sent: when each left, and whether it may have been executed."""
        sent, number = self._sent(), self._entered - len(self._calls)
        flights = chain(self._flights, (_HANDSHAKE,))
        flight = next(flights)
        for call in self._calls:
            while number >= flight.last:
                flight = next(flights)
            yield call, flight.left_at, Outcome.UNKNOWN if flight.handed < sent else Outcome.NOT_SENT
            number += 1

    # Writing. --------------------------------------------------------------------------------------------------------

    def _leave(self) -> None:
        """Write what was asked in this round, after a look at the socket if it was idle."""
        self._is_due = False
        if not self._alive or not self._posted:
            return
        now = monotonic()
        if not self._calls and now - self._looked >= self.look_after:
            try:
                is_quiet = self._is_quiet(now)
            except NetworkError as error:
                self._give_up(error)
                return
            if not is_quiet:
                self._is_due = True
                self._loop.call_soon(self._leave)
                return
        self._send(now)
        if now >= self.expires:
            self.retire()

    def _send(self, now: float | None = None) -> None:
        """Give what was asked to the transport."""
        if self._expired:
            self._tell_expired()
        posted, out = self._posted, self._out
        self._posted, self._out, self._out_size = [], [], 0
        for call in posted:
            if call.future.done():  # cancelled, or out of time, in the round it was asked in: it is not sent
                wanted = [not call.future.done() for call in posted]
                posted, out = list(compress(posted, wanted)), list(compress(out, wanted))
                if not posted:
                    self._end_if_done()
                    return
                break
        now = monotonic() if now is None else now
        calls = self._calls
        self._forget_answered()
        if calls:
            calls.extend(posted)
        else:
            self._parser.decode, self._parser.each = posted[0].decode, posted[0].each
            calls.extend(posted)
            if now + self._timeout < self._timer_at:
                self._set_timer(now + self._timeout)
        self._entered += len(posted)
        self._flights.append(_Flight(now, self._entered, self._handed))
        self._write(memoryview(out[0] if len(out) == 1 else b"".join(out)))

    def _forget_answered(self) -> None:
        flights, answered = self._flights, self._entered - len(self._calls)
        while flights and flights[0].last <= answered:
            flights.popleft()

    def resume_writing(self) -> None:
        """Take up what has waited, in its order."""
        super().resume_writing()
        backlog = self._backlog
        while backlog and self._writable is None and self._alive:
            _, call, commands, is_one = backlog.popleft()
            if call.future.done():
                continue
            try:
                out = encode(*commands) if is_one else encode_many(commands)
            except Exception as error:  # noqa: BLE001 - the caller's own words: it is raised there
                call.future.set_exception(error)
                continue
            self._posted.append(call)
            self._out.append(out)
            self._out_size += len(out)
            if self._out_size > _FULL:
                self._send()
        if self._posted and self._alive:
            self._send()
        self._end_if_done()

    def retire(self) -> None:
        """Take no more calls; close when the last one is answered."""
        self.expires = 0.0
        told, self.on_retire = self.on_retire, None
        if told is not None:
            told()
        self._end_if_done()

    def _end_if_done(self) -> None:
        """Close when no more calls are taken and none is left."""
        if not self.expires and not self._calls and not self._posted and not self._backlog:
            self.close()

    def _rest(self) -> None:
        self._flights.clear()
        self._end_if_done()

    def _keep(self, push: Any) -> None:
        """Pushes nobody asked for do not pile up: whoever wants them says so."""
        if self.on_push is not None:
            self.on_push(push)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport, which is to hold as much as one round may bring."""
        super().connection_made(transport)
        cast("asyncio.Transport", transport).set_write_buffer_limits(high=_FULL)

    # Time and the end. -----------------------------------------------------------------------------------------------

    def _check_time(self, now: float) -> None:
        """End waits that are over, and the connection if it has been silent for too long."""
        self._forget_answered()
        flights, backlog = self._flights, self._backlog
        if not flights and not backlog:  # a call of the handshake, or none
            super()._check_time(now)
            return
        silent_since = max(self._last_used, flights[0].left_at if flights else backlog[0].since)
        wake_at = silent_since + self._timeout
        if now >= wake_at:
            self._give_up(self._too_late(silent_since))
            return
        owed = self.owed
        for call, left_at, outcome in self._under_way():
            if now < left_at + self._timeout:
                wake_at = min(wake_at, left_at + self._timeout)
                break
            if not call.future.done():
                call.future.set_exception(self._late(left_at, outcome, owed))
        for waiting in backlog:
            if now < waiting.since + self._timeout:
                wake_at = min(wake_at, waiting.since + self._timeout)
                break
            if not waiting.call.future.done():
                waiting.call.future.set_exception(self._late(waiting.since, Outcome.NOT_SENT, owed))
        self._set_timer(max(wake_at, now + _TICK))

    def _late(self, began: float, outcome: Outcome, owed: int) -> ReadTimeout:
        """Return the error for one caller whose reply did not come in time, while the connection goes on."""
        return ReadTimeout(
            f"no complete reply within {monotonic() - began:.3g} s: of all that is under way there, {self._sent()} "
            f"bytes were sent, {self._got} received, {owed} replies are owed, {len(self._backlog)} calls wait "
            "to be sent",
            outcome=outcome,
            address=self.address,
        )

    def _tell(self, error: CarmineError | None) -> bool:
        """Give everybody who waits an error of his own, which says whether his command may have been executed."""
        if error is None:
            error = self._lose_text("the connection was closed")
        sent = [(call.future, outcome) for call, _, outcome in self._under_way()]
        unsent = [call.future for call in self._posted] + [waiting.call.future for waiting in self._backlog]
        for known in (self._calls, self._posted, self._out, self._backlog, self._flights):
            known.clear()
        for future, outcome in sent:
            if not future.done():
                future.set_exception(_own(error, outcome))
        for future in unsent:
            if not future.done():
                future.set_exception(self._unsent(error))
        super()._tell(error)
        return bool(sent or unsent)

    def _unsent(self, error: CarmineError) -> CarmineError:
        """Return the error for a caller whose command was not sent when another ended the connection."""
        if isinstance(error, NetworkError):
            return _own(error, Outcome.NOT_SENT)
        own = ConnectionLost(
            f"the connection ended before the command was sent: {error}", outcome=Outcome.NOT_SENT, address=self.address
        )
        own.__cause__ = error
        return own


def _own(error: CarmineError, outcome: Outcome) -> CarmineError:
    """Return one caller's copy of an error: raised in several tasks, one object would collect all their tracebacks."""
    own = copy.copy(error)
    if isinstance(own, NetworkError):
        own.outcome = outcome
    own.__cause__ = error.__cause__
    return own
