"""Locks: one holder at a time among any number of processes, for as long as a lease lasts, and honest when it is over.

Public names only; those of asyncio load it when they are first touched. The names that end in `_async` are the
ancestor's calls for an AsyncClient. See docs/locks.md for what a lease can promise and what it cannot.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from carmine._loading import load
from carmine.ext.locks._sync.calls import acquire_lock, have_lock, release_lock, with_lock
from carmine.ext.locks._sync.lease import Lease
from carmine.ext.locks.core import Locked
from carmine.ext.locks.errors import LeaseLost, LockError, LockNotAcquired
from carmine.ext.locks.lock import Lock

if TYPE_CHECKING:
    from carmine.ext.locks._async.calls import acquire_lock as acquire_lock_async
    from carmine.ext.locks._async.calls import have_lock as have_lock_async
    from carmine.ext.locks._async.calls import release_lock as release_lock_async
    from carmine.ext.locks._async.calls import with_lock as with_lock_async
    from carmine.ext.locks._async.lease import AsyncLease
    from carmine.ext.locks.async_lock import AsyncLock

__all__ = [
    "AsyncLease",
    "AsyncLock",
    "Lease",
    "LeaseLost",
    "Lock",
    "LockError",
    "LockNotAcquired",
    "Locked",
    "acquire_lock",
    "acquire_lock_async",
    "have_lock",
    "have_lock_async",
    "release_lock",
    "release_lock_async",
    "with_lock",
    "with_lock_async",
]

_LATER = {
    "AsyncLease": ("carmine.ext.locks._async.lease", "AsyncLease"),
    "AsyncLock": ("carmine.ext.locks.async_lock", "AsyncLock"),
    "acquire_lock_async": ("carmine.ext.locks._async.calls", "acquire_lock"),
    "have_lock_async": ("carmine.ext.locks._async.calls", "have_lock"),
    "release_lock_async": ("carmine.ext.locks._async.calls", "release_lock"),
    "with_lock_async": ("carmine.ext.locks._async.calls", "with_lock"),
}


if not TYPE_CHECKING:  # a checker must see that a misspelt name does not exist

    def __getattr__(name: str) -> Any:
        """Load a name of asyncio's world at its first touch (PEP 562)."""
        if name not in _LATER:
            raise AttributeError(f"module 'carmine.ext.locks' has no attribute {name!r}")
        module, inner = _LATER[name]
        value = getattr(load(module), inner)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    """List the public names, loaded or not."""
    return sorted(__all__)
