"""Commands of the group "string" that read or write a part of a value, or compare two.

Positions count bytes, from 0; negative ones count from the end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple, overload

from carmine.commands import decoders
from carmine.commands.command import Command, Text
from carmine.commands.specs import spec
from carmine.commands.words import only_one
from carmine.errors import UsageError

if TYPE_CHECKING:
    from carmine.types import Arg, Key


class LcsMatch(NamedTuple):
    """One common stretch of two strings: where it lies in each (first and last byte), and its length if asked for."""

    first: tuple[int, int]
    second: tuple[int, int]
    length: int | None


class LcsMatches(NamedTuple):
    """The common stretches of two strings, the last one first, and the length of the common subsequence."""

    matches: list[LcsMatch]
    length: int


def _lcs_matches(raw: Any) -> LcsMatches:
    told = decoders.mapping(raw)
    matches = [LcsMatch(tuple(a), tuple(b), length[0] if length else None) for a, b, *length in told["matches"]]
    return LcsMatches(matches, told["len"])


_APPEND = spec("APPEND")
_GETRANGE = spec("GETRANGE")
_LCS = spec("LCS")
_LCS_MATCHES = spec("LCS", _lcs_matches, text=True)
_SETRANGE = spec("SETRANGE")
_STRLEN = spec("STRLEN")
_SUBSTR = spec("SUBSTR")


def append(key: Key, value: Arg) -> Command[int]:
    """APPEND: put bytes at the end of a value; a missing key counts as empty.

    Args:
        key: The key.
        value: What to append.

    Returns:
        The length in bytes afterwards.

    Since: 2.0.0. Cost: O(1) on average. Source: redis.io/commands/append
    """
    return Command(_APPEND, (b"APPEND", key, value))


def getrange(key: Key, start: int, end: int) -> Command[Text]:
    """GETRANGE: read a part of a value.

    Args:
        key: The key of a string.
        start: The first byte, from 0; negative counts from the end.
        end: The last byte, itself included.

    Returns:
        The part; empty where the key or the range is.

    Since: 2.4.0. Cost: O(length of the part). Source: redis.io/commands/getrange
    """
    return Command(_GETRANGE, (b"GETRANGE", key, start, end))


@overload
def lcs(key1: Key, key2: Key) -> Command[Text]: ...
@overload
def lcs(key1: Key, key2: Key, *, len: Literal[True]) -> Command[int]: ...
@overload
def lcs(
    key1: Key, key2: Key, *, idx: Literal[True], minmatchlen: int | None = None, withmatchlen: bool = False
) -> Command[LcsMatches]: ...
@overload
def lcs(
    key1: Key,
    key2: Key,
    *,
    len: bool = False,
    idx: bool = False,
    minmatchlen: int | None = None,
    withmatchlen: bool = False,
) -> Command[Text | int | LcsMatches]: ...
def lcs(
    key1: Key,
    key2: Key,
    *,
    len: bool = False,
    idx: bool = False,
    minmatchlen: int | None = None,
    withmatchlen: bool = False,
) -> Command[Any]:
    """LCS: find the longest common subsequence of two values.

    Args:
        key1: The key of a string.
        key2: The key of another.
        len: Return its length alone.
        idx: Return where it lies in both values.
        minmatchlen: With `idx`: leave out shorter stretches.
        withmatchlen: With `idx`: give each stretch its length.

    Returns:
        The subsequence; with `len` its length; with `idx` the stretches and the length.

    Raises:
        UsageError: `len` and `idx` together, or an option of `idx` without it.

    Since: 7.0.0. Cost: O(length of one x length of the other). Source: redis.io/commands/lcs
    """
    only_one("LCS", len=len, idx=idx)
    if not idx and (minmatchlen is not None or withmatchlen):
        raise UsageError("LCS takes minmatchlen and withmatchlen only with idx=True")
    words: list[Arg] = [b"LCS", key1, key2]
    if len:
        words.append(b"LEN")
    if idx:
        words.append(b"IDX")
        if minmatchlen is not None:
            words += (b"MINMATCHLEN", minmatchlen)
        if withmatchlen:
            words.append(b"WITHMATCHLEN")
    return Command(_LCS_MATCHES if idx else _LCS, tuple(words))


def setrange(key: Key, offset: int, value: Arg) -> Command[int]:
    """SETRANGE: overwrite a part of a value; what lies between its end and the offset becomes zero bytes.

    Args:
        key: The key; a missing one counts as empty.
        offset: The first byte to overwrite, from 0.
        value: The bytes to put there.

    Returns:
        The length in bytes afterwards.

    Since: 2.2.0. Cost: O(1) for short values. Source: redis.io/commands/setrange
    """
    return Command(_SETRANGE, (b"SETRANGE", key, offset, value))


def strlen(key: Key) -> Command[int]:
    """STRLEN: read the length of a value in bytes; 0 where there is no such key.

    Args:
        key: The key of a string.

    Since: 2.2.0. Cost: O(1). Source: redis.io/commands/strlen
    """
    return Command(_STRLEN, (b"STRLEN", key))


def substr(key: Key, start: int, end: int) -> Command[Text]:
    """SUBSTR: read a part of a value; `getrange` is its successor.

    Args:
        key: The key of a string.
        start: The first byte, from 0; negative counts from the end.
        end: The last byte, itself included.

    Returns:
        The part; empty where the key or the range is.

    Since: 1.0.0. Cost: O(length of the part). Source: redis.io/commands/substr
    """
    return Command(_SUBSTR, (b"SUBSTR", key, start, end))
