"""The ancestor's way as a plain loop over redis-py: SET with NX, again after a millisecond, and a script to release."""

from __future__ import annotations

import time
import uuid
from importlib import metadata

import redis

from bench.rivals.locks.base import NAME, TTL, LockRival, Release

_PAUSE = 0.001

_RELEASE = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""


class Rival(LockRival):
    """One client."""

    def __init__(self, address: tuple[str, int]) -> None:
        super().__init__()
        host, port = address
        self._client = redis.Redis(host=host, port=port)
        self._script = self._client.register_script(_RELEASE)

    def versions(self) -> dict[str, str]:
        """Return the packages' versions."""
        return {name: metadata.version(name) for name in ("redis", "hiredis")}

    def acquire(self) -> Release:
        """Wait for the lock."""
        token = str(uuid.uuid4())
        while not self._client.set(NAME, token, nx=True, px=TTL * 1000):
            time.sleep(_PAUSE)
        return lambda: self._script([NAME], [token])

    def exists(self) -> int:
        """Tell whether somebody holds it."""
        return int(self._client.exists(NAME))
