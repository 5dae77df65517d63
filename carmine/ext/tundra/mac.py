"""Keys for the MAC of envelopes, as objects that show nothing of themselves. Pure."""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING, Final, NoReturn

from carmine import _checks
from carmine.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["ID_SIZE", "MacKey", "checksum", "mac_keys_of"]

ID_SIZE: Final = 8
SHORTEST: Final = 16
"""Bytes of a key: 128 bits cannot be guessed. 32, of `secrets.token_bytes(32)`, are right."""

_PURPOSE: Final = b"carmine tundra envelope v1\0"
_ID_PURPOSE: Final = b"carmine tundra mac key id v1\0"
_SUM_PURPOSE: Final = b"carmine tundra checksum v1\0"


class MacKey:
    """A secret that seals envelopes: HMAC-SHA-256 under it tells whether they are what was sealed.

    The secret lives in a closure, so that tools which print what they find in objects and frames do not find it.

    Args:
        secret: 16 random bytes or more, such as `secrets.token_bytes(32)`; a password is none.
    """

    __slots__ = ("_started", "id")

    def __init__(self, secret: bytes) -> None:
        refusal = None
        if not isinstance(secret, bytes):
            refusal = f"a MAC key is bytes, not {_checks.kind(secret)}"
        elif len(secret) < SHORTEST:
            refusal = f"a MAC key has {SHORTEST} random bytes or more; secrets.token_bytes(32) makes one"
        if refusal is not None:
            secret = b""  # this frame travels with the error, and reporters print locals
            raise UsageError(refusal)
        keyed = hmac.new(secret, _PURPOSE, "sha256")
        self._started: Final[Callable[[], hmac.HMAC]] = keyed.copy
        self.id: Final = hmac.digest(secret, _ID_PURPOSE, "sha256")[:ID_SIZE]

    def mac(self, *parts: bytes) -> bytes:
        """Return the MAC, 32 bytes, of these parts as one."""
        state = self._started()
        for part in parts:
            state.update(part)
        return state.digest()

    def __repr__(self) -> str:
        return "MacKey(***)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a MacKey cannot be pickled: give the other process the secret on a safe way")


def checksum(*parts: bytes) -> bytes:
    """Return what stands in the place of the MAC where there is no key: it shows accidents, and stops nobody."""
    state = hashlib.sha256(_SUM_PURPOSE)
    for part in parts:
        state.update(part)
    return state.digest()


def mac_keys_of(keys: MacKey | bytes | Sequence[MacKey | bytes] | None) -> tuple[MacKey, ...]:
    """Return MAC keys as they are used: none, one, or several for their rotation."""
    if keys is None:
        return ()
    some = (keys,) if isinstance(keys, bytes | MacKey) else tuple(keys)
    return tuple(key if isinstance(key, MacKey) else MacKey(key) for key in some)
