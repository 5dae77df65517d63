"""The example for Flask as a process of its own, driven over HTTP: login, logout, and what a planted id is worth."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.ext.sessions.planting import key_in

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lab.servers import RedisServer

pytestmark = pytest.mark.one_twin

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "sessions_flask.py"


@pytest.fixture(scope="module")
def site(module_server: RedisServer) -> Iterator[str]:
    """Give the address of the example; the system chooses its port."""
    command = [sys.executable, str(EXAMPLE), module_server.url, "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as child:
        assert child.stdout is not None
        try:
            said = child.stdout.readline()
            found = re.match(r"http://127\.0\.0\.1:\d+", said)
            assert found is not None, said
            yield found[0]
        finally:
            child.terminate()


@pytest.fixture
def visitor(site: str, server: RedisServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=site) as made:
        yield made


ADA = {"name": "ada", "password": "lovelace"}


def test_login_and_logout(visitor: httpx.Client, server: RedisServer) -> None:
    assert visitor.get("/").text == "who are you?\n"
    assert server.call("DBSIZE") == 0
    login = visitor.post("/login", data=ADA)
    assert login.text == "welcome, ada\n"
    cookie = login.headers["Set-Cookie"]
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(cookie.split("; "))
    assert "Expires" not in cookie
    assert [visitor.get("/").text for _ in range(2)] == ["ada, visit 1\n", "ada, visit 2\n"]
    id = visitor.cookies["session"]
    assert id.encode() not in key_in(server)
    assert visitor.post("/logout").text == "good bye\n"
    assert "session" not in visitor.cookies
    assert server.call("DBSIZE") == 0
    visitor.cookies.set("session", id)
    assert visitor.get("/").text == "who are you?\n"


def test_who_wants_to_stay_has_a_cookie_that_lasts(visitor: httpx.Client) -> None:
    assert "Expires=" in visitor.post("/login", data={**ADA, "stay": "1"}).headers["Set-Cookie"]
    assert "Expires=" in visitor.get("/").headers["Set-Cookie"]


def test_s41_a_planted_id_is_no_way_in(visitor: httpx.Client, site: str, server: RedisServer) -> None:
    planted = "p" * 43
    visitor.cookies.set("session", planted, domain="127.0.0.1")
    visitor.post("/login", data=ADA)
    assert httpx.get(site, cookies={"session": planted}).text == "who are you?\n"
    assert server.call("DBSIZE") == 1


@pytest.mark.parametrize("form", [{}, {"name": "ada"}, {"name": "eve", "password": ""}, {**ADA, "password": "x"}])
def test_who_has_no_password_stays_outside(visitor: httpx.Client, server: RedisServer, form: dict[str, str]) -> None:
    response = visitor.post("/login", data=form)
    assert response.status_code == 403
    assert "Set-Cookie" not in response.headers
    assert server.call("DBSIZE") == 0
