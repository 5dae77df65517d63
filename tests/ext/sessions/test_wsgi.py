"""The WSGI middleware, between applications of every manner and a server that `wsgiref.validate` plays."""

from __future__ import annotations

import io
import logging
import re
import sys
import time
from typing import TYPE_CHECKING, Any, NamedTuple
from wsgiref.util import FileWrapper, setup_testing_defaults
from wsgiref.validate import validator

import pytest

import carmine
from carmine.errors import UsageError
from carmine.ext.sessions import (
    AsyncSessionStore,
    CookieSettings,
    Session,
    SessionSealed,
    SessionStore,
    SessionTooLarge,
    SessionUnavailable,
)
from carmine.ext.sessions.wsgi import KEY, SessionMiddleware
from carmine.retry import Retry
from tests.ext.sessions.planting import HOSTILE, left_of
from tests.ext.sessions.traffic import Traffic
from tests.lab.scripted import Scripted

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Callable, Iterable, Iterator
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from tests.lab.proxy import FaultProxy
    from tests.lab.servers import RedisServer

UNKNOWN = "u" * 43


class Answer(NamedTuple):
    status: str
    headers: list[tuple[str, str]]
    body: bytes

    def all(self, name: str) -> list[str]:
        return [value for known, value in self.headers if known.lower() == name.lower()]

    @property
    def id(self) -> str | None:
        """The id that the cookie gives; None where it gives none."""
        [cookie] = self.all("set-cookie") or [""]
        found = re.match(r"[^=]+=([\w-]{43});", cookie)
        return found and found[1]


def ask(app: WSGIApplication, id: str | None = None, *, cookie: str = "session", **environ: Any) -> Answer:
    """Be a server that looks whether both sides keep to PEP 3333, and return what the browser gets."""
    full: WSGIEnvironment = {"QUERY_STRING": "", "SCRIPT_NAME": "", "PATH_INFO": "/", **environ}
    setup_testing_defaults(full)
    if id is not None:
        full["HTTP_COOKIE"] = f"{cookie}={id}"
    told: list[Any] = []
    sent: list[bytes] = []

    def start_response(status: str, headers: Any, exc_info: Any = None, /) -> Callable[[bytes], object]:
        told[:] = [status, list(headers)]
        return sent.append

    body = validator(app)(full, start_response)
    try:
        for chunk in body:
            assert told, "a chunk came before start_response"
            sent.append(chunk)
    finally:
        body.close()  # type: ignore[attr-defined]  # the validator's
    return Answer(told[0], told[1], b"".join(sent))


def page(view: Callable[[Session], object], *headers: tuple[str, str]) -> WSGIApplication:
    """Return an application that shows what a view returns."""

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        text = str(view(environ[KEY])).encode()
        start_response("200 OK", [("Content-Type", "text/plain"), *headers])
        return [text]

    return validator(app)


@pytest.fixture
def client(url: str) -> Iterator[carmine.Client[str]]:
    """Give a client whose server knows the scripts."""
    with carmine.Client(url) as made:
        store = SessionStore(made, "warm", rolling=True)
        id = store.regenerate(store.create({}))
        store.update(id, {})
        store.read(id)
        store.delete(id)
        yield made


@pytest.fixture
def store(client: carmine.Client[str]) -> SessionStore:
    return SessionStore(client, ttl=600)


@pytest.fixture
def traffic(server: RedisServer, client: carmine.Client[str]) -> Iterator[Traffic]:
    with Traffic(server) as made:
        yield made


def put(**data: Any) -> Callable[[Session], object]:
    return lambda session: session.update(data)


def get(session: Session) -> object:
    return dict(session)


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
            assert (answer.status, answer.all("set-cookie")) == ("200 OK", [])
            assert answer.body in (b"{}", b"None")
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
            session.regenerate()
            proxy.refuse(False)

        answer = ask(SessionMiddleware(page(view), store, on_error="anonymous"), id)
        assert (answer.status, answer.all("set-cookie")) == ("200 OK", [])
        assert store.read(id) == {"user": "ada"}
    assert server.call("DBSIZE") == 1


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


# The ways of an application. -----------------------------------------------------------------------------------------


class Closing(list[bytes]):
    """Chunks that say whether they were closed."""

    closed = 0

    def close(self) -> None:
        self.closed += 1


def test_chunks_that_are_made_already_pass_as_they_are(store: SessionStore) -> None:
    chunks = Closing([b"a", b"b"])

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [])
        environ[KEY]["a"] = 1
        return chunks

    told: list[Any] = []

    def start(*words: Any) -> Callable[[bytes], object]:
        told.extend(words)
        return print

    assert SessionMiddleware(app, store)({}, start) is chunks
    assert [name for name, _ in told[1]] == ["Vary", "Set-Cookie", "Cache-Control"]


def test_a_file_passes_as_it_is(store: SessionStore) -> None:
    file = FileWrapper(io.BytesIO(b"data"))

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [])
        environ[KEY]["downloads"] = 1
        return file

    environ: WSGIEnvironment = {"wsgi.file_wrapper": FileWrapper}
    assert SessionMiddleware(app, store)(environ, lambda *words: print) is file


