"""Sessions of Django, in threads and in loops: what is asked and when, settings, lives, what no visitor can do.

FAULTS W02, W03, W04, W07; SECURITY S-24, S-30, S-40, S-41, S-43, S-44, S-45, S-46, each in the test that it names.
"""

from __future__ import annotations

import asyncio
import json
import re
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.sessions.backends.base import CreateError
from django.core import management, signing
from django.test import override_settings

from carmine.ext.sessions.django import SessionStore
from carmine.ext.sessions.django.config import current
from carmine.ext.sessions.keys import is_id
from carmine.retry import Retry
from tests.ext.sessions.django_kit.site import BETWEEN, Visitor, cookie_of, cookies_of
from tests.ext.sessions.planting import HOSTILE, age, key_in, left_of
from tests.ext.sessions.traffic import Traffic

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lab.servers import RedisServer

pytestmark = pytest.mark.one_twin

UNKNOWN = "u" * 43
"""Of the right form, and nobody's."""

FORTNIGHT_MS = 14 * 24 * 60 * 60 * 1000
"""Django's own SESSION_COOKIE_AGE."""

STOCK = "django.contrib.sessions.middleware.SessionMiddleware"


@pytest.fixture(autouse=True)
def sessions(server: RedisServer) -> Iterator[None]:
    """Keep the site's sessions on the clean server, which has the scripts."""
    with override_settings(CARMINE_SESSIONS={"url": server.url}):
        session = SessionStore()
        session.save()
        session.save()
        session.cycle_key()
        session.delete()
        yield
    BETWEEN.clear()
    current()  # lets go of the server's client


@pytest.fixture(params=["threads", "loop"])
def visitor(request: pytest.FixtureRequest) -> Visitor:
    return Visitor(request.param)


# What is asked, and when. --------------------------------------------------------------------------------------------


def test_a_request_that_looks_at_no_session_asks_nobody(server: RedisServer, visitor: Visitor) -> None:
    id, _ = cookie_of(visitor.ask("/write/a/1"))
    with Traffic(server) as traffic:
        response = visitor.ask("/plain", id)
        assert traffic.take() == []
    assert "Vary" not in response
    assert cookies_of(response) == []


def test_a_read_is_one_round_trip_and_a_change_one_more(server: RedisServer, visitor: Visitor) -> None:
    with Traffic(server) as traffic:
        assert visitor.ask("/read").json() == {}
        assert traffic.names() == []
        id, _ = cookie_of(visitor.ask("/write/a/1"))
        assert traffic.names() == ["EVALSHA"]
        assert visitor.ask("/read", id).json() == {"a": "1"}
        assert traffic.names() == ["GET"]
        visitor.ask("/write/a/2", id)
        assert traffic.names() == ["GET", "EVALSHA"]
        visitor.ask("/login/ada", id)  # read, moved, written
        assert traffic.names() == ["GET", "EVALSHA", "EVALSHA"]


def test_nothing_is_stored_before_the_first_change(server: RedisServer, visitor: Visitor) -> None:
    response = visitor.ask("/read")
    assert cookies_of(response) == []
    assert response["Vary"] == "Cookie"
    assert server.call("DBSIZE") == 0


def test_behind_a_broken_view_nothing_is_saved(server: RedisServer, visitor: Visitor) -> None:
    assert visitor.ask("/broken").status_code == 500
    assert server.call("DBSIZE") == 0


def test_asynchronous_requests_use_no_blocking_client(server: RedisServer) -> None:
    visitor = Visitor("loop")
    with override_settings(CARMINE_SESSIONS={"url": server.url}):
        id, _ = cookie_of(visitor.ask("/login/ada"))
        visitor.ask("/logout", id)
        assert current().clients.of_threads().pool.stats().opened == 0


def test_each_loop_has_a_client_that_ends_with_it(server: RedisServer) -> None:
    visitor = Visitor("loop")
    id, _ = cookie_of(visitor.ask("/write/a/1"))
    with ThreadPoolExecutor(4) as pool:  # loops side by side, as a blocking server runs asynchronous views
        answers = list(pool.map(lambda _: visitor.ask("/read", id).json(), range(12)))
    assert answers == [{"a": "1"}] * 12
    assert current().clients.count() == 0
    assert current().clients.of_threads().pool.stats().opened == 1
    server.wait_clients(1)

    async def one_loop() -> tuple[int, list[Any]]:
        sessions = await asyncio.gather(*(SessionStore(id).aload() for _ in range(20)))
        return current().clients.count(), sessions

    for run in (asyncio.run, pytest.importorskip("uvloop").run):
        assert run(one_loop()) == (1, [{"a": "1"}] * 20)
        assert current().clients.count() == 0
        server.wait_clients(1)


