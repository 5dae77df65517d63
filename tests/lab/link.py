"""What the fault proxy does to one connection: the faults, the two flows of bytes, and how they end.

Used by proxy.py, whose loop calls these objects in one thread only. A `Flow` is one direction: it takes bytes in,
changes them as the faults say, and sends them on when they are due. A `Link` is a client's connection and the
server's that belongs to it.

Invariants: bytes keep their order; nothing is decided by a clock except `delay` and `pace`; a byte has been counted
and logged before anybody can have received it.
"""

from __future__ import annotations

import contextlib
import fcntl
import socket
import struct
import termios
from collections import deque
from enum import Enum
from typing import Final, Literal, Protocol

__all__ = ["CutMode", "Direction", "Faults", "Flow", "Link", "close_with_reset"]

Direction = Literal["c2s", "s2c"]
CutMode = Literal["fin", "rst"]

_BLOCK: Final = 65_536
_MOST_BUFFERED: Final = 1 << 20  # per direction; a source is not read further until its bytes have gone on


class _Mark(Enum):
    """What may be queued behind a flow's last byte."""

    END = "the source said FIN"
    CUT = "both sides are to be closed"


class Owner(Protocol):
    """What a link needs to know of its proxy."""

    record: bool
    blackhole: bool
    held: set[Direction]
    passed: dict[Direction, int]

    def forget(self, link: Link) -> None:
        """Leave a link out from now on: its sockets are about to be closed."""


class Faults:
    """What is done to the bytes; every setting is a dict by direction, and one without an entry does nothing.

    Attributes:
        delay: seconds each block waits before it goes on (latency, the throughput stays).
        pace: seconds between two sends (with `chunk` = 1 a slow drip).
        chunk: most bytes in one send.
        cut_after: both sides are closed when this many bytes have gone on (0: at the first byte, which does not).
        cut_mode: how `cut_after` closes: "fin", an orderly end, or "rst", a reset.
        truncate: bytes from this offset on vanish, the connection stays open.
        corrupt: {offset: mask}, the byte there is XORed with the mask.
        dup: (start, stop), these bytes go on twice.
        inject: {offset: bytes}, put in when so many bytes have gone on (0: before the first).
    """

    def __init__(self) -> None:
        self.delay: dict[Direction, float] = {}
        self.pace: dict[Direction, float] = {}
        self.chunk: dict[Direction, int] = {}
        self.cut_after: dict[Direction, int] = {}
        self.cut_mode: CutMode = "fin"
        self.truncate: dict[Direction, int] = {}
        self.corrupt: dict[Direction, dict[int, int]] = {}
        self.dup: dict[Direction, tuple[int, int]] = {}
        self.inject: dict[Direction, dict[int, bytes]] = {}

    def clear(self) -> None:
        """Take back every fault."""
        for name, value in vars(self).items():
            if name != "cut_mode":
                value.clear()


def close_with_reset(sock: socket.socket) -> None:
    """Close a TCP socket so that the other side sees a reset, not an orderly end."""
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def _unacknowledged(sock: socket.socket) -> int:
    """Count the bytes that the other side's system has not taken yet: a reset would destroy them."""
    if sock.family == socket.AF_UNIX:  # has no resets
        return 0
    try:
        answer = fcntl.ioctl(sock, termios.TIOCOUTQ, b"\0\0\0\0")
    except OSError:  # no such question on this system, or the connection is gone
        return 0
    return int(struct.unpack("i", answer)[0])


