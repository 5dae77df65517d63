"""Exhaustion, nested use, and closing under load (FAULTS.md P02, P03, P07)."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from carmine.commands.command import Command, Spec
from carmine.errors import ConnectionLost, PoolClosed, PoolTimeout
from tests.integration.crew import Crew
from tests.lab.servers import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.faults.drivers import Driver
    from tests.faults.invariants import Lab

pytest_plugins = ["tests.faults.invariants"]
pytestmark = pytest.mark.faults


@pytest.mark.parametrize("pool_size", [2])
def test_p02_an_exhausted_pool_says_so_and_serves_in_turn(lab: Lab) -> None:
    driver = lab.client(pool_timeout=0.1)
    with driver.holding(2):
        for call in driver.waiting_calls():
            error = lab.fails(PoolTimeout, call, within=0.1)
            assert "2 of 2 are in use" in str(error)
        if driver.lines < driver.most:  # plain commands have a connection beside those of the pool
            lab.canary(driver, "command", "nobody waits for those who hold")
    patient = lab.client(pool_timeout=20)
    order: list[int] = []

    def wait(number: int) -> None:
        with patient.client.connection():
            order.append(number)

    with Crew() as crew, patient.holding(1), contextlib.ExitStack() as last:
        last.enter_context(patient.client.connection())
        for number in range(10):
            crew.start(wait, number)
            wait_until(lambda number=number: patient.stats().waiting == number + 1, "a waiter")  # type: ignore[misc]
        last.close()  # one place goes from hand to hand
        crew.join()
    assert order == list(range(10))


def test_p03_a_call_inside_a_decoder(lab: Lab) -> None:
    """The connection is free again before the decoders run."""
    client = lab.client(pool_timeout=0.1).client

    def decode(reply: Any) -> Any:
        assert client.echo("inner") == "inner"
        return reply

    with client.pipeline() as pipe:
        command: Command[Any] = Command(Spec("ECHO", decode=decode), (b"ECHO", "outer"))
        reply = pipe.add(command)
    assert reply.value == "outer"


def _nested(driver: Driver) -> dict[str, Callable[[], object]]:
    client = driver.client

    def in_a_pipeline() -> None:
        with client.pipeline() as pipe:
            first = pipe.echo("a")
            assert client.echo("b") == "b"
            last = pipe.echo("c")
        assert (first.value, last.value) == ("a", "c")

    def in_a_queued_transaction() -> None:
        with client.transaction() as tx:
            first = tx.echo("a")
            assert client.echo("b") == "b"
        assert first.value == "a"

    def in_a_watching_transaction() -> None:
        with client.transaction("k") as tx:
            assert client.echo("b") == "b"
            tx.echo("a")

    def on_a_connection() -> None:
        with client.connection() as connection:
            assert connection.echo("a") == "a"
            assert client.echo("b") == "b"
            assert connection.echo("c") == "c"

    return {
        "pipeline": in_a_pipeline,
        "transaction": in_a_queued_transaction,
        "watch": in_a_watching_transaction,
        "connection": on_a_connection,
    }


@pytest.mark.parametrize("where", ["pipeline", "transaction", "watch", "connection"])
def test_p03_a_call_inside_another(lab: Lab, where: str) -> None:
    """With one connection it works where none is held, else it ends by PoolTimeout; it never stands still."""
    driver = lab.client(pool_timeout=0.1)
    call = _nested(driver)[where]
    if driver.most == 1 and where in ("watch", "connection"):
        lab.fails(PoolTimeout, call, within=0.1)
    else:
        call()


@pytest.mark.parametrize("hook", ["on_command_start", "on_command_end", "on_connect", "on_close", "on_error"])
def test_p03_a_call_inside_a_hook(lab: Lab, hook: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No lock is held while a hook runs: a call from there works, or times out and is reported, and that is all."""
    told: list[BaseException] = []
    monkeypatch.setattr(sys, "excepthook", lambda kind, error, trace: told.append(error))
    inside = threading.local()
    heard: list[object] = []

    def use(*facts: object) -> None:
        if not getattr(inside, "busy", False):
            inside.busy = True
            try:
                heard.append(driver.call("ECHO", "from a hook"))
            finally:
                inside.busy = False

    hooks = type("Hooks", (), {hook: staticmethod(use)})()
    driver = lab.client(warm=False, hooks=hooks, pool_timeout=0.1)
    with lab.within(2):
        assert driver.call("ECHO", "outer") == "outer"
        lab.proxy.kill()
        lab.proxy.wait_open(0)
        lab.wait_idle()
        assert driver.call("ECHO", "again") == "again"
    assert all(reply == "from a hook" for reply in heard)
    assert all(isinstance(error, PoolTimeout) for error in told)
    assert heard or told or hook == "on_error"


@pytest.mark.parametrize("again", range(3))
def test_p07_closing_under_load(lab: Lab, again: int) -> None:
    """Whatever is under way ends by its reply, ConnectionLost or PoolClosed, at once; nothing and nobody stays."""
    driver = lab.client(lab.server.url, warm=False, pool_timeout=30)
    client = driver.client
    with driver.client.pipeline() as pipe:
        pipe.ping()

    def echo() -> None:
        assert client.echo("x") == "x"

    def pipeline() -> None:
        assert driver.pipeline([("ECHO", "x")] * 20) == ["x"] * 20

    def transaction() -> None:
        assert driver.transaction([("ECHO", "x")], watch=["k"]) == ["x"]

    def block() -> None:
        assert client.blpop("nothing", 20) is None

    def pinned() -> None:
        with client.connection() as connection:
            assert connection.echo("x") == "x"

    done = [0] * 12

    def work(me: int) -> None:
        calls = [echo, pipeline, transaction, block, pinned]
        while True:
            calls[me % len(calls)]()
            done[me] += 1

    with Crew(within=5) as crew:
        for me in range(12):
            crew.start(work, me)
        busy = [me for me in range(12) if me % 5 != 3]
        if lab.pool_size == 1:  # who shares a connection waits for no place: echo() and pipeline()
            queue = 11 if lab.world == "sync" else 5
            wait_until(lambda: driver.stats().waiting >= queue, "a queue")
        else:
            wait_until(lambda: all(done[me] for me in busy), "work")
        began = time.monotonic()
        client.close()
        crew.join()
        assert time.monotonic() - began < 1
        for error in crew.errors:
            assert error is not None
            if not isinstance(error, (ConnectionLost, PoolClosed)):
                raise error
            lab.saw(error)
        crew.errors.clear()
    stats = driver.stats()
    assert (stats.open, stats.idle, stats.in_use, stats.waiting) == (0, 0, 0, 0)
    lab.server.wait_clients(0)
    with pytest.raises(PoolClosed):
        client.ping()
    lab.forget(driver)
