"""Servers that refuse: while they load, have no memory, cannot save, hold another type (S01, S02, S03, S14)."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Any, Final

import pytest

from carmine.errors import (
    ExecAbortError,
    HandshakeFailed,
    LoadingError,
    MisconfiguredError,
    OutOfMemoryError,
    ServerError,
    WrongTypeError,
)
from carmine.retry import Retry
from tests.faults.drivers import ONCE
from tests.faults.states import aside
from tests.integration.crew import Crew
from tests.lab.scripted import HELLO_3, Scripted
from tests.lab.servers import wait_until
from tests.lab.wire import RawClient, ReplyError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.faults.invariants import Lab, MakeClient
    from tests.lab.servers import RedisServer

pytest_plugins = ["tests.faults.invariants"]
pytestmark = pytest.mark.faults

EAGER: Final = Retry(10, base=0.001)
"""Would send a command often, if the rules let it."""

PATIENT: Final = Retry(200, base=0.01, cap=0.01, jitter=0.0)
"""Waits for two seconds at most, and asks a hundred times each."""

LOADING: Final = b"-LOADING Redis is loading the dataset in memory\r\n"


# S01. ----------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _loading(server: RedisServer, seconds: float) -> Iterator[RawClient]:
    """Let the server load its data, for so long; yields the connection that waits for the end of it."""
    if server.leg.at_least_7:
        keys, size = 1000, 16
        server.call("CONFIG", "SET", "loading-process-events-interval-bytes", 1024)
    else:  # looks at its clients after each 2 MiB alone
        keys, size = 400, 1 << 16
        server.call("CONFIG", "SET", "rdbcompression", "no")
    server.call("DEBUG", "POPULATE", keys, "filler", size)
    server.call("CONFIG", "SET", "key-load-delay", int(seconds / keys * 1e6))
    with aside(server) as raw, aside(server) as probe:
        raw.send("DEBUG", "RELOAD")

        def is_loading() -> bool:
            try:
                probe.call("GET", "filler")
            except ReplyError as error:
                if not str(error).startswith("LOADING"):
                    raise
                return True
            return False

        wait_until(is_loading, "a server that loads its data")
        yield raw
        wait_until(lambda: not is_loading(), "the end of the loading")


@pytest.mark.parametrize("pool_size", [4], ids=["pool4"])
def test_s01_loading_is_raised_or_waited_for(lab: Lab) -> None:
    """Nothing was executed: the retry rules may try again, pipelines have it as an element, EXEC is refused."""
    hasty, patient = lab.client(retry=ONCE), lab.client(retry=PATIENT)
    lab.server.call("SET", "n", 41)
    transactions = lab.sent("EXEC")
    with _loading(lab.server, 0.5) as raw, Crew() as crew:
        crew.start(patient.call, "INCR", "n")
        error = lab.fails(LoadingError, hasty.call, "INCR", "n", within=0.25)
        assert (error.code, error.command) == ("LOADING", "INCR")
        replies = hasty.pipeline([("INCR", "n"), ("GET", "n")])
        assert [type(reply) for reply in replies] == [LoadingError] * 2
        refused = lab.fails(ExecAbortError, hasty.transaction, [("INCR", "n")], within=0.25)
        assert [type(cause) for _, cause in refused.causes] == [LoadingError]
        lab.fails(LoadingError, hasty.call, "PING", within=0.25)
        alone = lab.fails(LoadingError, hasty.alone, "GET", "n", within=0.25)  # the handshake works
        assert alone.command == "GET"
        crew.join()
        assert crew.results == [42]
        assert raw.read() == b"OK"
    tries = lab.sent("INCR") - 3
    assert 1 < tries <= PATIENT.attempts
    assert lab.sent("EXEC") == transactions + 1
    assert hasty.call("GET", "n") == "42"
    lab.counts["tries"] += tries


def test_s01_an_error_inside_a_reply_is_an_element(lab: Lab) -> None:
    """LOADING inside an array, or as one reply of EXEC, belongs to a command that was executed: nothing is retried."""
    driver = lab.client(retry=EAGER)
    nested = ("EVAL", "redis.call('INCR', KEYS[1]) return {1, redis.error_reply('LOADING x'), {'y'}}", 1, "n")
    first, error, last = driver.call(*nested)
    assert (first, last) == (1, ["y"])
    assert isinstance(error, LoadingError)
    whole = ("EVAL", "redis.call('INCR', KEYS[1]) return redis.error_reply('LOADING x')", 1, "n")
    for send in (driver.pipeline, driver.transaction):
        before, error, array, after = send([("ECHO", "a"), whole, nested, ("ECHO", "b")])
        assert (before, after) == ("a", "b")
        assert isinstance(error, LoadingError)
        assert [array[0], type(array[1]), array[2]] == [1, LoadingError, ["y"]]
    assert driver.call("GET", "n") == "5"
    assert lab.sent("EVAL") == 5


@pytest.mark.parametrize("times", [2, 99], ids=["for a while", "for good"])
def test_s01_loading_as_the_first_reply_of_a_handshake(protocol: Any, times: int, make_client: MakeClient) -> None:
    """No fall back to RESP2, whose AUTH might be another's; tried again within the rules, then raised."""
    series: dict[bytes, Any] = {b"HELLO": [LOADING] * times + [HELLO_3], b"SELECT": [LOADING] * times + [b"+OK\r\n"]}
    first = b"SELECT" if protocol == 2 else b"HELLO"
    table: dict[bytes, Any] = {b"PING": b"+PONG\r\n", first: series[first]}
    options: dict[str, Any] = {"protocol": protocol, "db": 1, "password": "x"}
    with (
        Scripted.replies(table, hello=series[b"HELLO"]) as server,
        make_client(server.url, retry=Retry(5, base=0.001), **options) as client,
    ):
        if times == 2:
            assert client.ping() is True
        else:
            with pytest.raises((HandshakeFailed, LoadingError)) as caught:
                client.ping()
            assert isinstance(caught.value.__cause__ or caught.value, LoadingError)
        sent = [words for _, words in server.commands if words[0] == first]
        assert len(sent) == server.accepted == min(times + 1, 5)
        assert protocol == 2 or all(b"AUTH" in words for words in sent)


