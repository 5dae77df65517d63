"""Where the values of the caller stand among a command's words: what a serializer may freeze.

A value is data that comes back as it was given: a string's value, a hash's field, a member, a script's argument.
Keys, ids, numbers, patterns, bounds and the words of the command itself are none. APPEND and SETRANGE write a part of a
value, which must not begin with a marker, and have none either; nor have PUBLISH, since messages are not thawed, and
commands that the table of commands does not know. The command functions call such arguments `Value`.

Pure data and one function. A row is one of
- `("slice", begin, stop, step)`: as Python's slices; a stop of None goes to the end;
- `("after", begin, token, skip)`: what follows the token, looked for from `begin` on, and `skip` more words; to the
  end, or one word if `skip` is -1;
- `("counted", at, begin, step)`: words `begin`, `begin + step` ... below `begin + step * n`, n standing at `at`;
- `("rest", at)`: everything behind the keys whose number stands at `at` and which begin right after it;
- `("options", begin, skip, step)`: what follows the options from `begin` on: every `step`-th word, the first after
  `skip` more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable

    from carmine.commands.command import Words

__all__ = ["KEYED", "NAMES", "PARTS", "VALUES", "value_places"]

Row: TypeAlias = "tuple[Any, ...]"

_ONE: Final = ("slice", 1, 2, 1)
_SECOND: Final = ("slice", 2, 3, 1)
_THIRD: Final = ("slice", 3, 4, 1)
_MORE: Final = ("slice", 2, None, 1)
_PAIRED: Final = ("slice", 2, None, 2)
_FIELDS: Final = ("after", 2, "FIELDS", 1)
_ARGV: Final = ("rest", 2)

VALUES: Final[dict[str, tuple[Row, ...]]] = {
    "DELIFEQ": (_SECOND,),
    "ECHO": (_ONE,),
    "EVAL": (_ARGV,),
    "EVALSHA": (_ARGV,),
    "EVALSHA_RO": (_ARGV,),
    "EVAL_RO": (_ARGV,),
    "FCALL": (_ARGV,),
    "FCALL_RO": (_ARGV,),
    "GEOADD": (("options", 2, 2, 3),),
    "GEODIST": (("slice", 2, 4, 1),),
    "GEOHASH": (_MORE,),
    "GEOPOS": (_MORE,),
    "GEORADIUSBYMEMBER": (_SECOND,),
    "GEORADIUSBYMEMBER_RO": (_SECOND,),
    "GEOSEARCH": (("after", 2, "FROMMEMBER", -1),),
    "GEOSEARCHSTORE": (("after", 3, "FROMMEMBER", -1),),
    "GETSET": (_SECOND,),
    "HDEL": (_MORE,),
    "HEXISTS": (_SECOND,),
    "HEXPIRE": (_FIELDS,),
    "HEXPIREAT": (_FIELDS,),
    "HEXPIRETIME": (_FIELDS,),
    "HGET": (_SECOND,),
    "HGETDEL": (_FIELDS,),
    "HGETEX": (_FIELDS,),
    "HINCRBY": (_SECOND,),
    "HINCRBYFLOAT": (_SECOND,),
    "HMGET": (_MORE,),
    "HMSET": (_MORE,),
    "HPERSIST": (_FIELDS,),
    "HPEXPIRE": (_FIELDS,),
    "HPEXPIREAT": (_FIELDS,),
    "HPEXPIRETIME": (_FIELDS,),
    "HPTTL": (_FIELDS,),
    "HSET": (_MORE,),
    "HSETEX": (_FIELDS,),
    "HSETNX": (_MORE,),
    "HSTRLEN": (_SECOND,),
    "HTTL": (_FIELDS,),
    "LINSERT": (("slice", 3, 5, 1),),
    "LPOS": (_SECOND,),
    "LPUSH": (_MORE,),
    "LPUSHX": (_MORE,),
    "LREM": (_THIRD,),
    "LSET": (_THIRD,),
    "MSET": (_PAIRED,),
    "MSETEX": (("counted", 1, 3, 2),),
    "MSETNX": (_PAIRED,),
    "PFADD": (_MORE,),
    "PSETEX": (_THIRD,),
    "RPUSH": (_MORE,),
    "RPUSHX": (_MORE,),
    "SADD": (_MORE,),
    "SET": (_SECOND, ("after", 3, "IFEQ", -1)),
    "SETEX": (_THIRD,),
    "SETNX": (_SECOND,),
    "SISMEMBER": (_SECOND,),
    "SMISMEMBER": (_MORE,),
    "SMOVE": (_THIRD,),
    "SREM": (_MORE,),
    "XADD": (("options", 2, 1, 1),),
    "ZADD": (("options", 2, 1, 2),),
    "ZINCRBY": (_THIRD,),
    "ZMSCORE": (_MORE,),
    "ZRANK": (_SECOND,),
    "ZREM": (_MORE,),
    "ZREVRANK": (_SECOND,),
    "ZSCORE": (_SECOND,),
}

NAMES: Final = frozenset(
    {
        "CLUSTER GETKEYSINSLOT",
        "CLUSTERSCAN",
        "COMMAND GETKEYS",
        "COMMAND GETKEYSANDFLAGS",
        "GETRANGE",
        "KEYS",
        "LCS",
        "PUBSUB CHANNELS",
        "PUBSUB NUMSUB",
        "PUBSUB SHARDCHANNELS",
        "PUBSUB SHARDNUMSUB",
        "RANDOMKEY",
        "SCAN",
        "SCRIPT SHOW",
        "SUBSTR",
        "VEMB",
        "VLINKS",
        "VRANDMEMBER",
        "VSIM",
        "XINFO CONSUMERS",
        "XINFO GROUPS",
        "XPENDING",
    }
)
"""Commands whose replies have no value, but names of keys, channels, groups and vectors' elements, or parts of values.

