"""A plain WSGI application with login and logout.

python examples/sessions_wsgi.py                            # starts a server of its own
python examples/sessions_wsgi.py redis://127.0.0.1:6379/0

curl -c jar -b jar -d 'name=ada&password=lovelace' http://127.0.0.1:8000/login
curl -c jar -b jar http://127.0.0.1:8000/
curl -c jar -b jar -X POST http://127.0.0.1:8000/logout
"""

from __future__ import annotations

import sys
from hmac import compare_digest
from typing import TYPE_CHECKING
from urllib.parse import parse_qs
from wsgiref.simple_server import make_server

import carmine
from carmine.embedded import EmbeddedRedis
from carmine.ext.sessions import CookieSettings, SessionStore
from carmine.ext.sessions.wsgi import SessionMiddleware

if TYPE_CHECKING:
    from collections.abc import Iterable
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from carmine.ext.sessions import Session

USERS = {"ada": "lovelace", "grace": "hopper"}  # yours keep a slow hash: hashlib.scrypt, argon2
LONGEST_FORM = 4096


def form_of(environ: WSGIEnvironment) -> dict[str, str]:
    length = int(environ.get("CONTENT_LENGTH") or 0)
    if length > LONGEST_FORM:
        return {}
    return {name: values[0] for name, values in parse_qs(environ["wsgi.input"].read(length).decode()).items()}


def answer(environ: WSGIEnvironment) -> tuple[str, str]:
    """Return status and text."""
    session: Session = environ["carmine.session"]
    match environ["REQUEST_METHOD"], environ["PATH_INFO"]:
        case "POST", "/login":
            form = form_of(environ)
            name = form.get("name", "")
            if name not in USERS or not compare_digest(USERS[name].encode(), form.get("password", "").encode()):
                return "403 Forbidden", "wrong name or password\n"
            session.regenerate(begin_anew=True)  # an id from before the login is worth nothing now
            session["user"] = name
            return "200 OK", f"welcome, {name}\n"
        case "POST", "/logout":
            session.invalidate()
            return "200 OK", "good bye\n"
        case "GET", "/":
            if "user" not in session:
                return "200 OK", "who are you?\n"
            session["visits"] = session.get("visits", 0) + 1
            return "200 OK", f"{session['user']}, visit {session['visits']}\n"
        case "GET", "/health":  # touches no session: no command, no header
            return "200 OK", "up\n"
    return "404 Not Found", "no such page\n"


def pages(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    status, text = answer(environ)
    body = text.encode()
    start_response(status, [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))])
    return [body]


def make_app(client: carmine.Client[str], *, secure: bool = True) -> WSGIApplication:
    """Return the application; `secure=False` lets the cookie travel without TLS, for development."""
    store = SessionStore(client, ttl=30 * 60, rolling=True, absolute_ttl=12 * 60 * 60, timeout=2)
    return SessionMiddleware(pages, store, cookie=CookieSettings(secure=secure))


def serve(url: str) -> None:
    with carmine.Client(url) as client, make_server("127.0.0.1", 8000, make_app(client, secure=False)) as server:
        print("http://127.0.0.1:8000 (Ctrl-C ends)")
        server.serve_forever()


def main() -> None:
    if len(sys.argv) > 1:
        serve(sys.argv[1])
    else:
        with EmbeddedRedis() as redis:
            serve(redis.url)


if __name__ == "__main__":
    main()
