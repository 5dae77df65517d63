"""Every promise of the pool: bounds, order, waiting, idleness, age, checks, sharing, counts, closing."""

from __future__ import annotations

import contextlib
import gc
import re
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

import carmine
from carmine.client.engine import Engine
from carmine.errors import ConnectionLost, NetworkError, Outcome, PoolClosed, PoolTimeout, UsageError
from carmine.retry import Retry
from tests.integration.crew import Crew
from tests.lab import leaks
from tests.lab.matrix import scaled
from tests.lab.proxy import Faults
from tests.lab.servers import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.lab.proxy import FaultProxy
    from tests.lab.servers import RedisServer


@pytest.fixture
def make(url: str, protocol: int, stack: contextlib.ExitStack) -> Callable[..., carmine.Client[str]]:
    """Give a function that makes a client of the server, closed with the test."""

    def client(**options: Any) -> carmine.Client[str]:
        options.setdefault("protocol", protocol)
        made: carmine.Client[str] = stack.enter_context(carmine.Client(url, **options))
        return made

    return client


@contextlib.contextmanager
def holding(client: carmine.Client[str], count: int) -> Iterator[list[Any]]:
    """Hold so many connections at once."""
    with contextlib.ExitStack() as held:
        yield [held.enter_context(client.connection()) for _ in range(count)]


def wait_waiting(client: carmine.Client[str], count: int) -> None:
    wait_until(lambda: client.pool.stats().waiting == count, f"{count} waiting callers")


# Bounds and order. ---------------------------------------------------------------------------------------------------


def test_nothing_is_opened_before_the_first_command(make: Any, server: RedisServer) -> None:
    client = make()
    assert client.pool.stats() == (32, 0, 0, 0, 0, 0, 0)
    assert server.clients() == []
    client.ping()
    assert client.pool.stats() == (32, 1, 1, 0, 0, 1, 0)


def test_the_pool_is_bounded(make: Any, server: RedisServer) -> None:
    client = make(pool_size=3, pool_timeout=10)
    done = threading.Event()
    seen: list[int] = []

    def work(number: int) -> None:
        for index in range(40):
            if index % 10:
                client.set(f"k:{number}", index)
            else:
                with client.connection() as connection:
                    connection.set(f"k:{number}", index)

    def watch() -> None:
        while not done.is_set():
            seen.extend((len(server.clients()), client.pool.stats().open))

    with Crew() as crew:
        watcher = crew.start(watch)
        workers = [crew.start(work, number) for number in range(16)]
        for worker in workers:
            worker.join(20)
        done.set()
        watcher.join()
    assert max(seen) <= 3
    assert client.pool.stats().opened <= 3
    assert client.pool.stats() == (3, client.pool.stats().open, client.pool.stats().idle, 0, 0, 3, 0)


def test_the_connection_used_last_is_used_next(make: Any) -> None:
    client = make()
    with client.connection() as first:
        first_id = first.client_id()
        with client.connection() as second:
            second_id = second.client_id()
    assert first_id != second_id
    assert [client.client_id() for _ in range(5)] == [first_id] * 5  # it came back last
    with holding(client, 2) as held:
        assert [connection.client_id() for connection in held] == [first_id, second_id]


def test_who_waits_longest_is_served_first(make: Any) -> None:
    client = make(pool_size=1, pool_timeout=10)
    order: list[int] = []

    def wait(number: int) -> None:
        with client.connection():
            order.append(number)

    with Crew() as crew, client.connection():
        for number in range(8):
            crew.start(wait, number)
            wait_waiting(client, number + 1)
    assert order == list(range(8))


def test_those_who_wait_for_single_commands_are_served_in_turn_too(make: Any) -> None:
    client = make(pool_size=1, pool_timeout=10)
    with Crew() as crew, client.connection():
        for number in range(6):
            crew.start(client.rpush, "order", number)
            wait_waiting(client, number + 1)
    assert client.lrange("order", 0, -1) == ["0", "1", "2", "3", "4", "5"]


