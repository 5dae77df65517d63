"""The example for Django as a process, driven over HTTP: Django's login and logout, planted keys, an outage."""

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

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "sessions_django" / "serve.py"
ADA = {"name": "ada", "password": "lovelace"}


@pytest.fixture(scope="module")
def site(module_server: RedisServer) -> Iterator[str]:
    """Give the address of the example; the system chooses its port."""
    command = [sys.executable, "-W", "error", str(EXAMPLE), module_server.url, "0"]
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


def test_login_and_logout(visitor: httpx.Client, server: RedisServer) -> None:
    assert visitor.get("/").text == "who are you?\n"
    assert server.call("DBSIZE") == 0
    login = visitor.post("/login", data=ADA)
    assert login.text == "welcome, ada\n"
    assert {"HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=1800"} <= set(login.headers["Set-Cookie"].split("; "))
    assert [visitor.get("/").text for _ in range(2)] == ["ada, visit 1\n", "ada, visit 2\n"]
    id = visitor.cookies["sessionid"]
    assert id.encode() not in key_in(server)
    assert visitor.post("/logout").text == "good bye\n"
    assert "sessionid" not in visitor.cookies
    assert server.call("DBSIZE") == 0
    visitor.cookies.set("sessionid", id)
    assert visitor.get("/").text == "who are you?\n"


def test_s41_a_planted_key_is_no_way_in(visitor: httpx.Client, site: str, server: RedisServer) -> None:
    planted = "p" * 43
    visitor.cookies.set("sessionid", planted, domain="127.0.0.1")
    assert visitor.post("/login", data=ADA).status_code == 200
    assert httpx.get(site, cookies={"sessionid": planted}).text == "who are you?\n"
    assert server.call("DBSIZE") == 1


def test_who_has_no_password_stays_outside(visitor: httpx.Client, server: RedisServer) -> None:
    response = visitor.post("/login", data={**ADA, "password": "x"})
    assert response.status_code == 403
    assert "Set-Cookie" not in response.headers
    assert server.call("DBSIZE") == 0


def test_w01_while_the_server_is_away_pages_that_need_a_session_say_so(
    visitor: httpx.Client, server: RedisServer
) -> None:
    visitor.post("/login", data=ADA)
    server.stop()
    assert visitor.get("/").status_code == 503
    assert visitor.post("/logout").status_code == 503
    assert visitor.cookies["sessionid"]
