"""Servers that hang up, fall silent, or come back empty (FAULTS.md S08, S09, S10, S13)."""

from __future__ import annotations

import contextlib
import itertools
import threading
from typing import TYPE_CHECKING, Any, Final

import pytest

from carmine.client.subscriptions import Message, Reconnected
from carmine.errors import ConnectionLost, NetworkError, Outcome, ReadTimeout, WatchError
from carmine.retry import Retry
from tests.faults.drivers import ONCE, Counter, make_user
from tests.faults.states import aside, called, wait_silent
from tests.integration.crew import Crew
from tests.lab.matrix import scaled
from tests.lab.servers import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.faults.drivers import Driver
    from tests.faults.invariants import Lab
    from tests.lab.servers import RedisServer

pytest_plugins = ["tests.faults.invariants"]
pytestmark = pytest.mark.faults

EAGER: Final = Retry(10, base=0.001)
"""Would send a command often, if the rules let it."""

CALLERS: Final = 4


# S08. ----------------------------------------------------------------------------------------------------------------


def test_s08_everybody_is_killed_again_and_again_under_load(lab: Lab) -> None:
    """CLIENT KILL TYPE normal: nothing runs twice, nobody gets another's reply, and the next calls work."""
    driver = lab.client(retry=EAGER)
    kills = scaled(400)
    over = threading.Event()
    counters = [Counter(f"counter:{number}") for number in range(CALLERS)]
    going = [0] * CALLERS

    def load(number: int) -> None:
        counter = counters[number]
        for times in itertools.cycle((1, 5)):
            if over.is_set():
                return
            try:
                counter.add(driver, times)
            except NetworkError as error:
                lab.saw(error)
                counter.failed(error, times)
            with contextlib.suppress(NetworkError):
                token = f"mine-{number}-{going[number]}"
                assert driver.call("ECHO", token) == token
            going[number] += 1

    with Crew() as crew:
        for number in range(CALLERS):
            crew.start(load, number)
        try:
            for _ in range(kills):
                lab.server.call("CLIENT", "KILL", "TYPE", "normal")
                _wait_for_all(going)
        finally:
            over.set()
    executed = sum(counter.check(lab.server) for counter in counters)
    lab.counts["kills"] += kills
    lab.counts["executed"] += executed
    lab.counts["uncertain"] += sum(counter.uncertain for counter in counters)


def _wait_for_all(going: list[int]) -> None:
    """Wait until everybody has made another round."""
    seen = list(going)
    wait_until(lambda: all(now > then for now, then in zip(going, seen, strict=True)), "everybody's next call")


# S09. ----------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _paused(server: RedisServer) -> Iterator[None]:
    """CLIENT PAUSE: commands are kept until it is over."""
    server.call("CLIENT", "PAUSE", 600)
    yield
    server.call("PING")  # kept as all others


@contextlib.contextmanager
def _asleep(server: RedisServer) -> Iterator[None]:
    """DEBUG SLEEP: the server itself does nothing at all."""
    with aside(server) as raw:
        raw.send("DEBUG", "SLEEP", "0.6")
        wait_silent(server)
        yield
        assert raw.read() == b"OK"


@contextlib.contextmanager
def _stopped(server: RedisServer) -> Iterator[None]:
    """SIGSTOP: the process does not run, its system takes the bytes."""
    server.pause()
    try:
        yield
    finally:
        server.resume()


@pytest.mark.parametrize("silence", [_paused, _asleep, _stopped], ids=["CLIENT PAUSE", "DEBUG SLEEP", "SIGSTOP"])
@pytest.mark.parametrize("pool_size", [4], ids=["pool4"])
def test_s09_calls_end_in_time_and_late_replies_are_eaten(lab: Lab, silence: Any) -> None:
    """Each shape of call, all at once, against a server that answers when they have given up."""
    lab.server.call("SET", "secret:alice", "alice's")
    lab.server.call("SET", "public:bob", "bob's")
    drivers = [lab.client(retry=ONCE, read_timeout=0.2) for _ in range(4)]
    calls: list[Callable[[], object]] = [
        lambda: drivers[0].call("GET", "secret:alice"),
        lambda: drivers[1].pipeline([("INCR", "n"), ("GET", "secret:alice")]),
        lambda: drivers[2].transaction([("INCR", "n"), ("GET", "secret:alice")]),
        lambda: called(drivers[3], "return redis.call('INCR', KEYS[1])", "n"),
    ]
    with silence(lab.server), Crew() as crew:
        for call in calls:
            crew.start(lambda call=call: lab.fails(ReadTimeout, call, outcome=Outcome.UNKNOWN, within=0.2))
        crew.join()
    for driver in drivers:
        assert driver.call("GET", "public:bob") == "bob's"
        assert driver.pipeline([("GET", "public:bob"), ("ECHO", "x")]) == ["bob's", "x"]
    assert int(drivers[0].call("GET", "n") or 0) <= 3  # each once, or never
    lab.counts["late"] += len(calls)


