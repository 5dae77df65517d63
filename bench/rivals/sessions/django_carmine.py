"""Django with carmine's session engine."""

from __future__ import annotations

from importlib import metadata

import carmine
from bench.rivals.sessions.base import Site
from bench.rivals.sessions.django_pages import project
from carmine.protocol import __impl__


class Rival(Site):
    """The engine and its middleware, with their defaults."""

    def __init__(self, address: tuple[str, int]) -> None:
        super().__init__(
            project(
                MIDDLEWARE=["carmine.ext.sessions.django.middleware.SessionMiddleware"],
                SESSION_ENGINE="carmine.ext.sessions.django",
                CARMINE_SESSIONS={"url": f"redis://{address[0]}:{address[1]}/0"},
            )
        )

    def versions(self) -> dict[str, str]:
        """Return the versions."""
        return {"carmine": carmine.__version__, "twin": __impl__, "django": metadata.version("django")}
