"""A signal handler that raises at any line of the pure twin's calls (FAULTS C22): what it leaves keeps no place."""

from __future__ import annotations

import contextlib
import socket
import sys
from typing import TYPE_CHECKING, Any, Final

import pytest

from carmine.protocol import Parser
from carmine.transport.bookkeeping import Place
from carmine.transport.socket_io import SocketIO

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
