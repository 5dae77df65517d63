"""Servers that are busy with a script, or do not know one (FAULTS.md S06, S07)."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Final

import pytest

from carmine.errors import (
    BusyError,
    ExecAbortError,
    NetworkError,
    NoScriptError,
    Outcome,
    ReadTimeout,
    ServerError,
    UnkillableError,
)
from carmine.retry import Retry
from tests.faults.drivers import make_user
from tests.faults.states import aside, called, errors_told, loop_for, running, wait_silent
from tests.integration.crew import Crew
from tests.lab.matrix import scaled

if TYPE_CHECKING:
    from tests.faults.drivers import Driver
    from tests.faults.invariants import Lab

pytest_plugins = ["tests.faults.invariants"]
pytestmark = pytest.mark.faults

EAGER: Final = Retry(10, base=0.001)
"""Would send a command often, if the rules let it."""

FOREVER: Final = "while true do end"
COUNT: Final = "return redis.call('INCR', KEYS[1])"
CALLERS: Final = 6


def _threshold(lab: Lab, milliseconds: int) -> None:
    """Set after how long a script makes the server say BUSY."""
    name = "busy-reply-threshold" if lab.server.leg.at_least_7 else "lua-time-limit"
    lab.server.call("CONFIG", "SET", name, milliseconds)


# S06. ----------------------------------------------------------------------------------------------------------------


def test_s06_busy_is_raised_at_once_and_nothing_is_sent_again(lab: Lab) -> None:
    """Many callers, each with retries to spend: one command each on the wire, and the errors come at once."""
    _threshold(lab, 10)
    driver = lab.client(retry=EAGER)
    with running(lab.server, FOREVER), Crew() as crew:

        def ask(number: int) -> None:
            error = lab.fails(BusyError, driver.call, "GET", f"k{number}", within=0.5)
            assert error.command == "GET"
            assert error.message.startswith("BUSY ")

        for number in range(CALLERS):
            crew.start(ask, number)
    assert lab.sent("GET") == CALLERS
    assert errors_told(lab.server, "BUSY") >= CALLERS
    lab.counts["busy"] += CALLERS


def test_s06_busy_in_a_pipeline_and_in_a_transaction(lab: Lab) -> None:
    """Values in the pipeline; a transaction was refused whole; a script and pub/sub are refused as well."""
    _threshold(lab, 10)
    driver = lab.client(retry=EAGER)
    lab.server.call("SET", "k", "before")
    transactions = lab.sent("EXEC")
    with running(lab.server, FOREVER):
        replies = driver.pipeline([("GET", "k"), ("SET", "k", "1"), ("INCR", "n")])
        assert [type(reply) for reply in replies] == [BusyError] * 3
        assert [reply.command for reply in replies] == ["GET", "SET", "INCR"]
        refused = lab.fails((ExecAbortError, BusyError), driver.transaction, [("SET", "k", "2")], within=0.5)
        if isinstance(refused, ExecAbortError):
            assert [(index, type(cause)) for index, cause in refused.causes] == [(0, BusyError)]
        lab.fails(BusyError, called, driver, COUNT, "n", within=0.5)
        lab.fails(BusyError, driver.alone, "GET", "k", within=0.5)
    assert driver.call("GET", "k") == "before"
    assert driver.call("GET", "n") is None
    assert lab.sent("INCR") == 1
    assert (lab.sent("EXEC"), lab.sent("EVALSHA"), lab.sent("EVAL")) == (transactions + 1, 1, 0)


@pytest.mark.parametrize("pool_size", [4], ids=["pool4"])
def test_s06_the_deadline_holds_while_a_script_keeps_the_server(lab: Lab) -> None:
    """Before it says BUSY the server says nothing at all; what it answers in the end belongs to nobody."""
    _threshold(lab, 5000)
    driver, another = (lab.client(retry=EAGER, read_timeout=0.15) for _ in range(2))
    loop = loop_for(lab.server, 0.6)
    with aside(lab.server) as raw:
        raw.send("EVAL", loop, 0)
        wait_silent(lab.server)
        lab.fails(ReadTimeout, driver.call, "INCR", "n", outcome=Outcome.UNKNOWN, within=0.15)
        batch = [("INCR", "n"), ("ECHO", "late")]
        lab.fails(ReadTimeout, another.pipeline, batch, outcome=Outcome.UNKNOWN, within=0.15)
        assert raw.read() == b"through"
    assert lab.sent("INCR") == 2
    lab.canaries(driver, 8, "meanwhile")
    assert int(driver.call("GET", "n")) <= 2


@pytest.mark.parametrize("pool_size", [4], ids=["pool4"])
def test_s06_a_script_of_ours_is_killed(lab: Lab) -> None:
    """Its caller is told so, and those whose commands came behind it get their own replies."""
    _threshold(lab, 10)
    driver = lab.client(retry=EAGER)
    with Crew() as crew, aside(lab.server) as killer:

        def run() -> None:
            error = lab.fails(ServerError, called, driver, FOREVER, within=5)
            assert "killed by user" in error.message.lower()
            assert error.command == "EVAL"

        crew.start(run)
        lab.proxy.wait_until(lambda: lab.sent("EVAL") == 1, "the script")
        crew.start(driver.pipeline, [("ECHO", "behind"), ("ECHO", "it")])
        lab.proxy.wait_until(lambda: lab.sent("ECHO", "it") == 1, "the pipeline behind the script")
        assert killer.call("SCRIPT", "KILL") == b"OK"
    for reply, token in zip(crew.results[1], ("behind", "it"), strict=True):
        assert reply == token or isinstance(reply, BusyError)
    assert lab.sent("EVAL") == 1


@pytest.mark.parametrize("pool_size", [4], ids=["pool4"])
def test_s06_a_script_that_has_written_cannot_be_killed(lab: Lab) -> None:
    """UNKILLABLE is an error of its own; when the script is through, everything goes on."""
    _threshold(lab, 10)
    driver = lab.client(retry=EAGER)
    with running(lab.server, "redis.call('SET', 'w', '1') " + loop_for(lab.server, 0.4)) as runner:
        error = lab.fails(UnkillableError, driver.call, "SCRIPT", "KILL", within=0.5)
        assert error.message.startswith("UNKILLABLE ")
        assert error.command == "SCRIPT KILL"
        lab.fails(BusyError, driver.call, "GET", "w", within=0.5)
        assert runner.read() == b"through"
    assert driver.call("GET", "w") == "1"
    assert lab.sent("SCRIPT", "KILL") == 1


# S07. ----------------------------------------------------------------------------------------------------------------


def _flush(lab: Lab) -> None:
    lab.server.call("SCRIPT", "FLUSH")


def _restart(lab: Lab) -> None:
    lab.server.restart()
    make_user(lab.server)
    lab.wait_server_end()


@pytest.mark.parametrize("forget", [_flush, _restart], ids=["flush", "restart"])
@pytest.mark.parametrize("pool_size", [4], ids=["pool4"])
def test_s07_a_script_outlives_the_server_that_knew_it(lab: Lab, forget: Any) -> None:
    """Unknown, it goes out with its text, and runs once for each call, however it is called."""
    driver = lab.client()
    assert called(driver, COUNT, "n") == 1
    forget(lab)
    lab.server.call("SET", "n", 1)
    assert called(driver, COUNT, "n") == 2
    assert (lab.sent("EVALSHA"), lab.sent("EVAL")) == (2, 2)
    forget(lab)
    lab.server.call("SET", "n", 2)
    assert _in_a_batch(driver, "pipeline", 3) == [3, 4, 5]
    forget(lab)
    lab.server.call("SET", "n", 5)
    assert _in_a_batch(driver, "transaction", 3) == [6, 7, 8]
    assert lab.server.call("GET", "n") == b"8"
    lab.counts["scripts"] += 8


def _in_a_batch(driver: Driver, kind: str, times: int) -> Any:
    """Call the script so often in one batch; return the replies."""
    script = driver.client.script(COUNT)
    script = getattr(script, "_shown", script)
    with getattr(driver.client, kind)() as batch:
        inner = getattr(batch, "_shown", batch)
        for _ in range(times):
            script.queue(inner, ["n"])
    return batch.replies


def test_s07_an_unknown_hash_is_an_element(lab: Lab) -> None:
    """By the raw door nobody knows the text: an error where it stands, and the commands around it have run."""
    driver = lab.client()
    unknown = ("EVALSHA", "0" * 40, 1, "n")
    for send in (driver.pipeline, driver.transaction):
        before, error, after = send([("INCR", "n"), unknown, ("INCR", "n")])
        assert isinstance(error, NoScriptError)
        assert error.command == "EVALSHA"
        assert after == before + 1
    lab.fails(NoScriptError, driver.call, *unknown)
    assert driver.call("GET", "n") == "4"


def test_s07_scripts_run_once_while_others_flush(lab: Lab) -> None:
    """Under a storm of SCRIPT FLUSH: alone and in transactions every call runs once; in a pipeline, once or not."""
    driver = lab.client()
    rounds = scaled(400)
    over = threading.Event()
    ran = 0

    def storm() -> int:
        flushes = 0
        with aside(lab.server) as raw:
            while not over.is_set():
                raw.call("SCRIPT", "FLUSH")
                flushes += 1
        return flushes

    with Crew() as crew:
        crew.start(storm)
        try:
            for _ in range(rounds):
                assert called(driver, COUNT, "n") == ran + 1
                assert _in_a_batch(driver, "transaction", 3) == [ran + 2, ran + 3, ran + 4]
                ran += 4
                replies = _queued(driver, 5)
                done = [reply for reply in replies if not isinstance(reply, NoScriptError)]
                assert done == list(range(ran + 1, ran + 1 + len(done)))
                ran += len(done)
        finally:
            over.set()
    assert driver.call("GET", "n") == str(ran)
    lab.counts["scripts"] += ran
    lab.counts["flushes"] += crew.results[0]


def _queued(driver: Driver, times: int) -> list[Any]:
    """Call the script so often in a pipeline; return the replies, errors as values."""
    with driver.client.pipeline(raise_errors=False) as pipe:
        for _ in range(times):
            pipe.lua("return redis.call('INCR', _:n)", {"n": "n"})
    replies: list[Any] = pipe.replies
    return replies


def test_s07_a_connection_cut_at_the_script_runs_it_once_or_not(lab: Lab) -> None:
    """Between load and EVALSHA, and between NOSCRIPT and EVAL, the connection is lost: never twice."""
    driver = lab.client(retry=EAGER)
    with aside(lab.server) as raw:
        raw.send("EVALSHA", "0" * 40, 0)
        unknown = len(str(raw.read())) + len("-\r\n")
    for after in (0, 1, unknown - 1, unknown, unknown + 1, unknown + len(":1\r\n") - 1):
        _flush(lab)
        lab.server.call("SET", "n", 0)
        lab.proxy.mark()
        lab.proxy.cut_after["s2c"] = after
        lab.proxy.cut_mode = "rst"
        lab.fails(NetworkError, called, driver, COUNT, "n")
        lab.proxy.heal()
        assert lab.server.call("GET", "n") in (b"0", b"1")
        lab.canaries(driver, 4, f"cut at {after}")
        lab.counts["cuts"] += 1
