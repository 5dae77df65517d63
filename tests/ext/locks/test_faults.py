"""Locks in trouble, in both worlds (FAULTS.md L01 to L10; SECURITY S-53)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any, Final

import pytest

from carmine.errors import CarmineError, ConnectionLost, NetworkError, Outcome, ReadTimeout
from carmine.ext.locks import core
from tests.ext.locks.lockers import (
    KEY,
    QUICK,
    Call,
    free,
    lock_of,
    ready,
    renewals,
    token_in,
    wait_free,
    wait_listeners,
)
from tests.faults.drivers import ONCE
from tests.lab.servers import wait_until

if TYPE_CHECKING:
    import contextlib

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


# L01. ----------------------------------------------------------------------------------------------------------------


class Holder:
    """A process that holds a lock."""

    def __init__(self, stack: contextlib.ExitStack, url: str, name: str, ttl: float) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.ext.locks.holder", url, name, str(ttl)],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        stack.callback(self.end)
        token, fence = self._line().split()
        self.token, self.fence = token, int(fence)

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def ask(self, what: str) -> str:
        assert self.process.stdin is not None
        self.process.stdin.write(what + "\n")
        self.process.stdin.flush()
        return self._line()

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()


class Store:
    """What a lock protects, when it looks at fences."""

    def __init__(self) -> None:
        self.highest = 0

    def write(self, fence: int) -> bool:
        if fence < self.highest:
            return False
        self.highest = fence
        return True


def test_l01_a_holder_that_is_paused_past_its_lease(lab: Lab, stack: contextlib.ExitStack) -> None:
    """The other acquires; the first sees that it has lost, and cannot release or extend what is the other's."""
    driver = ready(lab)
    holder = Holder(stack, lab.server.url, "a", 0.4)
    store = Store()
    assert store.write(holder.fence)
    waiter = Call(lock_of(driver, "a", ttl=20).acquire)
    wait_listeners(lab.server, 1)
    os.kill(holder.process.pid, signal.SIGSTOP)
    lease = waiter.result()
    assert lease.fence > holder.fence
    assert store.write(lease.fence)
    os.kill(holder.process.pid, signal.SIGCONT)
    assert holder.ask("lost") == "True"
    assert not store.write(holder.fence), "a store that looks at fences refuses it"
    assert holder.ask("check") == "LeaseLost"
    wait_until(lambda: holder.ask("told") == "1", "on_lost was called")
    assert holder.ask("release") == "False"
    assert token_in(lab.server, "a") == lease.token, "what is the other's was left alone"
    lease.check()
    assert lease.release()
    holder.end()


def test_l01_a_holder_that_is_killed(lab: Lab, stack: contextlib.ExitStack) -> None:
    """Its lock is free when the lease has run out, and not before."""
    driver = ready(lab)
    holder = Holder(stack, lab.server.url, "a", 0.6)
    waiter = Call(lock_of(driver, "a").acquire)
    wait_listeners(lab.server, 1)
    holder.end()
    left = lab.server.call("PTTL", KEY + "a")
    assert isinstance(left, int)
    began = time.monotonic()
    lease = waiter.result()
    assert left / 1000 - 0.05 <= time.monotonic() - began <= left / 1000 + 0.5
    lease.release()


def test_l01_a_waiter_that_is_killed_delays_nobody(lab: Lab, stack: contextlib.ExitStack) -> None:
    driver = ready(lab)
    held = lock_of(driver, "a").acquire()
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.ext.locks.holder", lab.server.url, "a", "30"],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    stack.callback(process.wait)
    stack.callback(process.kill)
    wait_listeners(lab.server, 1)
    waiter = Call(lock_of(driver, "a").acquire)
    wait_listeners(lab.server, 2)
    process.kill()
    process.communicate()
    held.release()
    with lab.within(0.2):
        waiter.result().release()


