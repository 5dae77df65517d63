"""What plays the server and the browser for WSGI applications: `wsgiref.validate` stands on both sides."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

from carmine.ext.sessions.wsgi import KEY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from carmine.ext.sessions import Session


class Answer(NamedTuple):
    status: str
    headers: list[tuple[str, str]]
    body: bytes

    def all(self, name: str) -> list[str]:
        return [value for known, value in self.headers if known.lower() == name.lower()]

    @property
    def id(self) -> str | None:
        """The id that the cookie gives; None where it gives none."""
        [cookie] = self.all("set-cookie") or [""]
        found = re.match(r"[^=]+=([\w-]{43});", cookie)
        return found and found[1]


def ask(app: WSGIApplication, id: str | None = None, *, cookie: str = "session", **environ: Any) -> Answer:
    """Be a server that looks whether both sides keep to PEP 3333, and return what the browser gets."""
    full: WSGIEnvironment = {"QUERY_STRING": "", "SCRIPT_NAME": "", "PATH_INFO": "/", **environ}
    setup_testing_defaults(full)
    if id is not None:
        full["HTTP_COOKIE"] = f"{cookie}={id}"
    told: list[Any] = []
    sent: list[bytes] = []

    def start_response(status: str, headers: Any, exc_info: Any = None, /) -> Callable[[bytes], object]:
        told[:] = [status, list(headers)]
        return sent.append

    body = validator(app)(full, start_response)
    try:
        for chunk in body:
            assert told, "a chunk came before start_response"
            sent.append(chunk)
    finally:
        body.close()  # type: ignore[attr-defined]  # the validator's
    return Answer(told[0], told[1], b"".join(sent))


def page(view: Callable[[Session], object], *headers: tuple[str, str]) -> WSGIApplication:
    """Return an application that shows what a view returns."""

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        text = str(view(environ[KEY])).encode()
        start_response("200 OK", [("Content-Type", "text/plain"), *headers])
        return [text]

    return validator(app)


def put(**data: Any) -> Callable[[Session], object]:
    return lambda session: session.update(data)


def get(session: Session) -> object:
    return dict(session)


class Closing(list[bytes]):
    """Chunks that say whether they were closed."""

    closed = 0

    def close(self) -> None:
        self.closed += 1