def test_s01_loading_as_the_answer_to_a_subscription(protocol: Any, make_client: MakeClient) -> None:
    """The subscription is refused, and nothing is wanted that the caller does not know of."""
    hello: Any = HELLO_3 if protocol == 3 else b"-ERR unknown command 'HELLO'\r\n"
    with (
        Scripted.replies({b"SUBSCRIBE": LOADING}, hello=hello) as server,
        make_client(server.url, protocol=protocol, retry=EAGER) as client,
        client.pubsub() as pubsub,
    ):
        with pytest.raises(LoadingError) as caught:
            pubsub.subscribe("channel")
        assert caught.value.command == "SUBSCRIBE"
        assert pubsub.channels == frozenset()
        assert [words[0] for _, words in server.commands].count(b"SUBSCRIBE") <= EAGER.attempts


# S02. ----------------------------------------------------------------------------------------------------------------


def test_s02_no_memory_refuses_writes_alone(lab: Lab) -> None:
    """Classified by the first word; reads and DEL go on; nothing is sent again."""
    driver = lab.client(retry=EAGER)
    lab.server.call("SET", "k", "v")
    lab.server.call("CONFIG", "SET", "maxmemory", 1)
    error = lab.fails(OutOfMemoryError, driver.call, "SET", "k", "w", within=0.25)
    assert (error.code, error.command) == ("OOM", "SET")
    got, error, token = driver.pipeline([("GET", "k"), ("SET", "k", "w"), ("ECHO", "x")])
    assert (got, type(error), token) == ("v", OutOfMemoryError, "x")
    refused = lab.fails(ExecAbortError, driver.transaction, [("ECHO", "x"), ("SET", "k", "w")])
    *reads, (index, cause) = refused.causes
    assert (index, type(cause)) == (1, OutOfMemoryError)
    assert [type(cause) for _, cause in reads] == [OutOfMemoryError] * len(reads)  # refused up to 7.0, inside MULTI
    assert lab.sent("SET", "k") == 3
    assert driver.call("GET", "k") == "v"
    assert driver.call("DEL", "k") == 1
    lab.server.call("CONFIG", "SET", "maxmemory", 0)
    assert driver.call("SET", "k", "w") == "OK"


