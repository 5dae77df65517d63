"""The pages of the example: Django's own login and logout, a blocking view beside an asynchronous one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib.auth import aauthenticate, alogin, logout
from django.http import HttpResponse
from django.urls import path
from django.views.decorators.http import require_GET, require_POST

if TYPE_CHECKING:
    from django.http import HttpRequest


def text(body: str, status: int = 200) -> HttpResponse:
    return HttpResponse(f"{body}\n", status=status, content_type="text/plain; charset=utf-8")


@require_GET
async def home(request: HttpRequest) -> HttpResponse:
    user = await request.auser()
    if not user.is_authenticated:
        return text("who are you?")
    visits = await request.session.aget("visits", 0) + 1
    await request.session.aset("visits", visits)
    return text(f"{user.get_username()}, visit {visits}")


@require_POST
async def sign_in(request: HttpRequest) -> HttpResponse:
    name, password = request.POST.get("name", ""), request.POST.get("password", "")
    user = await aauthenticate(request, username=name, password=password)
    if user is None:
        return text("wrong name or password", 403)
    await alogin(request, user)  # gives the session a new key: one from before the login is worth nothing now
    return text(f"welcome, {name}")


@require_POST
def sign_out(request: HttpRequest) -> HttpResponse:
    logout(request)
    return text("good bye")


def health(request: HttpRequest) -> HttpResponse:
    return text("up")


urlpatterns = [path("", home), path("login", sign_in), path("logout", sign_out), path("health", health)]