def test_a_waiter_that_gave_up_is_passed_over(make: Any) -> None:
    """The slot goes to the next in the queue, not to the one in the middle that is gone (as A06 asks of tasks)."""
    client = make(pool_size=1, pool_timeout=10)
    order: list[str] = []

    def wait(name: str) -> None:
        with client.connection():
            order.append(name)

    class Gone(BaseException):
        pass

    def interrupted() -> None:
        with client.connection():
            order.append("middle")

    with Crew() as crew:
        with client.connection():
            crew.start(wait, "first")
            wait_waiting(client, 1)
            middle = crew.start(interrupted)
            wait_waiting(client, 2)
            crew.start(wait, "last")
            wait_waiting(client, 3)
            _raise_in(middle, Gone)
            wait_waiting(client, 2)
        middle.join(10)
        assert isinstance(crew.errors[1], Gone)
        crew.errors[1] = None
    assert order == ["first", "last"]
    assert client.ping() is True


def _raise_in(thread: threading.Thread, error: type[BaseException]) -> None:
    import ctypes  # noqa: PLC0415 - for this one trick

    assert thread.ident is not None
    assert ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(error)) == 1


# Waiting. ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("patience", [0, 0.05, 0.2])
def test_waiting_ends_at_its_deadline(make: Any, patience: float) -> None:
    client = make(pool_size=2, pool_timeout=patience)
    with holding(client, 2):
        began = time.monotonic()
        with pytest.raises(PoolTimeout):
            client.ping()
        took = time.monotonic() - began
    assert patience <= took < patience + 0.25
    assert client.pool.stats()[3:] == (0, 0, 2, 1)
    assert client.ping() is True


def test_waiting_without_a_limit(make: Any) -> None:
    client = make(pool_size=1, pool_timeout=None)
    with Crew() as crew, client.connection():
        crew.start(client.ping)
        wait_waiting(client, 1)
    assert crew.results == [True]


def test_no_other_thread_stands_still_while_one_waits(make: Any) -> None:
    client = make(pool_size=2, pool_timeout=10)
    with Crew() as crew, client.connection() as one, client.connection():
        crew.start(client.ping)
        wait_waiting(client, 1)
        assert one.ping() is True
    assert crew.results == [True]


def test_the_timeout_says_who_holds_what(make: Any) -> None:
    client = make(pool_size=3, pool_timeout=0.02)

    def hold() -> None:
        with client.transaction("watched"):
            taken.set()
            assert over.wait(10)

    taken, over = threading.Event(), threading.Event()
    with Crew() as crew, client.connection():
        crew.start(hold, name="accountant")
        crew.start(client.blpop, "empty", 5, name="popper")
        assert taken.wait(10)
        wait_until(lambda: client.pool.stats().in_use == 3, "three in use")
        with pytest.raises(PoolTimeout) as caught:
            client.ping()
        over.set()
        make().rpush("empty", "x")
    message = str(caught.value)
    assert "3 of 3 are in use, 0 callers wait" in message
    assert "held by: a pinned connection in thread 'MainThread', a transaction in thread 'accountant';" in message
    with holding(client, 3), pytest.raises(PoolTimeout) as caught:
        client.ping()
    assert "accountant" not in str(caught.value)  # notes end with what they are about


# How many stay. ------------------------------------------------------------------------------------------------------


def test_min_idle_is_opened_with_the_first_connection_and_kept(make: Any, server: RedisServer) -> None:
    client = make(min_idle=3, max_idle_time=0.02)
    client.ping()
    assert client.pool.stats().idle >= 3
    assert len(server.clients()) == client.pool.stats().open
    server.call("CLIENT", "KILL", "TYPE", "normal")  # the laboratory's own is spared: it asks (SKIPME)
    client.ping()
    wait_until(lambda: client.ping() and client.pool.stats().idle >= 3, "three idle again")


def test_min_idle_does_not_make_a_poor_server_an_error(make: Any, server: RedisServer) -> None:
    server.call("CONFIG", "SET", "maxclients", "3")  # the laboratory's and two of ours
    client = make(min_idle=4)
    assert client.ping() is True
    assert client.pool.stats().open <= 2


def test_max_idle_holds_whatever_came_back_on_which_path(url: str, proxy: FaultProxy, protocol: Any) -> None:
    """Two calls go out on the fast path; while they are under way, two others come back first."""
    slow = Faults()
    proxy.plan = lambda number: slow if number <= 2 else None
    with carmine.Client(proxy.url(url), protocol=protocol, max_idle=2) as client:
        with holding(client, 6):
            pass
        assert client.pool.stats().idle == 2  # of six
        client.pool.close()
    with carmine.Client(proxy.url(url), protocol=protocol, max_idle=2) as client, Crew() as crew:
        proxy.plan = lambda number: slow
        with holding(client, 2):
            pass
        proxy.plan = None
        slow.delay["s2c"] = 0.2
        for number in range(2):
            crew.start(client.get, f"k:{number}")
        wait_until(lambda: client.pool.stats().in_use == 2, "two calls")
        with holding(client, 2):
            pass
        assert client.pool.stats().idle == 2
        crew.join()
        assert client.pool.stats().idle <= 2
        proxy.wait_open(client.pool.stats().idle)


