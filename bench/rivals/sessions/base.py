"""A visitor of a WSGI application: he has logged in, and asks for pages that read or change his session.

The application is called as a server would call it, once for each request; there is no web server, whose time would be
the same for all and hide the rest. Invariant: the timed loop checks nothing; the page is checked before.
"""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING, Any

from bench.rivals.work import Work

if TYPE_CHECKING:
    from collections.abc import Callable

USER = "ada"
CART = [{"item": number, "count": 1} for number in range(10)]
"""What a session holds: some hundred bytes."""

LOGIN, READ, CHANGE = "/login", "/read", "/change"


def login(session: Any) -> str:
    """Fill a session."""
    session["user"] = USER
    session["cart"] = CART
    session["visits"] = 0
    return USER


def read(session: Any) -> str:
    """Look into a session."""
    return f"{session['user']} has {len(session['cart'])} things"


def change(session: Any) -> str:
    """Change a session."""
    session["visits"] += 1
    return f"{session['user']} comes back"


VIEWS: dict[str, Callable[[Any], str]] = {LOGIN: login, READ: read, CHANGE: change}


class Site:
    """One application and its visitor.

    Args:
        app: A WSGI application with the pages of VIEWS.
    """

    def __init__(self, app: Any) -> None:
        self._app = app
        self._cookie = ""
        _, headers, _ = self.ask(LOGIN)
        cookies = [value for name, value in headers if name.lower() == "set-cookie"]
        self._cookie = "; ".join(cookie.partition(";")[0] for cookie in cookies)

    def ask(self, path: str) -> tuple[str, list[tuple[str, str]], bytes]:
        """Make one request; return status, headers and body."""
        told: list[Any] = []
        body = self._app(self._environ(path), lambda *words: told.append(words))
        data = b"".join(body)
        close(body)
        return told[0][0], told[0][1], data

    def read(self) -> Work:
        """Serve a page that reads the session."""
        return self._work(READ)

    def change(self) -> Work:
        """Serve a page that changes the session."""
        return self._work(CHANGE)

    def requests(self, path: str, count: int) -> int:
        """Make requests that are counted by somebody else."""
        for _ in range(count):
            self.ask(path)
        return count

    def _environ(self, path: str) -> dict[str, Any]:
        return {
            "REQUEST_METHOD": "GET",
            "SCRIPT_NAME": "",
            "PATH_INFO": path,
            "QUERY_STRING": "",
            "SERVER_NAME": "localhost",
            "SERVER_PORT": "443",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "HTTP_HOST": "localhost",
            "HTTP_COOKIE": self._cookie,
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "https",
            "wsgi.input": io.BytesIO(),
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": False,
            "wsgi.multiprocess": True,
            "wsgi.run_once": False,
        }

    def _work(self, path: str) -> Work:
        def run(count: int) -> None:
            app, environ = self._app, self._environ(path)
            for _ in range(count):
                body = app(dict(environ), _start)
                for _ in body:
                    pass
                close(body)

        return Work(run, lambda: self.ask(path)[::2])


def _start(*_: object) -> Callable[[bytes], object]:
    return _write


def _write(_: bytes) -> None:
    """Take what an application writes."""


def close(body: Any) -> None:
    """Close what can be closed."""
    if hasattr(body, "close"):
        body.close()
