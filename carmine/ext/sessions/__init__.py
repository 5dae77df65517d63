"""carmine.ext.sessions: web sessions on a server, for visitors who may send anything as their cookie.

Public names only; those of asyncio load it when they are first touched. The middlewares are in files of their own:
`carmine.ext.sessions.wsgi`, `.asgi`, `.flask`, `.django`. docs/sessions.md tells what is promised.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from carmine._loading import load
from carmine.ext.sessions._sync.store import SessionStore
from carmine.ext.sessions.core.cookies import CookieSettings
from carmine.ext.sessions.core.session import Session
from carmine.ext.sessions.errors import (
    SessionError,
    SessionGone,
    SessionSealed,
    SessionTooLarge,
    SessionUnavailable,
)

if TYPE_CHECKING:
    from carmine.ext.sessions._async.store import AsyncSessionStore

__all__ = [
    "AsyncSessionStore",
    "CookieSettings",
    "Session",
    "SessionError",
    "SessionGone",
    "SessionSealed",
    "SessionStore",
    "SessionTooLarge",
    "SessionUnavailable",
]

_LATER = {"AsyncSessionStore": "carmine.ext.sessions._async.store"}


if not TYPE_CHECKING:  # a checker must see that a misspelt name does not exist

    def __getattr__(name: str) -> Any:
        """Load a name of asyncio's world at its first touch (PEP 562)."""
        if name not in _LATER:
            raise AttributeError(f"module 'carmine.ext.sessions' has no attribute {name!r}")
        value = getattr(load(_LATER[name]), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    """List the public names, loaded or not."""
    return sorted(__all__)
