"""WireIO and SocketIO over a socket pair whose other end plays a script: every promise of the contract, on both twins.

The Cython WireIO makes its own system calls; SocketIO works on Python's sockets, over either parser.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import signal
import socket
import struct
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from carmine.errors import (
    ConnectionLost,
    DecodeError,
    NetworkError,
    Outcome,
    ProtocolError,
    ReadTimeout,
    ServerError,
    UsageError,
    WriteTimeout,
)
from carmine.protocol import _parser as pure_parser
from carmine.protocol._encoder import encode as pure_encode
from carmine.protocol.limits import DEFAULT_LIMITS, LARGE_ARGUMENT, Limits
from carmine.protocol.values import Push
from carmine.transport import socket_io
from carmine.transport.bookkeeping import Place

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

    def open(self, timeout: float | None = 5.0, *, limits: Limits = DEFAULT_LIMITS, buffers: int = 0) -> WireIO:
        """Make the connection; small buffers make a deaf peer felt soon."""
        ours, self.peer = socket.socketpair()
        if buffers:
            for end in (ours, self.peer):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffers)
                end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffers)
        self.peer.settimeout(WATCHDOG)
        module: Any = pure_parser if self.twin == "socket-python" else _resp
        self.parser = module.Parser(3, True, limits)
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


@pytest.fixture(params=TWINS)
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    """Give a pair that is not open yet, of each twin in turn."""
    made = Pair(request.param)
    yield made
    made.finish()


@contextlib.contextmanager
def within(seconds: float) -> Iterator[None]:
    """Fail when the block takes longer."""
    began = time.monotonic()
    yield
    took = time.monotonic() - began
    assert took < seconds, f"took {took:.3f} s"


# Calls. --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "decode", "value"),
    [
        (b"+PONG\r\n", True, "PONG"),
        (b"+PONG\r\n", False, b"PONG"),
        (b"$3\r\na\xc3\xa9\r\n", True, "aé"),
        (b"$-1\r\n", True, None),
        (b"_\r\n", False, None),
        (b":7\r\n", True, 7),
        (b"*2\r\n$1\r\na\r\n:1\r\n", False, [b"a", 1]),
        (b"%1\r\n+k\r\n+v\r\n", True, {"k": "v"}),
    ],
)
def test_a_reply_is_read_as_asked_for(pair: Pair, reply: bytes, decode: bool, value: Any) -> None:
    io = pair.open()
    pair.answer((PING, reply))
    assert io.execute((b"PING",), decode) == value
    assert io.is_usable
    assert io.owed == 0


def test_an_error_reply_is_a_value(pair: Pair) -> None:
    io = pair.open()
    pair.answer((PING, b"-ERR no\r\n"))
    reply = io.execute((b"PING",), True)
    assert isinstance(reply, ServerError)
    assert reply.message == "ERR no"
    assert io.is_usable


def test_a_reply_in_single_bytes(pair: Pair) -> None:
    io = pair.open()

    def drip(peer: socket.socket) -> None:
        take(peer, len(PING))
        for byte in b"*2\r\n$2\r\nab\r\n%1\r\n+k\r\n#t\r\n":
            peer.sendall(bytes([byte]))

    pair.play(drip)
    assert io.execute((b"PING",), True) == ["ab", {"k": True}]


def test_many_commands_go_out_together_and_their_replies_come_in_order(pair: Pair) -> None:
    io = pair.open()
    commands = [(b"ECHO", str(n)) for n in range(100)]
    pair.answer((b"".join(command(*words) for words in commands), b"".join(b":%d\r\n" % n for n in range(100))))
    replies: list[Any] = []
    io.execute_many(commands, True, replies)
    assert replies == list(range(100))


def test_commands_may_come_from_a_generator(pair: Pair) -> None:
    io = pair.open()
    pair.answer((PING * 2, b"+a\r\n+b\r\n"))
    replies: list[Any] = []
    io.execute_many(((b"PING",) for _ in range(2)), True, replies)
    assert replies == ["a", "b"]


def test_a_generator_that_raises_sends_nothing(pair: Pair) -> None:
    io = pair.open()

    def commands() -> Iterator[tuple[bytes]]:
        yield (b"PING",)
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        io.execute_many(commands(), True, [])
    pair.answer((PING, b"+PONG\r\n"))
    assert io.execute((b"PING",), True) == "PONG"


def test_a_generator_that_uses_the_connection_is_refused(pair: Pair) -> None:
    io = pair.open()

    def commands() -> Iterator[tuple[bytes]]:
        io.execute((b"PING",), True)
        yield (b"PING",)

    with pytest.raises(UsageError, match="in use by another call"):
        io.execute_many(commands(), True, [])
    pair.answer((PING, b"+PONG\r\n"))
    assert io.execute((b"PING",), True) == "PONG"


def test_no_commands_send_nothing(pair: Pair) -> None:
    io = pair.open()
    replies: list[Any] = []
    io.execute_many([], True, replies)
    io.execute_many(iter(()), True, replies, None, b"")
    assert replies == []
    assert io.is_usable


@pytest.mark.parametrize(
    "words", [(), [], (b"SET", None), (b"SET", {}), (b"SET", True), (b"SET", math.nan), "PING", b"PING", 7]
)
def test_words_that_cannot_be_sent_send_nothing(pair: Pair, words: Any) -> None:
    io = pair.open()
    with pytest.raises(UsageError):
        io.execute(words, True)
    replies: list[Any] = []
    with pytest.raises(UsageError):
        io.execute_many([(b"PING",), words], True, replies)
    assert replies == []
    assert io.is_usable
    pair.answer((PING, b"+PONG\r\n"))
    assert io.execute([b"PING"], True) == "PONG"


@pytest.mark.parametrize("modes", [b"", b"\1", b"\1\1\1"])
def test_modes_of_another_length_send_nothing(pair: Pair, modes: bytes) -> None:
    io = pair.open()
    with pytest.raises(UsageError, match="one byte for each command"):
        io.execute_many([(b"PING",), (b"PING",)], True, [], None, modes)
    assert io.is_usable
    pair.answer((PING, b"+PONG\r\n"))
    assert io.execute((b"PING",), True) == "PONG"


def test_modes_overrule_decode_reply_by_reply(pair: Pair) -> None:
    io = pair.open()
    pair.answer((PING * 3, b"+a\r\n>1\r\n+push\r\n+b\r\n*1\r\n+c\r\n"))
    replies: list[Any] = []
    io.execute_many([(b"PING",)] * 3, True, replies, None, b"\1\0\1")
    assert replies == ["a", b"b", ["c"]]
    assert io.next_push(0) == ["push"]  # a push is read as the connection reads, whoever waits


def test_each_confines_a_bad_string_to_its_element(pair: Pair) -> None:
    io = pair.open()
    bad = b"*3\r\n+a\r\n$1\r\n\xff\r\n+c\r\n"
    pair.answer((PING, bad), (PING, bad))
    first = io.execute((b"PING",), True, None, True)
    assert first[::2] == ["a", "c"]
    assert isinstance(first[1], DecodeError)
    assert isinstance(io.execute((b"PING",), True), DecodeError)


# Pushes. -------------------------------------------------------------------------------------------------------------


def test_pushes_around_replies_are_kept_in_order(pair: Pair) -> None:
    io = pair.open()
    pair.answer((PING * 2, b">1\r\n+1\r\n+a\r\n>1\r\n+2\r\n+b\r\n>1\r\n+3\r\n"))
    replies: list[Any] = []
    io.execute_many([(b"PING",)] * 2, True, replies)
    assert replies == ["a", "b"]
    assert [io.next_push(0) for _ in range(4)] == [["1"], ["2"], ["3"], None]
    assert io.is_usable


def test_a_push_before_a_reply_is_not_the_reply(pair: Pair) -> None:
    io = pair.open()
    pair.answer((PING, b">2\r\n+PONG\r\n:1\r\n+mine\r\n"))
    assert io.execute((b"PING",), True) == "mine"
    push = io.next_push(0)
    assert isinstance(push, Push)
    assert push == ["PONG", 1]


def test_half_a_push_after_a_reply_is_gone_on_with(pair: Pair) -> None:
    io = pair.open()
    pair.answer((PING, b"+a\r\n>2\r\n+half"), (PING, b"\r\n:1\r\n+b\r\n"))
    assert io.execute((b"PING",), True) == "a"
    assert io.next_push(0) is None
    assert io.execute((b"PING",), True) == "b"
    assert io.next_push(0) == ["half", 1]


def test_next_push_waits_for_one(pair: Pair) -> None:
    io = pair.open()
    asked = threading.Event()

    def script(peer: socket.socket) -> None:
        assert asked.wait(WATCHDOG)
        peer.sendall(b">1\r\n+late\r\n")

    pair.play(script)
    assert io.next_push(0.01) is None
    asked.set()
    assert io.next_push() == ["late"]


def test_next_push_refuses_a_reply_nobody_asked_for(pair: Pair) -> None:
    io = pair.open()
    pair.peer.sendall(b"+stray\r\n")
    with pytest.raises(ConnectionLost, match="no command asked for") as caught:
        io.next_push(1)
    assert caught.value.outcome is Outcome.NOT_SENT
    assert not io.is_usable
    assert pair.saw_the_end()


def test_a_stream_of_lines_is_read_by_next_push(pair: Pair) -> None:
    io = pair.open()
    io.is_stream = True
    pair.peer.sendall(b"+OK\r\n+line\r\n")
    assert [io.next_push(1), io.next_push(1), io.next_push(0)] == ["OK", "line", None]


def test_send_leaves_the_confirmation_to_next_push(pair: Pair) -> None:
    io = pair.open()
    pair.answer((command("SUBSCRIBE", "c"), b">3\r\n+subscribe\r\n+c\r\n:1\r\n"))
    io.send(("SUBSCRIBE", "c"))
    assert io.next_push() == ["subscribe", "c", 1]
    assert io.is_usable


def test_unread_pushes_are_bounded(pair: Pair) -> None:
    io = pair.open(limits=Limits(pushes=3))
    pair.answer((PING, b">1\r\n:1\r\n" * 4 + b"+a\r\n"))
    with pytest.raises(ConnectionLost, match="3 pushes wait unread") as caught:
        io.execute((b"PING",), True)
    assert caught.value.outcome is Outcome.UNKNOWN
    assert not io.is_usable
    assert [io.next_push(0) for _ in range(3)] == [[1], [1], [1]]


# What comes unasked. -------------------------------------------------------------------------------------------------


def test_probe_keeps_pushes_that_came_meanwhile(pair: Pair) -> None:
    io = pair.open_used()
    pair.peer.sendall(b">1\r\n:1\r\n" * 1000 + b">1\r\n:2")
    assert io.probe()
    assert io.is_usable
    pair.peer.sendall(b"\r\n")
    assert io.probe()
    assert [io.next_push(0)[0] for _ in range(1001)] == [1] * 1000 + [2]


@pytest.mark.parametrize(
    "stray", [b"+STALE\r\n", b"-ERR late\r\n", b"$5\r\nhal", b"no RESP at all", b">1\r\n:1\r\n+STALE\r\n", b"\r\n"]
)
def test_probe_ends_a_connection_with_anything_else(pair: Pair, stray: bytes) -> None:
    io = pair.open_used()
    pair.peer.sendall(stray)
    assert not io.probe()
    assert not io.is_usable
    assert pair.saw_the_end()


def test_probe_ends_a_connection_that_the_peer_closed(pair: Pair) -> None:
    io = pair.open_used()
    pair.peer.shutdown(socket.SHUT_WR)
    assert not io.probe()
    assert pair.saw_the_end()
    assert not io.probe()


def test_stray_bytes_on_an_idle_connection_are_never_a_reply(pair: Pair) -> None:
    io = pair.open_used()
    pair.peer.sendall(b"+STALE\r\n")
    with pytest.raises(ConnectionLost, match="no command asked for") as caught:
        io.execute((b"PING",), True)
    assert caught.value.outcome is Outcome.NOT_SENT
    assert drain(pair.peer) == b""


def test_a_surplus_reply_behind_a_reply_ends_the_connection(pair: Pair) -> None:
    io = pair.open()
    pair.answer((PING, b"+mine\r\n+STALE\r\n"))
    with pytest.raises(ConnectionLost, match="no command asked for") as caught:
        io.execute((b"PING",), True)
    assert caught.value.outcome is Outcome.UNKNOWN
    assert not io.is_usable
    assert pair.saw_the_end()


def test_a_connection_idle_for_too_long_is_not_used(pair: Pair) -> None:
    io = pair.open_used()
    io.max_idle = 0.0
    with pytest.raises(ConnectionLost, match="max_idle_time") as caught:
        io.execute((b"PING",), True)
    assert caught.value.outcome is Outcome.NOT_SENT
    assert drain(pair.peer) == b""


def test_an_endless_push_does_not_hold_probe(pair: Pair) -> None:
    io = pair.open_used(0.05)
    pair.peer.sendall(b">1\r\n$1000000000000\r\n")

    def flood(peer: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                peer.sendall(bytes(1 << 16))

    pair.play(flood)
    with within(1.0):
        assert io.probe() is io.is_usable  # good if it kept pace with the peer
    io.close()


# Failures. -----------------------------------------------------------------------------------------------------------


def test_the_peers_last_words_are_told(pair: Pair) -> None:
    io = pair.open()

    def script(peer: socket.socket) -> None:
        take(peer, len(PING))
        peer.sendall(b"+a\r\n-ERR go aw")
        peer.sendall(b"ay\r\n")
        peer.shutdown(socket.SHUT_WR)

    pair.play(script)
    replies: list[Any] = []
    with pytest.raises(NetworkError) as caught:
        io.execute_many([(b"PING",)] * 3, True, replies)
    assert "the server closed the connection" in str(caught.value)
    assert replies[0] == "a"
    assert caught.value.outcome is Outcome.UNKNOWN
    assert caught.value.address == ADDRESS
    assert not io.is_usable


@pytest.mark.parametrize("part", [b"", b"*", b"$5\r\nab", b"*2\r\n+a\r\n", b"+a"])
def test_an_end_inside_a_reply_is_an_error(pair: Pair, part: bytes) -> None:
    io = pair.open()

    def script(peer: socket.socket) -> None:
        take(peer, len(PING))
        peer.sendall(part)
        peer.shutdown(socket.SHUT_WR)

    pair.play(script)
    with pytest.raises(ConnectionLost, match="the server closed the connection") as caught:
        io.execute((b"PING",), True)
    assert caught.value.outcome is Outcome.UNKNOWN
    assert not io.is_usable


def test_what_is_no_resp_ends_the_connection(pair: Pair) -> None:
    io = pair.open()
    pair.answer((PING, b"HTTP/1.1 400\r\n"))
    with pytest.raises(ProtocolError) as caught:
        io.execute((b"PING",), True)
    assert caught.value.address == ADDRESS
    assert not io.is_usable
    assert pair.saw_the_end()
    with pytest.raises(UsageError, match="closed"):
        io.execute((b"PING",), True)


def test_a_prefix_of_the_replies_survives_a_loss(pair: Pair) -> None:
    io = pair.open()

    def script(peer: socket.socket) -> None:
        take(peer, 3 * len(PING))
        peer.sendall(b"+a\r\n+b\r\n+c")
        peer.shutdown(socket.SHUT_WR)

    pair.play(script)
    replies: list[Any] = []
    with pytest.raises(ConnectionLost):
        io.execute_many([(b"PING",)] * 3, True, replies)
    assert replies == ["a", "b"]
    assert io.owed == 1
    assert not io.is_usable


def test_a_peer_that_is_gone_took_nothing(pair: Pair) -> None:
    io = pair.open()
    io.look_after = math.inf
    pair.peer.close()
    with pytest.raises(ConnectionLost) as caught:
        io.execute((b"PING",), True)
    assert caught.value.outcome is Outcome.NOT_SENT
    assert not io.is_usable


def test_a_place_is_let_go_when_a_call_fails(pair: Pair) -> None:
    io = pair.open(0.02)
    io.place = place = Place()
    with pytest.raises(ReadTimeout):
        io.execute((b"PING",), True)
    assert io.place is None
    assert place.is_free


def test_what_is_dropped_is_closed(pair: Pair) -> None:
    pair.open()
    spare = Pair(pair.twin)
    spare.open()
    del spare.io
    assert spare.saw_the_end()
    spare.peer.close()


def test_a_closed_connection_refuses_calls(pair: Pair) -> None:
    io = pair.open()
    io.close()
    io.close()
    io.interrupt()
    assert not io.is_usable
    assert not io.probe()
    for call in (
        lambda: io.execute((b"PING",), True),
        lambda: io.execute_many([(b"PING",)], True, []),
        lambda: io.send((b"PING",)),
        lambda: io.next_push(0),
    ):
        with pytest.raises(UsageError, match="is closed"):
            call()
    assert pair.saw_the_end()


# Time. ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("own", [True, False], ids=["the connection's", "the call's"])
@pytest.mark.parametrize("part", [b"", b"$5\r\nab", b">1\r\n:1\r\n"], ids=["nothing", "a part", "a push"])
def test_no_reply_in_time(pair: Pair, own: bool, part: bytes) -> None:
    io = pair.open(0.15 if own else 10.0)
    pair.answer((PING, part))
    with within(0.6), pytest.raises(ReadTimeout, match=r"within 0\.15 s") as caught:
        io.execute((b"PING",), True, None if own else 0.15)
    assert caught.value.outcome is Outcome.UNKNOWN
    assert io.owed == 1
    assert not io.is_usable
    assert pair.saw_the_end()
    with pytest.raises(UsageError):
        io.execute((b"PING",), True)


@pytest.mark.parametrize("timeout", [0, 0.0, -1, -math.inf, math.nan, 1e-9])
def test_no_time_at_all(pair: Pair, timeout: float) -> None:
    io = pair.open()
    with within(0.5), pytest.raises(ReadTimeout):
        io.execute((b"PING",), True, timeout)
    assert not io.is_usable


@pytest.mark.parametrize("timeout", [math.inf, 1e7, 1e12, 1e300])
def test_all_the_time_there_is(pair: Pair, timeout: float) -> None:
    io = pair.open(0.05)

    def script(peer: socket.socket) -> None:
        take(peer, len(PING))
        threading.Event().wait(0.2)  # longer than the connection's own timeout, which is not the call's
        peer.sendall(b"+PONG\r\n")

    pair.play(script)
    assert io.execute((b"PING",), True, timeout) == "PONG"
    assert io.next_push(0) is None


@pytest.mark.parametrize("timeout", ["1", object()])
def test_a_timeout_that_is_no_number_sends_nothing(pair: Pair, timeout: Any) -> None:
    io = pair.open()
    with pytest.raises(TypeError):
        io.execute((b"PING",), True, timeout)
    assert io.is_usable
    pair.answer((PING, b"+PONG\r\n"))
    assert io.execute((b"PING",), True) == "PONG"


@pytest.mark.parametrize("own", [True, False], ids=["the connection's", "the call's"])
def test_a_slow_drip_ends_at_the_deadline(pair: Pair, own: bool) -> None:
    io = pair.open(0.3 if own else 10.0)

    def drip(peer: socket.socket) -> None:
        take(peer, len(PING))
        with contextlib.suppress(OSError):
            peer.sendall(b"$1000\r\n")
            for _ in range(1000):
                peer.sendall(b"x")
                time.sleep(0.01)

    pair.play(drip)
    with within(0.6), pytest.raises(ReadTimeout):
        io.execute((b"PING",), True, None if own else 0.3)


@pytest.mark.parametrize("own", [True, False], ids=["the connection's", "the call's"])
@pytest.mark.parametrize("head", [b"$1000000000000\r\n", b"*1000000000\r\n"], ids=["bulk", "array"])
def test_a_reply_without_an_end_ends_at_the_deadline(pair: Pair, own: bool, head: bytes) -> None:
    """Bytes that are always at hand must not keep the call from looking at the clock."""
    io = pair.open(0.3 if own else 10.0)
    block = b":1\r\n" * 4096

    def flood(peer: socket.socket) -> None:
        take(peer, len(PING))
        with contextlib.suppress(OSError):
            peer.sendall(head)
            while True:
                peer.sendall(block)

    pair.play(flood)
    with within(1.2), pytest.raises(ReadTimeout):
        io.execute((b"PING",), True, None if own else 0.3)


def test_pushes_without_an_end_do_not_keep_next_push_waiting(pair: Pair) -> None:
    io = pair.open(10.0)

    def flood(peer: socket.socket) -> None:
        with contextlib.suppress(OSError):
            peer.sendall(b">1\r\n$1000000000000\r\n")
            while True:
                peer.sendall(bytes(1 << 16))

    pair.play(flood)
    with within(1.0):
        assert io.next_push(0.2) is None
    io.close()


def test_a_peer_that_takes_nothing(pair: Pair) -> None:
    io = pair.open(0.2, buffers=4096)
    with within(0.6), pytest.raises(WriteTimeout, match=r"the peer took only \d+ bytes within 0\.2 s") as caught:
        io.execute((b"SET", bytes(8 << 20)), True)
    assert caught.value.outcome is Outcome.UNKNOWN
    assert not io.is_usable


def test_a_peer_that_takes_a_little_at_a_time(pair: Pair) -> None:
    io = pair.open(0.3, buffers=4096)

    def sip(peer: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while peer.recv(4096):
                time.sleep(0.002)

    pair.play(sip)
    with within(0.8), pytest.raises(WriteTimeout):
        io.execute((b"SET", bytes(32 << 20)), True)


def test_a_peer_that_talks_instead_of_listening(pair: Pair) -> None:
    io = pair.open(0.3, buffers=4096, limits=Limits(pushes=1 << 40))

    def flood(peer: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                peer.sendall(b">1\r\n:1\r\n" * 100)

    pair.play(flood)
    with within(1.0), pytest.raises(WriteTimeout):
        io.execute((b"SET", bytes(8 << 20)), True)


# Large arguments, and replies that come early. -----------------------------------------------------------------------

LARGE = LARGE_ARGUMENT + 7


@pytest.mark.parametrize(
    "value",
    [
        bytes(range(256)) * (LARGE // 256 + 1),
        "x" * LARGE,
        "é" * LARGE,
        bytearray(b"y" * LARGE),
        memoryview(b"z" * LARGE),
        memoryview(b"zz" * LARGE)[::2],
        memoryview(bytearray(4 * LARGE)).cast("I"),
    ],
    ids=["bytes", "ascii", "utf-8", "bytearray", "memoryview", "strided", "ints"],
)
def test_a_large_argument_arrives_whole(pair: Pair, value: Any) -> None:
    io = pair.open(buffers=4096)
    plain = value.encode() if isinstance(value, str) else bytes(value)
    try:
        expected = command(b"SET", value, b"mid", value, b"end")
    except UsageError:
        with pytest.raises(UsageError):
            io.execute((b"SET", value, b"mid", value, b"end"), True)
        return
    assert plain in expected
    pair.answer((expected, b"+OK\r\n"))
    assert io.execute((b"SET", value, b"mid", value, b"end"), True) == "OK"


def test_an_argument_changed_by_another_thread_stays_in_its_frame(pair: Pair) -> None:
    """Its bytes may be torn, as with every buffer that is shared; the length that was announced is what is sent."""
    io = pair.open(buffers=4096)
    value = bytearray(b"a" * (4 * LARGE))

    def script(peer: socket.socket) -> None:
        head = take(peer, 40)
        with contextlib.suppress(BufferError):  # which says that the wire sends it from where it is
            value.clear()
        value[-1:] = b"b"[: len(value)]
        rest = take(peer, len(command(b"SET", bytes(4 * LARGE))) - 40)
        assert (head + rest).startswith(b"*2\r\n$3\r\nSET\r\n$%d\r\n" % (4 * LARGE))
        assert rest.endswith(b"\r\n")
        peer.sendall(b"+OK\r\n")

    pair.play(script)
    assert io.execute((b"SET", value), True) == "OK"
    value.clear()  # nobody holds on to it any more


def test_a_large_argument_is_let_go_after_a_failure(pair: Pair) -> None:
    io = pair.open(0.05, buffers=4096)
    value = bytearray(8 << 20)
    with pytest.raises(WriteTimeout):
        io.execute((b"SET", value), True)
    value.clear()
    with pytest.raises(UsageError):
        io.execute((b"SET", value), True)
    value.clear()


def early(pair: Pair, *parts: tuple[int, bytes], total: int) -> None:
    """Play: after so many bytes of the command send this, and then take the rest."""

    def script(peer: socket.socket) -> None:
        taken = 0
        for upto, reply in parts:
            take(peer, upto - taken)
            taken = upto
            peer.sendall(reply)
        take(peer, total - taken)

    pair.play(script)


@pytest.mark.parametrize("many", [False, True], ids=["execute", "execute_many"])
def test_a_reply_may_come_before_the_command_is_written_whole(pair: Pair, many: bool) -> None:
    io = pair.open(buffers=4096)
    words = (b"SET", bytes(2 * LARGE), bytes(2 * LARGE), b"end")
    early(pair, (100, b"-ERR too large\r\n"), total=len(command(*words)))
    if many:
        replies: list[Any] = []
        io.execute_many([words], True, replies)
        (reply,) = replies
    else:
        reply = io.execute(words, True)
    assert isinstance(reply, ServerError)
    assert io.is_usable


@pytest.mark.parametrize("many", [False, True], ids=["execute", "execute_many"])
def test_pushes_may_come_between_an_early_reply_and_the_end_of_the_command(pair: Pair, many: bool) -> None:
    io = pair.open(buffers=4096)
    words = (b"SET", bytes(8 * LARGE), bytes(8 * LARGE), bytes(8 * LARGE), b"end")
    total = len(command(*words))
    early(
        pair,
        (100, b">1\r\n:0\r\n+early\r\n"),
        (10 * LARGE, b">1\r\n:1\r\n"),
        (18 * LARGE, b">1\r\n:2\r\n"),
        total=total,
    )
    if many:
        replies: list[Any] = []
        io.execute_many([words], True, replies)
        assert replies == ["early"]
    else:
        assert io.execute(words, True) == "early"
    assert [io.next_push(1) for _ in range(3)] == [[0], [1], [2]]
    assert io.is_usable


def test_a_second_early_reply_is_out_of_step(pair: Pair) -> None:
    io = pair.open(buffers=4096)
    words = (b"SET", bytes(8 * LARGE), bytes(8 * LARGE))

    def script(peer: socket.socket) -> None:
        take(peer, 100)
        peer.sendall(b"+early\r\n")
        take(peer, LARGE)
        peer.sendall(b"+stray\r\n")
        with contextlib.suppress(OSError):
            drain(peer)

    pair.play(script)
    with pytest.raises(ConnectionLost, match="no command asked for") as caught:
        io.execute(words, True)
    assert caught.value.outcome is Outcome.UNKNOWN
    assert not io.is_usable


def test_a_server_that_answers_and_hangs_up_while_it_is_written_to(pair: Pair) -> None:
    io = pair.open(buffers=4096)

    def script(peer: socket.socket) -> None:
        take(peer, 100)
        peer.sendall(b"-ERR too large\r\n")
        peer.shutdown(socket.SHUT_WR)
        with contextlib.suppress(OSError):
            drain(peer)

    pair.play(script)
    with pytest.raises(ConnectionLost, match="while a command was sent") as caught:
        io.execute((b"SET", bytes(8 << 20)), True)
    assert caught.value.outcome is Outcome.UNKNOWN
    assert "ERR too large" in str(caught.value)


def test_writes_and_reads_interleave(pair: Pair) -> None:
    """The peer reads no command before the reply to the one before is taken: who only writes would wait for ever."""
    io = pair.open(buffers=4096)
    value = bytes(1 << 16)
    one = command(b"ECHO", value)

    def script(peer: socket.socket) -> None:
        for n in range(60):
            assert take(peer, len(one)) == one
            peer.sendall(b"*2\r\n:%d\r\n$%d\r\n%b\r\n" % (n, len(value), value))

    pair.play(script)
    replies: list[Any] = []
    io.execute_many([(b"ECHO", value)] * 60, False, replies)
    assert [reply[0] for reply in replies] == list(range(60))
    assert all(reply[1] == value for reply in replies)


# Two users, signals. -------------------------------------------------------------------------------------------------


class Caller(threading.Thread):
    """A thread in one call; what it ended with is in `outcome`."""

    def __init__(self, call: Callable[[], Any]) -> None:
        super().__init__(daemon=True)
        self._call = call
        self.outcome: Any = None
        self.start()

    def run(self) -> None:
        """Make the call."""
        try:
            self.outcome = self._call()
        except BaseException as error:  # noqa: BLE001 - what a call ends with is looked at, whatever it is
            self.outcome = error

    def result(self, seconds: float = 2.0) -> Any:
        """Wait for the end of the call, and return what it gave or raised."""
        self.join(seconds)
        assert not self.is_alive(), "the call goes on"
        return self.outcome


def begun(pair: Pair, call: Callable[[], Any]) -> Caller:
    """Start a call in a thread and return when the peer has its command."""
    caller = Caller(call)
    take(pair.peer, len(PING))
    return caller


def test_a_second_thread_is_refused(pair: Pair) -> None:
    io = pair.open()
    caller = begun(pair, lambda: io.execute((b"PING",), True))
    assert not io.is_usable
    assert not io.probe()
    for call in (
        lambda: io.execute((b"PING",), True),
        lambda: io.execute_many([(b"PING",)], True, []),
        lambda: io.next_push(0),
        lambda: io.send((b"PING",)),
    ):
        with pytest.raises(UsageError, match="in use by another call"):
            call()
    pair.peer.sendall(b"+mine\r\n")
    assert caller.result() == "mine"
    assert io.is_usable


@pytest.mark.parametrize("timeout", [None, 5.0, math.inf])
@pytest.mark.parametrize("way", ["interrupt", "close"])
def test_another_thread_ends_a_call(pair: Pair, way: str, timeout: float | None) -> None:
    io = pair.open(10.0)
    caller = begun(pair, lambda: io.execute((b"PING",), True, timeout))
    getattr(io, way)()
    error = caller.result()
    assert isinstance(error, ConnectionLost)
    assert error.outcome is Outcome.UNKNOWN
    assert not io.is_usable
    assert pair.saw_the_end()


@pytest.mark.parametrize("way", ["interrupt", "close"])
def test_another_thread_ends_a_wait_for_a_push(pair: Pair, way: str) -> None:
    io = pair.open(10.0)
    caller = Caller(lambda: io.next_push(None))
    deadline = time.monotonic() + WATCHDOG
    while io.is_usable and time.monotonic() < deadline:  # until the call has begun
        time.sleep(0.001)
    getattr(io, way)()
    assert isinstance(caller.result(), ConnectionLost)
    assert pair.saw_the_end()


@pytest.mark.parametrize("way", ["interrupt", "close"])
def test_another_thread_ends_a_write(pair: Pair, way: str) -> None:
    io = pair.open(10.0, buffers=4096)
    caller = Caller(lambda: io.execute((b"SET", bytes(8 << 20)), True))
    take(pair.peer, 100)
    getattr(io, way)()
    error = caller.result()
    assert isinstance(error, ConnectionLost)
    assert error.outcome is Outcome.UNKNOWN


def test_a_descriptor_is_not_given_anew_under_a_call(pair: Pair) -> None:
    """Were the number free while the call still waits on it, the call could read what belongs to another connection."""
    io = pair.open(10.0)
    caller = begun(pair, lambda: io.execute((b"PING",), True))
    io.close()
    others = [socket.socketpair() for _ in range(20)]
    for _, far in others:
        far.sendall(b"+stolen\r\n")
    assert isinstance(caller.result(), ConnectionLost)
    for near, far in others:
        assert near.recv(100) == b"+stolen\r\n"
        near.close()
        far.close()


def test_an_interrupted_connection_that_nobody_uses_is_lost_not_misused(pair: Pair) -> None:
    """Between a pool and its caller: the connection was popped, then the pool was closed, then the call begins."""
    io = pair.open()
    io.interrupt()
    assert not io.is_usable
    assert not io.probe()
    with pytest.raises(ConnectionLost) as caught:
        io.execute((b"PING",), True)
    assert caught.value.outcome is Outcome.NOT_SENT
    io.close()
    assert drain(pair.peer) == b""


class Stop(BaseException):
    """What the handlers here raise: no Exception, as KeyboardInterrupt is none."""


@pytest.fixture
def handler() -> Iterator[Callable[[Callable[..., object]], None]]:
    """Give a function that sets the handler of SIGUSR1 for the test."""
    before = signal.getsignal(signal.SIGUSR1)

    def handle_with(function: Callable[..., object]) -> None:
        signal.signal(signal.SIGUSR1, function)

    yield handle_with
    signal.signal(signal.SIGUSR1, before)


def poke(heard: list[int], times: int = 1) -> None:
    """Send SIGUSR1 to the main thread, where Python runs handlers, until it was heard so often.

    Once may not be enough: a signal just before a system call is heard after it.
    """
    deadline = time.monotonic() + WATCHDOG
    while len(heard) < times and time.monotonic() < deadline:
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)
        time.sleep(0.01)


def stop(*_: object) -> None:
    raise Stop


def stopping(heard: list[int]) -> Callable[..., None]:
    """Return a handler that raises the first time."""

    def handle(*_: object) -> None:
        heard.append(1)
        if len(heard) == 1:
            raise Stop

    return handle


@pytest.mark.parametrize("part", [b"", b"$5\r\nab", b">1\r\n:1\r\n"], ids=["nothing", "a part", "a push"])
def test_a_signal_handler_may_end_a_call(pair: Pair, handler: Any, part: bytes) -> None:
    heard: list[int] = []
    handler(stopping(heard))
    io = pair.open(10.0)

    def script(peer: socket.socket) -> None:
        take(peer, len(PING))
        peer.sendall(part)
        poke(heard)

    pair.play(script)
    with pytest.raises(Stop):
        io.execute((b"PING",), True)
    assert not io.is_usable
    assert pair.saw_the_end()


def test_a_signal_handler_may_end_a_write(pair: Pair, handler: Any) -> None:
    heard: list[int] = []
    handler(stopping(heard))
    io = pair.open(10.0, buffers=4096)
    value = bytearray(8 << 20)

    def script(peer: socket.socket) -> None:
        take(peer, 100)
        poke(heard)

    pair.play(script)
    with pytest.raises(Stop):
        io.execute((b"SET", value), True)
    value.clear()
    assert not io.is_usable


def test_signals_do_not_stretch_the_deadline(pair: Pair, handler: Any) -> None:
    heard: list[int] = []
    ended = threading.Event()
    handler(lambda *_: heard.append(1))
    io = pair.open(0.3)

    def script(peer: socket.socket) -> None:
        take(peer, len(PING))
        for times in range(1, 1000):
            if not io.owed or ended.is_set():
                return
            poke(heard, times)

    pair.play(script)
    with within(0.7), pytest.raises(ReadTimeout):
        io.execute((b"PING",), True)
    ended.set()
    assert len(heard) > 10


@pytest.mark.parametrize("way", ["interrupt", "close"])
def test_a_signal_handler_may_close_the_connection(pair: Pair, handler: Any, way: str) -> None:
    io = pair.open(10.0)
    heard: list[int] = []

    def end(*_: object) -> None:
        heard.append(1)
        getattr(io, way)()

    handler(end)

    def script(peer: socket.socket) -> None:
        take(peer, len(PING))
        poke(heard)

    pair.play(script)
    with within(2.0), pytest.raises(ConnectionLost):
        io.execute((b"PING",), True)
    assert not io.is_usable


def test_a_signal_handler_may_not_use_the_connection(pair: Pair, handler: Any) -> None:
    io = pair.open(10.0)
    heard: list[int] = []
    caught: list[BaseException] = []

    def reenter(*_: object) -> None:
        heard.append(1)
        try:
            io.execute((b"PING",), True)
        except UsageError as error:
            caught.append(error)

    handler(reenter)

    def script(peer: socket.socket) -> None:
        take(peer, len(PING))
        poke(heard)
        peer.sendall(b"+mine\r\n")

    pair.play(script)
    assert io.execute((b"PING",), True) == "mine"
    assert caught


def _interrupted_set(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the building of the next set be interrupted, as a signal handler that raises does there."""
    makers: Iterator[Callable[[list[Any]], object]] = itertools.chain([stop], itertools.repeat(set))
    module: Any = pure_parser if pair.twin == "socket-python" else _resp
    monkeypatch.setattr(module, "set_of", lambda items: next(makers)(items))


