"""What the pool promises on its places: bounds, order, waiting, how many stay, sharing, counts, closing."""

from __future__ import annotations

import gc
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

import carmine
from carmine.errors import ConnectionLost, PoolClosed, PoolTimeout, UsageError
from tests.integration.crew import Crew
from tests.integration.pools import holding, wait_waiting
from tests.lab import leaks
from tests.lab.matrix import scaled
from tests.lab.proxy import Faults
from tests.lab.servers import wait_until

if TYPE_CHECKING:
    from tests.lab.proxy import FaultProxy
    from tests.lab.servers import RedisServer


# Bounds and order. ---------------------------------------------------------------------------------------------------


def test_nothing_is_opened_before_the_first_command(make: Any, server: RedisServer) -> None:
    client = make()
    assert client.pool.stats() == (32, 0, 0, 0, 0, 0, 0, 0)
    assert server.clients() == []
    client.ping()
    assert client.pool.stats() == (32, 1, 1, 0, 0, 1, 0, 0)


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
    with client.connection(), client.connection(), client.connection():
        assert client.pool.stats().in_use == 3
    assert client.pool.stats() == (3, client.pool.stats().open, client.pool.stats().idle, 0, 0, 3, 0, 0)


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
    assert client.pool.stats()[3:7] == (0, 0, 2, 1)
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
    assert client.pool.stats() == (32, 0, 0, 0, 0, 3, 0, 0)
    server.wait_clients(0)


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
    assert client.pool.stats() == (0, 0, 0, 0, 0, 4, 0, 0)
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
        assert client.pool.stats() == (3, 2, 0, 2, 0, 2, 0, 0)
        with client.connection():
            crew.start(client.ping)
            wait_waiting(client, 1)
            assert client.pool.stats() == (3, 3, 0, 3, 1, 3, 0, 0)
            assert repr(client.pool) == f"<Pool of {where}: 3 open, 0 idle, 1 waiting, at most 3>"
    assert client.pool.stats() == (3, 3, 3, 0, 0, 3, 0, 0)
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
