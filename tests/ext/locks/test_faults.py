"""Locks in trouble, in both worlds (FAULTS.md L01 to L10; SECURITY S-53)."""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import subprocess
import sys
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any, Final

import pytest

import carmine
from carmine.errors import CarmineError, ConnectionLost, NetworkError, Outcome, ReadTimeout
from carmine.ext.locks import LeaseLost, Lock, core
from carmine.ext.locks._sync import locking
from tests.ext.locks.lockers import KEY, QUICK, Call, free, lock_of, token_in, wait_free, wait_listeners
from tests.faults.drivers import ONCE, PASSWORD, USER
from tests.lab import leaks
from tests.lab.servers import RedisServer, wait_until

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Iterator

    from tests.faults.invariants import Lab

pytest_plugins = ["tests.faults.invariants"]
pytestmark = pytest.mark.faults

ROOT: Final = __file__.rpartition("/tests/")[0]
ACQUIRED: Final = b"*2\r\n:1\r\n:1795446475549240\r\n"
"""What the acquiring script answers, to count its bytes."""


@pytest.fixture(params=[3], ids=["resp3"])
def protocol(request: pytest.FixtureRequest) -> int:
    """Give the newer RESP version; the tests of the lock itself run on both."""
    version: int = request.param
    return version


@pytest.fixture(params=[4], ids=["pool4"])
def pool_size(request: pytest.FixtureRequest) -> int:
    """Give the size of the pool."""
    size: int = request.param
    return size


def ready(lab: Lab, **options: Any) -> Any:
    """Return a driver whose server knows the scripts."""
    driver = lab.client(retry=options.pop("retry", QUICK), **options)
    with lock_of(driver, "warm"):
        pass
    return driver


def renewals(lab: Lab) -> int:
    """Return how many renewals were sent by hash."""
    return lab.sent("EVALSHA", core.EXTEND.sha)


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


# Only one world has these. -------------------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_child_has_no_lease(server: RedisServer) -> None:
    """It neither gives back nor renews what is its parent's; it can take part by itself."""
    with carmine.Client(server.url) as client:
        lock = Lock(client, "a", ttl=0.6)
        lease = lock.acquire()
        assert lease is not None
        child = os.fork()
        if child == 0:
            status = 1
            try:
                ended = [lease.lost, lease.release()]
                with Lock(client, "b", ttl=0.5) as own:
                    status = 0 if ended == [True, False] and not own.lost else 2
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        began = time.monotonic()
        wait_until(lambda: time.monotonic() - began > 0.8, "a lease's time")
        lease.check()
        assert lease.release()


@pytest.mark.filterwarnings("ignore:Exception in thread carmine-locks:pytest.PytestUnhandledThreadExceptionWarning")
def test_l09_the_thread_that_renews_is_killed(server: RedisServer) -> None:
    """The holder is told at once, long before the lease ends; another lease has a thread again."""
    told = threading.Event()
    with carmine.Client(server.url) as client:
        lease = Lock(client, "a", ttl=20, on_lost=lambda lease: told.set()).acquire()
        assert lease is not None
        thread = locking._stations.of(client.pool).keeper._alarm._thread
        assert thread is not None
        assert ctypes.pythonapi.PyThreadState_SetAsyncExc(
            ctypes.c_ulong(thread.ident or 0), ctypes.py_object(SystemExit)
        )
        assert told.wait(2)
        assert lease.lost
        assert lease.release(), "the server still had it"
        hold_for_a_renewal(Lock(client, "a", ttl=0.3))


def hold_for_a_renewal(lock: Lock) -> None:
    """Hold a lock until its lease was renewed."""
    with lock as lease:
        term = lease._term
        wait_until(lambda: lease._term is not term or lease.lost, "a renewal")
        assert not lease.lost


def test_a_pool_that_is_dropped_leaves_nothing(server: RedisServer) -> None:
    """Locks remember their pool for no longer than somebody uses it."""
    before = leaks.snapshot(server)
    client = carmine.Client(server.url)
    pool = weakref.ref(client.pool)
    hold_for_a_renewal(Lock(client, "a", ttl=0.3))
    del client
    wait_until(lambda: gc.collect() >= 0 and pool() is None, "the end of the pool", 3)
    leaks.assert_no_leaks(before, server)
