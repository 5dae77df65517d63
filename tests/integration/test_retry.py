"""Retry by fact (D8), counted on the wire: what was not sent may go again, what may have run only where harmless.

The proxy stands between client and server and records; a cut after the request has passed is an unknown outcome.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

import carmine
from carmine.errors import (
    AuthError,
    ConnectFailed,
    ConnectionLost,
    LoadingError,
    MaxClientsError,
    NetworkError,
    Outcome,
    PoolTimeout,
    ReadTimeout,
    ServerError,
)
from carmine.retry import Retry
from tests.lab.clock import within
from tests.lab.scripted import RESET, Scripted
from tests.lab.servers import wait_until

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Callable

    from tests.lab.proxy import FaultProxy
    from tests.lab.servers import RedisServer

THREE = Retry(3, base=0.001)


@pytest.fixture
def make(url: str, proxy: FaultProxy, protocol: Any, stack: contextlib.ExitStack) -> Callable[..., carmine.Client[str]]:
    """Give a function that makes a client through the proxy, warm, closed with the test."""

    def client(**options: Any) -> carmine.Client[str]:
        options.setdefault("retry", THREE)
        made: carmine.Client[str] = stack.enter_context(carmine.Client(proxy.url(url), protocol=protocol, **options))
        made.ping()
        return made

    return client


def sent(proxy: FaultProxy, name: str) -> int:
    """Count a command on the wire."""
    return sum(words[0].upper() == name.encode() for words in proxy.commands())


def cut_replies(proxy: FaultProxy) -> None:
    """Let every request through from now on and cut every connection before its reply."""
    proxy.mark()
    proxy.cut_after["s2c"] = 0
    proxy.cut_mode = "rst"


# An unknown outcome. -------------------------------------------------------------------------------------------------


@pytest.fixture
def lost_once(proxy: FaultProxy) -> Callable[[], None]:
    """Give a function after which the connections open now lose their next reply, and later ones work."""

    def arm() -> None:
        proxy.mark()
        proxy.cut_after["s2c"] = 0

        def heal() -> None:
            proxy.wait_until(lambda: proxy.open == 0, "the cut")
            proxy.cut_after.clear()

        healer = threading.Thread(target=heal)
        healer.start()
        healers.append(healer)

    healers: list[threading.Thread] = []
    return arm


READS: list[tuple[str, Callable[[carmine.Client[str]], object]]] = [
    ("GET", lambda client: client.get("k")),
    ("MGET", lambda client: client.mget("k", "l")),
    ("EXISTS", lambda client: client.exists("k")),
    ("HGETALL", lambda client: client.hgetall("h")),
    ("LRANGE", lambda client: client.lrange("l", 0, -1)),
    ("TTL", lambda client: client.ttl("k")),
    ("DBSIZE", lambda client: client.dbsize()),
    ("GETRANGE", lambda client: client.execute("GETRANGE", "k", 0, 1)),
]
WRITES: list[tuple[str, Callable[[carmine.Client[str]], object]]] = [
    ("INCR", lambda client: client.incr("n")),
    ("APPEND", lambda client: client.append("a", "x")),
    ("LPUSH", lambda client: client.lpush("l", "x")),
    ("LPOP", lambda client: client.lpop("l")),
    ("DEL", lambda client: client.delete("k")),
    ("EVAL", lambda client: client.execute("EVAL", "return redis.call('incr', KEYS[1])", 1, "n")),
    ("GETDEL", lambda client: client.execute("GETDEL", "k")),
    ("NOSUCHCOMMAND", lambda client: client.execute("NOSUCHCOMMAND", "x")),
]
ABSOLUTE: list[tuple[str, Callable[[carmine.Client[str]], object]]] = [
    ("SET", lambda client: client.set("k", "v")),
    ("MSET", lambda client: client.execute("MSET", "k", "v", "l", "w")),
    ("SETEX", lambda client: client.execute("SETEX", "k", 100, "v")),
]
CONDITIONAL: list[tuple[str, Callable[[carmine.Client[str]], object]]] = [
    ("SET", lambda client: client.set("k", "v", nx=True)),
    ("SET", lambda client: client.set("k", "v", get=True)),
    ("SET", lambda client: client.set("k", "v", xx=True)),
]


@pytest.mark.parametrize(("name", "call"), READS, ids=[name for name, _ in READS])
def test_a_read_goes_again_after_an_unknown_outcome(make: Any, proxy: FaultProxy, name: str, call: Any) -> None:
    client = make()
    before = sent(proxy, name)
    cut_replies(proxy)
    with pytest.raises(NetworkError) as caught:
        call(client)
    # the first attempt passed and its reply was cut; the others never got as far: their handshakes were cut
    assert sent(proxy, name) - before == 1
    assert proxy.accepted == 3
    assert isinstance(caught.value, ConnectionLost)
    proxy.heal()
    call(client)


@pytest.mark.parametrize(
    ("name", "call"), [*READS, ("SET", ABSOLUTE[0][1])], ids=[*(name for name, _ in READS), "SET with opt-in"]
)
def test_what_may_go_again_reaches_the_server_twice(
    make: Any, proxy: FaultProxy, lost_once: Callable[[], None], name: str, call: Any
) -> None:
    client = make(retry=Retry(30, base=0.01, cap=0.01, jitter=0, absolute_writes=True))
    before = sent(proxy, name)
    lost_once()
    call(client)
    assert sent(proxy, name) - before == 2


@pytest.mark.parametrize(
    ("name", "call"), [*WRITES, *ABSOLUTE, *CONDITIONAL], ids=lambda value: value if isinstance(value, str) else ""
)
def test_a_write_goes_once(make: Any, proxy: FaultProxy, name: str, call: Any) -> None:
    client = make()
    before = sent(proxy, name)
    cut_replies(proxy)
    with pytest.raises(ConnectionLost) as caught:
        call(client)
    assert caught.value.outcome is Outcome.UNKNOWN
    assert str(caught.value).endswith("(may have been executed)")
    assert sent(proxy, name) - before == 1
    assert proxy.accepted == 1  # nothing else was tried


@pytest.mark.parametrize(
    ("name", "call"), [*WRITES, *CONDITIONAL], ids=lambda value: value if isinstance(value, str) else ""
)
def test_the_opt_in_is_for_absolute_writes_alone(make: Any, proxy: FaultProxy, name: str, call: Any) -> None:
    client = make(retry=Retry(3, base=0.001, absolute_writes=True))
    before = sent(proxy, name)
    cut_replies(proxy)
    with pytest.raises(ConnectionLost):
        call(client)
    assert sent(proxy, name) - before == 1
    assert proxy.accepted == 1


@pytest.mark.parametrize(("name", "call"), ABSOLUTE, ids=[name for name, _ in ABSOLUTE])
def test_the_opt_in_repeats_absolute_writes(
    make: Any, proxy: FaultProxy, lost_once: Callable[[], None], name: str, call: Any
) -> None:
    client = make(retry=Retry(30, base=0.01, cap=0.01, jitter=0, absolute_writes=True))
    before = sent(proxy, name)
    lost_once()
    call(client)
    assert sent(proxy, name) - before == 2


def test_a_timeout_is_not_extended_by_trying_again(make: Any, proxy: FaultProxy) -> None:
    client = make(read_timeout=0.1)
    proxy.hold("s2c")
    with within(0.1), pytest.raises(ReadTimeout) as caught:
        client.get("k")
    assert caught.value.outcome is Outcome.UNKNOWN
    assert sent(proxy, "GET") == 1


# Pipelines and transactions. -----------------------------------------------------------------------------------------


def _pipeline(client: carmine.Client[str], *names: str) -> list[Any]:
    with client.pipeline() as pipe:
        for name in names:
            pipe.execute(name, "k")
    return pipe.replies


@pytest.mark.parametrize(("names", "times"), [(("GET", "GET"), 2), (("GET", "INCR"), 1), (("INCR", "GET"), 1)])
def test_a_pipeline_goes_again_only_without_a_write(
    make: Any, proxy: FaultProxy, lost_once: Callable[[], None], names: tuple[str, ...], times: int
) -> None:
    client = make(retry=Retry(30, base=0.01, cap=0.01, jitter=0, absolute_writes=True))
    lost_once()
    if times == 2:
        assert _pipeline(client, *names) == [None, None]
    else:
        with pytest.raises(ConnectionLost) as caught:
            _pipeline(client, *names)
        assert caught.value.outcome is Outcome.UNKNOWN
    assert sent(proxy, "GET") == times * names.count("GET")
    assert sent(proxy, "INCR") == names.count("INCR")


def test_a_pipeline_of_absolute_writes_goes_once_even_with_the_opt_in(make: Any, proxy: FaultProxy) -> None:
    client = make(retry=Retry(3, base=0.001, absolute_writes=True))
    cut_replies(proxy)
    with pytest.raises(ConnectionLost), client.pipeline() as pipe:
        pipe.set("k", "v")
    assert sent(proxy, "SET") == 1
    assert proxy.accepted == 1


@pytest.mark.parametrize("watch", [(), ("k",)])
def test_a_transaction_goes_once(make: Any, proxy: FaultProxy, watch: tuple[str, ...]) -> None:
    """Even one that only reads: whoever watches keys decides himself what to do again."""
    client = make()

    def run() -> None:
        with client.transaction(*watch) as tx:
            tx.get("k")
            cut_replies(proxy)

    with pytest.raises(ConnectionLost) as caught:
        run()
    assert caught.value.outcome is Outcome.UNKNOWN
    assert (sent(proxy, "MULTI"), sent(proxy, "EXEC"), proxy.accepted) == (1, 1, 1)


def test_a_pinned_connection_never_goes_again(make: Any, proxy: FaultProxy) -> None:
    client = make()

    def run() -> None:
        with client.connection() as connection:
            cut_replies(proxy)
            connection.get("k")

    with pytest.raises(ConnectionLost):
        run()
    assert (sent(proxy, "GET"), proxy.accepted) == (1, 1)


# Not sent. -----------------------------------------------------------------------------------------------------------


def kill_idle(client: carmine.Client[str], proxy: FaultProxy) -> None:
    """Reset the connections, and wait until idle ones will be looked at before their next use."""
    proxy.kill("rst")
    proxy.wait_open(0)
    idle = client.pool.idle[0]
    wait_until(lambda: idle.idle_for > 0.002, "idleness")


def _calls(client: carmine.Client[str]) -> list[Callable[[], object]]:
    def transaction() -> None:
        with client.transaction() as tx:
            tx.incr("k")

    return [lambda: client.incr("k"), lambda: _pipeline(client, "INCR"), transaction]


@pytest.mark.parametrize("which", [0, 1, 2], ids=["command", "pipeline", "transaction"])
def test_a_stale_connection_is_no_attempt(make: Any, proxy: FaultProxy, which: int) -> None:
    """The idle connection had died: found before a byte was written, so that even Retry(1) and a write go on."""
    client = make(retry=Retry(1))
    for expected in range(1, 4):
        kill_idle(client, proxy)
        _calls(client)[which]()
        assert sent(proxy, "INCR") == expected
    assert client.get("k") == "3"


@pytest.mark.parametrize("which", [0, 1])
def test_a_refused_connection_is_tried_again_with_growing_waits(make: Any, proxy: FaultProxy, which: int) -> None:
    waits: list[float] = []

    class Hooks:
        def on_retry(self, name: str, attempt: int, wait: float, error: BaseException) -> None:
            waits.append(wait)
            assert isinstance(error, ConnectFailed)
            if attempt == 3:
                proxy.refuse(False)

    client = make(retry=Retry(5, base=0.004, cap=0.01, jitter=0), hooks=Hooks())
    proxy.refuse()
    kill_idle(client, proxy)
    _calls(client)[which]()
    assert waits == [0.004, 0.008, 0.01]
    assert sent(proxy, "INCR") == 1
    assert client.get("k") == "1"


def test_attempts_are_counted(make: Any, proxy: FaultProxy) -> None:
    heard: list[int] = []

    class Hooks:
        def on_retry(self, name: str, attempt: int, wait: float, error: BaseException) -> None:
            heard.append(attempt)

    client = make(retry=Retry(4, base=0.001), hooks=Hooks())
    proxy.refuse()
    kill_idle(client, proxy)
    with pytest.raises(ConnectFailed) as caught:
        client.set("k", "v")
    assert heard == [1, 2, 3]
    assert caught.value.outcome is Outcome.NOT_SENT
    proxy.refuse(False)
    assert client.set("k", "v") is True


def test_no_retry_at_all(make: Any, proxy: FaultProxy) -> None:
    client = make(retry=Retry(1))
    accepted = proxy.accepted
    cut_replies(proxy)
    with pytest.raises(ConnectionLost):
        client.get("k")
    assert (sent(proxy, "GET"), proxy.accepted) == (1, accepted)


# The server's word. --------------------------------------------------------------------------------------------------

LOADING = b"-LOADING Redis is loading the dataset in memory\r\n"


def test_loading_is_waited_for(server: RedisServer, protocol: Any) -> None:
    """The command was not executed: a write may go again, and does, at a distance, and not for ever."""
    with Scripted.replies({b"INCR": [LOADING, LOADING, b":7\r\n"]}) as scripted:
        with carmine.Client(scripted.url, retry=THREE) as client:
            assert client.incr("n") == 7
        assert [words[0] for _, words in scripted.commands].count(b"INCR") == 3
        assert scripted.accepted == 1
    with Scripted.replies({b"INCR": LOADING}) as scripted, carmine.Client(scripted.url, retry=THREE) as client:
        with pytest.raises(LoadingError) as caught:
            client.incr("n")
        assert caught.value.command == "INCR"
        assert [words[0] for _, words in scripted.commands].count(b"INCR") == 3
        assert client.pool.stats().in_use == 0


def test_loading_inside_a_batch_is_an_element(protocol: Any) -> None:
    with Scripted.replies({b"INCR": LOADING, b"GET": b"$1\r\nv\r\n"}) as scripted:
        with carmine.Client(scripted.url, retry=THREE) as client:
            with client.pipeline(raise_errors=False) as pipe:
                replies = [pipe.get("k"), pipe.incr("n"), pipe.get("k")]
            assert [replies[0].value, replies[2].value] == ["v", "v"]
            assert isinstance(replies[1].error, LoadingError)
        assert [words[0] for _, words in scripted.commands].count(b"INCR") == 1


@pytest.mark.parametrize(
    "reply",
    [
        b"-NOAUTH Authentication required.\r\n",
        b"-WRONGPASS no\r\n",
        b"-NOPERM no\r\n",
        b"-OOM command not allowed when used memory > 'maxmemory'.\r\n",
        b"-BUSY Redis is busy running a script.\r\n",
        b"-MISCONF Redis is configured to save RDB snapshots\r\n",
        b"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n",
        b"-ERR something\r\n",
        b"-UNHEARDOF something\r\n",
    ],
)
def test_other_errors_are_final(reply: bytes) -> None:
    table: dict[bytes, Any] = {b"INCR": reply, b"GET": reply}
    with Scripted.replies(table) as scripted, carmine.Client(scripted.url, retry=THREE) as client:
        with pytest.raises(ServerError):
            client.incr("n")
        with pytest.raises(ServerError):
            client.get("k")
        names = [words[0] for _, words in scripted.commands]
        assert (names.count(b"INCR"), names.count(b"GET")) == (1, 1)
        assert scripted.accepted == 1


@pytest.mark.parametrize(
    "reply",
    [
        b"-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n",
        b"-ERR Protocol error: invalid bulk length\r\n",
        b"-READONLY You can't write against a read only replica.\r\n",
        b"-MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.\r\n",
    ],
)
def test_after_some_errors_the_connection_is_not_used_again(reply: bytes) -> None:
    with Scripted.replies({b"INCR": [reply, b":1\r\n"]}) as scripted:
        with carmine.Client(scripted.url, retry=THREE) as client:
            with pytest.raises(ServerError):
                client.incr("n")
            assert client.pool.stats().open == 0
            assert client.incr("n") == 1
        assert scripted.accepted == 2


def test_a_login_that_is_refused_costs_one_connection(make_server: Callable[..., RedisServer], protocol: Any) -> None:
    server = make_server(password="right")
    before = int(server.info("stats")["total_connections_received"])
    client = carmine.Client(server.url.replace("right", "wrong"), protocol=protocol, retry=Retry(10))
    with client, within(0), pytest.raises(AuthError):
        client.get("k")
    assert int(server.info("stats")["total_connections_received"]) - before == 1


def test_a_full_server_is_asked_again_at_a_distance(server: RedisServer, protocol: Any) -> None:
    """`max number of clients` comes before any request: its own error, and no taking it for a server without HELLO."""
    full = b"-ERR max number of clients reached\r\n"
    with Scripted(lambda number, block: None, greeting=[full, None]) as scripted:
        with carmine.Client(scripted.url, retry=THREE) as client, pytest.raises(MaxClientsError):
            client.incr("n")
        assert scripted.accepted == 3


def test_an_exhausted_pool_is_not_waited_for_again(make: Any) -> None:
    client = make(pool_size=1, pool_timeout=0.05)
    began = time.monotonic()
    with client.connection(), pytest.raises(PoolTimeout):
        client.get("k")
    assert time.monotonic() - began < 0.05 + 0.25


def test_a_server_that_always_resets_is_given_up(protocol: Any) -> None:
    with Scripted(lambda number, block: RESET) as scripted:
        with carmine.Client(scripted.url, protocol=protocol, retry=THREE) as client, pytest.raises(ConnectionLost) as e:
            client.get("k")
        assert e.value.outcome is Outcome.NOT_SENT
        assert scripted.accepted == 3
