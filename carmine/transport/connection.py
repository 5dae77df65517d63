"""A blocking connection: opens a socket within one deadline, shakes hands, and carries calls.

It speaks words and raw replies. `execute` and `execute_many` are the wire's own methods, so that a call costs no frame
here. Invariants: look-up, TCP, TLS and handshake share one deadline; whatever fails on the way closes the socket and
becomes one error that says where and what to do; a connection that owes a reply is closed, never used again.
"""

from __future__ import annotations

import math
import socket
import struct
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from carmine._loading import loading
from carmine.errors import CarmineError, NetworkError, Outcome
from carmine.protocol import Parser, __impl__
from carmine.protocol.limits import LOOK_UP
from carmine.transport.connector import ConnectorBase, literal, tune
from carmine.transport.socket_io import SocketIO

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from carmine.protocol.abc import Execute, ExecuteMany, NextPush
    from carmine.protocol.abc import WireIO as WireIOContract
    from carmine.transport.address import Address
    from carmine.transport.credentials import Credentials
    from carmine.types import Arg

__all__ = ["Connection", "Connector"]

if __impl__ == "cython" and sys.platform != "win32":
    from carmine._wire import WireIO

    _fast: Callable[..., WireIOContract] | None = WireIO
else:
    _fast = None


class Connection:
    """One open, authenticated connection; used by one call at a time.

    Attributes:
        address: Where it leads.
        protocol: The RESP version that was agreed on.
        info: What HELLO told about the server; empty on RESP2.
        opened: When it was opened (time.monotonic()).
        expires: When it is to be replaced (time.monotonic()); inf for never.
        on_close: Called when it is closed, once.
        lender: The pool that has lent it by `borrow`; None in between.
        note: What holds it for longer than one call, for the message of PoolTimeout; None in between.
        execute: `(words, decode, timeout=None, each=False)` -> the raw reply.
        execute_many: `(commands, decode, replies, timeout=None, modes=None, each=False)`; appends to `replies`.
        next_push: `(timeout)` -> the next push or None.
        probe: `()` -> whether the idle connection is still good.
    """

    __slots__ = (
        "__weakref__",
        "_io",
        "address",
        "execute",
        "execute_many",
        "expires",
        "info",
        "lender",
        "next_push",
        "note",
        "on_close",
        "opened",
        "probe",
        "protocol",
    )

    def __init__(self, io: WireIOContract, address: Address) -> None:
        self._io = io
        self.on_close: Callable[[], object] | None = None
        self.address: Address = address
        self.protocol: int = 3
        self.info: dict[str, Any] = {}
        self.opened: float = time.monotonic()
        self.expires: float = math.inf
        self.lender: object = None
        self.note: str | None = None
        self.execute: Execute[Any] = io.execute
        self.execute_many: ExecuteMany[None] = io.execute_many
        self.next_push: NextPush[Any] = io.next_push
        self.probe: Callable[[], bool] = io.probe

    @property
    def is_usable(self) -> bool:
        """Whether a call may be made: it is open, owes nothing and is not in use."""
        return self._io.is_usable

    @property
    def pending(self) -> int:
        """How many replies it owes."""
        return self._io.owed

    @property
    def idle_for(self) -> float:
        """Seconds since the last call ended."""
        return self._io.idle_for

    def stream(self) -> None:
        """Take everything that comes from now on for a message of bytes, to be read by `next_push`, until the end."""
        self._io.is_stream = True
        self._io.push_decode = False

    def hold(self, place: object) -> None:
        """Keep what counts the connection in its pool, for as long as its socket is open."""
        self._io.place = place

    def pin(self, note: str) -> None:
        """Belong to one caller for longer than a call: as long as that lasts, it cannot be idle for too long."""
        self.note = note
        self._io.max_idle = math.inf

    def unpin(self, max_idle: float | None) -> None:
        """Belong to the pool again, which gives unused connections so many seconds."""
        self.note = None
        self._io.max_idle = math.inf if max_idle is None else max_idle

    def set_protocol(self, version: int) -> None:
        """Read what follows as RESP2 or RESP3."""
        self._io.set_protocol(version)

    def send(self, words: Sequence[Any]) -> None:
        """Send a command whose confirmations come as pushes; another thread may be inside `next_push`."""
        self._io.send(words)

    def close(self) -> None:
        """Close the socket and free the place in the pool; harmless the second time."""
        self._io.close()
        told, self.on_close = self.on_close, None
        if told is not None:
            told()

    def interrupt(self) -> None:
        """End the call that another thread has under way; the connection is then closed by its user."""
        self._io.interrupt()

    def abandon(self) -> None:
        """Let go of the descriptor after fork(), in the child: nothing is written, read or shut down."""
        self.on_close = None
        self._io.abandon()

    def __del__(self) -> None:
        """Let the hooks hear of a connection that was dropped; the socket closes without it."""
        if getattr(self, "on_close", None) is not None:
            self.close()

    def __repr__(self) -> str:
        """Show where it leads and its state."""
        state = "usable" if self.is_usable else f"not usable, {self.pending} replies owed"
        return f"<Connection to {self.address}, RESP{self.protocol}, {state}>"