def test_max_idle_of_nothing_keeps_nothing(make: Any, server: RedisServer) -> None:
    client = make(max_idle=0)
    for _ in range(3):
        client.ping()
    assert client.pool.stats() == (32, 0, 0, 0, 0, 3, 0)
    server.wait_clients(0)


# Age. ----------------------------------------------------------------------------------------------------------------


def test_idle_connections_are_reaped_when_others_are_used(make: Any, server: RedisServer) -> None:
    client = make(max_idle_time=0.2)
    with holding(client, 5):
        pass
    assert client.pool.stats().idle == 5
    wait_until(lambda: client.ping() and client.pool.stats().idle == 1, "one idle connection")
    server.wait_clients(1)


def test_one_that_was_idle_for_too_long_is_never_used(make: Any) -> None:
    client = make(max_idle_time=0.02, retry=Retry(1))
    old = client.client_id()
    connection = client.pool.idle[0]
    wait_until(lambda: connection.idle_for > 0.02, "an old connection")
    assert client.incr("n") == 1  # a write, and no attempt is left: it must not have touched the old one
    assert client.client_id() != old


def test_no_limit_on_idleness(make: Any) -> None:
    client = make(max_idle_time=None)
    with holding(client, 3):
        pass
    client.pool._tidy_at = 0.0  # as if it were time to look
    client.ping()
    assert client.pool.stats().idle == 3


def test_lifetimes_are_jittered_and_bounded(make: Any) -> None:
    client = make(max_lifetime=100)
    pool = client.pool
    with holding(client, 8):
        pass
    connections = [pool.borrow() for _ in range(8)]
    lives = [connection.expires - connection.opened for connection in connections]
    for connection in connections:
        pool.give_back(connection)
    assert all(90 <= life <= 100 for life in lives)
    assert len({round(life, 6) for life in lives}) > 4


def test_an_old_connection_is_replaced(make: Any, server: RedisServer) -> None:
    client = make(max_lifetime=0.05, retry=Retry(1))
    old = client.client_id()
    connection = client.pool.idle[0]
    wait_until(lambda: time.monotonic() > connection.expires, "the end of a life")
    assert client.client_id() != old
    server.wait_clients(1)
    assert client.pool.stats().open == 1


@pytest.mark.parametrize("check", [("idle",), ()])
def test_a_held_connection_is_not_taken_away_for_its_age(make: Any, check: Any) -> None:
    client = make(max_lifetime=0.02, max_idle_time=0.02, check=check)
    with client.connection() as connection:
        first = connection.client_id()
        held = connection._held()
        wait_until(lambda: held.idle_for > 0.02, "the end of a life")
        assert connection.client_id() == first
    assert client.client_id() != first
    with client.transaction("k") as tx:
        held = tx._connection
        wait_until(lambda: held.idle_for > 0.02, "the end of a life")
        tx.set("k", "v")
    assert client.get("k") == "v"
    client = make(max_idle_time=0.05, check=check, retry=Retry(1))
    with client.connection() as connection:
        first = connection.client_id()
    held = client.pool.idle[0]
    wait_until(lambda: held.idle_for > 0.05, "too long an idleness")
    assert client.client_id() != first  # given back, it may grow too old again


# Checks. -------------------------------------------------------------------------------------------------------------


def _kill_idle(client: carmine.Client[str], server: RedisServer) -> None:
    number = client.client_id()
    server.call("CLIENT", "KILL", "ID", number)
    server.wait_clients(0)
    connection = client.pool.idle[0]
    wait_until(lambda: connection.idle_for > 0.002, "an idle connection")


def test_a_dead_idle_connection_is_found_before_its_use(make: Any, server: RedisServer) -> None:
    client = make(retry=Retry(1))
    _kill_idle(client, server)
    assert client.incr("n") == 1  # a write without a second attempt
    _kill_idle(client, server)
    with client.pipeline() as pipe:
        reply = pipe.incr("n")
    assert reply.value == 2
    _kill_idle(client, server)
    with client.transaction() as tx:
        reply = tx.incr("n")
    assert reply.value == 3
    _kill_idle(client, server)
    with client.transaction("n") as tx:
        reply = tx.incr("n")
    assert reply.value == 4
    _kill_idle(client, server)
    with client.connection() as connection:
        assert connection.incr("n") == 5


