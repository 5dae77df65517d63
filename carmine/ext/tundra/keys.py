"""Every Redis key of Tundra, and how its name is made.

A pure room. `<queue>` is the store's queue; "ms" are milliseconds since 1970 by the server's clock.

===============================  ====  =====================================================  ==========================
key                              type  holds                                                  removed
===============================  ====  =====================================================  ==========================
carmine:tundra:evictable         set   keys that have a confirmed archive; the ancestor's     forget; the end of the
                                                                                              key's own time
carmine:tundra:<queue>:dirty     zset  key -> ms of its last `dirty`, until its archive is    when that is; forget
                                       confirmed
carmine:tundra:<queue>:own       zset  key -> ms at which its own time ends, where it has     forget; the end of its own
                                       an expiry; 0 while it is being forgotten               time; `dirty` without one
carmine:tundra:<queue>:lent      zset  key -> ms of the expiry that Tundra gave it            `dirty`, evict; when it
                                                                                              has passed
carmine:tundra:<queue>:probe     str   nothing: it is set, dumped and deleted in one script,  in the same script
                                       which tells the server's RDB version
===============================  ====  =====================================================  ==========================

The queue's own keys begin with `carmine:mq:tundra:<queue>:` (carmine.ext.mq.keys). No key of Tundra has an expiry. On a
cluster the first four exist once for each slot that has archived keys, as `carmine:tundra:{tag}:evictable` and
`carmine:tundra:{tag}:<queue>:dirty`: a key and its marks change together, so they are in one slot, and `tag` is four
letters that hash to it. Invariants: no suffix holds a colon, so that no two queues share a key; a key belongs to one
store.
"""

from __future__ import annotations

import hashlib
from functools import cache
from itertools import product
from typing import TYPE_CHECKING, Final, NamedTuple

from carmine import _checks
from carmine.errors import UsageError
from carmine.ext.tundra.datastore import LONGEST_KEY
from carmine.protocol import key_slot

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "LONGEST_QUEUE",
    "PREFIX",
    "Marks",
    "checked_queue",
    "key_of_message",
    "marks_of",
    "mid_of",
    "names_of",
    "tag",
]

PREFIX: Final = "carmine:tundra:"
LONGEST_QUEUE: Final = 512

_OURS: Final = (PREFIX.encode(), b"carmine:mq:tundra:")
_HASHED: Final = "\0"
"""What a mid begins with that stands for a key which no mid can be; so does that of every key which begins with it."""

_LETTERS: Final = "@ABCDEFGHIJKLMNO"
"""Sixteen that differ in their four low bits alone: then four of them reach every slot, for a CRC is linear."""


class Marks(NamedTuple):
    """The keys that tell of archived keys: those of a whole database, or of one slot."""

    evictable: bytes
    dirty: bytes
    own: bytes
    lent: bytes


def checked_queue(queue: object) -> str:
    """Return the name of a store's queue, or refuse it.

    Raises:
        UsageError: No text, empty, or too long.
    """
    text = _checks.text("queue", queue)
    if not text:
        raise UsageError("queue cannot be empty")
    if len(text.encode()) > LONGEST_QUEUE:
        raise UsageError(f"queue has at most {LONGEST_QUEUE} bytes")
    return text


def names_of(keys: Iterable[object]) -> list[bytes]:
    """Return keys as bytes, each once, in their order.

    Raises:
        UsageError: No str or bytes, empty, longer than a datastore takes, or a key of Tundra's own.
    """
    return list(dict.fromkeys(map(_name, keys)))


def _name(key: object) -> bytes:
    if isinstance(key, str):
        name = _checks.text("a key", key).encode()
    elif isinstance(key, bytes | bytearray | memoryview):
        name = bytes(key)
    else:
        raise UsageError(f"a key of Tundra must be str or bytes, not {_checks.kind(key)}")
    if not 0 < len(name) <= LONGEST_KEY:
        raise UsageError(f"a key of Tundra has 1 to {LONGEST_KEY} bytes, not {len(name)}")
    if name.startswith(_OURS):
        raise UsageError("a key of Tundra's own cannot be archived: it tells where the others are")
    return name


def marks_of(queue: str, slot: int | None = None) -> Marks:
    """Return the marks' names.

    Args:
        queue: The store's queue.
        slot: The slot of the keys that they are for; None where there is no cluster.
    """
    prefix = PREFIX if slot is None else f"{PREFIX}{{{tag(slot)}}}:"
    return Marks(
        *(f"{prefix}{name}".encode() for name in ("evictable", f"{queue}:dirty", f"{queue}:own", f"{queue}:lent"))
    )


def probe_of(queue: str, slot: int | None = None) -> bytes:
    """Return the name of the key by which the server shows its RDB version."""
    return f"{PREFIX}{'' if slot is None else f'{{{tag(slot)}}}:'}{queue}:probe".encode()


def tag(slot: int) -> str:
    """Return four letters that hash to a slot."""
    return _tags()[slot]


@cache
def _tags() -> dict[int, str]:
    found: dict[int, str] = {}
    for letters in product(_LETTERS, repeat=4):
        text = "".join(letters)
        found.setdefault(key_slot(text.encode()), text)
    return found


def mid_of(key: bytes) -> tuple[str, bytes | str]:
    """Return the mid under which the queue has a key, and the message's content.

    The mid is the key itself; for the few that no mid can be it is their digest, and the content is the key.
    """
    try:
        text = key.decode()
    except UnicodeDecodeError:
        text = _HASHED
    if text.startswith(_HASHED) or text == "end-of-circle":
        return _HASHED + hashlib.sha256(key).hexdigest(), key
    return text, ""


def key_of_message(mid: str, content: object) -> bytes:
    """Return the key that a message is about.

    Raises:
        UsageError: The message is none of Tundra's.
    """
    if not mid.startswith(_HASHED):
        return mid.encode(errors="surrogateescape")
    if not isinstance(content, bytes) or mid_of(content)[0] != mid:
        raise UsageError("the message is none of Tundra's; does another program use its queue?")
    return content
