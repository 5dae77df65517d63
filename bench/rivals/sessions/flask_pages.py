"""The pages as a Flask application, for every rival that serves Flask."""

from __future__ import annotations

from flask import Flask, session

from bench.rivals.sessions.base import VIEWS


def pages() -> Flask:
    """Return the application, without its sessions."""
    app = Flask("bench")
    for path, view in VIEWS.items():
        app.add_url_rule(path, path, lambda view=view: view(session))
    return app