def test_a_loop_that_ends_without_a_word_leaves_no_client_behind(server: RedisServer) -> None:
    """Not by asyncio.run: nobody lets its generators end."""
    loop = asyncio.new_event_loop()
    loop.run_until_complete(SessionStore(UNKNOWN).aload())
    client = loop.run_until_complete(current().clients.of_this_loop())
    loop.run_until_complete(client.aclose())
    loop.close()
    assert current().clients.count() == 1
    asyncio.run(SessionStore(UNKNOWN).aload())
    assert current().clients.count() == 0


@pytest.mark.parametrize("kind", ["threads", "loop"])
def test_django_s_own_middleware_works_too(server: RedisServer, kind: str) -> None:
    with override_settings(MIDDLEWARE=[STOCK]):
        visitor = Visitor(kind)
        id, _ = cookie_of(visitor.ask("/login/ada"))
        assert visitor.ask("/read", id).json() == {"user": "ada"}
        assert cookie_of(visitor.ask("/logout", id))[0] == ""
    assert server.call("DBSIZE") == 0


# Settings and lives. -------------------------------------------------------------------------------------------------

USUAL = {"HttpOnly", "Path=/", "SameSite=Lax"}
ATTRIBUTES: list[tuple[dict[str, Any], set[str]]] = [
    ({}, USUAL),
    ({"SESSION_COOKIE_HTTPONLY": False}, USUAL - {"HttpOnly"}),
    ({"SESSION_COOKIE_SECURE": True}, USUAL | {"Secure"}),
    ({"SESSION_COOKIE_SAMESITE": "Strict"}, USUAL - {"SameSite=Lax"} | {"SameSite=Strict"}),
    ({"SESSION_COOKIE_PATH": "/here"}, USUAL - {"Path=/"} | {"Path=/here"}),
    ({"SESSION_COOKIE_DOMAIN": "example.org"}, USUAL | {"Domain=example.org"}),
]


@pytest.mark.parametrize(("words", "wanted"), ATTRIBUTES, ids=lambda one: "-".join(one) or "default")
def test_s46_the_cookie_has_the_attributes_of_the_settings_also_when_it_is_deleted(
    visitor: Visitor, words: dict[str, Any], wanted: set[str]
) -> None:
    with override_settings(**words):
        response = visitor.ask("/write/a/1")
        id, attributes = cookie_of(response)
        assert is_id(id)
        assert {one for one in attributes if not one.startswith(("expires", "Max-Age"))} == wanted
        assert response["Vary"] == "Cookie"
        assert "no-store" in response["Cache-Control"]
        response = visitor.ask("/logout", id)
        value, attributes = cookie_of(response)
        assert value == ""
        # Django's own way to delete says nothing of HttpOnly, which is no part of what tells cookies apart
        assert attributes == wanted - {"HttpOnly"} | {"expires=Thu, 01 Jan 1970 00:00:00 GMT", "Max-Age=0"}
        assert response["Vary"] == "Cookie"


def lasting(response: Any) -> int | None:
    """Return for how many seconds a browser keeps the cookie; None until it is closed."""
    _, attributes = cookie_of(response)
    found = [int(one.partition("=")[2]) for one in attributes if one.startswith("Max-Age=")]
    return found[0] if found else None


def test_sessions_live_as_long_as_django_says(server: RedisServer, visitor: Visitor) -> None:
    response = visitor.ask("/write/a/1")
    assert lasting(response) == FORTNIGHT_MS // 1000
    assert FORTNIGHT_MS - 60_000 < left_of(server, key_in(server)) <= FORTNIGHT_MS
    id, _ = cookie_of(response)
    with override_settings(SESSION_COOKIE_AGE=60):
        assert lasting(visitor.ask("/write/a/2", id)) == 60
        assert left_of(server, key_in(server)) <= 60_000
    with override_settings(SESSION_EXPIRE_AT_BROWSER_CLOSE=True):
        assert lasting(visitor.ask("/write/a/3", id)) is None
    assert lasting(visitor.ask("/expire/100", id)) == 100
    assert 0 < left_of(server, key_in(server)) <= 100_000
    assert lasting(visitor.ask("/expire/0", id)) is None  # until the browser is closed
    assert lasting(visitor.ask("/expire/10000000000", id)) == 10_000_000_000  # longer than anything lasts here
    assert left_of(server, key_in(server)) > FORTNIGHT_MS


