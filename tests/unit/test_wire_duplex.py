"""One thread waits for pushes while another sends: the only two uses of a wire that go on side by side.

What each promises alone stands in test_wire_twins.py; this is about the two together, on both twins.
"""

from __future__ import annotations

import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from carmine.errors import ConnectionLost, NetworkError, Outcome, UsageError, WriteTimeout
from tests.unit.wires import PING, WATCHDOG, Pair, command, drain, take

if TYPE_CHECKING:
    from collections.abc import Callable

SUBSCRIBE = command("SUBSCRIBE", "c")
CONFIRMED = b">3\r\n+subscribe\r\n+c\r\n:1\r\n"


class Aside(threading.Thread):
    """A call in a thread of its own, and what it ended with."""

    def __init__(self, call: Callable[[], Any]) -> None:
        super().__init__(daemon=True)
        self._call = call
        self._outcome: Any = None
        self.start()

    def run(self) -> None:
        try:
            self._outcome = self._call()
        except BaseException as error:  # noqa: BLE001 - what a call ends with is looked at, whatever it is
            self._outcome = error

    def result(self) -> Any:
        self.join(WATCHDOG)
        assert not self.is_alive(), "the call goes on"
        return self._outcome


def waiting(pair: Pair, timeout: float | None = None) -> Aside:
    """Start a wait for a push and return when it is under way."""
    aside = Aside(lambda: pair.io.next_push(timeout))
    until(lambda: not pair.io.is_usable)
    return aside


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WATCHDOG
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.0005)


def test_a_command_is_sent_while_another_thread_waits(pair: Pair) -> None:
    io = pair.open()
    reader = waiting(pair)
    io.send(("SUBSCRIBE", "c"))
    assert take(pair.peer, len(SUBSCRIBE)) == SUBSCRIBE
    assert reader.is_alive()
    assert not io.is_usable
    pair.peer.sendall(CONFIRMED)
    assert reader.result() == ["subscribe", "c", 1]
    assert io.is_usable


def test_pushes_are_read_while_another_thread_writes(pair: Pair) -> None:
    io = pair.open(buffers=4096)
    writer = Aside(lambda: io.send(("SUBSCRIBE", bytes(4 << 20))))
    until(lambda: not io.is_usable)
    pair.peer.sendall(CONFIRMED * 3)
    assert [io.next_push(1)[0] for _ in range(3)] == ["subscribe"] * 3
    assert writer.is_alive()
    whole = command("SUBSCRIBE", bytes(4 << 20))
    assert take(pair.peer, len(whole)) == whole
    assert writer.result() is None
    assert io.is_usable


def test_many_of_both_at_once(pair: Pair) -> None:
    io = pair.open(buffers=8192)
    rounds = 400

    def echo(peer: socket.socket) -> None:
        for number in range(rounds):
            words = command("PUBLISH", f"{number:04}", "x" * 5000)
            assert take(peer, len(words)) == words
            peer.sendall(b">2\r\n:%d\r\n$6000\r\n%s\r\n" % (number, b"y" * 6000))

    def write() -> None:
        for number in range(rounds):
            io.send(("PUBLISH", f"{number:04}", "x" * 5000))

    pair.play(echo)
    writer = Aside(write)
    for number in range(rounds):
        assert io.next_push(WATCHDOG) == [number, "y" * 6000]
    assert writer.result() is None
    assert io.is_usable


def test_a_call_is_refused_beside_a_sender(pair: Pair) -> None:
    io = pair.open(buffers=4096)
    large = bytes(4 << 20)
    writer = Aside(lambda: io.send(("SUBSCRIBE", large)))
    until(lambda: not io.is_usable)
    refused: list[Callable[[], Any]] = [
        lambda: io.execute((b"PING",), True),
        lambda: io.execute_many([(b"PING",)], True, []),
        lambda: io.send((b"PING",)),
    ]
    for call in refused:
        with pytest.raises(UsageError, match="in use by another call"):
            call()
    assert not io.probe()
    whole = command("SUBSCRIBE", large)
    assert take(pair.peer, len(whole)) == whole
    assert writer.result() is None
    pair.answer((PING, b"+PONG\r\n"))
    assert io.execute((b"PING",), True) == "PONG"


