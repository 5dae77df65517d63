"""Calls that an exception strikes between send and last byte (FAULTS.md C22): signals, and exceptions from threads.

A pool of one connection: whatever an interrupted call left behind meets the very next canary.
"""

from __future__ import annotations

import ctypes
import random
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any, Final

import pytest

from carmine.errors import CarmineError
from tests.faults.drivers import SHAPES
from tests.lab.matrix import scaled

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from tests.faults.drivers import Driver
    from tests.faults.invariants import Lab

pytest_plugins = ["tests.faults.invariants"]
pytestmark = pytest.mark.faults

LONGEST: Final = 5e-3
AGAIN: Final = 0.25


class SoftLimit(BaseException):
    """An exception as task queues and servers throw into their workers."""


KINDS: Final[tuple[type[BaseException], ...]] = (KeyboardInterrupt, SystemExit, SoftLimit)


class Alarm:
    """A timer whose signal handler raises `kind`.

    It strikes again after a while until it is heard: what is raised while the interpreter runs a callback (of the
    garbage collector, of a weak reference) is reported to `sys.unraisablehook` and lost, whoever is being called.
    What is lost in carmine's own frames is a failure.
    """

    def __init__(self) -> None:
        self.kind: type[BaseException] = SoftLimit
        self.is_set = False
        self.places: list[str] = []

    def strike(self, number: int, frame: FrameType | None) -> None:
        """Be the signal handler."""
        if self.is_set:
            self.places.append(frame.f_code.co_filename if frame is not None else "")
            signal.setitimer(signal.ITIMER_REAL, AGAIN)
            raise self.kind

    def set(self, seconds: float) -> None:
        """Strike in so many seconds."""
        self.places.clear()
        self.is_set = True
        signal.setitimer(signal.ITIMER_REAL, seconds)

    def disarm(self) -> None:
        """Strike no more; fail if a strike before the last was lost in a frame of carmine."""
        self.is_set = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        lost = [place for place in self.places[:-1] if "/carmine/" in place]
        assert not lost


