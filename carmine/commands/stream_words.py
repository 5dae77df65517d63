"""Thresholds, and streams with the ids to read from: what commands of the group "stream" take, made into words.

Pure, as `words.py`. A mistake found here is a UsageError before a byte is sent; it names the command, never a value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from carmine.commands.words import flattened, only_one
from carmine.errors import UsageError

if TYPE_CHECKING:
    from carmine.commands.command import Words
    from carmine.types import Arg, Items, Key

__all__ = ["named_once", "trimmed"]


def trimmed(
    command: str, maxlen: int | None, minid: Arg | None, approximate: bool, limit: int | None, needed: bool = False
) -> Words:
    """Return the words of a threshold; none where neither is given.

    Args:
        command: The command's name, for the message.
        maxlen: How many entries may stay.
        minid: The lowest id that may stay.
        approximate: Whether whole nodes alone are removed.
        limit: How many entries are removed at most.
        needed: Whether there must be one.

    Raises:
        UsageError: Both thresholds, none where one is needed, or a limit that has no place.
    """
    only_one(command, maxlen=maxlen is not None, minid=minid is not None)
    threshold = minid if maxlen is None else maxlen
    if threshold is None:
        if needed or limit is not None:
            raise UsageError(f"{command} needs maxlen or minid{' for its limit' if limit is not None else ''}")
        return ()
    if limit is not None and not approximate:
        raise UsageError(f"{command} takes limit only with approximate=True")
    words: Words = (b"MINID" if maxlen is None else b"MAXLEN", b"~" if approximate else b"=", threshold)
    return words if limit is None else (*words, b"LIMIT", limit)


def named_once(command: str, streams: Items[Key, Arg]) -> Words:
    """Return the words STREAMS key... id... of a mapping from keys to ids.

    Raises:
        UsageError: It is empty, or names a stream twice: one reply would hide the other.
    """
    words = flattened(command, streams)
    keys = words[::2]
    if len(keys) > 1 and len(set(map(_plain, keys))) < len(keys):
        raise UsageError(f"{command} takes each stream once")
    return (b"STREAMS", *keys, *words[1::2])


def _plain(key: Arg) -> Arg:
    """Return a key so that equal ones are equal however they are spelled."""
    if isinstance(key, str):
        return key.encode("utf-8", "surrogatepass")
    return key if isinstance(key, int | float) else bytes(key)
