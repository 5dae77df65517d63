"""What the pool promises on each connection: idleness, age, checks, and what on_connect sees of it."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

import pytest

import carmine
from carmine.errors import ConnectionLost, Outcome
from carmine.retry import Retry
from tests.integration.pools import holding
from tests.lab.servers import wait_until

if TYPE_CHECKING:
    from tests.lab.proxy import FaultProxy
    from tests.lab.servers import RedisServer


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
