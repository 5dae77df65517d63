"""Pools whose books are entered twice by one thread, interrupted half way, or closed while somebody looks at them.

A signal handler and a finalizer run between any two steps of Python, so also inside the pool's locked parts; a lock
that its own thread waits for is waited for in vain.
"""

from __future__ import annotations

import gc
import math
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any

import pytest

import carmine
from carmine.errors import PoolTimeout
from carmine.transport import bookkeeping
from carmine.transport.hooks import Hooks
from carmine.transport.options import Options
from carmine.transport.pool import Pool
from tests.lab.leaks import snapshot
from tests.lab.scripted import Scripted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from carmine.transport.connection import Connection

pytestmark = pytest.mark.faults

WATCHDOG = 10.0


@pytest.fixture
def scripted() -> Iterator[Scripted]:
    """Give a server that answers PING."""
    with Scripted.replies({b"PING": b"+PONG\r\n"}, default=b"+OK\r\n") as server:
        yield server
        server.check()


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

    def result(self, seconds: float = WATCHDOG) -> Any:
        """Wait for the end of the call, and return what it gave or raised."""
        self.join(seconds)
        assert not self.is_alive(), "the call hangs"
        return self.outcome


def until(condition: Callable[[], object]) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + WATCHDOG
    while not condition():
        assert time.monotonic() < deadline, "in vain"
        time.sleep(0.001)


def struck(monkeypatch: pytest.MonkeyPatch, handler: Callable[[], object]) -> list[Any]:
    """Let a signal handler strike once, while the pool counts its places; return the list that gets its outcome."""
    outcomes: list[Any] = []

    class Struck(bookkeeping.Place):
        __slots__ = ()

        def __init__(self) -> None:
            super().__init__()
            if not outcomes:
                outcomes.append(None)
                try:
                    outcomes[0] = handler()
                except carmine.CarmineError as error:
                    outcomes[0] = error

    monkeypatch.setattr(bookkeeping, "Place", Struck)
    return outcomes


# Entered twice. ------------------------------------------------------------------------------------------------------


