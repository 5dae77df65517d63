"""Blocking commands: their own deadlines, no end where they ask for none, signals, and threads that go on."""

from __future__ import annotations

import contextlib
import math
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest

import carmine
from carmine.commands.flags import block_seconds
from carmine.commands.specs import lookup
from carmine.errors import ConnectionLost, Outcome, ReadTimeout, ServerError, UnblockedError
from carmine.retry import Retry
from tests.integration.crew import Crew
from tests.lab.clock import within
from tests.lab.servers import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.lab.proxy import FaultProxy
    from tests.lab.servers import RedisServer

CALLS: dict[str, tuple[Callable[[Any, float], Any], Any]] = {
    "BLPOP": (lambda client, timeout: client.blpop("none", timeout), None),
    "BRPOP": (lambda client, timeout: client.brpop("none", timeout), None),
    "BLMOVE": (lambda client, timeout: client.blmove("none", "other", timeout), None),
    "BRPOPLPUSH": (lambda client, timeout: client.execute("BRPOPLPUSH", "none", "other", timeout), None),
    "BZPOPMIN": (lambda client, timeout: client.bzpopmin("none", timeout), None),
    "BZPOPMAX": (lambda client, timeout: client.bzpopmax("none", timeout), None),
    "XREAD": (lambda client, timeout: client.execute(
        "XREAD", "BLOCK", int(timeout * 1000), "STREAMS", "none", "$"), None),
}  # fmt: skip


@pytest.fixture
def make(
    server: RedisServer, url: str, protocol: Any, stack: contextlib.ExitStack
) -> Callable[..., carmine.Client[str]]:
    server.call("CONFIG", "SET", "hz", 500)  # else it looks ten times a second for those whose time is over

    def client(**options: Any) -> carmine.Client[str]:
        made: carmine.Client[str] = stack.enter_context(carmine.Client(url, protocol=protocol, **options))
        made.ping()
        return made

    return client


def wait_blocked(server: RedisServer, count: int) -> None:
    wait_until(lambda: server.info("clients")["blocked_clients"] == str(count), f"{count} blocked clients")


def seconds(*words: Any) -> float | None:
    return block_seconds(lookup(words), words)


def test_where_each_command_says_how_long_it_waits() -> None:
    assert seconds("BLPOP", "a", "b", 1.5) == 1.5
    assert seconds("blpop", "a", b"2") == 2.0
    assert seconds("BLPOP", "a", 0) == math.inf
    assert seconds("BLMOVE", "a", "b", "LEFT", "RIGHT", "3") == 3.0
    assert seconds("BLMPOP", 4, 1, "a", "LEFT") == 4.0
    assert seconds("BZMPOP", 0.5, 1, "a", "MIN") == 0.5
    assert seconds("XREAD", "COUNT", 1, "BLOCK", 2500, "STREAMS", "s", "$") == 2.5
    assert seconds("XREAD", "BLOCK", 0, "STREAMS", "s", "$") == math.inf
    assert seconds("XREAD", "STREAMS", "BLOCK", "5") is None  # a stream of that name
    assert seconds("XREADGROUP", "GROUP", "g", "c", "BLOCK", 100, "STREAMS", "s", ">") == 0.1
    assert seconds("GET", "k") is None


def test_it_waits_for_longer_than_the_read_timeout(make: Any) -> None:
    """The deadline is the command's own timeout, and the read timeout on top for the way there and back."""
    client = make(read_timeout=0.4)
    with within(0.5, at_least=0.5), Crew() as crew:
        for call, _ in CALLS.values():
            crew.start(call, client, 0.5)
    assert crew.results == [nothing for _, nothing in CALLS.values()]
    assert client.pool.stats().idle == client.pool.stats().opened


def test_a_dead_server_ends_it_at_its_deadline(make: Any, server: RedisServer) -> None:
    client = make(read_timeout=0.1)
    with contextlib.ExitStack() as held:
        for _ in CALLS:
            held.enter_context(client.connection())
    assert client.pool.stats().idle == len(CALLS)
    server.pause()
    with Crew() as crew:
        with within(0.2, at_least=0.2):
            for call, _ in CALLS.values():
                crew.start(call, client, 0.1)
            crew.join()
        server.resume()
        errors = [error for error in crew.errors if isinstance(error, ReadTimeout)]
        crew.errors.clear()
    assert [error.outcome for error in errors] == [Outcome.UNKNOWN] * len(CALLS)
    assert client.pool.stats().open == 0  # closed: the server may have popped already, its reply is nobody's
    assert client.ping() is True


