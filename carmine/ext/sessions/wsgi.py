"""Sessions for any WSGI application: `environ["carmine.session"]` is a `Session`, read at the first touch.

The session is saved before the headers go out: when the application has returned its chunks, or, where they are made
while they are sent, when the first is there. Invariants: what the application says to start_response is held back until
then; a response goes out whole or is replaced by a 503; the application's iterable is closed, whatever happens.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from carmine.errors import CarmineError, UsageError
from carmine.ext.sessions._sync.store import SessionStore
from carmine.ext.sessions.core.lifetimes import UNSET
from carmine.ext.sessions.core.serving import REFUSAL, UNAVAILABLE, Serving
from carmine.ext.sessions.core.session import Session
from carmine.ext.sessions.errors import SessionUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from carmine.ext.sessions.core.cookies import CookieSettings
    from carmine.ext.sessions.core.lifetimes import IdleArg
    from carmine.ext.sessions.core.serving import Header, OnError

__all__ = ["KEY", "SessionMiddleware"]

KEY: Final = "carmine.session"
"""Where the session is in the environ."""


class SessionMiddleware:
    """Gives each request of a WSGI application a session.

    Args:
        app: The application.
        store: Where sessions are.
        cookie: How the cookie looks; None for the safe defaults (over TLS alone).
        max_age: Seconds that the browser keeps it; not given, as long as the store keeps a session; None until the
            browser is closed.
        on_error: While the server cannot be asked: "raise" raises SessionUnavailable where the session is touched, and
            answers 503 unless the application catches it; "anonymous" goes on with an empty session, never saved
            (but what should have ended a session, and did not, is a 503 all the same).

    Raises:
        UsageError: An argument is none.
    """

    def __init__(
        self,
        app: WSGIApplication,
        store: SessionStore,
        *,
        cookie: CookieSettings | None = None,
        max_age: IdleArg = UNSET,
        on_error: OnError = "raise",
    ) -> None:
        if not isinstance(store, SessionStore):
            raise UsageError(f"a WSGI middleware takes a SessionStore, not {type(store).__name__}")
        self._app = app
        self._store = store
        self._serving = Serving(cookie, max_age, on_error, store.cookie_age, store.rolling)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        session = self._session(self._serving.cookie.read(environ.get("HTTP_COOKIE")))
        environ[KEY] = session
        return _Exchange(self._store, self._serving, session, environ, start_response).answer(self._app)

    def _session(self, id: str | None) -> Session:
        def load() -> bytes | None:
            try:
                return self._store.fetch(id)
            except CarmineError as problem:
                self._serving.unread(problem, session)
                return None

        session = Session(self._store.contents, id, load)
        return session


class _Exchange:
    """One request: what the application says, held back until the session is saved."""

    def __init__(
        self,
        store: SessionStore,
        serving: Serving,
        session: Session,
        environ: WSGIEnvironment,
        start_response: StartResponse,
    ) -> None:
        self._store = store
        self._serving = serving
        self._session = session
        self._environ = environ
        self._start_response = start_response
        self._said: tuple[str, list[Header]] | None = None
        self._added: list[Header] = []
        self._send: Callable[[bytes], object] | None = None  # the server's write(), once the headers went out
        self._is_refused = False

    def answer(self, app: WSGIApplication) -> Iterable[bytes]:
        """Run the application, and return what is sent."""
        try:
            body: Iterable[bytes] = app(self._environ, self._start)
        except SessionUnavailable:
            return self._refusal()
        if self._said is None or self._still_runs(body):
            return _Body(self, body)
        try:
            self._commit()
        except BaseException:
            close(body)
            raise
        if self._is_refused:
            close(body)
            return self._refusal()
        return body  # as it is: the server may know how to send a file, or the length of a list

    def chunks(self, body: Iterable[bytes]) -> Iterator[bytes]:
        """Run the rest of the application; its session is saved when the first chunk is there."""
        chunks = iter(body)
        first = []
        try:
            for chunk in chunks:
                first.append(chunk)
                break
        except SessionUnavailable:
            if self._send is not None:
                raise
            yield from self._refusal()
            return
        self._commit()
        if self._is_refused:
            yield from self._refusal()
            return
        yield from first
        yield from chunks

    def end(self) -> None:
        """Look whether anything came too late."""
        self._serving.tell_late(self._session)

    def _still_runs(self, body: object) -> bool:
        """Tell whether code of the application is to run yet, and not only a file to be sent."""
        files = self._environ.get("wsgi.file_wrapper")
        return hasattr(body, "__next__") and not (isinstance(files, type) and isinstance(body, files))

    def _start(self, status: str, headers: list[Header], exc_info: Any = None, /) -> Callable[[bytes], object]:
        """Note status and headers; the application's start_response."""
        if self._send is not None:  # too late for all but the server's own judgement
            return self._start_response(status, [*headers, *self._added], exc_info)
        if self._said is not None and exc_info is None:
            raise AssertionError("start_response() was called twice, and the second time without exc_info")
        self._said = status, headers
        return self._write

    def _write(self, data: bytes) -> None:
        """Send at once; the application's write()."""
        refusal: Iterable[bytes] = ()
        if self._send is None:
            self._commit()
            refusal = self._refusal() if self._is_refused else ()
        assert self._send is not None
        for chunk in refusal if self._is_refused else (data,):
            self._send(chunk)

    def _commit(self) -> None:
        """Save the session, and let the headers go out; where they never came the server complains itself."""
        if self._send is not None or self._said is None:
            return
        status, headers = self._said
        plan = None
        try:
            plan = self._store.save(self._session)
        except CarmineError as problem:
            self._is_refused = self._serving.unsaved(problem, self._session)
        self._session.seal()
        if not self._is_refused:
            self._added = self._serving.headers(self._session, plan, headers)
            self._send = self._start_response(status, [*headers, *self._added])

    def _refusal(self) -> Iterable[bytes]:
        """Answer 503, unless that was done."""
        if self._send is not None:
            return ()
        self._is_refused = True
        self._send = self._start_response("503 Service Unavailable", list(REFUSAL))
        return () if self._environ.get("REQUEST_METHOD") == "HEAD" else (UNAVAILABLE,)


class _Body:
    """An iterable of the application whose code runs while it is sent."""

    def __init__(self, exchange: _Exchange, body: Iterable[bytes]) -> None:
        self._exchange = exchange
        self._body = body

    def __iter__(self) -> Iterator[bytes]:
        return self._exchange.chunks(self._body)

    def close(self) -> None:
        """Close the application's own, also one that was never begun."""
        close(self._body)
        self._exchange.end()


def close(body: object) -> None:
    """Close an iterable that can be closed."""
    end = getattr(body, "close", None)
    if end is not None:
        end()