class Flow:
    """One direction of one connection: where bytes come from, where they go, and what waits in between."""

    def __init__(self, link: Link, direction: Direction, source: socket.socket, sink: socket.socket | None) -> None:
        self.link = link
        self.direction: Direction = direction
        self.source = source
        self.sink = sink
        self.source_done = False
        self.is_over = False  # the sink has heard of the source's end
        self.blocked = False  # the sink's system takes no more at the moment
        self._offset = 0  # of the next byte to arrive
        self._waiting: deque[tuple[float, bytes | _Mark]] = deque()  # each with the time when it may go
        self._buffered = 0
        self._next_send = 0.0
        self._swallowing = sink is None
        self._injected: set[int] = set()
        self._dup_bytes = bytearray()

    @property
    def wants_bytes(self) -> bool:
        """Whether the source should be read."""
        return not self.source_done and self._buffered < _MOST_BUFFERED

    @property
    def wake_at(self) -> float | None:
        """When the next bytes are due; None if nothing waits for the clock."""
        if not self._waiting or self.blocked or self.sink is None or self.direction in self.link.owner.held:
            return None
        return max(self._waiting[0][0], self._next_send)

    def mark(self) -> None:
        """Let the offsets begin at 0 again."""
        self._offset = 0
        self._injected.clear()
        self._dup_bytes.clear()

    def put(self, data: bytes, due: float = 0.0) -> None:
        """Queue bytes."""
        if data:
            self._waiting.append((due, data))
            self._buffered += len(data)

    def drop(self) -> None:
        """Forget what is queued, and take nothing in any more."""
        self._waiting.clear()
        self._buffered = 0
        self._swallowing = True

    def arrive(self, data: bytes, now: float) -> None:
        """Take in bytes from the source, and queue what the faults leave of them."""
        faults, way = self.link.faults, self.direction
        start, end = self._offset, self._offset + len(data)
        self._offset = end
        if self._swallowing or self.link.owner.blackhole:
            self._swallowing = True
            return
        due = now + faults.delay.get(way, 0.0)
        cut, truncate = faults.cut_after.get(way), faults.truncate.get(way)
        stop = max(start, min(end if limit is None else limit for limit in (end, cut, truncate)))
        self.put(self._changed(memoryview(data)[: stop - start], start, stop), due)
        if cut is not None and end >= cut:
            self._waiting.append((due, _Mark.CUT))
            self._swallowing = True
        elif truncate is not None and end > truncate:
            self._swallowing = True

    def arrive_end(self, now: float) -> None:
        """Take in the source's FIN."""
        self.source_done = True
        self._waiting.append((now + self.link.faults.delay.get(self.direction, 0.0), _Mark.END))

    def _changed(self, data: memoryview, start: int, stop: int) -> bytes:
        faults, way = self.link.faults, self.direction
        body = bytearray(data)
        for offset, mask in faults.corrupt.get(way, {}).items():
            if start <= offset < stop:
                body[offset - start] ^= mask
        extra = {at: more for at, more in faults.inject.get(way, {}).items() if start <= at <= stop}
        extra = {at: more for at, more in extra.items() if at not in self._injected}
        self._injected.update(extra)
        if dup := faults.dup.get(way):
            self._dup_bytes += data[max(dup[0] - start, 0) : max(dup[1] - start, 0)]
            if start < dup[1] <= stop:
                extra[dup[1]] = bytes(self._dup_bytes) + extra.get(dup[1], b"")
        for at in sorted(extra, reverse=True):
            body[at - start : at - start] = extra[at]
        return bytes(body)

    def send(self, now: float) -> None:
        """Send what is due; stop where the sink takes no more."""
        sink, faults, owner, way = self.sink, self.link.faults, self.link.owner, self.direction
        if sink is None or way in owner.held:
            return
        self.blocked = False
        while self._waiting and max(self._waiting[0][0], self._next_send) <= now:
            due, data = self._waiting.popleft()
            if isinstance(data, _Mark):
                self.link.finish(self, data)
                return
            part = data[: faults.chunk.get(way, len(data))]
            owner.passed[way] += len(part)  # counted first: who has received a byte may rely on the count
            try:
                sent = sink.send(part)
            except BlockingIOError:
                sent, self.blocked = 0, True
            except OSError:
                self.link.close(reset=True)
                return
            owner.passed[way] -= len(part) - sent
            self._buffered -= sent
            if sent < len(data):
                self._waiting.appendleft((due, data[sent:]))
            if self.blocked:
                return
            if pace := faults.pace.get(way):
                self._next_send = now + pace


class Link:
    """One client's connection and the connection to the server that belongs to it (None: there is no server)."""

    def __init__(
        self, owner: Owner, number: int, client: socket.socket, server: socket.socket | None, faults: Faults
    ) -> None:
        self.owner = owner
        self.number = number
        self.client = client
        self.server = server
        self.sockets = [client] if server is None else [client, server]
        self.faults = faults
        self.flows: dict[Direction, Flow] = {"c2s": Flow(self, "c2s", client, server)}
        if server is not None:
            self.flows["s2c"] = Flow(self, "s2c", server, client)
        self.log: dict[Direction, bytearray] = {"c2s": bytearray(), "s2c": bytearray()}
        self.closed = False
        self.reset_waits = False  # a cut by reset waits until the other sides' systems have the bytes before it
        self._is_cut = False
        self._ended = 0

    def read(self, flow: Flow, now: float) -> None:
        """Read once from a flow's source."""
        try:
            data = flow.source.recv(_BLOCK)
        except BlockingIOError:
            return
        except OSError:
            if not self._is_cut:
                self.close(reset=True)
                return
            data = b""  # after a cut a side may end as it likes, the other must not hear of it
        if data:
            if self.owner.record:
                self.log[flow.direction] += data
            flow.arrive(data, now)
        elif flow.sink is None:
            self.close(reset=False)
        elif not self._is_cut:
            flow.arrive_end(now)
        else:
            flow.source_done = flow.is_over = True
            self._close_if_done()

    def finish(self, flow: Flow, mark: _Mark) -> None:
        """Carry out what was queued behind a flow's last byte."""
        if mark is _Mark.CUT:
            self.cut(self.faults.cut_mode)
            return
        self._ended += 1
        if self._ended == len(self.flows):
            self.close(reset=False)
        elif flow.sink is not None:
            self._say_end(flow.sink)
        flow.is_over = True

    def cut(self, mode: CutMode) -> None:
        """Close both sides, behind the bytes that were sent already."""
        self._is_cut = True
        for flow in self.flows.values():
            flow.drop()
        if mode == "rst":
            self.reset_waits = True
            self.try_reset()
            return
        # FIN to both; what they still send is read and dropped, since closing with unread bytes would be a reset.
        for sock in self.sockets:
            self._say_end(sock)
        self._close_if_done()

    def try_reset(self) -> None:
        """Reset both sides if nothing that was sent can be lost by it."""
        if all(_unacknowledged(sock) == 0 for sock in self.sockets):
            self.close(reset=True)

    def close(self, *, reset: bool) -> None:
        """Close both sides at once."""
        if self.closed:
            return
        self.closed = True
        self.owner.forget(self)
        for sock in self.sockets:
            if reset:
                close_with_reset(sock)
            else:
                sock.close()

    def _close_if_done(self) -> None:
        if all(flow.source_done for flow in self.flows.values()):
            self.close(reset=False)

    @staticmethod
    def _say_end(sock: socket.socket) -> None:
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_WR)
