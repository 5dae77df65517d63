"""The ASGI middleware: http, websockets and what passes through, driven message by message; and under Starlette.

Of the catalogues: W01, W03, W07; S-40, S-41, S-43, S-46.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest

import carmine
from carmine.errors import PoolClosed, UsageError
from carmine.ext.sessions import (
    AsyncSessionStore,
    CookieSettings,
    Session,
    SessionStore,
    SessionTooLarge,
    SessionUnavailable,
)
from carmine.ext.sessions.asgi import SessionMiddleware
from carmine.retry import Retry
from tests.ext.sessions.asgi_kit import ask, get, page, put
from tests.ext.sessions.planting import HOSTILE
from tests.lab.scripted import Scripted

if TYPE_CHECKING:
    import contextlib

    from tests.ext.sessions.traffic import Traffic
    from tests.lab.proxy import FaultProxy
    from tests.lab.servers import RedisServer

pytestmark = pytest.mark.asyncio
UNKNOWN = "u" * 43


# What a visitor gets. ------------------------------------------------------------------------------------------------


async def test_who_has_no_cookie_and_touches_nothing_pays_nothing(
    async_store: AsyncSessionStore, traffic: Traffic
) -> None:
    answer = await ask(SessionMiddleware(page(lambda session: "up"), async_store))
    assert (answer.status, answer.body, answer.messages[0]["headers"]) == (200, b"up", [])
    answer = await ask(SessionMiddleware(page(get), async_store))
    assert (answer.body, answer.all("vary"), answer.all("set-cookie")) == (b"{}", ["Cookie"], [])
    assert traffic.take() == []


async def test_round_trips_and_headers(async_store: AsyncSessionStore, traffic: Traffic) -> None:
    answer = await ask(SessionMiddleware(page(put(list=[1])), async_store))
    assert traffic.names() == ["EVALSHA"]
    id = answer.id
    assert answer.all("set-cookie") == [f"session={id}; Max-Age=600; Path=/; Secure; HttpOnly; SameSite=Lax"]  # S-46
    assert (answer.all("vary"), answer.all("cache-control")) == (["Cookie"], ["no-store"])
    answer = await ask(SessionMiddleware(page(get), async_store), f"session={id}")
    assert (answer.body, answer.all("set-cookie"), answer.all("vary")) == (b"{'list': [1]}", [], ["Cookie"])
    assert traffic.names() == ["GET"]
    answer = await ask(SessionMiddleware(page(lambda s: "up"), async_store), f"session={id}")
    assert answer.messages[0]["headers"] == []
    assert traffic.names() == ["GET"], "nobody can wait inside scope['session'][...]"
    await ask(
        SessionMiddleware(page(lambda s: s["list"].append(2)), async_store), "a=b", f"session={id}"
    )  # as HTTP/2 may
    assert traffic.names() == ["GET", "EVALSHA"]
    assert await async_store.read(id) == {"list": [1, 2]}


async def test_rolling_lets_the_cookie_live_on_as_well(
    async_client: carmine.AsyncClient[str], traffic: Traffic
) -> None:
    async_store = AsyncSessionStore(async_client, ttl=600, rolling=True)
    id = await async_store.create({"a": 1})
    traffic.take()
    answer = await ask(SessionMiddleware(page(get), async_store), f"session={id}")
    assert traffic.names() == ["EVALSHA"]
    assert answer.id == id
    assert (await ask(SessionMiddleware(page(get), async_store, max_age=None), f"session={id}")).id is None


async def test_s41_a_planted_id_is_not_adopted_and_a_login_gives_another(
    server: RedisServer, async_store: AsyncSessionStore
) -> None:
    def login(session: Session) -> None:
        session.regenerate(begin_anew=True)
        session["user"] = "ada"

    first = (await ask(SessionMiddleware(page(put(cart=1)), async_store), f"session={UNKNOWN}")).id
    assert first not in (None, UNKNOWN)
    second = (await ask(SessionMiddleware(page(login), async_store), f"session={first}")).id
    assert second not in (None, first)
    assert [await async_store.read(id) for id in (UNKNOWN, first, second)] == [None, None, {"cart": 1, "user": "ada"}]
    assert server.call("DBSIZE") == 1


async def test_s40_w07_hostile_cookies_touch_nothing(
    server: RedisServer, async_store: AsyncSessionStore, traffic: Traffic
) -> None:
    server.call("SET", "admin:secret", "kept")
    for hostile in HOSTILE:
        for view in (get, Session.invalidate):
            answer = await ask(SessionMiddleware(page(view), async_store), f"session={hostile}", hostile)
            assert (answer.status, answer.all("set-cookie")) == (200, [])
    assert traffic.take() == []
    assert server.call("GET", "admin:secret") == b"kept"


async def test_s46_a_logout_deletes_the_session_and_the_cookie(async_store: AsyncSessionStore) -> None:
    for end in (Session.invalidate, Session.clear):
        id = await async_store.create({"user": "ada"})
        app = SessionMiddleware(page(end), async_store, "sid", path="/shop", domain="example.org", same_site="strict")
        answer = await ask(app, f"sid={id}")
        cookie = CookieSettings("sid", "/shop", "example.org", samesite="Strict")
        assert answer.all("set-cookie") == [cookie.delete_header()]
        assert await async_store.read(id) is None


async def test_w03_s43_a_logout_that_races_a_slow_request_wins(
    server: RedisServer, async_store: AsyncSessionStore
) -> None:
    id = await async_store.create({"user": "ada"})
    began, ended = asyncio.Event(), asyncio.Event()

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        scope["session"]["late"] = scope["session"]["user"]
        began.set()
        await ended.wait()
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"done"})

    task = asyncio.create_task(ask(SessionMiddleware(slow, async_store), f"session={id}"))
    await began.wait()
    assert (await ask(SessionMiddleware(page(Session.invalidate), async_store), f"session={id}")).status == 200
    ended.set()
    answer = await task
    assert (answer.status, answer.body, answer.all("set-cookie")) == (200, b"done", [])
    assert server.call("DBSIZE") == 0


# While the server is away. -------------------------------------------------------------------------------------------


async def test_w01_the_server_is_down(server: RedisServer, proxy: FaultProxy, caplog: Any) -> None:
    async with carmine.AsyncClient(proxy.url(server.url), retry=Retry(1)) as client:
        async_store = AsyncSessionStore(client, timeout=1)
        id = await async_store.create({"user": "ada"})
        proxy.refuse()
        proxy.kill()
        for view, cookie in ((get, id), (put(a=1), id), (put(a=1), ""), (Session.invalidate, id)):
            answer = await ask(SessionMiddleware(page(view), async_store), f"session={cookie}")
            assert (answer.status, answer.all("set-cookie")) == (503, [])
            assert answer.all("cache-control") == ["no-store"]
            assert [message["type"] for message in answer.messages] == ["http.response.start", "http.response.body"]
            answer = await ask(SessionMiddleware(page(view), async_store, on_error="anonymous"), f"session={cookie}")
            assert answer.all("set-cookie") == []
            if view is Session.invalidate:
                assert answer.status == 503, "no logout is lost in silence, whatever the policy"
            else:
                assert (answer.status, answer.body in (b"{}", b"None")) == (200, True)
        up = await ask(SessionMiddleware(page(lambda session: "up"), async_store), f"session={id}")
        assert up.body == b"up", "who touches no session meets no error of one"
        proxy.refuse(False)
        assert await async_store.read(id) == {"user": "ada"}
    assert id not in caplog.text
    assert server.call("DBSIZE") == 1


async def test_w01_a_deaf_server_hangs_nobody(stack: contextlib.ExitStack) -> None:
    deaf = stack.enter_context(Scripted(lambda number, block: b""))
    async with carmine.AsyncClient(deaf.url) as client:
        async_store = AsyncSessionStore(client, timeout=0.2)
        began = time.monotonic()
        answers = await asyncio.gather(
            *(ask(SessionMiddleware(page(get), async_store), f"session={UNKNOWN}") for _ in range(20))
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


async def test_what_the_application_did_wrong_is_its_own_error(
    server: RedisServer, async_store: AsyncSessionStore
) -> None:
    for view, error in ((put(a=object()), UsageError), (put(a="x" * 70_000), SessionTooLarge)):
        with pytest.raises(error):
            await ask(SessionMiddleware(page(view), async_store))

    async def fails(scope: Any, receive: Any, send: Any) -> None:
        scope["session"]["a"] = 1
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await ask(SessionMiddleware(fails, async_store))
    assert server.call("DBSIZE") == 0


async def test_a_closed_client_is_no_outage(url: str) -> None:
    client = carmine.AsyncClient(url)
    await client.aclose()
    with pytest.raises(PoolClosed):
        await ask(SessionMiddleware(page(get), AsyncSessionStore(client)), f"session={UNKNOWN}")


async def test_a_request_that_is_cancelled_leaves_the_store_usable(server: RedisServer, proxy: FaultProxy) -> None:
    """A client that goes away while its session is read or saved: what was to be written is written or not, whole."""
    async with carmine.AsyncClient(proxy.url(server.url)) as client:
        async_store = AsyncSessionStore(client)
        id = await async_store.create({"n": 0})
        await async_store.update(id, {"n": 0})
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
            task = asyncio.create_task(ask(SessionMiddleware(app, async_store), f"session={id}"))
            await began.wait()
            await asyncio.to_thread(proxy.wait_passed, "c2s", 1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            proxy.release()
            assert await async_store.read(id) in ({"n": 0}, {"n": 1})
        assert (await ask(SessionMiddleware(page(get), async_store), f"session={id}")).body in (
            b"{'n': 0}",
            b"{'n': 1}",
        )


@pytest.mark.parametrize(
    "words",
    [{"on_error": "ignore"}, {"same_site": "loose"}, {"session_cookie": "a b"}, {"path": "x"}, {"https_only": 1},
     {"domain": "a;b"}, {"max_age": -1}, {"cookie": "session"}],
    ids=str,
)  # fmt: skip
async def test_bad_arguments_are_refused(async_store: AsyncSessionStore, words: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        SessionMiddleware(page(get), async_store, **words)


async def test_the_other_worlds_store_is_refused() -> None:
    with pytest.raises(UsageError, match="takes an AsyncSessionStore, not SessionStore"):
        SessionMiddleware(page(get), SessionStore(carmine.Client()))  # type: ignore[arg-type]
