"""Commands of the group "list": items in an order, with two ends to push to and to pop from.

A blocking command says how long it may wait in its own words; the read deadline is derived from there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, overload

from carmine.commands import decoders
from carmine.commands.arguments import block_time, some_keys
from carmine.commands.command import Command, Text
from carmine.commands.specs import spec
from carmine.types import Popped, PoppedItems

if TYPE_CHECKING:
    from collections.abc import Iterable

    from carmine.types import Arg, Key, Seconds, Side, Value


def _popped(reply: Any) -> Popped[Any] | None:
    return None if reply is None else Popped(*reply)


def _popped_items(reply: Any) -> PoppedItems[Any] | None:
    return None if reply is None else PoppedItems(*reply)


_BLMOVE = spec("BLMOVE")
_BLMPOP = spec("BLMPOP", _popped_items)
_BLPOP = spec("BLPOP", _popped)
_BRPOP = spec("BRPOP", _popped)
_BRPOPLPUSH = spec("BRPOPLPUSH")
_LINDEX = spec("LINDEX")
_LINSERT = spec("LINSERT")
_LLEN = spec("LLEN")
_LMOVE = spec("LMOVE")
_LMPOP = spec("LMPOP", _popped_items)
_LPOP = spec("LPOP")
_LPOS = spec("LPOS")
_LPUSH = spec("LPUSH")
_LPUSHX = spec("LPUSHX")
_LRANGE = spec("LRANGE")
_LREM = spec("LREM")
_LSET = spec("LSET", decoders.ok)
_LTRIM = spec("LTRIM", decoders.ok)
_RPOP = spec("RPOP")
_RPOPLPUSH = spec("RPOPLPUSH")
_RPUSH = spec("RPUSH")
_RPUSHX = spec("RPUSHX")


def blmove(
    source: Key, destination: Key, timeout: Seconds = 0, src: Side = "LEFT", dest: Side = "RIGHT"
) -> Command[Text | None]:
    """BLMOVE: take an item from one list, put it into another, and wait for one to come if there is none.

    Args:
        source: The list to take from.
        destination: The list to put into; it may be the same one.
        timeout: How long to wait at most; 0 waits for ever.
        src: The end of `source` to take from.
        dest: The end of `destination` to put to.

    Returns:
        The item, or None when the time was up.

    Since: 6.2. Cost: O(1). Source: redis.io/commands/blmove
    """
    return Command(_BLMOVE, (b"BLMOVE", source, destination, src, dest, block_time(timeout)))


def blmpop(
    keys: Key | Iterable[Key], direction: Side, timeout: Seconds = 0, count: int | None = None
) -> Command[PoppedItems[Text] | None]:
    """BLMPOP: pop items from the first of several lists that has any, and wait for some to come.

    Args:
        keys: The lists, looked at in this order.
        direction: The end to pop from.
        timeout: How long to wait at most; 0 waits for ever.
        count: How many items to pop at most, all from one list; one by default.

    Returns:
        The list's key and the items in the order of popping, or None when the time was up.

    Since: 7.0. Cost: O(keys + items). Source: redis.io/commands/blmpop
    """
    names = some_keys("BLMPOP", keys)
    words = (b"BLMPOP", block_time(timeout), len(names), *names, direction)
    return Command(_BLMPOP, words if count is None else (*words, b"COUNT", count))


def blpop(keys: Key | Iterable[Key], timeout: Seconds = 0) -> Command[Popped[Text] | None]:
    """BLPOP: pop the first item of the first of several lists that has any, and wait for one to come.

    Args:
        keys: The lists, looked at in this order.
        timeout: How long to wait at most; 0 waits for ever.

    Returns:
        `(key, value)`, or None when the time was up.

    Since: 2.0; fractions of a second from 6.0. Cost: O(keys). Source: redis.io/commands/blpop
    """
    return Command(_BLPOP, (b"BLPOP", *some_keys("BLPOP", keys), block_time(timeout)))


def brpop(keys: Key | Iterable[Key], timeout: Seconds = 0) -> Command[Popped[Text] | None]:
    """BRPOP: pop the last item of the first of several lists that has any, and wait for one to come.

    Args:
        keys: The lists, looked at in this order.
        timeout: How long to wait at most; 0 waits for ever.

    Returns:
        `(key, value)`, or None when the time was up.

    Since: 2.0; fractions of a second from 6.0. Cost: O(keys). Source: redis.io/commands/brpop
    """
    return Command(_BRPOP, (b"BRPOP", *some_keys("BRPOP", keys), block_time(timeout)))


def brpoplpush(source: Key, destination: Key, timeout: Seconds = 0) -> Command[Text | None]:
    """BRPOPLPUSH: move the last item of one list to the head of another, and wait for one to come.

    Redis calls it deprecated: `blmove(source, destination, timeout, "RIGHT", "LEFT")` does the same.

    Args:
        source: The list to take from.
        destination: The list to put into.
        timeout: How long to wait at most; 0 waits for ever.

    Returns:
        The item, or None when the time was up.

    Since: 2.2. Cost: O(1). Source: redis.io/commands/brpoplpush
    """
    return Command(_BRPOPLPUSH, (b"BRPOPLPUSH", source, destination, block_time(timeout)))


def lindex(key: Key, index: int) -> Command[Text | None]:
    """LINDEX: get the item at a position; negative ones count from the end.

    Returns:
        The item, or None when the list is shorter.

    Since: 1.0. Cost: O(distance from the nearer end). Source: redis.io/commands/lindex
    """
    return Command(_LINDEX, (b"LINDEX", key, index))


def linsert(key: Key, where: Literal["BEFORE", "AFTER"], pivot: Value, value: Value) -> Command[int]:
    """LINSERT: put an item before or after the first one that equals `pivot`.

    Returns:
        The new length; -1 when there is no such item, 0 when there is no list.

    Since: 2.2. Cost: O(distance of the pivot from the head). Source: redis.io/commands/linsert
    """
    return Command(_LINSERT, (b"LINSERT", key, where, pivot, value))


def llen(key: Key) -> Command[int]:
    """LLEN: count the items; 0 when there is no list.

    Since: 1.0. Cost: O(1). Source: redis.io/commands/llen
    """
    return Command(_LLEN, (b"LLEN", key))


def lmove(source: Key, destination: Key, src: Side = "LEFT", dest: Side = "RIGHT") -> Command[Text | None]:
    """LMOVE: take an item from one list and put it into another.

    Args:
        source: The list to take from.
        destination: The list to put into; it may be the same one.
        src: The end of `source` to take from.
        dest: The end of `destination` to put to.

    Returns:
        The item, or None when `source` was empty.

    Since: 6.2. Cost: O(1). Source: redis.io/commands/lmove
    """
    return Command(_LMOVE, (b"LMOVE", source, destination, src, dest))


def lmpop(keys: Key | Iterable[Key], direction: Side, count: int | None = None) -> Command[PoppedItems[Text] | None]:
    """LMPOP: pop items from the first of several lists that has any.

    Args:
        keys: The lists, looked at in this order.
        direction: The end to pop from.
        count: How many items to pop at most, all from one list; one by default.

    Returns:
        The list's key and the items in the order of popping, or None when all lists were empty.

    Since: 7.0. Cost: O(keys + items). Source: redis.io/commands/lmpop
    """
    names = some_keys("LMPOP", keys)
    words = (b"LMPOP", len(names), *names, direction)
    return Command(_LMPOP, words if count is None else (*words, b"COUNT", count))


@overload
def lpop(key: Key, count: None = None) -> Command[Text | None]: ...
@overload
def lpop(key: Key, count: int) -> Command[list[Text] | None]: ...
def lpop(key: Key, count: int | None = None) -> Command[Any]:
    """LPOP: pop from the head of a list.

    Args:
        key: The list.
        count: How many items to pop at most; without it one, given bare.

    Returns:
        The item, or with `count` the items in the order of popping; None when there is no list.

    Since: 1.0; `count` from 6.2. Cost: O(items). Source: redis.io/commands/lpop
    """
    return Command(_LPOP, (b"LPOP", key) if count is None else (b"LPOP", key, count))


@overload
def lpos(
    key: Key, value: Value, rank: int | None = None, count: None = None, maxlen: int | None = None
) -> Command[int | None]: ...
@overload
def lpos(
    key: Key, value: Value, rank: int | None = None, *, count: int, maxlen: int | None = None
) -> Command[list[int]]: ...
@overload
def lpos(key: Key, value: Value, rank: int | None, count: int, maxlen: int | None = None) -> Command[list[int]]: ...
@overload
def lpos(
    key: Key, value: Value, rank: int | None = None, count: int | None = None, maxlen: int | None = None
) -> Command[int | list[int] | None]: ...
def lpos(
    key: Key, value: Value, rank: int | None = None, count: int | None = None, maxlen: int | None = None
) -> Command[Any]:
    """LPOS: find the positions of an item.

    Args:
        key: The list.
        value: The item to look for.
        rank: Which match is the first to count: 1 the first, -1 the last, searched from the end.
        count: How many positions to give at most, 0 for all; without it one, given bare.
        maxlen: How many items to compare at most; 0 for all.

    Returns:
        The position, None when there is none; with `count` the list of positions, empty when there is none.

    Since: 6.0.6. Cost: O(length). Source: redis.io/commands/lpos
    """
    words: list[Arg] = [b"LPOS", key, value]
    if rank is not None:
        words += (b"RANK", rank)
    if count is not None:
        words += (b"COUNT", count)
    if maxlen is not None:
        words += (b"MAXLEN", maxlen)
    return Command(_LPOS, tuple(words))


def lpush(key: Key, *values: Value) -> Command[int]:
    """LPUSH: put items at the head, one after the other, so that the last one given ends up first.

    Returns:
        The new length.

    Since: 1.0. Cost: O(values). Source: redis.io/commands/lpush
    """
    return Command(_LPUSH, (b"LPUSH", key, *values))


def lpushx(key: Key, *values: Value) -> Command[int]:
    """LPUSHX: put items at the head, only if the list exists.

    Returns:
        The new length; 0 when there is no list.

    Since: 2.2. Cost: O(values). Source: redis.io/commands/lpushx
    """
    return Command(_LPUSHX, (b"LPUSHX", key, *values))


def lrange(key: Key, start: int, end: int) -> Command[list[Text]]:
    """LRANGE: get the items from `start` to `end`, both included; negative positions count from the end.

    Since: 1.0. Cost: O(start + items). Source: redis.io/commands/lrange
    """
    return Command(_LRANGE, (b"LRANGE", key, start, end))


def lrem(key: Key, count: int, value: Value) -> Command[int]:
    """LREM: remove items that equal `value`.

    Args:
        key: The list.
        count: How many to remove at most: from the head when positive, from the tail when negative, all when 0.
        value: The item.

    Returns:
        How many were removed.

    Since: 1.0. Cost: O(length). Source: redis.io/commands/lrem
    """
    return Command(_LREM, (b"LREM", key, count, value))


def lset(key: Key, index: int, value: Value) -> Command[bool]:
    """LSET: replace the item at a position; negative ones count from the end.

    Raises:
        ServerError: There is no list, or it is shorter.

    Since: 1.0. Cost: O(distance from the nearer end). Source: redis.io/commands/lset
    """
    return Command(_LSET, (b"LSET", key, index, value))


def ltrim(key: Key, start: int, end: int) -> Command[bool]:
    """LTRIM: keep the items from `start` to `end`, both included, and drop the others.

    Since: 1.0. Cost: O(dropped items). Source: redis.io/commands/ltrim
    """
    return Command(_LTRIM, (b"LTRIM", key, start, end))


@overload
def rpop(key: Key, count: None = None) -> Command[Text | None]: ...
@overload
def rpop(key: Key, count: int) -> Command[list[Text] | None]: ...
def rpop(key: Key, count: int | None = None) -> Command[Any]:
    """RPOP: pop from the tail of a list.

    Args:
        key: The list.
        count: How many items to pop at most; without it one, given bare.

    Returns:
        The item, or with `count` the items in the order of popping; None when there is no list.

    Since: 1.0; `count` from 6.2. Cost: O(items). Source: redis.io/commands/rpop
    """
    return Command(_RPOP, (b"RPOP", key) if count is None else (b"RPOP", key, count))


def rpoplpush(source: Key, destination: Key) -> Command[Text | None]:
    """RPOPLPUSH: move the last item of one list to the head of another.

    Redis calls it deprecated: `lmove(source, destination, "RIGHT", "LEFT")` does the same.

    Returns:
        The item, or None when `source` was empty.

    Since: 1.2. Cost: O(1). Source: redis.io/commands/rpoplpush
    """
    return Command(_RPOPLPUSH, (b"RPOPLPUSH", source, destination))


def rpush(key: Key, *values: Value) -> Command[int]:
    """RPUSH: put items at the tail, in the order given.

    Returns:
        The new length.

    Since: 1.0. Cost: O(values). Source: redis.io/commands/rpush
    """
    return Command(_RPUSH, (b"RPUSH", key, *values))


def rpushx(key: Key, *values: Value) -> Command[int]:
    """RPUSHX: put items at the tail, only if the list exists.

    Returns:
        The new length; 0 when there is no list.

    Since: 2.2. Cost: O(values). Source: redis.io/commands/rpushx
    """
    return Command(_RPUSHX, (b"RPUSHX", key, *values))
