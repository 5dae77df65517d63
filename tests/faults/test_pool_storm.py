"""Many threads on few connections, while connections are cut and reaped (FAULTS.md P01, P09)."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from typing import TYPE_CHECKING, Final

import pytest

from carmine.errors import NetworkError, Outcome
from carmine.retry import Retry
from carmine.transport import bookkeeping
from tests.integration.crew import Crew
from tests.lab.matrix import scaled
from tests.lab.proxy import Faults

if TYPE_CHECKING:
    from tests.faults.drivers import Driver
    from tests.faults.invariants import Lab

pytest_plugins = ["tests.faults.invariants"]
pytestmark = pytest.mark.faults

THREADS: Final = 200
POOL: Final = 4


def _one_of_each(driver: Driver, token: str) -> None:
    """Send canaries in one of four shapes (I1)."""
    shape = hash(token) % 4
    if shape == 0:
        assert driver.call("ECHO", token) == token
    elif shape == 1:
        assert driver.pipeline([("SET", f"k:{token}", token), ("GET", f"k:{token}"), ("DEL", f"k:{token}")]) == [
            "OK",
            token,
            1,
        ]
    elif shape == 2:
        assert driver.transaction([("ECHO", token), ("ECHO", token + "x")]) == [token, token + "x"]
    else:
        with driver.client.connection() as connection:
            assert connection.execute("ECHO", token) == token


@pytest.mark.slow
@pytest.mark.parametrize("pool_size", [POOL])
def test_p01_a_storm_of_threads(lab: Lab) -> None:
    """200 threads, a pool of 4, connections cut after a few thousand bytes or slow: I1 to I6; nobody starves."""
    chance = random.Random(1)
    cuts = 0

    def plan(number: int) -> Faults | None:
        nonlocal cuts
        faults = Faults()
        if chance.random() < 0.9:  # one in a hundred replies or so is the last of its connection
            faults.cut_after["s2c"] = chance.randrange(500, 8_000)
            faults.cut_mode = "rst"
            cuts += 1
        if chance.random() < 0.2:
            faults.delay["s2c"] = 0.002
        return faults

    lab.proxy.plan = plan
    driver = lab.client(warm=False, pool_timeout=30, read_timeout=5, retry=Retry(3, base=0.001))
    seconds = scaled(600) / 20  # 30 s in full
    calls = [0] * THREADS
    slowest = [0.0] * THREADS
    acknowledged, uncertain, failed = ([0] * THREADS for _ in range(3))
    begin = threading.Barrier(THREADS + 1)
    over = threading.Event()

    def work(me: int) -> None:
        begin.wait(30)
        while not over.is_set():
            token = f"{me}-{calls[me]}"
            began = time.monotonic()
            try:
                if calls[me] % 5 == 4:
                    assert driver.call("INCR", "counter") > 0
                    acknowledged[me] += 1
                else:
                    _one_of_each(driver, token)
            except NetworkError as error:
                lab.saw(error)
                failed[me] += 1
                uncertain[me] += calls[me] % 5 == 4 and error.outcome is Outcome.UNKNOWN
            slowest[me] = max(slowest[me], time.monotonic() - began)
            calls[me] += 1

    most_open = most_clients = samples = 0
    with Crew(within=60) as crew:
        for me in range(THREADS):
            crew.start(work, me)
        begin.wait(30)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and not any(crew.errors):
            most_open = max(most_open, driver.stats().open)
            most_clients = max(most_clients, len(lab.server.clients()))
            samples += 1
        over.set()
    lab.proxy.plan = None
    lab.proxy.kill()  # what is still open has its cut before it
    lab.proxy.wait_open(0)
    lab.wait_idle()
    count = int(lab.server.text("GET", "counter"))
    assert sum(acknowledged) <= count <= sum(acknowledged) + sum(uncertain)
    lab.counts.update(
        calls=sum(calls), cuts=cuts, failed_calls=sum(failed), increments=count, uncertain_increments=sum(uncertain)
    )
    assert most_open <= POOL
    assert most_clients <= POOL
    assert samples > 10
    assert max(slowest) < 10, f"a call took {max(slowest):.1f} s"
    assert min(calls) > 0
    assert max(calls) / min(calls) < 20, (min(calls), max(calls))
    assert cuts > 3
    assert driver.stats().waiting == 0


@pytest.mark.slow
@pytest.mark.parametrize("pool_size", [8])
def test_p09_reaping_races_borrowing(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """10 ms of idleness are allowed; bursts of 50 threads begin while connections are just being reaped.

    No fault happens, so no error may: a closed connection handed out, or one with two owners, would be one.
    """
    monkeypatch.setattr(bookkeeping, "_TIDY_EVERY", 0.0)  # look at every return
    driver = lab.client(warm=False, max_idle_time=0.01, min_idle=1, retry=Retry(1), pool_timeout=20)
    rounds = scaled(400)
    burst, rest = threading.Barrier(50), threading.Barrier(50)
    canaries = [0] * 50

    def work(me: int) -> None:
        for turn in range(rounds):
            burst.wait(30)
            for index in range(4):
                _one_of_each(driver, f"{me}-{turn}-{index}")
                canaries[me] += 1
            rest.wait(30)
            if me == 0:  # alone for a while: what it does not use grows old
                until = time.monotonic() + random.Random(turn).uniform(0.005, 0.015)
                while time.monotonic() < until:
                    driver.call("ECHO", "alone")

    with Crew(within=60) as crew:
        for me in range(50):
            crew.start(work, me)
    stats = driver.stats()
    assert stats.in_use == 0
    assert stats.opened > 8  # reaping did happen
    lab.counts.update(canaries=sum(canaries), connections=stats.opened)
    with contextlib.suppress(IndexError):
        assert driver.client.pool.idle[0].is_usable
