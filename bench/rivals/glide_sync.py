"""valkey-glide's blocking client."""

from __future__ import annotations

from importlib import metadata

import glide_sync  # type: ignore[import-not-found]

from bench import data
from bench.rivals.work import Work, checked, repeated, threaded


class Rival:
    """One client with the package's defaults, but for the request timeout: 250 ms would fail the large rows."""

    def __init__(self, address: tuple[str, int]) -> None:
        host, port = address
        nodes = [glide_sync.NodeAddress(host, port)]
        self._client = glide_sync.GlideClient.create(glide_sync.GlideClientConfiguration(nodes, request_timeout=60_000))

    def versions(self) -> dict[str, str]:
        """Return the package's version."""
        return {"valkey-glide-sync": metadata.version("valkey-glide-sync")}

    def get(self) -> Work:
        """GET of 64 bytes."""
        return repeated(self._client.get, data.KEY)

    def set(self) -> Work:
        """SET of 64 bytes."""
        work = repeated(self._client.set, data.SET_KEY, data.VALUE)
        return checked(work, lambda: work.answer() and self._client.get(data.SET_KEY))

    def pipeline_1k(self) -> Work:
        """1,000 GETs in one batch without MULTI."""
        return self._pipeline(data.KEYS)

    def pipeline_100k(self) -> Work:
        """100,000 GETs in one batch."""
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
        """ZRANGE WITHSCORES of 1,000 members; the client answers with a mapping in the server's order."""
        work = repeated(self._client.zrange_withscores, data.ZSET_KEY, glide_sync.RangeByIndex(0, -1))

        def answer() -> object:
            scores = work.answer()
            return list(scores.items()) if isinstance(scores, dict) else scores

        return checked(work, answer)

    def get_big(self) -> Work:
        """GET of 10 MiB."""
        return repeated(self._client.get, data.BIG_KEY)

    def set_big(self) -> Work:
        """SET of 10 MiB."""
        work = repeated(self._client.set, data.BIG_SET_KEY, data.big_value())
        return checked(work, lambda: work.answer() and self._client.get(data.BIG_SET_KEY))

    def threads(self) -> Work:
        """GET from 8 threads on one client."""
        return threaded(self._client.get, data.KEY)

    def close(self) -> None:
        """Close the client."""
        self._client.close()

    def _pipeline(self, keys: list[str]) -> Work:
        client = self._client

        def once() -> object:
            batch = glide_sync.Batch(is_atomic=False)
            get = batch.get
            for key in keys:
                get(key)
            return client.exec(batch, raise_on_error=True)

        return repeated(once)
