"""A Flask application whose views do to their session what the tests ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import flask
from flask import session

from carmine.ext.sessions.flask import CarmineSession

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flask.testing import FlaskClient
    from werkzeug.test import TestResponse

    from carmine.ext.sessions.flask import FlaskSession

__all__ = ["ask", "cookie_of", "cookies_of", "make_app", "mine"]


def mine() -> FlaskSession:
    """Return this request's session, with what it can do beside Flask's own."""
    return CarmineSession.current()


def make_app(client: Any = None, config: dict[str, Any] | None = None, **options: Any) -> flask.Flask:
    """Return the application; its setting BETWEEN may be called between each view and the save."""
    app = flask.Flask(__name__)
    app.config.update(config or {})
    CarmineSession(app, client, **options)

    @app.after_request
    def between(response: flask.Response) -> flask.Response:
        if "BETWEEN" in app.config:
            app.config["BETWEEN"]()
            response.headers["X-Of-The-View"] = "yes"
        return response

    @app.get("/plain")
    def plain() -> str:
        return "plain"

    @app.get("/held")
    def held() -> str:
        return type(mine()).__name__

    @app.get("/read")
    def read() -> dict[str, Any]:
        return dict(session)

    @app.get("/write/<name>/<value>")
    def write(name: str, value: str) -> str:
        session[name] = value
        return "written"

    @app.get("/login/<user>")
    def login(user: str) -> str:
        mine().regenerate()
        session["user"] = user
        return "in"

    @app.get("/stay")
    def stay() -> str:
        session.permanent = True
        return "stays"

    @app.get("/nested")
    def nested() -> str:
        session.setdefault("list", []).append(1)
        return "nested"

    @app.get("/again")
    def again() -> str:
        session.modified = True
        return "again"

    @app.get("/clear")
    def clear() -> str:
        session.clear()
        return "cleared"

    @app.get("/logout")
    def logout() -> str:
        mine().invalidate()
        return "out"

    @app.get("/seen/<what>")
    def seen(what: str) -> str:
        """Look into the session, and then end it, empty it or give it another id."""
        session.get("user")
        getattr(mine(), what)()
        return what

    @app.get("/goodbye")
    def goodbye() -> str:
        mine().invalidate()
        flask.flash("good bye")
        return "out"

    @app.get("/stream")
    def stream() -> flask.Response:
        session["seen"] = "before"

        def chunks() -> Iterator[str]:
            yield session["seen"]
            try:
                session["seen"] = "behind"
            except Exception as error:  # noqa: BLE001 - its name is what the test wants to see
                yield f" {type(error).__name__}"

        return flask.Response(flask.stream_with_context(chunks()))

    @app.get("/async")
    async def asynchronous() -> str:
        session["async"] = int(session.get("async", 0)) + 1
        return str(session["async"])

    @app.get("/large")
    def large() -> str:
        session["large"] = "x" * 100_000
        return "large"

    @app.get("/often")
    def often() -> str:
        return "".join(session.get("a", "-") for _ in range(10))

    @app.get("/caught")
    def caught() -> str:
        try:
            session.get("user")
        except Exception:  # noqa: BLE001 - a view that catches too much
            session["user"] = "nobody"
        return "caught"

    return app


def ask(client: FlaskClient, path: str, cookie: str | None = None, **options: Any) -> TestResponse:
    """Ask for a path, with a cookie as it would stand in the environ of a WSGI server."""
    if cookie is not None:
        raw = cookie.encode("utf-8", "surrogatepass").decode("latin-1")
        options["environ_overrides"] = {"HTTP_COOKIE": f"session={raw}"}
    return client.get(path, **options)


def cookies_of(response: Any) -> list[str]:
    """Return the cookies that a response sets, as they stand in its headers."""
    found: list[str] = response.headers.getlist("Set-Cookie")
    return found


def cookie_of(response: Any) -> tuple[str, set[str]]:
    """Return the value and the attributes of the only cookie that a response sets."""
    (cookie,) = cookies_of(response)
    value, *attributes = cookie.split("; ")
    return value.partition("=")[2], set(attributes)
