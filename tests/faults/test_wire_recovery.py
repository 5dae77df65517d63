"""Servers and connections that die and come back (FAULTS.md C14, C15, C25, C26)."""

from __future__ import annotations

import random
import threading
from typing import TYPE_CHECKING, Any, Final

import pytest

from carmine.errors import CarmineError, ConnectionLost, NetworkError, Outcome, UsageError, WatchError
from tests.faults.drivers import ONCE, SHAPES, Counter, make_user
from tests.lab.matrix import scaled
from tests.lab.proxy import FaultProxy
from tests.lab.servers import RedisServer

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.faults.drivers import Driver
    from tests.faults.invariants import Lab

pytest_plugins = ["tests.faults.invariants"]
pytestmark = pytest.mark.faults


@pytest.mark.parametrize("callers", [1, 8])
def test_c14_a_pool_of_stale_connections_after_a_restart(lab: Lab, callers: int) -> None:
    """Nothing was written on them, so nobody hears of it: one reconnect each, no error, nothing executed twice."""
    driver = lab.client()
    counter = Counter()
    for _ in range(3):
        lab.server.kill()
        lab.server.start()
        make_user(lab.server)
        lab.wait_server_end()
        counter.acknowledged = 0
        opened = driver.stats().opened
        problems: list[CarmineError] = []

        def work(counter: Counter = counter, problems: list[CarmineError] = problems) -> None:
            try:
                for _ in range(10):
                    counter.add(driver)
                lab.canaries(driver, 4)
            except CarmineError as problem:
                problems.append(problem)

        threads = [threading.Thread(target=work) for _ in range(callers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert not problems, problems
        assert counter.check(lab.server) == 10 * callers
        assert driver.stats().opened - opened <= driver.most
        lab.server.call("DEL", counter.key)
        lab.counts["restarts"] += 1


def test_c14_every_shape_survives_a_stale_connection(lab: Lab) -> None:
    """Single commands, pipelines and transactions are sent on a new connection, once."""
    driver = lab.client(retry=ONCE)  # not even a retry is needed: nothing was tried yet
    for shape in SHAPES.values():
        lab.kill("fin")
        shape(driver, "after the cut")
        lab.kill("rst")
        shape(driver, "after the reset")
        lab.counts["stale connections"] += 2


def test_c15_the_server_is_killed_in_the_middle_of_a_pipeline(lab: Lab) -> None:
    """Replies are exactly a prefix, the rest are errors; acknowledged <= counter <= acknowledged + uncertain."""
    with RedisServer(config={"appendonly": "yes", "appendfsync": "always"}) as server:
        assert server.port is not None
        with FaultProxy("127.0.0.1", server.port) as proxy:
            _kill_in_pipelines(lab, server, proxy)


def _kill_in_pipelines(lab: Lab, server: RedisServer, proxy: FaultProxy) -> None:
    chance = random.Random(15)
    size = len(b"*2\r\n$4\r\nINCR\r\n$7\r\ncounter\r\n")
    driver = lab.client(proxy.url(server.url), warm=False, retry=ONCE, username=None, password=None)
    for _ in range(scaled(100)):
        driver.call("SET", "counter", 0)
        proxy.mark()
        proxy.chunk["c2s"] = 512
        proxy.pace["c2s"] = 1e-4
        at = chance.randrange(1, 1000 * size)

        def kill(at: int = at) -> None:
            proxy.wait_passed("c2s", at)
            server.kill()

        killer = threading.Thread(target=kill)
        killer.start()
        entries: list[Any] = []
        try:
            with driver.client.pipeline() as pipe:
                entries.extend(pipe.execute("INCR", "counter") for _ in range(1000))
        except ConnectionLost as problem:
            lab.saw(problem, Outcome.UNKNOWN)
        killer.join()
        good = [entry.value for entry in entries if entry.error is None]
        assert good == list(range(1, len(good) + 1))
        assert all(isinstance(entry.error, ConnectionLost) for entry in entries[len(good) :])
        counter = Counter()
        counter.acknowledged, counter.uncertain = len(good), len(entries) - len(good)
        proxy.heal()
        server.start()
        executed = counter.check(server)
        lab.counts["kills"] += 1
        lab.counts["acknowledged"] += len(good)
        lab.counts["executed and not acknowledged"] += executed - len(good)
        lab.canaries(driver, 4)
    lab.forget(driver)


# C25: the session. ---------------------------------------------------------------------------------------------------


def _session(driver: Driver) -> dict[str, str]:
    reply = driver.call("CLIENT", "INFO")  # a verbatim string on RESP3
    return dict(field.split("=", 1) for field in getattr(reply, "data", reply).split())


def test_c25_a_reconnect_restores_the_session(lab: Lab) -> None:
    """Database, user, name and protocol are those of the options on every connection; nothing lands in database 0."""
    if not lab.server.leg.at_least_7:
        pytest.skip("CLIENT INFO shows user and resp since Redis 7")
    driver = lab.client(db=3, client_name="worker-7")
    modes: tuple[Any, ...] = ("fin", "fin", "fin", "rst")
    for number in range(scaled(1000)):
        lab.kill(modes[number % 4])
        session = _session(driver)
        assert (session["db"], session["name"], session["user"]) == ("3", "worker-7", "canaryuser")
        assert session["resp"] == str(lab.protocol)
        driver.call("SET", f"key:{number}", "v")
        lab.counts["reconnects"] += 1
    lab.server.call("SELECT", 0)
    assert lab.server.call("DBSIZE") == 0
    lab.server.call("SELECT", 3)
    assert lab.server.call("DBSIZE") == scaled(1000)
    lab.server.call("SELECT", 0)


def test_c25_a_pinned_connection_is_never_replaced_in_silence(lab: Lab) -> None:
    """State that was set by hand goes with its connection: the block hears of it, the next block begins afresh."""
    driver = lab.client()
    for state in (("SELECT", 5), ("CLIENT", "NO-EVICT", "ON"), ("WATCH", "k"), ("MULTI",)):
        if state[1:2] == ("NO-EVICT",) and not lab.server.leg.at_least_7:
            continue
        with driver.holding(1) as [pinned]:
            pinned.execute(*state)
            lab.kill()
            lab.fails(ConnectionLost, pinned.execute, "SET", "k", "v")
            lab.fails((ConnectionLost, UsageError), pinned.execute, "SET", "k", "v")
        with driver.holding(1) as [pinned]:
            assert pinned.execute("SET", "k", "v") == "OK"
        assert lab.server.call("GET", "k") == b"v"
        lab.server.call("FLUSHALL")


# C26: WATCH. ---------------------------------------------------------------------------------------------------------


def _kill_now(lab: Lab, tx: Any) -> None:
    lab.kill()


def _kill_and_read(lab: Lab, tx: Any) -> None:
    lab.kill()
    lab.fails(ConnectionLost, tx.now.get, "k")


def _kill_after_reading(lab: Lab, tx: Any) -> None:
    tx.now.get("k")
    _kill_now(lab, tx)


def _client_kill(lab: Lab, tx: Any) -> None:
    lab.server.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    lab.wait_server_end()


MOMENTS: Final[dict[str, Callable[[Lab, Any], None]]] = {
    "before EXEC": _kill_now,
    "before and after a read": _kill_and_read,
    "after a read": _kill_after_reading,
    "by the server": _client_kill,
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_c26_a_watch_that_is_lost_with_its_connection(lab: Lab, moment: str) -> None:
    """EXEC never succeeds on a fresh connection that watches nothing: another client's write is not overwritten."""
    driver = lab.client()
    for _ in range(5):
        lab.server.call("SET", "k", "old")

        def attempt() -> None:
            with driver.client.transaction("k") as tx:
                MOMENTS[moment](lab, tx)
                lab.server.call("SET", "k", "theirs")
                tx.set("k", "ours")

        lab.fails(
            (ConnectionLost, WatchError, UsageError), attempt
        )  # UsageError: the loss was told before, and ignored
        assert lab.server.call("GET", "k") == b"theirs"
        lab.counts["lost watches"] += 1


def test_c26_atomic_does_not_hide_a_lost_watch(lab: Lab) -> None:
    """`atomic` tries again after a WatchError; a lost connection is its caller's to judge, and changes nothing."""
    driver = lab.client()
    lab.server.call("SET", "k", "old")
    runs = 0

    def change(tx: Any) -> None:
        nonlocal runs
        runs += 1
        tx.now.get("k")
        lab.kill()
        lab.server.call("SET", "k", f"theirs-{runs}")
        tx.set("k", "ours")

    lab.fails(NetworkError, lambda: driver.client.atomic(change, "k", attempts=3))
    assert lab.server.call("GET", "k") == f"theirs-{runs}".encode()
    assert 1 <= runs <= 3


def test_c26_multi_half_queued_when_the_connection_goes(lab: Lab) -> None:
    """On a pinned connection, word by word: what was queued is gone, and EXEC does not run the rest."""
    driver = lab.client()
    with driver.holding(1) as [pinned]:
        pinned.execute("WATCH", "k")
        pinned.execute("MULTI")
        pinned.execute("SET", "k", "ours")
        lab.kill()
        lab.server.call("SET", "k", "theirs")
        lab.fails(ConnectionLost, pinned.execute, "SET", "k2", "ours")
        lab.fails((ConnectionLost, UsageError), pinned.execute, "EXEC")
    assert lab.server.call("GET", "k") == b"theirs"
    assert lab.server.call("EXISTS", "k2") == 0


@pytest.mark.parametrize("mode", ["fin", "rst"])
def test_c26_a_transaction_cut_at_every_byte_of_its_replies(lab: Lab, mode: Any) -> None:
    """All or nothing at the server; at the client an error that says "may have been executed", never half a result."""
    driver = lab.client(retry=ONCE)
    lab.proxy.cut_mode = mode
    replies = len(b"+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n:1\r\n:1\r\n")
    for n in range(0, replies, 1 if mode == "fin" else 5):
        lab.server.call("DEL", "a", "b")
        lab.proxy.mark()
        lab.proxy.cut_after["s2c"] = n
        commands = [("INCR", "a"), ("INCR", "b")]
        lab.fails(ConnectionLost, driver.transaction, commands, outcome=Outcome.UNKNOWN)
        lab.proxy.cut_after.clear()
        assert lab.server.call("GET", "a") == lab.server.call("GET", "b")
        lab.canaries(driver, 4)
        lab.counts["cuts"] += 1
