"""carmine's middleware over a plain WSGI application: what sessions cost without a framework."""

from __future__ import annotations

from typing import Any

import carmine
from bench.rivals.sessions.base import VIEWS, Site
from carmine.ext.sessions import SessionStore
from carmine.ext.sessions.wsgi import KEY, SessionMiddleware
from carmine.protocol import __impl__


def _pages(environ: Any, start_response: Any) -> list[bytes]:
    body = VIEWS[environ["PATH_INFO"]](environ[KEY]).encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


class Rival(Site):
    """The store with its defaults."""

    def __init__(self, address: tuple[str, int]) -> None:
        store = SessionStore(carmine.Client(f"redis://{address[0]}:{address[1]}"))
        super().__init__(SessionMiddleware(_pages, store))

    def versions(self) -> dict[str, str]:
        """Return carmine's version."""
        return {"carmine": carmine.__version__, "twin": __impl__}
