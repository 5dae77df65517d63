"""Sessions of Flask on the store of carmine: `CarmineSession(app, client)`, and `flask.session` as it always was.

The settings are Flask's own: SESSION_COOKIE_*, SESSION_REFRESH_EACH_REQUEST, PERMANENT_SESSION_LIFETIME. A session is
read at its first touch inside the view, and not at all by a request that does not look at it; it is saved before the
headers go out. Invariants: an id that the store has not made is never adopted; what was deleted is not stored again; a
save that failed is answered by a 503 in the place of the response, a deletion that failed also where visitors are else
served without a session; while the server cannot be asked no cookie is set or deleted.
"""

from __future__ import annotations

import logging
from functools import partial
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, NoReturn

from carmine import _checks
from carmine.errors import CarmineError, MissingExtra, UsageError
from carmine.ext.sessions._sync.store import SessionStore
from carmine.ext.sessions.core.session import Act, Session
from carmine.ext.sessions.errors import SessionGone, SessionUnavailable, is_outage
from carmine.ext.sessions.keys import PREFIX, is_id

try:
    from flask import has_request_context, request
    from flask import session as of_this_request
    from flask.sessions import NullSession, SessionInterface, SessionMixin
    from werkzeug.exceptions import ServiceUnavailable
except ImportError as _problem:
    raise MissingExtra("sessions of Flask need Flask: pip install 'flask>=3.1'") from _problem

if TYPE_CHECKING:
    from datetime import timedelta

    from flask import Flask, Request, Response

    from carmine import Client
    from carmine.types import Seconds, SerializerArg

__all__ = ["CarmineSession", "FlaskSession", "SessionsDown"]

_log = logging.getLogger("carmine.sessions")

_EXTENSION: Final = "carmine.session"
"""Where an application keeps what `init_app` was told."""

_POLICIES: Final = ("raise", "anonymous")


class SessionsDown(SessionUnavailable, ServiceUnavailable):
    """The server that holds the sessions cannot be asked: an exception of HTTP, which Flask answers with 503.

    An error handler for 503, for this class or for one of its bases makes the page; the problem is its cause.
    """


class FlaskSession(Session, SessionMixin):
    """A visitor's session as views see it; beside what Flask's have, it can `regenerate()` and `invalidate()`.

    Changes are noticed inside of nested values too. `modified = True` lets an unchanged session live on, with a cookie
    that says so.
    """

    def __init__(self, store: SessionStore, id: str | None, *, is_lenient: bool) -> None:
        super().__init__(store.contents, id, partial(store.fetch, id))
        self._store = store
        self._is_lenient = is_lenient
        self._is_forced = False
        self.outage: CarmineError | None = None
        """What the server failed with, if it did; from then on the session is an empty dict that nobody saves."""

    @property
    def new(self) -> bool:  # type: ignore[override]  # Flask's default is a plain attribute, which nothing sets
        """Whether nothing is stored yet."""
        return self.is_new

    @property
    def modified(self) -> bool:
        """Whether it is to be saved; setting it to True lets it live on though nothing has changed."""
        return self._is_forced or super().modified

    @modified.setter
    def modified(self, value: bool) -> None:
        self._is_forced = value

    @property
    def accessed(self) -> bool:
        """Whether anybody looked into it, so that the response depends on the cookie."""
        return self._accessed

    @accessed.setter
    def accessed(self, value: bool) -> None:
        self._accessed = value

    def save(self) -> Act:
        """Save what was changed, let nothing be changed any more, and return what was done.

        Raises:
            SessionGone: It was ended meanwhile, and nothing was stored.
            CarmineError: What the server failed with, or what is wrong with the contents.
        """
        done = self._store.save(self).act
        self.seal()
        return done

    def lives_on(self) -> bool:
        """Let it live on from now, unless reading has just done so, and tell whether it is there."""
        return (self._store.rolling and not self._is_forced) or self._store.touch(self.id)

    def is_of_interest(self) -> bool:
        """Tell whether anybody looked inside, or wants it to live on."""
        return self._data is not None or self._is_forced

    def give_up(self, problem: CarmineError) -> None:
        """Be an empty session that nobody saves: the server cannot be asked."""
        _log.error("the server of the sessions cannot be asked: %s", problem)
        self.outage = problem
        self.detach()
        self._data = {}

    def _refuse_if_out_of_reach(self) -> None:
        if self.outage is not None:
            raise SessionsDown from self.outage

    def _opened(self) -> dict[str, Any]:
        try:
            return super()._opened()
        except CarmineError as problem:
            if not is_outage(problem):
                raise
            self.give_up(problem)
            if self._is_lenient:
                return super()._opened()
            raise SessionsDown from problem


