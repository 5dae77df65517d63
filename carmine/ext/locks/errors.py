"""What locks raise besides the client's own errors. Pure. Invariant: no message holds a token or a name."""

from __future__ import annotations

from carmine.errors import CarmineError

__all__ = ["LeaseLost", "LockError", "LockNotAcquired"]


class LockError(CarmineError):
    """Something about a lock; `.name` says which."""

    name: str | bytes

    def __init__(self, message: str, *, name: str | bytes) -> None:
        super().__init__(message)
        self.name = name


class LockNotAcquired(LockError):
    """Somebody else held the lock for as long as the caller would wait."""


class LeaseLost(LockError):
    """The lease is over: it ran out, or somebody took the lock's key away; whatever it protects may be another's."""