def test_a_call_from_a_handler_or_finalizer_inside_the_books(
    scripted: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = carmine.Client(scripted.url, pool_size=2)
    outcomes = struck(monkeypatch, client.ping)
    assert Caller(client.ping).result() is True
    assert outcomes == [True]
    assert client.pool.stats().open <= 2
    client.close()


def test_a_call_from_inside_the_books_of_a_full_pool_ends_in_time(
    scripted: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = carmine.Client(scripted.url, pool_size=1, pool_timeout=0.3)
    outcomes = struck(monkeypatch, client.ping)
    began = time.monotonic()
    assert Caller(client.ping).result() is True
    assert time.monotonic() - began < 2.0
    assert outcomes == [True] or isinstance(outcomes[0], PoolTimeout)
    stats = client.pool.stats()
    assert (stats.open, stats.in_use, stats.waiting) == (1, 0, 0)
    assert scripted.accepted <= 1
    client.close()


def test_books_entered_twice_never_count_a_place_too_many(scripted: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = Pool(Options.build(scripted.url, pool_size=2, pool_timeout=0.2))
    outcomes = struck(monkeypatch, pool.borrow)
    held = [Caller(pool.borrow).result()]
    held += [outcome for outcome in outcomes if not isinstance(outcome, Exception)]
    while True:
        try:
            held.append(pool.borrow())
        except PoolTimeout:
            break
    assert len(held) == 2
    for connection in held:
        pool.give_back(connection)
    pool.close()


def test_nobody_is_skipped_in_a_queue_that_is_served_twice_at_once(
    scripted: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = Pool(Options.build(scripted.url, pool_size=2))
    held = [pool.borrow(), pool.borrow()]
    waiters = [Caller(pool.borrow), Caller(pool.borrow)]
    until(lambda: pool.stats().waiting == 2)
    struck(monkeypatch, pool.serve)
    for connection in held:
        connection.close()
    Caller(pool.serve).result()
    for waiter in waiters:
        pool.give_back(waiter.result(2.0))
    pool.close()


def test_a_hook_may_use_the_client_when_a_waiter_closes_what_it_was_handed(
    scripted: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Any] = []

    class Watch(Hooks):
        def on_close(self, address: str) -> None:
            if not told:
                told.append(pool.stats())
                told.append(pool.borrow())

    pool = Pool(Options.build(scripted.url, pool_size=2, hooks=Watch(), pool_timeout=0.5))
    held = [pool.borrow(), pool.borrow()]
    real = Pool._is_fit
    waiter: Caller | None = None
    monkeypatch.setattr(
        Pool,
        "_is_fit",
        lambda self, connection, *words, **options: (
            threading.current_thread() is not waiter and real(self, connection, *words, **options)
        ),
    )
    waiter = Caller(pool.borrow)
    until(lambda: pool.stats().waiting == 1)
    pool.give_back(held.pop())
    connection = waiter.result()
    assert told
    given = [one for one in (connection, *told[1:], *held) if not isinstance(one, Exception)]
    assert len(given) <= 2
    for one in given:
        pool.give_back(one)
    pool.close()


def test_who_was_handed_a_dead_connection_waits_on_when_its_place_is_taken(
    scripted: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wire frees its place when it dies, before whoever looked at it comes to take that place."""
    pool = Pool(Options.build(scripted.url, pool_size=1))
    held = pool.borrow()
    quicker: list[Connection] = []
    real = Pool._is_fit
    waiter: Caller | None = None

    def is_fit(self: Pool, connection: Connection, *words: Any, **options: Any) -> bool:
        if threading.current_thread() is waiter and not quicker:
            connection.close()
            quicker.append(self.borrow())
            return False
        return real(self, connection, *words, **options)

    monkeypatch.setattr(Pool, "_is_fit", is_fit)
    waiter = Caller(pool.borrow)
    until(lambda: pool.stats().waiting == 1)
    pool.give_back(held)
    until(lambda: pool.stats().waiting == 1 and quicker)
    assert pool.stats().open == 1
    pool.give_back(quicker[0])
    connection = waiter.result()
    assert connection is quicker[0]
    pool.give_back(connection)
    pool.close()


# Interrupted. --------------------------------------------------------------------------------------------------------


class Stop(BaseException):
    """What strikes: no Exception, as KeyboardInterrupt is none."""


class Struck(deque[Any]):
    """A queue in which a signal strikes, once, before or after somebody leaves it by its front."""

    when = ""

    def popleft(self) -> Any:
        """Leave, and be struck."""
        when, self.when = self.when, ""
        if when == "before":
            raise Stop
        left = super().popleft()
        if when == "after":
            raise Stop
        return left


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("what", ["connection", "place"])
def test_a_waiter_is_served_though_a_signal_strikes_who_serves_it(scripted: Scripted, what: str, when: str) -> None:
    pool = Pool(Options.build(scripted.url, pool_size=1, pool_timeout=2.0))
    queue = Struck()
    pool.attention = queue
    held = pool.borrow()
    waiter = Caller(pool.borrow)
    until(lambda: pool.stats().waiting == 1)
    queue.when = when
    if what == "place":
        held.close()
    with pytest.raises(Stop):
        pool.give_back(held)
    del held
    pool.give_back(waiter.result())
    assert pool.stats().in_use == 0
    assert pool.stats().waiting == 0
    pool.close()


class CloseTwice(Hooks):
    """Is struck by a signal when it hears of the first closed connection."""

    def __init__(self) -> None:
        self.closed = 0

    def on_close(self, address: str) -> None:
        """Count."""
        self.closed += 1
        if self.closed == 1:
            raise Stop


def test_close_goes_on_where_it_was_interrupted(scripted: Scripted) -> None:
    before = snapshot()
    hooks = CloseTwice()
    pool = Pool(Options.build(scripted.url, hooks=hooks))
    held = [pool.borrow() for _ in range(3)]
    busy = pool.borrow()
    for connection in held:
        pool.give_back(connection)
    with pytest.raises(Stop):
        pool.close()
    pool.close()
    assert hooks.closed == 3
    assert not busy.is_usable
    pool.give_back(busy)
    assert pool.stats().open == 0
    until(lambda: scripted.closed == 4)
    del before


# Looked at while it is closed. ---------------------------------------------------------------------------------------


class Looked:
    """An idle connection that calls `look` when its state is asked."""

    expires = math.inf
    note = None
    idle_for = 0.0

    def __init__(self, look: Callable[[], object]) -> None:
        self._look = look
        self.closed = 0

    @property
    def is_usable(self) -> bool:
        """Whether it may be kept."""
        self._look()
        return True

    def close(self) -> None:
        """Count."""
        self.closed += 1


def test_a_connection_that_is_looked_at_while_the_pool_closes_is_closed(scripted: Scripted) -> None:
    pool = Pool(Options.build(scripted.url))
    looked: Any = Looked(pool.close)
    pool.idle.append(looked)
    pool._tidy_at = 0.0
    pool.tidy()
    assert looked.closed == 1
    assert pool.idle == []


def test_who_waits_gets_a_connection_that_was_looked_at_meanwhile(scripted: Scripted) -> None:
    """A waiter that comes while the only idle connection is looked at finds none, and is not told by its return."""
    pool = Pool(Options.build(scripted.url, pool_size=1))
    connection: Connection = pool.borrow()
    waiters: list[Caller] = []

    def arrive() -> None:
        if not waiters:
            waiters.append(Caller(pool.borrow))
            until(lambda: pool.stats().waiting == 1)

    class Slow(Looked):
        """A connection that somebody begins to wait for while it is looked at."""

        def probe(self) -> bool:
            return True

    slow: Any = Slow(arrive)
    slow.lender = None
    pool.idle.append(slow)
    pool._tidy_at = 0.0
    pool.tidy()
    assert waiters[0].result(0.09) is slow  # before it would have looked itself
    pool.give_back(connection)
    pool.close()


# Dropped. ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"hooks": Hooks()}, {"max_lifetime": 100}, {"check": ("borrow",)}], ids=str)
@pytest.mark.parametrize("closed", [False, True])
def test_a_dropped_client_waits_for_no_collection(scripted: Scripted, options: dict[str, Any], closed: bool) -> None:
    gc.collect()
    gc.disable()
    try:
        client = carmine.Client(scripted.url, **options)
        client.ping()
        with client.pipeline() as pipe:
            pipe.ping()
        if closed:
            client.binary.close()
        del client, pipe
        until(lambda: scripted.closed == 1)
    finally:
        gc.enable()
