"""Commands of the group "hash": a key that holds values by field, each field with a time to live of its own.

A command on fields answers one entry for each field, in their order. Fields that expire need Redis 7.4 or Valkey 9.0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, overload

from carmine.commands import decoders
from carmine.commands.command import Command, Text
from carmine.commands.specs import spec
from carmine.commands.words import counted_fields, expiry, flattened, only_one
from carmine.errors import UsageError

if TYPE_CHECKING:
    from carmine.commands.words import InstantMs, Milliseconds
    from carmine.types import Arg, Instant, Items, Key, ScanPage, Seconds, Value

_HDEL = spec("HDEL")
_HEXISTS = spec("HEXISTS", decoders.flag)
_HGET = spec("HGET")
_HGETALL = spec("HGETALL", decoders.mapping)
_HGETDEL = spec("HGETDEL")
_HGETEX = spec("HGETEX")
_HINCRBY = spec("HINCRBY")
_HINCRBYFLOAT = spec("HINCRBYFLOAT", decoders.double)
_HKEYS = spec("HKEYS")
_HLEN = spec("HLEN")
_HMGET = spec("HMGET")
_HMSET = spec("HMSET", decoders.ok)
_HRANDFIELD = spec("HRANDFIELD")
_HRANDFIELD_WITHVALUES = spec("HRANDFIELD", decoders.pairs)
_HSCAN = spec("HSCAN", decoders.pair_page)
_HSCAN_NOVALUES = spec("HSCAN", decoders.plain_page)
_HSET = spec("HSET")
_HSETEX = spec("HSETEX", decoders.flag)
_HSETNX = spec("HSETNX", decoders.flag)
_HSTRLEN = spec("HSTRLEN")
_HVALS = spec("HVALS")


def hdel(key: Key, *fields: Value) -> Command[int]:
    """HDEL: delete fields; a hash without fields is no key any more.

    Args:
        key: The key of a hash.
        *fields: The fields.

    Returns:
        How many there were.

    Since: 2.0.0. Cost: O(fields). Source: redis.io/commands/hdel
    """
    return Command(_HDEL, (b"HDEL", key, *fields))


def hexists(key: Key, field: Value) -> Command[bool]:
    """HEXISTS: tell whether a hash has a field.

    Args:
        key: The key of a hash.
        field: The field.

    Since: 2.0.0. Cost: O(1). Source: redis.io/commands/hexists
    """
    return Command(_HEXISTS, (b"HEXISTS", key, field))


def hget(key: Key, field: Value) -> Command[Text | None]:
    """HGET: read the value of a field.

    Args:
        key: The key of a hash.
        field: The field.

    Returns:
        The value; None where there is no such field or key.

    Since: 2.0.0. Cost: O(1). Source: redis.io/commands/hget
    """
    return Command(_HGET, (b"HGET", key, field))


def hgetall(key: Key) -> Command[dict[Text, Text]]:
    """HGETALL: read all fields and values.

    Args:
        key: The key of a hash.

    Returns:
        The values by field; empty where there is no such key.

    Wire: A map on RESP3, a flat list on RESP2.

    Since: 2.0.0. Cost: O(fields). Source: redis.io/commands/hgetall
    """
    return Command(_HGETALL, (b"HGETALL", key))


def hgetdel(key: Key, *fields: Value) -> Command[list[Text | None]]:
    """HGETDEL: read the values of fields and delete the fields.

    Args:
        key: The key of a hash.
        *fields: The fields.

    Returns:
        One value for each field; None where there was no such field.

    Raises:
        UsageError: No field.

    Since: 8.0.0, Valkey 9.1.0. Cost: O(fields). Source: redis.io/commands/hgetdel
    """
    return Command(_HGETDEL, (b"HGETDEL", key, *counted_fields("HGETDEL", fields)))


def hgetex(
    key: Key,
    *fields: Value,
    ex: Seconds | None = None,
    px: Milliseconds | None = None,
    exat: Instant | None = None,
    pxat: InstantMs | None = None,
    persist: bool = False,
) -> Command[list[Text | None]]:
    """HGETEX: read the values of fields and set their time to live.

    Args:
        key: The key of a hash.
        *fields: The fields.
        ex: Time to live; a fraction of a second goes out as PX.
        px: Time to live in milliseconds.
        exat: When the fields shall go; a fraction of a second goes out as PXAT.
        pxat: When the fields shall go, in milliseconds since the epoch.
        persist: Take their time to live away.

    Returns:
        One value for each field; None where there is no such field.

    Raises:
        UsageError: No field, or more than one of the options.

    Since: 8.0.0, Valkey 9.0.0. Cost: O(fields). Source: redis.io/commands/hgetex
    """
    times = expiry("HGETEX", ex, px, exat, pxat, "PERSIST", persist)
    return Command(_HGETEX, (b"HGETEX", key, *times, *counted_fields("HGETEX", fields)))


def hincrby(key: Key, field: Value, amount: int = 1) -> Command[int]:
    """HINCRBY: add to the whole number in a field.

    Args:
        key: The key of a hash; made where it is missing.
        field: The field; a missing one counts as 0.
        amount: What to add.

    Returns:
        The number afterwards.

    Since: 2.0.0. Cost: O(1). Source: redis.io/commands/hincrby
    """
    return Command(_HINCRBY, (b"HINCRBY", key, field, amount))


def hincrbyfloat(key: Key, field: Value, amount: float) -> Command[float]:
    """HINCRBYFLOAT: add to the number in a field.

    Args:
        key: The key of a hash; made where it is missing.
        field: The field; a missing one counts as 0.
        amount: What to add.

    Returns:
        The number afterwards.

    Since: 2.6.0. Cost: O(1). Source: redis.io/commands/hincrbyfloat
    """
    return Command(_HINCRBYFLOAT, (b"HINCRBYFLOAT", key, field, amount))


def hkeys(key: Key) -> Command[list[Text]]:
    """HKEYS: read the names of all fields.

    Args:
        key: The key of a hash.

    Returns:
        The names; empty where there is no such key.

    Since: 2.0.0. Cost: O(fields). Source: redis.io/commands/hkeys
    """
    return Command(_HKEYS, (b"HKEYS", key))


def hlen(key: Key) -> Command[int]:
    """HLEN: count the fields; 0 where there is no such key.

    Args:
        key: The key of a hash.

    Since: 2.0.0. Cost: O(1). Source: redis.io/commands/hlen
    """
    return Command(_HLEN, (b"HLEN", key))


def hmget(key: Key, *fields: Value) -> Command[list[Text | None]]:
    """HMGET: read the values of several fields.

    Args:
        key: The key of a hash.
        *fields: The fields.

    Returns:
        One value for each field, in their order; None where there is no such field.

    Since: 2.0.0. Cost: O(fields). Source: redis.io/commands/hmget
    """
    return Command(_HMGET, (b"HMGET", key, *fields))


def hmset(key: Key, mapping: Items[Value, Value]) -> Command[bool]:
    """HMSET: give several fields their values; `hset(key, mapping=...)` is its successor.

    Args:
        key: The key of a hash; made where it is missing.
        mapping: The values by field.

    Returns:
        True.

    Raises:
        UsageError: The mapping is empty.

    Since: 2.0.0. Cost: O(fields). Source: redis.io/commands/hmset
    """
    return Command(_HMSET, (b"HMSET", key, *flattened("HMSET", mapping)))


@overload
def hrandfield(key: Key, count: None = None) -> Command[Text | None]: ...
@overload
def hrandfield(key: Key, count: int, withvalues: Literal[False] = False) -> Command[list[Text]]: ...
@overload
def hrandfield(key: Key, count: int, withvalues: Literal[True]) -> Command[list[tuple[Text, Text]]]: ...
@overload
def hrandfield(key: Key, count: int, withvalues: bool) -> Command[list[Text] | list[tuple[Text, Text]]]: ...
@overload
def hrandfield(
    key: Key, count: int | None, withvalues: bool = False
) -> Command[Text | list[Text] | list[tuple[Text, Text]] | None]: ...
def hrandfield(key: Key, count: int | None = None, withvalues: bool = False) -> Command[Any]:
    """HRANDFIELD: choose fields by chance.

    Args:
        key: The key of a hash.
        count: How many, each once; a negative number allows repetitions. None asks for one field as such.
        withvalues: Return their values too.

    Returns:
        Without `count` a field, None where there is no such key; with it a list, with `withvalues` of
        `(field, value)`.

    Raises:
        UsageError: `withvalues` without `count`.

    Wire: With values, a list of pairs on RESP3, a flat list on RESP2.

    Since: 6.2.0. Cost: O(count). Source: redis.io/commands/hrandfield
    """
    if count is None:
        if withvalues:
            raise UsageError("HRANDFIELD takes withvalues only with count")
        return Command(_HRANDFIELD, (b"HRANDFIELD", key))
    if withvalues:
        return Command(_HRANDFIELD_WITHVALUES, (b"HRANDFIELD", key, count, b"WITHVALUES"))
    return Command(_HRANDFIELD, (b"HRANDFIELD", key, count))


@overload
def hscan(
    key: Key, cursor: int = 0, match: Arg | None = None, count: int | None = None, *, no_values: Literal[False] = False
) -> Command[ScanPage[dict[Text, Text]]]: ...
@overload
def hscan(
    key: Key, cursor: int = 0, match: Arg | None = None, count: int | None = None, *, no_values: Literal[True]
) -> Command[ScanPage[list[Text]]]: ...
@overload
def hscan(
    key: Key, cursor: int = 0, match: Arg | None = None, count: int | None = None, *, no_values: bool
) -> Command[ScanPage[dict[Text, Text]] | ScanPage[list[Text]]]: ...
def hscan(
    key: Key, cursor: int = 0, match: Arg | None = None, count: int | None = None, *, no_values: bool = False
) -> Command[Any]:
    """HSCAN: walk through the fields, a page a call.

    A field that stays from beginning to end is given at least once, another one perhaps.

    Args:
        key: The key of a hash.
        cursor: 0 to begin, then the cursor of the page before.
        match: A pattern for the names of the fields.
        count: About how many fields to look at; 10 when not given.
        no_values: Return names alone (from 7.4).

    Returns:
        The next cursor, 0 at the end, and the values by field; with `no_values` a list of names.

    Since: 2.8.0. Cost: O(count) a call. Source: redis.io/commands/hscan
    """
    words: list[Arg] = [b"HSCAN", key, cursor]
    if match is not None:
        words += (b"MATCH", match)
    if count is not None:
        words += (b"COUNT", count)
    if no_values:
        words.append(b"NOVALUES")
        return Command(_HSCAN_NOVALUES, tuple(words))
    return Command(_HSCAN, tuple(words))


def hset(
    key: Key, field: Value | None = None, value: Value | None = None, mapping: Items[Value, Value] | None = None
) -> Command[int]:
    """HSET: give fields their values.

    Args:
        key: The key of a hash; made where it is missing.
        field: One field.
        value: Its value.
        mapping: Values by field, instead of one field or after it.

    Returns:
        How many of the fields are new.

    Raises:
        UsageError: Field and value not together, neither they nor a mapping, or an empty one.

    Since: 2.0.0 (several fields 4.0.0). Cost: O(fields). Source: redis.io/commands/hset
    """
    if mapping is None and field is not None and value is not None:
        return Command(_HSET, (b"HSET", key, field, value))
    if (field is None) != (value is None):
        raise UsageError("HSET takes field and value together, or mapping={...}")
    if mapping is None:
        raise UsageError("HSET needs a field and its value, or a mapping")
    pairs = flattened("HSET", mapping)
    if field is not None and value is not None:
        pairs[:0] = (field, value)
    return Command(_HSET, (b"HSET", key, *pairs))


def hsetex(
    key: Key,
    mapping: Items[Value, Value],
    *,
    ex: Seconds | None = None,
    px: Milliseconds | None = None,
    exat: Instant | None = None,
    pxat: InstantMs | None = None,
    keepttl: bool = False,
    fnx: bool = False,
    fxx: bool = False,
    nx: bool = False,
    xx: bool = False,
) -> Command[bool]:
    """HSETEX: give fields their values and a time to live.

    Args:
        key: The key of a hash.
        mapping: The values by field.
        ex: Time to live; a fraction of a second goes out as PX.
        px: Time to live in milliseconds.
        exat: When the fields shall go; a fraction of a second goes out as PXAT.
        pxat: When the fields shall go, in milliseconds since the epoch.
        keepttl: Keep the time to live that each field has.
        fnx: Only where none of the fields exists.
        fxx: Only where all of them exist.
        nx: Only where there is no such key (Valkey).
        xx: Only where there is one (Valkey).

    Returns:
        Whether the fields were set, all or none.

    Raises:
        UsageError: The mapping is empty, or two options exclude each other.

    Since: 8.0.0, Valkey 9.0.0. Cost: O(fields). Source: redis.io/commands/hsetex
    """
    only_one("HSETEX", nx=nx, xx=xx)
    only_one("HSETEX", fnx=fnx, fxx=fxx)
    pairs = flattened("HSETEX", mapping)
    words: list[Arg] = [b"HSETEX", key]
    if nx or xx:
        words.append(b"NX" if nx else b"XX")
    if fnx or fxx:
        words.append(b"FNX" if fnx else b"FXX")
    words += expiry("HSETEX", ex, px, exat, pxat, "KEEPTTL", keepttl)
    return Command(_HSETEX, (*words, b"FIELDS", len(pairs) // 2, *pairs))


def hsetnx(key: Key, field: Value, value: Value) -> Command[bool]:
    """HSETNX: give a field a value only if it has none.

    Args:
        key: The key of a hash; made where it is missing.
        field: The field.
        value: The value.

    Returns:
        Whether the value was set.

    Since: 2.0.0. Cost: O(1). Source: redis.io/commands/hsetnx
    """
    return Command(_HSETNX, (b"HSETNX", key, field, value))


def hstrlen(key: Key, field: Value) -> Command[int]:
    """HSTRLEN: read the length of a field's value in bytes; 0 where there is no such field.

    Args:
        key: The key of a hash.
        field: The field.

    Since: 3.2.0. Cost: O(1). Source: redis.io/commands/hstrlen
    """
    return Command(_HSTRLEN, (b"HSTRLEN", key, field))


def hvals(key: Key) -> Command[list[Text]]:
    """HVALS: read the values of all fields.

    Args:
        key: The key of a hash.

    Returns:
        The values; empty where there is no such key.

    Since: 2.0.0. Cost: O(fields). Source: redis.io/commands/hvals
    """
    return Command(_HVALS, (b"HVALS", key))
