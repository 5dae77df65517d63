"""Commands of the group "set": members without order or repetition.

What is a set on the server comes as a Python set on both protocols, although RESP2 can only send a list.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, overload

from carmine.commands import decoders
from carmine.commands.arguments import some_keys
from carmine.commands.command import Command, Text
from carmine.commands.specs import spec

if TYPE_CHECKING:
    from collections.abc import Iterable

    from carmine.types import Arg, Key, ScanPage, Value

_SADD = spec("SADD")
_SCARD = spec("SCARD")
_SDIFF = spec("SDIFF", decoders.members)
_SDIFFSTORE = spec("SDIFFSTORE")
_SINTER = spec("SINTER", decoders.members)
_SINTERCARD = spec("SINTERCARD")
_SINTERSTORE = spec("SINTERSTORE")
_SISMEMBER = spec("SISMEMBER", decoders.flag)
_SMEMBERS = spec("SMEMBERS", decoders.members)
_SMISMEMBER = spec("SMISMEMBER", decoders.flags)
_SMOVE = spec("SMOVE", decoders.flag)
_SPOP = spec("SPOP")
_SPOP_COUNT = spec("SPOP", decoders.members)
_SRANDMEMBER = spec("SRANDMEMBER")
_SREM = spec("SREM")
_SSCAN = spec("SSCAN", decoders.member_page)
_SUNION = spec("SUNION", decoders.members)
_SUNIONSTORE = spec("SUNIONSTORE")


def sadd(key: Key, *members: Value) -> Command[int]:
    """SADD: put members into a set.

    Returns:
        How many were not in it before.

    Since: 1.0. Cost: O(members). Source: redis.io/commands/sadd
    """
    return Command(_SADD, (b"SADD", key, *members))


def scard(key: Key) -> Command[int]:
    """SCARD: count the members; 0 when there is no set.

    Since: 1.0. Cost: O(1). Source: redis.io/commands/scard
    """
    return Command(_SCARD, (b"SCARD", key))


def sdiff(*keys: Key) -> Command[set[Text]]:
    """SDIFF: get the members of the first set that are in none of the others.

    Wire: an array on RESP2, a set on RESP3.

    Since: 1.0. Cost: O(members of all sets). Source: redis.io/commands/sdiff
    """
    return Command(_SDIFF, (b"SDIFF", *keys))


def sdiffstore(dest: Key, *keys: Key) -> Command[int]:
    """SDIFFSTORE: store what SDIFF would give, in place of what was in `dest`.

    Returns:
        How many members the result has.

    Since: 1.0. Cost: O(members of all sets). Source: redis.io/commands/sdiffstore
    """
    return Command(_SDIFFSTORE, (b"SDIFFSTORE", dest, *keys))


def sinter(*keys: Key) -> Command[set[Text]]:
    """SINTER: get the members that are in all of the sets.

    Wire: an array on RESP2, a set on RESP3.

    Since: 1.0. Cost: O(members of the smallest set * sets). Source: redis.io/commands/sinter
    """
    return Command(_SINTER, (b"SINTER", *keys))


def sintercard(keys: Key | Iterable[Key], limit: int | None = None) -> Command[int]:
    """SINTERCARD: count the members that are in all of the sets.

    Args:
        keys: The sets.
        limit: Where to stop counting; 0, as without it, counts all.

    Since: 7.0. Cost: O(members of the smallest set * sets). Source: redis.io/commands/sintercard
    """
    names = some_keys("SINTERCARD", keys)
    words = (b"SINTERCARD", len(names), *names)
    return Command(_SINTERCARD, words if limit is None else (*words, b"LIMIT", limit))


def sinterstore(dest: Key, *keys: Key) -> Command[int]:
    """SINTERSTORE: store the members that are in all of the sets, in place of what was in `dest`.

    Returns:
        How many members the result has.

    Since: 1.0. Cost: O(members of the smallest set * sets). Source: redis.io/commands/sinterstore
    """
    return Command(_SINTERSTORE, (b"SINTERSTORE", dest, *keys))


def sismember(key: Key, member: Value) -> Command[bool]:
    """SISMEMBER: tell whether a member is in a set.

    Since: 1.0. Cost: O(1). Source: redis.io/commands/sismember
    """
    return Command(_SISMEMBER, (b"SISMEMBER", key, member))


def smembers(key: Key) -> Command[set[Text]]:
    """SMEMBERS: get all members; empty when there is no set.

    Wire: an array on RESP2, a set on RESP3.

    Since: 1.0. Cost: O(members). Source: redis.io/commands/smembers
    """
    return Command(_SMEMBERS, (b"SMEMBERS", key))


def smismember(key: Key, *members: Value) -> Command[list[bool]]:
    """SMISMEMBER: tell of each member, in the order given, whether it is in a set.

    Since: 6.2. Cost: O(members). Source: redis.io/commands/smismember
    """
    return Command(_SMISMEMBER, (b"SMISMEMBER", key, *members))


def smove(source: Key, destination: Key, member: Value) -> Command[bool]:
    """SMOVE: take a member out of one set and put it into another.

    Returns:
        Whether it was in `source`; if not, nothing was done.

    Since: 1.0. Cost: O(1). Source: redis.io/commands/smove
    """
    return Command(_SMOVE, (b"SMOVE", source, destination, member))


@overload
def spop(key: Key, count: None = None) -> Command[Text | None]: ...
@overload
def spop(key: Key, count: int) -> Command[set[Text]]: ...
def spop(key: Key, count: int | None = None) -> Command[Any]:
    """SPOP: take out members picked at random.

    Args:
        key: The set.
        count: How many to take at most; without it one, given bare.

    Returns:
        The member, None when there is no set; with `count` a set of members.

    Wire: with `count` an array on RESP2, a set on RESP3.

    Since: 1.0; `count` from 3.2. Cost: O(count). Source: redis.io/commands/spop
    """
    if count is None:
        return Command(_SPOP, (b"SPOP", key))
    return Command(_SPOP_COUNT, (b"SPOP", key, count))


@overload
def srandmember(key: Key, count: None = None) -> Command[Text | None]: ...
@overload
def srandmember(key: Key, count: int) -> Command[list[Text]]: ...
def srandmember(key: Key, count: int | None = None) -> Command[Any]:
    """SRANDMEMBER: look at members picked at random.

    Args:
        key: The set.
        count: How many different members to pick at most; a negative one picks exactly that many, each from the
            whole set, so that one may come twice. Without it one, given bare.

    Returns:
        The member, None when there is no set; with `count` a list.

    Since: 1.0; `count` from 2.6. Cost: O(count). Source: redis.io/commands/srandmember
    """
    return Command(_SRANDMEMBER, (b"SRANDMEMBER", key) if count is None else (b"SRANDMEMBER", key, count))


def srem(key: Key, *members: Value) -> Command[int]:
    """SREM: take members out of a set.

    Returns:
        How many were in it.

    Since: 1.0. Cost: O(members). Source: redis.io/commands/srem
    """
    return Command(_SREM, (b"SREM", key, *members))


def sscan(
    key: Key, cursor: int = 0, match: Arg | None = None, count: int | None = None
) -> Command[ScanPage[list[Text]]]:
    """SSCAN: walk through the members, a page a call.

    A member that is in the set all the time is given at least once, possibly more often.

    Args:
        key: The set.
        cursor: 0 to begin, then what the page before gave.
        match: A glob pattern that members must match.
        count: How much work to do per call; the page may be larger, smaller or empty.

    Returns:
        `(cursor, items)`; the walk is over when the cursor is 0.

    Since: 2.8. Cost: O(1) a call, O(members) in all. Source: redis.io/commands/sscan
    """
    words: list[Arg] = [b"SSCAN", key, cursor]
    if match is not None:
        words += (b"MATCH", match)
    if count is not None:
        words += (b"COUNT", count)
    return Command(_SSCAN, tuple(words))


def sunion(*keys: Key) -> Command[set[Text]]:
    """SUNION: get the members that are in any of the sets.

    Wire: an array on RESP2, a set on RESP3.

    Since: 1.0. Cost: O(members of all sets). Source: redis.io/commands/sunion
    """
    return Command(_SUNION, (b"SUNION", *keys))


def sunionstore(dest: Key, *keys: Key) -> Command[int]:
    """SUNIONSTORE: store the members that are in any of the sets, in place of what was in `dest`.

    Returns:
        How many members the result has.

    Since: 1.0. Cost: O(members of all sets). Source: redis.io/commands/sunionstore
    """
    return Command(_SUNIONSTORE, (b"SUNIONSTORE", dest, *keys))
