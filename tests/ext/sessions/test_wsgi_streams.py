"""The ways of a WSGI application: chunks, files, streams, write(), and errors at every moment."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING, Any
from wsgiref.util import FileWrapper
from wsgiref.validate import validator

import pytest

import carmine
from carmine.errors import UsageError
from carmine.ext.sessions import (
    Session,
    SessionSealed,
    SessionStore,
)
from carmine.ext.sessions.wsgi import KEY, SessionMiddleware
from carmine.retry import Retry
from tests.ext.sessions.wsgi_kit import Closing, ask

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from wsgiref.types import StartResponse, WSGIEnvironment

    from tests.lab.servers import RedisServer

UNKNOWN = "u" * 43


# The ways of an application. -----------------------------------------------------------------------------------------


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
