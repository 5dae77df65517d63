"""A server that plays given bytes, to show a client what no real server can be made to say.

Two forms. `Scripted(fn)`: `fn(connection_number, block)` answers every block of bytes received. `Scripted.replies`:
a table from command name to reply, over a strict reader of commands. Each connection has a thread that sends
blockingly: while a reply is being sent nothing is read, as a deaf server does.

Answers are bytes, an iterable of bytes (each sent on its own; it may be endless), None (FIN: nothing more comes, what
the client still sends is taken and dropped), or RESET.
Invariants: everything received is kept in `received` before it is answered; nothing here knows carmine.
"""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from typing import TYPE_CHECKING, Final, Self
from urllib.parse import quote

from tests.lab.link import close_with_reset
from tests.lab.wire import parse_commands

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["HELLO_3", "RESET", "Answer", "Reset", "Scripted"]


class Reset(Enum):
    """The type of RESET."""

    RESET = "reset"


RESET: Final = Reset.RESET
"""As an answer: close the connection by a reset instead of FIN."""

Answer = bytes | Iterable[bytes | Reset | None] | Reset | None
Play = Callable[[int, bytes], Answer]
Reply = Answer | Callable[[list[bytes]], Answer] | list[bytes]

HELLO_3: Final = (
    b"%7\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$5\r\n7.2.0\r\n$5\r\nproto\r\n:3\r\n$2\r\nid\r\n:1\r\n"
    b"$4\r\nmode\r\n$10\r\nstandalone\r\n$4\r\nrole\r\n$6\r\nmaster\r\n$7\r\nmodules\r\n*0\r\n"
)
"""What a server answers to HELLO 3."""