@pytest.mark.parametrize("where", ["client", "pipeline", "connection", "now"])
def test_its_deadline_holds_wherever_it_stands(make: Any, server: RedisServer, where: str) -> None:
    client = make(read_timeout=0.25)

    def run(timeout: float) -> Any:
        if where == "client":
            return client.blpop("none", timeout)
        if where == "pipeline":
            with client.pipeline() as pipe:
                replies = [pipe.blpop("none", timeout), pipe.blpop("none", timeout)]
            return replies[0].value or replies[1].value
        if where == "connection":
            with client.connection() as connection:
                return connection.blpop("none", timeout)
        with client.transaction() as tx:
            return tx.now.blpop("none", timeout)

    rounds = 2 if where == "pipeline" else 1
    with within(0.15 * rounds, at_least=0.15 * rounds):
        assert run(0.15) is None
    server.pause()
    with within(0.1 * rounds + 0.25, at_least=0.1 * rounds + 0.25), pytest.raises(ReadTimeout):
        run(0.1)
    server.resume()


@pytest.mark.parametrize("timeout", [0, 10])
def test_a_value_ends_it_at_once(make: Any, server: RedisServer, timeout: float) -> None:
    client = make(read_timeout=0.2)
    with Crew() as crew:
        crew.start(client.blpop, "list", timeout)
        wait_blocked(server, 1)
        began = time.monotonic()
        while time.monotonic() - began < 0.3:  # past the read timeout: 0 is for ever
            assert client.ping() is True
        wait_blocked(server, 1)
        client.rpush("list", "value")
    assert crew.results == [("list", "value")]


def test_without_a_read_timeout_it_still_ends(make: Any) -> None:
    assert make(read_timeout=None).blpop("none", 0.05) is None


@pytest.mark.parametrize("timeout", [0, 5])
def test_a_signal_ends_it(make: Any, server: RedisServer, timeout: float) -> None:
    """Python's handler runs at once, its exception comes out, and the connection is gone."""

    class Struck(BaseException):
        pass

    def strike(*_: object) -> None:
        raise Struck

    client = make()
    before = signal.signal(signal.SIGALRM, strike)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        with within(0.1), pytest.raises(Struck):
            client.blpop("none", timeout)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert client.pool.stats().open == 0
    wait_blocked(server, 0)
    client.rpush("none", "not lost")
    assert client.lpop("none") == "not lost"


def test_a_signal_whose_handler_returns_changes_nothing(make: Any) -> None:
    struck: list[float] = []
    client = make(read_timeout=0.4)
    before = signal.signal(signal.SIGALRM, lambda *_: struck.append(time.monotonic()))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
        with within(0.5, at_least=0.5):  # the time is the whole call's, not begun anew by each signal
            assert client.blpop("none", 0.5) is None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert len(struck) > 5
    assert client.pool.stats().opened == 1


def test_other_threads_go_on(make: Any, server: RedisServer) -> None:
    client = make()
    with Crew() as crew:
        for _ in range(4):
            crew.start(client.blpop, "list", 10)
        wait_blocked(server, 4)
        began = time.monotonic()
        for number in range(100):
            assert client.incr("n") == number + 1
        assert time.monotonic() - began < 2  # the blocked ones hold neither a lock nor the interpreter
        wait_blocked(server, 4)
        for number in range(4):
            client.rpush("list", number)
    assert sorted(crew.results) == [("list", str(number)) for number in range(4)]


def test_it_is_never_sent_twice(url: str, proxy: FaultProxy, protocol: Any) -> None:
    with carmine.Client(proxy.url(url), protocol=protocol, retry=Retry(5, base=0.001)) as client:
        client.ping()

        def cut() -> None:
            proxy.wait_passed("c2s")
            proxy.kill()

        proxy.mark()
        with Crew() as crew:
            crew.start(cut)
            with pytest.raises(ConnectionLost) as caught:
                client.blpop("none", 5)
        assert caught.value.outcome is Outcome.UNKNOWN
        assert sum(words[0] == b"BLPOP" for words in proxy.commands()) == 1


def test_a_call_that_was_unblocked_from_outside(make: Any, server: RedisServer) -> None:
    client = make()
    with Crew() as crew:
        crew.start(client.blpop, "none", 10)
        wait_blocked(server, 1)
        blocked = next(each["id"] for each in server.clients() if "b" in each["flags"])
        server.call("CLIENT", "UNBLOCK", blocked, "ERROR")
        crew.join()
        assert isinstance(crew.errors[0], UnblockedError)
        crew.errors.clear()
    assert client.pool.stats().in_use == 0
    assert client.ping() is True


@pytest.mark.parametrize("timeout", [-1, float("nan"), float("inf"), "5", None, True])
def test_a_timeout_that_is_none(make: Any, timeout: Any) -> None:
    client = make()
    with pytest.raises(carmine.UsageError, match=r"^timeout must be a number of seconds"):
        client.blpop("none", timeout)
    assert client.pool.stats().opened == 1


def test_a_timeout_the_server_refuses(make: Any) -> None:
    with pytest.raises(ServerError):
        make().execute("BLPOP", "none", "soon")
