"""Django with its sessions in a cache of django-redis, over redis-py and hiredis."""

from __future__ import annotations

from importlib import metadata

from bench.rivals.sessions.base import Site
from bench.rivals.sessions.django_pages import project


class Rival(Site):
    """The way that the documentation of django-redis shows."""

    def __init__(self, address: tuple[str, int]) -> None:
        cache = {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": f"redis://{address[0]}:{address[1]}/0"}
        super().__init__(
            project(
                MIDDLEWARE=["django.contrib.sessions.middleware.SessionMiddleware"],
                SESSION_ENGINE="django.contrib.sessions.backends.cache",
                CACHES={"default": cache},
            )
        )

    def versions(self) -> dict[str, str]:
        """Return the versions."""
        return {name: metadata.version(name) for name in ("django-redis", "redis", "hiredis", "django")}
