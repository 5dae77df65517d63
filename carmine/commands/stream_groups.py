"""Commands of the group "stream" on consumer groups: making them, reading as one of their consumers, what is pending.

The stream itself is in `streams.py`. Durations are seconds here, as everywhere; they go out as milliseconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypedDict, Unpack, overload

from carmine.commands import decoders, stream_replies
from carmine.commands.arguments import some_args
from carmine.commands.command import Command, Text
from carmine.commands.specs import spec
from carmine.commands.stream_words import named_once
from carmine.commands.words import instant, seconds, wait_ms
from carmine.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from carmine.stream_types import (
        ClaimPage,
        PendingEntry,
        PendingSummary,
        StreamConsumer,
        StreamEntry,
        StreamGroup,
    )
    from carmine.types import Arg, Instant, Items, Key, Seconds


class ClaimOptions(TypedDict, total=False):
    """What every form of `xclaim` takes; its definition says what each is for."""

    idle: Seconds | None
    time: Instant | None
    retrycount: int | None
    force: bool
    lastid: Arg | None


_XACK = spec("XACK")
_XACKDEL = spec("XACKDEL")
_XAUTOCLAIM = spec("XAUTOCLAIM", stream_replies.claimed_entries)
_XAUTOCLAIM_IDS = spec("XAUTOCLAIM", stream_replies.claimed_ids)
_XCLAIM = spec("XCLAIM", stream_replies.entries)
_XCLAIM_IDS = spec("XCLAIM")
_XGROUP_CREATE = spec("XGROUP CREATE", decoders.ok)
_XGROUP_CREATECONSUMER = spec("XGROUP CREATECONSUMER", decoders.flag)
_XGROUP_DELCONSUMER = spec("XGROUP DELCONSUMER")
_XGROUP_DESTROY = spec("XGROUP DESTROY", decoders.flag)
_XGROUP_HELP = spec("XGROUP HELP", text=True)
_XGROUP_SETID = spec("XGROUP SETID", decoders.ok)
_XINFO_CONSUMERS = spec("XINFO CONSUMERS", stream_replies.consumers)
_XINFO_GROUPS = spec("XINFO GROUPS", stream_replies.groups)
_XPENDING = spec("XPENDING", stream_replies.pending_summary)
_XPENDING_RANGE = spec("XPENDING", stream_replies.pending_entries)
_XREADGROUP = spec("XREADGROUP", stream_replies.read, waits=False)
_XREADGROUP_BLOCK = spec("XREADGROUP", stream_replies.read)


def _ms(fit: tuple[bool, int]) -> int:
    """Return what `words.seconds` and `words.instant` give as milliseconds."""
    whole, number = fit
    return number * 1000 if whole else number


def xack(key: Key, groupname: Arg, *ids: Arg) -> Command[int]:
    """XACK: acknowledge entries, so that the group has them pending no more.

    Args:
        key: The stream.
        groupname: The group.
        *ids: The entries.

    Returns:
        How many were pending.

    Since: 5.0.0. Cost: O(ids). Source: redis.io/commands/xack
    """
    return Command(_XACK, (b"XACK", key, groupname, *ids))


def xackdel(
    key: Key, groupname: Arg, *ids: Arg, ref_policy: Literal["KEEPREF", "DELREF", "ACKED"] | None = None
) -> Command[list[int]]:
    """XACKDEL: acknowledge entries and delete them.

    Args:
        key: The stream.
        groupname: The group.
        *ids: The entries.
        ref_policy: What other groups have pending of them is kept (as without it) or dropped; ACKED deletes what
            all groups have acknowledged.

    Returns:
        For each id 1 deleted, -1 not there, 2 acknowledged but not deleted since another group still needs it.

    Since: 8.2.0, not on Valkey. Cost: O(ids). Source: redis.io/commands/xackdel
    """
    policy = () if ref_policy is None else (ref_policy,)
    return Command(_XACKDEL, (b"XACKDEL", key, groupname, *policy, b"IDS", len(ids), *ids))


@overload
def xautoclaim(
    key: Key,
    groupname: Arg,
    consumername: Arg,
    min_idle: Seconds,
    start_id: Arg = "0-0",
    count: int | None = None,
    justid: Literal[False] = False,
) -> Command[ClaimPage[Text, list[StreamEntry[Text]]]]: ...
@overload
def xautoclaim(
    key: Key,
    groupname: Arg,
    consumername: Arg,
    min_idle: Seconds,
    start_id: Arg = "0-0",
    count: int | None = None,
    *,
    justid: Literal[True],
) -> Command[ClaimPage[Text, list[Text]]]: ...
@overload
def xautoclaim(
    key: Key,
    groupname: Arg,
    consumername: Arg,
    min_idle: Seconds,
    start_id: Arg = "0-0",
    count: int | None = None,
    justid: bool = False,
) -> Command[ClaimPage[Text, list[StreamEntry[Text]]] | ClaimPage[Text, list[Text]]]: ...
def xautoclaim(
    key: Key,
    groupname: Arg,
    consumername: Arg,
    min_idle: Seconds,
    start_id: Arg = "0-0",
    count: int | None = None,
    justid: bool = False,
) -> Command[Any]:
    """XAUTOCLAIM: take over entries that other consumers have had pending for long.

    Args:
        key: The stream.
        groupname: The group.
        consumername: Who takes them; made where it is missing.
        min_idle: Only entries delivered at least so many seconds ago.
        start_id: Where to begin; go on with the cursor of the reply.
        count: How many entries at most; 100 when not given.
        justid: Give ids alone, and do not count this as a delivery.

    Returns:
        ClaimPage: the cursor to go on with ("0-0" at the end), the entries or ids, and ids of entries that were
        deleted from the stream and therefore dropped (from 7.0; 6.2 keeps them pending).

    Since: 6.2.0. Cost: O(1) for a small count. Source: redis.io/commands/xautoclaim
    """
    words: list[Arg] = [b"XAUTOCLAIM", key, groupname, consumername, _ms(seconds("min_idle", min_idle)), start_id]
    if count is not None:
        words += (b"COUNT", count)
    if justid:
        return Command(_XAUTOCLAIM_IDS, (*words, b"JUSTID"))
    return Command(_XAUTOCLAIM, tuple(words))


@overload
def xclaim(
    key: Key,
    groupname: Arg,
    consumername: Arg,
    min_idle: Seconds,
    ids: Arg | Iterable[Arg],
    *,
    justid: Literal[False] = False,
    **options: Unpack[ClaimOptions],
) -> Command[list[StreamEntry[Text]]]: ...
@overload
def xclaim(
    key: Key,
    groupname: Arg,
    consumername: Arg,
    min_idle: Seconds,
    ids: Arg | Iterable[Arg],
    *,
    justid: Literal[True],
    **options: Unpack[ClaimOptions],
) -> Command[list[Text]]: ...
@overload
def xclaim(
    key: Key,
    groupname: Arg,
    consumername: Arg,
    min_idle: Seconds,
    ids: Arg | Iterable[Arg],
    *,
    justid: bool = False,
    **options: Unpack[ClaimOptions],
) -> Command[list[StreamEntry[Text]] | list[Text]]: ...
def xclaim(
    key: Key,
    groupname: Arg,
    consumername: Arg,
    min_idle: Seconds,
    ids: Arg | Iterable[Arg],
    *,
    idle: Seconds | None = None,
    time: Instant | None = None,
    retrycount: int | None = None,
    force: bool = False,
    justid: bool = False,
    lastid: Arg | None = None,
) -> Command[Any]:
    """XCLAIM: take over entries that another consumer has pending.

    Args:
        key: The stream.
        groupname: The group.
        consumername: Who takes them; made where it is missing.
        min_idle: Only entries delivered at least so many seconds ago.
        ids: The entries.
        idle: Count their time from so many seconds ago instead of now.
        time: Or from this point in time.
        retrycount: Set how often they were delivered.
        force: Take entries too that nobody has pending.
        justid: Give ids alone, and do not count this as a delivery.
        lastid: Set the group's last delivered id, if this one is higher.

    Returns:
        The entries, or their ids; those that were deleted from the stream are left out.

    Raises:
        UsageError: Both `idle` and `time`, or no id.

    Since: 5.0.0. Cost: O(ids). Source: redis.io/commands/xclaim
    """
    if idle is not None and time is not None:
        raise UsageError("XCLAIM takes only one of idle, time")
    numbers = some_args("XCLAIM", ids)
    if not numbers:
        raise UsageError("XCLAIM needs at least one id")
    words: list[Arg] = [b"XCLAIM", key, groupname, consumername, _ms(seconds("min_idle", min_idle)), *numbers]
    if idle is not None:
        words += (b"IDLE", _ms(seconds("idle", idle)))
    if time is not None:
        words += (b"TIME", _ms(instant("time", time)))
    if retrycount is not None:
        words += (b"RETRYCOUNT", retrycount)
    if force:
        words.append(b"FORCE")
    if lastid is not None:
        words += (b"LASTID", lastid)
    if justid:
        return Command(_XCLAIM_IDS, (*words, b"JUSTID"))
    return Command(_XCLAIM, tuple(words))


def xgroup_create(
    key: Key, groupname: Arg, id: Arg = "$", mkstream: bool = False, entries_read: int | None = None
) -> Command[bool]:
    """XGROUP CREATE: make a consumer group.

    Args:
        key: The stream.
        groupname: The group.
        id: The last id that counts as delivered: "$" is the last of the stream, "0" delivers all.
        mkstream: Make a missing stream.
        entries_read: How many entries count as read, for the lag (from 7.0).

    Returns:
        True.

    Raises:
        BusyGroupError: There is a group of this name.

    Since: 5.0.0. Cost: O(1). Source: redis.io/commands/xgroup-create
    """
    words: list[Arg] = [b"XGROUP", b"CREATE", key, groupname, id]
    if mkstream:
        words.append(b"MKSTREAM")
    if entries_read is not None:
        words += (b"ENTRIESREAD", entries_read)
    return Command(_XGROUP_CREATE, tuple(words))


def xgroup_createconsumer(key: Key, groupname: Arg, consumername: Arg) -> Command[bool]:
    """XGROUP CREATECONSUMER: make a consumer; False where there was one of this name.

    Since: 6.2.0. Cost: O(1). Source: redis.io/commands/xgroup-createconsumer
    """
    return Command(_XGROUP_CREATECONSUMER, (b"XGROUP", b"CREATECONSUMER", key, groupname, consumername))


def xgroup_delconsumer(key: Key, groupname: Arg, consumername: Arg) -> Command[int]:
    """XGROUP DELCONSUMER: remove a consumer; what it had pending can be claimed no more.

    Returns:
        How many entries it had pending.

    Since: 5.0.0. Cost: O(1). Source: redis.io/commands/xgroup-delconsumer
    """
    return Command(_XGROUP_DELCONSUMER, (b"XGROUP", b"DELCONSUMER", key, groupname, consumername))


def xgroup_destroy(key: Key, groupname: Arg) -> Command[bool]:
    """XGROUP DESTROY: remove a group with all that it has pending; False where there was none.

    Since: 5.0.0. Cost: O(entries pending). Source: redis.io/commands/xgroup-destroy
    """
    return Command(_XGROUP_DESTROY, (b"XGROUP", b"DESTROY", key, groupname))


def xgroup_help() -> Command[list[str]]:
    """XGROUP HELP: read the server's help on XGROUP, line by line.

    Since: 5.0.0. Cost: O(1). Source: redis.io/commands/xgroup-help
    """
    return Command(_XGROUP_HELP, (b"XGROUP", b"HELP"))


def xgroup_setid(key: Key, groupname: Arg, id: Arg, entries_read: int | None = None) -> Command[bool]:
    """XGROUP SETID: set the last id that counts as delivered to a group.

    Args:
        key: The stream.
        groupname: The group.
        id: The id: "$" is the last of the stream, "0" delivers all again.
        entries_read: How many entries count as read, for the lag (from 7.0).

    Returns:
        True.

    Since: 5.0.0. Cost: O(1). Source: redis.io/commands/xgroup-setid
    """
    if entries_read is None:
        return Command(_XGROUP_SETID, (b"XGROUP", b"SETID", key, groupname, id))
    return Command(_XGROUP_SETID, (b"XGROUP", b"SETID", key, groupname, id, b"ENTRIESREAD", entries_read))


def xinfo_consumers(key: Key, groupname: Arg) -> Command[list[StreamConsumer[Text]]]:
    """XINFO CONSUMERS: read what the server knows of a group's consumers.

    Wire: Maps on RESP3, flat lists on RESP2.

    Since: 5.0.0. Cost: O(1). Source: redis.io/commands/xinfo-consumers
    """
    return Command(_XINFO_CONSUMERS, (b"XINFO", b"CONSUMERS", key, groupname))


def xinfo_groups(key: Key) -> Command[list[StreamGroup[Text]]]:
    """XINFO GROUPS: read what the server knows of a stream's groups.

    Wire: Maps on RESP3, flat lists on RESP2.

    Since: 5.0.0. Cost: O(1). Source: redis.io/commands/xinfo-groups
    """
    return Command(_XINFO_GROUPS, (b"XINFO", b"GROUPS", key))


@overload
def xpending(key: Key, groupname: Arg) -> Command[PendingSummary[Text]]: ...
@overload
def xpending(
    key: Key,
    groupname: Arg,
    min: Arg = "-",
    max: Arg = "+",
    *,
    count: int,
    consumername: Arg | None = None,
    min_idle: Seconds | None = None,
) -> Command[list[PendingEntry[Text]]]: ...
@overload
def xpending(
    key: Key,
    groupname: Arg,
    min: Arg = "-",
    max: Arg = "+",
    *,
    count: int | None = None,
    consumername: Arg | None = None,
    min_idle: Seconds | None = None,
) -> Command[PendingSummary[Text] | list[PendingEntry[Text]]]: ...
def xpending(
    key: Key,
    groupname: Arg,
    min: Arg = "-",
    max: Arg = "+",
    *,
    count: int | None = None,
    consumername: Arg | None = None,
    min_idle: Seconds | None = None,
) -> Command[Any]:
    """XPENDING: read what a group has pending: a summary, or with `count` the entries.

    Args:
        key: The stream.
        groupname: The group.
        min: The lowest id; "(1-0" begins behind it (from 6.2).
        max: The highest id.
        count: How many entries at most.
        consumername: Only what this consumer has pending.
        min_idle: Only entries delivered at least so many seconds ago (from 6.2).

    Returns:
        PendingSummary, or a list of PendingEntry.

    Raises:
        UsageError: Another condition without `count`.

    Since: 5.0.0. Cost: O(entries read), and O(entries passed over by `min_idle`).
    Source: redis.io/commands/xpending
    """
    if count is None:
        if min != "-" or max != "+" or consumername is not None or min_idle is not None:
            raise UsageError("XPENDING takes min, max, consumername and min_idle only with count")
        return Command(_XPENDING, (b"XPENDING", key, groupname))
    idle: tuple[Arg, ...] = () if min_idle is None else (b"IDLE", _ms(seconds("min_idle", min_idle)))
    whose = () if consumername is None else (consumername,)
    return Command(_XPENDING_RANGE, (b"XPENDING", key, groupname, *idle, min, max, count, *whose))


def xreadgroup(
    groupname: Arg,
    consumername: Arg,
    streams: Items[Key, Arg],
    count: int | None = None,
    block: Seconds | None = None,
    noack: bool = False,
) -> Command[dict[Text, list[StreamEntry[Text]]]]:
    """XREADGROUP: read from streams as a consumer of a group.

    Args:
        groupname: The group, which each stream must have.
        consumername: Who reads; made where it is missing.
        streams: Ids by key: ">" gives what nobody of the group has had, which is pending from then on; an id gives
            what this consumer has pending behind it.
        count: How many of each stream at most.
        block: Wait so many seconds for an entry where there is none; 0 waits for ever.
        noack: Let nothing become pending.

    Returns:
        Entries by key; what is pending but was deleted has no fields.

    Raises:
        UsageError: No stream, one of them twice, or a waiting time that is none.
        ServerError: There is no such stream or group.

    Wire: A map on RESP3, a list of pairs on RESP2, a null for nothing.

    Since: 5.0.0. Cost: O(entries read). Source: redis.io/commands/xreadgroup
    """
    words: list[Arg] = [b"XREADGROUP", b"GROUP", groupname, consumername]
    if count is not None:
        words += (b"COUNT", count)
    if block is not None:
        words += (b"BLOCK", wait_ms("block", block))
    if noack:
        words.append(b"NOACK")
    words += named_once("XREADGROUP", streams)
    return Command(_XREADGROUP if block is None else _XREADGROUP_BLOCK, tuple(words))
