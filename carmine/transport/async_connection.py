"""An asyncio connection: opens a socket within one deadline, shakes hands, and carries calls.

The counterpart of connection.py with the same boundary, words and raw replies. Invariants: look-up, TCP, TLS and
handshake share one deadline; whatever fails or is cancelled on the way closes the socket; a connection that owes a
reply is closed, never used again; a connection that is dropped closes itself, whatever the loop still holds.
"""

from __future__ import annotations

import asyncio
import math
import socket
import time
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from carmine._loading import loading
from carmine.errors import CarmineError, NetworkError, Outcome, UsageError
from carmine.protocol import Parser
from carmine.transport.async_io import AsyncIO
from carmine.transport.connector import ConnectorBase, literal, tune

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from carmine.protocol.abc import Execute, ExecuteMany, NextPush
    from carmine.transport.address import Address
    from carmine.transport.bookkeeping import Place
    from carmine.transport.credentials import Credentials
    from carmine.types import Arg

__all__ = ["AsyncConnection", "AsyncConnector"]

C = TypeVar("C", bound="AsyncConnection")


class AsyncConnection:
    """One open, authenticated connection; used by one call at a time.

    Attributes:
        address: Where it leads.
        protocol: The RESP version that was agreed on.
        info: What HELLO told about the server; empty on RESP2.
        opened: When it was opened (time.monotonic()).
        expires: When it is to be replaced (time.monotonic()); inf for never.
        lender: The pool that has lent it by `borrow`; None in between.
        note: What holds it for longer than one call, for the message of PoolTimeout; None in between.
        execute: `(words, decode, timeout=None, each=False)` -> the raw reply.
        execute_many: `(commands, decode, replies, timeout=None, modes=None, each=False)`; appends to `replies`.
        next_push: `(timeout)` -> the next push or None.
        probe: `()` -> whether the idle connection is still good.
        send: `(words)` sends a command whose confirmations come as pushes.
    """

    carrier: ClassVar[type[AsyncIO]] = AsyncIO

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
        "opened",
        "probe",
        "protocol",
        "send",
    )

    def __init__(self, io: AsyncIO, address: Address) -> None:
        self._io = io
        self.address: Address = address
        self.protocol: int = 3
        self.info: dict[str, Any] = {}
        self.opened: float = time.monotonic()
        self.expires: float = math.inf
        self.note: str | None = None
        self.lender: object = None
        self.execute: Execute[Coroutine[Any, Any, Any]] = io.execute
        self.execute_many: ExecuteMany[Coroutine[Any, Any, None]] = io.execute_many
        self.next_push: NextPush[Coroutine[Any, Any, Any]] = io.next_push
        self.probe: Callable[[], Coroutine[Any, Any, bool]] = io.probe
        self.send: Callable[[Sequence[Arg]], Coroutine[Any, Any, None]] = io.send

    @property
    def is_usable(self) -> bool:
        """Whether a call may be made: it is open, owes nothing and is not in use."""
        return self._io.is_usable

    def check(self) -> None:
        """Raise what a call would meet: that the connection has ended, or is in use."""
        self._io.check()

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

    @property
    def on_close(self) -> Callable[[], object] | None:
        """What is called when the connection ends, by whatever means, once; it must not refer to this object."""
        return self._io.on_close

    @on_close.setter
    def on_close(self, told: Callable[[], object] | None) -> None:
        self._io.on_close = told

    def hold(self, place: Place) -> None:
        """Keep what counts the connection in its pool, for as long as it is open."""
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

    def close(self) -> None:
        """Close the socket and free the place in the pool; harmless the second time."""
        self._io.close()

    def interrupt(self) -> None:
        """End the call that another task has under way, and every later one."""
        self._io.interrupt()

    async def wait_closed(self) -> None:
        """Wait until the transport has closed the socket."""
        await asyncio.shield(self._io.gone)

    def abandon(self) -> None:
        """Let go of the descriptor after fork(), in the child: nothing is written, read or shut down."""
        self._io.abandon()

    def __del__(self) -> None:
        """Close what was dropped: the loop holds the transport, which would live on."""
        if hasattr(self, "_io"):
            self._io.close()

    def __repr__(self) -> str:
        """Show where it leads and its state."""
        state = "usable" if self.is_usable else f"not usable, {self.pending} replies owed"
        return f"<AsyncConnection to {self.address}, RESP{self.protocol}, {state}>"


