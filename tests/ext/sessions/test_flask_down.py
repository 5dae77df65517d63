"""W01, Flask while the server of the sessions is away: a 503 or nobody, by policy; never a hang, nor a lost logout."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Any

import flask
import pytest

import carmine
from carmine.ext.sessions import SessionUnavailable
from carmine.retry import Retry
from tests.ext.sessions.flask_app import ask, cookie_of, cookies_of, make_app
from tests.ext.sessions.planting import key_in
from tests.lab.clock import within
from tests.lab.matrix import scaled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.lab.proxy import FaultProxy
    from tests.lab.servers import RedisServer

pytestmark = pytest.mark.one_twin

TIMEOUT = 0.25
"""Seconds that a question may take where nothing will come; elsewhere a busy machine has more."""

CHANGES = ("/write/a/2", "/nested", "/stay")
ENDINGS = ("/logout", "/clear", "/login/bob")


def _refuse(proxy: FaultProxy, server: RedisServer) -> None:
    proxy.refuse()
    proxy.kill()


def _swallow(proxy: FaultProxy, server: RedisServer) -> None:
    proxy.hold()


def _out_of_memory(proxy: FaultProxy, server: RedisServer) -> None:
    server.call("CONFIG", "SET", "maxmemory", "1")


FAULTS: list[Callable[[FaultProxy, RedisServer], None]] = [_refuse, _swallow]


@pytest.fixture
def client(server: RedisServer, proxy: FaultProxy) -> Iterator[carmine.Client[str]]:
    with carmine.Client(proxy.url(server.url), retry=Retry(1)) as made:
        yield made


def visit(client: carmine.Client[str], **options: Any) -> tuple[flask.Flask, str]:
    """Return an application, and the id of a visitor whom it knows."""
    return make_app(client, **options), visitor_of(client)


def visitor_of(client: carmine.Client[str]) -> str:
    """Return the id of somebody who has been here when all was well."""
    id, _ = cookie_of(ask(make_app(client).test_client(use_cookies=False), "/write/a/1"))
    return id


def stored_for(client: carmine.Client[str], id: str) -> Any:
    """Return what is in somebody's session when all is well again."""
    return ask(make_app(client).test_client(use_cookies=False), "/read", id).json


@pytest.mark.parametrize("fault", FAULTS)
def test_w01_who_cannot_be_read_gets_a_503_in_time(
    server: RedisServer, proxy: FaultProxy, client: carmine.Client[str], fault: Any
) -> None:
    app, id = visit(client, timeout=TIMEOUT)
    visitor = app.test_client(use_cookies=False)
    stored = server.text("GET", key_in(server))
    fault(proxy, server)
    for path in ("/read", *CHANGES, "/async", "/stream") if fault is _refuse else ("/read", "/stay"):
        with within(2 * TIMEOUT):
            response = ask(visitor, path, id)
        assert response.status_code == 503
        assert cookies_of(response) == []
    assert ask(visitor, "/plain", id).status_code == 200
    assert server.text("GET", key_in(server)) == stored
    proxy.heal()
    proxy.refuse(False)
    proxy.release()
    assert stored_for(client, id) == {"a": "1"}


@pytest.mark.parametrize(
    ("fault", "path"),
    [
        *((fault, path) for fault in FAULTS for path in ("/write/a/2", "/login/ada", "/stream")),
        (_out_of_memory, "/write/a/2"),
    ],
)
def test_a_save_that_fails_replaces_the_response(
    server: RedisServer, proxy: FaultProxy, client: carmine.Client[str], fault: Any, path: str
) -> None:
    app, id = visit(client, timeout=TIMEOUT if fault is _swallow else 5)
    app.config["BETWEEN"] = lambda: fault(proxy, server)
    with within(2 * TIMEOUT):
        response = ask(app.test_client(use_cookies=False), path, id)
    assert response.status_code == 503
    assert "Service Unavailable" in response.text
    assert int(response.headers["Content-Length"]) == len(response.data)
    assert cookies_of(response) == []
    assert "X-Of-The-View" not in response.headers
    assert "no-store" in response.headers["Cache-Control"]


def test_the_application_makes_the_page(server: RedisServer, proxy: FaultProxy, client: carmine.Client[str]) -> None:
    """Both ways to a 503 lead to the same handler, whose page may look at the session: it is empty then."""
    app = make_app(client)
    causes = []

    @app.errorhandler(SessionUnavailable)
    def page(error: SessionUnavailable) -> tuple[str, int]:
        causes.append(type(error.__cause__))
        return f"away, {flask.session.get('user', 'nobody')}", 503

    id = visitor_of(client)
    visitor = app.test_client(use_cookies=False)
    app.config["BETWEEN"] = lambda: _refuse(proxy, server)
    saving = ask(visitor, "/write/a/2", id)
    reading = ask(visitor, "/read", id)
    for response in (saving, reading):
        assert (response.status_code, response.text) == (503, "away, nobody")
    assert len(causes) == 2
    assert all(issubclass(cause, carmine.CarmineError) for cause in causes)


