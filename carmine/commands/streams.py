"""Commands of the group "stream" that need no consumer group: adding, reading, trimming, looking at a stream.

What consumer groups do is in `stream_groups.py`. An id is text such as "1700000000000-0"; ids in replies are read as
the client reads strings, so that they go out again as they came in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypedDict, Unpack, overload

from carmine.commands import decoders, stream_replies
from carmine.commands.command import Command, Text
from carmine.commands.specs import spec
from carmine.commands.stream_words import named_once, trimmed
from carmine.commands.words import flattened, wait_ms
from carmine.errors import UsageError

if TYPE_CHECKING:
    from carmine.stream_types import StreamEntry
    from carmine.types import Arg, Items, Key, Seconds, Value


class AddOptions(TypedDict, total=False):
    """What every form of `xadd` takes; its definition says what each is for."""

    maxlen: int | None
    minid: Arg | None
    approximate: bool
    limit: int | None
    ref_policy: Literal["KEEPREF", "DELREF", "ACKED"] | None


_XADD = spec("XADD")
_XDEL = spec("XDEL")
_XDELEX = spec("XDELEX")
_XINFO_HELP = spec("XINFO HELP", text=True)
_XINFO_STREAM = spec("XINFO STREAM", stream_replies.stream_info)
_XLEN = spec("XLEN")
_XRANGE = spec("XRANGE", stream_replies.entries)
_XREAD = spec("XREAD", stream_replies.read, waits=False)
_XREAD_BLOCK = spec("XREAD", stream_replies.read)
_XREVRANGE = spec("XREVRANGE", stream_replies.entries)
_XSETID = spec("XSETID", decoders.ok)
_XTRIM = spec("XTRIM")


@overload
def xadd(
    key: Key,
    fields: Items[Value, Value],
    id: Arg = "*",
    *,
    nomkstream: Literal[False] = False,
    **options: Unpack[AddOptions],
) -> Command[Text]: ...
@overload
def xadd(
    key: Key,
    fields: Items[Value, Value],
    id: Arg = "*",
    *,
    nomkstream: bool,
    **options: Unpack[AddOptions],
) -> Command[Text | None]: ...
def xadd(
    key: Key,
    fields: Items[Value, Value],
    id: Arg = "*",
    *,
    nomkstream: bool = False,
    maxlen: int | None = None,
    minid: Arg | None = None,
    approximate: bool = True,
    limit: int | None = None,
    ref_policy: Literal["KEEPREF", "DELREF", "ACKED"] | None = None,
) -> Command[Any]:
    """XADD: add an entry at the end of a stream.

    Args:
        key: The stream; made where it is missing.
        fields: Values by name.
        id: Its id, above all others; `*` lets the server make one, `5-*` the second half of one (from 7.0).
        nomkstream: Do not make a missing stream.
        maxlen: Trim the stream to so many entries afterwards.
        minid: Trim entries with lower ids.
        approximate: Leave a little more, which is far cheaper than trimming exactly.
        limit: Trim so many entries at most; needs `approximate`.
        ref_policy: What trimming does to pending entries of groups: keep them, drop them, or spare what not all
            groups have acknowledged (from Redis 8.2).

    Returns:
        The id; with `nomkstream` None where there is no stream.

    Raises:
        UsageError: No field, or options that exclude each other.

    Since: 5.0.0 (`nomkstream`, `minid`, `limit` 6.2.0). Cost: O(1), and O(entries trimmed).
    Source: redis.io/commands/xadd
    """
    words: list[Arg] = [b"XADD", key]
    if nomkstream:
        words.append(b"NOMKSTREAM")
    if ref_policy is not None:
        words.append(ref_policy)
    words += trimmed("XADD", maxlen, minid, approximate, limit)
    return Command(_XADD, (*words, id, *flattened("XADD", fields)))


def xdel(key: Key, *ids: Arg) -> Command[int]:
    """XDEL: delete entries; what groups have pending of them stays.

    Args:
        key: The stream.
        *ids: Their ids.

    Returns:
        How many there were.

    Since: 5.0.0. Cost: O(ids). Source: redis.io/commands/xdel
    """
    return Command(_XDEL, (b"XDEL", key, *ids))


def xdelex(key: Key, *ids: Arg, ref_policy: Literal["KEEPREF", "DELREF", "ACKED"] | None = None) -> Command[list[int]]:
    """XDELEX: delete entries, and say what becomes of them in groups.

    Args:
        key: The stream.
        *ids: Their ids.
        ref_policy: Pending entries of groups are kept (as without it) or dropped; ACKED deletes what all groups
            have acknowledged.

    Returns:
        For each id 1 deleted, -1 not there, 2 not deleted since a group still needs it.

    Since: 8.2.0, not on Valkey. Cost: O(ids). Source: redis.io/commands/xdelex
    """
    policy = () if ref_policy is None else (ref_policy,)
    return Command(_XDELEX, (b"XDELEX", key, *policy, b"IDS", len(ids), *ids))


def xinfo_help() -> Command[list[str]]:
    """XINFO HELP: read the server's help on XINFO, line by line.

    Since: 5.0.0. Cost: O(1). Source: redis.io/commands/xinfo-help
    """
    return Command(_XINFO_HELP, (b"XINFO", b"HELP"))


def xinfo_stream(key: Key, full: bool = False, count: int | None = None) -> Command[dict[str, Any]]:
    """XINFO STREAM: read what the server knows of a stream.

    Args:
        key: The stream.
        full: Tell of entries, groups and consumers too.
        count: With `full`: how many entries and pending entries of each; 0 is all, 10 when not given.

    Returns:
        Values by the server's names, such as "length" and "last-generated-id"; entries as StreamEntry; with `full`
        groups and consumers as dicts, and what they have pending as tuples whose times are milliseconds.

    Raises:
        UsageError: A count without `full`.
        ServerError: There is no such stream.

    Wire: Maps on RESP3, flat lists on RESP2.

    Since: 5.0.0 (`full` 6.0.0). Cost: O(1), with `full` O(entries told). Source: redis.io/commands/xinfo-stream
    """
    if not full:
        if count is not None:
            raise UsageError("XINFO STREAM takes count only with full=True")
        return Command(_XINFO_STREAM, (b"XINFO", b"STREAM", key))
    if count is None:
        return Command(_XINFO_STREAM, (b"XINFO", b"STREAM", key, b"FULL"))
    return Command(_XINFO_STREAM, (b"XINFO", b"STREAM", key, b"FULL", b"COUNT", count))


def xlen(key: Key) -> Command[int]:
    """XLEN: count the entries; 0 where there is no stream.

    Since: 5.0.0. Cost: O(1). Source: redis.io/commands/xlen
    """
    return Command(_XLEN, (b"XLEN", key))


def xrange(key: Key, min: Arg = "-", max: Arg = "+", count: int | None = None) -> Command[list[StreamEntry[Text]]]:
    """XRANGE: read entries from one id to another, the lowest first.

    Args:
        key: The stream.
        min: The lowest id; "-" is the first, "(1-0" begins behind it (from 6.2).
        max: The highest id; "+" is the last.
        count: How many at most.

    Since: 5.0.0. Cost: O(entries read), with few of them O(1). Source: redis.io/commands/xrange
    """
    if count is None:
        return Command(_XRANGE, (b"XRANGE", key, min, max))
    return Command(_XRANGE, (b"XRANGE", key, min, max, b"COUNT", count))


def xread(
    streams: Items[Key, Arg], count: int | None = None, block: Seconds | None = None
) -> Command[dict[Text, list[StreamEntry[Text]]]]:
    """XREAD: read what stands in streams behind the ids given.

    Args:
        streams: Ids by key; "$" is the last id of now, and makes sense only with `block`.
        count: How many of each stream at most.
        block: Wait so many seconds for an entry where there is none; 0 waits for ever.

    Returns:
        Entries by key, of streams that had some; an empty dict where none had.

    Raises:
        UsageError: No stream, one of them twice, or a waiting time that is none.

    Wire: A map on RESP3, a list of pairs on RESP2, a null for nothing.

    Since: 5.0.0. Cost: O(entries read). Source: redis.io/commands/xread
    """
    words: list[Arg] = [b"XREAD"]
    if count is not None:
        words += (b"COUNT", count)
    if block is not None:
        words += (b"BLOCK", wait_ms("block", block))
    return Command(_XREAD if block is None else _XREAD_BLOCK, (*words, *named_once("XREAD", streams)))


def xrevrange(key: Key, max: Arg = "+", min: Arg = "-", count: int | None = None) -> Command[list[StreamEntry[Text]]]:
    """XREVRANGE: read entries from one id to another, the highest first.

    Args:
        key: The stream.
        max: The highest id; "+" is the last, "(1-0" begins before it (from 6.2).
        min: The lowest id; "-" is the first.
        count: How many at most.

    Since: 5.0.0. Cost: O(entries read), with few of them O(1). Source: redis.io/commands/xrevrange
    """
    if count is None:
        return Command(_XREVRANGE, (b"XREVRANGE", key, max, min))
    return Command(_XREVRANGE, (b"XREVRANGE", key, max, min, b"COUNT", count))


def xsetid(
    key: Key, last_id: Arg, *, entries_added: int | None = None, max_deleted_id: Arg | None = None
) -> Command[bool]:
    """XSETID: set the last id of a stream; for those who copy streams.

    Args:
        key: The stream, which must be there.
        last_id: Its last id.
        entries_added: How many entries it ever had (from 7.0).
        max_deleted_id: The highest id that was deleted (from 7.0).

    Returns:
        True.

    Since: 5.0.0. Cost: O(1). Source: redis.io/commands/xsetid
    """
    words: list[Arg] = [b"XSETID", key, last_id]
    if entries_added is not None:
        words += (b"ENTRIESADDED", entries_added)
    if max_deleted_id is not None:
        words += (b"MAXDELETEDID", max_deleted_id)
    return Command(_XSETID, tuple(words))


def xtrim(
    key: Key,
    maxlen: int | None = None,
    *,
    minid: Arg | None = None,
    approximate: bool = True,
    limit: int | None = None,
    ref_policy: Literal["KEEPREF", "DELREF", "ACKED"] | None = None,
) -> Command[int]:
    """XTRIM: delete the oldest entries.

    Args:
        key: The stream.
        maxlen: How many entries may stay.
        minid: Or the lowest id that may stay.
        approximate: Leave a little more, which is far cheaper than trimming exactly.
        limit: Delete so many entries at most; needs `approximate`.
        ref_policy: What it does to pending entries of groups, as of `xadd` (from Redis 8.2).

    Returns:
        How many were deleted.

    Raises:
        UsageError: Not exactly one of `maxlen` and `minid`, or a limit without `approximate`.

    Since: 5.0.0 (`minid`, `limit` 6.2.0). Cost: O(entries deleted). Source: redis.io/commands/xtrim
    """
    words = (b"XTRIM", key, *trimmed("XTRIM", maxlen, minid, approximate, limit, needed=True))
    return Command(_XTRIM, words if ref_policy is None else (*words, ref_policy))