def test_all_dead_connections_are_found_at_once(make: Any, server: RedisServer) -> None:
    client = make(retry=Retry(1))
    with holding(client, 4):
        pass
    server.call("CLIENT", "KILL", "TYPE", "normal")
    server.wait_clients(0)
    youngest = client.pool.idle[-1]
    wait_until(lambda: youngest.idle_for > 0.002, "idle connections")
    for expected in range(1, 5):
        assert client.incr("n") == expected
    assert client.pool.stats().open == 1


def test_without_checks_a_dead_connection_is_met_in_use(make: Any, server: RedisServer) -> None:
    client = make(check=(), retry=Retry(1))
    _kill_idle(client, server)
    with pytest.raises(ConnectionLost) as caught:
        client.incr("n")
    assert caught.value.outcome is Outcome.UNKNOWN
    assert client.incr("n") == 1


@pytest.mark.parametrize(
    ("check", "pings"), [(("idle",), 0), (("borrow",), 5), (("return",), 5), (("borrow", "return"), 10)]
)
def test_checks_ask_the_server_when_they_should(
    url: str, proxy: FaultProxy, protocol: Any, check: Any, pings: int
) -> None:
    with carmine.Client(proxy.url(url), protocol=protocol, check=check) as client:
        with client.connection():
            pass
        before = proxy.commands().count([b"PING"])
        for number in range(5):
            client.set("k", number)
        assert proxy.commands().count([b"PING"]) - before == pings


@pytest.mark.parametrize("check", [("borrow",), ("borrow", "return")])
def test_a_connection_that_fails_its_check_is_replaced(make: Any, server: RedisServer, check: Any) -> None:
    client = make(check=check, retry=Retry(1))
    for expected in range(1, 4):
        _kill_idle(client, server)
        assert client.incr("n") == expected
    assert client.pool.stats().open == 1


# Sharing. ------------------------------------------------------------------------------------------------------------


def test_clients_share_a_pool(make: Any, server: RedisServer) -> None:
    client = make(pool_size=2, pool_timeout=0.05)
    other = carmine.Client(pool=client.pool, decode=False)
    client.set("k", "v")
    assert (client.get("k"), other.get("k"), client.binary.get("k")) == ("v", b"v", b"v")
    assert client.pool is other.pool is client.binary.pool
    assert len(server.clients()) == 1
    with holding(client, 2), pytest.raises(PoolTimeout):
        other.ping()
    other.close()
    assert client.ping() is True
    again = carmine.Client(pool=client.pool)
    client.close()
    with pytest.raises(PoolClosed):
        again.ping()
    server.wait_clients(0)


def test_a_shared_pool_comes_without_options(make: Any) -> None:
    pool: carmine.Pool = make().pool
    with pytest.raises(UsageError, match=r"^a client that shares a pool takes its URL and options from there"):
        carmine.Client("redis://h", pool=pool)
    with pytest.raises(UsageError, match=r"^a client that shares a pool takes its URL and options from there"):
        carmine.Client(pool=pool, db=3)


# No pooling. ---------------------------------------------------------------------------------------------------------


def test_without_pooling_each_use_has_its_own_connection(make: Any, server: RedisServer) -> None:
    client = make(pool_size=0)
    numbers = {client.client_id() for _ in range(4)}
    assert len(numbers) == 4
    assert client.pool.stats() == (0, 0, 0, 0, 0, 4, 0)
    with holding(client, 40) as held:  # nor a bound
        assert len({connection.client_id() for connection in held}) == 40
        assert client.pool.stats()[1:4] == (40, 0, 40)
    with client.pipeline() as pipe:
        pipe.ping()
    with client.transaction("k") as tx:
        tx.set("k", 1)
    server.wait_clients(0)
    assert client.pool.stats()[1:5] == (0, 0, 0, 0)


# Statistics and repr. ------------------------------------------------------------------------------------------------


