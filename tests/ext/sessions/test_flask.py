"""Sessions of Flask: what is asked and when, the settings, lives of sessions, what no visitor can do.

FAULTS W02, W03, W04, W07; SECURITY S-24, S-40, S-41, S-43, S-44, S-45, S-46, each in the test that it names.
"""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import flask
import pytest

import carmine
from carmine.errors import UsageError
from carmine.ext.sessions import SessionStore
from carmine.ext.sessions.flask import CarmineSession
from carmine.ext.sessions.keys import is_id
from carmine.retry import Retry
from tests.ext.sessions.flask_app import ask, cookie_of, cookies_of, make_app, mine
from tests.ext.sessions.planting import HOSTILE, key_in, left_of
from tests.ext.sessions.traffic import Traffic

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lab.servers import RedisServer

pytestmark = pytest.mark.one_twin

UNKNOWN = "u" * 43
"""Of the right form, and nobody's."""

MONTH_MS = 31 * 24 * 60 * 60 * 1000
"""Flask's own lifetime."""


@pytest.fixture
def client(server: RedisServer) -> Iterator[carmine.Client[str]]:
    """Give a client of the clean server, which has the scripts."""
    with carmine.Client(server.url) as made:
        store = SessionStore(made, "warm", rolling=True)
        id = store.regenerate(store.create({}))
        store.update(id, {})
        store.read(id)
        store.delete(id)
        yield made


@pytest.fixture
def app(client: carmine.Client[str]) -> flask.Flask:
    return make_app(client)


# What is asked, and when. --------------------------------------------------------------------------------------------


def test_a_request_that_looks_at_no_session_asks_nobody(server: RedisServer, app: flask.Flask) -> None:
    visitor = app.test_client()
    visitor.get("/write/a/1")
    visitor.get("/stay")
    with Traffic(server) as traffic:
        response = visitor.get("/plain")
        assert "Vary" not in response.headers
        assert cookies_of(response) == []
        assert cookies_of(visitor.get("/held")) == []  # but not looked into
        assert traffic.take() == []


def test_a_read_is_one_round_trip_and_a_change_one_more(server: RedisServer, app: flask.Flask) -> None:
    visitor = app.test_client()
    with Traffic(server) as traffic:
        assert visitor.get("/read").json == {}
        assert traffic.names() == []
        visitor.get("/write/a/1")
        assert traffic.names() == ["EVALSHA"]
        assert visitor.get("/read").json == {"a": "1"}
        assert traffic.names() == ["EVALSHA"]
        visitor.get("/write/a/2")
        assert traffic.names() == ["EVALSHA", "EVALSHA"]
        visitor.get("/write/a/2")  # the same value again
        assert traffic.names() == ["EVALSHA"]


def test_nothing_is_stored_before_the_first_change(server: RedisServer, app: flask.Flask) -> None:
    response = app.test_client().get("/read")
    assert cookies_of(response) == []
    assert response.headers["Vary"] == "Cookie"
    assert server.call("DBSIZE") == 0


def test_changes_inside_values_are_noticed(app: flask.Flask) -> None:
    visitor = app.test_client()
    for length in (1, 2, 3):
        visitor.get("/nested")
        assert visitor.get("/read").json == {"list": [1] * length}


def test_a_session_is_a_session_of_flask(server: RedisServer, app: flask.Flask) -> None:
    with app.test_request_context("/read"):
        assert mine().new
        assert not mine().modified
        assert not flask.session.permanent
        flask.session["a"] = (1, {2}, b"3")
        assert mine().modified
    visitor = app.test_client()
    with visitor.session_transaction() as session:
        session["planted"] = True
    assert visitor.get("/read").json == {"planted": True}
    with visitor:
        visitor.get("/read")
        assert flask.session["planted"] is True  # behind the request, in a test
        assert not mine().new
    assert server.call("DBSIZE") == 1


