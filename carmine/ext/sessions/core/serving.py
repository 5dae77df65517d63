"""How a middleware serves sessions: whose cookie, which headers, what happens when the server is down. Pure.

Invariants: a response that depends on the session says so (Vary); one that sets or deletes the cookie is kept by no
cache, so that no visitor is handed another's; while the server is down nothing is taken for an empty session and saved,
and no logout is lost in silence.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, get_args

from carmine import _checks
from carmine.errors import UsageError
from carmine.ext.sessions.core.cookies import CookieSettings
from carmine.ext.sessions.core.lifetimes import UNSET
from carmine.ext.sessions.core.session import Act, Plan
from carmine.ext.sessions.errors import SessionGone, SessionUnavailable, is_outage

if TYPE_CHECKING:
    from collections.abc import Iterable

    from carmine.ext.sessions.core.lifetimes import IdleArg
    from carmine.ext.sessions.core.session import Session

__all__ = ["REFUSAL", "UNAVAILABLE", "Header", "OnError", "Serving"]

Header: TypeAlias = tuple[str, str]
OnError: TypeAlias = Literal["raise", "anonymous"]

UNAVAILABLE: Final = b"Service Unavailable: sessions cannot be read or written right now.\n"
"""The body of a 503."""

REFUSAL: Final[tuple[Header, ...]] = (
    ("Content-Type", "text/plain; charset=utf-8"),
    ("Content-Length", str(len(UNAVAILABLE))),
    ("Cache-Control", "no-store"),
)
"""Its headers."""

_log = logging.getLogger("carmine.sessions")


class Serving:
    """What a middleware was told, and what follows from it.

    Args:
        cookie: How the cookie looks; None for the safe defaults.
        max_age: Seconds that the browser keeps it; not given, as long as the store keeps a session (`cookie_age`);
            None until the browser is closed.
        on_error: While the server cannot be asked: "raise", and the visitor gets a 503; or "anonymous", and he is
            nobody for that request, of which nothing is saved.
        cookie_age: What the store says.
        rolling: Whether a read lets a session live on, so that the cookie has to as well.

    Raises:
        UsageError: An argument is none.
    """

    def __init__(
        self,
        cookie: CookieSettings | None,
        max_age: IdleArg,
        on_error: OnError,
        cookie_age: int,
        rolling: bool,
    ) -> None:
        if cookie is not None and not isinstance(cookie, CookieSettings):
            raise UsageError(f"cookie takes CookieSettings, not {_checks.kind(cookie)}")
        if on_error not in get_args(OnError):
            raise UsageError('on_error is "raise" or "anonymous"')
        self.cookie: CookieSettings = cookie or CookieSettings()
        self._on_error = on_error
        if max_age is UNSET:
            self._max_age: int | None = cookie_age
        else:
            self._max_age = None if max_age is None else int(_checks.seconds("max_age", max_age, least=1.0))
        self._rolling = rolling

    def unread(self, problem: BaseException, session: Session) -> None:
        """Do what is to be done when a session could not be read.

        Raises:
            SessionUnavailable: The server cannot be asked, and nobody goes on without it.
            BaseException: The problem, where it is another.
        """
        if not is_outage(problem):
            raise problem
        _log.warning("a session could not be read: %s", problem)
        if self._on_error == "raise":
            raise SessionUnavailable(
                "the session could not be read: the server that holds it cannot be asked"
            ) from problem
        session.detach()

    def unsaved(self, problem: BaseException, session: Session) -> bool:
        """Tell whether the response of a session that could not be saved is to be a 503.

        Raises:
            BaseException: The problem, where the application is its cause.
        """
        if isinstance(problem, SessionGone):
            _log.info("changes of a session are dropped: %s", problem)
        elif is_outage(problem):
            _log.warning("a session could not be saved: %s", problem)
        else:
            raise problem
        is_ending = session.plan().is_ending
        session.detach()
        return not isinstance(problem, SessionGone) and (is_ending or self._on_error == "raise")

    def headers(self, session: Session, plan: Plan | None, given: Iterable[Header]) -> list[Header]:
        """Return the headers that a response needs beside those it has.

        Args:
            session: As it was saved.
            plan: What was done to save it; None where that failed.
            given: The response's own headers.
        """
        if not session.accessed:
            return []
        cookie = self._cookie(session, plan)
        told = [(name.lower(), value.lower()) for name, value in given]
        added: list[Header] = []
        if not {"cookie", "*"} & _listed(told, "vary"):
            added.append(("Vary", "Cookie"))
        if cookie is not None:
            added.append(("Set-Cookie", cookie))
            if not {"no-store", "private"} & _listed(told, "cache-control"):
                added.append(("Cache-Control", "no-store"))
        return added

    def tell_late(self, session: Session) -> None:
        """Log it where a session was changed inside after it had been saved: the change is lost."""
        if session.is_sealed and session.was_changed_late():
            _log.warning("a session was changed after the response's headers had gone out: the change is lost")

    def _cookie(self, session: Session, plan: Plan | None) -> str | None:
        """Return what the browser is told; nothing after a failure, for the cookie may be another one by now."""
        if plan is None:
            return None
        if plan.act is Act.DELETE:
            return self.cookie.delete_header()
        lives_on = plan.act is Act.UPDATE or (self._rolling and plan.act is Act.NOTHING)
        if plan.act is Act.NOTHING and not lives_on:
            return None
        if session.id is None or (lives_on and self._max_age is None):
            return None
        return self.cookie.set_header(session.id, self._max_age)


def _listed(told: list[Header], name: str) -> set[str]:
    """Return the members of a header that is a list."""
    return {word.strip() for known, value in told if known == name for word in value.split(",")}
