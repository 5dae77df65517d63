"""Tundra: only hot data needs to fit in memory; the rest is archived in a datastore and comes back when asked for.

Public names only; those of asyncio load it when they are first touched, and each datastore and freezer that needs an
extra stands in a module of its own (disk, s3, dynamodb, redis, zstd, aesgcm). docs/tundra.md tells what is promised.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from carmine._loading import load
from carmine.ext.tundra._sync.store import TundraStore
from carmine.ext.tundra._sync.worker import TundraWorker
from carmine.ext.tundra.core.failures import IncompatibleVersion, KeysMissing, NotEvicted, NotRestored, StaleArchive
from carmine.ext.tundra.core.values import Restored, TundraStats, Verified
from carmine.ext.tundra.datastore import AsyncDataStore, DataStore
from carmine.ext.tundra.errors import (
    DamagedEnvelope,
    DataStoreError,
    EnvelopeError,
    ForeignEnvelope,
    FreezerError,
    NotStored,
    TundraError,
    UnsealedWarning,
)
from carmine.ext.tundra.freezers import Chain, Freezer, Zlib
from carmine.ext.tundra.mac import MacKey

if TYPE_CHECKING:
    from carmine.ext.tundra._async.store import AsyncTundraStore
    from carmine.ext.tundra._async.worker import AsyncTundraWorker

__all__ = [
    "AsyncDataStore",
    "AsyncTundraStore",
    "AsyncTundraWorker",
    "Chain",
    "DamagedEnvelope",
    "DataStore",
    "DataStoreError",
    "EnvelopeError",
    "ForeignEnvelope",
    "Freezer",
    "FreezerError",
    "IncompatibleVersion",
    "KeysMissing",
    "MacKey",
    "NotEvicted",
    "NotRestored",
    "NotStored",
    "Restored",
    "StaleArchive",
    "TundraError",
    "TundraStats",
    "TundraStore",
    "TundraWorker",
    "UnsealedWarning",
    "Verified",
    "Zlib",
]

_LATER = {
    "AsyncTundraStore": "carmine.ext.tundra._async.store",
    "AsyncTundraWorker": "carmine.ext.tundra._async.worker",
}


def __getattr__(name: str) -> Any:
    """Load a name of asyncio's world at its first touch (PEP 562)."""
    module = _LATER.get(name)
    if module is None:
        raise AttributeError(f"module 'carmine.ext.tundra' has no attribute {name!r}")
    value = getattr(load(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, loaded or not."""
    return sorted(__all__)
