"""Flask with carmine's sessions."""

from __future__ import annotations

from importlib import metadata

import carmine
from bench.rivals.sessions.base import Site
from bench.rivals.sessions.flask_pages import pages
from carmine.ext.sessions.flask import CarmineSession
from carmine.protocol import __impl__


class Rival(Site):
    """The extension with its defaults."""

    def __init__(self, address: tuple[str, int]) -> None:
        app = pages()
        CarmineSession(app, carmine.Client(f"redis://{address[0]}:{address[1]}"))
        super().__init__(app)

    def versions(self) -> dict[str, str]:
        """Return the versions."""
        return {"carmine": carmine.__version__, "twin": __impl__, "flask": metadata.version("flask")}
