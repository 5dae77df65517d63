"""State left on a connection, and connections left behind (FAULTS.md P04, P05, P06, P08)."""

from __future__ import annotations

import gc
import threading
from typing import TYPE_CHECKING, Any, Final

import pytest

from carmine.commands.command import Command, Spec
from carmine.errors import PipelineError, PoolTimeout, ServerError, UsageError
from tests.integration.crew import Crew
from tests.lab.servers import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.faults.drivers import Driver
    from tests.faults.invariants import Lab

pytest_plugins = ["tests.faults.invariants"]
pytestmark = pytest.mark.faults

# P04. ----------------------------------------------------------------------------------------------------------------

STATEFUL: Final[list[tuple[Any, ...]]] = [
    ("MULTI",),
    ("WATCH", "k"),
    ("SELECT", 3),
    ("CLIENT", "TRACKING", "ON"),
    ("CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", "p"),
    ("CLIENT", "CACHING", "YES"),
    ("CLIENT", "SETNAME", "somebody"),
    ("CLIENT", "SETINFO", "LIB-NAME", "somebody"),
    ("CLIENT", "NO-EVICT", "ON"),
    ("CLIENT", "NO-TOUCH", "ON"),
    ("CLIENT", "CAPA", "redirect"),
    ("AUTH", "other", "pw"),
    ("HELLO",),
    ("HELLO", 2),
    ("HELLO", 3),
    ("HELLO", 3, "AUTH", "other", "pw", "SETNAME", "somebody"),
    ("RESET",),
    ("READONLY",),
    ("READWRITE",),
    ("ASKING",),
    ("EXEC",),
    ("DISCARD",),
    ("UNWATCH",),
    ("NOSUCHCOMMAND", "x"),
]
"""What a pinned connection may do to its state; some of it this server refuses, which changes nothing here."""

STREAMS: Final[list[tuple[Any, ...]]] = [
    ("SUBSCRIBE", "c"),
    ("PSUBSCRIBE", "c*"),
    ("SSUBSCRIBE", "c"),
    ("UNSUBSCRIBE",),
    ("PUNSUBSCRIBE",),
    ("SUNSUBSCRIBE",),
    ("MONITOR",),
    ("CLIENT", "REPLY", "OFF"),
    ("CLIENT", "REPLY", "SKIP"),
    ("CLIENT", "REPLY", "ON"),
    ("SYNC",),
    ("PSYNC", "?", -1),
    ("REPLCONF", "ACK", 0),
    ("SCRIPT", "DEBUG", "YES"),
    ("QUIT",),
]
"""What nobody may send: it would end the pairing of commands and replies."""


