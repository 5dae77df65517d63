"""The code of docs/sessions.md does what it says, and the rights that it names are enough."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import carmine
from carmine.ext import sessions
from carmine.ext.sessions import SessionStore
from tests.ext.sessions.wsgi_kit import ask
from tests.integration.test_readme import blocks, play

if TYPE_CHECKING:
    from tests.lab.servers import RedisServer

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "sessions.md").read_text(encoding="utf-8")


def test_the_code_of_the_page(url: str) -> None:
    names: dict[str, Any] = {"url": url, "__name__": "sessions"}
    compared = 0
    try:
        for code in blocks("python", PAGE):
            if "client.close()" not in code:
                compared += play(code, names)
            if "def application" in code:
                login = ask(names["app"], PATH_INFO="/login")
                assert login.body == b"ada"
                assert login.all("set-cookie")[0].startswith("__Host-session=")
                assert ask(names["app"], login.id, cookie="__Host-session", PATH_INFO="/").body == b"ada"
                assert ask(names["app"], login.id, cookie="__Host-session", PATH_INFO="/logout").body == b"nobody"
                assert ask(names["app"], login.id, cookie="__Host-session", PATH_INFO="/").body == b"nobody"
    finally:
        names["client"].close()
        if "async_client" in names:
            asyncio.run(names["async_client"].aclose())
    assert compared == PAGE.count("  # -> ") > 10


def test_every_public_name_is_on_the_page_or_an_error() -> None:
    told = {name for name in sessions.__all__ if re.search(rf"\b{name}\b", PAGE)}
    assert set(sessions.__all__) - told == {"SessionError"}
    assert set(dir(sessions)) == set(sessions.__all__)


def test_the_rights_that_the_page_names_are_enough(server: RedisServer) -> None:
    """On a user's own connection nothing is denied but what the handshake does without."""
    line = re.search(r"needs the commands ([A-Z, a-z]+), and the keys `(\S+)`", " ".join(PAGE.split()))
    assert line is not None
    commands = [f"+{name.lower()}" for name in re.findall(r"\b[A-Z]{3,}\b", line[1])]
    assert len(commands) == 10
    server.call("ACL", "SETUSER", "narrow", "on", ">pw-of-narrow", "resetkeys", "-@all", *commands, f"~{line[2]}")
    with carmine.Client(server.url, username="narrow", password="pw-of-narrow") as client:
        for options in ({}, {"rolling": True, "absolute_ttl": 60}, {"rolling": True, "ttl": None}):
            store = SessionStore(client, **options)
            id = store.regenerate(store.create({"a": 1}), {"a": 2})
            assert store.update(id, {"a": 3})
            assert store.touch(id)
            assert store.exists(id)
            assert store.read(id) == {"a": 3}
            assert store.delete(id)
    denied = server.call("ACL", "LOG")
    assert isinstance(denied, list)
    objects = {bytes(entry[entry.index(b"object") + 1]) for entry in denied if isinstance(entry, list)}  # type: ignore[arg-type]
    assert {name for name in objects if not name.startswith((b"hello", b"client"))} == set()
