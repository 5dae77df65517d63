"""Calls over one asyncio transport: the asyncio counterpart of WireIO, with the same promises and the same errors.

One call at a time: a connection is borrowed for its use. Invariants: a command is packed whole before its first byte is
written; a call that ends before its last reply ends the connection; an idle socket is looked at before it is used,
since the loop may not have read yet what came.
"""

from __future__ import annotations

import asyncio
import math
import socket
from asyncio import get_running_loop
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from carmine.errors import ConnectionLost, NetworkError, ProtocolError, UsageError
from carmine.protocol import encode, encode_many
from carmine.transport.async_ledger import SLICE, AsyncLedger, Call, wake
from carmine.transport.home import wrong_loop

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from carmine.protocol import Parser
    from carmine.types import Arg

__all__ = ["AsyncIO"]

_AHEAD: Final = 1 << 18
"""Bytes of pushes that are read ahead of a slow reader of a stream; the peer has to keep the rest."""
_LOOKS: Final = 64
"""Rounds of the loop within which what has come to an idle socket is to be read."""


class AsyncIO(AsyncLedger):
    """Calls over one transport; see WireIO in carmine/protocol/abc.py for what each promises."""

    __slots__ = ("_began", "_deadline", "_drained", "_is_paused", "_sending")

    def __init__(self, sock: socket.socket, parser: Parser, address: str, timeout: float | None) -> None:
        super().__init__(sock, parser, address, timeout)
        self._sending = False  # the one method that may go on while another task is inside next_push
        self._is_paused = False  # whether the transport reads no more until the pushes are taken
        self._drained = 0  # bytes that had been received when the last push was taken

    @property
    def is_usable(self) -> bool:
        """Whether a call may be made: nothing is owed, nothing was lost."""
        return self._alive and not self._calls and not self._busy and not self._sending

    @property
    def idle_for(self) -> float:
        """Seconds since the last call ended."""
        return monotonic() - self._last_used

    def set_protocol(self, version: int) -> None:
        """Read what follows as RESP2 or RESP3."""
        self._parser.protocol = version

    @property
    def push_decode(self) -> bool:
        """Whether strings of pushes become text; in a stream, all strings."""
        return self._parser.push_decode

    @push_decode.setter
    def push_decode(self, value: bool) -> None:
        self._parser.push_decode = value

    async def execute(
        self,
        words: Sequence[Arg],
        decode: bool,
        timeout: float | None = None,  # noqa: ASYNC109 - the contract's
        each: bool = False,
    ) -> Any:
        """Send one command and return its reply, an error reply as a ServerError."""
        self.check()
        out = memoryview(encode(*words))
        now = monotonic()
        if now - self._looked >= self.look_after:
            await self._look(now)
        call = Call(self._loop.create_future(), decode, each)
        self._begin(call, timeout, now)
        try:
            if len(out) > SLICE:
                await self._flush(out)
            else:
                self._write(out)
            return await call.future
        finally:
            if call.left:
                self._forsake()

    async def execute_many(
        self,
        commands: Iterable[Sequence[Arg]],
        decode: bool,
        replies: list[Any],
        timeout: float | None = None,  # noqa: ASYNC109 - the contract's
        modes: bytes | None = None,
        each: bool = False,
    ) -> None:
        """Send several commands at once and append their replies to `replies`, in order."""
        self.check()
        commands = commands if isinstance(commands, (list, tuple)) else list(commands)
        out = memoryview(encode_many(commands))  # a view shows nothing of a password when this frame is printed
        count = len(commands)
        if modes is not None and len(modes) != count:
            raise UsageError("modes must hold one byte for each command")
        if not count:
            return
        now = monotonic()
        if now - self._looked >= self.look_after:
            await self._look(now)
        call = Call(self._loop.create_future(), decode, each, count, replies, modes)
        self._begin(call, timeout, now)
        try:
            await self._flush(out)
            await call.future
        finally:
            if call.left:
                self._forsake()

    async def probe(self) -> bool:
        """Return whether an idle connection is still good; pushes that came meanwhile are kept."""
        if not self.is_usable:
            return False
        now = monotonic()
        if now - self._looked < self.look_after:
            return True
        try:
            await self._look(now)
            return True
        except (ConnectionLost, ProtocolError):
            return False

    async def send(self, words: Sequence[Arg]) -> None:
        """Send one command whose confirmations come as pushes, as SUBSCRIBE does; another may be inside `next_push`."""
        self.check(self._busy and self._push_waiter is None)
        out = memoryview(encode(*words))
        self._sending = True
        self._handed = 0
        alarm = None
        if self._timeout != math.inf:
            began = monotonic()
            alarm = self._loop.call_later(self._timeout, lambda: self._give_up(self._too_late(began)))
        try:
            await self._flush(out)
            if not self._alive:
                raise self._take_loss()
        except BaseException:
            if self._handed:
                self.close()  # half a command leaves the connection unusable
            raise
        finally:
            self._sending = False
            if alarm is not None:
                alarm.cancel()

    async def next_push(self, timeout: float | None = None) -> Any:  # noqa: ASYNC109 - the contract's
        """Return the next push, or None when none came in time."""
        if self.pushes:
            return self._take_push()
        self.check(self._busy, beside_sender=True)
        if timeout is not None and timeout <= 0:
            await self._look_for_pushes()
            return self._take_push() if self.pushes else None
        waiter = self._push_waiter = self._loop.create_future()
        self._busy = True
        alarm = None if timeout is None or timeout == math.inf else self._loop.call_later(timeout, wake, waiter)
        try:
            await waiter
        finally:
            self._busy = False
            self._push_waiter = None
            if alarm is not None:
                alarm.cancel()
        return self._take_push() if self.pushes else None

    async def _look_for_pushes(self) -> None:
        """Let the loop read what has come, until there is a push; once in any case, for who asks again and again."""
        self._busy = True
        try:
            for _ in range(_LOOKS):
                await asyncio.sleep(0)
                if self.pushes or self._peek(monotonic()):
                    return
        except NetworkError:
            self.close()
            raise
        finally:
            self._busy = False

    def _take_push(self) -> Any:
        push = self.pushes.popleft()
        if not self.pushes:
            self._drained = self._got
            if self._is_paused:
                self._is_paused = False
                if self._transport is not None:
                    self._transport.resume_reading()
        return push

    def _keep(self, push: Any) -> None:
        super()._keep(push)
        if self.is_stream and not self._is_paused and self._got - self._drained > _AHEAD:
            self._is_paused = True
            if self._transport is not None:
                self._transport.pause_reading()

    def check(self, is_busy: bool | None = None, *, beside_sender: bool = False) -> None:
        """Raise what keeps a call from being made: the end of the connection, another call, another event loop."""
        if get_running_loop() is not self._loop:
            raise wrong_loop(self.address, self._loop)
        if self._calls or (self._busy if is_busy is None else is_busy) or (self._sending and not beside_sender):
            raise UsageError(f"the connection to {self.address} is in use by another call")
        if not self._alive and not self._fresh:
            raise self._take_loss()

    def _begin(self, call: Call, timeout: float | None, now: float) -> None:
        """Let a call be the one under way."""
        self._began = now
        self._deadline = now + (self._timeout if timeout is None else timeout)
        self._handed = self._got = 0
        self._enter(call)
        if self._deadline < self._timer_at:
            self._set_timer(self._deadline)
        if self._fresh:
            self._fresh = False
            self._advance()
            if self._loss is not None:
                self._tell(self._take_loss())

    def _check_time(self, now: float) -> None:
        if not self._calls:
            return
        if now < self._deadline:
            self._set_timer(self._deadline)
        else:
            self._give_up(self._too_late(self._began))

    def _forsake(self) -> None:
        """End a connection whose call was cancelled before its last reply."""
        self._calls.clear()
        self.close()

    async def _look(self, now: float) -> None:
        """Look for what came while nothing was asked and the loop has not read yet.

        Once in so many seconds, however busy the connection is: a stray reply would else be taken for the next one.
        """
        if self._fresh:
            return  # what has come belongs to the first call
        self._handed = self._got = 0
        self._busy = True
        try:
            for _ in range(_LOOKS):
                if self._peek(now):
                    return
                await asyncio.sleep(0)  # the loop reads it
            raise self._surplus()
        except NetworkError:
            self.close()
            raise
        finally:
            self._busy = False

    def _peek(self, now: float) -> bool:
        """Return whether nothing waits to be read; raise what befell the idle connection."""
        self._looked = now
        if not self._alive:
            raise self._take_loss()
        if now - self._last_used > self.max_idle:
            raise self._lose("the connection was idle for longer than max_idle_time", None)
        try:
            seen = self._socket.recv(1, socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            return True
        except OSError as problem:
            raise self._lose("the idle connection was lost", problem) from problem
        if not seen:
            raise self._lose("the server closed the idle connection", None)
        return False
