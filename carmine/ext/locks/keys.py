"""The Redis keys of a lock, all of them.

| key | type | expiry | meaning | deleted by |
|---|---|---|---|---|
| `carmine:lock:<name>` | string | the lease's | the holder's token; the ancestor's is the same | release, expiry |
| `carmine:lock-fence:<name>` | string | a day, or the lease's if longer | the last fence given out | expiry |

`carmine:lock-signal:<name>` is a channel, no key: a message there says that the lock was given back. On a cluster the
name is braced, so that all three share a slot; a name that holds a hash tag already is used as it is, and so `a` and
`{a}` are one lock there. Pure. Invariant: apart from that, different names have different keys.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from carmine import _checks
from carmine.errors import UsageError

__all__ = ["Names", "names_of"]

LOCK: Final = b"carmine:lock:"
FENCE: Final = b"carmine:lock-fence:"
SIGNAL: Final = b"carmine:lock-signal:"


class Names(NamedTuple):
    """What belongs to one lock."""

    lock: bytes
    fence: bytes
    signal: bytes
    """A channel."""


def names_of(name: str | bytes, *, braced: bool = False) -> Names:
    """Return the keys and the channel of a lock.

    Args:
        name: The lock's name: any text or bytes but nothing.
        braced: Whether the name is to be a hash tag, as a cluster needs it.

    Raises:
        UsageError: The name is empty, or none; or it begins with `}`, and a cluster would see no tag.
    """
    raw = name if isinstance(name, bytes) else _checks.text("the name of a lock", name).encode()
    if not raw:
        raise UsageError("the name of a lock cannot be empty")
    if braced and not has_tag(raw):
        if raw.startswith(b"}"):
            raise UsageError("on a cluster the name of a lock cannot begin with }")
        raw = b"{%b}" % raw
    return Names(LOCK + raw, FENCE + raw, SIGNAL + raw)


def has_tag(raw: bytes) -> bool:
    """Tell whether a cluster takes part of the name for its slot: what stands in the first braces, if anything does."""
    start = raw.find(b"{")
    return start >= 0 and raw.find(b"}", start + 1) > start + 1