def test_counts_and_repr_are_honest(make: Any, server: RedisServer) -> None:
    client = make(pool_size=3, pool_timeout=5)
    where = client.options.address
    assert repr(client.pool) == f"<Pool of {where}: 0 open, 0 idle, 0 waiting, at most 3>"
    with Crew() as crew, holding(client, 2):
        assert client.pool.stats() == (3, 2, 0, 2, 0, 2, 0)
        with client.connection():
            crew.start(client.ping)
            wait_waiting(client, 1)
            assert client.pool.stats() == (3, 3, 0, 3, 1, 3, 0)
            assert repr(client.pool) == f"<Pool of {where}: 3 open, 0 idle, 1 waiting, at most 3>"
    assert client.pool.stats() == (3, 3, 3, 0, 0, 3, 0)
    assert repr(client) == f"<Client of {where}, str, <Pool of {where}: 3 open, 3 idle, 0 waiting, at most 3>>"
    server.call("CLIENT", "KILL", "TYPE", "normal")
    server.wait_clients(0)
    wait_until(lambda: client.pool.idle[-1].idle_for > 0.002, "idle connections")
    client.ping()
    stats = client.pool.stats()
    assert (stats.open, stats.idle, stats.in_use, stats.opened) == (1, 1, 0, 4)
    client.close()
    assert client.pool.stats()[1:5] == (0, 0, 0, 0)
    assert repr(client.pool) == f"<Pool of {where}: closed, at most 3>"


# Closing. ------------------------------------------------------------------------------------------------------------


def test_closing_leaves_nothing_behind(url: str, server: RedisServer) -> None:
    before = leaks.snapshot(server)
    client = carmine.Client(url, min_idle=2)
    with holding(client, 5):
        pass
    with client.pipeline() as pipe:
        pipe.ping()
    client.close()
    leaks.assert_no_leaks(before, server)
    assert client.pool.stats()[1:5] == (0, 0, 0, 0)


def test_a_dropped_client_leaves_nothing_behind(url: str, server: RedisServer) -> None:
    before = leaks.snapshot(server)
    client = carmine.Client(url)
    with holding(client, 5):
        pass
    del client
    gc.collect()
    leaks.assert_no_leaks(before, server)


def test_closing_while_connections_are_held(make: Any, server: RedisServer) -> None:
    client = make()
    with client.connection() as connection, client.transaction("k") as tx:
        client.close()
        with pytest.raises((ConnectionLost, UsageError)):
            connection.ping()
        tx.discard()
    server.wait_clients(0)
    assert client.pool.stats()[1:5] == (0, 0, 0, 0)


@pytest.mark.parametrize("calls", ["blocking", "waiting", "busy"])
def test_closing_ends_what_is_under_way(make: Any, server: RedisServer, calls: str) -> None:
    client = make(pool_size=4, pool_timeout=30)
    before = leaks.snapshot()
    with Crew(within=5) as crew:
        if calls == "busy":

            def work() -> None:
                while True:
                    client.incr("n")

            for _ in range(8):
                crew.start(work)
            wait_until(lambda: server.call("EXISTS", "n") == 1, "some work")
        else:
            for _ in range(4 if calls == "blocking" else 8):
                crew.start(client.blpop, "empty", 0)
            wait_until(lambda: server.info("clients")["blocked_clients"] == "4", "four calls")
            if calls == "waiting":
                wait_waiting(client, 4)
        client.close()
        crew.join()
        assert all(isinstance(error, (ConnectionLost, PoolClosed)) for error in crew.errors), crew.errors
        if calls == "blocking":
            assert {type(error) for error in crew.errors} == {ConnectionLost}
        crew.errors.clear()
    server.wait_clients(0)
    assert client.pool.stats()[1:5] == (0, 0, 0, 0)
    leaks.assert_no_leaks(before)


def test_closing_finds_every_connection_however_many_were_opened_at_once(make: Any, server: RedisServer) -> None:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(scaled(200)):
            client = make(pool_size=24, pool_timeout=30)
            with Crew(within=10) as crew:
                for _ in range(24):
                    crew.start(client.blpop, "empty", 0)
                wait_until(lambda: server.info("clients")["blocked_clients"] == "24", "24 calls")
                client.close()
                crew.join()
                crew.errors.clear()
            server.wait_clients(0)
    finally:
        sys.setswitchinterval(interval)


# Hooks (D18). --------------------------------------------------------------------------------------------------------


