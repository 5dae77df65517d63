"""redis-py, with hiredis where the environment has it: the blocking client."""

from __future__ import annotations

import os
from importlib import metadata
from typing import TYPE_CHECKING

import redis
from redis.utils import HIREDIS_AVAILABLE

from bench import data
from bench.rivals.work import Work, checked, repeated, threaded

if TYPE_CHECKING:
    from collections.abc import Callable


class Rival:
    """One client with the defaults of the package: bytes replies, its own pool."""

    def __init__(self, address: tuple[str, int]) -> None:
        host, port = address
        self._options = {"host": host, "port": port, "decode_responses": os.environ.get("BENCH_TEXT") == "1"}
        self._client = redis.Redis(**self._options)

    def versions(self) -> dict[str, str]:
        """Return the package's version, and hiredis's where it is used."""
        names = ["redis", "hiredis"] if HIREDIS_AVAILABLE else ["redis"]
        return {name: metadata.version(name) for name in names}

    def get(self) -> Work:
        """GET of 64 bytes."""
        return repeated(self._client.get, data.KEY)

    def set(self) -> Work:
        """SET of 64 bytes."""
        work = repeated(self._client.set, data.SET_KEY, data.VALUE)
        return checked(work, lambda: work.answer() and self._client.get(data.SET_KEY))

    def pipeline_1k(self) -> Work:
        """1,000 GETs without MULTI."""
        return self._pipeline(data.KEYS)

    def pipeline_100k(self) -> Work:
        """100,000 GETs in one pipeline."""
        return self._pipeline(data.KEYS * 100)

    def hgetall(self) -> Work:
        """HGETALL of 1,000 fields."""
        return repeated(self._client.hgetall, data.HASH_KEY)

    def lrange(self) -> Work:
        """LRANGE of 10,000 items."""
        return repeated(self._client.lrange, data.LIST_KEY, 0, -1)

    def mget(self) -> Work:
        """MGET of 1,000 keys."""
        return repeated(self._client.mget, data.KEYS)

    def zrange(self) -> Work:
        """ZRANGE WITHSCORES of 1,000 members."""
        zrange, key = self._client.zrange, data.ZSET_KEY

        def run(count: int) -> None:
            for _ in range(count):
                zrange(key, 0, -1, withscores=True)

        return Work(run, lambda: zrange(key, 0, -1, withscores=True))

    def get_big(self) -> Work:
        """GET of 10 MiB."""
        return repeated(redis.Redis(**{**self._options, "decode_responses": False}).get, data.BIG_KEY)

    def set_big(self) -> Work:
        """SET of 10 MiB."""
        client = redis.Redis(**{**self._options, "decode_responses": False})
        work = repeated(client.set, data.BIG_SET_KEY, data.big_value())
        return checked(work, lambda: work.answer() and client.get(data.BIG_SET_KEY))

    def threads(self) -> Work:
        """GET from 8 threads on one client."""
        return threaded(self._client.get, data.KEY)

    def idle(self, count: int) -> Callable[[], None]:
        """Open idle connections; return what closes them."""
        pool = redis.ConnectionPool(**self._options, max_connections=count)
        connections = [pool.get_connection() for _ in range(count)]
        for connection in connections:
            pool.release(connection)
        close: Callable[[], None] = pool.disconnect
        return close

    def close(self) -> None:
        """Close the client."""
        self._client.close()

    def _pipeline(self, keys: list[str]) -> Work:
        client = self._client

        def once() -> list[object]:
            pipeline = client.pipeline(transaction=False)
            get = pipeline.get
            for key in keys:
                get(key)
            replies: list[object] = pipeline.execute()
            return replies

        return repeated(once)
