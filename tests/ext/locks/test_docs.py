"""The code of docs/locks.md does what it says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import carmine
from carmine.ext import locks
from carmine.ext.locks import Lock
from tests.ext.locks._sync.helpers import listeners
from tests.integration.test_readme import blocks, play
from tests.lab.servers import wait_until

if TYPE_CHECKING:
    from tests.lab.servers import RedisServer

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "locks.md").read_text(encoding="utf-8")


def test_the_code_of_the_page(url: str) -> None:
    names: dict[str, Any] = {"url": url, "__name__": "locks"}
    try:
        compared = sum(play(code, names) for code in blocks("python", PAGE))
    finally:
        names["client"].close()
    assert compared == PAGE.count("  # -> ") > 15


def test_every_public_name_is_on_the_page_or_an_error() -> None:
    told = {name for name in locks.__all__ if re.search(rf"\b{name}\b", PAGE)}
    assert set(locks.__all__) - told == {
        "AsyncLease", "Lease", "LockError", "have_lock_async", "release_lock_async", "with_lock_async",
    }  # fmt: skip


def test_the_rights_that_the_page_names_are_enough(server: RedisServer) -> None:
    """On a user's own connection nothing is denied but what the handshake does without."""
    line = re.search(
        r"needs the commands ([A-Z, a-z]+), the keys `(\S+)` and the channels `(\S+)`", " ".join(PAGE.split())
    )
    assert line is not None
    commands = [f"+{name.lower()}" for name in re.findall(r"\b[A-Z]{3,}\b", line[1])]
    assert len(commands) == 11
    rules = ("on", ">pw-of-narrow", "resetkeys", "resetchannels", "-@all", *commands, f"~{line[2]}", f"&{line[3]}")
    server.call("ACL", "SETUSER", "narrow", *rules)
    with carmine.Client(server.url, username="narrow", password="pw-of-narrow") as client:
        lock = Lock(client, "a", ttl=0.6)
        with lock as lease:
            lease.check()
            lease.extend()
            assert Lock(client, "a", wait=0.1).acquire() is None
            assert listeners(server) == 1
            term = lease._term
            wait_until(lambda: lease._term is not term, "a renewal")
        assert not lease.lost
    denied = server.call("ACL", "LOG")
    assert isinstance(denied, list)
    objects = {bytes(entry[entry.index(b"object") + 1]) for entry in denied if isinstance(entry, list)}  # type: ignore[arg-type]
    assert {name for name in objects if not name.startswith((b"hello", b"client"))} == set()
