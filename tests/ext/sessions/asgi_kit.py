"""What plays the server and the browser for ASGI applications, message by message."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from carmine.ext.sessions import Session


class Answer(NamedTuple):
    messages: list[dict[str, Any]]

    @property
    def status(self) -> int:
        status = self.messages[0]["status"]
        assert isinstance(status, int)
        return status

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.messages)

    def all(self, name: str) -> list[str]:
        headers = self.messages[0].get("headers", ())
        return [value.decode() for known, value in headers if known == name.encode()]

    @property
    def id(self) -> str | None:
        [cookie] = self.all("set-cookie") or [""]
        found = re.match(r"[^=]+=([\w-]{43});", cookie)
        return found and found[1]


async def ask(app: Any, *cookies: str | None, kind: str = "http", **scope: Any) -> Answer:
    """Be a server: return the messages that it gets."""
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        if kind == "http":
            return {"type": "http.request", "body": b""}
        return {"type": "websocket.disconnect" if sent else "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(dict(message))

    headers = [(b"Cookie", cookie.encode("utf-8", "replace")) for cookie in cookies if cookie is not None]
    await app({"type": kind, "headers": headers, **scope}, receive, send)
    return Answer(sent)


def page(view: Callable[[Session], object], *headers: tuple[bytes, bytes]) -> Any:
    """Return an application that shows what a view returns."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        body = str(view(scope["session"])).encode()
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return app


def put(**data: Any) -> Callable[[Session], object]:
    return lambda session: session.update(data)


def get(session: Session) -> object:
    return dict(session)
