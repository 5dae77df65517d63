"""The first conversation on a connection, as values: what to send, and what the answers mean.

Pure: it sends nothing, waits for nothing and knows no socket. Invariants: everything goes out in one flight, a second
one only where the server does not know HELLO; a fallback changes the protocol version and nothing else, never
authentication; what a server must not refuse (AUTH, SELECT) ends the connection when it does.
"""

from __future__ import annotations

from typing import Any, Final

from carmine.errors import (
    AuthError,
    ConnectionLost,
    HandshakeFailed,
    MaxClientsError,
    Outcome,
    ProtocolError,
    ServerError,
)
from carmine.types import Arg

__all__ = ["Handshake", "explain_garbage"]

LIBRARY: Final = b"carmine"

_Flight = list[tuple[Arg, ...]]


class _Hidden(bytes):
    """A password on its way out: the frames it passes may be printed by an error reporter."""

    __slots__ = ()

    def __repr__(self) -> str:
        """Show nothing."""
        return "***"

    __str__ = __repr__


class Handshake:
    """HELLO, AUTH, CLIENT SETINFO and SELECT in one round trip.

    Args:
        protocol: 3, 2, or None: 3 with a fall back to 2.
        username: For AUTH; None is the default user.
        password: For AUTH; None sends no AUTH.
        client_name: For CLIENT SETNAME; None sets none.
        db: For SELECT; 0 sends none.
        version: The library's own version.
        address: Where the connection leads, for error messages.
    """

    __slots__ = ("_auth", "_client_name", "_db", "_roles", "_version", "_wanted", "address", "info", "protocol")

    def __init__(
        self,
        *,
        protocol: int | None,
        username: str | None,
        password: str | None,
        client_name: str | None,
        db: int,
        version: str,
        address: str,
    ) -> None:
        self._wanted = protocol
        self._auth: tuple[Arg, ...] = ()
        if password is not None:
            self._auth = ((username,) if username else ()) + (_Hidden(password.encode()),)
            password = None  # this frame may be printed
        self._client_name = client_name
        self._db = db
        self._version = version
        self._roles: list[str] = []
        self.address: str = address
        self.protocol = 2 if protocol == 2 else 3
        self.info: dict[str, Any] = {}
        """What HELLO told: server, version, proto, id, mode, role; empty on RESP2."""

    def first_flight(self) -> _Flight:
        """Return the commands to send at once."""
        if self.protocol == 2:
            return self._flight(())
        hello: tuple[Arg, ...] = (b"HELLO", b"3")
        if self._auth:
            user = () if len(self._auth) == 2 else (b"default",)
            hello += (b"AUTH", *user, *self._auth)
        if self._client_name is not None:
            hello += (b"SETNAME", self._client_name)
        return self._flight(hello)

    def _flight(self, hello: tuple[Arg, ...]) -> _Flight:
        flight: list[tuple[str, tuple[Arg, ...]]] = []
        if hello:
            flight.append(("hello", hello))
        else:
            if self._auth:
                flight.append(("auth", (b"AUTH", *self._auth)))
            if self._client_name is not None:
                flight.append(("name", (b"CLIENT", b"SETNAME", self._client_name)))
        flight.append(("info", (b"CLIENT", b"SETINFO", b"LIB-NAME", LIBRARY)))
        flight.append(("info", (b"CLIENT", b"SETINFO", b"LIB-VER", self._version)))
        if self._db:
            flight.append(("select", (b"SELECT", self._db)))
        self._roles = [role for role, _ in flight]
        return [words for _, words in flight]

    def receive(self, replies: list[Any]) -> _Flight | None:
        """Take the replies of a flight; return the next flight, or None when the connection is ready.

        There are fewer of them than commands where the server has said something and closed the connection.

        Raises:
            AuthError: The server wants other credentials.
            MaxClientsError: It has as many clients as it allows.
            HandshakeFailed: Anything else that leaves the connection unusable; the server's error is the cause.
            ConnectionLost: The server closed it, for a reason of its own if there is a cause.
        """
        is_cut = len(replies) < len(self._roles)
        for role, reply in zip(self._roles, replies, strict=False):
            if isinstance(reply, ServerError):
                self._forget_password(reply)
            if isinstance(reply, MaxClientsError):
                raise self._located(reply)
            if role == "hello":
                if isinstance(reply, ServerError) and _has_no_hello(reply) and self._wanted is None:
                    if is_cut:
                        break
                    self.protocol = 2
                    return self._flight(())
                self._check_hello(reply)
            elif role == "auth" and reply not in ("OK", b"OK"):
                raise self._refused("AUTH", reply)
            elif role == "select" and reply not in ("OK", b"OK"):
                raise self._refused(f"SELECT {self._db}", reply)
        if is_cut:
            raise self._cut_off(replies)
        return None

    def _cut_off(self, replies: list[Any]) -> ConnectionLost:
        said = [reply for reply in replies if isinstance(reply, ServerError)]
        words = f"; it had said: {said[-1]}" if said else ""
        error = ConnectionLost(f"the server closed the connection during the handshake{words}", address=self.address)
        if said and not said[-1].message.lower().startswith("err unknown"):  # which is no reason to hang up
            error.__cause__ = self._located(said[-1])
        return error

    def _check_hello(self, reply: Any) -> None:
        if isinstance(reply, ServerError) and _has_no_hello(reply):
            raise HandshakeFailed(
                "this server has no HELLO 3, so RESP3 cannot be spoken; leave protocol unset or give protocol=2",
                address=self.address,
            ) from reply
        if not isinstance(reply, dict) or reply.get("proto") != 3:
            raise self._refused("HELLO", reply)
        self.info = reply

    def _forget_password(self, error: ServerError) -> None:
        """Take the password out of an error that repeats what was sent, as "unknown command" does, whole or cut."""
        if self._auth:
            told = error.message.partition(", with args beginning with:")[0]
            password = self._auth[-1]
            if isinstance(password, bytes) and password:
                told = told.replace(bytes(password).decode(), "***")
            error.message, error.args = told, (told,)

    def _located(self, error: ServerError) -> ServerError:
        error.address = self.address
        return error

    def _refused(self, what: str, reply: Any) -> Exception:
        """Return the error for an answer that ends the handshake."""
        if isinstance(reply, AuthError):
            reply.command = what
            return self._located(reply)
        if not isinstance(reply, ServerError):
            return HandshakeFailed(f"the answer to {what} is none that Redis gives", address=self.address)
        told = HandshakeFailed(f"the server refused {what}: {reply}", outcome=Outcome.NOT_SENT, address=self.address)
        told.__cause__ = self._located(reply)
        return told


def _has_no_hello(error: ServerError) -> bool:
    return error.code == "NOPROTO" or error.message.lower().startswith("err unknown command")


def explain_garbage(error: ProtocolError) -> ProtocolError:
    """Return a handshake's protocol error with what the peer probably is."""
    seen = error.excerpt
    if seen[:2] == b"\x15\x03":
        guess = "the server speaks TLS on this port: use rediss://"
    elif seen[:5] == b"HTTP/":
        guess = "this is a web server"
    elif seen[:4] == b"SSH-":
        guess = "this is an SSH server"
    else:
        guess = "this is no Redis server"
    return ProtocolError(f"{guess}; {error.reason}", offset=error.offset, excerpt=error.excerpt, address=error.address)
