"""Where a server listens: a host and a port, or the path of a unix socket.

An address is a value: frozen, hashable, picklable (errors carry it), and free of credentials, so that its text can
stand in every message and log line.
"""

from __future__ import annotations

import socket
from typing import Final

from carmine import _checks
from carmine._frozen import Frozen
from carmine.errors import UsageError

__all__ = ["DEFAULT_PORT", "Address"]

DEFAULT_PORT: Final = 6379


class Address(Frozen):
    """A host and a port, or a path; `str()` gives "127.0.0.1:6379", "[::1]:6379" or "unix:/run/x.sock".

    Attributes:
        host: A name or an IP address, an IPv6 one without brackets; None for a unix socket.
        port: 1 to 65535; None for a unix socket.
        path: The unix socket's path; None for TCP.
    """

    __slots__ = ("host", "path", "port")

    host: str | None
    port: int | None
    path: str | None

    def __init__(self, host: str | None = None, port: int = DEFAULT_PORT, *, path: str | None = None) -> None:
        """Check and keep the parts.

        Raises:
            UsageError: Neither or both of host and path, or a part that no socket could take.
        """
        if (host is None) == (path is None):
            raise UsageError("an address is either a host and a port or the path of a unix socket")
        if path is not None:
            _checks.text("path", path)
            if not path or "\0" in path:
                raise UsageError("the path of a unix socket must not be empty or hold a NUL")
        else:
            _checks.text("host", host)
            if not is_host(host or ""):
                raise UsageError(
                    "a host must be a name of ASCII letters, digits, '-', '.' and '_' (others in their xn-- form), "
                    "or an IP address"
                )
        checked = None if host is None else _checks.whole("port", port, least=1, most=65535)
        self._put(host=host, port=checked, path=path)

    @property
    def is_unix(self) -> bool:
        """Whether this is the path of a unix socket."""
        return self.path is not None

    @property
    def is_local(self) -> bool:
        """Whether what is sent there stays on this machine: a unix socket, or a loopback address or name."""
        if self.host is None:
            return True
        host = self.host.rstrip(".").lower()
        if host == "localhost" or host.endswith(".localhost"):  # RFC 6761: always loopback
            return True
        try:
            if ":" in host:
                packed = socket.inet_pton(socket.AF_INET6, host.partition("%")[0])
                return packed == bytes(15) + b"\1" or packed[:13] == bytes(10) + b"\xff\xff\x7f"
            return socket.inet_aton(host)[0] == 127  # takes short forms such as "127.1", as the resolver does
        except OSError:
            return False

    def __str__(self) -> str:
        """Show the address as messages do."""
        if self.path is not None:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in (self.host or "") else f"{self.host}:{self.port}"

    def _show(self) -> str:
        """Show how to make this value."""
        return f"Address(path={self.path!r})" if self.is_unix else f"Address({self.host!r}, {self.port})"


def is_host(host: str) -> bool:
    """Tell whether a text can be a host: a name, an IPv4 address, or an IPv6 address without brackets.

    Only ASCII: look-alike letters are folded by the resolver, so that a check of the text could be passed by another.
    """
    if not host.isascii():
        return False
    if ":" not in host:
        labels = host.removesuffix(".").split(".")
        return len(host) <= 254 and all(0 < len(label) <= 63 and _is_plain(label) for label in labels)
    numbers, mark, zone = host.partition("%")
    try:
        socket.inet_pton(socket.AF_INET6, numbers)
    except OSError:
        return False
    return not mark or _is_plain(zone)


def _is_plain(text: str) -> bool:
    return bool(text) and all(letter.isalnum() or letter in "-._" for letter in text)