def test_modified_lets_an_unchanged_session_live_on(server: RedisServer, client: carmine.Client[str]) -> None:
    visitor = make_app(client, {"SESSION_REFRESH_EACH_REQUEST": False}).test_client()
    visitor.get("/write/a/1")
    server.call("PEXPIRE", key_in(server), 60_000)
    assert cookies_of(visitor.get("/read")) == []
    assert left_of(server, key_in(server)) <= 60_000
    assert is_id(cookie_of(visitor.get("/again"))[0])
    assert left_of(server, key_in(server)) > MONTH_MS - 60_000


# Settings. -----------------------------------------------------------------------------------------------------------

ATTRIBUTES: list[tuple[dict[str, Any], set[str]]] = [
    ({}, {"HttpOnly", "Path=/", "SameSite=Lax"}),
    ({"SESSION_COOKIE_HTTPONLY": False}, {"Path=/", "SameSite=Lax"}),
    ({"SESSION_COOKIE_SECURE": True}, {"HttpOnly", "Path=/", "SameSite=Lax", "Secure"}),
    ({"SESSION_COOKIE_SAMESITE": "Strict"}, {"HttpOnly", "Path=/", "SameSite=Strict"}),
    ({"SESSION_COOKIE_PATH": "/here"}, {"HttpOnly", "Path=/here", "SameSite=Lax"}),
    ({"APPLICATION_ROOT": "/root"}, {"HttpOnly", "Path=/root", "SameSite=Lax"}),
    ({"SESSION_COOKIE_DOMAIN": "example.org"}, {"Domain=example.org", "HttpOnly", "Path=/", "SameSite=Lax"}),
    ({"SESSION_COOKIE_PARTITIONED": True}, {"HttpOnly", "Partitioned", "Path=/", "SameSite=Lax", "Secure"}),
]


@pytest.mark.parametrize(("config", "wanted"), ATTRIBUTES, ids=lambda one: "-".join(one) or "default")
def test_s46_the_cookie_has_the_attributes_of_the_settings_also_when_it_is_deleted(
    client: carmine.Client[str], config: dict[str, Any], wanted: set[str]
) -> None:
    visitor = make_app(client, config).test_client(use_cookies=False)
    first = ask(visitor, "/write/a/1")
    id, attributes = cookie_of(first)
    assert is_id(id)
    assert attributes == wanted
    assert "no-store" in first.headers["Cache-Control"]
    assert first.headers["Vary"] == "Cookie"
    for path in ("/clear", "/logout"):
        id, _ = cookie_of(ask(visitor, "/write/a/1"))
        value, attributes = cookie_of(ask(visitor, path, id))
        assert value == ""
        assert attributes == wanted | {"Expires=Thu, 01 Jan 1970 00:00:00 GMT", "Max-Age=0"}


def test_s46_over_tls_a_cookie_is_secure_in_any_case(app: flask.Flask) -> None:
    _, attributes = cookie_of(app.test_client().get("/write/a/1", base_url="https://localhost"))
    assert "Secure" in attributes


def test_the_name_of_the_cookie(client: carmine.Client[str]) -> None:
    config = {"SESSION_COOKIE_NAME": "__Host-id", "SESSION_COOKIE_SECURE": True}
    visitor = make_app(client, config).test_client()
    (cookie,) = cookies_of(visitor.get("/write/a/1", base_url="https://localhost"))
    assert cookie.startswith("__Host-id=")
    assert visitor.get("/read", base_url="https://localhost").json == {"a": "1"}


def test_a_response_that_says_it_is_private_keeps_its_own_word(app: flask.Flask) -> None:
    @app.after_request
    def private(response: flask.Response) -> flask.Response:
        response.cache_control.private = True
        response.vary.add("Accept")
        return response

    response = app.test_client().get("/write/a/1")
    assert response.headers["Cache-Control"] == "private"
    assert response.headers["Vary"] == "Accept, Cookie"