class Scripted:
    r"""A server on a free port of 127.0.0.1 (or a unix socket) that answers as told.

    >>> with Scripted(lambda number, block: b"+PONG\r\n") as server:
    ...     server.url

    Args:
        play: called with the connection's number (from 1) and the block just received; b"" answers nothing.
        greeting: sent when a connection is accepted, before anything is read.
        tls: a server context; the handshake is made by the connection's thread.
        unix_path: listen on this unix socket instead.
        buffers: the size of the system's socket buffers on this side; small ones make a deaf server felt soon.

    Attributes:
        received: the bytes of each connection, by number.
        commands: with `replies`, (connection number, words) of every command, in order of arrival.
        errors: what went wrong in connection threads: exceptions of `play`, bytes that are no command (WireError), and
            failed TLS handshakes. `check` raises the first that is not a failed handshake.
    """

    def __init__(
        self,
        play: Play,
        *,
        greeting: Answer = b"",
        tls: ssl.SSLContext | None = None,
        unix_path: str | None = None,
        buffers: int | None = None,
    ) -> None:
        self._play = play
        self._greeting = greeting
        self._tls = tls
        self.unix_path = unix_path
        self.received: dict[int, bytearray] = {}
        self.commands: list[tuple[int, list[bytes]]] = []
        self.errors: list[Exception] = []
        self.accepted = 0
        self.closed = 0
        self._sockets: dict[int, socket.socket] = {}
        self._turns: dict[int, threading.Lock] = {}  # a TLS socket is not for two threads at once, not even both ways
        self._threads: list[threading.Thread] = []
        self._changed = threading.Condition()
        self._stopping = False
        self._listener = socket.socket(socket.AF_UNIX if unix_path else socket.AF_INET)
        if unix_path:
            self._listener.bind(unix_path)
        else:
            self._listener.bind(("127.0.0.1", 0))
        if buffers is not None:  # connections inherit them
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffers)
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffers)
        self._listener.listen(1024)
        self.port: int = 0 if unix_path else self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, name=f"scripted-{self.port}", daemon=True)
        self._thread.start()

    @classmethod
    def replies(
        cls,
        table: Mapping[bytes, Reply],
        *,
        hello: Reply = HELLO_3,
        default: Answer | Callable[[list[bytes]], Answer] = b"-ERR unknown command\r\n",
        greeting: Answer = b"",
        tls: ssl.SSLContext | None = None,
        unix_path: str | None = None,
        buffers: int | None = None,
    ) -> Self:
        """Make a server that reads commands and answers each from a table.

        Args:
            table: command name in capitals -> bytes, a list of bytes (one after the other, the last one for ever), a
                function of the words, None (close) or RESET. CLIENT, SELECT and AUTH are +OK if not in the table.
            hello: the answer to HELLO.
            default: the answer to a command that is not in the table.
            greeting: sent when a connection is accepted.
            tls: a server context.
            unix_path: listen on this unix socket instead.
            buffers: the size of the system's socket buffers on this side.
        """
        full: dict[bytes, Reply] = dict.fromkeys((b"CLIENT", b"SELECT", b"AUTH"), b"+OK\r\n")
        full |= {b"HELLO": hello, **table}
        series: dict[bytes, deque[bytes]] = {
            name: deque(reply) for name, reply in full.items() if isinstance(reply, list)
        }
        lock = threading.Lock()
        parsed: dict[int, int] = {}

        def answer(words: list[bytes]) -> Answer:
            name = words[0].upper()
            reply = full.get(name, default)
            if name in series:
                with lock:
                    return series[name].popleft() if len(series[name]) > 1 else series[name][0]
            if callable(reply):
                said: Answer = reply(words)
                return said
            return reply

        def play(number: int, block: bytes) -> Answer:
            done = parsed.get(number, 0)
            commands, parsed[number] = parse_commands(server.received[number], done)
            return _in_turn(server, number, commands, answer)

        server = cls(play, greeting=greeting, tls=tls, unix_path=unix_path, buffers=buffers)
        return server

    @property
    def url(self) -> str:
        """Where clients connect."""
        if self.unix_path:
            return f"unix://{quote(self.unix_path)}"
        return f"{'rediss' if self._tls else 'redis'}://127.0.0.1:{self.port}/0"

    def wait_until(self, condition: Callable[[], bool], what: str = "the condition", timeout: float = 10.0) -> None:
        """Wait until a condition holds that a connection can change; fail after `timeout` seconds."""
        with self._changed:
            if not self._changed.wait_for(condition, timeout):
                raise AssertionError(f"{what} did not come true within {timeout} s at the scripted server")

    def wait_commands(self, count: int, timeout: float = 10.0) -> None:
        """Wait until so many commands have come in all."""
        self.wait_until(lambda: len(self.commands) >= count, f"{count} commands", timeout)

    def wait_received(self, count: int, timeout: float = 10.0) -> None:
        """Wait until so many bytes have come in all."""
        self.wait_until(lambda: sum(map(len, list(self.received.values()))) >= count, f"{count} bytes", timeout)

    def send_now(self, data: bytes, number: int | None = None) -> None:
        """Send bytes nobody asked for, on one connection or on all open ones."""
        for n, sock in list(self._sockets.items()):
            if number in (None, n):
                self._send(n, sock, data)

    def check(self) -> None:
        """Raise the first error of a connection thread, failed TLS handshakes excepted."""
        for error in self.errors:
            if not isinstance(error, ssl.SSLError):
                raise error

    def stop(self) -> None:
        """Close everything and end the threads."""
        if self._stopping:
            return
        self._stopping = True
        # A connection of our own wakes accept() everywhere; close() would not, shutdown() does so on Linux alone.
        with socket.socket(self._listener.family) as caller, contextlib.suppress(OSError):
            caller.connect(self._listener.getsockname())
        self._thread.join()
        self._listener.close()
        for sock in list(self._sockets.values()):
            with contextlib.suppress(OSError):
                socket.socket.shutdown(sock, socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except ConnectionAbortedError:
                continue
            if self._stopping:
                sock.close()
                return
            self.accepted += 1
            number = self.accepted
            self.received[number] = bytearray()
            self._turns[number] = threading.Lock()
            self._sockets[number] = sock
            thread = threading.Thread(target=self._serve, args=(number, sock), name=f"scripted-{number}", daemon=True)
            self._threads.append(thread)
            thread.start()
            self._notify()

    def _notify(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _serve(self, number: int, sock: socket.socket) -> None:
        going, reset = True, False
        try:
            if self.unix_path is None:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls is not None:
                sock = self._sockets[number] = self._tls.wrap_socket(
                    sock, server_side=True, do_handshake_on_connect=False
                )
                if self._stopping:  # stop() may have shut down the plain socket, which was gone already
                    raise ConnectionAbortedError
                sock.do_handshake()
            going, reset = self._answer(number, sock, self._greeting)
            while going:
                block = self._receive(number, sock)
                if not block:
                    break
                self.received[number] += block
                self._notify()
                going, reset = self._answer(number, sock, self._play(number, block))
        except ConnectionError:
            pass  # the client left: its right
        except Exception as error:  # noqa: BLE001 - kept for check(), a thread has nobody to raise to
            if not self._stopping:
                self.errors.append(error)
        if reset:
            close_with_reset(sock)
        else:
            if not going:
                _say_end(sock)
            sock.close()
        self._sockets.pop(number, None)
        self.closed += 1
        self._notify()

    def _receive(self, number: int, sock: socket.socket) -> bytes:
        """Wait for bytes; nobody who sends has to wait meanwhile."""
        if not isinstance(sock, ssl.SSLSocket):
            return sock.recv(65_536)
        while True:
            if not sock.pending():
                select.select([sock], [], [])
            with self._turns[number]:
                sock.settimeout(0)
                try:
                    return sock.recv(65_536)
                except ssl.SSLWantReadError:
                    continue  # half a record, or one without any bytes for us
                finally:
                    sock.settimeout(None)

    def _send(self, number: int, sock: socket.socket, data: bytes) -> None:
        with self._turns[number] if isinstance(sock, ssl.SSLSocket) else contextlib.nullcontext():
            sock.sendall(data)

    def _answer(self, number: int, sock: socket.socket, answer: Answer) -> tuple[bool, bool]:
        """Send an answer; return whether the connection goes on, and if not, whether it ends by a reset."""
        if answer is None or answer is RESET:
            return False, answer is RESET
        for block in (answer,) if isinstance(answer, bytes) else answer:
            if isinstance(block, bytes):
                self._send(number, sock, block)
            else:
                return False, block is RESET
        return True, False


def _say_end(sock: socket.socket) -> None:
    """Send FIN and drop what still comes: closing with unread bytes would be a reset. TLS gets no close_notify."""
    with contextlib.suppress(OSError):
        socket.socket.shutdown(sock, socket.SHUT_WR)
        while socket.socket.recv(sock, 65_536):
            pass


def _in_turn(
    server: Scripted, number: int, commands: list[list[bytes]], answer: Callable[[list[bytes]], Answer]
) -> Iterable[bytes | Reset | None]:
    """Answer commands one by one: the next is looked at when the answer to the one before has been sent."""
    for words in commands:
        server.commands.append((number, words))
        server._notify()
        reply = answer(words)
        if reply is None or isinstance(reply, Reset):
            yield reply
            return
        if isinstance(reply, bytes):
            yield reply
        else:
            yield from reply