def test_s02_no_memory_inside_a_script(lab: Lab) -> None:
    """The text goes on after the first sentence (from 7.0); classified by the first word all the same."""
    driver = lab.client(retry=EAGER)
    lab.server.call("SET", "k", "v")
    lab.server.call("CONFIG", "SET", "maxmemory", 1)
    script = "redis.call('GET', KEYS[1]) return redis.call('SET', KEYS[1], 'w')"
    error = lab.fails(ServerError, driver.call, "EVAL", script, 1, "k")
    assert "OOM" in error.message
    if lab.server.leg.at_least_7:
        assert isinstance(error, OutOfMemoryError)
        assert error.message.partition(" ")[2] != "command not allowed when used memory > 'maxmemory'."
    assert lab.sent("EVAL") == 1
    lab.server.call("CONFIG", "SET", "maxmemory", 0)
    assert driver.call("GET", "k") == "v"
    assert driver.call("EVAL", script, 1, "k") == "OK"


# S03. ----------------------------------------------------------------------------------------------------------------


def _setting(server: RedisServer, name: str) -> str:
    reply: Any = server.call("CONFIG", "GET", name)
    return os.fsdecode(reply[1])


@pytest.mark.parametrize("pool_size", [4], ids=["pool4"])
def test_s03_a_server_that_cannot_save_refuses_writes(lab: Lab) -> None:
    """MISCONF is raised, once; reads go on, and so do writes when the server can save again."""
    driver = lab.client(retry=EAGER)
    in_the_way = os.path.join(_setting(lab.server, "dir"), _setting(lab.server, "dbfilename"))
    with contextlib.suppress(FileNotFoundError):
        os.unlink(in_the_way)
    os.makedirs(os.path.join(in_the_way, "not empty"))  # permissions would stop nobody who is root
    try:
        lab.server.call("CONFIG", "SET", "save", "3600 1")
        lab.server.call("BGSAVE")
        wait_until(lambda: lab.server.info("persistence")["rdb_last_bgsave_status"] == "err", "a save that failed")
        error = lab.fails(MisconfiguredError, driver.call, "SET", "k", "v", within=0.25)
        assert (error.code, error.command) == ("MISCONF", "SET")
        got, error = driver.pipeline([("GET", "k"), ("SET", "k", "v")])
        assert (got, type(error)) == (None, MisconfiguredError)
        refused = lab.fails(ExecAbortError, driver.transaction, [("SET", "k", "v")])
        assert [type(cause) for _, cause in refused.causes] == [MisconfiguredError]
        assert lab.sent("SET", "k") == 3
    finally:
        os.rmdir(os.path.join(in_the_way, "not empty"))
        os.rmdir(in_the_way)
        lab.server.call("BGSAVE")
        wait_until(lambda: lab.server.info("persistence")["rdb_last_bgsave_status"] == "ok", "a save")
    assert driver.call("SET", "k", "v") == "OK"


# S14, the client's part: the command is named; keys are named by the layers that own them. ---------------------------


def test_s14_wrong_types_are_errors_of_their_command_alone(lab: Lab) -> None:
    driver = lab.client(retry=EAGER)
    lab.server.call("RPUSH", "list", "x")
    error = lab.fails(WrongTypeError, driver.call, "INCR", "list", within=0.25)
    assert (error.code, error.command) == ("WRONGTYPE", "INCR")
    for send in (driver.pipeline, driver.transaction):
        before, error, after = send([("ECHO", "a"), ("HGETALL", "list"), ("LRANGE", "list", 0, -1)])
        assert (before, type(error), after) == ("a", WrongTypeError, ["x"])
        assert error.command == "HGETALL"
    blocked = lab.fails(WrongTypeError, driver.call, "BZPOPMIN", "list", 5, within=0.25)
    assert blocked.command == "BZPOPMIN"
    script = lab.fails(ServerError, driver.call, "EVAL", "return redis.call('GET', KEYS[1])", 1, "list")
    assert "WRONGTYPE" in script.message
    assert isinstance(script, WrongTypeError) or not lab.server.leg.at_least_7
    assert (lab.sent("INCR"), lab.sent("HGETALL"), lab.sent("EVAL")) == (1, 2, 1)