@pytest.mark.parametrize("pool_size", [4], ids=["pool4"])
def test_s09_callers_who_share_a_client_are_told_each(lab: Lab) -> None:
    """Many at once on one client (in asyncio: on one connection), and then many others: to each his own."""
    driver = lab.client(retry=ONCE, read_timeout=0.2)
    shapes: list[Callable[[str], object]] = [
        lambda token: driver.call("ECHO", token),
        lambda token: driver.pipeline([("ECHO", token)] * 3),
        lambda token: driver.transaction([("ECHO", token)]),
    ]
    with _stopped(lab.server), Crew() as crew:
        for number, shape in enumerate(shapes):
            crew.start(lambda number=number, shape=shape: lab.fails(NetworkError, shape, f"late-{number}", within=0.2))
        crew.join()
    with Crew() as crew:
        for number in range(CALLERS):
            crew.start(lab.canaries, driver, 8, f"caller-{number}")
    lab.counts["late"] += len(shapes)


@pytest.mark.parametrize("pool_size", [4], ids=["pool4"])
def test_s09_writers_wait_while_writes_are_paused(lab: Lab) -> None:
    """CLIENT PAUSE WRITE: reads go on; a write that is patient has its reply, once."""
    writer, reader = lab.client(retry=ONCE), lab.client(retry=ONCE)
    lab.server.call("CLIENT", "PAUSE", 10_000, "WRITE")
    with Crew() as crew:
        crew.start(writer.call, "INCR", "n")
        wait_until(lambda: lab.server.info("clients")["blocked_clients"] == "1", "a writer that is kept waiting")
        with lab.within(0.2):
            assert reader.call("GET", "n") is None
            lab.canaries(reader, 4, "meanwhile")
        lab.server.call("CLIENT", "UNPAUSE")
    assert crew.results == [1]
    assert reader.call("GET", "n") == "1"


# S10. ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pool_size", [4], ids=["pool4"])
def test_s10_idle_connections_that_the_server_closed_are_replaced_unseen(lab: Lab) -> None:
    """Each first call afterwards works without a retry to spend: nothing was written on what had ended."""
    lab.server.call("CONFIG", "SET", "timeout", 1)
    calls: list[Callable[[Driver], object]] = [
        lambda driver: driver.call("INCR", "n"),
        lambda driver: driver.pipeline([("INCR", "n")] * 3),
        lambda driver: driver.transaction([("INCR", "n")] * 2),
        lambda driver: driver.transaction([("INCR", "n")], watch=["n"]),
        lambda driver: driver.alone("INCR", "n"),
        lambda driver: called(driver, "return redis.call('INCR', KEYS[1])", "n"),
    ]
    drivers = [lab.client(retry=ONCE) for _ in calls]
    pinned = lab.client(retry=ONCE)
    with pinned.client.connection() as held, pinned.client.pubsub() as pubsub:
        held.execute("ECHO", "before")
        pubsub.subscribe("channel")
        lab.server.wait_clients(1, timeout=15)  # a subscription is never idle
        lab.wait_server_end(but=1)
        for driver, call in zip(drivers, calls, strict=True):
            call(driver)
        error = lab.fails(ConnectionLost, held.execute, "INCR", "n", outcome=Outcome.NOT_SENT)
        assert error.outcome is Outcome.NOT_SENT
        assert lab.server.call("PUBLISH", "channel", "still here") == 1
        message = pubsub.next_message(5)
        assert isinstance(message, Message)
        assert message.payload == "still here"
    assert lab.server.call("GET", "n") == b"9"
    lab.server.call("CONFIG", "SET", "timeout", 0)
    lab.counts["replaced"] += len(calls)


# S13, the client's part: what locks and queues make of it stays with them. ------------------------------------------


def _watch_through_a_restart(lab: Lab, driver: Driver) -> None:
    with driver.client.transaction("watched") as tx:
        tx.set("watched", "mine")
        lab.server.restart()
        make_user(lab.server)
        lab.wait_server_end()


@pytest.mark.parametrize("pool_size", [4], ids=["pool4"])
def test_s13_a_server_comes_back_empty(lab: Lab) -> None:
    """Calls go on and say what is true now: no keys, no scripts; a watch was lost, a subscription has a gap."""
    driver = lab.client(retry=EAGER)
    count = "return redis.call('INCR', KEYS[1])"
    assert called(driver, count, "n") == 1
    with driver.client.pubsub() as pubsub, driver.client.connection() as held:
        pubsub.subscribe("channel")
        held.execute("CLIENT", "SETNAME", "mine")
        lab.fails((WatchError, NetworkError), _watch_through_a_restart, lab, driver)
        assert driver.call("GET", "n") is None
        assert driver.call("EXISTS", "watched") == 0
        assert called(driver, count, "n") == 1
        lab.fails(ConnectionLost, held.execute, "CLIENT", "GETNAME")
        assert isinstance(pubsub.next_message(10), Reconnected)
        assert lab.server.call("PUBLISH", "channel", "after") == 1
        message = pubsub.next_message(5)
        assert isinstance(message, Message)
        assert message.payload == "after"
    lab.counts["restarts"] += 1
