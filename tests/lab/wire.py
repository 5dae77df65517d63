"""RESP as the laboratory sees it: a strict reader of commands, and a minimal client on a raw socket.

Written apart from carmine's codec on purpose: the two may not agree on a bug. `parse_commands` accepts nothing but
arrays of bulk strings, so that an inline command or a wrong length from the client under test is an error here.
"""

from __future__ import annotations

import secrets
import socket
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

__all__ = ["RawClient", "ReplyError", "Value", "WireError", "encode_command", "parse_commands", "read_to_end"]

Word = bytes | str | int | float
Value = bytes | int | float | bool | None | list["Value"] | dict[bytes, "Value"] | Exception


class WireError(Exception):
    """The bytes are no array of bulk strings; says at which offset."""


class ReplyError(Exception):
    """A server's error reply."""


def _number(buffer: bytes | bytearray, at: int, mark: bytes) -> tuple[int, int] | None:
    """Read a line of `mark` and digits at `at`; return the number and the offset behind it; None: bytes are missing."""
    if at >= len(buffer):
        return None
    if buffer[at : at + 1] != mark:
        raise WireError(f"expected {mark!r} at offset {at}, got {bytes(buffer[at : at + 20])!r}")
    end = buffer.find(b"\r\n", at, at + 24)
    if end < 0:
        if len(buffer) - at >= 24:
            raise WireError(f"no end of line after {mark!r} at offset {at}")
        return None
    digits = bytes(buffer[at + 1 : end])
    if not digits.isdigit() or (digits[:1] == b"0" and digits != b"0"):
        raise WireError(f"{digits!r} at offset {at + 1} is no length")
    return int(digits), end + 2


def parse_commands(buffer: bytes | bytearray, start: int = 0) -> tuple[list[list[bytes]], int]:
    """Read the complete commands in `buffer` from `start`; return them and the offset behind the last one.

    Raises:
        WireError: something else than arrays of bulk strings with exact lengths.
    """
    commands: list[list[bytes]] = []
    done = start
    while header := _number(buffer, done, b"*"):
        count, at = header
        if count == 0:
            raise WireError(f"an empty command at offset {done}")
        words: list[bytes] = []
        for _ in range(count):
            length = _number(buffer, at, b"$")
            if length is None or len(buffer) < length[1] + length[0] + 2:
                return commands, done
            size, at = length
            if buffer[at + size : at + size + 2] != b"\r\n":
                raise WireError(f"a word of {size} bytes at offset {at} does not end there")
            words.append(bytes(buffer[at : at + size]))
            at += size + 2
        commands.append(words)
        done = at
    return commands, done


def encode_command(*words: Word) -> bytes:
    """Write one command as an array of bulk strings."""
    texts = [w if isinstance(w, bytes) else str(w).encode() for w in words]
    return b"*%d\r\n" % len(texts) + b"".join(b"$%d\r\n%b\r\n" % (len(t), t) for t in texts)


class RawClient:
    """A blocking connection for the laboratory's own questions to a server, and for the tools' self-tests.

    RESP2, and of RESP3 what HELLO 3 and simple commands need. `sock` may be used directly.

    Args:
        address: a (host, port) pair, or the path of a unix socket.
        timeout: seconds for connecting and for each read.
    """

    def __init__(self, address: tuple[str, int] | str, timeout: float = 10.0) -> None:
        if isinstance(address, str):
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.settimeout(timeout)
            self.sock.connect(address)
        else:
            self.sock = socket.create_connection(address, timeout)
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = bytearray()

    def __enter__(self) -> Self:
        """Return the open connection."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        """Close the connection."""
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self.sock.close()

    @property
    def is_open(self) -> bool:
        """Whether the other side has not closed the connection while it was idle."""
        timeout = self.sock.gettimeout()
        self.sock.setblocking(False)
        try:
            return self.sock.recv(1, socket.MSG_PEEK) != b""
        except BlockingIOError:
            return True
        except OSError:
            return False
        finally:
            self.sock.settimeout(timeout)

    def call(self, *words: Word) -> Value:
        """Send a command and return its reply.

        Raises:
            ReplyError: the reply is an error.
        """
        self.send(*words)
        value = self.read()
        if isinstance(value, ReplyError):
            raise value
        return value

    def call_all(self, *commands: Sequence[Word]) -> list[Value]:
        """Send commands in one write and return their replies.

        Raises:
            ReplyError: one of the replies is an error; it is the first, and the others have been read.
        """
        self.sock.sendall(b"".join(encode_command(*words) for words in commands))
        values = [self.read() for _ in commands]
        for value in values:
            if isinstance(value, ReplyError):
                raise value
        return values

    def call_unparsed(self, *words: Word) -> bytes:
        """Send a command and return the bytes of its reply: what comes before the answer to an ECHO sent behind it."""
        mark = secrets.token_hex(16).encode()
        self.sock.sendall(encode_command(*words) + encode_command("ECHO", mark))
        end = b"$%d\r\n%b\r\n" % (len(mark), mark)
        while not self._buffer.endswith(end):
            self._fill()
        return self._take(len(self._buffer))[: -len(end)]

    def send(self, *words: Word) -> None:
        """Send a command without waiting for its reply."""
        self.sock.sendall(encode_command(*words))

    def read(self) -> Value:
        """Read one reply; an error reply is returned, not raised.

        Raises:
            EOFError: the server closed the connection.
        """
        line = self._line()
        mark, text = line[:1], line[1:]
        match mark:
            case b"+":
                return text
            case b"-":
                return ReplyError(text.decode(errors="replace"))
            case b":":
                return int(text)
            case b",":
                return float(text)
            case b"#":
                return text == b"t"
            case b"_":
                return None
            case b"$" | b"=":
                return None if text == b"-1" else self.exactly(int(text) + 2)[:-2]
            case b"*" | b"~" | b">":
                return None if text == b"-1" else [self.read() for _ in range(int(text))]
            case b"%":
                pairs = [(self.read(), self.read()) for _ in range(int(text))]
                return {key: value for key, value in pairs if isinstance(key, bytes)}
            case _:
                raise WireError(f"no RESP type begins with {mark!r}")

    def read_bytes(self) -> bytes:
        """Return everything until the other side closes, without parsing it; a reset raises ConnectionResetError."""
        while block := self.sock.recv(65536):
            self._buffer += block
        data = bytes(self._buffer)
        self._buffer.clear()
        return data

    def _fill(self) -> None:
        block = self.sock.recv(65536)
        if not block:
            raise EOFError(f"closed with {len(self._buffer)} bytes of an unfinished reply")
        self._buffer += block

    def _line(self) -> bytes:
        while (end := self._buffer.find(b"\r\n")) < 0:
            self._fill()
        return self._take(end + 2)[:-2]

    def exactly(self, size: int) -> bytes:
        """Read so many bytes, without parsing them."""
        while len(self._buffer) < size:
            self._fill()
        return self._take(size)

    def _take(self, size: int) -> bytes:
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        return data


def read_to_end(client: RawClient) -> tuple[bytes, str]:
    """Read to the end; return the bytes and how the connection ended, "fin" or "rst"."""
    data = b""
    while True:
        try:
            block = client.sock.recv(65536)
        except ConnectionResetError:
            return data, "rst"
        if not block:
            return data, "fin"
        data += block
