"""Django's session middleware, that answers while the server is away and waits in the event loop where there is one.

It decides as Django's own does: what was modified is saved, also at every request where `SESSION_SAVE_EVERY_REQUEST`
says so, but not behind a status of 500 and more; a cookie without a session is deleted; an answer that depends on the
session says `Vary: Cookie`, and one with the cookie is kept by no cache. Invariants: a save that failed is never
answered as if it had not; while the server cannot be asked no cookie is set or deleted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from django.conf import settings
from django.contrib.sessions import middleware
from django.contrib.sessions.backends.base import UpdateError
from django.contrib.sessions.exceptions import SessionInterrupted
from django.http import HttpResponse
from django.utils.cache import patch_cache_control, patch_vary_headers

from carmine.ext.sessions.django.engine import INTERRUPTED, SessionStore
from carmine.ext.sessions.errors import SessionUnavailable

if TYPE_CHECKING:
    from django.contrib.sessions.backends.base import SessionBase
    from django.http import HttpRequest

__all__ = ["SessionMiddleware"]


class _Saved(NamedTuple):
    """A session that was saved, and for how long its cookie is to stay; None until the browser closes."""

    key: str
    max_age: int | None


class SessionMiddleware(middleware.SessionMiddleware):
    """Opens each request's session and saves it: in the place of Django's own in `MIDDLEWARE`."""

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Answer a view that could not read its session."""
        return self.unavailable(request) if isinstance(exception, SessionUnavailable) else None

    def process_response(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        """Save the session and set its cookie, in a thread."""
        session = getattr(request, "session", None)
        if session is None:
            return response
        saved = None
        try:
            if self._is_to_be_saved(session, response):
                max_age = None if session.get_expire_at_browser_close() else session.get_expiry_age()
                if not session.is_empty():  # to be asked anew: the key of the cookie may have turned out to be none
                    session.save()
                    saved = self._saved(session, max_age)
        except UpdateError as gone:
            raise SessionInterrupted(INTERRUPTED) from gone
        except SessionUnavailable:
            return self.unavailable(request)
        return self._finished(request, response, session, saved)

    async def aprocess_response(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        """Save the session and set its cookie, in the event loop."""
        session = getattr(request, "session", None)
        if session is None:
            return response
        saved = None
        try:
            if self._is_to_be_saved(session, response):
                max_age = None if await session.aget_expire_at_browser_close() else await session.aget_expiry_age()
                if not session.is_empty():
                    await session.asave()
                    saved = self._saved(session, max_age)
        except UpdateError as gone:
            raise SessionInterrupted(INTERRUPTED) from gone
        except SessionUnavailable:
            return self.unavailable(request)
        return self._finished(request, response, session, saved)

    async def __acall__(self, request: HttpRequest) -> HttpResponse:
        """Serve a request without a thread of its own: opening a session asks nobody."""
        self.process_request(request)
        return await self.aprocess_response(request, await self.get_response(request))  # type: ignore[misc]  # asynchronous here

    def unavailable(self, request: HttpRequest) -> HttpResponse:
        """Return the answer of a request whose session could not be read or saved; a subclass may make its own."""
        return HttpResponse("503 Service Unavailable", status=503, content_type="text/plain; charset=utf-8")

    # Within. ---------------------------------------------------------------------------------------------------------

    @staticmethod
    def _is_to_be_saved(session: SessionBase, response: HttpResponse) -> bool:
        wanted = session.modified or settings.SESSION_SAVE_EVERY_REQUEST
        return wanted and response.status_code < 500 and not session.is_empty()

    @staticmethod
    def _saved(session: SessionBase, max_age: int | None) -> _Saved | None:
        """Return what was saved; None where the server could not be asked and the project goes on without."""
        if session.session_key is None or getattr(session, "outage", None) is not None:
            return None
        return _Saved(session.session_key, max_age)

    def _finished(
        self, request: HttpRequest, response: HttpResponse, session: SessionBase, saved: _Saved | None
    ) -> HttpResponse:
        """Say in the response what became of the session."""
        is_known = True
        if isinstance(session, SessionStore):
            if session.has_refused and response.status_code == 500:
                return self.unavailable(request)  # a middleware between here and the view wanted the session
            is_known = session.outage is None
        name = settings.SESSION_COOKIE_NAME
        is_over = is_known and name in request.COOKIES and session.is_empty()
        if is_over:
            response.delete_cookie(
                name,
                path=settings.SESSION_COOKIE_PATH,
                domain=settings.SESSION_COOKIE_DOMAIN,
                samesite=settings.SESSION_COOKIE_SAMESITE,
            )
            if settings.SESSION_COOKIE_SECURE:  # a browser lets no plain cookie replace a secure one
                response.cookies[name]["secure"] = True
        elif saved is not None:
            response.set_cookie(
                name,
                saved.key,
                max_age=saved.max_age,  # Django adds the date from it
                domain=settings.SESSION_COOKIE_DOMAIN,
                path=settings.SESSION_COOKIE_PATH,
                secure=settings.SESSION_COOKIE_SECURE,
                httponly=settings.SESSION_COOKIE_HTTPONLY,
                samesite=settings.SESSION_COOKIE_SAMESITE,
            )
        if is_over or saved is not None or session.accessed:
            patch_vary_headers(response, ("Cookie",))
        if (is_over or saved is not None) and "private" not in response.get("Cache-Control", ""):
            patch_cache_control(response, no_store=True)  # no cache hands one visitor's cookie to another
        return response
