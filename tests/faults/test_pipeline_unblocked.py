"""What a server does to commands that wait (FAULTS.md S11)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from carmine.errors import UnblockedError
from tests.integration.crew import Crew
from tests.lab.servers import wait_until

if TYPE_CHECKING:
    from tests.faults.drivers import Driver
    from tests.faults.invariants import Lab

pytest_plugins = ["tests.faults.invariants"]
pytestmark = pytest.mark.faults


def _blocked(lab: Lab) -> str:
    """Wait until the server has a blocked client, and return its id."""
    wait_until(lambda: lab.server.info("clients")["blocked_clients"] == "1", "a blocked client")
    return next(each["id"] for each in lab.server.clients() if "b" in each["flags"])


def _alone(driver: Driver) -> Any:
    with pytest.raises(UnblockedError) as caught:
        driver.call("BLPOP", "none", 10)
    return [caught.value, "x"]


def _in_a_pipeline(driver: Driver) -> Any:
    return driver.pipeline([("BLPOP", "none", 10), ("ECHO", "x")])


@pytest.mark.parametrize("shape", [_alone, _in_a_pipeline], ids=["command", "pipeline"])
def test_s11_a_call_that_was_unblocked_from_outside_ends_its_connection(lab: Lab, shape: Any) -> None:
    """The server says so where its role changes: nobody may go on with a connection to what is a replica now."""
    driver = lab.client()
    with Crew() as crew:
        crew.start(shape, driver)
        blocked = _blocked(lab)
        lab.server.call("CLIENT", "UNBLOCK", blocked, "ERROR")
    error, echo = crew.results[0]
    assert isinstance(error, UnblockedError)
    assert echo == "x"
    wait_until(lambda: blocked not in [each["id"] for each in lab.server.clients()], "the end of the connection", 2)


@pytest.mark.parametrize("read_timeout", [None, 5])
@pytest.mark.parametrize("pool_size", [4], ids=["pool4"])
def test_s09_a_pipeline_that_blocks_keeps_nobody_waiting(lab: Lab, read_timeout: float | None) -> None:
    """It has a connection of its own, with and without a time limit."""
    driver = lab.client(read_timeout=read_timeout)
    with Crew() as crew:
        crew.start(driver.pipeline, [("BLPOP", "list", 10), ("ECHO", "x")])
        _blocked(lab)
        with lab.within(0.1):
            lab.canaries(driver, 8, "meanwhile")
        lab.server.call("RPUSH", "list", "value")
    assert crew.results == [[["list", "value"], "x"]]