@pytest.mark.parametrize("rolls", [True, False])
def test_a_session_that_is_saved_at_every_request_rolls(server: RedisServer, visitor: Visitor, rolls: bool) -> None:
    id, _ = cookie_of(visitor.ask("/write/a/1"))
    server.call("PEXPIRE", key_in(server), 60_000)
    with override_settings(SESSION_SAVE_EVERY_REQUEST=rolls):
        response = visitor.ask("/plain", id)
        assert len(cookies_of(response)) == rolls
        assert (left_of(server, key_in(server)) > 60_000) == rolls
        for planted in (UNKNOWN, "planted!"):
            refused = visitor.ask("/plain", planted)
            assert [cookie_of(refused)[0]] == [""] if rolls else cookies_of(refused) == []
    assert server.call("DBSIZE") == 1  # an unknown key makes no session


def test_s44_an_absolute_end_outlasts_use_but_not_a_login(server: RedisServer, visitor: Visitor) -> None:
    with override_settings(CARMINE_SESSIONS={"url": server.url, "absolute_ttl": 60, "prefix": "short"}):
        id, _ = cookie_of(visitor.ask("/write/a/1"))
        assert key_in(server).startswith(b"short:")
        age(server, key_in(server), 50)
        visitor.ask("/write/a/2", id)
        assert 0 < left_of(server, key_in(server)) <= 10_000
        visitor.ask("/login/ada", id)
        assert 10_000 < left_of(server, key_in(server)) <= 60_000


def test_clearsessions_has_nothing_to_do_and_says_so(server: RedisServer, caplog: pytest.LogCaptureFixture) -> None:
    SessionStore().save()
    caplog.set_level("INFO", "carmine.sessions")
    with Traffic(server) as traffic:
        management.call_command("clearsessions")
        asyncio.run(SessionStore.aclear_expired())
        assert traffic.take() == []
    assert [record.message.partition(",")[0] for record in caplog.records] == ["clearsessions: nothing to do"] * 2
    assert server.call("DBSIZE") == 1


# What no visitor can do. ---------------------------------------------------------------------------------------------


def test_s40_w07_a_hostile_cookie_touches_nothing(server: RedisServer, visitor: Visitor) -> None:
    server.call("SET", "admin:secret", "kept")
    # Django strips blanks off a cookie, behind which an id may be left
    hostile = [cookie for cookie in HOSTILE if not is_id(cookie.strip())]
    assert len(hostile) >= len(HOSTILE) - 1
    with Traffic(server) as traffic:
        for cookie in hostile:
            assert visitor.ask("/read", cookie).json() == {}
            assert visitor.ask("/logout", cookie).status_code == 200
            assert SessionStore(cookie).exists(cookie) is False
        assert traffic.take() == []
    assert server.call("GET", "admin:secret") == b"kept"


@pytest.mark.parametrize("where", ["/write/a/1", "/login/ada"])
def test_s41_a_key_chosen_by_the_visitor_is_never_adopted(server: RedisServer, visitor: Visitor, where: str) -> None:
    for planted in (UNKNOWN, "chosen by the visitor"):
        id, _ = cookie_of(visitor.ask(where, planted))
        assert is_id(id)
        assert id != planted
        assert visitor.ask("/read", planted).json() == {}
        assert visitor.ask("/read", id).json() != {}
    assert server.call("DBSIZE") == 2


def test_s41_must_create_adopts_no_key_either(server: RedisServer) -> None:
    session = SessionStore(UNKNOWN)
    session["user"] = "ada"
    session.save(must_create=True)
    assert session.session_key != UNKNOWN
    assert SessionStore(session.session_key).load() == {"user": "ada"}
    with pytest.raises(CreateError):
        SessionStore(session.session_key).save(must_create=True)
    with pytest.raises(CreateError):
        asyncio.run(SessionStore(session.session_key).asave(must_create=True))
    assert server.call("DBSIZE") == 1


