"""Flask with Flask-Session, over redis-py and hiredis."""

from __future__ import annotations

from importlib import import_module, metadata
from typing import Any

from bench.rivals.sessions.base import Site
from bench.rivals.sessions.flask_pages import pages

# They are not in carmine's own environment, where this file is type-checked.
redis: Any = import_module("redis")
flask_session: Any = import_module("flask_session")


class Rival(Site):
    """The extension with its defaults."""

    def __init__(self, address: tuple[str, int]) -> None:
        app = pages()
        app.config |= {"SESSION_TYPE": "redis", "SESSION_REDIS": redis.Redis(*address)}
        flask_session.Session(app)
        super().__init__(app)

    def versions(self) -> dict[str, str]:
        """Return the versions."""
        return {name: metadata.version(name) for name in ("flask-session", "redis", "hiredis", "flask")}
