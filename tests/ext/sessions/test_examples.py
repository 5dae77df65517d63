"""The applications of examples/, on servers of their own, driven by a browser made of http.client."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
from http.cookies import SimpleCookie
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import pytest
import uvicorn

import carmine
from examples import sessions_starlette, sessions_wsgi
from tests.ext.sessions.planting import key_in, left_of
from tests.lab.servers import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.lab.proxy import FaultProxy
    from tests.lab.servers import RedisServer

pytestmark = pytest.mark.one_twin

UNKNOWN = "u" * 43


class Browser:
    """Keeps cookies as browsers do: those of a host, until they are taken away."""

    def __init__(self, port: int, form: Callable[[dict[str, str]], str]) -> None:
        self.port = port
        self.cookies: dict[str, str] = {}
        self.headers: list[tuple[str, str]] = []
        self._form = form

    def ask(self, method: str, path: str, **form: str) -> tuple[int, str]:
        """Return status and text."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())}
            connection.request(method, path, self._form(form) if form else None, headers if self.cookies else {})
            answer = connection.getresponse()
            text = answer.read().decode()
        finally:
            connection.close()
        self.headers = answer.getheaders()
        for told in answer.headers.get_all("set-cookie", ()):
            for name, morsel in SimpleCookie(told).items():
                if morsel["max-age"] == "0":
                    self.cookies.pop(name, None)
                else:
                    self.cookies[name] = morsel.value
        return answer.status, text


class Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


class Threads(ThreadingMixIn, WSGIServer):
    daemon_threads = True


@contextlib.contextmanager
def plain(url: str) -> Iterator[Browser]:
    with (
        carmine.Client(url) as client,
        make_server("127.0.0.1", 0, sessions_wsgi.make_app(client, secure=False), Threads, Quiet) as server,
    ):
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield Browser(server.server_port, urlencode)
        finally:
            server.shutdown()
            thread.join()


@contextlib.contextmanager
def starlette(url: str) -> Iterator[Browser]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        app = sessions_starlette.make_app(url, https_only=False)
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, ws="none", loop="asyncio"))
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        try:
            wait_until(lambda: server.started, "uvicorn")
            yield Browser(listening.getsockname()[1], json.dumps)
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture(params=[plain, starlette], ids=["wsgi", "starlette"])
def site(request: pytest.FixtureRequest) -> Callable[[str], contextlib.AbstractContextManager[Browser]]:
    made: Callable[[str], contextlib.AbstractContextManager[Browser]] = request.param
    return made


def test_login_visits_and_logout(server: RedisServer, site: Any) -> None:
    with site(server.url) as browser:
        assert browser.ask("GET", "/") == (200, "who are you?\n")
        assert browser.cookies == {}
        assert browser.ask("POST", "/login", name="ada", password="wrong") == (403, "wrong name or password\n")
        assert browser.ask("POST", "/login", name="nobody", password="") == (403, "wrong name or password\n")
        assert server.call("DBSIZE") == 0
        browser.cookies = {"session": UNKNOWN}
        assert browser.ask("POST", "/login", name="ada", password="lovelace") == (200, "welcome, ada\n")
        id = browser.cookies["session"]
        assert id != UNKNOWN, "what a visitor chose is not adopted"
        assert browser.ask("GET", "/") == (200, "ada, visit 1\n")
        assert browser.ask("GET", "/") == (200, "ada, visit 2\n")
        assert browser.cookies == {"session": id}
        server.call("PEXPIRE", key_in(server), 5000)
        assert browser.ask("GET", "/health") == (200, "up\n")
        assert {"set-cookie", "vary"} & {name.lower() for name, _ in browser.headers} == set()
        browser.ask("GET", "/")
        assert left_of(server, key_in(server)) > 5000
        assert browser.ask("POST", "/login", name="grace", password="hopper") == (200, "welcome, grace\n")
        assert browser.cookies["session"] != id, "another id with every login"
        assert server.call("DBSIZE") == 1
        stolen = dict(browser.cookies)
        assert browser.ask("POST", "/logout") == (200, "good bye\n")
        assert browser.cookies == {}
        assert server.call("DBSIZE") == 0
        browser.cookies = stolen
        assert browser.ask("GET", "/") == (200, "who are you?\n"), "a stolen cookie is worth nothing after the logout"


def test_two_visitors_have_two_sessions(url: str, site: Any) -> None:
    with site(url) as one:
        other = Browser(one.port, one._form)
        one.ask("POST", "/login", name="ada", password="lovelace")
        other.ask("POST", "/login", name="grace", password="hopper")
        assert one.ask("GET", "/") == (200, "ada, visit 1\n")
        assert other.ask("GET", "/") == (200, "grace, visit 1\n")


def test_s40_hostile_cookies_over_the_wire(server: RedisServer, site: Any) -> None:
    server.call("SET", "admin:secret", "kept")
    with site(server.url) as browser:
        for hostile in (
            "admin:secret",
            "../../x",
            "*",
            "a" * 10_000,
            "a" * 42 + "\xe9",
            "carmine:mq:jobs",
            '"',
            "=;=;",
        ):
            browser.cookies = {"session": hostile}
            assert browser.ask("GET", "/") == (200, "who are you?\n")
            assert browser.ask("POST", "/logout")[0] == 200
    assert server.call("GET", "admin:secret") == b"kept"
    assert server.call("DBSIZE") == 1


def test_w01_the_server_goes_and_comes_back(server: RedisServer, proxy: FaultProxy, site: Any) -> None:
    with site(proxy.url(server.url)) as browser:
        browser.ask("POST", "/login", name="ada", password="lovelace")
        proxy.refuse()
        proxy.kill()
        assert browser.ask("GET", "/")[0] == 503
        assert browser.ask("GET", "/health") == (200, "up\n")
        assert browser.ask("POST", "/login", name="ada", password="lovelace")[0] == 503
        proxy.refuse(False)
        assert browser.ask("GET", "/") == (200, "ada, visit 1\n"), "and the visitor still has his session"