@pytest.fixture
def alarm() -> Iterator[Alarm]:
    """Give a timer that raises."""
    made = Alarm()
    before = signal.signal(signal.SIGALRM, made.strike)
    yield made
    made.is_set = False
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(autouse=True)
def unraisable(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Judge what was raised where nobody can catch it: in the interpreter's callbacks, but not in ours."""
    ours: list[str] = []

    def hear(told: sys.UnraisableHookArgs) -> None:
        if str(getattr(told.object, "__module__", "")).startswith("carmine"):
            ours.append(repr(told.object))

    monkeypatch.setattr(sys, "unraisablehook", hear)
    yield
    assert not ours


def _until_struck(alarm: Alarm, driver: Driver, shape: str, seconds: float, mark: str) -> bool:
    """Send canaries in one shape until the timer strikes; return whether it was inside a call."""
    number = 0
    try:
        alarm.set(seconds)
        while True:
            SHAPES[shape](driver, f"{mark}-{number}")
            number += 1
    except KINDS as error:
        alarm.disarm()
        return _inside_carmine(error)


def _inside_carmine(error: BaseException) -> bool:
    trace = error.__traceback__
    while trace is not None:
        if "/carmine/" in trace.tb_frame.f_code.co_filename:
            return True
        trace = trace.tb_next
    return False


@pytest.mark.parametrize("pool_size", [1], ids=["pool1"], indirect=True)
@pytest.mark.parametrize("way", ["direct", "delayed"])
@pytest.mark.parametrize("shape", SHAPES)
def test_c22_a_signal_handler_raises_at_any_moment(lab: Lab, shape: str, way: str, alarm: Alarm) -> None:
    """4,000 struck calls of each shape at full scale: every canary afterwards has its own reply, no place is lost."""
    chance = random.Random(22)
    url = lab.server.url if way == "direct" else None
    if way == "delayed":
        lab.proxy.delay["s2c"] = 2e-4  # so that more strikes land in the wait for the reply
    driver = lab.client(url, pool_timeout=1)
    for number in range(scaled(4000) // 2):  # two ways, 4,000 in all
        alarm.kind = KINDS[number % len(KINDS)]
        inside = _until_struck(alarm, driver, shape, chance.uniform(5e-5, LONGEST), f"struck-{number}")
        lab.counts["interrupts inside a call" if inside else "interrupts between calls"] += 1
        if number % 4 != 3:  # every fourth time the next interrupted call has to open its connection itself
            lab.canaries(driver, 1, f"{number}")
        stats = driver.stats()
        assert (stats.in_use, stats.waiting) == (0, 0), stats
    lab.counts["connections opened"] += driver.stats().opened


def test_c22_a_signal_strikes_while_connections_are_opened(lab: Lab, alarm: Alarm) -> None:
    """The handshake is a call as well: what it was interrupted in is closed, its place is free."""
    chance = random.Random(23)
    lab.proxy.delay["s2c"] = 1e-3
    for number in range(scaled(800)):
        driver = lab.client(warm=False, pool_timeout=1)
        alarm.kind = KINDS[number % len(KINDS)]
        assert _until_struck(alarm, driver, "command", chance.uniform(1e-4, 3e-3), f"struck-{number}") in (True, False)
        assert driver.stats().in_use == 0
        lab.canaries(driver, 1, f"{number}")
        lab.counts["interrupts"] += 1
        lab.forget(driver)


def test_c22_a_signal_strikes_a_pinned_connection_and_a_waiter(lab: Lab, alarm: Alarm) -> None:
    """A block that is interrupted gives its connection up; a caller interrupted in the queue leaves the queue."""
    chance = random.Random(24)
    driver = lab.client(pool_timeout=1)
    for number in range(scaled(800)):
        alarm.kind = KINDS[number % len(KINDS)]
        try:
            alarm.set(chance.uniform(5e-5, 2e-3))
            while True:
                with driver.holding(lab.pool_size) as held:
                    assert held[0].execute("ECHO", f"pinned-{number}") == f"pinned-{number}"
                    driver.call("ECHO", "nobody is left to serve this one")
        except KINDS:
            alarm.disarm()
            lab.counts["interrupts"] += 1
        stats = driver.stats()
        assert (stats.in_use, stats.waiting) == (0, 0), stats
        lab.canaries(driver, 1, f"{number}")


@pytest.mark.parametrize("pool_size", [1], ids=["pool1"], indirect=True)
def test_c22_an_exception_is_thrown_into_a_thread(lab: Lab) -> None:
    """PyThreadState_SetAsyncExc, as supervisors of worker threads use it, at any moment of a thread's calls."""
    chance = random.Random(25)
    driver = lab.client(pool_timeout=1)
    shapes = list(SHAPES)
    problems: list[BaseException] = []
    for number in range(scaled(2000)):
        started, struck = threading.Event(), threading.Event()

        def work(number: int = number, started: threading.Event = started, struck: threading.Event = struck) -> None:
            try:
                try:
                    started.set()
                    count = 0
                    while True:
                        SHAPES[shapes[number % len(shapes)]](driver, f"thread-{number}-{count}")
                        count += 1
                finally:
                    struck.set()
            except SoftLimit:
                return
            except (AssertionError, CarmineError) as problem:
                problems.append(problem)

        worker = threading.Thread(target=work)
        worker.start()
        started.wait(10)
        pause = threading.Event()
        pause.wait(chance.uniform(0, 2e-3))
        while not struck.is_set():  # one that strikes in a frame that ends may be lost: thrown again until it is heard
            assert worker.ident is not None
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(worker.ident), ctypes.py_object(SoftLimit))
            struck.wait(0.05)
        worker.join(10)
        assert not worker.is_alive()
        assert not problems
        stats = driver.stats()
        assert (stats.in_use, stats.waiting) == (0, 0), stats
        lab.canaries(driver, 1, f"{number}")
        lab.counts["interrupts"] += 1


@pytest.mark.parametrize("kind", KINDS)
def test_c22_the_exception_passes_through_unchanged(lab: Lab, kind: type[BaseException], alarm: Alarm) -> None:
    """I7: not wrapped, not swallowed, not turned into an error of ours; a pipeline's entries hold an error instead."""
    driver = lab.client()
    alarm.kind = kind
    lab.proxy.hold("s2c")

    def interrupted(function: Any, *words: Any) -> BaseException:
        alarm.set(0.02)
        with pytest.raises(kind) as caught:
            function(*words)
        alarm.disarm()
        assert type(caught.value) is kind
        return caught.value

    interrupted(driver.call, "ECHO", "x")
    interrupted(driver.pipeline, [("ECHO", "x"), ("ECHO", "y")])
    pipe = driver.client.pipeline()
    pipe.__enter__()
    reply = pipe.echo("x")
    interrupted(pipe.__exit__, None, None, None)
    assert isinstance(reply.error, CarmineError)
    lab.proxy.release()
    lab.canaries(driver)


@pytest.mark.parametrize("pool_size", [1], ids=["pool1"], indirect=True)
@pytest.mark.parametrize("wait", ["a blocking pop", "a reply"])
def test_c22_a_signal_just_before_the_wait_is_not_lost(lab: Lab, wait: str, alarm: Alarm) -> None:
    """One that comes when the call is in C already and does not wait yet is noticed within a second, not at the end."""
    chance = random.Random(26)
    driver = lab.client(read_timeout=6)
    words = ("BLPOP", "nothing", 6) if wait == "a blocking pop" else ("ECHO", "x")
    for _ in range(scaled(4000)):
        if wait == "a reply":
            lab.proxy.hold("s2c")
        with lab.within(1.0):
            try:
                alarm.set(chance.uniform(1e-5, 2e-4))
                while True:
                    assert driver.call(*words) == "x", "the strike was lost"
            except SoftLimit:
                alarm.disarm()
        lab.proxy.release()
        lab.canaries(driver, 1)
        lab.counts["interrupts"] += 1
