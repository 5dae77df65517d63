"""carmine's Lock, with its defaults: leases that renew themselves."""

from __future__ import annotations

from importlib import metadata
from typing import Any

import carmine
import carmine.protocol
from bench.rivals.locks.base import NAME, TTL, LockRival, Release
from bench.rivals.work import Unavailable
from carmine.ext.locks import Lock


class Rival(LockRival):
    """One client."""

    def __init__(self, address: tuple[str, int]) -> None:
        super().__init__()
        host, port = address
        self._client: carmine.Client[Any] = carmine.Client(f"redis://{host}:{port}/0")
        self._lock = Lock(self._client, NAME, ttl=TTL)

    def versions(self) -> dict[str, str]:
        """Return the package's version and the twin that was loaded."""
        return {"carmine": metadata.version("carmine-redis"), "twin": carmine.protocol.__impl__}

    def acquire(self) -> Release:
        """Wait for the lock."""
        lease = self._lock.acquire()
        if lease is None:
            raise Unavailable("it did not wait")
        return lease.release

    def exists(self) -> int:
        """Tell whether somebody holds it."""
        return self._client.exists(f"carmine:lock:{NAME}")
