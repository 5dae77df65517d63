"""Servers that are no primary any more, or have lost theirs, and what they do to those who wait (S04, S05, S11)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest

from carmine.errors import ExecAbortError, MasterDownError, ReadOnlyError, ServerError, UnblockedError
from carmine.retry import Retry
from tests.integration.crew import Crew
from tests.lab.servers import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.faults.drivers import Driver
    from tests.faults.invariants import Lab

pytest_plugins = ["tests.faults.invariants"]
pytestmark = pytest.mark.faults

EAGER: Final = Retry(10, base=0.001)
"""Would send a command often, if the rules let it."""

NOBODY: Final = ("127.0.0.1", 1)
"""Where no primary listens."""


def _demote(lab: Lab) -> None:
    lab.server.call("REPLICAOF", *NOBODY)


def _promote(lab: Lab) -> None:
    lab.server.call("REPLICAOF", "NO", "ONE")


def _alone(driver: Driver) -> ServerError:
    with pytest.raises(ServerError) as caught:
        driver.call("INCR", "n")
    return caught.value


def _first(driver: Driver) -> Any:
    error, token = driver.pipeline([("INCR", "n"), ("ECHO", "read")])
    assert token == "read"
    return error


def _last(driver: Driver) -> Any:
    token, error = driver.pipeline([("ECHO", "read"), ("INCR", "n")])
    assert token == "read"
    return error


def _refused(driver: Driver, *watch: str) -> Any:
    with pytest.raises(ExecAbortError) as caught:
        driver.transaction([("ECHO", "read"), ("INCR", "n"), ("ECHO", "more")], watch)
    ((index, cause),) = caught.value.causes
    assert index == 1
    return cause


def _in_a_script(driver: Driver) -> ServerError:
    """The write inside fails; from 7.0 the whole error begins with its code."""
    with pytest.raises(ServerError) as caught:
        driver.call("EVAL", "redis.call('ECHO', 'x') return redis.call('INCR', KEYS[1])", 1, "n")
    return caught.value


WRITES: Final[dict[str, Callable[[Driver], Any]]] = {
    "command": _alone,
    "first of a pipeline": _first,
    "last of a pipeline": _last,
    "transaction": _refused,
    "watch": lambda driver: _refused(driver, "n"),
}


@pytest.mark.parametrize("shape", WRITES)
def test_s04_readonly_is_raised_and_the_connection_is_replaced(lab: Lab, shape: str) -> None:
    """The name may lead to another server by now: who calls again gets there. Nothing is tried again by itself."""
    driver = lab.client(retry=EAGER)
    _demote(lab)
    opened = lab.proxy.accepted
    error = WRITES[shape](driver)
    lab.saw(error)
    assert isinstance(error, ReadOnlyError)
    assert (error.code, error.command) == ("READONLY", "INCR")
    assert lab.sent("INCR") == 1
    lab.proxy.wait_until(lambda: lab.proxy.open == opened - 1, "the end of the connection that led to a replica")
    lab.canaries(driver, 4, "at a replica")  # it reads
    _promote(lab)
    assert driver.call("INCR", "n") == 1
    lab.counts["readonly"] += 1


def test_s04_a_script_that_writes_at_a_replica_fails_once(lab: Lab) -> None:
    driver = lab.client(retry=EAGER)
    _demote(lab)
    error = _in_a_script(driver)
    lab.saw(error)
    assert "read only" in error.message or "READONLY" in error.message
    assert isinstance(error, ReadOnlyError) or not lab.server.leg.at_least_7
    assert lab.sent("EVAL") == 1
    _promote(lab)
    assert driver.call("GET", "n") is None


def test_s05_masterdown_is_raised_for_reads(lab: Lab) -> None:
    """A replica without its primary that may not serve stale data: an error for each command, none sent again."""
    driver = lab.client(retry=EAGER)
    lab.server.call("SET", "k", "stale")
    _demote(lab)
    lab.server.call("CONFIG", "SET", "replica-serve-stale-data", "no")
    error = lab.fails(MasterDownError, driver.call, "GET", "k", within=0.5)
    assert (error.code, error.command) == ("MASTERDOWN", "GET")
    replies = driver.pipeline([("GET", "k"), ("GET", "k")])
    assert [type(reply) for reply in replies] == [MasterDownError] * 2
    refused = lab.fails(ExecAbortError, driver.transaction, [("GET", "k")], within=0.5)
    assert [type(cause) for _, cause in refused.causes] == [MasterDownError]
    assert lab.sent("GET") == 4
    lab.server.call("CONFIG", "SET", "replica-serve-stale-data", "yes")
    assert driver.call("GET", "k") == "stale"
    _promote(lab)


# S11. ----------------------------------------------------------------------------------------------------------------


def _blocked(lab: Lab) -> str:
    """Wait until the server has a blocked client, and return its id."""
    wait_until(lambda: lab.server.info("clients")["blocked_clients"] == "1", "a blocked client")
    return next(each["id"] for each in lab.server.clients() if "b" in each["flags"])


def _change_role(lab: Lab, blocked: str) -> None:
    assert blocked
    _demote(lab)


def _unblock(lab: Lab, blocked: str) -> None:
    lab.server.call("CLIENT", "UNBLOCK", blocked, "ERROR")


def _call(driver: Driver) -> None:
    driver.call("BLPOP", "none", 10)


def _pinned(driver: Driver) -> None:
    with driver.client.connection() as connection:
        connection.execute("BLPOP", "none", 10)


@pytest.mark.parametrize("end", [_unblock, _change_role], ids=["unblocked", "role changed"])
@pytest.mark.parametrize("shape", [_call, _pinned], ids=["command", "pinned"])
@pytest.mark.parametrize("pool_size", [4], ids=["pool4"])
def test_s11_who_is_unblocked_hears_it_once_and_the_connection_ends(lab: Lab, shape: Any, end: Any) -> None:
    driver = lab.client(retry=EAGER)
    with Crew() as crew:
        crew.start(lambda: lab.fails(UnblockedError, shape, driver, within=10))
        blocked = _blocked(lab)
        with lab.within(0.5):
            end(lab, blocked)
            crew.join()
    (error,) = crew.results
    assert (error.code, error.command) == ("UNBLOCKED", "BLPOP")
    assert lab.sent("BLPOP") == 1
    wait_until(lambda: blocked not in [each["id"] for each in lab.server.clients()], "the end of the connection", 2)
    _promote(lab)
    lab.counts["unblocked"] += 1
