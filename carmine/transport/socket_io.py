"""WireIO on Python's own sockets: for TLS, for monkey-patched sockets, for Windows, and as the fast path's pure twin.

The socket is non-blocking; every wait goes through select, which gevent and eventlet replace by their own. The
invariants and the errors are those of carmine/_wire.pyx, the twin.
"""

from __future__ import annotations

import contextlib
import math
import socket
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from carmine.errors import (
    ConnectionLost,
    NetworkError,
    Outcome,
    ProtocolError,
    ReadTimeout,
    UsageError,
    WriteTimeout,
    with_last_words,
)
from carmine.protocol import NEED_DATA, Parser, encode, encode_many
from carmine.protocol.limits import LOOK_UP
from carmine.protocol.values import is_push
from carmine.transport.ready import direction, is_ready, wait_until
from carmine.transport.seat import Seat, taken

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from carmine.types import Arg

__all__ = ["SocketIO"]

_QUIET: Final = 1e-3
_READ: Final = 1 << 16
_OVERRUN: Final = 0.1
"""Seconds after the deadline in which bytes that have come are still taken."""


class SocketIO:
    """Calls over one socket; see WireIO in carmine/protocol/abc.py for what each promises."""

    __slots__ = (
        "_alive",
        "_began",
        "_calls",
        "_deadline",
        "_fresh",
        "_got",
        "_in_use",
        "_interrupted",
        "_is_late",
        "_is_torn",
        "_last_used",
        "_looked",
        "_max_pushes",
        "_one_at_a_time",
        "_parser",
        "_sending",
        "_socket",
        "_timeout",
        "_wants",
        "_written",
        "address",
        "is_stream",
        "look_after",
        "max_idle",
        "owed",
        "place",
        "pushes",
    )

    def __init__(self, sock: socket.socket, parser: Parser, address: str, timeout: float | None) -> None:
        self._socket = sock
        self._parser = parser
        self.address: str = address
        self.owed: int = 0
        self.pushes: deque[Any] = deque()
        self.place: Any = None
        self.is_stream: bool = False
        self.look_after: float = _QUIET
        self.max_idle: float = math.inf
        self._max_pushes = parser.limits.pushes
        self._timeout = math.inf if timeout is None else timeout
        self._alive = self._fresh = True
        self._in_use = Seat()
        self._calls = False  # who is in use is a call, which is alone; a reader and a sender go side by side
        self._sending = Seat()
        self._one_at_a_time = threading.Lock()  # TLS is not for two threads at once, not even in two directions
        self._is_torn = False  # a call is reading or writing; after it: it was interrupted
        self._interrupted = False
        self._began = self._deadline = self._last_used = self._looked = time.monotonic()
        self._written = self._got = 0
        self._wants = ""  # "read" or "write" when TLS needs the other direction first
        sock.setblocking(False)

    @property
    def push_decode(self) -> bool:
        """Whether strings of pushes become text; in a stream, all strings."""
        return self._parser.push_decode

    @push_decode.setter
    def push_decode(self, value: bool) -> None:
        self._parser.push_decode = value

    @property
    def is_usable(self) -> bool:
        """Whether a call may be made: nothing is owed, nothing was lost."""
        return self._alive and not (self.owed or self._is_torn or self._in_use.is_taken or self._sending.is_taken)

    @property
    def idle_for(self) -> float:
        """Seconds since the last call ended."""
        return time.monotonic() - self._last_used

    def set_protocol(self, version: int) -> None:
        """Read what follows as RESP2 or RESP3."""
        self._parser.protocol = version

    def close(self) -> None:
        """Close the socket and refuse every further call; a call under way is ended, and closes the socket itself."""
        seats = (self._in_use, self._sending)
        while True:
            with taken(*seats) as is_alone:
                if is_alone:
                    return self.abandon()
                self.interrupt()
                if all(seat.is_mine for seat in seats):  # of a call that a signal has struck, perhaps
                    self._free_place()
            if any(seat.is_taken for seat in seats):  # else they have left meanwhile, and may have seen us here
                return None

    def abandon(self) -> None:
        """Close the descriptor and nothing else, in a forked child: the connection is the parent's."""
        self._alive = False
        self._free_place()
        self._socket.close()

    def _free_place(self) -> None:
        if self.place is not None:
            self.place.is_free = True  # a traceback that somebody keeps may keep it alive
            self.place = None

    def interrupt(self) -> None:
        """End the call that another thread has under way, and every later one; that thread closes the socket."""
        self._alive = False
        if self._socket.fileno() < 0:
            return
        self._interrupted = True
        # An SSLSocket's own shutdown() first forgets its TLS state: the other thread would go on in plain text.
        sock: Any = self._socket  # a factory may give something else
        plain = socket.socket if isinstance(sock, socket.socket) else type(sock)
        try:
            plain.shutdown(sock, socket.SHUT_RDWR)
        except OSError:
            return  # not connected any more

    def __del__(self) -> None:
        """Close what was dropped."""
        if hasattr(self, "_socket"):
            self._socket.close()

    def execute(self, words: Sequence[Arg], decode: bool, timeout: float | None = None, each: bool = False) -> Any:
        """Send one command and return its reply, an error reply as a ServerError."""
        replies: list[Any] = []
        try:
            self.execute_many((words,), decode, replies, timeout, None, each)
        except ConnectionLost as error:
            if replies:  # it came before the command was written whole
                error.args = (with_last_words(error.args[0], replies[0]),)
            raise
        return replies[0]

    def execute_many(
        self,
        commands: Iterable[Sequence[Arg]],
        decode: bool,
        replies: list[Any],
        timeout: float | None = None,
        modes: bytes | None = None,
        each: bool = False,
    ) -> None:
        """Send several commands at once and append their replies to `replies`, in order."""
        self._begin(timeout)
        try:
            commands = commands if isinstance(commands, (list, tuple)) else list(commands)
            out = memoryview(encode_many(commands))  # a view shows nothing of a password when this frame is printed
            count = len(commands)
            if modes is not None and len(modes) != count:
                raise UsageError("modes must hold one byte for each command")
            if not count:
                return
            self._is_torn = True
            self._look()
            self.owed = count
            self._parser.decode = decode
            self._parser.each = each
            self._flush(out, replies, modes)
            self._collect(replies, modes)
            while self.owed:
                self._fill()
                self._collect(replies, modes)
            if not self._parser.is_idle:
                self._read_pushes()
            self._is_torn = False
        except ProtocolError as error:
            self._alive = False
            error.address = self.address
            raise
        finally:
            self._end()

    def probe(self) -> bool:
        """Return whether an idle connection is still good; pushes that came meanwhile are kept."""
        if not self.is_usable:
            return False
        try:
            self._begin(None)
        except ConnectionLost:  # another thread closed the pool just now
            return False
        try:
            self._is_torn = True
            self._look()
            self._is_torn = False
            return True
        except (NetworkError, ProtocolError):
            return False
        finally:
            self._end()

    def send(self, words: Sequence[Arg]) -> None:
        """Send one command whose confirmations come as pushes, as SUBSCRIBE does; see the twin."""
        out = memoryview(encode(*words))
        if not self._sending.take():
            raise self._refused()
        began = time.monotonic()
        sent = 0
        is_whole = True
        try:
            if self._calls:
                raise self._refused()
            self._check()
            is_whole = False
            while sent < len(out):
                try:
                    with self._one_at_a_time:
                        sent += self._socket.send(out[sent:])
                except OSError as problem:
                    wanted = direction(problem, "write")
                    outcome = Outcome.UNKNOWN if sent else Outcome.NOT_SENT
                    if wanted is None:
                        what = "the connection was lost while a command was sent"
                        raise ConnectionLost(
                            self._told(what, problem), outcome=outcome, address=self.address
                        ) from problem
                    if not wait_until(self._socket, wanted, began + self._timeout):
                        raise WriteTimeout(
                            f"the peer took only {sent} bytes within {time.monotonic() - began:.3g} s",
                            outcome=outcome,
                            address=self.address,
                        ) from None
            is_whole = True
        finally:
            if not is_whole:
                self._alive = False  # half a command leaves the connection unusable
            self._sending.leave()
            if not self._alive:
                self.close()  # or the reader does, who is woken

    def next_push(self, timeout: float | None = None) -> Any:
        """Return the next push, or None when none came in time."""
        if self.pushes:
            return self.pushes.popleft()
        self._begin(math.inf if timeout is None else timeout, reads=True)
        try:
            self._is_torn = True
            while True:
                self._parser.decode = self._parser.push_decode
                value = self._parser.next_reply()
                if value is NEED_DATA:
                    with self._one_at_a_time:
                        has_more = self._pending()
                    if not has_more and not self._wait_to_read():
                        self._is_torn = False
                        return None
                    with self._one_at_a_time:
                        self._take("the server closed the connection")
                elif is_push(value) or self.is_stream:
                    self._is_torn = False
                    return value
                else:
                    raise self._surplus()
        except ProtocolError as error:
            self._alive = False
            error.address = self.address
            raise
        finally:
            self._end()

    # The parts of a call. --------------------------------------------------------------------------------------------

    def _begin(self, timeout: float | None, *, reads: bool = False) -> None:
        if not self._in_use.take():
            raise self._refused()
        try:
            if not reads:
                self._calls = True  # before the look at the sender, who looks at this after: one of the two is refused
                if self._sending.is_taken:
                    raise self._refused()
            self._written = self._got = 0
            self._is_late = False
            self._check()
            self._began = time.monotonic()
            self._deadline = self._began + (self._timeout if timeout is None else timeout)
        except BaseException:
            self._calls = False
            self._in_use.leave()
            raise

    def _check(self) -> None:
        if not self._alive:
            if self._interrupted:  # between two calls, or between our caller's borrowing and this one
                raise ConnectionLost("the connection was closed by another thread", address=self.address)
            raise UsageError(f"the connection to {self.address} is closed")
        if self.owed:
            raise UsageError(f"the connection to {self.address} still owes {self.owed} replies")

    def _refused(self) -> UsageError:
        return UsageError(f"the connection to {self.address} is in use by another call")

    def _end(self) -> None:
        self._fresh = False
        if self.owed or self._is_torn:
            self._alive = False
        if not self._alive and not self._sending.is_taken:
            self.abandon()
        self._last_used = time.monotonic()
        self._calls = False
        self._in_use.leave()
        if not self._alive:  # interrupted after the first look, or a sender is inside: woken, it closes the socket
            self.close()

    def _look(self) -> None:
        """Look for what came while the connection was idle: pushes are kept, anything else ends it."""
        if self._began - self._looked < self.look_after or self._fresh:
            return  # since the last look, not since the last use, and never on a new connection: see the twin
        self._looked = self._began
        if self._began - self._last_used > self.max_idle:
            raise self._lost("the connection was idle for longer than max_idle_time", None)
        while self._take("the server closed the idle connection"):
            try:
                self._read_pushes()
            except ProtocolError as error:  # nothing was sent: for the caller it is a connection that had died
                raise self._lost(f"the idle connection had bytes that are not RESP ({error.reason})", None) from None

    def _read_pushes(self) -> None:
        """Keep the pushes that have come while no reply is owed; anything else is out of step."""
        while True:
            value = self._parser.next_reply()
            if value is NEED_DATA:
                if self._parser.is_idle or self._parser.is_in_push:  # of a push begun the rest will follow
                    return
                raise self._surplus()
            if not is_push(value):
                raise self._surplus()
            self._keep(value)

    def _surplus(self) -> NetworkError:
        self._alive = False
        return ConnectionLost(
            "a reply came that no command asked for; the connection is closed, since its replies and commands are "
            "out of step",
            outcome=self._outcome(),
            address=self.address,
        )

    def _keep(self, push: Any) -> None:
        if len(self.pushes) >= self._max_pushes:
            self._alive = False
            raise ConnectionLost(
                f"{self._max_pushes} pushes wait unread; the connection is closed",
                outcome=self._outcome(),
                address=self.address,
            )
        self.pushes.append(push)

    def _collect(self, replies: list[Any], modes: bytes | None) -> None:
        """Parse the replies that have come."""
        while self.owed:
            if modes is not None:
                self._parser.decode = bool(modes[len(modes) - self.owed])
            value = self._parser.next_reply()
            if value is NEED_DATA:
                return
            if is_push(value):
                self._keep(value)
                continue
            replies.append(value)
            self.owed -= 1

    def _flush(self, out: memoryview, replies: list[Any], modes: bytes | None) -> None:
        """Write everything, reading meanwhile whenever the peer cannot take more."""
        while out:
            try:
                sent = self._socket.send(out)
            except OSError as problem:
                wanted = direction(problem, "write")
                if wanted is None:
                    raise self._lost("the connection was lost while a command was sent", problem) from problem
                if not self._wait(read=True, write=wanted == "write"):
                    raise WriteTimeout(
                        f"the peer took only {self._written} bytes within {self._deadline - self._began:.3g} s",
                        outcome=self._outcome(),
                        address=self.address,
                    ) from None
                if self._take("the server closed the connection while a command was sent"):
                    self._collect(replies, modes)  # once, then the deadline is looked at again
                    if not self.owed:
                        self._read_pushes()
                continue
            self._written += sent
            out = out[sent:]

    def _fill(self) -> None:
        """Read once, waiting until the deadline."""
        while True:
            if not self._pending() and not self._wait_to_read():
                raise ReadTimeout(
                    f"no complete reply within {self._deadline - self._began:.3g} s: {self._written} bytes sent, "
                    f"{self._got} received, {self.owed} replies owed",
                    outcome=self._outcome(),
                    address=self.address,
                )
            if self._take("the server closed the connection"):
                return

    def _take(self, farewell: str) -> bool:
        """Read what has come, without waiting; False when there is nothing."""
        try:
            count = self._socket.recv_into(self._parser.get_buffer(_READ))
        except OSError as problem:
            wanted = direction(problem, "read")
            if wanted is None:
                raise self._lost("the connection was lost", problem) from problem
            self._wants = wanted
            return False
        self._wants = ""
        if not count:
            raise self._lost(farewell, None)
        self._got += count
        self._parser.received(count)
        return True

    def _pending(self) -> bool:
        """Whether TLS holds bytes that select cannot see."""
        pending = getattr(self._socket, "pending", None)
        return pending is not None and pending() > 0

    def _wait_to_read(self) -> bool:
        return self._wait(read=self._wants != "write", write=self._wants == "write")

    def _wait(self, *, read: bool = False, write: bool = False) -> bool:
        """Wait until the socket is ready; False when the deadline has passed."""
        while True:
            left = self._deadline - time.monotonic()
            if not left > 0:  # what has come by then is still taken, for a while: see the twin
                if self._is_late and not left > -_OVERRUN:
                    return False
                self._is_late = True
            seconds = min(left, LOOK_UP) if left > 0 else 0.0
            try:
                if is_ready(self._socket, read, write, seconds):
                    return True
            except (OSError, ValueError) as problem:  # abandoned in a forked child, by a signal handler that has forked
                raise self._lost("the connection was lost", problem) from problem
            if not left > LOOK_UP:  # so that a deadline of nan has passed
                return False

    def _outcome(self) -> Outcome:
        return Outcome.UNKNOWN if self._written else Outcome.NOT_SENT

    def _lost(self, what: str, problem: BaseException | None) -> NetworkError:
        """Return the error for a dead connection; the server's last words are part of it."""
        what = self._told(what, problem)
        self._alive = False
        with contextlib.suppress(ProtocolError):
            what = with_last_words(what, self._parser.next_reply() if self.owed else None)
        return ConnectionLost(what, outcome=self._outcome(), address=self.address)

    def _told(self, what: str, problem: BaseException | None) -> str:
        """Return what is said of a lost connection."""
        if self._interrupted:
            return "the connection was closed by another thread"
        return what if problem is None else f"{what}: {getattr(problem, 'strerror', None) or type(problem).__name__}"
