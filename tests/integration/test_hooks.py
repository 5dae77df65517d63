"""What the hooks of a client hear, and that nothing stands on the path without them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

import carmine
from carmine.client.engine import Engine
from carmine.errors import NetworkError, PoolTimeout
from carmine.retry import Retry
from tests.integration.crew import Crew
from tests.integration.pools import holding, wait_waiting

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.lab.proxy import FaultProxy
    from tests.lab.servers import RedisServer


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
    assert plain._idle is plain.pool.idle
    hooked.ping()
    assert hooked.pool.idle
    assert not hooked._idle  # nothing to pop: its calls leave the fast path
    plain.ping()
    frames: list[str] = []
    sys.setprofile(lambda frame, kind, _: frames.append(frame.f_code.co_name) if kind == "call" else None)
    try:
        plain.get("k")
    finally:
        sys.setprofile(None)
    assert not {"tell", "borrow", "give_back", "_execute_slowly", "on_command_start"} & set(frames), frames