Such names went out as they were, and whoever made them may have had them begin with a marker.
"""

KEYED: Final = frozenset(
    {
        "BLMPOP",
        "BLPOP",
        "BRPOP",
        "BZMPOP",
        "BZPOPMAX",
        "BZPOPMIN",
        "LMPOP",
        "XREAD",
        "XREADGROUP",
        "ZMPOP",
    }
)
"""Commands whose replies name the keys at which the values were found."""

PARTS: Final = {"APPEND": 2, "SETRANGE": 3}
"""Commands that write a part of a value, and where: it is not frozen, but may be the beginning of one that is read."""

_OPTIONS: Final = {
    "GEOADD": {"NX": 0, "XX": 0, "CH": 0},
    "XADD": {"NOMKSTREAM": 0, "KEEPREF": 0, "DELREF": 0, "ACKED": 0, "MAXLEN": 1, "MINID": 1, "LIMIT": 1},
    "ZADD": {"NX": 0, "XX": 0, "GT": 0, "LT": 0, "CH": 0, "INCR": 0},
}
"""Options before the first number or id, and how many words each has; one more where that begins with = or ~."""

_LONGEST: Final = 16
"""Letters of the longest option. A longer word is not looked at."""


def value_places(name: str, words: Words) -> Iterable[int]:
    """Return the indexes of the words that are values of the caller, in rising order."""
    rows = VALUES.get(name)
    if rows is None:
        return ()
    if len(rows) == 1:
        return _places(name, rows[0], words)
    return [at for row in rows for at in _places(name, row, words)]


def _places(name: str, row: Row, words: Words) -> range:
    count = len(words)
    match row:
        case "slice", begin, stop, step:
            return range(begin, count if stop is None else min(stop, count), step)
        case "after", begin, token, skip:
            at = next((at for at in range(begin, count) if _token(words[at]) == token), count)
            return range(at + 1, min(at + 2, count)) if skip < 0 else range(at + 1 + skip, count)
        case "counted", at, begin, step:
            return range(begin, min(begin + step * _number(words, at), count), step)
        case "rest", at:
            return range(at + 1 + _number(words, at), count)
    _, begin, skip, step = row
    return range(_behind_options(_OPTIONS[name], words, begin) + skip, count, step)


def _behind_options(options: dict[str, int], words: Words, at: int) -> int:
    while at < len(words):
        more = options.get(_token(words[at]))
        if more is None:
            break
        at += 1
        if more and at < len(words) and _token(words[at]) in ("=", "~"):
            at += 1
        at += more
    return at


def _number(words: Words, at: int) -> int:
    """Return a count among the words; a high one where there is none: the server will refuse the command."""
    try:
        return min(max(int(bytes(word) if isinstance(word := words[at], memoryview) else word), 0), len(words))
    except (IndexError, TypeError, ValueError):
        return len(words)


def _token(word: object) -> str:
    if isinstance(word, str):
        return word.upper() if len(word) <= _LONGEST else ""
    if isinstance(word, bytes | bytearray):
        return word.upper().decode("latin-1") if len(word) <= _LONGEST else ""
    return ""
