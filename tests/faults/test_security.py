"""URLs, cleartext and the import's side effects (SECURITY.md S-21, S-23, S-73; others: test_auth.py, test_tls.py)."""

from __future__ import annotations

import os
import socket
import string
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import pytest

import carmine
from carmine.transport import credentials
from tests.lab.scripted import Scripted

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.lab.certs import Certificates
    from tests.lab.servers import RedisServer

pytestmark = pytest.mark.faults


CANARY: Final = "CANARY-9f3b17"
USERINFO: Final = f"canary-user:{CANARY}@"

# S-21: URLs. ---------------------------------------------------------------------------------------------------------

PASSWORDS: Final = [
    "plain", "with:colon", "a:b:c", "at@sign", "a@b@c", "slash/", "?query", "#hash", "100%", "%41", "%2541",
    "plus+plus", "space space", "é", "日本", "\U0001f511", "quote'\"", "back\\slash", "&amp;=", "[v6]",
    "tab\t", "nl\nnl", "\x7f", "~!$^*()", string.punctuation, "x" * 400,
]  # fmt: skip


def test_s21_every_password_arrives_as_it_is(server: RedisServer, protocol: Any) -> None:
    """Through a URL and percent-encoding once, or as a keyword: it logs in, so it is the same."""
    for number, password in enumerate(PASSWORDS):
        user = f"user{number}"
        server.call("ACL", "SETUSER", user, "on", "resetpass", f">{password}", "~*", "+@all")
        place = f"127.0.0.1:{server.port}/0"
        url = f"redis://{user}:{quote(password, safe='')}@{place}"
        assert server.port is not None
        for made in (
            carmine.Client(url, protocol=protocol),
            carmine.Client(f"redis://{place}", protocol=protocol, username=user, password=password),
            carmine.Client(f"redis://{place}?username={user}&password={quote(password, safe='')}", protocol=protocol),
            carmine.Client(f"redis://{place}", protocol=protocol, credentials=lambda u=user, p=password: (u, p)),
        ):
            with made as client:
                assert client.execute("ACL", "WHOAMI") == user


def test_s21_a_unix_url_takes_a_password_too(make_server: Callable[..., RedisServer], protocol: Any) -> None:
    server = make_server(password="p:@/%", unix=True)
    url = f"unix://:{quote('p:@/%', safe='')}@{quote(server.unix_path)}"
    with carmine.Client(url, protocol=protocol) as client:
        assert client.ping() is True


# S-23: cleartext. ----------------------------------------------------------------------------------------------------


@pytest.fixture
def far(monkeypatch: pytest.MonkeyPatch) -> str:
    """Give the name of a host that is far for the client, and 127.0.0.1 for the resolver."""

    def look_up(host: str, port: int, *args: object, **kwargs: object) -> list[Any]:
        assert host == "redis.example"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    monkeypatch.setattr(credentials, "_warned", set())
    return "redis.example"


def test_s23_a_password_in_the_clear_is_warned_of_once(server: RedisServer, far: str, protocol: Any) -> None:
    server.call("ACL", "SETUSER", "canary-user", "on", f">{CANARY}", "~*", "+@all")
    url = f"redis://{USERINFO}{far}:{server.port}"
    with carmine.Client(url, protocol=protocol) as client:
        with pytest.warns(carmine.InsecureConnectionWarning) as warned:
            assert client.ping() is True
        (only,) = warned
        assert str(only.message) == (
            "The password crosses the network unencrypted, readable for anybody on the way: use rediss:// or tls=True "
            f"[{far}:{server.port}]"
        )
        with client.connection(), client.connection():  # more connections, and no more warnings: they would be errors
            pass
    with carmine.Client(url, protocol=protocol) as client:
        assert client.ping() is True


def test_s23_nothing_is_warned_of_where_nothing_is_shown(
    server: RedisServer, far: str, certs: Certificates, protocol: Any
) -> None:
    server.call("ACL", "SETUSER", "canary-user", "on", f">{CANARY}", "~*", "+@all")
    with carmine.Client(f"redis://{far}:{server.port}", protocol=protocol) as client:  # no password
        assert client.ping() is True
    with carmine.Client(server.url.replace("redis://", f"redis://{USERINFO}"), protocol=protocol) as client:  # loopback
        assert client.ping() is True
    with carmine.Client(f"unix://{USERINFO}{quote(server.unix_path)}", protocol=protocol) as client:
        assert client.ping() is True
    context = certs.server_context(certs.good)
    with Scripted.replies({b"PING": b"+PONG\r\n"}, tls=context) as tls:
        url = f"rediss://{USERINFO}{far}:{tls.port}"
        own = certs.client_context()
        own.check_hostname = False  # the certificate is for 127.0.0.1
        with carmine.Client(url, protocol=protocol, tls=own) as client:
            assert client.ping() is True


# S-73: side effects. -------------------------------------------------------------------------------------------------


def test_s73_importing_and_making_a_client_touches_nothing(tmp_path: Path) -> None:
    """No socket, no file, no thread, no process, no look at the environment beyond the twin's name."""
    script = """
        import builtins, os, socket, subprocess, sys, threading
        events = []
        armed = False
        WATCHED = ("socket.", "subprocess.", "os.system", "os.fork", "os.exec", "urllib.", "ftplib.", "smtplib.",
                   "webbrowser.", "os.putenv", "shutil.", "os.mkdir", "os.remove", "os.rename", "ctypes.")
        def hook(event, args):
            if armed and event.startswith(WATCHED):
                events.append((event, args))
            if armed and event == "open" and isinstance(args[1], str) and set(args[1]) & set("wax+"):
                events.append((event, args))
        sys.addaudithook(hook)
        sys.dont_write_bytecode = True
        armed = True
        import carmine
        client = carmine.connect("redis://nowhere.example:1/0", password="x")
        repr(client), client.pool.stats()
        client.pipeline(), client.connection(), client.transaction()
        client.close()
        armed = False
        assert events == [], events
        assert threading.active_count() == 1
        assert "ssl" not in sys.modules and "asyncio" not in sys.modules and "pickle" not in sys.modules
        print("clean")
    """
    root = Path(carmine.__file__).parent.parent
    environment = {**os.environ, "PYTHONPATH": str(root)}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == "clean\n", done.stderr
    assert list(tmp_path.iterdir()) == []