class Recorder:
    """Notes every hook's call as (name, facts)."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, tuple[Any, ...]]] = []

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("on_"):
            raise AttributeError(name)
        return lambda *facts: self.heard.append((name, facts))

    def names(self) -> list[str]:
        return [name for name, _ in self.heard]

    def facts(self, name: str) -> list[tuple[Any, ...]]:
        return [facts for heard, facts in self.heard if heard == name]


def test_hooks_hear_of_connections_and_commands(make: Any) -> None:
    hooks = Recorder()
    client = make(hooks=hooks)
    where = str(client.options.address)
    client.set("k", "v")
    assert hooks.names() == ["on_command_start", "on_connect", "on_command_end"]
    ((address, seconds),) = hooks.facts("on_connect")
    assert (address, seconds > 0) == (where, True)
    assert hooks.facts("on_command_start") == [("SET", where)]
    name, address, seconds, error = hooks.facts("on_command_end")[0]
    assert (name, address, error, 0 < seconds < 5) == ("SET", where, None, True)
    hooks.heard.clear()
    with pytest.raises(carmine.WrongTypeError) as caught:
        client.lpush("k", "x")
    assert hooks.facts("on_command_end")[0][3] is caught.value
    hooks.heard.clear()
    client.close()
    assert hooks.heard == [("on_close", (where,))]


def test_hooks_hear_of_batches_and_pinned_connections(make: Any) -> None:
    hooks = Recorder()
    client = make(hooks=hooks)
    client.ping()

    def heard() -> list[str]:
        ended = [(name, error) for name, _, _, error in hooks.facts("on_command_end")]
        assert [name for name, _ in hooks.facts("on_command_start")] == [name for name, _ in ended]
        assert all(error is None for _, error in ended)
        hooks.heard.clear()
        return [name for name, _ in ended]

    heard()
    with client.pipeline() as pipe:
        pipe.set("k", 1)
        pipe.get("k")
    assert heard() == ["PIPELINE"]
    with client.transaction("k") as tx:
        tx.now.get("k")
        tx.set("k", 2)
    assert heard() == ["WATCH", "GET", "TRANSACTION"]
    with client.connection() as connection:
        connection.get("k")
    assert heard() == ["GET"]
    assert client.blpop("empty", 0.001) is None
    assert heard() == ["BLPOP"]
    assert client.execute("get", "k") == "2"
    assert heard() == ["GET"]


def test_hooks_hear_of_failures_in_batches_and_on_pinned_connections(make: Any, server: RedisServer) -> None:
    hooks = Recorder()
    client = make(hooks=hooks, retry=Retry(1), check=(), read_timeout=0.1)

    def ended(call: Callable[[], object]) -> None:
        hooks.heard.clear()
        with pytest.raises(NetworkError) as caught:
            call()
        assert [facts[3] for facts in hooks.facts("on_command_end")] == [caught.value]
        assert hooks.facts("on_error") == [(str(client.options.address), caught.value)]
        assert len(hooks.facts("on_close")) == 1
        assert len(hooks.facts("on_command_start")) == 1

    def pipeline() -> None:
        with client.pipeline() as pipe:
            pipe.incr("k")

    def transaction() -> None:
        with client.transaction() as tx:
            tx.incr("k")

    def pinned() -> None:
        with client.connection() as connection:
            connection.incr("k")

    for call in (lambda: client.incr("k"), pipeline, transaction, pinned):
        client.ping()
        server.pause()
        ended(call)
        server.resume()
    assert client.ping() is True


def test_hooks_hear_of_waiting(make: Any) -> None:
    hooks = Recorder()
    client = make(hooks=hooks, pool_size=1, pool_timeout=0.05)
    with client.connection(), pytest.raises(PoolTimeout):
        client.ping()
    ((seconds, timed_out),) = hooks.facts("on_pool_wait")
    assert (timed_out, 0.05 <= seconds < 0.3) == (True, True)
    hooks.heard.clear()
    patient = make(hooks=hooks, pool_size=1, pool_timeout=10)
    with Crew() as crew, patient.connection():
        crew.start(patient.ping)
        wait_waiting(patient, 1)
    assert [timed_out for _, timed_out in hooks.facts("on_pool_wait")] == [False]


def test_hooks_hear_of_retries_and_errors(url: str, proxy: FaultProxy, protocol: Any) -> None:
    hooks = Recorder()
    retry = Retry(3, base=0.001)
    with carmine.Client(proxy.url(url), protocol=protocol, hooks=hooks, retry=retry) as client:
        client.ping()
        where = str(client.options.address)
        hooks.heard.clear()
        proxy.mark()
        proxy.cut_after["s2c"] = 0
        with pytest.raises(NetworkError) as caught:
            client.get("k")
        assert hooks.names()[0] == "on_command_start"
        assert hooks.names()[-1] == "on_command_end"
        assert [(name, attempt) for name, attempt, _, _ in hooks.facts("on_retry")] == [("GET", 1), ("GET", 2)]
        assert all(0 <= wait <= 0.002 and isinstance(e, NetworkError) for _, _, wait, e in hooks.facts("on_retry"))
        assert [address for address, _ in hooks.facts("on_error")] == [where] * 3
        assert hooks.facts("on_error")[-1][1] is caught.value
        assert hooks.facts("on_close") == [(where,)]  # the others never came to be open
        proxy.heal()
        hooks.heard.clear()
        assert client.get("k") is None
        assert hooks.names() == ["on_command_start", "on_connect", "on_command_end"]


def test_every_connection_that_hooks_heard_opened_they_hear_closed(make: Any, server: RedisServer) -> None:
    hooks = Recorder()
    client = make(hooks=hooks, max_idle=1, max_lifetime=0.05)
    with holding(client, 4):
        pass
    held = client.connection()
    held.__enter__()
    del held  # dropped, not given back
    server.call("CLIENT", "KILL", "TYPE", "normal")
    server.wait_clients(0)
    client.ping()
    client.close()
    assert len(hooks.facts("on_connect")) == len(hooks.facts("on_close")) == client.pool.stats().opened


def test_a_hook_that_raises_changes_nothing(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[BaseException] = []
    monkeypatch.setattr(sys, "excepthook", lambda kind, error, trace: seen.append(error))

    class Broken:
        def __getattr__(self, name: str) -> Any:
            if not name.startswith("on_"):
                raise AttributeError(name)

            def hook(*facts: object) -> None:
                raise RuntimeError(name)

            return hook

    client = make(hooks=Broken())
    assert client.set("k", "v") is True
    with client.pipeline() as pipe:
        reply = pipe.get("k")
    assert reply.value == "v"
    client.close()
    assert {str(error) for error in seen} == {"on_command_start", "on_connect", "on_command_end", "on_close"}


def test_hooks_need_not_hear_everything(make: Any) -> None:
    class Half:
        def __init__(self) -> None:
            self.names: list[str] = []

        def on_command_start(self, name: str, address: str) -> None:
            self.names.append(name)

    half = Half()
    client = make(hooks=half)
    client.ping()
    assert half.names == ["PING"]


def test_without_hooks_nothing_stands_on_the_path(make: Any) -> None:
    plain, hooked = make(), make(hooks=Recorder())
    assert "_execute" not in vars(plain)
    assert type(plain)._execute is Engine._execute
    assert hooked._execute.__func__ is Engine._execute_slowly
    plain.ping()
    frames: list[str] = []
    sys.setprofile(lambda frame, kind, _: frames.append(frame.f_code.co_name) if kind == "call" else None)
    try:
        plain.get("k")
    finally:
        sys.setprofile(None)
    assert not {"tell", "borrow", "give_back", "_execute_slowly", "on_command_start"} & set(frames), frames


# on_connect. ---------------------------------------------------------------------------------------------------------


def test_on_connect_sees_each_new_connection_after_its_handshake(make: Any) -> None:
    seen: list[Any] = []

    def on_connect(connection: Any) -> None:
        seen.append(connection.execute((b"CLIENT", b"GETNAME"), True))

    client = make(on_connect=on_connect, client_name="me")
    with holding(client, 3):
        pass
    assert seen == ["me"] * 3


def test_an_on_connect_that_raises_costs_no_place(make: Any, server: RedisServer) -> None:
    def on_connect(connection: Any) -> None:
        raise LookupError("not today")

    client = make(on_connect=on_connect, pool_size=1, pool_timeout=0.1)
    for _ in range(3):
        with pytest.raises(LookupError, match="not today"):
            client.ping()
    assert client.pool.stats()[1:4] == (0, 0, 0)
    server.wait_clients(0)


def test_the_pool_repr_holds_no_secret(url: str) -> None:
    with carmine.Client(url.replace("redis://", "redis://:CANARY-9f3@")) as client:
        assert re.search("CANARY", repr(client.pool) + repr(client) + repr(client.options)) is None
