"""A second Redis or Valkey as the datastore, for both worlds; that of asyncio loads it when it is first touched."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from carmine._loading import load
from carmine.ext.tundra._sync.redis_store import RedisDataStore

if TYPE_CHECKING:
    from carmine.ext.tundra._async.redis_store import AsyncRedisDataStore

__all__ = ["AsyncRedisDataStore", "RedisDataStore"]


def __getattr__(name: str) -> Any:
    """Load the name of asyncio's world at its first touch (PEP 562)."""
    if name != "AsyncRedisDataStore":
        raise AttributeError(f"module 'carmine.ext.tundra.redis' has no attribute {name!r}")
    return load("carmine.ext.tundra._async.redis_store").AsyncRedisDataStore
