"""A signal whose handler raises, at any moment of acquire, wait and release (FAULTS.md L03 for threads)."""

from __future__ import annotations

import signal
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

import carmine
from carmine.ext.locks import Lock
from tests.ext.locks.lockers import QUICK, free, wait_free
from tests.lab.matrix import scaled
from tests.lab.servers import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.lab.proxy import FaultProxy
    from tests.lab.servers import RedisServer

pytest_plugins = ["tests.faults.invariants"]
pytestmark = [
    pytest.mark.faults,
    # struck between the lock and its caller's variable, a lease is dropped, and says so
    pytest.mark.filterwarnings("ignore:a lease that is renewed was dropped:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

TTL = 0.5


class Strike(BaseException):
    """What the handler raises."""


def strike(number: int, frame: Any) -> None:
    raise Strike


@pytest.fixture
def alarmed() -> Iterator[None]:
    """Have SIGALRM raise."""
    before = signal.signal(signal.SIGALRM, strike)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def client(server: RedisServer, proxy: FaultProxy) -> Iterator[carmine.Client[str]]:
    """Give a client whose replies take three milliseconds."""
    with carmine.Client(proxy.url(server.url), retry=QUICK) as made:
        with Lock(made, "a"):
            pass
        proxy.delay["s2c"] = 0.003
        yield made


def struck(seconds: float, function: Callable[[], object]) -> tuple[object, bool]:
    """Call a function and strike after so many seconds; return what it returned, and whether it was struck."""
    made = None
    try:
        signal.setitimer(signal.ITIMER_REAL, seconds)
        made = function()
        signal.setitimer(signal.ITIMER_REAL, 0)
    except Strike:
        return made, True
    return made, False


def test_l03_acquire_is_struck(
    alarmed: None, client: carmine.Client[str], server: RedisServer, report: Callable[..., None]
) -> None:
    """The lock is free soon, or its lease is there and can be given back."""
    lock = Lock(client, "a", ttl=TTL)
    strikes = 0
    for turn in range(scaled(400)):
        lease, was_struck = struck(0.0002 + 0.0002 * (turn % 25), lock.acquire)
        strikes += was_struck
        if lease is not None:
            lease.release()  # type: ignore[attr-defined]
        del lease
        wait_free(server, "a")
    assert strikes
    report("L03 acquire struck", strikes=strikes)


def test_l03_release_is_struck(
    alarmed: None, client: carmine.Client[str], server: RedisServer, report: Callable[..., None]
) -> None:
    lock = Lock(client, "a", ttl=30)
    strikes = 0
    for turn in range(scaled(400)):
        lease = lock.acquire()
        assert lease is not None
        _, was_struck = struck(0.0002 + 0.0002 * (turn % 25), lease.release)
        strikes += was_struck
        if was_struck and not lease._is_ending:
            lease.release()  # it had not begun
        wait_free(server, "a")
    assert strikes
    report("L03 release struck", strikes=strikes)


def test_l03_a_waiter_is_struck(alarmed: None, client: carmine.Client[str], server: RedisServer) -> None:
    """Whoever waits behind it gets the lock by word, not by a poll."""
    lock = Lock(client, "a", ttl=30)
    for turn in range(scaled(100)):
        held = lock.acquire()
        assert held is not None
        took: list[float] = []
        other = Lock(client, "a", ttl=30)

        def wait(took: list[float] = took, other: Lock = other) -> None:
            with other:
                took.append(time.monotonic())

        thread = threading.Thread(target=wait)

        thread.start()  # before: a thread that is struck while it starts another never knows whether it did
        lease, was_struck = struck(0.005 + 0.002 * (turn % 10), lock.acquire)
        assert was_struck
        assert lease is None
        released = time.monotonic()
        assert held.release()
        thread.join(10)
        assert took
        assert took[0] - released < 1.5
        wait_until(lambda: free(server, "a"), "the end")
