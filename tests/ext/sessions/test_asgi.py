"""The ASGI middleware: http, websockets and what passes through, driven message by message; and under Starlette."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import httpx
import pytest
import pytest_asyncio
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route, WebSocketRoute

import carmine
from carmine.errors import PoolClosed, UsageError
from carmine.ext.sessions import (
    AsyncSessionStore,
    CookieSettings,
    Session,
    SessionSealed,
    SessionStore,
    SessionTooLarge,
    SessionUnavailable,
)
from carmine.ext.sessions.asgi import SessionMiddleware
from carmine.retry import Retry
from tests.ext.sessions.planting import HOSTILE
from tests.ext.sessions.traffic import Traffic
from tests.lab.scripted import Scripted

if TYPE_CHECKING:
    import contextlib
    from collections.abc import AsyncIterator, Callable, Iterator

    from starlette.requests import Request
    from starlette.websockets import WebSocket

    from tests.lab.proxy import FaultProxy
    from tests.lab.servers import RedisServer

pytestmark = pytest.mark.asyncio
UNKNOWN = "u" * 43


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


@pytest_asyncio.fixture
async def client(url: str) -> AsyncIterator[carmine.AsyncClient[str]]:
    """Give a client whose server knows the scripts."""
    async with carmine.AsyncClient(url) as made:
        store = AsyncSessionStore(made, "warm", rolling=True)
        id = await store.regenerate(await store.create({}))
        await store.update(id, {})
        await store.read(id)
        await store.delete(id)
        yield made


@pytest.fixture
def store(client: carmine.AsyncClient[str]) -> AsyncSessionStore:
    return AsyncSessionStore(client, ttl=600)


@pytest.fixture
def traffic(server: RedisServer, client: carmine.AsyncClient[str]) -> Iterator[Traffic]:
    with Traffic(server) as made:
        yield made


# What a visitor gets. ------------------------------------------------------------------------------------------------


async def test_who_has_no_cookie_and_touches_nothing_pays_nothing(store: AsyncSessionStore, traffic: Traffic) -> None:
    answer = await ask(SessionMiddleware(page(lambda session: "up"), store))
    assert (answer.status, answer.body, answer.messages[0]["headers"]) == (200, b"up", [])
    answer = await ask(SessionMiddleware(page(get), store))
    assert (answer.body, answer.all("vary"), answer.all("set-cookie")) == (b"{}", ["Cookie"], [])
    assert traffic.take() == []


async def test_round_trips_and_headers(store: AsyncSessionStore, traffic: Traffic) -> None:
    answer = await ask(SessionMiddleware(page(put(list=[1])), store))
    assert traffic.names() == ["EVALSHA"]
    id = answer.id
    assert answer.all("set-cookie") == [f"session={id}; Max-Age=600; Path=/; Secure; HttpOnly; SameSite=Lax"]  # S-46
    assert (answer.all("vary"), answer.all("cache-control")) == (["Cookie"], ["no-store"])
    answer = await ask(SessionMiddleware(page(get), store), f"session={id}")
    assert (answer.body, answer.all("set-cookie"), answer.all("vary")) == (b"{'list': [1]}", [], ["Cookie"])
    assert traffic.names() == ["GET"]
    answer = await ask(SessionMiddleware(page(lambda s: "up"), store), f"session={id}")
    assert answer.messages[0]["headers"] == []
    assert traffic.names() == ["GET"], "nobody can wait inside scope['session'][...]"
    await ask(SessionMiddleware(page(lambda s: s["list"].append(2)), store), "a=b", f"session={id}")  # as HTTP/2 may
    assert traffic.names() == ["GET", "EVALSHA"]
    assert await store.read(id) == {"list": [1, 2]}


async def test_rolling_lets_the_cookie_live_on_as_well(client: carmine.AsyncClient[str], traffic: Traffic) -> None:
    store = AsyncSessionStore(client, ttl=600, rolling=True)
    id = await store.create({"a": 1})
    traffic.take()
    answer = await ask(SessionMiddleware(page(get), store), f"session={id}")
    assert traffic.names() == ["EVALSHA"]
    assert answer.id == id
    assert (await ask(SessionMiddleware(page(get), store, max_age=None), f"session={id}")).id is None


async def test_s41_a_planted_id_is_not_adopted_and_a_login_gives_another(
    server: RedisServer, store: AsyncSessionStore
) -> None:
    def login(session: Session) -> None:
        session.regenerate(begin_anew=True)
        session["user"] = "ada"

    first = (await ask(SessionMiddleware(page(put(cart=1)), store), f"session={UNKNOWN}")).id
    assert first not in (None, UNKNOWN)
    second = (await ask(SessionMiddleware(page(login), store), f"session={first}")).id
    assert second not in (None, first)
    assert [await store.read(id) for id in (UNKNOWN, first, second)] == [None, None, {"cart": 1, "user": "ada"}]
    assert server.call("DBSIZE") == 1


async def test_s40_w07_hostile_cookies_touch_nothing(
    server: RedisServer, store: AsyncSessionStore, traffic: Traffic
) -> None:
    server.call("SET", "admin:secret", "kept")
    for hostile in HOSTILE:
        for view in (get, Session.invalidate):
            answer = await ask(SessionMiddleware(page(view), store), f"session={hostile}", hostile)
            assert (answer.status, answer.all("set-cookie")) == (200, [])
    assert traffic.take() == []
    assert server.call("GET", "admin:secret") == b"kept"


async def test_s46_a_logout_deletes_the_session_and_the_cookie(store: AsyncSessionStore) -> None:
    for end in (Session.invalidate, Session.clear):
        id = await store.create({"user": "ada"})
        app = SessionMiddleware(page(end), store, "sid", path="/shop", domain="example.org", same_site="strict")
        answer = await ask(app, f"sid={id}")
        cookie = CookieSettings("sid", "/shop", "example.org", samesite="Strict")
        assert answer.all("set-cookie") == [cookie.delete_header()]
        assert await store.read(id) is None


async def test_w03_s43_a_logout_that_races_a_slow_request_wins(server: RedisServer, store: AsyncSessionStore) -> None:
    id = await store.create({"user": "ada"})
    began, ended = asyncio.Event(), asyncio.Event()

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        scope["session"]["late"] = scope["session"]["user"]
        began.set()
        await ended.wait()
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"done"})

    task = asyncio.create_task(ask(SessionMiddleware(slow, store), f"session={id}"))
    await began.wait()
    assert (await ask(SessionMiddleware(page(Session.invalidate), store), f"session={id}")).status == 200
    ended.set()
    answer = await task
    assert (answer.status, answer.body, answer.all("set-cookie")) == (200, b"done", [])
    assert server.call("DBSIZE") == 0


# While the server is away. -------------------------------------------------------------------------------------------


async def test_w01_the_server_is_down(server: RedisServer, proxy: FaultProxy, caplog: Any) -> None:
    async with carmine.AsyncClient(proxy.url(server.url), retry=Retry(1)) as client:
        store = AsyncSessionStore(client, timeout=1)
        id = await store.create({"user": "ada"})
        proxy.refuse()
        proxy.kill()
        for view, cookie in ((get, id), (put(a=1), id), (put(a=1), ""), (Session.invalidate, id)):
            answer = await ask(SessionMiddleware(page(view), store), f"session={cookie}")
            assert (answer.status, answer.all("set-cookie")) == (503, [])
            assert answer.all("cache-control") == ["no-store"]
            assert [message["type"] for message in answer.messages] == ["http.response.start", "http.response.body"]
            answer = await ask(SessionMiddleware(page(view), store, on_error="anonymous"), f"session={cookie}")
            assert (answer.status, answer.all("set-cookie")) == (200, [])
            assert answer.body in (b"{}", b"None")
        up = await ask(SessionMiddleware(page(lambda session: "up"), store), f"session={id}")
        assert up.body == b"up", "who touches no session meets no error of one"
        proxy.refuse(False)
        assert await store.read(id) == {"user": "ada"}
    assert id not in caplog.text
    assert server.call("DBSIZE") == 1


async def test_w01_a_deaf_server_hangs_nobody(stack: contextlib.ExitStack) -> None:
    deaf = stack.enter_context(Scripted(lambda number, block: b""))
    async with carmine.AsyncClient(deaf.url) as client:
        store = AsyncSessionStore(client, timeout=0.2)
        began = time.monotonic()
        answers = await asyncio.gather(
            *(ask(SessionMiddleware(page(get), store), f"session={UNKNOWN}") for _ in range(20))
        )
        assert {answer.status for answer in answers} == {503}
        assert time.monotonic() - began < 0.2 + 3.0


async def test_an_application_may_answer_itself(stack: contextlib.ExitStack) -> None:
    def look(session: Session) -> str:
        with pytest.raises(SessionUnavailable) as caught:
            session.get("user")
        assert isinstance(caught.value.__cause__, carmine.errors.NetworkError)
        return "no session today"

    async with carmine.AsyncClient("redis://127.0.0.1:1", retry=Retry(1)) as client:
        answer = await ask(SessionMiddleware(page(look), AsyncSessionStore(client)), f"session={UNKNOWN}")
        assert (answer.status, answer.body) == (200, b"no session today")


async def test_an_error_after_the_response_began_is_not_a_second_response() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200})
        assert scope["session"]["user"]

    async with carmine.AsyncClient("redis://127.0.0.1:1", retry=Retry(1)) as client:
        with pytest.raises(SessionUnavailable):
            await ask(SessionMiddleware(app, AsyncSessionStore(client)), f"session={UNKNOWN}")


async def test_what_the_application_did_wrong_is_its_own_error(server: RedisServer, store: AsyncSessionStore) -> None:
    for view, error in ((put(a=object()), UsageError), (put(a="x" * 70_000), SessionTooLarge)):
        with pytest.raises(error):
            await ask(SessionMiddleware(page(view), store))

    async def fails(scope: Any, receive: Any, send: Any) -> None:
        scope["session"]["a"] = 1
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await ask(SessionMiddleware(fails, store))
    assert server.call("DBSIZE") == 0


async def test_a_closed_client_is_no_outage(url: str) -> None:
    client = carmine.AsyncClient(url)
    await client.aclose()
    with pytest.raises(PoolClosed):
        await ask(SessionMiddleware(page(get), AsyncSessionStore(client)), f"session={UNKNOWN}")


async def test_a_request_that_is_cancelled_leaves_the_store_usable(server: RedisServer, proxy: FaultProxy) -> None:
    """A client that goes away while its session is read or saved: what was to be written is written or not, whole."""
    async with carmine.AsyncClient(proxy.url(server.url)) as client:
        store = AsyncSessionStore(client)
        id = await store.create({"n": 0})
        await store.update(id, {"n": 0})
        for view in (get, put(n=1)):
            began = asyncio.Event()

            async def app(scope: Any, receive: Any, send: Any, view: Any = view, began: asyncio.Event = began) -> None:
                view(scope["session"])
                proxy.mark()
                proxy.hold("s2c")
                began.set()
                await page(lambda session: "")(scope, receive, send)

            if view is get:
                proxy.mark()
                proxy.hold("s2c")
                began.set()
            task = asyncio.create_task(ask(SessionMiddleware(app, store), f"session={id}"))
            await began.wait()
            await asyncio.to_thread(proxy.wait_passed, "c2s", 1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            proxy.release()
            assert await store.read(id) in ({"n": 0}, {"n": 1})
        assert (await ask(SessionMiddleware(page(get), store), f"session={id}")).body in (b"{'n': 0}", b"{'n': 1}")


# The ways of an application. -----------------------------------------------------------------------------------------


async def test_after_the_headers_a_change_raises_or_is_told(store: AsyncSessionStore, caplog: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        session = scope["session"]
        session["list"] = [1]
        await send({"type": "http.response.start", "status": 200, "headers": iter([(b"x", b"y")])})
        with pytest.raises(SessionSealed):
            session["a"] = 1
        session["list"].append(2)
        await send({"type": "http.response.body", "body": b""})

    answer = await ask(SessionMiddleware(app, store))
    assert await store.read(answer.id) == {"list": [1]}
    assert answer.all("x") == ["y"]
    assert "after the response's headers had gone out" in caplog.text


async def test_the_applications_message_is_not_changed(store: AsyncSessionStore) -> None:
    headers: list[tuple[bytes, bytes]] = [(b"vary", b"cookie"), (b"Cache-Control", b"private")]
    message = {"type": "http.response.start", "status": 200, "headers": headers}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["session"]["a"] = 1
        await send(message)

    answer = await ask(SessionMiddleware(app, store))
    assert len(headers) == 2
    assert [name for name, _ in answer.messages[0]["headers"]] == [b"vary", b"Cache-Control", b"set-cookie"]


async def test_lifespan_and_the_unknown_pass_through(store: AsyncSessionStore, traffic: Traffic) -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append((scope, receive, send))

    receive: Any = print
    send: Any = repr
    for kind in ("lifespan", "telepathy"):
        scope = {"type": kind}
        await SessionMiddleware(app, store)(scope, receive, send)
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


async def test_a_websocket_reads_and_is_saved_with_its_acceptance(store: AsyncSessionStore, traffic: Traffic) -> None:
    text = {"type": "websocket.send", "text": "hello"}
    answer = await ask(SessionMiddleware(socket(ACCEPT, text, view=put(a=1)), store), kind="websocket")
    assert [message["type"] for message in answer.messages] == ["websocket.accept", "websocket.send"]
    assert answer.all("x") == ["y"]
    assert await store.read(answer.id) == {"a": 1}
    traffic.take()
    answer = await ask(SessionMiddleware(socket(ACCEPT), store), f"session={answer.id}", kind="websocket")
    assert traffic.names() == ["GET"]
    assert answer.all("set-cookie") == []


async def test_a_websocket_that_is_refused_stores_nothing(server: RedisServer, store: AsyncSessionStore) -> None:
    close = {"type": "websocket.close", "code": 1000}
    answer = await ask(SessionMiddleware(socket(close, view=put(a=1)), store), kind="websocket")
    assert answer.messages == [close]
    assert server.call("DBSIZE") == 0
    denial = {"type": "websocket.http.response.start", "status": 403, "headers": []}
    answer = await ask(SessionMiddleware(socket(denial, view=put(a=1)), store), kind="websocket")
    assert await store.read(answer.id) == {"a": 1}, "a denial is a response and has headers"


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


async def test_s41_sessions_of_requests_at_once_are_their_own(store: AsyncSessionStore) -> None:
    ids = [await store.create({"n": number}) for number in range(30)]
    app = SessionMiddleware(page(lambda session: session["n"]), store)
    answers = await asyncio.gather(*(ask(app, f"session={id}") for id in ids))
    assert [answer.body for answer in answers] == [str(number).encode() for number in range(30)]


@pytest.mark.parametrize(
    "words",
    [{"on_error": "ignore"}, {"same_site": "loose"}, {"session_cookie": "a b"}, {"path": "x"}, {"https_only": 1},
     {"domain": "a;b"}, {"max_age": -1}, {"cookie": "session"}],
    ids=str,
)  # fmt: skip
async def test_bad_arguments_are_refused(store: AsyncSessionStore, words: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        SessionMiddleware(page(get), store, **words)


async def test_the_other_worlds_store_is_refused() -> None:
    with pytest.raises(UsageError, match="takes an AsyncSessionStore, not SessionStore"):
        SessionMiddleware(page(get), SessionStore(carmine.Client()))  # type: ignore[arg-type]


# Starlette. ----------------------------------------------------------------------------------------------------------


async def test_starlette_takes_it_in_the_place_of_its_own(store: AsyncSessionStore) -> None:
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
        middleware=[Middleware(SessionMiddleware, store, **words)],
    )
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://site") as browser:
        first = await browser.get("/add")
        assert re.fullmatch(
            r"sid=[\w-]{43}; Max-Age=60; Path=/; HttpOnly; SameSite=Strict", first.headers["set-cookie"]
        )
        assert (await browser.get("/add")).text == "[1, 2]"
        assert (await browser.get("/stream")).text == "True"
        id = browser.cookies["sid"]
        assert await store.read(id) == {"items": [1, 2], "n": 1, "streamed": True}
        await browser.get("/out")
        assert "sid" not in browser.cookies
        assert await store.read(id) is None


async def test_starlettes_websockets_have_it(store: AsyncSessionStore) -> None:
    seen: list[object] = []

    async def talk(socket: WebSocket) -> None:
        seen.append(dict(socket.session))
        await socket.accept()

    app = Starlette(routes=[WebSocketRoute("/", talk)], middleware=[Middleware(SessionMiddleware, store=store)])
    id = await store.create({"user": "ada"})
    await ask(app, f"session={id}", kind="websocket", path="/", root_path="")
    assert seen == [{"user": "ada"}]


async def test_starlette_turns_a_refused_session_into_an_error_page(caplog: Any) -> None:
    async def home(request: Request) -> PlainTextResponse:
        return PlainTextResponse(str(request.session.get("user")))

    async with carmine.AsyncClient("redis://127.0.0.1:1", retry=Retry(1)) as client:
        store = AsyncSessionStore(client)
        app = Starlette(routes=[Route("/", home)], middleware=[Middleware(SessionMiddleware, store)])
        with caplog.at_level(logging.WARNING, "carmine.sessions"):
            answer = await ask(app, f"session={UNKNOWN}", path="/", method="GET", root_path="", query_string=b"")
    assert answer.status == 503
    assert UNKNOWN not in caplog.text