class AsyncConnector(ConnectorBase):
    """Opens connections with one set of options; remembers what servers do not know, and the TLS context."""

    __slots__ = ()

    async def open(self, kind: type[C], until: float = math.inf) -> C:
        """Open a connection and shake hands, within `connect_timeout`.

        Args:
            kind: For one caller at a time, or for many at once.
            until: When the caller's own time is over (time.monotonic()).

        Raises:
            NetworkError: ConnectFailed, ConnectTimeout, HandshakeFailed or ConnectionLost; nothing was sent.
            ServerError: AuthError or MaxClientsError.
            ProtocolError: What listens there is no Redis.
        """
        options = self.options
        try:
            async with _until(until):
                credentials = await options.login_async()
        except TimeoutError as problem:
            if time.monotonic() < until:  # the function's own
                raise
            raise self._too_slow("the credentials did not come in the caller's time") from problem
        deadline = min(time.monotonic() + options.connect_timeout, until)
        sock = await self._open_socket(deadline)
        connection = kind(await self._wire(sock, deadline, kind.carrier), options.address)
        try:
            await self._shake_hands(connection, credentials, deadline)
            if options.on_connect is not None:
                await self._prepare(connection, options.on_connect, until)
            connection.check()
        except BaseException:
            connection.close()
            raise
        return connection

    async def _prepare(
        self, connection: AsyncConnection, told: Callable[[Any], Awaitable[object] | object], until: float
    ) -> None:
        """Call on_connect; it ends in the caller's time, and fails before the caller's command was sent."""
        clock = _until(until)
        try:
            async with clock:
                made = told(connection)
                if isinstance(made, Awaitable):
                    await made
        except NetworkError as problem:
            problem.outcome = Outcome.NOT_SENT
            raise
        except TimeoutError as problem:
            if not clock.expired():
                raise
            raise self._too_slow("on_connect was not done in the caller's time") from problem

    async def _wire(self, sock: socket.socket, deadline: float, carrier: type[AsyncIO]) -> AsyncIO:
        """Put a transport and a protocol over a connected socket; over TLS where the options say so."""
        options = self.options
        loop = asyncio.get_running_loop()
        where = str(options.address)
        io = carrier(sock, Parser(protocol=3, decode=True), where, options.read_timeout)
        if options.max_idle_time is not None:
            io.max_idle = options.max_idle_time
        if "idle" not in options.check:
            io.look_after = io.max_idle
        try:
            tune(sock, options.keepalive)
            if options.tls is None:
                await loop.create_connection(lambda: io, sock=sock)
            else:
                await self._secure(io, sock, deadline)
        except BaseException:
            io.close()
            if loop.is_closed():
                sock.close()
            else:
                loop.call_soon(sock.close)  # after the transport, if there is one already, has let go of it
            raise
        return io

    async def _secure(self, io: AsyncIO, sock: socket.socket, deadline: float) -> None:
        with loading("carmine.transport.tls"):
            from carmine.transport import tls  # noqa: PLC0415 - as in the blocking twin

        context = self._tls_context()
        address = self.options.address
        left = _left(deadline)
        name = tls.server_name(address)
        try:
            async with asyncio.timeout(left):
                await asyncio.get_running_loop().create_connection(
                    lambda: io, sock=sock, ssl=context, server_hostname=name, ssl_handshake_timeout=left + 1.0
                )
        except OSError as problem:
            raise tls.tls_error(problem, address) from problem

    # Socket. ---------------------------------------------------------------------------------------------------------

    async def _open_socket(self, deadline: float) -> socket.socket:
        options = self.options
        if options.socket_factory is not None:
            return await self._ask_factory(options.socket_factory, deadline)
        if options.address.path is not None:
            return await self._try_connect(socket.AF_UNIX, options.address.path, deadline)
        return await self._connect_tcp(deadline)

    async def _ask_factory(self, factory: Callable[..., Any], deadline: float) -> socket.socket:
        """Have the socket opened in a thread, since the function may wait; a coroutine function is awaited."""
        loop = asyncio.get_running_loop()
        asked = loop.run_in_executor(None, factory, self.options.address, _left(deadline))
        clock = asyncio.timeout(_left(deadline))
        try:
            async with clock:
                made = await asyncio.shield(asked)
                if isinstance(made, Awaitable):
                    made = await made
        except OSError as problem:
            asked.add_done_callback(_close_late)
            if clock.expired():
                raise self._too_slow("socket_factory gave no socket in time") from problem
            raise self._failed(f"socket_factory raised {type(problem).__name__}", problem) from problem
        except BaseException:
            asked.add_done_callback(_close_late)
            raise
        if not isinstance(made, socket.socket) or hasattr(made, "do_handshake"):
            if isinstance(made, socket.socket):
                made.close()
            raise UsageError("socket_factory must give a plain connected socket to an async client; TLS is an option")
        made.setblocking(False)
        return made

    async def _connect_tcp(self, deadline: float) -> socket.socket:
        """Try every address of the name in turn; each has its share of the time that is left."""
        found = await self._look_up(deadline)
        last: NetworkError | None = None
        for index, (family, target) in enumerate(found):
            left = deadline - time.monotonic()
            share = time.monotonic() + left / (len(found) - index)
            try:
                return await self._try_connect(family, target, share)
            except NetworkError as problem:
                last = problem
        raise last or self._failed("the name has no address", None)

    async def _look_up(self, deadline: float) -> list[tuple[int, Any]]:
        """Return the socket addresses of the host; a resolver that hangs is left behind at the deadline."""
        address = self.options.address
        host, port = address.host or "", address.port or 0
        known = literal(host, port)
        if known is not None:
            return known
        clock = asyncio.timeout(_left(deadline))
        try:
            async with clock:
                found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as problem:
            if clock.expired():
                raise self._too_slow("the host name could not be looked up in time") from problem
            raise self._failed("the host name could not be looked up", problem) from problem
        return [(family, target) for family, _, _, _, target in found]

    async def _try_connect(self, family: int, target: Any, deadline: float) -> socket.socket:
        try:
            sock = socket.socket(family, socket.SOCK_STREAM)
        except OSError as problem:
            raise self._failed("no socket could be made", problem) from problem
        try:
            sock.setblocking(False)
            async with asyncio.timeout(_left(deadline)):
                if isinstance(target, str):
                    await _connect_unix(sock, target)
                else:
                    await asyncio.get_running_loop().sock_connect(sock, target)
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

    # Handshake. ------------------------------------------------------------------------------------------------------

    async def _shake_hands(self, connection: AsyncConnection, credentials: Credentials | None, deadline: float) -> None:
        handshake = self._handshake(credentials)
        flight: list[tuple[Any, ...]] | None = handshake.first_flight()
        while flight is not None:
            flight = handshake.receive(await self._converse(connection, flight, deadline))
            connection.set_protocol(handshake.protocol)
        self._agree(connection, handshake)

    async def _converse(
        self, connection: AsyncConnection, flight: Sequence[tuple[Any, ...]], deadline: float
    ) -> list[Any]:
        replies: list[Any] = []
        try:
            await connection.execute_many(flight, True, replies, _left(deadline))
        except CarmineError as problem:
            self._break_off(problem, replies)
        return replies


def _until(until: float) -> asyncio.Timeout:
    """Return a clock that ends at an instant of time.monotonic(), which need not be the loop's."""
    return asyncio.timeout(None if until == math.inf else _left(until))


def _left(deadline: float) -> float:
    return max(0.001, deadline - time.monotonic())


async def _connect_unix(sock: socket.socket, path: str) -> None:
    """Connect to a unix socket, which is done at once or, where its backlog is full, not at all."""
    while True:
        try:
            sock.connect(path)
            return
        except BlockingIOError:
            await asyncio.sleep(0.005)


def _close_late(asked: asyncio.Future[Any]) -> None:
    """Close a socket that came when nobody wanted it any more."""
    if not asked.cancelled() and asked.exception() is None and isinstance(asked.result(), socket.socket):
        asked.result().close()
