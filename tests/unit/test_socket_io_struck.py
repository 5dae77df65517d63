"""How the pure twin closes around a call (FAULTS C22): one that a signal has struck, one that ends in that moment."""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
from typing import TYPE_CHECKING, Any, Final

import pytest

from carmine.errors import ConnectionLost
from carmine.protocol import Parser
from carmine.transport.bookkeeping import Place
from carmine.transport.socket_io import SocketIO
from tests.lab.servers import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

CALLS: Final[dict[str, Callable[[SocketIO], object]]] = {
    "execute": lambda io: io.execute((b"GET", b"k"), True),
    "next_push": lambda io: io.next_push(1.0),
    "send": lambda io: io.send((b"SUBSCRIBE", b"a")),
    "probe": lambda io: io.probe(),
}


class Struck(BaseException):
    """What the handler raises."""


class Striker:
    """Raises before the line of this number that a call runs in the file of SocketIO and in that of its seats."""

    def __init__(self, number: int) -> None:
        self.left = number

    def __call__(self, frame: FrameType, event: str, arg: Any) -> Striker | None:
        if not frame.f_code.co_filename.endswith(("socket_io.py", "seat.py")):
            return None
        if event == "line":
            if self.left == 0:
                self.left = -1
                raise Struck
            self.left -= 1
        return self


@pytest.mark.parametrize("call", CALLS)
def test_a_struck_call_keeps_no_place_once_it_is_closed(call: str) -> None:
    """At every line in turn, with the error still in somebody's hands."""
    strikes = 0
    while True:
        ours, peer = socket.socketpair()
        with peer:
            peer.sendall(b"" if call == "probe" else b"$1\r\nv\r\n" if call == "execute" else b">2\r\n+a\r\n+b\r\n")
            io = SocketIO(ours, Parser(protocol=3), "here", 1.0)
            io.place = place = Place()
            striker = Striker(strikes)
            kept: list[BaseException] = []
            before = sys.gettrace()
            sys.settrace(striker)
            try:
                CALLS[call](io)
            except Struck as struck:
                kept.append(struck)
            finally:
                sys.settrace(before)
            if not kept:
                break
            io.close()
            assert place.is_free, f"at line {kept[0].__traceback__!r}, strike {strikes}"
            assert not io.is_usable
            peer.settimeout(1.0)
            with contextlib.suppress(ConnectionResetError):  # it may have left something unread
                while peer.recv(100):  # what was written before; then the end
                    pass
            ours.close()
        strikes += 1
    assert strikes > 10
    io.close()


def test_a_reader_that_leaves_while_another_closes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each sees the other inside; one of them closes the socket all the same."""
    ours, peer = socket.socketpair()
    io = SocketIO(ours, Parser(protocol=3), "here", 5.0)
    io.place = place = Place()
    caught: list[BaseException] = []

    def read() -> None:
        try:
            io.next_push(5.0)
        except ConnectionLost as error:
            caught.append(error)

    reader = threading.Thread(target=read)
    real = socket.socket.shutdown

    def shutdown(sock: socket.socket, how: int) -> None:
        real(sock, how)
        if threading.current_thread() is not reader:
            reader.join(5)

    monkeypatch.setattr(socket.socket, "shutdown", shutdown)
    with peer:
        reader.start()
        wait_until(lambda: not io.is_usable, "the reader is inside")
        io.close()
        assert not reader.is_alive()
        assert len(caught) == 1
        assert ours.fileno() == -1
        assert place.is_free
