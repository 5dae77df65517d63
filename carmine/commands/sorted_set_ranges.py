"""Commands of the group "sorted-set" on a range of it: by rank, by score, or in lexical order.

The ends of a range are sent as given: in a reversed one the greater end comes first, as Redis wants it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypedDict, Unpack, overload

from carmine.commands import decoders
from carmine.commands.arguments import limit, scored_words
from carmine.commands.command import Command, Text
from carmine.commands.specs import spec
from carmine.commands.words import only_one
from carmine.errors import UsageError

if TYPE_CHECKING:
    from carmine.types import Arg, Key, ScoreBound, ScoredMember


class RangeOptions(TypedDict, total=False):
    """What every form of `zrange` takes; its definition says what each is for."""

    byscore: bool
    bylex: bool
    rev: bool
    offset: int | None
    num: int | None


_ZCOUNT = spec("ZCOUNT")
_ZLEXCOUNT = spec("ZLEXCOUNT")
_ZRANGE = spec("ZRANGE")
_ZRANGE_SCORES = spec("ZRANGE", decoders.scored)
_ZRANGEBYLEX = spec("ZRANGEBYLEX")
_ZRANGEBYSCORE = spec("ZRANGEBYSCORE")
_ZRANGEBYSCORE_SCORES = spec("ZRANGEBYSCORE", decoders.scored)
_ZRANGESTORE = spec("ZRANGESTORE")
_ZREMRANGEBYLEX = spec("ZREMRANGEBYLEX")
_ZREMRANGEBYRANK = spec("ZREMRANGEBYRANK")
_ZREMRANGEBYSCORE = spec("ZREMRANGEBYSCORE")
_ZREVRANGE = spec("ZREVRANGE")
_ZREVRANGE_SCORES = spec("ZREVRANGE", decoders.scored)
_ZREVRANGEBYLEX = spec("ZREVRANGEBYLEX")
_ZREVRANGEBYSCORE = spec("ZREVRANGEBYSCORE")
_ZREVRANGEBYSCORE_SCORES = spec("ZREVRANGEBYSCORE", decoders.scored)


def _range(
    command: str, start: Arg, end: Arg, byscore: bool, bylex: bool, rev: bool, offset: int | None, num: int | None
) -> tuple[Arg, ...]:
    """Return the words of ZRANGE and ZRANGESTORE behind the keys."""
    only_one(command, byscore=byscore, bylex=bylex)
    part = limit(command, offset, num)
    if part and not (byscore or bylex):
        raise UsageError(f"{command} takes offset and num only with byscore or bylex; ranks are a part already")
    order = (b"BYSCORE",) if byscore else (b"BYLEX",) if bylex else ()
    return (start, end, *order, *((b"REV",) if rev else ()), *part)


def zcount(key: Key, min: ScoreBound, max: ScoreBound) -> Command[int]:
    """ZCOUNT: count the members with scores from `min` to `max`, both included unless written as "(1.5".

    Since: 2.0.0. Cost: O(log(members)). Source: redis.io/commands/zcount
    """
    return Command(_ZCOUNT, (b"ZCOUNT", key, min, max))


def zlexcount(key: Key, min: str | bytes, max: str | bytes) -> Command[int]:
    """ZLEXCOUNT: count the members from `min` to `max` in lexical order, where all scores are equal.

    Args:
        key: The sorted set.
        min: "[a" with a itself, "(a" without, "-" for the first of all.
        max: In the same way; "+" for the last of all.

    Since: 2.8.9. Cost: O(log(members)). Source: redis.io/commands/zlexcount
    """
    return Command(_ZLEXCOUNT, (b"ZLEXCOUNT", key, min, max))


@overload
def zrange(
    key: Key,
    start: ScoreBound,
    end: ScoreBound,
    *,
    withscores: Literal[False] = False,
    **options: Unpack[RangeOptions],
) -> Command[list[Text]]: ...
@overload
def zrange(
    key: Key,
    start: ScoreBound,
    end: ScoreBound,
    *,
    withscores: Literal[True],
    **options: Unpack[RangeOptions],
) -> Command[list[ScoredMember[Text]]]: ...
@overload
def zrange(
    key: Key,
    start: ScoreBound,
    end: ScoreBound,
    *,
    withscores: bool,
    **options: Unpack[RangeOptions],
) -> Command[list[Text] | list[ScoredMember[Text]]]: ...
def zrange(
    key: Key,
    start: ScoreBound,
    end: ScoreBound,
    *,
    byscore: bool = False,
    bylex: bool = False,
    rev: bool = False,
    offset: int | None = None,
    num: int | None = None,
    withscores: bool = False,
) -> Command[Any]:
    """ZRANGE: get the members from `start` to `end`, both included.

    Args:
        key: The sorted set.
        start: A rank (0 the lowest score, -1 the highest); with `byscore` a score or "(1.5"; with `bylex`
            "[a", "(a", "-" or "+". With `rev` and one of these two the greater end.
        end: The other end.
        byscore: The ends are scores.
        bylex: The ends are members in lexical order, where all scores are equal.
        rev: From the highest score to the lowest; ranks count from the highest too.
        offset: How many members of the range to pass over; with `num`.
        num: How many to give at most, all when negative; with `offset`.
        withscores: Give `(member, score)` instead of members; Redis refuses it with `bylex`.

    Raises:
        UsageError: `byscore` with `bylex`; `offset` without `num` or the reverse; both without `byscore` or
            `bylex`.

    Wire: with scores a flat array of strings on RESP2, pairs on RESP3.

    Since: 1.2.0 (all options but `withscores` 6.2.0). Cost: O(log(members) + offset + result).
    Source: redis.io/commands/zrange
    """
    if not (withscores or byscore or bylex or rev) and offset is None and num is None:
        return Command(_ZRANGE, (b"ZRANGE", key, start, end))
    words = scored_words((b"ZRANGE", key, *_range("ZRANGE", start, end, byscore, bylex, rev, offset, num)), withscores)
    return Command(_ZRANGE_SCORES if withscores else _ZRANGE, words)


def zrangebylex(
    key: Key, min: str | bytes, max: str | bytes, *, offset: int | None = None, num: int | None = None
) -> Command[list[Text]]:
    """ZRANGEBYLEX: get the members from `min` to `max` in lexical order, where all scores are equal.

    Redis calls it deprecated: `zrange(key, min, max, bylex=True)` does the same.

    Args:
        key: The sorted set.
        min: "[a" with a itself, "(a" without, "-" for the first of all.
        max: In the same way; "+" for the last of all.
        offset: How many members of the range to pass over; with `num`.
        num: How many to give at most, all when negative; with `offset`.

    Since: 2.8.9. Cost: O(log(members) + offset + result). Source: redis.io/commands/zrangebylex
    """
    return Command(_ZRANGEBYLEX, (b"ZRANGEBYLEX", key, min, max, *limit("ZRANGEBYLEX", offset, num)))


@overload
def zrangebyscore(
    key: Key,
    min: ScoreBound,
    max: ScoreBound,
    *,
    offset: int | None = None,
    num: int | None = None,
    withscores: Literal[False] = False,
) -> Command[list[Text]]: ...
@overload
def zrangebyscore(
    key: Key,
    min: ScoreBound,
    max: ScoreBound,
    *,
    offset: int | None = None,
    num: int | None = None,
    withscores: Literal[True],
) -> Command[list[ScoredMember[Text]]]: ...
@overload
def zrangebyscore(
    key: Key,
    min: ScoreBound,
    max: ScoreBound,
    *,
    offset: int | None = None,
    num: int | None = None,
    withscores: bool,
) -> Command[list[Text] | list[ScoredMember[Text]]]: ...
def zrangebyscore(
    key: Key,
    min: ScoreBound,
    max: ScoreBound,
    *,
    offset: int | None = None,
    num: int | None = None,
    withscores: bool = False,
) -> Command[Any]:
    """ZRANGEBYSCORE: get the members with scores from `min` to `max`, the lowest first.

    Redis calls it deprecated: `zrange(key, min, max, byscore=True)` does the same.

    Args:
        key: The sorted set.
        min: The lowest score, included unless written as "(1.5".
        max: The highest score, in the same way.
        offset: How many members of the range to pass over; with `num`.
        num: How many to give at most, all when negative; with `offset`.
        withscores: Give `(member, score)` instead of members.

    Wire: with scores a flat array of strings on RESP2, pairs on RESP3.

    Since: 1.0.5. Cost: O(log(members) + offset + result). Source: redis.io/commands/zrangebyscore
    """
    words = (*scored_words((b"ZRANGEBYSCORE", key, min, max), withscores), *limit("ZRANGEBYSCORE", offset, num))
    return Command(_ZRANGEBYSCORE_SCORES if withscores else _ZRANGEBYSCORE, words)


def zrangestore(
    dest: Key,
    key: Key,
    start: ScoreBound,
    end: ScoreBound,
    *,
    byscore: bool = False,
    bylex: bool = False,
    rev: bool = False,
    offset: int | None = None,
    num: int | None = None,
) -> Command[int]:
    """ZRANGESTORE: store what ZRANGE would give, in place of what was in `dest`.

    Args:
        dest: Where to store it.
        key: The sorted set.
        start: As in ZRANGE.
        end: As in ZRANGE.
        byscore: As in ZRANGE.
        bylex: As in ZRANGE.
        rev: As in ZRANGE.
        offset: As in ZRANGE.
        num: As in ZRANGE.

    Returns:
        How many members the result has.

    Raises:
        UsageError: As in ZRANGE.

    Since: 6.2.0. Cost: O(log(members) + offset + result). Source: redis.io/commands/zrangestore
    """
    part = _range("ZRANGESTORE", start, end, byscore, bylex, rev, offset, num)
    return Command(_ZRANGESTORE, (b"ZRANGESTORE", dest, key, *part))


def zremrangebylex(key: Key, min: str | bytes, max: str | bytes) -> Command[int]:
    """ZREMRANGEBYLEX: remove the members from `min` to `max` in lexical order, where all scores are equal.

    Args:
        key: The sorted set.
        min: "[a" with a itself, "(a" without, "-" for the first of all.
        max: In the same way; "+" for the last of all.

    Returns:
        How many were removed.

    Since: 2.8.9. Cost: O(log(members) + removed). Source: redis.io/commands/zremrangebylex
    """
    return Command(_ZREMRANGEBYLEX, (b"ZREMRANGEBYLEX", key, min, max))


def zremrangebyrank(key: Key, start: int, end: int) -> Command[int]:
    """ZREMRANGEBYRANK: remove the members with ranks from `start` to `end`, both included; -1 is the highest score.

    Returns:
        How many were removed.

    Since: 2.0.0. Cost: O(log(members) + removed). Source: redis.io/commands/zremrangebyrank
    """
    return Command(_ZREMRANGEBYRANK, (b"ZREMRANGEBYRANK", key, start, end))


def zremrangebyscore(key: Key, min: ScoreBound, max: ScoreBound) -> Command[int]:
    """ZREMRANGEBYSCORE: remove the members with scores from `min` to `max`, included unless written as "(1.5".

    Returns:
        How many were removed.

    Since: 1.2.0. Cost: O(log(members) + removed). Source: redis.io/commands/zremrangebyscore
    """
    return Command(_ZREMRANGEBYSCORE, (b"ZREMRANGEBYSCORE", key, min, max))


@overload
def zrevrange(key: Key, start: int, end: int, withscores: Literal[False] = False) -> Command[list[Text]]: ...
@overload
def zrevrange(key: Key, start: int, end: int, withscores: Literal[True]) -> Command[list[ScoredMember[Text]]]: ...
@overload
def zrevrange(key: Key, start: int, end: int, withscores: bool) -> Command[list[Text] | list[ScoredMember[Text]]]: ...
def zrevrange(key: Key, start: int, end: int, withscores: bool = False) -> Command[Any]:
    """ZREVRANGE: get the members with ranks from `start` to `end`, both included, counted from the highest score.

    Redis calls it deprecated: `zrange(key, start, end, rev=True)` does the same.

    Args:
        key: The sorted set.
        start: The first rank; 0 is the highest score, -1 the lowest.
        end: The last rank.
        withscores: Give `(member, score)` instead of members.

    Wire: with scores a flat array of strings on RESP2, pairs on RESP3.

    Since: 1.2.0. Cost: O(log(members) + result). Source: redis.io/commands/zrevrange
    """
    words = scored_words((b"ZREVRANGE", key, start, end), withscores)
    return Command(_ZREVRANGE_SCORES if withscores else _ZREVRANGE, words)


def zrevrangebylex(
    key: Key, max: str | bytes, min: str | bytes, *, offset: int | None = None, num: int | None = None
) -> Command[list[Text]]:
    """ZREVRANGEBYLEX: get the members from `max` down to `min` in lexical order, where all scores are equal.

    Redis calls it deprecated: `zrange(key, max, min, bylex=True, rev=True)` does the same.

    Args:
        key: The sorted set.
        max: "[a" with a itself, "(a" without, "+" for the last of all.
        min: In the same way; "-" for the first of all.
        offset: How many members of the range to pass over; with `num`.
        num: How many to give at most, all when negative; with `offset`.

    Since: 2.8.9. Cost: O(log(members) + offset + result). Source: redis.io/commands/zrevrangebylex
    """
    return Command(_ZREVRANGEBYLEX, (b"ZREVRANGEBYLEX", key, max, min, *limit("ZREVRANGEBYLEX", offset, num)))


@overload
def zrevrangebyscore(
    key: Key,
    max: ScoreBound,
    min: ScoreBound,
    *,
    offset: int | None = None,
    num: int | None = None,
    withscores: Literal[False] = False,
) -> Command[list[Text]]: ...
@overload
def zrevrangebyscore(
    key: Key,
    max: ScoreBound,
    min: ScoreBound,
    *,
    offset: int | None = None,
    num: int | None = None,
    withscores: Literal[True],
) -> Command[list[ScoredMember[Text]]]: ...
@overload
def zrevrangebyscore(
    key: Key,
    max: ScoreBound,
    min: ScoreBound,
    *,
    offset: int | None = None,
    num: int | None = None,
    withscores: bool,
) -> Command[list[Text] | list[ScoredMember[Text]]]: ...
def zrevrangebyscore(
    key: Key,
    max: ScoreBound,
    min: ScoreBound,
    *,
    offset: int | None = None,
    num: int | None = None,
    withscores: bool = False,
) -> Command[Any]:
    """ZREVRANGEBYSCORE: get the members with scores from `max` down to `min`.

    Redis calls it deprecated: `zrange(key, max, min, byscore=True, rev=True)` does the same.

    Args:
        key: The sorted set.
        max: The highest score, included unless written as "(1.5".
        min: The lowest score, in the same way.
        offset: How many members of the range to pass over; with `num`.
        num: How many to give at most, all when negative; with `offset`.
        withscores: Give `(member, score)` instead of members.

    Wire: with scores a flat array of strings on RESP2, pairs on RESP3.

    Since: 2.2.0. Cost: O(log(members) + offset + result). Source: redis.io/commands/zrevrangebyscore
    """
    words = (*scored_words((b"ZREVRANGEBYSCORE", key, max, min), withscores), *limit("ZREVRANGEBYSCORE", offset, num))
    return Command(_ZREVRANGEBYSCORE_SCORES if withscores else _ZREVRANGEBYSCORE, words)
