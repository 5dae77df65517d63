"""A Starlette application with login and logout: `request.session` on a server instead of in the cookie.

uvicorn examples.sessions_starlette:app            # CARMINE_URL says where the server is

curl -c jar -b jar -d '{"name": "ada", "password": "lovelace"}' http://127.0.0.1:8000/login
curl -c jar -b jar http://127.0.0.1:8000/
curl -c jar -b jar -X POST http://127.0.0.1:8000/logout
"""

from __future__ import annotations

import contextlib
import os
from hmac import compare_digest
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route

import carmine
from carmine.ext.sessions import AsyncSessionStore
from carmine.ext.sessions.asgi import SessionMiddleware

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request

USERS = {"ada": "lovelace", "grace": "hopper"}  # yours keep a slow hash: hashlib.scrypt, argon2


async def home(request: Request) -> PlainTextResponse:
    session = request.session
    if "user" not in session:
        return PlainTextResponse("who are you?\n")
    session["visits"] = session.get("visits", 0) + 1
    return PlainTextResponse(f"{session['user']}, visit {session['visits']}\n")


async def login(request: Request) -> PlainTextResponse:
    form = await request.json()
    name, password = str(form.get("name", "")), str(form.get("password", ""))
    if name not in USERS or not compare_digest(USERS[name].encode(), password.encode()):
        return PlainTextResponse("wrong name or password\n", 403)
    request.session.regenerate(begin_anew=True)  # an id from before the login is worth nothing now
    request.session["user"] = name
    return PlainTextResponse(f"welcome, {name}\n")


async def logout(request: Request) -> PlainTextResponse:
    request.session.invalidate()
    return PlainTextResponse("good bye\n")


async def health(request: Request) -> PlainTextResponse:
    return PlainTextResponse("up\n")  # touches no session: no header, and no error while the server is down


def make_app(url: str, *, https_only: bool = True) -> Starlette:
    """Return the application; `https_only=False` lets the cookie travel without TLS, for development."""
    client = carmine.AsyncClient(url)
    store = AsyncSessionStore(client, ttl=30 * 60, rolling=True, absolute_ttl=12 * 60 * 60, timeout=2)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        await client.aclose()

    return Starlette(
        routes=[
            Route("/", home),
            Route("/login", login, methods=["POST"]),
            Route("/logout", logout, methods=["POST"]),
            Route("/health", health),
        ],
        middleware=[Middleware(SessionMiddleware, store=store, https_only=https_only)],
        lifespan=lifespan,
    )


app = make_app(os.environ.get("CARMINE_URL", "redis://127.0.0.1:6379/0"), https_only=False)
