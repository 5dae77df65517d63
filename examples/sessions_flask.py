"""A Flask application with login and logout: `flask.session` on a server instead of in the cookie.

python examples/sessions_flask.py                           # starts a server of its own
python examples/sessions_flask.py redis://127.0.0.1:6379/0

curl -c jar -b jar -d 'name=ada&password=lovelace' http://127.0.0.1:8000/login
curl -c jar -b jar http://127.0.0.1:8000/
curl -c jar -b jar -X POST http://127.0.0.1:8000/logout
"""

from __future__ import annotations

import sys
from hmac import compare_digest
from typing import Any

from flask import Flask, Response, request, session
from werkzeug.serving import make_server

import carmine
from carmine.embedded import EmbeddedRedis
from carmine.ext.sessions.flask import CarmineSession, FlaskSession

USERS = {"ada": "lovelace", "grace": "hopper"}  # yours keep a slow hash: hashlib.scrypt, argon2


def text(body: str, status: int = 200) -> Response:
    return Response(f"{body}\n", status, mimetype="text/plain")


def make_app(client: carmine.Client[Any]) -> Flask:
    """Return the application."""
    app = Flask(__name__)
    app.config["PERMANENT_SESSION_LIFETIME"] = 30 * 60  # since the last request that looked at the session
    app.config["SESSION_COOKIE_SAMESITE"] = "Strict"
    sessions = CarmineSession(app, client, absolute_ttl=12 * 60 * 60, timeout=2)

    @app.get("/")
    def home() -> Response:
        if "user" not in session:
            return text("who are you?")
        session["visits"] = session.get("visits", 0) + 1
        return text(f"{session['user']}, visit {session['visits']}")

    @app.post("/login")
    def login() -> Response:
        name, password = request.form.get("name", ""), request.form.get("password", "")
        if name not in USERS or not compare_digest(USERS[name].encode(), password.encode()):
            return text("wrong name or password", 403)
        mine: FlaskSession = sessions.current()
        mine.regenerate(begin_anew=True)  # an id from before the login is worth nothing now
        mine["user"] = name
        mine.permanent = "stay" in request.form  # the cookie outlives the browser
        return text(f"welcome, {name}")

    @app.post("/logout")
    def logout() -> Response:
        sessions.current().invalidate()
        return text("good bye")

    @app.get("/health")
    def health() -> Response:
        return text("up")  # touches no session: no command, no header, and no error while the server is down

    return app


def serve(url: str, port: int = 8000) -> None:
    with carmine.Client(url) as client:
        server = make_server("127.0.0.1", port, make_app(client), threaded=True)
        print(f"http://127.0.0.1:{server.server_port} (Ctrl-C ends)", flush=True)
        server.serve_forever()


def main() -> None:
    if len(sys.argv) > 1:
        serve(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 8000)
    else:
        with EmbeddedRedis() as redis:
            serve(redis.url)


if __name__ == "__main__":
    main()
