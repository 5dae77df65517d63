"""redis-py's Lock, with its defaults: a waiter asks each 0.1 s."""

from __future__ import annotations

from importlib import metadata

import redis

from bench.rivals.locks.base import NAME, TTL, LockRival, Release


class Rival(LockRival):
    """One client."""

    def __init__(self, address: tuple[str, int]) -> None:
        super().__init__()
        host, port = address
        self._client = redis.Redis(host=host, port=port)

    def versions(self) -> dict[str, str]:
        """Return the packages' versions."""
        return {name: metadata.version(name) for name in ("redis", "hiredis")}

    def acquire(self) -> Release:
        """Wait for the lock."""
        lock = self._client.lock(NAME, timeout=TTL)
        lock.acquire()
        release: Release = lock.release
        return release

    def exists(self) -> int:
        """Tell whether somebody holds it."""
        return int(self._client.exists(NAME))