def test_a_stream_may_change_its_session_before_its_first_chunk(
    store: SessionStore, caplog: pytest.LogCaptureFixture
) -> None:
    """Afterwards a change raises; one inside a nested value, which nobody can catch in the act, is told in the log."""
    seen: list[object] = []

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
        session: Session = environ[KEY]
        session["list"] = [1]
        start_response("200 OK", [("Content-Type", "text/plain")])
        session["list"].append(2)
        try:
            yield b"first"
            seen.append(dict(session))
            with pytest.raises(SessionSealed):
                session["a"] = 1
            session["list"].append(3)
            yield b"second"
        finally:
            seen.append("closed")

    answer = ask(SessionMiddleware(validator(app), store))
    assert answer.body == b"firstsecond"
    assert store.read(answer.id) == {"list": [1, 2]}
    assert seen == [{"list": [1, 2, 3]}, "closed"] or seen[1:] == ["closed"]
    assert "after the response's headers had gone out" in caplog.text


def test_a_stream_that_nobody_reads_is_closed(store: SessionStore, server: RedisServer) -> None:
    class Chunks:
        closed = False

        def __iter__(self) -> Iterator[bytes]:
            return self

        def __next__(self) -> bytes:
            raise AssertionError("nobody asked")

        def close(self) -> None:
            self.closed = True

    chunks = Chunks()

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        environ[KEY]["a"] = 1
        start_response("200 OK", [])
        return chunks

    body = SessionMiddleware(app, store)({}, lambda *words: print)
    body.close()  # type: ignore[attr-defined]
    assert chunks.closed
    assert server.call("DBSIZE") == 0, "no header went out, so nothing was to be saved"


def test_a_stream_without_a_chunk_is_saved_at_its_end(store: SessionStore) -> None:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
        start_response("204 No Content", [])
        environ[KEY]["a"] = 1
        yield from ()

    answer = ask(SessionMiddleware(app, store))
    assert (answer.status, answer.body) == ("204 No Content", b"")
    assert store.read(answer.id) == {"a": 1}


def test_w01_a_stream_that_cannot_be_saved_is_a_503(url: str) -> None:
    closed: list[str] = []

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        try:
            environ[KEY]["a"] = 1
            yield b"secret"
        finally:
            closed.append("closed")

    def reads(environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        try:
            yield str(environ[KEY]["user"]).encode()
        finally:
            closed.append("closed")

    def makes(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        environ[KEY]["a"] = 1
        start_response("200 OK", [("Content-Type", "text/plain")])(b"secret")
        return Closing()

    with carmine.Client("redis://127.0.0.1:1", retry=Retry(1)) as client:
        store = SessionStore(client)
        for each, id in ((app, None), (reads, UNKNOWN), (makes, None)):
            answer = ask(SessionMiddleware(each, store), id)
            assert answer.status == "503 Service Unavailable"
            assert b"secret" not in answer.body
            assert len(answer.body) == int(answer.all("content-length")[0])
    assert closed == ["closed", "closed"]


def test_write_sends_at_once_and_so_saves_before(store: SessionStore) -> None:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        write = start_response("200 OK", [("Content-Type", "text/plain")])
        environ[KEY]["a"] = 1
        write(b"one ")
        with pytest.raises(SessionSealed):
            environ[KEY]["b"] = 1
        write(b"two ")
        return [b"three"]

    answer = ask(SessionMiddleware(app, store))
    assert answer.body == b"one two three"
    assert store.read(answer.id) == {"a": 1}


def test_an_error_page_takes_the_place_of_what_was_said(store: SessionStore) -> None:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain"), ("X-Was", "well")])
        environ[KEY]["failures"] = 1
        try:
            raise ValueError("too late for 200")
        except ValueError:
            start_response("500 Oops", [("Content-Type", "text/plain")], sys.exc_info())
        return [b"sorry"]

    answer = ask(SessionMiddleware(app, store))
    assert (answer.status, answer.body, answer.all("x-was")) == ("500 Oops", b"sorry", [])
    assert store.read(answer.id) == {"failures": 1}


def test_an_error_after_the_headers_is_the_servers_to_judge(store: SessionStore) -> None:
    """It gets the headers of the session once more: if nothing was sent yet, they replace the first."""
    calls: list[tuple[Any, ...]] = []

    def start_response(*words: Any) -> Callable[[bytes], object]:
        calls.append(words)
        return print

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
        environ[KEY]["a"] = 1
        start_response("200 OK", [])
        yield b""
        problem = ValueError("late")
        start_response("500 Oops", [], (ValueError, problem, None))  # type: ignore[arg-type]
        yield b"sorry"

    assert b"".join(SessionMiddleware(app, store)({}, start_response)) == b"sorry"
    (_, first), (status, second, exc_info) = calls
    assert status == "500 Oops"
    assert first == second
    assert [name for name, _ in second] == ["Vary", "Set-Cookie", "Cache-Control"]
    assert isinstance(exc_info[1], ValueError)


def test_start_response_twice_is_refused(store: SessionStore) -> None:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [])
        start_response("200 OK", [])
        return []

    with pytest.raises(AssertionError, match="twice"):
        SessionMiddleware(app, store)({}, lambda *words: print)


def test_an_error_of_saving_closes_the_chunks(store: SessionStore) -> None:
    chunks = Closing([b"a"])

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        environ[KEY]["a"] = object()
        start_response("200 OK", [])
        return chunks

    with pytest.raises(UsageError):
        SessionMiddleware(app, store)({}, lambda *words: print)
    assert chunks.closed == 1


@pytest.mark.parametrize("words", [{"on_error": "ignore"}, {"cookie": "session"}, {"max_age": 0}, {"max_age": "1"}])
def test_bad_arguments_are_refused(store: SessionStore, words: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        SessionMiddleware(page(get), store, **words)


def test_the_other_worlds_store_is_refused() -> None:
    with pytest.raises(UsageError, match="takes a SessionStore, not AsyncSessionStore"):
        SessionMiddleware(page(get), AsyncSessionStore(carmine.AsyncClient()))  # type: ignore[arg-type]
