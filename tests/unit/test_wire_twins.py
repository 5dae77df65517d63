"""WireIO and SocketIO over a socket pair whose other end plays a script: every promise of the contract, on both twins.

The Cython WireIO makes its own system calls; SocketIO works on Python's sockets, over either parser.
Deadlines stand in test_wire_time.py, a second user and signals in test_wire_interruptions.py.
"""

from __future__ import annotations

import contextlib
import math
import socket
import threading
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
)
from carmine.protocol.limits import Limits
from carmine.protocol.values import Push
from carmine.transport.bookkeeping import Place
from tests.unit.wires import ADDRESS, PING, WATCHDOG, Pair, command, drain, take, within

if TYPE_CHECKING:
    from collections.abc import Iterator


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
