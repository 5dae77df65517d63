"""A wire under test on one end of a socket pair, and a script that plays the peer on the other."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from typing import TYPE_CHECKING, Any

from carmine.protocol import _parser as pure_parser
from carmine.protocol._encoder import encode as pure_encode
from carmine.protocol.limits import DEFAULT_LIMITS, Limits
from carmine.transport import socket_io

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from carmine.protocol.abc import WireIO

_resp: Any
_wire: Any
try:
    from carmine import _resp, _wire
except ImportError:  # no extension was built here
    _resp = _wire = None

TWINS = ["wire", "socket-cython", "socket-python"] if _wire is not None else ["socket-python"]
WATCHDOG = 20.0
"""Seconds after which a script or a call of these tests counts as hung."""

ADDRESS = "peer:1"


class Pair:
    """One twin on one end of a socket pair, a script on the other."""

    def __init__(self, twin: str) -> None:
        self.twin = twin
        self.io: WireIO
        self.peer: socket.socket
        self._threads: list[threading.Thread] = []
        self._failures: list[BaseException] = []

    @property
    def codec(self) -> Any:
        """The module of this twin's parser."""
        return pure_parser if self.twin == "socket-python" else _resp

    def open(self, timeout: float | None = 5.0, *, limits: Limits = DEFAULT_LIMITS, buffers: int = 0) -> WireIO:
        """Make the connection; small buffers make a deaf peer felt soon."""
        ours, self.peer = socket.socketpair()
        if buffers:
            for end in (ours, self.peer):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffers)
                end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffers)
        self.peer.settimeout(WATCHDOG)
        self.parser = self.codec.Parser(3, True, limits)
        if self.twin == "wire":
            seconds = timeout or 0.0
            packed = struct.pack("ll", int(seconds), int(seconds % 1 * 1e6))
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, packed)
            self.io = _wire.WireIO(ours, self.parser, ADDRESS, timeout)
        else:
            self.io = socket_io.SocketIO(ours, self.parser, ADDRESS, timeout)
        return self.io

    def open_used(self, timeout: float | None = 5.0, *, limits: Limits = DEFAULT_LIMITS) -> WireIO:
        """Make a connection that has had its first call, and looks at the socket before every other."""
        io = self.open(timeout, limits=limits)
        self.peer.sendall(b"+first\r\n")
        assert io.execute((b"PING",), True) == "first"
        assert take(self.peer, len(PING)) == PING
        io.look_after = 0.0
        return io

    def play(self, script: Callable[[socket.socket], object]) -> threading.Thread:
        """Run the peer's script in a thread; what it raises fails the test."""

        def run() -> None:
            try:
                script(self.peer)
            except BaseException as failure:  # noqa: BLE001 - told by the test's own thread
                self._failures.append(failure)

        thread = threading.Thread(target=run, name="peer", daemon=True)
        self._threads.append(thread)
        thread.start()
        return thread

    def answer(self, *exchanges: tuple[bytes, bytes]) -> threading.Thread:
        """Play: take exactly these bytes, then send those, one exchange after the other."""

        def script(peer: socket.socket) -> None:
            for expected, reply in exchanges:
                assert take(peer, len(expected)) == expected
                peer.sendall(reply)

        return self.play(script)

    def finish(self) -> None:
        """Wait for the scripts; close both ends."""
        for thread in self._threads:
            thread.join(WATCHDOG)
            assert not thread.is_alive(), "the peer's script hangs"
        self.io.close()
        self.peer.close()
        for failure in self._failures:
            raise failure

    def saw_the_end(self) -> bool:
        """Whether the peer reads the end of the stream: our side is closed, and sent nothing more."""
        try:
            return self.peer.recv(1) == b""
        except ConnectionResetError:
            return True


def take(peer: socket.socket, count: int) -> bytes:
    """Read exactly so many bytes."""
    got = bytearray()
    while len(got) < count:
        block = peer.recv(min(1 << 16, count - len(got)))
        assert block, f"the end of the stream after {len(got)} of {count} bytes"
        got += block
    return bytes(got)


def drain(peer: socket.socket) -> bytes:
    """Read to the end of the stream."""
    got = bytearray()
    while block := peer.recv(1 << 16):
        got += block
    return bytes(got)


def command(*words: Any) -> bytes:
    """Return a command as it goes out."""
    return bytes(pure_encode(*words))


PING = command(b"PING")


@contextlib.contextmanager
def within(seconds: float) -> Iterator[None]:
    """Fail when the block takes longer."""
    began = time.monotonic()
    yield
    took = time.monotonic() - began
    assert took < seconds, f"took {took:.3f} s"
