"""carmine's blocking client, driven through its public names."""

from __future__ import annotations

import contextlib
import os
from importlib import metadata
from typing import TYPE_CHECKING

import carmine
import carmine.protocol
from bench import data
from bench.rivals.work import Unavailable, Work, checked, repeated, threaded

if TYPE_CHECKING:
    from collections.abc import Callable


class Rival:
    """One client with bytes replies, as the peers' default is; BENCH_TEXT=1 asks for text."""

    def __init__(self, address: tuple[str, int]) -> None:
        if not hasattr(carmine, "Client"):
            raise Unavailable("carmine.Client does not exist yet")
        host, port = address
        self._url = f"redis://{host}:{port}/0"
        self._decode = os.environ.get("BENCH_TEXT") == "1"
        self._client = carmine.Client(self._url, decode=self._decode)

    def versions(self) -> dict[str, str]:
        """Return the package's version and the twin that was loaded."""
        return {"carmine": metadata.version("carmine-redis"), "twin": carmine.protocol.__impl__}

    def get(self) -> Work:
        """GET of 64 bytes."""
        return repeated(self._client.get, data.KEY)

    def set(self) -> Work:
        """SET of 64 bytes."""
        work = repeated(self._client.set, data.SET_KEY, data.VALUE)
        return checked(work, lambda: work.answer() and self._client.get(data.SET_KEY))

    def pipeline_1k(self) -> Work:
        """1,000 GETs: calls, flush, values."""
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
        return repeated(self._client.mget, *data.KEYS)

    def zrange(self) -> Work:
        """ZRANGE WITHSCORES of 1,000 members."""
        zrange, key = self._client.zrange, data.ZSET_KEY

        def run(count: int) -> None:
            for _ in range(count):
                zrange(key, 0, -1, withscores=True)

        return Work(run, lambda: zrange(key, 0, -1, withscores=True))

    def get_big(self) -> Work:
        """GET of 10 MiB as bytes."""
        return repeated(self._client.binary.get, data.BIG_KEY)

    def set_big(self) -> Work:
        """SET of 10 MiB of bytes."""
        client = self._client.binary
        work = repeated(client.set, data.BIG_SET_KEY, data.big_value())
        return checked(work, lambda: work.answer() and client.get(data.BIG_SET_KEY))

    def threads(self) -> Work:
        """GET from 8 threads on one client."""
        return threaded(self._client.get, data.KEY)

    def idle(self, count: int) -> Callable[[], None]:
        """Open idle connections; return what closes them."""
        client = carmine.Client(self._url, decode=self._decode, pool_size=count)
        with contextlib.ExitStack() as borrowed:
            for _ in range(count):
                borrowed.enter_context(client.connection()).ping()
        close: Callable[[], None] = client.close
        return close

    def close(self) -> None:
        """Close the client."""
        self._client.close()

    def _pipeline(self, keys: list[str]) -> Work:
        client = self._client

        def once() -> list[object]:
            with client.pipeline() as pipeline:
                get = pipeline.get
                replies = [get(key) for key in keys]
            return [reply.value for reply in replies]

        return repeated(once)