# How long. -----------------------------------------------------------------------------------------------------------


def test_a_session_lives_as_long_as_flask_says(server: RedisServer, client: carmine.Client[str]) -> None:
    app = make_app(client, {"PERMANENT_SESSION_LIFETIME": timedelta(hours=2)})
    visitor = app.test_client()
    _, attributes = cookie_of(visitor.get("/write/a/1"))
    assert not any(one.startswith(("Expires", "Max-Age")) for one in attributes)  # until the browser closes
    assert 7_190_000 < left_of(server, key_in(server)) <= 7_200_000
    app.permanent_session_lifetime = timedelta(hours=1)  # settings count when the request comes
    visitor.get("/read")
    assert 3_590_000 < left_of(server, key_in(server)) <= 3_600_000


@pytest.mark.parametrize("refresh", [True, False])
def test_a_permanent_session_rolls(server: RedisServer, client: carmine.Client[str], refresh: bool) -> None:
    """Rolling expiry: each request that looks at it moves the server's time and the browser's, unless told not to."""
    visitor = make_app(client, {"SESSION_REFRESH_EACH_REQUEST": refresh}).test_client()
    _, attributes = cookie_of(visitor.get("/stay"))
    assert any(one.startswith("Expires=") for one in attributes)
    server.call("PEXPIRE", key_in(server), 60_000)
    response = visitor.get("/read")
    assert len(cookies_of(response)) == refresh
    assert (left_of(server, key_in(server)) > 60_000) == refresh


def test_a_store_has_its_own_lifetimes(server: RedisServer, client: carmine.Client[str]) -> None:
    visitor = make_app(store=SessionStore(client, "mine", ttl=60)).test_client()
    visitor.get("/stay")
    assert key_in(server).startswith(b"mine:")
    assert left_of(server, key_in(server)) <= 60_000
    server.call("PEXPIRE", key_in(server), 5_000)
    assert len(cookies_of(visitor.get("/read"))) == 1  # the cookie lives on, so the session has to
    assert left_of(server, key_in(server)) > 5_000


def test_s44_an_absolute_end_outlasts_no_use(server: RedisServer, client: carmine.Client[str]) -> None:
    visitor = make_app(client, absolute_ttl=60).test_client()
    visitor.get("/write/a/1")
    for path in ("/read", "/write/a/2", "/again", "/login/ada"):
        visitor.get(path)
        assert 0 < left_of(server, key_in(server)) <= 60_000


# What no visitor can do. ---------------------------------------------------------------------------------------------


def test_s40_w07_a_hostile_cookie_touches_nothing(server: RedisServer, app: flask.Flask) -> None:
    server.call("SET", "admin:secret", "kept")
    visitor = app.test_client(use_cookies=False)
    with Traffic(server) as traffic:
        for hostile in HOSTILE:
            assert ask(visitor, "/read", hostile).json == {}
            assert ask(visitor, "/logout", hostile).status_code == 200
            assert ask(visitor, "/clear", hostile).status_code == 200
        assert traffic.take() == []
    assert server.call("GET", "admin:secret") == b"kept"


@pytest.mark.parametrize("path", ["/write/a/1", "/login/ada"])
def test_s41_an_id_chosen_by_the_visitor_is_never_adopted(server: RedisServer, app: flask.Flask, path: str) -> None:
    visitor = app.test_client(use_cookies=False)
    for planted in (UNKNOWN, "chosen"):
        id, _ = cookie_of(ask(visitor, path, planted))
        assert is_id(id)
        assert id != planted
        assert ask(visitor, "/read", planted).json == {}
        assert ask(visitor, "/read", id).json != {}
    assert server.call("DBSIZE") == 2


def test_of_two_cookies_the_one_that_can_be_an_id_counts(app: flask.Flask) -> None:
    visitor = app.test_client(use_cookies=False)
    id, _ = cookie_of(ask(visitor, "/write/a/1"))
    assert ask(visitor, "/read", f"planted; session={id}").json == {"a": "1"}


