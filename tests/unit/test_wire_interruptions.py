"""A second thread and signals at WireIO and SocketIO."""

from __future__ import annotations

import itertools
import math
import signal
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from carmine.errors import (
    ConnectionLost,
    Outcome,
    ReadTimeout,
    UsageError,
)
from tests.unit.wires import PING, WATCHDOG, Pair, drain, take, within

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


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
    monkeypatch.setattr(pair.codec, "set_of", lambda items: next(makers)(items))


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