def test_a_look_that_was_interrupted_ends_the_connection(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """A push is half read, and nothing is owed: whoever came next would read on in its middle."""
    io = pair.open_used()
    _interrupted_set(pair, monkeypatch)
    pair.peer.sendall(b">1\r\n~1\r\n:1\r\n")
    with pytest.raises(Stop):
        io.execute((b"PING",), True)
    assert not io.is_usable
    assert drain(pair.peer) == b""


def test_a_probe_that_was_interrupted_ends_the_connection(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    io = pair.open_used()
    _interrupted_set(pair, monkeypatch)
    pair.peer.sendall(b">1\r\n~1\r\n:1\r\n")
    with pytest.raises(Stop):
        io.probe()
    assert not io.is_usable


def test_an_interruption_behind_the_reply_ends_the_connection(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    io = pair.open()
    _interrupted_set(pair, monkeypatch)
    pair.answer((PING, b"+mine\r\n>1\r\n~1\r\n:1\r\n"))
    with pytest.raises(Stop):
        io.execute((b"PING",), True)
    assert not io.is_usable


def test_an_interruption_in_next_push_ends_the_connection(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    io = pair.open()
    _interrupted_set(pair, monkeypatch)
    pair.peer.sendall(b">1\r\n~1\r\n:1\r\n")
    with pytest.raises(Stop):
        io.next_push(1)
    assert not io.is_usable
    assert pair.saw_the_end()
