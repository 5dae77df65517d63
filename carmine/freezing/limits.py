"""Bounds on what is frozen and thawed, and the look at a text before the JSON reader sees it.

The reader recurses in C, builds lists before anybody can count them, and fills dicts whose keys the writer of the
bytes chose. All three are bounded here, without recursion and in time that is linear. Writing keeps the same bounds,
so that what was written can be read.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = ["DEFAULT_LIMITS", "Limits", "is_spread", "overrun"]


class Limits(NamedTuple):
    """What is frozen or thawed at most. Raw bytes have no limit but memory: they are not looked at."""

    size: int = 1 << 26
    """Bytes of tagged JSON. Redis' own limit of a value is eight times as much (512 MiB)."""
    depth: int = 128
    """JSON arrays and objects open at once; far below what the stack of any interpreter bears."""
    items: int = 1 << 20
    """Commas and opening brackets of the JSON: as many values, of 100 bytes or so each, can be made of it."""
    digits: int = 1 << 20
    """Digits of one number that has no size of its own: an int written in hexadecimal, a Decimal."""


DEFAULT_LIMITS: Final = Limits()

_ALIKE: Final = 16
"""Keys of one dict that may have the same hash. Hashes of numbers have no secret: whoever writes the bytes could make
all keys collide, and a dict of n of them takes n squared steps."""

_UNSALTED: Final = 1 << 16
"""Keys of one dict whose hash may be without a secret: even different hashes can be chosen so that they get into each
other's way."""

_STRING: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)', re.DOTALL)
"""A JSON string, also one that never ends: it matches at every quotation mark, so each byte is looked at once."""

_FLAT: Final = bytes.maketrans(b"{}", b"[]")
_NO_BRACKET: Final = bytes(byte for byte in range(256) if byte not in b"[]{}")


def overrun(text: bytes, limits: Limits) -> str | None:
    """Return what in a JSON text exceeds a limit, or None.

    A text that passes is not deeper than the limit wherever the JSON reader may find its first error.
    """
    if len(text) > limits.size:
        return f"it is longer than {limits.size} bytes"
    opened = text.count(b"[") + text.count(b"{")
    if opened <= limits.depth and opened + text.count(b",") <= limits.items:
        return None  # brackets and commas inside strings counted too: the true numbers are not higher
    bare = _STRING.sub(b"", text)
    opened = bare.count(b"[") + bare.count(b"{")
    if opened + bare.count(b",") > limits.items:
        return f"it has more than {limits.items} items"
    brackets = bare.translate(_FLAT, _NO_BRACKET)
    for _ in range(limits.depth):
        closed = brackets.replace(b"[]", b"")  # the innermost level of each branch
        if len(closed) == len(brackets):
            break
        brackets = closed
    if not brackets:
        return None
    if b"[]" in brackets:
        return f"it is nested deeper than {limits.depth} levels"
    return "its brackets do not match"


def is_spread(keys: Collection[Any]) -> bool:
    """Tell whether a dict of these keys is filled in reasonable time. Raises TypeError for one without a hash."""
    unsalted = [key for key in keys if type(key) is not str and type(key) is not bytes]
    if len(unsalted) <= _ALIKE:
        return True
    return len(unsalted) <= _UNSALTED and max(Counter(map(hash, unsalted)).values()) <= _ALIKE