def test_a_sender_is_refused_beside_a_call(pair: Pair) -> None:
    io = pair.open()
    caller = Aside(lambda: io.execute((b"PING",), True))
    take(pair.peer, len(PING))
    with pytest.raises(UsageError, match="in use by another call"):
        io.send(("SUBSCRIBE", "c"))
    pair.peer.sendall(b"+PONG\r\n")
    assert caller.result() == "PONG"
    assert io.is_usable


def test_a_bad_word_hurts_nobody(pair: Pair) -> None:
    io = pair.open()
    reader = waiting(pair)
    with pytest.raises(UsageError):
        io.send(("SUBSCRIBE", None))  # type: ignore[arg-type]  # it is refused
    pair.peer.sendall(CONFIRMED)
    assert reader.result() == ["subscribe", "c", 1]
    assert io.is_usable


def test_a_write_that_is_too_late_ends_the_wait(pair: Pair) -> None:
    io = pair.open(0.2, buffers=4096)
    reader = waiting(pair)
    with pytest.raises(WriteTimeout) as caught:
        io.send(("SUBSCRIBE", bytes(4 << 20)))
    assert caught.value.outcome is Outcome.UNKNOWN
    assert isinstance(reader.result(), ConnectionLost)
    assert not io.is_usable
    drain(pair.peer)


def test_a_peer_that_ends_ends_both(pair: Pair) -> None:
    io = pair.open(buffers=4096)
    reader = waiting(pair)
    writer = Aside(lambda: io.send(("SUBSCRIBE", bytes(4 << 20))))
    take(pair.peer, 100)
    pair.peer.shutdown(socket.SHUT_RDWR)
    assert isinstance(reader.result(), ConnectionLost)
    assert isinstance(writer.result(), NetworkError)
    assert not io.is_usable


@pytest.mark.parametrize("way", ["interrupt", "close"])
def test_a_third_thread_ends_both(pair: Pair, way: str) -> None:
    io = pair.open(10.0, buffers=4096)
    reader = waiting(pair)
    writer = Aside(lambda: io.send(("SUBSCRIBE", bytes(4 << 20))))
    take(pair.peer, 100)
    getattr(io, way)()
    assert isinstance(reader.result(), ConnectionLost)
    assert isinstance(writer.result(), ConnectionLost)
    assert not io.is_usable
    drain(pair.peer)
    with pytest.raises((ConnectionLost, UsageError)):
        io.send((b"PING",))


def test_a_stray_reply_ends_the_sender_as_well(pair: Pair) -> None:
    io = pair.open(10.0, buffers=4096)
    reader = waiting(pair)
    writer = Aside(lambda: io.send(("SUBSCRIBE", bytes(4 << 20))))
    take(pair.peer, 100)
    pair.peer.sendall(b"+stray\r\n")
    assert "no command asked for" in str(reader.result())
    assert isinstance(writer.result(), ConnectionLost)
    assert not io.is_usable
    drain(pair.peer)


def test_the_descriptor_stays_until_both_have_left(pair: Pair) -> None:
    """Were the number free while one of the two still waits on it, it could be another connection's."""
    io = pair.open(10.0, buffers=4096)
    reader = waiting(pair)
    writer = Aside(lambda: io.send(("SUBSCRIBE", bytes(4 << 20))))
    take(pair.peer, 100)
    io.close()
    others = [socket.socketpair() for _ in range(20)]
    assert isinstance(reader.result(), ConnectionLost)
    assert isinstance(writer.result(), ConnectionLost)
    for near, far in others:
        far.sendall(b"own")
        assert near.recv(100) == b"own"
        near.close()
        far.close()


def test_pushes_can_be_read_as_bytes(pair: Pair) -> None:
    io = pair.open()
    io.push_decode = False
    pair.peer.sendall(b">1\r\n$2\r\n\xff\xfe\r\n")
    assert io.next_push(1) == [b"\xff\xfe"]
    pair.answer((PING, b"+PONG\r\n"))
    assert io.execute((b"PING",), True) == "PONG"


def test_in_a_stream_everything_is_read_as_bytes(pair: Pair) -> None:
    io = pair.open()
    io.is_stream, io.push_decode = True, False
    pair.peer.sendall(b"+OK\r\n*1\r\n$1\r\n\xff\r\n")
    assert [io.next_push(1), io.next_push(1)] == [b"OK", [b"\xff"]]
