"""What Tundra raises besides the client's own errors. Pure.

Invariants: no message holds a key's name, a secret or a byte of a value; which key it was is in `.key`.
"""

from __future__ import annotations

from carmine.errors import CarmineError

__all__ = [
    "DamagedEnvelope",
    "DataStoreError",
    "EnvelopeError",
    "ForeignEnvelope",
    "FreezerError",
    "NotStored",
    "TundraError",
    "UnsealedWarning",
]


class TundraError(CarmineError):
    """Something about an archived key; `.key` says which, None where it concerns no single one."""

    key: bytes | None

    def __init__(self, message: str, *, key: bytes | None = None) -> None:
        super().__init__(message)
        self.key = key


class FreezerError(TundraError):
    """A freezer could not freeze bytes, or they are not what it has frozen."""


class EnvelopeError(TundraError):
    """What the datastore gave cannot be used, and was not restored."""


class DamagedEnvelope(EnvelopeError):
    """It was changed or cut since it was sealed: the checksum or the MAC says so, or its own structure."""


class ForeignEnvelope(EnvelopeError):
    """It is no envelope of this store: another key's, another MAC key's, another freezer's, another format."""


class DataStoreError(TundraError):
    """A datastore could not do what it was asked to; `.is_transient` tells whether another attempt may help."""

    is_transient: bool

    def __init__(self, message: str, *, key: bytes | None = None, is_transient: bool = False) -> None:
        super().__init__(message, key=key)
        self.is_transient = is_transient


class NotStored(DataStoreError):
    """The datastore works, and has nothing under this key."""

    def __init__(self, message: str = "the datastore has nothing under this key", *, key: bytes | None = None) -> None:
        super().__init__(message, key=key)


class UnsealedWarning(UserWarning):
    """Archives carry a checksum and no MAC: whoever can write to the datastore can forge what RESTORE gets."""
