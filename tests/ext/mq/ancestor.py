"""A queue as the ancestor writes it, by hand: what its producers and workers have left, key for key."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from tests.lab.servers import RedisServer

T0 = 1_900_000_000_000
"""Where the tests' clock begins, in ms."""


class Ancestor:
    """Writes one queue's keys; none of carmine's own."""

    def __init__(self, server: RedisServer, name: str) -> None:
        self.server = server
        self.name = name

    def key(self, suffix: str) -> str:
        return f"carmine:mq:{self.name}:{suffix}"

    def call(self, command: str, suffix: str, *words: bytes | str | float) -> None:
        self.server.call(command, self.key(suffix), *words)

    def message(self, mid: str, content: bytes | str, *, born: int = T0, lease: int | None = None) -> None:
        """Write what every message has."""
        self.call("HSET", "messages", mid, content)
        self.call("HSET", "udts", mid, born)
        if lease is not None:
            self.call("HSET", "lock-times", mid, lease)
        if not self.server.call("EXISTS", self.key("mid-circle")):
            self.call("LPUSH", "mid-circle", "end-of-circle")
            self.call("LPUSH", "isleep-a", "_")

    def ready(self, mid: str, content: bytes | str, born: int = T0) -> None:
        self.message(mid, content, born=born)
        self.call("LPUSH", "mids-ready", mid)

    def circled(self, mid: str, content: bytes | str, *, attempts: int = 0, backoff: int = 0, locked: int = 0) -> None:
        """Write one that was claimed, retried or delayed; `backoff` and `locked` are ms since 1970."""
        self.message(mid, content)
        self.call("LPUSH", "mid-circle", mid)
        if attempts:
            self.call("HSET", "nattempts", mid, attempts)
        if backoff:
            self.call("HSET", "backoffs", mid, backoff)
        if locked:
            self.call("HSET", "locks", mid, locked)

    def done(self, mid: str, content: bytes | str, *, backoff: int = 0, requeue: str | None = None) -> None:
        self.circled(mid, content, attempts=1, backoff=backoff)
        self.call("SADD", "done", mid)
        if requeue is not None:
            self.call("HSET", "messages-rq", mid, requeue)

    def members(self) -> dict[str, int]:
        """Return how large each key of the queue is, those that are there."""
        counts = {b"hash": "HLEN", b"set": "SCARD", b"list": "LLEN", b"zset": "ZCARD", b"string": "STRLEN"}
        sizes: dict[str, int] = {}
        for key in cast("list[bytes]", self.server.call("KEYS", f"carmine:mq:{self.name}:*")):
            kind = cast("bytes", self.server.call("TYPE", key))
            sizes[key.decode().rpartition(":")[2]] = cast("int", self.server.call(counts[kind], key))
        return sizes
