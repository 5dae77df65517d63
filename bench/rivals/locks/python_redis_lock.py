"""python-redis-lock: a waiter is blocked on a list."""

from __future__ import annotations

from importlib import metadata

import redis
import redis_lock  # type: ignore[import-not-found]

from bench.rivals.locks.base import NAME, TTL, LockRival, Release


class Rival(LockRival):
    """One client."""

    def __init__(self, address: tuple[str, int]) -> None:
        super().__init__()
        host, port = address
        self._client = redis.Redis(host=host, port=port)

    def versions(self) -> dict[str, str]:
        """Return the packages' versions."""
        return {name: metadata.version(name) for name in ("python-redis-lock", "redis", "hiredis")}

    def acquire(self) -> Release:
        """Wait for the lock."""
        lock = redis_lock.Lock(self._client, NAME, expire=TTL)
        lock.acquire()
        release: Release = lock.release
        return release

    def exists(self) -> int:
        """Tell whether somebody holds it."""
        return int(self._client.exists(f"lock:{NAME}"))