class Connector(ConnectorBase):
    """Opens connections with one set of options; remembers what servers do not know, and the TLS context."""

    __slots__ = ()

    def open(self, until: float = math.inf) -> Connection:
        """Open a connection and shake hands, within `connect_timeout`.

        Args:
            until: When the caller's own time is over (time.monotonic()).

        Raises:
            NetworkError: ConnectFailed, ConnectTimeout, HandshakeFailed or ConnectionLost; nothing was sent.
            ServerError: AuthError or MaxClientsError.
            ProtocolError: What listens there is no Redis.
        """
        options = self.options
        credentials = options.login()
        deadline = min(time.monotonic() + options.connect_timeout, until)
        sock = self._open_socket(deadline)
        try:
            connection = Connection(self._wire(sock), options.address)
        except BaseException:
            sock.close()
            raise
        try:
            self._shake_hands(connection, credentials, deadline)
            if options.on_connect is not None:
                self._prepare(connection, options.on_connect, until)
        except BaseException:
            connection.close()
            raise
        return connection

    def _prepare(self, connection: Connection, told: Callable[[Connection], object], until: float) -> None:
        """Call on_connect; what it asks ends in the caller's time, and fails before the caller's command was sent."""
        once, many = connection.execute, connection.execute_many
        usual = math.inf if self.options.read_timeout is None else self.options.read_timeout

        def left(timeout: float | None) -> float:
            return min(usual if timeout is None else timeout, max(0.001, until - time.monotonic()))

        def execute(words: Sequence[Arg], decode: bool, timeout: float | None = None, each: bool = False) -> Any:
            return once(words, decode, left(timeout), each)

        def execute_many(
            commands: Iterable[Sequence[Arg]],
            decode: bool,
            replies: list[Any],
            timeout: float | None = None,
            modes: bytes | None = None,
            each: bool = False,
        ) -> None:
            many(commands, decode, replies, left(timeout), modes, each)

        if until != math.inf:
            connection.execute, connection.execute_many = execute, execute_many
        try:
            told(connection)
        except NetworkError as problem:
            problem.outcome = Outcome.NOT_SENT
            raise
        finally:
            connection.execute, connection.execute_many = once, many

    def _wire(self, sock: socket.socket) -> WireIOContract:
        io = self._make_wire(sock)
        if self.options.max_idle_time is not None:
            io.max_idle = self.options.max_idle_time
        if "idle" not in self.options.check:
            io.look_after = io.max_idle
        return io

    def _make_wire(self, sock: socket.socket) -> WireIOContract:
        options = self.options
        parser = Parser(protocol=3, decode=True)
        where = str(options.address)
        # gevent and eventlet put classes of their own in the place of socket.socket; TLS is a subclass of it
        if _fast is not None and type(sock).__module__ == "socket":
            seconds = min(options.read_timeout or LOOK_UP, LOOK_UP)
            sock.settimeout(None)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 0, int(seconds * 1e6)))
            return _fast(sock, parser, where, options.read_timeout)
        return SocketIO(sock, parser, where, options.read_timeout)

    # Socket. ---------------------------------------------------------------------------------------------------------

    def _open_socket(self, deadline: float) -> socket.socket:
        options = self.options
        address = options.address
        if options.socket_factory is not None:
            sock = self._ask_factory(options.socket_factory, deadline)
        elif address.path is not None:
            sock = self._try_connect(socket.AF_UNIX, address.path, deadline)
        else:
            sock = self._connect_tcp(deadline)
        try:
            tune(sock, options.keepalive)
            return self._secure(sock, deadline) if options.tls is not None else sock
        except BaseException:
            sock.close()
            raise

    def _ask_factory(self, factory: Callable[..., socket.socket], deadline: float) -> socket.socket:
        try:
            return factory(self.options.address, max(0.001, deadline - time.monotonic()))
        except OSError as problem:
            raise self._failed(f"socket_factory raised {type(problem).__name__}", problem) from problem

    def _connect_tcp(self, deadline: float) -> socket.socket:
        """Try every address of the name in turn; each has its share of the time that is left."""
        found = self._look_up(deadline)
        last: NetworkError | None = None
        for index, (family, target) in enumerate(found):
            left = deadline - time.monotonic()
            share = time.monotonic() + left / (len(found) - index)
            try:
                return self._try_connect(family, target, share)
            except NetworkError as problem:
                last = problem
        raise last or self._failed("the name has no address", None)

    def _look_up(self, deadline: float) -> list[tuple[int, Any]]:
        """Return the socket addresses of the host; a resolver that hangs is left behind at the deadline."""
        address = self.options.address
        host, port = address.host or "", address.port or 0
        known = literal(host, port)
        if known is not None:
            return known
        outcome: list[Any] = []

        def ask() -> None:
            try:
                outcome.append(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
            except (OSError, UnicodeError) as problem:
                outcome.append(problem)

        resolver = threading.Thread(target=ask, name="carmine-resolver", daemon=True)
        resolver.start()
        resolver.join(max(0.0, deadline - time.monotonic()))
        if not outcome:
            raise self._too_slow("the host name could not be looked up in time")
        if isinstance(outcome[0], BaseException):
            raise self._failed("the host name could not be looked up", outcome[0]) from outcome[0]
        return [(family, target) for family, _, _, _, target in outcome[0]]

    def _try_connect(self, family: int, target: Any, deadline: float) -> socket.socket:
        try:
            sock = socket.socket(family, socket.SOCK_STREAM)
        except OSError as problem:
            raise self._failed("no socket could be made", problem) from problem
        try:
            sock.settimeout(max(0.001, deadline - time.monotonic()))
            sock.connect(target)
        except TimeoutError as problem:
            sock.close()
            raise self._too_slow("no connection in time") from problem
        except OSError as problem:
            sock.close()
            raise self._failed("no connection", problem) from problem
        except BaseException:
            sock.close()
            raise
        return sock

    def _secure(self, sock: socket.socket, deadline: float) -> socket.socket:
        with loading("carmine.transport.tls"):
            from carmine.transport import tls  # noqa: PLC0415 - D7: ssl is imported at the first TLS connection

        context = self._tls_context()
        address = self.options.address
        try:
            sock.settimeout(max(0.001, deadline - time.monotonic()))
            return context.wrap_socket(sock, server_hostname=tls.server_name(address), suppress_ragged_eofs=False)
        except OSError as problem:
            raise tls.tls_error(problem, address) from problem

    # Handshake. ------------------------------------------------------------------------------------------------------

    def _shake_hands(self, connection: Connection, credentials: Credentials | None, deadline: float) -> None:
        handshake = self._handshake(credentials)
        flight: list[tuple[Any, ...]] | None = handshake.first_flight()
        while flight is not None:
            flight = handshake.receive(self._converse(connection, flight, deadline))
            connection.set_protocol(handshake.protocol)
        self._agree(connection, handshake)

    def _converse(self, connection: Connection, flight: list[tuple[Any, ...]], deadline: float) -> list[Any]:
        replies: list[Any] = []
        try:
            connection.execute_many(flight, True, replies, max(0.001, deadline - time.monotonic()))
        except CarmineError as problem:
            self._break_off(problem, replies)
        return replies
