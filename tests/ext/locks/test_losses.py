"""Leases that are lost, and those that are kept, in both worlds (FAULTS.md L07 to L09)."""

from __future__ import annotations

import sys
import threading
import time
from typing import TYPE_CHECKING, Any, Final

import pytest

from carmine.errors import ReadTimeout
from carmine.ext.locks import LeaseLost
from tests.ext.locks.lockers import (
    KEY,
    QUICK,
    Call,
    lock_of,
    ready,
    renewals,
    token_in,
    wait_listeners,
)
from tests.faults.drivers import ONCE, PASSWORD, USER
from tests.lab.servers import RedisServer, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.faults.invariants import Lab

pytest_plugins = ["tests.faults.invariants"]
pytestmark = [
    pytest.mark.faults,
    pytest.mark.parametrize("protocol", [3], ids=["resp3"]),  # the tests of the lock itself run on both
    pytest.mark.parametrize("pool_size", [4], ids=["pool4"]),
]

ROOT: Final = __file__.rpartition("/tests/")[0]
ACQUIRED: Final = b"*2\r\n:1\r\n:1795446475549240\r\n"
"""What the acquiring script answers, to count its bytes."""


# L07, L08, L09. ------------------------------------------------------------------------------------------------------


@pytest.fixture
def mortal(server: RedisServer) -> Iterator[RedisServer]:
    """Give a server that may be restarted, and knows the clients' user afterwards as well."""
    with RedisServer(users={USER: f"on >{PASSWORD} ~* &* +@all"}) as made:
        made.call("PING")  # over the connection that `call` keeps: it is there before the count of open files
        yield made


@pytest.mark.parametrize("auto_extend", [True, False])
def test_l07_a_restart_without_persistence(mortal: RedisServer, lab: Lab, auto_extend: bool) -> None:
    """The lock is gone with all the rest, and the holder hears it."""
    driver = lab.client(mortal.url, retry=QUICK, warm=False)
    lost = threading.Event()
    lease = lock_of(driver, "a", ttl=3, auto_extend=auto_extend, on_lost=lambda lease: lost.set()).acquire()
    mortal.kill()
    mortal.start()
    if auto_extend:
        assert lost.wait(1.5), "the first renewal finds out"
        assert lease.lost
    else:
        with pytest.raises(LeaseLost):
            lease.check()
    with pytest.raises(LeaseLost):
        lease.extend()
    assert lease.release() is False
    with lock_of(driver, "a", wait=0) as other:
        assert other.fence > lease.fence, "the server's time goes on"
    lab.forget(driver)


@pytest.mark.parametrize("jump", [3600, -3600])
def test_l08_a_clock_that_jumps(lab: Lab, monkeypatch: pytest.MonkeyPatch, jump: int) -> None:
    """Neither waits nor leases look at the time of day."""
    driver = ready(lab)
    real = time.time
    lease = lock_of(driver, "a", ttl=1).acquire()
    call = Call(lock_of(driver, "a", wait=0.6).acquire)
    wait_listeners(lab.server, 1)
    monkeypatch.setattr(time, "time", lambda: real() + jump)
    with lab.within(0.7):
        assert call.result() is None
    assert not lease.lost
    assert 0 < lease.left <= 1
    assert lease.release()


def test_l09_the_server_is_away_for_longer_than_the_lease(lab: Lab) -> None:
    """The holder is told before the server lets another have the lock."""
    driver = ready(lab, connect_timeout=0.2)
    told: list[tuple[float, str | None]] = []
    began = time.monotonic()
    lease = lock_of(
        driver, "a", ttl=0.6, on_lost=lambda lease: told.append((time.monotonic(), token_in(lab.server, "a")))
    ).acquire()
    wait_until(lambda: lease.left > 0.6 - (time.monotonic() - began) + 0.1, "a renewal")
    lab.proxy.blackhole = True
    lab.proxy.kill()
    cut = time.monotonic()
    wait_until(lambda: bool(told), "on_lost was called", 2)
    assert lease.lost
    assert told[0][0] - cut < 0.6 + 0.25
    lab.proxy.heal()
    lab.proxy.kill()
    assert lease.release() in (True, False)
    assert len(told) == 1
    lab.counts["losses told"] += 1


def test_l09_a_short_outage_is_survived(lab: Lab) -> None:
    driver = ready(lab, connect_timeout=0.2)
    lost: list[Any] = []
    lease = lock_of(driver, "a", ttl=1.5, on_lost=lost.append).acquire()
    lab.proxy.refuse()
    lab.proxy.kill()
    began = time.monotonic()
    wait_until(lambda: time.monotonic() - began > 0.7, "an outage over the first renewal")
    lab.proxy.refuse(False)
    wait_until(lambda: time.monotonic() - began > 1.8, "the end of the first lease")
    assert not lease.lost
    lease.check()
    assert lost == []
    assert lease.release()


def test_l09_a_server_that_stands_still(lab: Lab) -> None:
    """The lease is over for its holder while the server sleeps; nothing hangs."""
    driver = ready(lab, read_timeout=0.3, retry=ONCE, connect_timeout=0.3)
    told = threading.Event()
    lease = lock_of(driver, "a", ttl=0.5, on_lost=lambda lease: told.set()).acquire()
    lab.server.pause()
    try:
        assert told.wait(1), "on_lost was called in time"
        assert lease.lost
        lab.fails(ReadTimeout, lease.release, within=0.4)
    finally:
        lab.server.resume()
    assert lease.release() is False


def test_the_word_of_a_loss_may_fail_and_may_take_its_time(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a callback raises is shown, and others are renewed meanwhile."""
    driver = ready(lab)
    shown: list[BaseException] = []
    monkeypatch.setattr(sys, "excepthook", lambda kind, problem, trace: shown.append(problem))

    def fail(lease: object) -> None:
        raise KeyError("mine")

    lost = lock_of(driver, "a", ttl=0.5, on_lost=fail).acquire()
    kept = lock_of(driver, "b", ttl=0.5).acquire()
    lab.server.call("DEL", KEY + "a")
    wait_until(lambda: bool(shown), "the error")
    assert isinstance(shown[0], KeyError)
    assert lost.lost
    before = renewals(lab)
    wait_until(lambda: renewals(lab) >= before + 4, "renewals for more than the other lease's own time")
    assert not kept.lost
    assert kept.release()
    assert not lost.release()


def test_many_leases_are_renewed_together(lab: Lab) -> None:
    """One connection beside the pool's, and one round for all that are due."""
    driver = ready(lab)
    leases = [lock_of(driver, f"n{index}", ttl=1.5).acquire() for index in range(100)]
    before = lab.proxy.accepted
    wait_until(lambda: renewals(lab) >= 400, "renewals for more than the leases' own time")
    assert not any(lease.lost for lease in leases)
    assert lab.proxy.accepted == before + 1
    for lease in leases:
        assert lease.release()
    lab.counts["leases"] += len(leases)
