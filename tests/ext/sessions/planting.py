"""What the tests plant beside a store's own sessions: hostile cookies, keys of others, headers of another time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tests.lab.servers import RedisServer

HOSTILE: Final[tuple[str, ...]] = (
    "",
    "admin:secret",
    "carmine:session:0",
    "carmine:mq:jobs:messages",
    "../../etc/passwd",
    "*",
    "a" * 42,
    "a" * 44,
    "a" * 42 + "\n",
    "a" * 43 + "\n",
    "a" * 42 + "\0",
    "a" * 42 + "é",
    "a" * 42 + "=",
    "a" * 42 + "/",
    "a\r\nDEL admin:secret\r\n" + "a" * 22,
    "*3\r\n$3\r\nDEL\r\n",
    "\ud800" * 43,
    "٣" * 43,  # digits, but not ours
    "x" * 10_000,
    "x" * 1_000_000,
)
"""What is no id (W07, S-40): none of these may lead to a command."""


def key_in(server: RedisServer) -> bytes:
    """Return the key of the only session that is stored."""
    reply = server.call("KEYS", "*")
    assert isinstance(reply, list)
    [key] = reply
    assert isinstance(key, bytes)
    return key


def left_of(server: RedisServer, key: bytes) -> int:
    """Return how many milliseconds a key has; -1 for ever, -2 where it is not there."""
    left = server.call("PTTL", key)
    assert isinstance(left, int)
    return left


def age(server: RedisServer, key: bytes, seconds: float, *, created: bool = True, last: bool = True) -> None:
    """Let a session have begun earlier: rewrite its header, and leave it the time that it has."""
    head, _, contents = server.text("GET", key).partition(b"\n")
    version, revision, begun, end, idle = head.split(b" ")
    shift = int(seconds * 1000)
    begun = b"%d" % (int(begun) - shift * created)
    end = b"%d" % max(0, int(end) - shift * last)
    server.call("SET", key, b" ".join((version, revision, begun, end, idle)) + b"\n" + contents, "KEEPTTL")
