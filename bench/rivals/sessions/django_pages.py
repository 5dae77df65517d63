"""The pages as a Django project, for every rival that serves Django; `SETTINGS` of the rival make the rest."""

from __future__ import annotations

from typing import Any

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import path as url

from bench.rivals.sessions.base import VIEWS


def _page(name: str) -> Any:
    def page(request: HttpRequest) -> HttpResponse:
        return HttpResponse(VIEWS[name](request.session), content_type="text/plain")

    return page


urlpatterns = [url(name[1:], _page(name)) for name in VIEWS]


def project(**options: Any) -> Any:
    """Return the project as a WSGI application.

    Args:
        options: Settings of the rival.
    """
    settings.configure(
        SECRET_KEY="bench",
        ALLOWED_HOSTS=["localhost"],
        ROOT_URLCONF=__name__,
        SESSION_COOKIE_SECURE=True,
        USE_TZ=True,
        **options,
    )
    django.setup()
    return get_wsgi_application()