class _NoSession(NullSession):
    """The session of an application that has no client yet: it can be read, and is empty."""

    def _refuse(self, *args: object, **kwargs: object) -> NoReturn:
        raise RuntimeError(
            "there is no session: CarmineSession was given neither a client nor a store; "
            "give one to it or to init_app()"
        )

    __setitem__ = __delitem__ = clear = pop = popitem = update = setdefault = _refuse


class _Told(NamedTuple):
    """What an application's sessions are made of."""

    client: Client[Any] | None
    store: SessionStore | None
    stores: dict[tuple[timedelta, bool], SessionStore]
    """Those over the client, by the application's settings."""


class CarmineSession(SessionInterface):
    """Gives the sessions of a Flask application a place on a server.

    With a client, sessions live as long as PERMANENT_SESSION_LIFETIME says after their last use, or after their last
    change where SESSION_REFRESH_EACH_REQUEST is off; a store has its own lifetimes, and the setting is the cookie's.

    Args:
        app: The application; None to call `init_app` later.
        client: Whose server and pool are used.
        store: In place of the client, with all that follows but `on_error`.
        prefix: As for `SessionStore`.
        absolute_ttl: As for `SessionStore`.
        serializer: As for `SessionStore`.
        max_size: As for `SessionStore`.
        timeout: As for `SessionStore`.
        on_error: While the server cannot be asked: "raise", and who touches the session gets `SessionsDown`, which
            Flask answers with 503; or "anonymous", and the session is empty for that request, and not saved.

    Raises:
        UsageError: An argument is none, or one too many.
    """

    null_session_class: type[NullSession] = _NoSession

    def __init__(
        self,
        app: Flask | None = None,
        client: Client[Any] | None = None,
        *,
        store: SessionStore | None = None,
        prefix: str = PREFIX,
        absolute_ttl: Seconds | None = None,
        serializer: SerializerArg | None = None,
        max_size: int = 64 * 1024,
        timeout: Seconds | None = 5.0,
        on_error: Literal["raise", "anonymous"] = "raise",
    ) -> None:
        if on_error not in _POLICIES:
            raise UsageError('on_error is "raise" or "anonymous"')
        self._is_lenient = on_error == "anonymous"
        self._options: dict[str, Any] = {
            "prefix": prefix,
            "absolute_ttl": absolute_ttl,
            "serializer": serializer,
            "max_size": max_size,
            "timeout": timeout,
        }
        self._client, self._store = client, store
        _check_source(client, store)
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask, client: Client[Any] | None = None, *, store: SessionStore | None = None) -> None:
        """Keep the sessions of an application; with a client or a store of its own, if one is given here.

        Raises:
            UsageError: Both are given, or something else.
        """
        _check_source(client, store)
        if client is None and store is None:
            client, store = self._client, self._store
        told = _Told(client, store, {})
        app.extensions[_EXTENSION] = told
        app.session_interface = self
        self._store_of(app, told)  # what is wrong shows now; nothing is sent

    @staticmethod
    def current() -> FlaskSession:
        """Return the session of the request that is running: `flask.session` itself, behind its proxy.

        Raises:
            UsageError: The application's sessions are not ours, or it was given no client.
        """
        found = of_this_request._get_current_object()  # type: ignore[attr-defined]  # Flask's types do not show the proxy
        if not isinstance(found, FlaskSession):
            raise UsageError("this application's sessions have no client: give one to CarmineSession or init_app()")
        return found

    # For Flask. ------------------------------------------------------------------------------------------------------

    def get_cookie_samesite(self, app: Flask) -> str | None:
        """Return SESSION_COOKIE_SAMESITE; where that is not set, "Lax"."""
        return super().get_cookie_samesite(app) or "Lax"

    def get_cookie_secure(self, app: Flask) -> bool:
        """Return SESSION_COOKIE_SECURE; a request that came over TLS gets a secure cookie in any case."""
        return super().get_cookie_secure(app) or (has_request_context() and request.is_secure)

    def open_session(self, app: Flask, request: Request) -> FlaskSession | None:
        """Return the session of a request, which is not read yet; None where no client was given."""
        store = self._store_of(app, app.extensions[_EXTENSION])
        if store is None:
            return None
        ids = filter(is_id, request.cookies.getlist(self.get_cookie_name(app)))
        return FlaskSession(store, next(ids, None), is_lenient=self._is_lenient)

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        """Save a session, and say in the response what became of it.

        Raises:
            UsageError: The contents hold what cannot be frozen.
            SessionTooLarge: The contents take more than `max_size` bytes.
        """
        assert isinstance(session, FlaskSession)
        if not session.accessed:
            return
        response.vary.add("Cookie")
        if not session.is_of_interest():
            return  # somebody held it without looking inside
        if session.outage is not None:
            if session and not self._is_lenient:  # the view caught the error and wrote all the same
                self._refuse(app, response, session.outage)
            return
        is_ending = False
        try:
            is_ending = session.plan().is_ending
            done = session.save()
            is_kept = done is not Act.NOTHING or self.should_set_cookie(app, session)
            if done is Act.NOTHING and is_kept:
                is_kept = session.id is not None and session.lives_on()
        except SessionGone as problem:
            session.detach()
            _log.info("changes of a session are dropped: %s", problem)
        except CarmineError as problem:
            session.detach()  # Flask comes by again with its page for an error
            if not is_outage(problem):
                raise
            session.give_up(problem)
            if is_ending or not self._is_lenient:
                self._refuse(app, response, problem)
        else:
            if done is Act.DELETE:
                response.delete_cookie(**self._cookie(app))
                _keep_out_of_caches(response)
            elif is_kept and session.id is not None:
                expires = self.get_expiration_time(app, session)
                response.set_cookie(value=session.id, expires=expires, **self._cookie(app))
                _keep_out_of_caches(response)

    # Within. ---------------------------------------------------------------------------------------------------------

    def _store_of(self, app: Flask, told: _Told) -> SessionStore | None:
        """Return the store, made of the settings as they are now."""
        if told.client is None:
            return told.store
        rolling = bool(app.config["SESSION_REFRESH_EACH_REQUEST"])
        ttl = app.permanent_session_lifetime
        found = told.stores.get((ttl, rolling))
        if found is None:
            found = SessionStore(told.client, ttl=ttl, rolling=rolling, **self._options)
            told.stores[ttl, rolling] = found
        return found

    def _cookie(self, app: Flask) -> dict[str, Any]:
        """Return what a cookie is set with, and deleted with."""
        return {
            "key": self.get_cookie_name(app),
            "domain": self.get_cookie_domain(app),
            "path": self.get_cookie_path(app),
            "secure": self.get_cookie_secure(app),
            "httponly": self.get_cookie_httponly(app),
            "samesite": self.get_cookie_samesite(app),
            "partitioned": self.get_cookie_partitioned(app),
        }

    @staticmethod
    def _refuse(app: Flask, response: Response, problem: CarmineError) -> None:
        """Replace a response by the application's page for a 503: an error raised here would be a 500."""
        error = SessionsDown()
        error.__cause__ = problem
        page = app.make_response(app.handle_http_exception(error))
        end = getattr(response.response, "close", None)
        if end is not None:
            end()
        response.direct_passthrough = False
        response.response, response.status, response.headers = page.response, page.status, page.headers
        response.vary.add("Cookie")
        _keep_out_of_caches(response)


def _check_source(client: Any, store: object) -> None:
    if client is not None and store is not None:
        raise UsageError("a client or a store, not both: a store has its client")
    if client is not None and (not hasattr(client, "binary") or iscoroutinefunction(client.get)):
        raise UsageError(f"client takes a carmine.Client, not {_checks.kind(client)}")
    if store is not None and not isinstance(store, SessionStore):
        raise UsageError(f"store takes a SessionStore, not {_checks.kind(store)}")


def _keep_out_of_caches(response: Response) -> None:
    """Let no cache hand one visitor's cookie to another."""
    if not response.cache_control.private:
        response.cache_control.no_store = True
