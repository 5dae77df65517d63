"""Key slots of Redis Cluster: CRC16 (XMODEM) of the hash tag, modulo 16384."""

from __future__ import annotations

from binascii import crc_hqx
from typing import TYPE_CHECKING

from carmine.errors import UsageError

if TYPE_CHECKING:
    from carmine.types import Key

__all__ = ["key_slot"]


def key_slot(key: Key) -> int:
    """Return the slot of a key, 0 to 16383.

    Only the hash tag counts where there is one: the bytes between the first "{" and the next "}", if any.

    Source: Redis Cluster specification, "Hash tags".
    """
    if isinstance(key, str):
        try:
            data = str.encode(key)
        except UnicodeEncodeError:
            raise UsageError("a str with a lone surrogate is no key; it has no UTF-8 form") from None
    elif isinstance(key, (bytes, bytearray, memoryview)):
        data = memoryview(key).tobytes()
    else:
        raise UsageError(f"a {type(key).__name__} is no key; send str or bytes")
    start = data.find(b"{")
    if start >= 0:
        end = data.find(b"}", start + 1)
        if end > start + 1:
            data = data[start + 1 : end]
    return crc_hqx(data, 0) & 0x3FFF