def test_s41_a_login_changes_the_id_and_the_old_one_is_no_session_any_more(
    server: RedisServer, app: flask.Flask
) -> None:
    visitor = app.test_client(use_cookies=False)
    old, _ = cookie_of(ask(visitor, "/write/cart/3"))
    new, _ = cookie_of(ask(visitor, "/login/ada", old))
    assert new != old
    assert ask(visitor, "/read", new).json == {"cart": "3", "user": "ada"}
    assert ask(visitor, "/read", old).json == {}
    assert server.call("DBSIZE") == 1


def test_what_is_written_after_a_logout_begins_another_session(server: RedisServer, app: flask.Flask) -> None:
    visitor = app.test_client(use_cookies=False)
    old, _ = cookie_of(ask(visitor, "/login/ada"))
    new, _ = cookie_of(ask(visitor, "/goodbye", old))
    assert new != old
    assert list(ask(visitor, "/read", new).json or {}) == ["_flashes"]
    assert ask(visitor, "/read", old).json == {}
    assert server.call("DBSIZE") == 1


@pytest.mark.parametrize("path", ["/logout", "/clear"])
@pytest.mark.parametrize("change", ["/write/late/1", "/nested", "/login/ada", "/again"])
def test_w03_s43_a_logout_that_races_a_slow_request_stays_logged_out(
    server: RedisServer, app: flask.Flask, change: str, path: str
) -> None:
    """The slow request has read its session when the visitor logs out; then it changes it."""
    visitor = app.test_client(use_cookies=False)
    id, _ = cookie_of(ask(visitor, "/login/ada"))
    slow = app.view_functions[app.url_map.bind("x").match(change)[0]]

    def overtaken(**words: Any) -> Any:
        assert flask.session["user"] == "ada"
        assert ask(app.test_client(use_cookies=False), path, id).status_code == 200
        return slow(**words)

    app.view_functions[slow.__name__] = overtaken
    response = ask(visitor, change, id)
    assert response.status_code == 200
    assert cookies_of(response) == []
    assert server.call("DBSIZE") == 0
    assert ask(visitor, "/read", id).json == {}


def test_w04_of_two_requests_the_last_to_write_has_written(app: flask.Flask) -> None:
    """They change different fields: the whole of the one or the whole of the other, as the page says."""
    visitor = app.test_client(use_cookies=False)
    id, _ = cookie_of(ask(visitor, "/write/cart/3"))
    others = [lambda: ask(app.test_client(use_cookies=False), "/write/first/1", id)]
    app.config["BETWEEN"] = lambda: [others.pop()() for _ in others[:1]]
    ask(visitor, "/nested", id)
    assert ask(visitor, "/read", id).json == {"cart": "3", "list": [1]}


def test_w02_what_cannot_be_read_is_no_session(server: RedisServer, app: flask.Flask) -> None:
    visitor = app.test_client(use_cookies=False)
    id, _ = cookie_of(ask(visitor, "/login/ada"))
    key = key_in(server)
    for planted in (b"", b"junk", b"1 1 1 0 -\ncos\nsystem\n(S'true'\ntR.", b'{"user": "root"}'):
        server.call("SET", key, planted)
        assert ask(visitor, "/read", id).json == {}
        fresh, _ = cookie_of(ask(visitor, "/write/a/1", id))
        assert fresh != id
        assert server.call("GET", key) == planted


