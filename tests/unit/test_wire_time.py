"""Deadlines of WireIO and SocketIO, peers that do not listen, large arguments and replies that come early."""

from __future__ import annotations

import contextlib
import math
import socket
import threading
import time
from typing import Any

import pytest

from carmine.errors import (
    ConnectionLost,
    Outcome,
    ReadTimeout,
    ServerError,
    UsageError,
    WriteTimeout,
)
from carmine.protocol.limits import LARGE_ARGUMENT, Limits
from tests.unit.wires import PING, Pair, command, drain, take, within

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


@pytest.mark.parametrize("timeout", [0, -1, 1e-9, math.nan])
def test_a_reply_that_has_come_is_taken_though_the_deadline_has_passed(pair: Pair, timeout: float) -> None:
    """The thread itself may have been late, where threads are many and processors few."""
    io = pair.open()
    pair.peer.sendall(b"+PONG\r\n")
    assert io.execute((b"PING",), True, timeout) == "PONG"


@pytest.mark.parametrize("timeout", [0, -1, -math.inf, math.nan])
def test_no_time_to_wait_for_a_push(pair: Pair, timeout: float) -> None:
    io = pair.open()
    with within(0.5):
        assert io.next_push(timeout) is None
    pair.peer.sendall(b">1\r\n:1\r\n")
    assert io.next_push(timeout) == [1]
    assert io.is_usable


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
