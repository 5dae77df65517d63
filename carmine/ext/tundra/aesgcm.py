"""The encrypting freezer: AES-256-GCM, with a random nonce and keys that can be replaced; an extra.

What it writes: a version byte, the key's id in 8 bytes, the nonce in 12, then the ciphertext with its tag of 16; the
bytes before the ciphertext are authenticated with it. Invariants: those of freezers.py; no key is shown, pickled or
left in a frame that an error travels with; a nonce is never chosen by anything but the system's randomness.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import Final, NoReturn

from carmine.errors import MissingExtra, UsageError
from carmine.ext.tundra.errors import FreezerError
from carmine.ext.tundra.freezers import LARGEST, within

try:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
except ModuleNotFoundError as _exc:
    raise MissingExtra("AES-GCM needs cryptography: pip install 'carmine-redis[tundra]'") from _exc

__all__ = ["AesGcm"]

KEY_SIZE: Final = 32
_VERSION: Final = b"\x01"
_ID_SIZE: Final = 8
_NONCE_SIZE: Final = 12
_HEAD: Final = len(_VERSION) + _ID_SIZE + _NONCE_SIZE
_TAG: Final = 16
_MOST: Final = (1 << 31) - 1024
"""What the cipher takes at once."""
_ID_PURPOSE: Final = b"carmine tundra aes-gcm key id v1\0"


class AesGcm:
    """Encrypt, so that who reads the datastore learns the lengths and the names of keys, and no more.

    A new key comes first and the one before it stays behind it, until everything was archived again. One key is good
    for 2**32 archives: nonces are random.

    Args:
        key: 32 random bytes, `secrets.token_bytes(32)`; what is frozen from now on is encrypted with it.
        older: Keys of before, to thaw what they have encrypted.
        limit: Bytes that are frozen at most.
    """

    __slots__ = ("_ciphers", "_current", "_limit")

    name: Final = "aes-256-gcm"

    def __init__(self, key: bytes, *older: bytes, limit: int = LARGEST) -> None:
        keys = (key, *older)
        refusal = _refusal(keys, limit)
        if refusal is not None:
            key, older, keys = b"", (), ()  # this frame travels with the error, and reporters print locals
            raise UsageError(refusal)
        self._limit = limit
        self._ciphers: Final = {hashlib.sha256(_ID_PURPOSE + one).digest()[:_ID_SIZE]: AESGCM(one) for one in keys}
        self._current: Final = next(iter(self._ciphers))

    def __repr__(self) -> str:
        return "AesGcm(***)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("an AesGcm cannot be pickled: give the other process its keys on a safe way")

    def freeze(self, data: bytes) -> bytes:
        """Encrypt with the first key."""
        within(data, self._limit)
        head = _VERSION + self._current + secrets.token_bytes(_NONCE_SIZE)
        return head + self._ciphers[self._current].encrypt(head[-_NONCE_SIZE:], data, head)

    def thaw(self, data: bytes) -> bytes:
        """Decrypt with the key it was encrypted with, if that is one of ours and nothing was changed."""
        if len(data) < _HEAD + _TAG or data[:1] != _VERSION:
            raise FreezerError("the frozen bytes are not encrypted by this freezer, or cut short")
        if len(data) > self._limit + _HEAD + _TAG:
            raise FreezerError(f"the frozen bytes are more than the {self._limit} that this freezer thaws")
        head = data[:_HEAD]
        cipher = self._ciphers.get(head[1 : 1 + _ID_SIZE])
        if cipher is None:
            raise FreezerError(
                "the bytes were encrypted with a key that this freezer does not have; give it as an older one"
            )
        try:
            return cipher.decrypt(head[-_NONCE_SIZE:], data[_HEAD:], head)
        except InvalidTag as exc:
            raise FreezerError("the encrypted bytes were changed since, or the key is another one") from exc


def _refusal(keys: tuple[object, ...], limit: object) -> str | None:
    """Return what is wrong with the arguments, as text: an exception would hold the keys."""
    if not all(isinstance(key, bytes) and len(key) == KEY_SIZE for key in keys):
        return f"AES-256-GCM's keys are {KEY_SIZE} random bytes each; secrets.token_bytes({KEY_SIZE}) makes one"
    if not isinstance(limit, int) or isinstance(limit, bool) or not 0 < limit <= _MOST:
        return f"limit must be a whole number between 1 and {_MOST}"
    return None
