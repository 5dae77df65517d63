"""Commands of the group "sorted-set": members, each with a score, in the order of the scores.

Ranges are in `sorted_set_ranges.py`, unions and the like in `sorted_set_algebra.py`. In all three scores are floats and
members with scores ScoredMember on both protocols, although RESP2 sends strings, and flat lists of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, overload

from carmine.commands import decoders
from carmine.commands.arguments import block_time, scored_words, some_keys
from carmine.commands.command import Command, Text
from carmine.commands.specs import spec
from carmine.commands.words import only_one
from carmine.errors import UsageError
from carmine.types import PoppedMember, PoppedMembers, Ranking, ScoredMember

if TYPE_CHECKING:
    from collections.abc import Iterable

    from carmine.types import Arg, Items, Key, ScanPage, Seconds, Value


def _popped_member(raw: Any) -> PoppedMember[Any] | None:
    return None if raw is None else PoppedMember(raw[0], raw[1], float(raw[2]))


def _popped_members(raw: Any) -> PoppedMembers[Any] | None:
    # Not decoders.scored: here RESP2 nests the pairs too, and still sends the scores as strings.
    return None if raw is None else PoppedMembers(raw[0], [ScoredMember(each, float(score)) for each, score in raw[1]])


def _ranking(raw: Any) -> Ranking | None:
    return None if raw is None else Ranking(raw[0], float(raw[1]))


_BZMPOP = spec("BZMPOP", _popped_members)
_BZPOPMAX = spec("BZPOPMAX", _popped_member)
_BZPOPMIN = spec("BZPOPMIN", _popped_member)
_ZADD = spec("ZADD")
_ZADD_INCR = spec("ZADD", decoders.maybe_double)
_ZCARD = spec("ZCARD")
_ZINCRBY = spec("ZINCRBY", decoders.double)
_ZMPOP = spec("ZMPOP", _popped_members)
_ZMSCORE = spec("ZMSCORE", decoders.doubles)
_ZPOPMAX = spec("ZPOPMAX", decoders.maybe_scored_member)
_ZPOPMAX_COUNT = spec("ZPOPMAX", decoders.scored)
_ZPOPMIN = spec("ZPOPMIN", decoders.maybe_scored_member)
_ZPOPMIN_COUNT = spec("ZPOPMIN", decoders.scored)
_ZRANDMEMBER = spec("ZRANDMEMBER")
_ZRANDMEMBER_SCORES = spec("ZRANDMEMBER", decoders.scored)
_ZRANK = spec("ZRANK")
_ZRANK_SCORE = spec("ZRANK", _ranking)
_ZREM = spec("ZREM")
_ZREVRANK = spec("ZREVRANK")
_ZREVRANK_SCORE = spec("ZREVRANK", _ranking)
_ZSCAN = spec("ZSCAN", decoders.scored_page)
_ZSCAN_PLAIN = spec("ZSCAN", decoders.member_page)
_ZSCORE = spec("ZSCORE", decoders.maybe_double)


def bzmpop(
    keys: Key | Iterable[Key], order: Literal["MIN", "MAX"], timeout: Seconds = 0, count: int | None = None
) -> Command[PoppedMembers[Text] | None]:
    """BZMPOP: pop members from the first of several sorted sets that has any, and wait for some to come.

    Args:
        keys: The sorted sets, looked at in this order.
        order: Whether to pop those of the lowest or of the highest scores.
        timeout: How long to wait at most; 0 waits for ever.
        count: How many members to pop at most, all from one sorted set; one by default.

    Returns:
        The key and the members in the order of popping; None when the time was up.

    Since: 7.0.0. Cost: O(keys + count * log(members)). Source: redis.io/commands/bzmpop
    """
    names = some_keys("BZMPOP", keys)
    words = (b"BZMPOP", block_time(timeout), len(names), *names, order)
    return Command(_BZMPOP, words if count is None else (*words, b"COUNT", count))


def bzpopmax(keys: Key | Iterable[Key], timeout: Seconds = 0) -> Command[PoppedMember[Text] | None]:
    """BZPOPMAX: pop the member of the highest score from the first sorted set that has any; wait for one.

    Args:
        keys: The sorted sets, looked at in this order.
        timeout: How long to wait at most; 0 waits for ever.

    Returns:
        `(key, member, score)`; None when the time was up.

    Since: 5.0.0; fractions of a second from 6.0.0. Cost: O(log(members)). Source: redis.io/commands/bzpopmax
    """
    return Command(_BZPOPMAX, (b"BZPOPMAX", *some_keys("BZPOPMAX", keys), block_time(timeout)))


def bzpopmin(keys: Key | Iterable[Key], timeout: Seconds = 0) -> Command[PoppedMember[Text] | None]:
    """BZPOPMIN: pop the member of the lowest score from the first sorted set that has any; wait for one.

    Args:
        keys: The sorted sets, looked at in this order.
        timeout: How long to wait at most; 0 waits for ever.

    Returns:
        `(key, member, score)`; None when the time was up.

    Since: 5.0.0; fractions of a second from 6.0.0. Cost: O(log(members)). Source: redis.io/commands/bzpopmin
    """
    return Command(_BZPOPMIN, (b"BZPOPMIN", *some_keys("BZPOPMIN", keys), block_time(timeout)))


@overload
def zadd(
    key: Key,
    mapping: Items[Value, float],
    *,
    nx: bool = False,
    xx: bool = False,
    gt: bool = False,
    lt: bool = False,
    ch: bool = False,
    incr: Literal[False] = False,
) -> Command[int]: ...
@overload
def zadd(
    key: Key,
    mapping: Items[Value, float],
    *,
    nx: bool = False,
    xx: bool = False,
    gt: bool = False,
    lt: bool = False,
    ch: bool = False,
    incr: Literal[True],
) -> Command[float | None]: ...
@overload
def zadd(
    key: Key,
    mapping: Items[Value, float],
    *,
    nx: bool = False,
    xx: bool = False,
    gt: bool = False,
    lt: bool = False,
    ch: bool = False,
    incr: bool,
) -> Command[int | float | None]: ...
def zadd(
    key: Key,
    mapping: Items[Value, float],
    *,
    nx: bool = False,
    xx: bool = False,
    gt: bool = False,
    lt: bool = False,
    ch: bool = False,
    incr: bool = False,
) -> Command[Any]:
    """ZADD: give members their scores.

    Args:
        key: The sorted set.
        mapping: `{member: score}`.
        nx: Only add members, change none.
        xx: Only change members, add none.
        gt: Change a member only to a higher score.
        lt: Change a member only to a lower score.
        ch: Count the changed members too.
        incr: Add the score to that of the one member given, as ZINCRBY does, but under the conditions above.

    Returns:
        How many members are new (with `ch` new or changed). With `incr` the new score, None where a condition
        forbade it.

    Raises:
        UsageError: Options that exclude each other, no member, or more than one with `incr`.

    Wire: with `incr` a string on RESP2, a double on RESP3.

    Since: 1.2.0 (`gt` and `lt` 6.2.0). Cost: O(log(members)) for each one given. Source: redis.io/commands/zadd
    """
    only_one("ZADD", nx=nx, xx=xx)
    only_one("ZADD", nx=nx, gt=gt, lt=lt)
    words: list[Arg] = [b"ZADD", key]
    for given, word in ((nx, b"NX"), (xx, b"XX"), (gt, b"GT"), (lt, b"LT"), (ch, b"CH"), (incr, b"INCR")):
        if given:
            words.append(word)
    options = len(words)
    for member, score in mapping.items():
        words += (score, member)
    if len(words) == options:
        raise UsageError("ZADD needs at least one member with its score")
    if incr and len(words) > options + 2:
        raise UsageError("ZADD with incr takes one member with its score")
    return Command(_ZADD_INCR if incr else _ZADD, tuple(words))


def zcard(key: Key) -> Command[int]:
    """ZCARD: count the members; 0 where there is no sorted set.

    Since: 1.2.0. Cost: O(1). Source: redis.io/commands/zcard
    """
    return Command(_ZCARD, (b"ZCARD", key))


def zincrby(key: Key, amount: float, member: Value) -> Command[float]:
    """ZINCRBY: add to a member's score; a missing member counts as one of score 0.

    Returns:
        The new score.

    Wire: a string on RESP2, a double on RESP3.

    Since: 1.2.0. Cost: O(log(members)). Source: redis.io/commands/zincrby
    """
    return Command(_ZINCRBY, (b"ZINCRBY", key, amount, member))


def zmpop(
    keys: Key | Iterable[Key], order: Literal["MIN", "MAX"], count: int | None = None
) -> Command[PoppedMembers[Text] | None]:
    """ZMPOP: pop members from the first of several sorted sets that has any.

    Args:
        keys: The sorted sets, looked at in this order.
        order: Whether to pop those of the lowest or of the highest scores.
        count: How many members to pop at most, all from one sorted set; one by default.

    Returns:
        The key and the members in the order of popping; None where all were empty.

    Since: 7.0.0. Cost: O(keys + count * log(members)). Source: redis.io/commands/zmpop
    """
    names = some_keys("ZMPOP", keys)
    words = (b"ZMPOP", len(names), *names, order)
    return Command(_ZMPOP, words if count is None else (*words, b"COUNT", count))


def zmscore(key: Key, *members: Value) -> Command[list[float | None]]:
    """ZMSCORE: get the score of each member, in the order given; None for one that is not there.

    Wire: strings on RESP2, doubles on RESP3.

    Since: 6.2.0. Cost: O(members given). Source: redis.io/commands/zmscore
    """
    return Command(_ZMSCORE, (b"ZMSCORE", key, *members))


@overload
def zpopmax(key: Key, count: None = None) -> Command[ScoredMember[Text] | None]: ...
@overload
def zpopmax(key: Key, count: int) -> Command[list[ScoredMember[Text]]]: ...
def zpopmax(key: Key, count: int | None = None) -> Command[Any]:
    """ZPOPMAX: pop members of the highest scores.

    Args:
        key: The sorted set.
        count: How many to pop at most; without it one, given bare.

    Returns:
        `(member, score)`, None where there is no sorted set; with `count` a list, the highest score first.

    Wire: a flat array of strings on RESP2; on RESP3 a double, and pairs where there is a count.

    Since: 5.0.0. Cost: O(count * log(members)). Source: redis.io/commands/zpopmax
    """
    if count is None:
        return Command(_ZPOPMAX, (b"ZPOPMAX", key))
    return Command(_ZPOPMAX_COUNT, (b"ZPOPMAX", key, count))


@overload
def zpopmin(key: Key, count: None = None) -> Command[ScoredMember[Text] | None]: ...
@overload
def zpopmin(key: Key, count: int) -> Command[list[ScoredMember[Text]]]: ...
def zpopmin(key: Key, count: int | None = None) -> Command[Any]:
    """ZPOPMIN: pop members of the lowest scores.

    Args:
        key: The sorted set.
        count: How many to pop at most; without it one, given bare.

    Returns:
        `(member, score)`, None where there is no sorted set; with `count` a list, the lowest score first.

    Wire: a flat array of strings on RESP2; on RESP3 a double, and pairs where there is a count.

    Since: 5.0.0. Cost: O(count * log(members)). Source: redis.io/commands/zpopmin
    """
    if count is None:
        return Command(_ZPOPMIN, (b"ZPOPMIN", key))
    return Command(_ZPOPMIN_COUNT, (b"ZPOPMIN", key, count))


@overload
def zrandmember(key: Key, count: None = None, withscores: Literal[False] = False) -> Command[Text | None]: ...
@overload
def zrandmember(key: Key, count: int, withscores: Literal[False] = False) -> Command[list[Text]]: ...
@overload
def zrandmember(key: Key, count: int, withscores: Literal[True]) -> Command[list[ScoredMember[Text]]]: ...
@overload
def zrandmember(
    key: Key, count: int | None, withscores: bool
) -> Command[Text | list[Text] | list[ScoredMember[Text]] | None]: ...
def zrandmember(key: Key, count: int | None = None, withscores: bool = False) -> Command[Any]:
    """ZRANDMEMBER: look at members picked at random.

    Args:
        key: The sorted set.
        count: How many different members to pick at most; a negative one picks exactly that many, each from all
            members, so that one may come twice. Without it one, given bare.
        withscores: Give `(member, score)` instead of members; needs `count`.

    Returns:
        The member, None where there is no sorted set; with `count` a list.

    Raises:
        UsageError: `withscores` without `count`.

    Wire: with scores a flat array of strings on RESP2, pairs on RESP3.

    Since: 6.2.0. Cost: O(count). Source: redis.io/commands/zrandmember
    """
    if count is None:
        if withscores:
            raise UsageError("ZRANDMEMBER gives scores only with a count")
        return Command(_ZRANDMEMBER, (b"ZRANDMEMBER", key))
    words = scored_words((b"ZRANDMEMBER", key, count), withscores)
    return Command(_ZRANDMEMBER_SCORES if withscores else _ZRANDMEMBER, words)


@overload
def zrank(key: Key, member: Value, withscore: Literal[False] = False) -> Command[int | None]: ...
@overload
def zrank(key: Key, member: Value, withscore: Literal[True]) -> Command[Ranking | None]: ...
@overload
def zrank(key: Key, member: Value, withscore: bool) -> Command[int | Ranking | None]: ...
def zrank(key: Key, member: Value, withscore: bool = False) -> Command[Any]:
    """ZRANK: get a member's place, counted from 0 at the lowest score.

    Args:
        key: The sorted set.
        member: The member.
        withscore: Give `(rank, score)` instead of the rank.

    Returns:
        The rank; None where there is no such member.

    Wire: the score is a string on RESP2, a double on RESP3.

    Since: 2.0.0 (`withscore` 7.2.0). Cost: O(log(members)). Source: redis.io/commands/zrank
    """
    if withscore:
        return Command(_ZRANK_SCORE, (b"ZRANK", key, member, b"WITHSCORE"))
    return Command(_ZRANK, (b"ZRANK", key, member))


def zrem(key: Key, *members: Value) -> Command[int]:
    """ZREM: take members out of a sorted set.

    Returns:
        How many were in it.

    Since: 1.2.0. Cost: O(log(members)) for each one given. Source: redis.io/commands/zrem
    """
    return Command(_ZREM, (b"ZREM", key, *members))


@overload
def zrevrank(key: Key, member: Value, withscore: Literal[False] = False) -> Command[int | None]: ...
@overload
def zrevrank(key: Key, member: Value, withscore: Literal[True]) -> Command[Ranking | None]: ...
@overload
def zrevrank(key: Key, member: Value, withscore: bool) -> Command[int | Ranking | None]: ...
def zrevrank(key: Key, member: Value, withscore: bool = False) -> Command[Any]:
    """ZREVRANK: get a member's place, counted from 0 at the highest score.

    Args:
        key: The sorted set.
        member: The member.
        withscore: Give `(rank, score)` instead of the rank.

    Returns:
        The rank; None where there is no such member.

    Wire: the score is a string on RESP2, a double on RESP3.

    Since: 2.0.0 (`withscore` 7.2.0). Cost: O(log(members)). Source: redis.io/commands/zrevrank
    """
    if withscore:
        return Command(_ZREVRANK_SCORE, (b"ZREVRANK", key, member, b"WITHSCORE"))
    return Command(_ZREVRANK, (b"ZREVRANK", key, member))


@overload
def zscan(
    key: Key, cursor: int = 0, match: Arg | None = None, count: int | None = None, *, noscores: Literal[False] = False
) -> Command[ScanPage[list[ScoredMember[Text]]]]: ...
@overload
def zscan(
    key: Key, cursor: int = 0, match: Arg | None = None, count: int | None = None, *, noscores: Literal[True]
) -> Command[ScanPage[list[Text]]]: ...
@overload
def zscan(
    key: Key, cursor: int = 0, match: Arg | None = None, count: int | None = None, *, noscores: bool
) -> Command[ScanPage[list[ScoredMember[Text]]] | ScanPage[list[Text]]]: ...
def zscan(
    key: Key, cursor: int = 0, match: Arg | None = None, count: int | None = None, *, noscores: bool = False
) -> Command[Any]:
    """ZSCAN: walk through the members, a page a call.

    A member that is there all the time is given at least once, possibly more often.

    Args:
        key: The sorted set.
        cursor: 0 to begin, then what the page before gave.
        match: A glob pattern that members must match.
        count: How much work to do per call; the page may be larger, smaller or empty.
        noscores: Give members instead of `(member, score)` (Valkey only).

    Returns:
        `(cursor, items)`; the walk is over when the cursor is 0.

    Since: 2.8.0 (`noscores` Valkey 8.1). Cost: O(1) a call, O(members) in all. Source: redis.io/commands/zscan
    """
    words: list[Arg] = [b"ZSCAN", key, cursor]
    if match is not None:
        words += (b"MATCH", match)
    if count is not None:
        words += (b"COUNT", count)
    if noscores:
        words.append(b"NOSCORES")
    return Command(_ZSCAN_PLAIN if noscores else _ZSCAN, tuple(words))


def zscore(key: Key, member: Value) -> Command[float | None]:
    """ZSCORE: get a member's score; None where there is no such member.

    Wire: a string on RESP2, a double on RESP3.

    Since: 1.2.0. Cost: O(1). Source: redis.io/commands/zscore
    """
    return Command(_ZSCORE, (b"ZSCORE", key, member))