def test_s41_a_login_changes_the_key_in_one_step(server: RedisServer, visitor: Visitor) -> None:
    old, _ = cookie_of(visitor.ask("/write/cart/3"))
    new, _ = cookie_of(visitor.ask("/login/ada", old))
    assert new != old
    assert visitor.ask("/read", new).json() == {"cart": "3", "user": "ada"}
    assert visitor.ask("/read", old).json() == {}
    assert server.call("DBSIZE") == 1


def test_what_is_written_after_a_logout_begins_another_session(server: RedisServer, visitor: Visitor) -> None:
    old, _ = cookie_of(visitor.ask("/login/ada"))
    new, _ = cookie_of(visitor.ask("/goodbye", old))
    assert new != old
    assert visitor.ask("/read", new).json() == {"said": "good bye"}
    assert visitor.ask("/read", old).json() == {}
    assert server.call("DBSIZE") == 1


def test_s45_what_is_too_large_is_not_sent(server: RedisServer, visitor: Visitor) -> None:
    id, _ = cookie_of(visitor.ask("/write/a/1"))
    assert visitor.ask("/large", id).status_code == 500
    assert visitor.ask("/read", id).json() == {"a": "1"}


@pytest.mark.parametrize("change", ["/write/late/1", "/login/ada"])
def test_w03_s43_a_logout_that_races_a_slow_request_stays_logged_out(
    server: RedisServer, visitor: Visitor, change: str
) -> None:
    """The slow request has read its session when the visitor logs out; then it changes it, and is told so."""
    id, _ = cookie_of(visitor.ask("/login/ada"))
    BETWEEN.append(lambda: Visitor("threads").ask("/logout", id))
    response = visitor.ask(change, id)
    assert response.status_code == 400
    assert cookies_of(response) == []
    assert server.call("DBSIZE") == 0
    assert visitor.ask("/read", id).json() == {}


def test_w04_of_two_requests_the_last_to_write_has_written(visitor: Visitor) -> None:
    """They change different fields: the whole of the one or the whole of the other, as the page says."""
    id, _ = cookie_of(visitor.ask("/write/cart/3"))
    BETWEEN.append(lambda: Visitor("threads").ask("/write/first/1", id))
    visitor.ask("/write/last/1", id)
    assert visitor.ask("/read", id).json() == {"cart": "3", "last": "1"}


def test_w02_s30_what_is_planted_in_redis_makes_no_session(server: RedisServer, visitor: Visitor) -> None:
    """Neither junk nor contents that are well written but not signed by this site."""
    id, _ = cookie_of(visitor.ask("/login/ada"))
    key = key_in(server)
    head, _, frozen = server.text("GET", key).partition(b"\n")
    session = SessionStore()
    root = {"user": "root"}
    forged = signing.dumps(root, key="of another site", salt=session.key_salt, serializer=session.serializer)
    for planted in (b"", b"junk", b"cos\nsystem\n(S'true'\ntR.", json.dumps(root).encode(), forged.encode()):
        server.call("SET", key, head + b"\n" + frozen[:2] + planted)
        assert visitor.ask("/read", id).json() == {}
    server.call("SET", key, planted)
    assert visitor.ask("/read", id).json() == {}


def test_s24_the_log_holds_neither_ids_nor_contents(
    server: RedisServer, visitor: Visitor, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    id, _ = cookie_of(visitor.ask("/login/canary-user"))
    visitor.ask("/read", id)
    server.call("SET", key_in(server), "canary-planted")
    visitor.ask("/read", id)
    away = {"url": "redis://:canary-password@127.0.0.1:1", "options": {"retry": Retry(1)}}
    with override_settings(CARMINE_SESSIONS=away):
        assert visitor.ask("/read", id).status_code == 503
    assert "cannot be asked" in caplog.text
    assert "cannot be read" in caplog.text
    assert id not in caplog.text
    assert "canary" not in caplog.text.replace("/login/canary-user", "")  # Django logs paths


def test_what_is_stored_is_what_django_s_engines_store(server: RedisServer) -> None:
    session = SessionStore()
    session["when"] = [1, 2]
    session.save()
    stored = server.text("GET", key_in(server))
    assert session.session_key is not None
    assert session.session_key.encode() not in stored
    assert session.decode(stored.partition(b"\n")[2][2:].decode()) == {"when": [1, 2]}
    assert re.fullmatch(rb"carmine:session:[0-9a-f]{64}", key_in(server))
