"""A Django site whose views do to their session what the tests ask for, each of them blocking and asynchronous.

Importing this configures Django for the process; tests change settings by `override_settings`. A path below `/a` leads
to the asynchronous view. `BETWEEN` holds what a test lets happen in the middle of a view, when the session was read.
"""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING, Any, Final

import django
from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.conf import settings
from django.http import HttpResponse, JsonResponse
from django.test import AsyncClient, Client
from django.urls import path

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

__all__ = ["BETWEEN", "MIDDLEWARE", "Visitor", "cookie_of", "cookies_of"]

MIDDLEWARE: Final = "carmine.ext.sessions.django.SessionMiddleware"

if not settings.configured:
    settings.configure(
        SECRET_KEY="of this site alone",
        ALLOWED_HOSTS=["*"],
        ROOT_URLCONF="tests.ext.sessions.django_kit.site",
        MIDDLEWARE=[MIDDLEWARE],
        SESSION_ENGINE="carmine.ext.sessions.django",
        INSTALLED_APPS=["django.contrib.sessions"],
        LOGGING_CONFIG=None,
        USE_TZ=True,
    )
    django.setup()

BETWEEN: list[Callable[[], object]] = []


def between() -> None:
    while BETWEEN:
        BETWEEN.pop()()


def plain(request: HttpRequest) -> HttpResponse:
    return HttpResponse("plain")


def read(request: HttpRequest) -> HttpResponse:
    return JsonResponse(dict(request.session.items()))


def write(request: HttpRequest, name: str, value: str) -> HttpResponse:
    request.session.get(name)
    between()
    request.session[name] = value
    return HttpResponse("written")


def login(request: HttpRequest, user: str) -> HttpResponse:
    request.session.get("user")
    between()
    request.session.cycle_key()
    request.session["user"] = user
    return HttpResponse("in")


def logout(request: HttpRequest) -> HttpResponse:
    between()
    request.session.flush()
    return HttpResponse("out")


def goodbye(request: HttpRequest) -> HttpResponse:
    between()
    request.session.flush()
    request.session["said"] = "good bye"
    return HttpResponse("out")


def crash(request: HttpRequest) -> HttpResponse:
    request.session.get("user")
    raise RuntimeError("of this view")


def large(request: HttpRequest) -> HttpResponse:
    request.session["large"] = secrets.token_hex(100_000)  # what could be compressed would not be large
    return HttpResponse("large")


def clear(request: HttpRequest) -> HttpResponse:
    request.session.clear()
    return HttpResponse("cleared")


def expire(request: HttpRequest, seconds: int) -> HttpResponse:
    request.session.set_expiry(seconds)
    return HttpResponse("expires")


def often(request: HttpRequest) -> HttpResponse:
    return HttpResponse("".join(request.session.get("a", "-") for _ in range(10)))


def broken(request: HttpRequest) -> HttpResponse:
    request.session["a"] = "of a broken view"
    return HttpResponse("broken", status=500)


async def aplain(request: HttpRequest) -> HttpResponse:
    return HttpResponse("plain")


async def aread(request: HttpRequest) -> HttpResponse:
    return JsonResponse(dict(await request.session.aitems()))


async def awrite(request: HttpRequest, name: str, value: str) -> HttpResponse:
    await request.session.aget(name)
    await asyncio.to_thread(between)
    await request.session.aset(name, value)
    return HttpResponse("written")


async def alogin(request: HttpRequest, user: str) -> HttpResponse:
    await request.session.aget("user")
    await asyncio.to_thread(between)
    await request.session.acycle_key()
    await request.session.aset("user", user)
    return HttpResponse("in")


async def alogout(request: HttpRequest) -> HttpResponse:
    await asyncio.to_thread(between)
    await request.session.aflush()
    return HttpResponse("out")


async def agoodbye(request: HttpRequest) -> HttpResponse:
    await asyncio.to_thread(between)
    await request.session.aflush()
    await request.session.aset("said", "good bye")
    return HttpResponse("out")


async def acrash(request: HttpRequest) -> HttpResponse:
    await request.session.aget("user")
    raise RuntimeError("of this view")


async def alarge(request: HttpRequest) -> HttpResponse:
    await request.session.aset("large", secrets.token_hex(100_000))
    return HttpResponse("large")


async def aclear(request: HttpRequest) -> HttpResponse:
    request.session.clear()
    return HttpResponse("cleared")


async def aexpire(request: HttpRequest, seconds: int) -> HttpResponse:
    await request.session.aset_expiry(seconds)
    return HttpResponse("expires")


async def aoften(request: HttpRequest) -> HttpResponse:
    return HttpResponse("".join([await request.session.aget("a", "-") for _ in range(10)]))


async def abroken(request: HttpRequest) -> HttpResponse:
    await request.session.aset("a", "of a broken view")
    return HttpResponse("broken", status=500)


ROUTES: list[tuple[str, Any, Any]] = [
    ("plain", plain, aplain),
    ("read", read, aread),
    ("write/<name>/<value>", write, awrite),
    ("login/<user>", login, alogin),
    ("logout", logout, alogout),
    ("goodbye", goodbye, agoodbye),
    ("crash", crash, acrash),
    ("large", large, alarge),
    ("clear", clear, aclear),
    ("expire/<int:seconds>", expire, aexpire),
    ("often", often, aoften),
    ("broken", broken, abroken),
]
urlpatterns = [
    *(path(route, view) for route, view, _ in ROUTES),
    *(path(f"a/{route}", view) for route, _, view in ROUTES),
]


class Eager:
    """A middleware between the session's and the views, that looks into every session."""

    sync_capable = async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self._get_response = get_response
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        if self._is_async:
            return self._later(request)
        request.session.get("user")
        answer: HttpResponseBase = self._get_response(request)
        return answer

    async def _later(self, request: HttpRequest) -> HttpResponseBase:
        await request.session.aget("user")
        answer: HttpResponseBase = await self._get_response(request)
        return answer


class Visitor:
    """Whoever asks the site, with no cookie but those of a call.

    Args:
        world: "threads" asks as a WSGI server does, "loop" as an ASGI server; there each call has a loop of its own.
    """

    def __init__(self, world: str) -> None:
        self._is_async = world == "loop"

    def ask(self, where: str, cookie: str | None = None, **options: Any) -> Any:
        """Ask for a path, with a cookie as a server would hand it on."""
        raw = "" if cookie is None else "sessionid=" + cookie.encode("utf-8", "surrogatepass").decode("latin-1")
        if not self._is_async:
            return Client(raise_request_exception=False).get(where, HTTP_COOKIE=raw, **options)
        options["headers"] = {"cookie": f"{raw}; other=1"}  # Django's client puts a comma behind it
        return asyncio.run(AsyncClient(raise_request_exception=False).get(f"/a{where}", **options))


def cookies_of(response: Any) -> list[str]:
    """Return the cookies that a response sets, as they stand in its headers."""
    return [morsel.OutputString() for morsel in response.cookies.values()]


def cookie_of(response: Any) -> tuple[str, set[str]]:
    """Return the value and the attributes of the only cookie that a response sets."""
    (cookie,) = cookies_of(response)
    value, *attributes = cookie.split("; ")
    return value.partition("=")[2].strip('"'), set(attributes)
