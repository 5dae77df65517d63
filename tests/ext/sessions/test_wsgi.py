"""The WSGI middleware, between applications of every manner and a server that `wsgiref.validate` plays.

Of the catalogues: W01, W03, W07; S-40, S-41, S-43, S-46.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

import pytest

import carmine
from carmine.errors import UsageError
from carmine.ext.sessions import (
    AsyncSessionStore,
    CookieSettings,
    Session,
    SessionStore,
    SessionTooLarge,
    SessionUnavailable,
)
from carmine.ext.sessions.wsgi import SessionMiddleware
from carmine.retry import Retry
from tests.ext.sessions.planting import HOSTILE, left_of
from tests.ext.sessions.wsgi_kit import Answer, ask, get, page, put
from tests.lab.scripted import Scripted

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Callable

    from tests.ext.sessions.traffic import Traffic
    from tests.lab.proxy import FaultProxy
    from tests.lab.servers import RedisServer

UNKNOWN = "u" * 43


# What a visitor gets. ------------------------------------------------------------------------------------------------


def test_who_touches_nothing_pays_nothing(store: SessionStore, traffic: Traffic) -> None:
    id = store.create({"a": 1})
    traffic.take()
    answer = ask(SessionMiddleware(page(lambda session: "up"), store), id)
    assert answer == Answer("200 OK", [("Content-Type", "text/plain")], b"up")
    assert traffic.take() == []


def test_a_new_session_is_stored_when_something_is_in_it(store: SessionStore, traffic: Traffic) -> None:
    answer = ask(SessionMiddleware(page(get), store))
    assert answer.body == b"{}"
    assert (answer.all("set-cookie"), answer.all("vary")) == ([], ["Cookie"])
    assert traffic.take() == []
    answer = ask(SessionMiddleware(page(put(a=1)), store))
    assert traffic.names() == ["EVALSHA"]
    assert answer.id is not None
    assert answer.all("set-cookie") == [
        f"session={answer.id}; Max-Age=600; Path=/; Secure; HttpOnly; SameSite=Lax"
    ]  # S-46
    assert (answer.all("vary"), answer.all("cache-control")) == (["Cookie"], ["no-store"])
    assert store.read(answer.id) == {"a": 1}


def test_a_read_is_one_round_trip_and_a_change_one_more(store: SessionStore, traffic: Traffic) -> None:
    id = store.create({"list": [1]})
    traffic.take()
    answer = ask(SessionMiddleware(page(get), store), id)
    assert (answer.body, answer.all("set-cookie"), answer.all("vary")) == (b"{'list': [1]}", [], ["Cookie"])
    assert answer.all("cache-control") == []
    assert traffic.names() == ["GET"]
    answer = ask(SessionMiddleware(page(lambda session: session["list"].append(2)), store), id)
    assert traffic.names() == ["GET", "EVALSHA"]
    assert answer.id == id
    assert store.read(id) == {"list": [1, 2]}


def test_rolling_lets_the_cookie_live_on_as_well(
    server: RedisServer, client: carmine.Client[str], traffic: Traffic
) -> None:
    store = SessionStore(client, ttl=600, rolling=True)
    id = store.create({"a": 1})
    key = store._keys.key_of(id).encode()
    server.call("PEXPIRE", key, 5000)
    traffic.take()
    answer = ask(SessionMiddleware(page(get), store), id)
    assert traffic.names() == ["EVALSHA"]
    assert answer.all("set-cookie") == [f"session={id}; Max-Age=600; Path=/; Secure; HttpOnly; SameSite=Lax"]
    assert answer.all("cache-control") == ["no-store"]
    assert left_of(server, key) > 5000
    assert ask(SessionMiddleware(page(get), store, max_age=None), id).all("set-cookie") == []
    assert ask(SessionMiddleware(page(get), store), UNKNOWN).all("set-cookie") == []


def test_how_long_the_browser_keeps_it(store: SessionStore) -> None:
    for age, told in ((60, "; Max-Age=60;"), (None, ""), (90.7, "; Max-Age=90;")):
        [cookie] = ask(SessionMiddleware(page(put(a=1)), store, max_age=age)).all("set-cookie")
        assert told in cookie
        assert ("Max-Age" in cookie) is (age is not None)


def test_s41_a_planted_id_is_not_adopted(server: RedisServer, store: SessionStore) -> None:
    answer = ask(SessionMiddleware(page(put(user="ada")), store), UNKNOWN)
    assert answer.id not in (None, UNKNOWN)
    assert store.read(UNKNOWN) is None
    assert store.read(answer.id) == {"user": "ada"}
    assert server.call("DBSIZE") == 1


def test_s41_a_login_gives_another_id(server: RedisServer, store: SessionStore, traffic: Traffic) -> None:
    def login(session: Session) -> None:
        session.regenerate()
        session["user"] = "ada"

    old = store.create({"cart": [1]})
    traffic.take()
    answer = ask(SessionMiddleware(page(login), store), old)
    assert traffic.names() == ["GET", "EVALSHA"]
    assert answer.id not in (None, old)
    assert store.read(old) is None
    assert store.read(answer.id) == {"cart": [1], "user": "ada"}


def test_s40_w07_hostile_cookies_touch_nothing(server: RedisServer, store: SessionStore, traffic: Traffic) -> None:
    server.call("SET", "admin:secret", "kept")
    app = SessionMiddleware(page(get), store)
    ends = SessionMiddleware(page(lambda session: session.invalidate()), store)
    for hostile in HOSTILE:
        if "\r" in hostile or "\n" in hostile:
            continue  # no server lets them through; the store's own tests have them
        answer = ask(app, hostile)
        assert (answer.status, answer.body, answer.all("set-cookie")) == ("200 OK", b"{}", [])
        assert ask(ends, hostile).all("set-cookie") == []
    assert traffic.take() == []
    assert server.call("GET", "admin:secret") == b"kept"


def test_s46_a_logout_deletes_the_session_and_the_cookie(store: SessionStore, traffic: Traffic) -> None:
    cookie = CookieSettings(name="sid", host_prefix=True, samesite="Strict")
    for end in (Session.invalidate, Session.clear):
        id = store.create({"user": "ada"})
        traffic.take()
        answer = ask(SessionMiddleware(page(end), store, cookie=cookie), id, cookie="__Host-sid")
        assert traffic.names()[-1] == "DEL"
        assert answer.all("set-cookie") == [cookie.delete_header()]
        assert answer.all("cache-control") == ["no-store"]
        assert store.read(id) is None


def test_w03_s43_a_logout_that_races_a_slow_request_wins(
    server: RedisServer, store: SessionStore, caplog: pytest.LogCaptureFixture
) -> None:
    """The slow one answers, without a cookie: the visitor may have logged in again meanwhile."""
    for change in ({"regenerate": True}, {}):
        id = store.create({"user": "ada"})

        def slow(session: Session, id: str = id, change: Any = change) -> str:
            session["late"] = session["user"]
            if change:
                session.regenerate()
            assert ask(SessionMiddleware(page(Session.invalidate), store), id).status == "200 OK"
            return "done"

        with caplog.at_level(logging.INFO, "carmine.sessions"):
            answer = ask(SessionMiddleware(page(slow), store), id)
        assert (answer.status, answer.body, answer.all("set-cookie")) == ("200 OK", b"done", [])
        assert "dropped" in caplog.text
        assert id not in caplog.text
    assert server.call("DBSIZE") == 0


@pytest.mark.parametrize(
    ("given", "added"),
    [
        ([], ["Vary: Cookie", "Cache-Control: no-store"]),
        ([("vary", "Accept, COOKIE")], ["Cache-Control: no-store"]),
        ([("Vary", "*")], ["Cache-Control: no-store"]),
        ([("Vary", "Accept")], ["Vary: Cookie", "Cache-Control: no-store"]),
        ([("Cache-Control", "private, max-age=5")], ["Vary: Cookie"]),
        ([("Cache-Control", "No-Store")], ["Vary: Cookie"]),
        ([("Cache-Control", "public, max-age=5")], ["Vary: Cookie", "Cache-Control: no-store"]),
    ],
)
def test_headers_of_the_application_stay(store: SessionStore, given: list[tuple[str, str]], added: list[str]) -> None:
    answer = ask(SessionMiddleware(page(put(a=1), *given), store))
    rest = [f"{name}: {value}" for name, value in answer.headers if name != "Set-Cookie"]
    assert rest == ["Content-Type: text/plain", *(f"{name}: {value}" for name, value in given), *added]


# While the server is away. -------------------------------------------------------------------------------------------


def test_w01_the_server_is_down(server: RedisServer, proxy: FaultProxy, caplog: pytest.LogCaptureFixture) -> None:
    """503 where the session is touched, and nowhere else; or nobody, and nothing is saved."""
    with carmine.Client(proxy.url(server.url), retry=Retry(1)) as client:
        store = SessionStore(client, timeout=1)
        id = store.create({"user": "ada"})
        proxy.refuse()
        proxy.kill()
        for view, sends in ((get, id), (put(a=1), id), (put(a=1), None), (Session.invalidate, id)):
            answer = ask(SessionMiddleware(page(view), store), sends)
            assert answer.status == "503 Service Unavailable"
            assert (answer.all("set-cookie"), answer.all("cache-control")) == ([], ["no-store"])
            assert answer.all("content-length") == [str(len(answer.body))]
            answer = ask(SessionMiddleware(page(view), store, on_error="anonymous"), sends)
            assert answer.all("set-cookie") == []
            if view is not Session.invalidate:
                assert (answer.status, answer.body in (b"{}", b"None")) == ("200 OK", True)
        assert ask(SessionMiddleware(page(lambda session: "up"), store), id).body == b"up"
        proxy.refuse(False)
        assert store.read(id) == {"user": "ada"}
    assert id not in caplog.text
    assert server.call("DBSIZE") == 1


def test_w01_an_empty_session_never_takes_the_place_of_one_that_could_not_be_read(
    server: RedisServer, proxy: FaultProxy
) -> None:
    """The server is back before the response goes out: what is stored there is more than this request knows."""
    with carmine.Client(proxy.url(server.url), retry=Retry(1)) as client:
        store = SessionStore(client, timeout=1)
        id = store.create({"user": "ada"})
        proxy.refuse()
        proxy.kill()

        def view(session: Session) -> None:
            session["a"] = 1
            proxy.refuse(False)

        answer = ask(SessionMiddleware(page(view), store, on_error="anonymous"), id)
        assert (answer.status, answer.all("set-cookie")) == ("200 OK", [])
        assert store.read(id) == {"user": "ada"}
    assert server.call("DBSIZE") == 1


@pytest.mark.parametrize("end", [Session.invalidate, Session.clear, Session.regenerate])
@pytest.mark.parametrize("moment", ["before it is read", "after it was read"])
def test_w01_no_logout_is_lost_in_silence(
    server: RedisServer, proxy: FaultProxy, end: Callable[[Session], None], moment: str
) -> None:
    """Whatever the policy: to say good bye, and leave the id alive, would be a lie."""
    with carmine.Client(proxy.url(server.url), retry=Retry(1)) as client:
        store = SessionStore(client, timeout=1)
        id = store.create({"user": "ada"})

        def cut() -> None:
            proxy.refuse()
            proxy.kill()

        def view(session: Session) -> str:
            if moment == "after it was read":
                assert session["user"] == "ada"
                cut()
            elif end is not Session.invalidate:
                assert "user" not in session
            end(session)
            return "good bye"

        if moment == "before it is read":
            cut()
        answer = ask(SessionMiddleware(page(view), store, on_error="anonymous"), id)
        assert (answer.status, answer.all("set-cookie")) == ("503 Service Unavailable", [])
        proxy.refuse(False)
        assert store.read(id) == {"user": "ada"}


def test_w01_a_deaf_server_hangs_nobody(stack: contextlib.ExitStack) -> None:
    """However often the application looks, the server is asked once."""
    deaf = stack.enter_context(Scripted(lambda number, block: b""))

    def look(session: Session) -> str:
        for _ in range(50):
            with pytest.raises(SessionUnavailable):
                session.get("user")
        return "no session today"

    with carmine.Client(deaf.url) as client:
        store = SessionStore(client, timeout=0.2)
        began = time.monotonic()
        assert ask(SessionMiddleware(page(get), store), UNKNOWN).status == "503 Service Unavailable"
        assert ask(SessionMiddleware(page(look), store), UNKNOWN).body == b"no session today"
        assert ask(SessionMiddleware(page(get), store), UNKNOWN, REQUEST_METHOD="HEAD").body == b""
        assert time.monotonic() - began < 0.6 + 3.0


def test_what_the_application_did_wrong_is_its_own_error(server: RedisServer, store: SessionStore) -> None:
    def fails(session: Session) -> float:
        session["a"] = 1
        return 1 / 0

    with pytest.raises(UsageError):
        ask(SessionMiddleware(page(put(a=object())), store))
    with pytest.raises(SessionTooLarge):
        ask(SessionMiddleware(page(put(a="x" * 70_000)), store))
    with pytest.raises(ZeroDivisionError):
        ask(SessionMiddleware(page(fails), store))
    assert server.call("DBSIZE") == 0


def test_a_closed_client_is_no_outage(url: str) -> None:
    client = carmine.Client(url)
    client.close()
    with pytest.raises(carmine.errors.PoolClosed):
        ask(SessionMiddleware(page(get), SessionStore(client)), UNKNOWN)


@pytest.mark.parametrize("words", [{"on_error": "ignore"}, {"cookie": "session"}, {"max_age": 0}, {"max_age": "1"}])
def test_bad_arguments_are_refused(store: SessionStore, words: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        SessionMiddleware(page(get), store, **words)


def test_the_other_worlds_store_is_refused() -> None:
    with pytest.raises(UsageError, match="takes a SessionStore, not AsyncSessionStore"):
        SessionMiddleware(page(get), AsyncSessionStore(carmine.AsyncClient()))  # type: ignore[arg-type]
