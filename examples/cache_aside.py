"""Cache-aside: look in Redis first, ask the slow source once, keep its answer for a while.

    python examples/cache_aside.py redis://127.0.0.1:6379

When an entry has expired, one caller alone asks the source: the others wait for him, by a lock, and read what he
stored.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

import carmine
from carmine.ext.locks import Lock

if TYPE_CHECKING:
    from collections.abc import Callable

TTL = 60.0


class Cache:
    """Answers of a slow function, by key.

    Args:
        client: A client with a serializer, so that an answer may be any plain value.
        source: Asked for what is not cached.
    """

    def __init__(self, client: carmine.Client[Any], source: Callable[[str], Any]) -> None:
        self._client = client
        self._source = source

    def get(self, name: str) -> Any:
        """Return the answer for a name, from the cache if it is there."""
        key = carmine.key("cache", name)
        found = self._client.get(key)
        if found is not None:
            return found
        with Lock(self._client, key, ttl=10, wait=5):
            found = self._client.get(key)  # somebody may have been here while we waited
            if found is None:
                found = self._source(name)
                self._client.set(key, found, ex=TTL)
        return found

    def forget(self, name: str) -> None:
        """Drop an answer, because the source has changed."""
        self._client.delete(carmine.key("cache", name))


def slow_square(name: str) -> dict[str, int]:
    """Stand for a database."""
    time.sleep(0.05)
    return {"number": int(name), "square": int(name) ** 2}


def main(url: str) -> None:
    """Ask twice, and show what it took."""
    with carmine.connect(url, serializer=True) as client:
        cache = Cache(client, slow_square)
        cache.forget("12")
        for _ in range(2):
            began = time.perf_counter()
            answer = cache.get("12")
            print(f"{answer} in {(time.perf_counter() - began) * 1000:.1f} ms")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "redis://127.0.0.1:6379")
