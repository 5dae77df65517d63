"""What both connectors know: the handshake's terms, and the errors of opening a connection. It opens nothing itself.

Invariants: whatever goes wrong becomes one error that says where and what to do; what a server does not know is
remembered, so that the next connection does not ask again.
"""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, Any, Final, NoReturn

from carmine._loading import loading
from carmine._version import __version__
from carmine.errors import (
    CarmineError,
    ConnectFailed,
    ConnectionLost,
    ConnectTimeout,
    HandshakeFailed,
    NetworkError,
    Outcome,
    ProtocolError,
    ReadTimeout,
    ServerError,
    WriteTimeout,
)
from carmine.protocol.session import Handshake, explain_garbage

if TYPE_CHECKING:
    from ssl import SSLContext

    from carmine.transport.credentials import Credentials
    from carmine.transport.options import Options

__all__ = ["ConnectorBase", "literal", "tune"]

_KEEPALIVE: Final = (("TCP_KEEPIDLE", 60), ("TCP_KEEPALIVE", 60), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4))
"""Seconds before the first probe (under Linux's name and macOS's), between probes, and how many may be lost."""


class ConnectorBase:
    """One set of options, what its servers do not know, and the TLS context."""

    __slots__ = ("_context", "_known_protocol", "options")

    def __init__(self, options: Options) -> None:
        self.options: Options = options
        self._context: SSLContext | None = None
        self._known_protocol = options.protocol

    def _tls_context(self) -> SSLContext:
        if self._context is None:
            with loading("carmine.transport.tls"):
                from carmine.transport import tls  # noqa: PLC0415 - D7: ssl is imported at the first TLS connection

            self._context = tls.build_context(self.options)
        return self._context

    def _handshake(self, credentials: Credentials | None) -> Handshake:
        options = self.options
        return Handshake(
            protocol=self._known_protocol,
            username=credentials.username if credentials else None,
            password=credentials.password.reveal() if credentials else None,
            client_name=options.client_name,
            db=options.db,
            version=__version__,
            address=str(options.address),
        )

    def _agree(self, connection: Any, handshake: Handshake) -> None:
        """Note on a connection what its handshake has brought."""
        connection.protocol = handshake.protocol
        connection.info = handshake.info
        if handshake.protocol == 2:
            self._known_protocol = 2  # remembered: the next connection asks for no HELLO where there is none

    def _break_off(self, problem: CarmineError, replies: list[Any]) -> None:
        """Raise the error of a conversation that broke off, in the words of somebody who wanted to connect.

        Returns where the first reply says why the server closed the connection: too many clients, protected mode.
        """
        if not (isinstance(problem, ConnectionLost) and replies and isinstance(replies[0], ServerError)):
            self._explain(problem)

    def _explain(self, problem: CarmineError) -> NoReturn:
        where = str(self.options.address)
        if isinstance(problem, ProtocolError):
            raise explain_garbage(problem) from None
        if isinstance(problem, (ReadTimeout, WriteTimeout)):
            raise self._too_slow("the server accepted the connection but did not answer HELLO in time") from problem
        if isinstance(problem, ConnectionLost):
            hint = (
                "; it may want a client certificate (certfile=, keyfile=)"  # TLS 1.3 says so after its handshake only
                if self.options.uses_tls
                else "; if this port speaks TLS, use rediss://"
            )
            raise ConnectionLost(
                f"the server closed the connection during the handshake{hint}: {problem.args[0]}",
                outcome=Outcome.NOT_SENT,
                address=where,
            ) from problem
        if isinstance(problem, NetworkError):
            raise problem
        raise HandshakeFailed(f"the handshake failed: {problem}", address=where) from problem

    def _failed(self, what: str, problem: BaseException | None) -> ConnectFailed:
        hint = "; is the server running, and is this its port?" if isinstance(problem, ConnectionRefusedError) else ""
        why = _reason(problem)
        return ConnectFailed(f"{what}{': ' if why else ''}{why}{hint}", address=str(self.options.address))

    def _too_slow(self, what: str) -> ConnectTimeout:
        return ConnectTimeout(
            f"{what} (connect_timeout is {self.options.connect_timeout:g} s)", address=str(self.options.address)
        )


def _reason(problem: BaseException | None) -> str:
    """Return the system's words for an error; asyncio puts others of its own into `strerror`."""
    if isinstance(problem, OSError) and not isinstance(problem, socket.gaierror) and problem.errno:
        return os.strerror(problem.errno)
    return getattr(problem, "strerror", None) or (type(problem).__name__ if problem else "")


def literal(host: str, port: int) -> list[tuple[int, Any]] | None:
    """Return the socket address of a host written as an IP address, which asks nobody; None for a name."""
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host)
        except OSError:
            continue
        return [(family, (host, port))]
    return None


def tune(sock: socket.socket, keepalive: bool) -> None:
    """Switch off Nagle's waiting, and keepalive on, where it is TCP."""
    if sock.family == getattr(socket, "AF_UNIX", None):
        return
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if keepalive:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _KEEPALIVE:
            option = getattr(socket, name, None)
            if option is not None:
                sock.setsockopt(socket.IPPROTO_TCP, option, value)