def test_s24_the_log_holds_neither_ids_nor_contents(
    server: RedisServer, app: flask.Flask, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    visitor = app.test_client(use_cookies=False)
    id, _ = cookie_of(ask(visitor, "/login/canary-user"))
    ask(visitor, "/read", id)
    server.call("SET", key_in(server), "canary-planted")
    ask(visitor, "/read", id)
    with carmine.Client("redis://:canary-password@127.0.0.1:1", retry=Retry(1)) as away:
        assert ask(make_app(away).test_client(use_cookies=False), "/read", id).status_code == 503
    assert "cannot be asked" in caplog.text
    assert "cannot be read" in caplog.text
    assert id not in caplog.text
    assert "canary" not in caplog.text


def test_s45_what_is_too_large_is_not_sent(server: RedisServer, app: flask.Flask) -> None:
    visitor = app.test_client()
    visitor.get("/write/a/1")
    assert visitor.get("/large").status_code == 500
    assert visitor.get("/read").json == {"a": "1"}


# In the midst of Flask. ----------------------------------------------------------------------------------------------


def test_a_streamed_response_is_saved_before_its_headers(app: flask.Flask) -> None:
    visitor = app.test_client()
    response = visitor.get("/stream")
    assert is_id(cookie_of(response)[0])
    assert response.text == "before SessionSealed"
    assert visitor.get("/read").json == {"seen": "before"}


def test_an_asynchronous_view(app: flask.Flask) -> None:
    visitor = app.test_client()
    assert [visitor.get("/async").text for _ in range(3)] == ["1", "2", "3"]


def test_at_teardown_a_session_can_be_read(app: flask.Flask) -> None:
    seen = []

    @app.teardown_request
    def look(error: BaseException | None) -> None:
        seen.append((flask.session.get("a"), error))

    app.test_client().get("/write/a/1")
    assert seen == [("1", None)]


def test_without_a_client_sessions_are_null(client: carmine.Client[str]) -> None:
    app = make_app()
    visitor = app.test_client()
    assert visitor.get("/plain").text == "plain"
    assert visitor.get("/read").json == {}
    app.testing = True
    with pytest.raises(RuntimeError, match="neither a client nor a store"):
        visitor.get("/write/a/1")
    with app.test_request_context():
        assert app.session_interface.is_null_session(flask.session._get_current_object())  # type: ignore[attr-defined]
    app.session_interface.init_app(app, client)  # type: ignore[attr-defined]
    visitor.get("/write/a/1")
    assert visitor.get("/read").json == {"a": "1"}


def test_one_extension_serves_applications_apart(server: RedisServer, client: carmine.Client[str]) -> None:
    sessions = CarmineSession(prefix="shared")
    apps = [make_app(), make_app()]
    sessions.init_app(apps[0], client)
    sessions.init_app(apps[1], store=SessionStore(client, "own"))
    for app in apps:
        app.test_client().get("/write/a/1")
    keys = server.call("KEYS", "*")
    assert isinstance(keys, list)
    assert {bytes(key).partition(b":")[0] for key in keys if isinstance(key, bytes)} == {b"shared", b"own"}


def test_bad_arguments_are_refused(client: carmine.Client[str]) -> None:
    store = SessionStore(client)
    app = flask.Flask(__name__)
    for words, said in (
        ({"on_error": "ignore"}, "on_error"),
        ({"client": client, "store": store}, "not both"),
        ({"client": "redis://x"}, "carmine.Client, not str"),
        ({"client": carmine.AsyncClient()}, "carmine.Client, not AsyncClient"),
        ({"store": client}, "SessionStore, not Client"),
        ({"client": client, "prefix": ""}, "prefix"),
        ({"client": client, "timeout": 0}, "timeout"),
        ({"client": client, "max_size": 0}, "max_size"),
    ):
        with pytest.raises(UsageError, match=said):
            CarmineSession(app, **words)
    assert client.dbsize() == 0


@pytest.mark.parametrize(("module", "lacks"), [("flask", "flask"), ("django", "django")])
def test_a_missing_framework_is_named(module: str, lacks: str) -> None:
    code = f"import sys; sys.modules[{lacks!r}] = None; import carmine.ext.sessions.{module}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "carmine.errors.MissingExtra: " in done.stderr
    assert f"pip install '{lacks}>=" in done.stderr