# L02, L03, L04, L05. -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["fin", "rst"])
def test_l02_the_answer_to_acquire_is_lost(lab: Lab, mode: Any) -> None:
    """Cut at each byte of the answer: the lock is acquired all the same, with the token that the key holds."""
    lab.proxy.plan = lab.each.__getitem__
    driver = ready(lab, read_timeout=5)
    for n in range(len(ACQUIRED)):
        faults = lab.faults_of_next(driver)
        lab.proxy.mark()
        faults.cut_mode = mode
        faults.cut_after["s2c"] = n
        with lab.within(2):
            lease = lock_of(driver, "a", wait=0).acquire()
        assert lease.token == token_in(lab.server, "a")
        assert lab.server.call("GET", "carmine:lock-fence:a") == str(lease.fence).encode()
        assert lease.release()
        assert free(lab.server, "a")
        lab.counts["cuts"] += 1


def test_l02_no_answer_ever(lab: Lab) -> None:
    """The caller hears that nobody knows; the token is deleted behind his back, as soon as the server answers."""
    driver = ready(lab, read_timeout=0.3, connect_timeout=0.3)
    lab.proxy.hold("s2c")
    lab.fails(ReadTimeout, lock_of(driver, "a", ttl=30).acquire, outcome=Outcome.UNKNOWN, within=0.4)
    assert not free(lab.server, "a"), "it was executed"
    lab.proxy.release()
    wait_free(lab.server, "a")
    lab.counts["orphans swept"] += 1


def test_l02_the_command_comes_late(lab: Lab) -> None:
    """A server that stood still executes it after all: the token is looked for more than once."""
    driver = ready(lab, read_timeout=0.2, connect_timeout=0.2)
    lab.server.pause()
    try:
        lab.fails(ReadTimeout, lock_of(driver, "a", ttl=30).acquire, outcome=Outcome.UNKNOWN, within=0.4)
    finally:
        lab.server.resume()
    wait_until(lambda: lab.server.call("EXISTS", "carmine:lock-fence:a") == 1, "the late command")
    wait_free(lab.server, "a")


@pytest.mark.parametrize("mode", ["fin", "rst"])
def test_l04_the_answer_to_release_is_lost(lab: Lab, mode: Any) -> None:
    """It is asked again, and the truth is told: it was this lease that gave the lock back."""
    lab.proxy.plan = lab.each.__getitem__
    driver = ready(lab, read_timeout=5)
    for n in range(4):
        lease = lock_of(driver, "a").acquire()
        faults = lab.faults_of_next(driver)
        lab.proxy.mark()
        faults.cut_mode = mode
        faults.cut_after["s2c"] = n
        with lab.within(2):
            assert lease.release() is True
        assert free(lab.server, "a")
        lab.counts["cuts"] += 1


def test_l04_a_release_that_failed_may_be_tried_again(lab: Lab) -> None:
    """The error is raised, the token is kept."""
    driver = ready(lab, retry=ONCE, read_timeout=0.3)
    lease = lock_of(driver, "a", ttl=20).acquire()
    lab.proxy.hold("c2s")
    lab.fails(NetworkError, lease.release, within=0.4)
    assert token_in(lab.server, "a") == lease.token
    lab.proxy.kill()
    lab.proxy.release()
    assert lease.release() is True
    assert free(lab.server, "a")
    with lock_of(driver, "a", wait=0) as other:
        assert other.fence > lease.fence


def test_l04_executed_without_an_answer_and_tried_again(lab: Lab) -> None:
    driver = ready(lab, retry=ONCE, read_timeout=0.3)
    lease = lock_of(driver, "a", ttl=20).acquire()
    lab.proxy.hold("s2c")
    lab.fails(ReadTimeout, lease.release, outcome=Outcome.UNKNOWN, within=0.4)
    assert free(lab.server, "a")
    lab.proxy.release()
    assert lease.release() is True, "the token is gone in time: it was this lease that gave it back"


@pytest.mark.parametrize("body", [True, False], ids=["body-raises", "body-is-well"])
def test_l05_a_block_whose_release_fails(lab: Lab, body: bool) -> None:
    """The body's own error is the one seen; the lock is given back behind its back."""
    driver = ready(lab, retry=ONCE, read_timeout=0.3)
    lock = lock_of(driver, "a", ttl=30)

    def run() -> None:
        with lock:
            lab.proxy.hold("s2c")
            if body:
                raise KeyError("mine")

    with lab.within(0.5), pytest.raises(KeyError if body else ReadTimeout) as caught:
        run()
    notes = getattr(caught.value, "__notes__", [])
    assert [note.startswith("the lock could not be given back either: ReadTimeout") for note in notes] == [True] * body
    lab.proxy.release()
    wait_free(lab.server, "a")