def test_a_view_that_catches_the_error_does_not_lose_what_it_writes_in_silence(
    server: RedisServer, proxy: FaultProxy, client: carmine.Client[str]
) -> None:
    app, id = visit(client)
    _refuse(proxy, server)
    assert ask(app.test_client(use_cookies=False), "/caught", id).status_code == 503


@pytest.mark.parametrize("fault", FAULTS)
def test_w01_by_policy_visitors_are_nobody_and_nothing_is_saved(
    server: RedisServer, proxy: FaultProxy, client: carmine.Client[str], fault: Any
) -> None:
    app, id = visit(client, on_error="anonymous", timeout=TIMEOUT)
    visitor = app.test_client(use_cookies=False)
    stored = server.text("GET", key_in(server))
    fault(proxy, server)
    for path in ("/read", *CHANGES, "/async", "/stream", "/caught") if fault is _refuse else ("/read", "/stay"):
        with within(2 * TIMEOUT):
            response = ask(visitor, path, id)
        assert response.status_code == 200
        assert cookies_of(response) == []  # neither replaced nor deleted: he is somebody again afterwards
    assert ask(visitor, "/read", id).json == {}
    proxy.heal()
    proxy.refuse(False)
    proxy.release()
    assert server.text("GET", key_in(server)) == stored
    assert stored_for(client, id) == {"a": "1"}


@pytest.mark.parametrize("policy", ["raise", "anonymous"])
@pytest.mark.parametrize("path", ENDINGS)
def test_a_logout_that_fails_is_said_whatever_the_policy(
    server: RedisServer, proxy: FaultProxy, client: carmine.Client[str], path: str, policy: str
) -> None:
    app, id = visit(client, on_error=policy)
    app.config["BETWEEN"] = lambda: _refuse(proxy, server)
    response = ask(app.test_client(use_cookies=False), path, id)
    assert response.status_code == 503
    assert cookies_of(response) == []
    assert server.call("DBSIZE") == 1


@pytest.mark.parametrize(
    "path", ["/seen/invalidate", "/seen/regenerate", "/seen/clear", "/logout", "/clear", "/login/ada"]
)
def test_a_logout_where_the_read_has_failed_is_said_too(
    server: RedisServer, proxy: FaultProxy, client: carmine.Client[str], path: str
) -> None:
    """The view goes on as nobody, by policy; but what it wants to end is somebody's."""
    app, id = visit(client, on_error="anonymous")
    _refuse(proxy, server)
    response = ask(app.test_client(use_cookies=False), path, id)
    assert (response.status_code, cookies_of(response)) == (503, [])
    assert server.call("DBSIZE") == 1


def test_who_has_no_cookie_needs_no_server(server: RedisServer, proxy: FaultProxy, client: carmine.Client[str]) -> None:
    app, _ = visit(client)
    _refuse(proxy, server)
    for path in ("/read", "/seen/invalidate", "/seen/clear"):
        assert ask(app.test_client(use_cookies=False), path, "no id").status_code == 200


def test_in_one_request_the_server_is_asked_once(
    server: RedisServer, proxy: FaultProxy, client: carmine.Client[str]
) -> None:
    """Whoever looks ten times does not wait ten times."""
    app, id = visit(client, on_error="anonymous", timeout=TIMEOUT)
    _swallow(proxy, server)
    with within(2 * TIMEOUT):
        assert ask(app.test_client(use_cookies=False), "/often", id).text == "-" * 10


def test_visitors_side_by_side_never_meet_though_connections_die(
    server: RedisServer, client: carmine.Client[str]
) -> None:
    """Each of them sees what he wrote last, or a 503; never nobody's session, and never another's."""
    app = make_app(client)
    rounds = scaled(1000)

    def live(name: int) -> int:
        visitor, refused = app.test_client(), 0
        wrote: set[str | None] = {None}
        for turn in range(rounds):
            said = f"{name}-{turn}"
            written = visitor.get(f"/write/me/{said}")
            if written.status_code == 200:
                wrote = {said}
            else:
                assert written.status_code == 503
                wrote.add(said)  # it may have been stored all the same
            read = visitor.get("/read")
            refused += (written.status_code == 503) + (read.status_code == 503)
            assert read.status_code == 503 or dict(read.json or {}).get("me") in wrote
        return refused

    with ThreadPoolExecutor(4) as pool:
        lives = [pool.submit(live, name) for name in range(4)]
        kills = 0
        while wait(lives, timeout=0.02).not_done:
            server.call("CLIENT", "KILL", "TYPE", "normal")
            kills += 1
    refused = sum(life.result() for life in lives)
    assert kills > 0
    assert refused < 4 * rounds  # most of it went well
