"""The one Redis key of a session, and how it is made of an id.

| key | type | expiry | meaning | deleted by |
|---|---|---|---|---|
| `<prefix>:<SHA-256 of the id, hex>` | string | idle time, at most its end | header, contents | logout, expiry |

`prefix` is `carmine:session` unless the store is given another. On a cluster a hash tag of eight hexadecimal digits
stands between the two, made of the first letters of the id (`carmine:session:{1f0c22a9}:...`), so that old and new key
of a session that changes its id share a slot, and sessions still spread; a prefix that holds a tag is used as it is.

Pure. Invariants: an id never stands in a key, only its hash; a text that the store cannot have made has no key; the
part behind the prefix has a fixed form, so no two prefixes share a key.
"""

from __future__ import annotations

import re
from hashlib import sha256
from typing import Final, TypeGuard

from carmine import _checks
from carmine.errors import UsageError

__all__ = ["PREFIX", "Keys", "is_id"]

PREFIX: Final = "carmine:session"

_ID: Final = re.compile(r"[A-Za-z0-9_-]{43}")
"""256 bits in the letters that URLs, cookies and headers carry as they are."""

_KIN: Final = 4
"""Letters that the ids of one session share on a cluster: 24 of 258 bits, which spread over all slots."""


def is_id(value: object) -> TypeGuard[str]:
    """Tell whether a value has the form of an id; whatever has not is no session, and nobody is asked about it."""
    return isinstance(value, str) and _ID.fullmatch(value) is not None


class Keys:
    """Makes the keys of one store.

    Args:
        prefix: What all of them begin with.
        is_split: Whether keys live in slots: on a cluster.

    Raises:
        UsageError: The prefix is empty, or no text; or its first braces are empty, and a cluster would see no tag.
    """

    __slots__ = ("_is_tagged", "prefix")

    def __init__(self, prefix: str = PREFIX, *, is_split: bool = False) -> None:
        if not _checks.text("the prefix of sessions", prefix):
            raise UsageError("the prefix of sessions cannot be empty")
        self.prefix: str = prefix
        opening = prefix.find("{")
        if is_split and opening >= 0 and prefix.startswith("}", opening + 1):
            raise UsageError("on a cluster the first braces in the prefix of sessions cannot be empty")
        self._is_tagged = is_split and (opening < 0 or "}" not in prefix[opening:])

    def key_of(self, id: str) -> str:
        """Return the key of a session, whose id has the right form."""
        if self._is_tagged:
            return f"{self.prefix}:{{{_digest(id[:_KIN])[:8]}}}:{_digest(id)}"
        return f"{self.prefix}:{_digest(id)}"

    def successor(self, old: str, fresh: str) -> str:
        """Return the id that follows an old one: the fresh one, and on a cluster one whose key is in the same slot."""
        return old[:_KIN] + fresh[_KIN:] if self._is_tagged else fresh


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()