# L06. ----------------------------------------------------------------------------------------------------------------


def test_l06_waiters_do_not_starve_the_holder(lab: Lab) -> None:
    """Ten wait, the pool has four connections: all are idle, and the holder gives back at once."""
    driver = ready(lab)
    lock = lock_of(driver, "a")
    held = lock.acquire()
    calls = [Call(lock.acquire) for _ in range(10)]
    wait_listeners(lab.server, 1)
    wait_until(lambda: driver.stats().in_use == 0, "no connection in use while they wait")
    with lab.within(0), driver.holding(lab.pool_size):
        assert [call for call in calls if call.is_done] == []
    with lab.within(0):
        assert held.release()
    for _ in range(10):
        wait_until(lambda: any(call.is_done for call in calls), "the next holder")
        done = next(call for call in calls if call.is_done)
        calls.remove(done)
        assert done.result().release()
        lab.counts["hand-overs"] += 1


def test_l06_renewals_need_no_connection_of_the_pool(lab: Lab) -> None:
    driver = ready(lab)
    lease = lock_of(driver, "a", ttl=0.5).acquire()
    with driver.holding(lab.pool_size):
        wait_until(lambda: renewals(lab) >= 8, "renewals for more than the lease's own time")
        assert not lease.lost
        assert token_in(lab.server, "a") == lease.token
    assert lease.release()


# L10. ----------------------------------------------------------------------------------------------------------------


def test_l10_release_by_another_thread_and_at_once_by_many(lab: Lab) -> None:
    driver = ready(lab)
    lock = lock_of(driver, "a", wait=0)
    lease = lock.acquire()
    calls = [Call(lease.release) for _ in range(8)]
    assert [call.result() for call in calls] == [True] * 8
    assert lab.sent("EVALSHA", core.RELEASE.sha) == 2, "the one before, and one for all of these"
    assert lock.acquire().release()


def test_the_lock_waits_through_lost_connections(lab: Lab) -> None:
    """Word may be missed while the subscription is made anew: the first who waits asks by himself then."""
    driver = ready(lab)
    lock = lock_of(driver, "a")
    for mode in ("fin", "rst"):
        held = lock.acquire()
        call = Call(lock.acquire)
        wait_listeners(lab.server, 1)
        number = next(n for n in lab.proxy.numbers if any(w[0] == b"SUBSCRIBE" for w in lab.proxy.commands(n)))
        lab.proxy.hold("s2c")
        lab.server.call("DEL", KEY + "a")
        lab.proxy.kill(mode, number)
        lab.proxy.release()
        with lab.within(1.0):
            other = call.result()
        assert held.release() is False
        assert other.release()
        lab.counts["losses"] += 1


def test_errors_while_waiting_are_told(lab: Lab) -> None:
    driver = ready(lab, connect_timeout=0.2)
    held = lock_of(driver, "a", auto_extend=False).acquire()
    call = Call(lock_of(driver, "a").acquire)
    wait_listeners(lab.server, 1)
    lab.proxy.refuse()
    lab.proxy.kill()
    with pytest.raises((NetworkError, ConnectionLost)) as caught:
        call.result()
    lab.saw(caught.value)
    lab.proxy.refuse(False)
    wait_listeners(lab.server, 1)
    assert held.release()


def test_closing_the_client_ends_the_waiters(lab: Lab) -> None:
    driver = ready(lab)
    held = lock_of(driver, "a", auto_extend=False).acquire()
    closing = lab.client(retry=QUICK)
    calls = [Call(lock_of(closing, "a").acquire) for _ in range(3)]
    wait_listeners(lab.server, 1)
    closing.client.close()
    for call in calls:
        with lab.within(0.3), pytest.raises(CarmineError):
            call.result()
    lab.forget(closing)
    assert held.release()
