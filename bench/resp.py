"""The smallest RESP speaker that can load data and check W's replies; never inside a timed block.

It is the harness's own, so that carmine is not used to judge carmine. It reads one whole reply from a blocking
socket, hands back both the raw bytes and the value, and knows only the types that the benchmark's commands answer
with.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def pack(words: Iterable[str | bytes]) -> bytes:
    """Return one command as RESP bytes."""
    encoded = [word.encode() if isinstance(word, str) else word for word in words]
    parts = [b"*%d\r\n" % len(encoded)]
    for word in encoded:
        parts += (b"$%d\r\n" % len(word), word, b"\r\n")
    return b"".join(parts)


class Reader:
    """Reads replies one by one and remembers the raw bytes of the last one."""

    def __init__(self, sock: socket.socket) -> None:
        self._file = sock.makefile("rb")
        self._raw: list[bytes] = []

    def read(self) -> tuple[bytes, object]:
        """Return the next reply as its raw bytes and as a Python value."""
        self._raw = []
        value = self._value()
        return b"".join(self._raw), value

    def close(self) -> None:
        """Let go of the socket, which stays open."""
        self._file.close()

    def _line(self) -> bytes:
        line = self._file.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("the server closed the connection in the middle of a reply")
        self._raw.append(line)
        return line[:-2]

    def _value(self) -> object:
        line = self._line()
        kind, rest = line[:1], line[1:]
        if kind in b"$=":
            return self._bulk(int(rest))
        if kind in b"*~>":
            return [self._value() for _ in range(int(rest))]
        if kind == b"%":
            return {self._value(): self._value() for _ in range(int(rest))}
        if kind == b":":
            return int(rest)
        if kind == b",":
            return float(rest)
        if kind == b"-":
            raise RuntimeError(f"the server answered with an error: {rest.decode()}")
        return None if kind == b"_" else rest

    def _bulk(self, size: int) -> bytes | None:
        if size < 0:
            return None
        body = self._file.read(size + 2)
        self._raw.append(body)
        return body[:-2]


def connect(address: tuple[str, int]) -> socket.socket:
    """Open a plain blocking connection that speaks RESP3, as carmine's does."""
    sock = socket.create_connection(address)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.sendall(pack(["HELLO", "3"]))
    Reader(sock).read()
    return sock
