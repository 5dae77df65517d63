"""The ways of an ASGI application: late changes, lifespan, websockets; and Starlette, without its own middleware."""

from __future__ import annotations

import asyncio
import logging
import re
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route, WebSocketRoute

import carmine
from carmine.ext.sessions import (
    AsyncSessionStore,
    Session,
    SessionSealed,
)
from carmine.ext.sessions.asgi import SessionMiddleware
from carmine.retry import Retry
from tests.ext.sessions.asgi_kit import ask, get, page, put

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from starlette.requests import Request
    from starlette.websockets import WebSocket

    from tests.ext.sessions.traffic import Traffic
    from tests.lab.servers import RedisServer

pytestmark = pytest.mark.asyncio
UNKNOWN = "u" * 43


# The ways of an application. -----------------------------------------------------------------------------------------


async def test_after_the_headers_a_change_raises_or_is_told(async_store: AsyncSessionStore, caplog: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        session = scope["session"]
        session["list"] = [1]
        await send({"type": "http.response.start", "status": 200, "headers": iter([(b"x", b"y")])})
        with pytest.raises(SessionSealed):
            session["a"] = 1
        session["list"].append(2)
        await send({"type": "http.response.body", "body": b""})

    answer = await ask(SessionMiddleware(app, async_store))
    assert await async_store.read(answer.id) == {"list": [1]}
    assert answer.all("x") == ["y"]
    assert "after the response's headers had gone out" in caplog.text


async def test_the_applications_message_is_not_changed(async_store: AsyncSessionStore) -> None:
    headers: list[tuple[bytes, bytes]] = [(b"vary", b"cookie"), (b"Cache-Control", b"private")]
    message = {"type": "http.response.start", "status": 200, "headers": headers}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["session"]["a"] = 1
        await send(message)

    answer = await ask(SessionMiddleware(app, async_store))
    assert len(headers) == 2
    assert [name for name, _ in answer.messages[0]["headers"]] == [b"vary", b"Cache-Control", b"set-cookie"]


async def test_lifespan_and_the_unknown_pass_through(async_store: AsyncSessionStore, traffic: Traffic) -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append((scope, receive, send))

    receive: Any = print
    send: Any = repr
    for kind in ("lifespan", "telepathy"):
        scope = {"type": kind}
        await SessionMiddleware(app, async_store)(scope, receive, send)
        assert seen.pop() == (scope, receive, send)
        assert scope == {"type": kind}
    assert traffic.take() == []


def socket(*messages: dict[str, Any], view: Callable[[Session], object] = get) -> Any:
    """Return an application that looks at its session, and then says these things to the browser."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert (await receive())["type"] == "websocket.connect"
        view(scope["session"])
        for message in messages:
            await send(message)
        while (await receive())["type"] != "websocket.disconnect":
            pass

    return app


ACCEPT = {"type": "websocket.accept", "headers": [(b"x", b"y")]}


async def test_a_websocket_reads_and_is_saved_with_its_acceptance(
    async_store: AsyncSessionStore, traffic: Traffic
) -> None:
    text = {"type": "websocket.send", "text": "hello"}
    answer = await ask(SessionMiddleware(socket(ACCEPT, text, view=put(a=1)), async_store), kind="websocket")
    assert [message["type"] for message in answer.messages] == ["websocket.accept", "websocket.send"]
    assert answer.all("x") == ["y"]
    assert await async_store.read(answer.id) == {"a": 1}
    traffic.take()
    answer = await ask(SessionMiddleware(socket(ACCEPT), async_store), f"session={answer.id}", kind="websocket")
    assert traffic.names() == ["GET"]
    assert answer.all("set-cookie") == []


async def test_a_websocket_that_is_refused_stores_nothing(server: RedisServer, async_store: AsyncSessionStore) -> None:
    close = {"type": "websocket.close", "code": 1000}
    answer = await ask(SessionMiddleware(socket(close, view=put(a=1)), async_store), kind="websocket")
    assert answer.messages == [close]
    assert server.call("DBSIZE") == 0
    denial = {"type": "websocket.http.response.start", "status": 403, "headers": []}
    answer = await ask(SessionMiddleware(socket(denial, view=put(a=1)), async_store), kind="websocket")
    assert await async_store.read(answer.id) == {"a": 1}, "a denial is a response and has headers"


async def test_w01_a_websocket_while_the_server_is_down() -> None:
    async with carmine.AsyncClient("redis://127.0.0.1:1", retry=Retry(1)) as client:
        app = SessionMiddleware(socket(ACCEPT, {"type": "websocket.send", "text": "x"}), AsyncSessionStore(client))
        answer = await ask(app, f"session={UNKNOWN}", kind="websocket")
        assert answer.messages == [{"type": "websocket.close", "code": 1013}]
        answer = await ask(app, f"session={UNKNOWN}", kind="websocket", extensions={"websocket.http.response": {}})
        assert answer.status == 503
        assert [message["type"] for message in answer.messages] == [
            "websocket.http.response.start",
            "websocket.http.response.body",
        ]
        saves = SessionMiddleware(socket(ACCEPT, view=put(a=1)), AsyncSessionStore(client))
        answer = await ask(saves, kind="websocket")
        assert answer.messages == [{"type": "websocket.close", "code": 1013}]


async def test_s41_sessions_of_requests_at_once_are_their_own(async_store: AsyncSessionStore) -> None:
    ids = [await async_store.create({"n": number}) for number in range(30)]
    app = SessionMiddleware(page(lambda session: session["n"]), async_store)
    answers = await asyncio.gather(*(ask(app, f"session={id}") for id in ids))
    assert [answer.body for answer in answers] == [str(number).encode() for number in range(30)]


# Starlette. ----------------------------------------------------------------------------------------------------------


async def test_starlette_takes_it_in_the_place_of_its_own(async_store: AsyncSessionStore) -> None:
    """Its request.session, its words for the cookie, its ways with a stream."""

    async def add(request: Request) -> PlainTextResponse:
        request.session.setdefault("items", []).append(len(request.session))
        session = request.session
        session |= {"n": 1}
        return PlainTextResponse(str(request.session["items"]))

    async def stream(request: Request) -> StreamingResponse:
        request.session["streamed"] = True

        async def chunks() -> AsyncIterator[str]:
            with pytest.raises(SessionSealed):
                request.session["late"] = True
            yield str(request.session["streamed"])

        return StreamingResponse(chunks())

    async def out(request: Request) -> PlainTextResponse:
        request.session.clear()
        return PlainTextResponse("")

    words: dict[str, Any] = {"session_cookie": "sid", "max_age": 60, "same_site": "strict", "https_only": False}
    app = Starlette(
        routes=[Route("/add", add), Route("/stream", stream), Route("/out", out)],
        middleware=[Middleware(SessionMiddleware, async_store, **words)],
    )
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://site") as browser:
        first = await browser.get("/add")
        assert re.fullmatch(
            r"sid=[\w-]{43}; Max-Age=60; Path=/; HttpOnly; SameSite=Strict", first.headers["set-cookie"]
        )
        assert (await browser.get("/add")).text == "[1, 2]"
        assert (await browser.get("/stream")).text == "True"
        id = browser.cookies["sid"]
        assert await async_store.read(id) == {"items": [1, 2], "n": 1, "streamed": True}
        await browser.get("/out")
        assert "sid" not in browser.cookies
        assert await async_store.read(id) is None


async def test_starlettes_websockets_have_it(async_store: AsyncSessionStore) -> None:
    seen: list[object] = []

    async def talk(socket: WebSocket) -> None:
        seen.append(dict(socket.session))
        await socket.accept()

    app = Starlette(routes=[WebSocketRoute("/", talk)], middleware=[Middleware(SessionMiddleware, store=async_store)])
    id = await async_store.create({"user": "ada"})
    await ask(app, f"session={id}", kind="websocket", path="/", root_path="")
    assert seen == [{"user": "ada"}]


async def test_starlette_turns_a_refused_session_into_an_error_page(caplog: Any) -> None:
    async def home(request: Request) -> PlainTextResponse:
        return PlainTextResponse(str(request.session.get("user")))

    async with carmine.AsyncClient("redis://127.0.0.1:1", retry=Retry(1)) as client:
        async_store = AsyncSessionStore(client)
        app = Starlette(routes=[Route("/", home)], middleware=[Middleware(SessionMiddleware, async_store)])
        with caplog.at_level(logging.WARNING, "carmine.sessions"):
            answer = await ask(app, f"session={UNKNOWN}", path="/", method="GET", root_path="", query_string=b"")
    assert answer.status == 503
    assert UNKNOWN not in caplog.text
