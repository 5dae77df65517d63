"""Commands of the group "sorted-set" that join several of them: union, intersection, difference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, overload

from carmine.commands import decoders
from carmine.commands.arguments import scored_words, some_keys
from carmine.commands.command import Command, Text
from carmine.commands.specs import spec

if TYPE_CHECKING:
    from collections.abc import Iterable

    from carmine.types import Aggregate, Arg, Items, Key, ScoredMember

_ZDIFF = spec("ZDIFF")
_ZDIFF_SCORES = spec("ZDIFF", decoders.scored)
_ZDIFFSTORE = spec("ZDIFFSTORE")
_ZINTER = spec("ZINTER")
_ZINTER_SCORES = spec("ZINTER", decoders.scored)
_ZINTERCARD = spec("ZINTERCARD")
_ZINTERSTORE = spec("ZINTERSTORE")
_ZUNION = spec("ZUNION")
_ZUNION_SCORES = spec("ZUNION", decoders.scored)
_ZUNIONSTORE = spec("ZUNIONSTORE")


def _combined(
    command: str, keys: Key | Iterable[Key] | Items[Key, float], aggregate: Aggregate | None
) -> tuple[Arg, ...]:
    """Return number of keys, keys, weights and aggregate, as ZUNION and ZINTER want them."""
    names = some_keys(command, keys)
    weights = (b"WEIGHTS", *keys.values()) if isinstance(keys, Mapping) else ()
    return (len(names), *names, *weights, *(() if aggregate is None else (b"AGGREGATE", aggregate)))


@overload
def zdiff(keys: Key | Iterable[Key], withscores: Literal[False] = False) -> Command[list[Text]]: ...
@overload
def zdiff(keys: Key | Iterable[Key], withscores: Literal[True]) -> Command[list[ScoredMember[Text]]]: ...
@overload
def zdiff(keys: Key | Iterable[Key], withscores: bool) -> Command[list[Text] | list[ScoredMember[Text]]]: ...
def zdiff(keys: Key | Iterable[Key], withscores: bool = False) -> Command[Any]:
    """ZDIFF: get the members of the first sorted set that are in none of the others.

    Args:
        keys: The sorted sets.
        withscores: Give `(member, score)` instead of members.

    Returns:
        The members in the order of their scores.

    Wire: with scores a flat array of strings on RESP2, pairs on RESP3.

    Since: 6.2.0. Cost: O(members of all sets). Source: redis.io/commands/zdiff
    """
    names = some_keys("ZDIFF", keys)
    words = scored_words((b"ZDIFF", len(names), *names), withscores)
    return Command(_ZDIFF_SCORES if withscores else _ZDIFF, words)


def zdiffstore(dest: Key, keys: Key | Iterable[Key]) -> Command[int]:
    """ZDIFFSTORE: store what ZDIFF would give, in place of what was in `dest`.

    Returns:
        How many members the result has.

    Since: 6.2.0. Cost: O(members of all sets). Source: redis.io/commands/zdiffstore
    """
    names = some_keys("ZDIFFSTORE", keys)
    return Command(_ZDIFFSTORE, (b"ZDIFFSTORE", dest, len(names), *names))


@overload
def zinter(
    keys: Key | Iterable[Key] | Items[Key, float],
    aggregate: Aggregate | None = None,
    *,
    withscores: Literal[False] = False,
) -> Command[list[Text]]: ...
@overload
def zinter(
    keys: Key | Iterable[Key] | Items[Key, float], aggregate: Aggregate | None = None, *, withscores: Literal[True]
) -> Command[list[ScoredMember[Text]]]: ...
@overload
def zinter(
    keys: Key | Iterable[Key] | Items[Key, float], aggregate: Aggregate | None = None, *, withscores: bool
) -> Command[list[Text] | list[ScoredMember[Text]]]: ...
def zinter(
    keys: Key | Iterable[Key] | Items[Key, float], aggregate: Aggregate | None = None, *, withscores: bool = False
) -> Command[Any]:
    """ZINTER: get the members that are in all of the sorted sets.

    Args:
        keys: The sorted sets; as `{key: weight}` their scores are multiplied first.
        aggregate: What becomes of the scores of one member; SUM by default.
        withscores: Give `(member, score)` instead of members.

    Returns:
        The members in the order of their combined scores.

    Wire: with scores a flat array of strings on RESP2, pairs on RESP3.

    Since: 6.2.0. Cost: O(members of the smallest set * sets). Source: redis.io/commands/zinter
    """
    words = scored_words((b"ZINTER", *_combined("ZINTER", keys, aggregate)), withscores)
    return Command(_ZINTER_SCORES if withscores else _ZINTER, words)


def zintercard(keys: Key | Iterable[Key], limit: int | None = None) -> Command[int]:
    """ZINTERCARD: count the members that are in all of the sorted sets.

    Args:
        keys: The sorted sets.
        limit: Where to stop counting; 0, as without it, counts all.

    Since: 7.0.0. Cost: O(members of the smallest set * sets). Source: redis.io/commands/zintercard
    """
    names = some_keys("ZINTERCARD", keys)
    words = (b"ZINTERCARD", len(names), *names)
    return Command(_ZINTERCARD, words if limit is None else (*words, b"LIMIT", limit))


def zinterstore(
    dest: Key, keys: Key | Iterable[Key] | Items[Key, float], aggregate: Aggregate | None = None
) -> Command[int]:
    """ZINTERSTORE: store the members that are in all of the sorted sets, in place of what was in `dest`.

    Args:
        dest: Where to store them.
        keys: The sorted sets; as `{key: weight}` their scores are multiplied first.
        aggregate: What becomes of the scores of one member; SUM by default.

    Returns:
        How many members the result has.

    Since: 2.0.0. Cost: O(members of the smallest set * sets). Source: redis.io/commands/zinterstore
    """
    return Command(_ZINTERSTORE, (b"ZINTERSTORE", dest, *_combined("ZINTERSTORE", keys, aggregate)))


@overload
def zunion(
    keys: Key | Iterable[Key] | Items[Key, float],
    aggregate: Aggregate | None = None,
    *,
    withscores: Literal[False] = False,
) -> Command[list[Text]]: ...
@overload
def zunion(
    keys: Key | Iterable[Key] | Items[Key, float], aggregate: Aggregate | None = None, *, withscores: Literal[True]
) -> Command[list[ScoredMember[Text]]]: ...
@overload
def zunion(
    keys: Key | Iterable[Key] | Items[Key, float], aggregate: Aggregate | None = None, *, withscores: bool
) -> Command[list[Text] | list[ScoredMember[Text]]]: ...
def zunion(
    keys: Key | Iterable[Key] | Items[Key, float], aggregate: Aggregate | None = None, *, withscores: bool = False
) -> Command[Any]:
    """ZUNION: get the members that are in any of the sorted sets.

    Args:
        keys: The sorted sets; as `{key: weight}` their scores are multiplied first.
        aggregate: What becomes of the scores of one member; SUM by default.
        withscores: Give `(member, score)` instead of members.

    Returns:
        The members in the order of their combined scores.

    Wire: with scores a flat array of strings on RESP2, pairs on RESP3.

    Since: 6.2.0. Cost: O(members of all sets). Source: redis.io/commands/zunion
    """
    words = scored_words((b"ZUNION", *_combined("ZUNION", keys, aggregate)), withscores)
    return Command(_ZUNION_SCORES if withscores else _ZUNION, words)


def zunionstore(
    dest: Key, keys: Key | Iterable[Key] | Items[Key, float], aggregate: Aggregate | None = None
) -> Command[int]:
    """ZUNIONSTORE: store the members that are in any of the sorted sets, in place of what was in `dest`.

    Args:
        dest: Where to store them.
        keys: The sorted sets; as `{key: weight}` their scores are multiplied first.
        aggregate: What becomes of the scores of one member; SUM by default.

    Returns:
        How many members the result has.

    Since: 2.0.0. Cost: O(members of all sets). Source: redis.io/commands/zunionstore
    """
    return Command(_ZUNIONSTORE, (b"ZUNIONSTORE", dest, *_combined("ZUNIONSTORE", keys, aggregate)))