def _spellings(words: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    """Return the same command as people and programs write it."""
    texts = [str(word) for word in words]
    return [
        words,
        tuple(text.lower() for text in texts),
        tuple(text.encode() for text in texts),
        tuple(bytearray(text.lower(), "ascii") for text in texts),
        tuple(memoryview(text.title().encode()) for text in texts),
    ]


def _assert_clean(lab: Lab, driver: Driver) -> None:
    """Look at every connection of the client as the server sees it, and use each of them."""
    others = [
        connection for connection in lab.server.clients() if connection["flags"] != "N" or connection["name"] != ""
    ]
    assert others == []
    for connection in lab.server.clients():
        state = {name: connection[name] for name in ("db", "sub", "psub", "user")}
        assert state == {"db": "0", "sub": "0", "psub": "0", "user": "canaryuser"}
        assert connection["multi"] in ("-1", "0")  # no command is queued
        assert connection.get("watch", "0") == "0"
        assert connection.get("resp", str(lab.protocol)) == str(lab.protocol)
    with driver.holding(lab.pool_size) as held:
        for connection in held:
            assert connection.execute("SET", "clean", "v") == "OK"
            assert connection.execute("GET", "clean") == "v"
            assert connection.execute("ACL", "WHOAMI") == "canaryuser"
    assert lab.server.call("GET", "clean") == b"v"  # of database 0
    lab.canaries(driver, 8, "clean")


def test_p04_state_on_a_pinned_connection_ends_with_its_block(lab: Lab) -> None:
    lab.server.call("ACL", "SETUSER", "other", "on", ">pw", "~*", "&*", "+@all")
    driver = lab.client()
    for words in STATEFUL:
        with driver.client.connection() as connection:
            before = connection.client_id()
            try:
                connection.execute(*words)
            except ServerError as error:
                lab.saw(error)
        lab.server.wait_clients(driver.most - 1)  # destroyed, not cleaned
        _assert_clean(lab, driver)
        with driver.holding(lab.pool_size) as held:
            assert before not in [connection.client_id() for connection in held], words
        lab.counts["states"] += 1


def test_p04_state_left_by_an_error_or_an_interruption_ends_too(lab: Lab) -> None:
    driver = lab.client()

    def selected() -> None:
        with driver.client.connection() as connection:
            connection.execute("SELECT", 3)
            raise KeyboardInterrupt

    def queued() -> None:
        with driver.client.connection() as connection:
            connection.multi()
            connection.set("k", "queued")
            raise LookupError

    def watched() -> None:
        with driver.client.transaction("k") as tx:
            tx.now.get("k")
            raise LookupError

    for leave in (selected, queued, watched):
        with pytest.raises((KeyboardInterrupt, LookupError)):
            leave()
    lab.server.call("SET", "k", "changed")
    _assert_clean(lab, driver)
    assert driver.transaction([("ECHO", "not watched any more")]) == ["not watched any more"]


def test_p04_state_has_no_place_on_a_client(lab: Lab) -> None:
    """Refused before a byte is sent, however it is written, alone, in a pipeline or in a transaction."""
    driver = lab.client()
    client = driver.client
    sent = len(lab.proxy.commands())
    for words in STATEFUL[:-1]:
        for spelling in _spellings(words):
            lab.fails(UsageError, client.execute, *spelling)
            lab.fails(UsageError, client.pipeline().execute, *spelling)
            lab.fails(UsageError, client.transaction().execute, *spelling)
            if words[0] not in ("WATCH", "UNWATCH"):
                with client.transaction() as tx:
                    lab.fails(UsageError, tx.now.execute, *spelling)
    assert len(lab.proxy.commands()) == sent
    _assert_clean(lab, driver)


def test_p04_streams_have_no_place_anywhere(lab: Lab) -> None:
    driver = lab.client()
    client = driver.client
    with client.connection() as connection:
        sent = len(lab.proxy.commands())
        for spelling in (spelling for words in STREAMS for spelling in _spellings(words)):
            lab.fails(UsageError, connection.execute, *spelling)
            lab.fails(UsageError, client.execute, *spelling)
            lab.fails(UsageError, client.pipeline().execute, *spelling)
            lab.fails(UsageError, client.transaction().execute, *spelling)
        assert len(lab.proxy.commands()) == sent
        assert connection.execute("ECHO", "goes on") == "goes on"
    _assert_clean(lab, driver)


def test_p04_an_untouched_pinned_connection_is_kept(lab: Lab) -> None:
    driver = lab.client()
    opened = driver.stats().opened
    for _ in range(5):
        with driver.client.connection() as connection:
            connection.set("k", "v")
    assert driver.stats().opened == opened


# P05. ----------------------------------------------------------------------------------------------------------------


class Strange(Exception):
    """An exception of the user's own."""


@pytest.mark.parametrize("shape", ["pipeline", "transaction"])
def test_p05_a_parser_that_raises_in_reply_3_of_10(lab: Lab, shape: str) -> None:
    driver = lab.client()
    opened = driver.stats().opened
    batch: Any = getattr(driver.client, shape)
    for kind in (ValueError, Strange, StopIteration, GeneratorExit, RecursionError, MemoryError, KeyError):
        replies: list[Any] = []
        broken = _raising(kind)

        def run(replies: list[Any] = replies, broken: Command[Any] = broken) -> None:
            with batch() as queue:
                replies.extend(queue.add(broken) if index == 3 else queue.echo(str(index)) for index in range(10))

        error = lab.fails(PipelineError, run)
        assert (error.index, error.command) == (3, "ECHO")
        assert [reply.value for index, reply in enumerate(replies) if index != 3] == list("012456789")
        cause = replies[3].error
        assert isinstance(cause, kind) or isinstance(cause.__cause__, kind), repr(cause)
        with pytest.raises(type(cause)):
            _ = replies[3].value
        lab.canaries(driver, 4)
    assert driver.stats().opened == opened


@pytest.mark.parametrize("shape", ["pipeline", "transaction"])
def test_p05_what_is_no_error_passes_through(lab: Lab, shape: str) -> None:
    driver = lab.client()
    batch: Any = getattr(driver.client, shape)
    for kind in (KeyboardInterrupt, SystemExit):
        broken = _raising(kind)

        def run(broken: Command[Any] = broken) -> None:
            with batch() as queue:
                for index in range(10):
                    queue.add(broken if index == 3 else Command(Spec("ECHO"), (b"ECHO", str(index))))

        with pytest.raises(kind):
            run()
        assert driver.stats().in_use == 0
        lab.canaries(driver, 8)


def _raising(kind: type[BaseException]) -> Command[Any]:
    def parse(reply: Any) -> Any:
        raise kind("from the parser")

    return Command(Spec("ECHO", decode=parse), (b"ECHO", "3"))


# P06. ----------------------------------------------------------------------------------------------------------------


def test_p06_giving_back_twice(lab: Lab) -> None:
    driver = lab.client()
    pool = driver.client.pool
    first = pool.borrow()
    pool.give_back(first)
    with pytest.raises(UsageError, match=r"^this connection was given back already: it may be another caller's now$"):
        pool.give_back(first)
    assert len(pool.idle) == len(set(pool.idle)) == lab.pool_size
    second = pool.borrow()
    assert second is first  # lent anew: its new owner may give it back
    pool.give_back(second)


def test_p06_giving_back_to_another_pool(lab: Lab) -> None:
    one, other = lab.client(), lab.client()
    connection = one.client.pool.borrow()
    with pytest.raises(UsageError, match=r"^this connection was lent by another pool: give it back there$"):
        other.client.pool.give_back(connection)
    assert connection not in other.client.pool.idle
    one.client.pool.give_back(connection)


def test_p06_use_after_the_block(lab: Lab) -> None:
    driver = lab.client()
    with driver.client.connection() as pinned:
        pinned.ping()
    lab.fails(UsageError, pinned.ping)
    pinned.__exit__(None, None, None)  # a second end is no second return
    with driver.client.transaction("k") as tx:
        tx.echo("a")
    lab.fails(UsageError, tx.now.get, "k")
    tx.__exit__(None, None, None)
    assert driver.stats().in_use == 0
    assert len(driver.client.pool.idle) == len(set(driver.client.pool.idle))


def test_p06_one_connection_used_by_two_threads_at_once(lab: Lab) -> None:
    driver = lab.client()
    with driver.client.connection() as pinned, Crew() as crew:
        crew.start(pinned.blpop, "nothing", 0.3)
        wait_until(lambda: lab.server.info("clients")["blocked_clients"] == "1", "a blocked client")
        error = lab.fails(UsageError, pinned.ping, within=0.1)
        assert "is in use by another call" in str(error)
    assert crew.results == [None]


# P08. ----------------------------------------------------------------------------------------------------------------


def _thread_ends(driver: Driver) -> None:
    def borrow() -> None:
        connection = driver.client.connection()
        connection.__enter__()
        connection.set("k", "v")

    thread = threading.Thread(target=borrow)
    thread.start()
    thread.join()


def _generator_is_dropped(driver: Driver) -> None:
    def read() -> Any:
        with driver.client.connection() as connection:
            while True:
                yield connection.execute("ECHO", "x")

    assert next(read()) == "x"


def _object_is_dropped(driver: Driver) -> None:
    driver.client.pool.borrow().execute((b"SELECT", 3), True)


def _cycle_is_collected(driver: Driver) -> None:
    held: dict[str, Any] = {"connection": driver.client.connection()}
    held["itself"] = held
    held["connection"].__enter__()
    del held
    gc.collect()


def _transaction_is_dropped(driver: Driver) -> None:
    tx = driver.client.transaction("watched")
    tx.__enter__()
    tx.now.get("watched")


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # Python's own socket tells of its loss in a cycle
@pytest.mark.parametrize(
    "die", [_thread_ends, _generator_is_dropped, _object_is_dropped, _cycle_is_collected, _transaction_is_dropped]
)
def test_p08_the_borrower_dies(lab: Lab, die: Callable[[Driver], None]) -> None:
    driver = lab.client(pool_timeout=2)
    for _ in range(3 * lab.pool_size):
        die(driver)
    gc.collect()
    with driver.holding(lab.pool_size):
        assert driver.stats().open == lab.pool_size
    _assert_clean(lab, driver)


def test_p08_a_waiter_gets_the_place_of_a_dead_borrower(lab: Lab) -> None:
    driver = lab.client(pool_timeout=10)
    with Crew() as crew, driver.holding(lab.pool_size - 1):
        lost = driver.client.connection()
        lost.__enter__()
        crew.start(driver.call, "ECHO", "at last")
        wait_until(lambda: driver.stats().waiting == 1, "a waiter")
        del lost
        with lab.within(1):
            crew.join()
    assert crew.results == ["at last"]


def test_p08_a_thread_that_holds_a_connection_for_ever_costs_one_place(lab: Lab) -> None:
    driver = lab.client(pool_timeout=0.05)
    over = threading.Event()

    def hold() -> None:
        with driver.client.connection():
            held.set()
            assert over.wait(10)

    held = threading.Event()
    with Crew() as crew:
        crew.start(hold, name="holder")
        assert held.wait(10)
        with driver.holding(lab.pool_size - 1):
            for call in driver.waiting_calls():
                error = lab.fails(PoolTimeout, call, within=0.05)
                assert ("in thread 'holder'" if lab.world == "sync" else "a pinned connection in task") in str(error)
        over.set()
