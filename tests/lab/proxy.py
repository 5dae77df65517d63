"""A TCP proxy between a client and a server that hurts the bytes on demand, exactly and repeatably.

One thread of its own runs all connections in one selector loop. The two directions are "c2s" (client to server) and
"s2c". Faults are settings that hold for every connection until `heal()` (`proxy.cut_after["s2c"] = 7`), or those that
a `plan` gives to one connection. Offsets count the bytes that arrived in a direction of one connection, from its
beginning or from the latest `mark()`. What happens to the bytes is told in link.py; nothing here knows carmine.
"""

from __future__ import annotations

import contextlib
import queue
import selectors
import socket
import threading
import time
from typing import TYPE_CHECKING, Self, TypeVar
from urllib.parse import urlsplit, urlunsplit

from tests.lab.link import CutMode, Direction, Faults, Flow, Link, close_with_reset
from tests.lab.wire import parse_commands

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

__all__ = ["Direction", "FaultProxy", "Faults"]

T = TypeVar("T")


class FaultProxy:
    """A proxy on a free port of 127.0.0.1 in front of one server.

    >>> with FaultProxy("127.0.0.1", server.port, record=True) as proxy:
    ...     proxy.cut_after["s2c"] = 7
    ...     proxy.cut_mode = "rst"

    Args:
        host: the server's host, or the path of its unix socket if `port` is None.
        port: the server's port.
        record: keep every byte received, by connection and direction, for `log` and `commands`.
        plan: gives the n-th connection (from 1) faults of its own; None lets it share `faults`.
    """

    def __init__(
        self,
        host: str,
        port: int | None = None,
        *,
        record: bool = False,
        plan: Callable[[int], Faults | None] | None = None,
    ) -> None:
        self.faults = faults = Faults()
        # the names that the fault catalogue uses: the same dicts, which heal() empties in place
        self.delay, self.pace, self.chunk = faults.delay, faults.pace, faults.chunk
        self.cut_after, self.truncate = faults.cut_after, faults.truncate
        self.corrupt, self.dup, self.inject = faults.corrupt, faults.dup, faults.inject
        self.plan = plan
        self.record = record
        self.blackhole = False
        self.held: set[Direction] = set()
        self.accepted = 0
        self.passed: dict[Direction, int] = {"c2s": 0, "s2c": 0}
        self._upstream: tuple[str, int] | str = host if port is None else (host, port)
        self._links: dict[int, Link] = {}
        self._logs: dict[int, dict[Direction, bytearray]] = {}
        self._changed = threading.Condition()
        self._calls: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._stopping = False
        self._listener = self._bind(0)
        self._listener.listen(1024)
        self.port: int = self._listener.getsockname()[1]
        self._refusing = False
        self._selector = selectors.DefaultSelector()
        self._wake_read, self._wake_write = socket.socketpair()
        self._wake_read.setblocking(False)
        self._selector.register(self._wake_read, selectors.EVENT_READ)
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._run, name=f"fault-proxy-{self.port}", daemon=True)
        self._thread.start()

    @property
    def native_id(self) -> int:
        """The id of the thread that the bytes go through, for a stopwatch."""
        assert self._thread.native_id is not None
        return self._thread.native_id

    @property
    def cut_mode(self) -> CutMode:
        """How `cut_after` closes."""
        return self.faults.cut_mode

    @cut_mode.setter
    def cut_mode(self, mode: CutMode) -> None:
        self.faults.cut_mode = mode

    # Actions: each has happened when the call returns.

    def hold(self, *directions: Direction) -> None:
        """Keep bytes back in these directions (none named: both) until `release`; nothing is lost."""
        self._in_loop(lambda: self.held.update(directions or ("c2s", "s2c")))

    def release(self) -> None:
        """Let the bytes that were held back go on."""
        self._in_loop(self.held.clear)

    def inject_now(self, direction: Direction, data: bytes) -> None:
        """Send bytes of our own on every open connection, behind those that wait already."""

        def put() -> None:
            for link in list(self._links.values()):
                if flow := link.flows.get(direction):
                    flow.put(data)
                    flow.send(time.monotonic())

        self._in_loop(put)

    def kill(self, mode: CutMode = "rst", number: int | None = None) -> int:
        """Cut every open connection, or the one with this number, now; return how many there were.

        By "fin" a connection stays open here until both sides have closed it.
        """

        def cut() -> int:
            links = [link for link in self._links.values() if number in (None, link.number)]
            for link in links:
                link.cut(mode)
            return len(links)

        return self._in_loop(cut)

    def refuse(self, on: bool = True) -> None:
        """Refuse new connections (ECONNREFUSED), or accept them again; open ones stay."""

        def change() -> None:
            if on and not self._refusing:
                self._selector.unregister(self._listener)
                self._listener.close()
                self._listener = self._bind(self.port)  # bound but deaf: nobody else is given the port meanwhile
            elif self._refusing and not on:
                self._listener.listen(1024)
                self._selector.register(self._listener, selectors.EVENT_READ)
            self._refusing = on

        self._in_loop(change)

    def mark(self) -> None:
        """Let the offsets of every open connection begin at 0 again, and the counts in `passed` with them."""

        def rebase() -> None:
            self.passed.update({"c2s": 0, "s2c": 0})
            for link in self._links.values():
                for flow in link.flows.values():
                    flow.mark()

        self._in_loop(rebase)

    def heal(self) -> None:
        """Take back every fault but those of a plan. Connections that were cut or lost bytes stay hurt."""

        def clear() -> None:
            self.faults.clear()
            self.held.clear()
            self.blackhole = False

        self._in_loop(clear)
        self.refuse(False)

    # Facts.

    @property
    def numbers(self) -> list[int]:
        """The numbers of the open connections, oldest first."""
        return self._in_loop(lambda: list(self._links))

    @property
    def open(self) -> int:
        """How many connections are open."""
        return len(self._links)

    def log(self, direction: Direction, number: int | None = None) -> bytes:
        """Return the bytes received in a direction, of one connection or of all in their order (`record=True`)."""
        assert self.record, "only a proxy with record=True keeps a log"
        logs = list(self._logs.values()) if number is None else [self._logs[number]]
        return b"".join(bytes(log[direction]) for log in logs)

    def commands(self, number: int | None = None) -> list[list[bytes]]:
        """Return the complete commands that clients sent, as words, of one connection or of all in their order."""
        numbers = list(self._logs) if number is None else [number]
        return [command for n in numbers for command in parse_commands(self.log("c2s", n))[0]]

    def url(self, like: str) -> str:
        """Return a server's URL with this proxy's address; userinfo, path and query stay (a unix path does not)."""
        parts = urlsplit(like)
        userinfo, at, _ = parts.netloc.rpartition("@")
        if parts.scheme == "unix":
            parts = parts._replace(scheme="redis", path="/0")
        return urlunsplit(parts._replace(netloc=f"{userinfo}{at}127.0.0.1:{self.port}"))

    # Waiting. For a coroutine: `await asyncio.to_thread(proxy.wait_passed, "c2s", 1)`.

    def wait_until(self, condition: Callable[[], bool], what: str = "the condition", timeout: float = 10.0) -> None:
        """Wait until a condition holds that bytes or connections can change; fail after `timeout` seconds."""
        with self._changed:
            if not self._changed.wait_for(condition, timeout):
                raise AssertionError(f"{what} did not come true within {timeout} s at the proxy")

    def wait_passed(self, direction: Direction, count: int = 1, timeout: float = 10.0) -> None:
        """Wait until this many bytes went on since `mark`: with "c2s", that the request has passed."""
        self.wait_until(lambda: self.passed[direction] >= count, f"{count} bytes {direction}", timeout)

    def wait_commands(self, count: int, timeout: float = 10.0) -> None:
        """Wait until so many complete commands were received in all (`record=True`)."""
        self.wait_until(lambda: len(self.commands()) >= count, f"{count} commands", timeout)

    def wait_open(self, count: int, timeout: float = 10.0) -> None:
        """Wait until exactly so many connections are open."""
        self.wait_until(lambda: self.open == count, f"{count} open connections", timeout)

    def stop(self) -> None:
        """Close every connection and the port, and end the thread."""
        if self._thread.is_alive():
            self._stopping = True
            self._wake()
            self._thread.join()
            self._wake_read.close()
            self._wake_write.close()  # not by the loop: it may have seen _stopping before it was woken

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()

    # The loop's side.

    @staticmethod
    def _bind(port: int) -> socket.socket:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.setblocking(False)
        return listener

    def _wake(self) -> None:
        self._wake_write.send(b"!")

    def _in_loop(self, function: Callable[[], T]) -> T:
        """Run a function in the loop's thread, and return what it returned."""
        if not self._thread.is_alive():
            raise RuntimeError("this proxy was stopped")
        answer: queue.SimpleQueue[tuple[T | None, Exception | None]] = queue.SimpleQueue()

        def call() -> None:
            try:
                answer.put((function(), None))
            except Exception as error:  # noqa: BLE001 - carried to the caller's thread and raised there
                answer.put((None, error))

        self._calls.put(call)
        self._wake()
        value, error = answer.get(timeout=30)
        if error is not None:
            raise error
        return value  # type: ignore[return-value]  # a T whenever there was no error

    def _run(self) -> None:
        while not self._stopping:
            for key, _ in self._selector.select(self._patience()):
                if key.fileobj is self._wake_read:
                    with contextlib.suppress(BlockingIOError):
                        self._wake_read.recv(4096)
                elif key.fileobj is self._listener:
                    self._accept()
                else:
                    link, flow = key.data
                    if flow is not None and not link.closed and flow.wants_bytes:
                        link.read(flow, time.monotonic())
            while not self._calls.empty():
                self._calls.get()()
            now = time.monotonic()
            for link in list(self._links.values()):
                self._serve(link, now)
            with self._changed:
                self._changed.notify_all()
        for link in list(self._links.values()):
            link.close(reset=True)
        self._listener.close()
        self._selector.close()

    def _patience(self) -> float | None:
        """How long the loop may sleep: until the next delayed byte, or a short while for a reset that waits."""
        times = [flow.wake_at for link in self._links.values() for flow in link.flows.values()]
        due = [at for at in times if at is not None]
        if any(link.reset_waits for link in self._links.values()):
            due.append(time.monotonic() + 0.001)
        return max(0.0, min(due) - time.monotonic()) if due else None

    def _accept(self) -> None:
        try:
            client, _ = self._listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        self.accepted += 1
        server: socket.socket | None = None
        try:
            if not self.blackhole:
                server = self._connect()
        except OSError:
            close_with_reset(client)
            return
        faults = (self.plan and self.plan(self.accepted)) or self.faults
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        link = self._links[self.accepted] = Link(self, self.accepted, client, server, faults)
        if self.record:
            self._logs[link.number] = link.log
        for sock in link.sockets:
            sock.setblocking(False)

    def _connect(self) -> socket.socket:
        if isinstance(self._upstream, str):
            server = socket.socket(socket.AF_UNIX)
            server.connect(self._upstream)
            return server
        server = socket.create_connection(self._upstream, 5.0)
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return server

    def _serve(self, link: Link, now: float) -> None:
        """Send what a connection may send, and watch its sockets for what it can use next."""
        if link.reset_waits:
            link.try_reset()
        for flow in link.flows.values():
            if not link.closed:
                flow.send(now)
        if link.closed:
            return
        for sock in link.sockets:
            events = 0
            reader: Flow | None = None
            for flow in link.flows.values():
                if flow.source is sock and flow.wants_bytes and not link.reset_waits:
                    events |= selectors.EVENT_READ
                    reader = flow
                if flow.sink is sock and flow.blocked:
                    events |= selectors.EVENT_WRITE
            self._watch(sock, events, (link, reader))

    def _watch(self, sock: socket.socket, events: int, data: tuple[Link, Flow | None]) -> None:
        known = self._selector.get_map().get(sock)
        if known is None:
            if events:
                self._selector.register(sock, events, data)
        elif not events:
            self._selector.unregister(sock)
        elif known.events != events or known.data[1] is not data[1]:
            self._selector.modify(sock, events, data)

    def forget(self, link: Link) -> None:
        """Leave a link out from now on; for Link alone."""
        self._links.pop(link.number, None)
        for sock in link.sockets:
            with contextlib.suppress(KeyError):
                self._selector.unregister(sock)
