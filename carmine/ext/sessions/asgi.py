"""Sessions for any ASGI application: `scope["session"]` is a `Session`; takes the place of Starlette's own middleware.

It is read before the application runs, if the request has a cookie, for nobody can wait inside `scope["session"]["a"]`;
it is saved before the headers go out: with `http.response.start`, and with `websocket.accept` or the denial of one.
Invariants: a response goes out whole or is replaced by a 503; an application that touches no session meets no error of
one; lifespan and what else there may be passes through.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from carmine.errors import CarmineError, UsageError
from carmine.ext.sessions._async.store import AsyncSessionStore
from carmine.ext.sessions.core.cookies import CookieSettings
from carmine.ext.sessions.core.lifetimes import UNSET
from carmine.ext.sessions.core.serving import REFUSAL, UNAVAILABLE, Serving
from carmine.ext.sessions.core.session import Session
from carmine.ext.sessions.errors import SessionUnavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, MutableMapping
    from typing import TypeAlias

    from carmine.ext.sessions.core.lifetimes import IdleArg
    from carmine.ext.sessions.core.serving import Header, OnError

    Message: TypeAlias = MutableMapping[str, Any]
    Scope: TypeAlias = MutableMapping[str, Any]
    Receive: TypeAlias = Callable[[], Awaitable[Message]]
    Send: TypeAlias = Callable[[Message], Awaitable[None]]
    App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]
    RawHeaders: TypeAlias = Iterable[tuple[bytes, bytes]]

__all__ = ["SessionMiddleware"]

_BEGINNINGS: Final = frozenset({"http.response.start", "websocket.accept", "websocket.http.response.start"})
"""Messages that carry headers."""

_TRY_AGAIN_LATER: Final = 1013
"""A websocket's code for a server that cannot serve right now."""


class SessionMiddleware:
    """Gives each request and each websocket of an ASGI application a session.

    The words for the cookie are those of Starlette's middleware; the store stands in the place of its secret key, and
    https_only is True unless said otherwise.

    Args:
        app: The application.
        store: Where sessions are.
        session_cookie: The name of the cookie.
        max_age: Seconds that the browser keeps it; not given, as long as the store keeps a session; None until the
            browser is closed.
        path: For which paths it is sent.
        same_site: "lax", "strict" or "none".
        https_only: Whether it goes over TLS alone; False for development only.
        domain: None for this host alone.
        partitioned: Whether it is kept apart for each site that embeds this one.
        cookie: All of these in one, with `host_prefix` and the like; the other words for the cookie are then not used.
        on_error: While the server cannot be asked: "raise" raises SessionUnavailable where the session is touched, and
            answers 503 unless the application catches it; "anonymous" goes on with an empty session, never saved
            (but what should have ended a session, and did not, is a 503 all the same).

    Raises:
        UsageError: An argument is none.
    """

    def __init__(
        self,
        app: App,
        store: AsyncSessionStore,
        session_cookie: str = "session",
        max_age: IdleArg = UNSET,
        path: str = "/",
        same_site: str | None = "lax",
        https_only: bool = True,
        domain: str | None = None,
        partitioned: bool = False,
        *,
        cookie: CookieSettings | None = None,
        on_error: OnError = "raise",
    ) -> None:
        if not isinstance(store, AsyncSessionStore):
            raise UsageError(f"an ASGI middleware takes an AsyncSessionStore, not {type(store).__name__}")
        made = CookieSettings(session_cookie, path, domain, https_only, True, same_site, partitioned=partitioned)
        self._app = app
        self._store = store
        self._serving = Serving(cookie or made, max_age, on_error, store.cookie_age, store.rolling)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        session = await self._session(self._serving.cookie.read(_header(scope.get("headers", ()), b"cookie")))
        scope["session"] = session
        exchange = _Exchange(self._store, self._serving, session, scope, send)
        try:
            await self._app(scope, receive, exchange.send)
        except SessionUnavailable:
            if exchange.has_begun:
                raise
            await exchange.refuse()
        self._serving.tell_late(session)

    async def _session(self, id: str | None) -> Session:
        frozen: bytes | None = None
        problem: CarmineError | None = None
        if id is not None:
            try:
                frozen = await self._store.fetch(id)
            except CarmineError as failed:
                problem = failed

        def load() -> bytes | None:
            if problem is not None:
                self._serving.unread(problem, session)
            return frozen

        session = Session(self._store.contents, id, load)
        return session


class _Exchange:
    """One connection: the message that begins the response waits until the session is saved."""

    def __init__(self, store: AsyncSessionStore, serving: Serving, session: Session, scope: Scope, send: Send) -> None:
        self._store = store
        self._serving = serving
        self._session = session
        self._scope = scope
        self._send = send
        self._is_refused = False
        self.has_begun = False
        """Whether the application has begun to answer."""

    async def send(self, message: Message) -> None:
        """Pass a message on; the application's send."""
        if self._is_refused:
            return  # the visitor has his answer
        if not self.has_begun and message["type"] in _BEGINNINGS:
            self.has_begun = True
            plan = None
            try:
                plan = await self._store.save(self._session)
            except CarmineError as problem:
                if self._serving.unsaved(problem, self._session):
                    await self.refuse()
                    return
            finally:
                self._session.seal()
            given = list(message.get("headers", ()))
            added = self._serving.headers(self._session, plan, _decoded(given))
            message = {**message, "headers": given + _encoded(added)}
        await self._send(message)

    async def refuse(self) -> None:
        """Answer 503; a websocket that cannot be told so is closed, which the browser sees as 403."""
        self._is_refused = True
        if self._scope["type"] == "websocket":
            if "websocket.http.response" not in (self._scope.get("extensions") or {}):
                await self._send({"type": "websocket.close", "code": _TRY_AGAIN_LATER})
                return
            kind = "websocket.http.response"
        else:
            kind = "http.response"
        await self._send({"type": f"{kind}.start", "status": 503, "headers": _encoded(REFUSAL)})
        await self._send({"type": f"{kind}.body", "body": UNAVAILABLE})


def _header(headers: RawHeaders, name: bytes) -> str:
    """Return a header of the request; HTTP/2 may send the cookies in several."""
    return ";".join(value.decode("latin-1") for known, value in headers if known.lower() == name)


def _decoded(headers: RawHeaders) -> list[Header]:
    return [(bytes(name).decode("latin-1"), bytes(value).decode("latin-1")) for name, value in headers]


def _encoded(headers: Iterable[Header]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
