"""Commands of the group "string": a key that holds one value of bytes, or a number written out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, overload

from carmine.commands import decoders
from carmine.commands.command import Command, Text
from carmine.commands.specs import spec
from carmine.commands.words import expiry, flattened, milliseconds, only_one, seconds

if TYPE_CHECKING:
    from carmine.commands.words import InstantMs, Milliseconds
    from carmine.types import Arg, Instant, Items, Key, Seconds, Value


_DECR = spec("DECR")
_DECRBY = spec("DECRBY")
_DELIFEQ = spec("DELIFEQ", decoders.flag)
_GET = spec("GET")
_GETDEL = spec("GETDEL")
_GETEX = spec("GETEX")
_GETSET = spec("GETSET")
_INCR = spec("INCR")
_INCRBY = spec("INCRBY")
_INCRBYFLOAT = spec("INCRBYFLOAT", decoders.double)
_MGET = spec("MGET")
_MSET = spec("MSET", decoders.ok)
_MSETEX = spec("MSETEX", decoders.flag)
_MSETNX = spec("MSETNX", decoders.flag)
_PSETEX = spec("PSETEX", decoders.ok)
_SET = spec("SET", decoders.ok)
_SETEX = spec("SETEX", decoders.ok)
_SETNX = spec("SETNX", decoders.flag)
_SET_GET = spec("SET")


def decr(key: Key, amount: int = 1) -> Command[int]:
    """DECR, DECRBY: subtract from the whole number that a key holds.

    Args:
        key: The key; a missing one counts as 0.
        amount: What to subtract; other than 1 it goes out as DECRBY.

    Returns:
        The number afterwards.

    Since: 1.0.0. Cost: O(1). Source: redis.io/commands/decr
    """
    if amount == 1:
        return Command(_DECR, (b"DECR", key))
    return Command(_DECRBY, (b"DECRBY", key, amount))


def decrby(key: Key, amount: int) -> Command[int]:
    """DECRBY: subtract from the whole number that a key holds.

    Args:
        key: The key; a missing one counts as 0.
        amount: What to subtract.

    Returns:
        The number afterwards.

    Since: 1.0.0. Cost: O(1). Source: redis.io/commands/decrby
    """
    return Command(_DECRBY, (b"DECRBY", key, amount))


def delifeq(key: Key, value: Value) -> Command[bool]:
    """DELIFEQ: delete a key if it holds this value; only Valkey has it.

    Args:
        key: The key.
        value: The value that it must hold.

    Returns:
        Whether it was deleted.

    Since: Valkey 9.0.0. Cost: O(1). Source: valkey.io/commands/delifeq
    """
    return Command(_DELIFEQ, (b"DELIFEQ", key, value))


def get(key: Key) -> Command[Text | None]:
    """GET: read the value of a key.

    Args:
        key: The key of a string.

    Returns:
        The value; None where there is no such key.

    Raises:
        WrongTypeError: The key holds another kind of value.

    Since: 1.0.0. Cost: O(1). Source: redis.io/commands/get
    """
    return Command(_GET, (b"GET", key))


def getdel(key: Key) -> Command[Text | None]:
    """GETDEL: read the value of a key and delete the key.

    Args:
        key: The key of a string.

    Returns:
        The value; None where there was no such key.

    Since: 6.2.0. Cost: O(1). Source: redis.io/commands/getdel
    """
    return Command(_GETDEL, (b"GETDEL", key))


def getex(
    key: Key,
    *,
    ex: Seconds | None = None,
    px: Milliseconds | None = None,
    exat: Instant | None = None,
    pxat: InstantMs | None = None,
    persist: bool = False,
) -> Command[Text | None]:
    """GETEX: read the value of a key and set its time to live.

    Args:
        key: The key of a string.
        ex: Time to live; a fraction of a second goes out as PX.
        px: Time to live in milliseconds.
        exat: When the key shall go; a fraction of a second goes out as PXAT.
        pxat: When the key shall go, in milliseconds since the epoch.
        persist: Take its time to live away.

    Returns:
        The value; None where there is no such key.

    Raises:
        UsageError: More than one of the options.

    Since: 6.2.0. Cost: O(1). Source: redis.io/commands/getex
    """
    words = (b"GETEX", key, *expiry("GETEX", ex, px, exat, pxat, "PERSIST", persist))
    return Command(_GETEX, words)


def getset(key: Key, value: Value) -> Command[Text | None]:
    """GETSET: give a key a value and return the former one; `set(..., get=True)` is its successor.

    Args:
        key: The key of a string.
        value: The value.

    Returns:
        The value before; None where there was none.

    Since: 1.0.0. Cost: O(1). Source: redis.io/commands/getset
    """
    return Command(_GETSET, (b"GETSET", key, value))


def incr(key: Key, amount: int = 1) -> Command[int]:
    """INCR, INCRBY: add to the whole number that a key holds.

    Args:
        key: The key; a missing one counts as 0.
        amount: What to add; other than 1 it goes out as INCRBY.

    Returns:
        The number afterwards.

    Since: 1.0.0. Cost: O(1). Source: redis.io/commands/incr
    """
    if amount == 1:
        return Command(_INCR, (b"INCR", key))
    return Command(_INCRBY, (b"INCRBY", key, amount))


def incrby(key: Key, amount: int) -> Command[int]:
    """INCRBY: add to the whole number that a key holds.

    Args:
        key: The key; a missing one counts as 0.
        amount: What to add.

    Returns:
        The number afterwards.

    Since: 1.0.0. Cost: O(1). Source: redis.io/commands/incrby
    """
    return Command(_INCRBY, (b"INCRBY", key, amount))


def incrbyfloat(key: Key, amount: float) -> Command[float]:
    """INCRBYFLOAT: add to the number that a key holds.

    Args:
        key: The key; a missing one counts as 0.
        amount: What to add.

    Returns:
        The number afterwards; the server keeps up to 17 digits after the point, a float not all of them.

    Since: 2.6.0. Cost: O(1). Source: redis.io/commands/incrbyfloat
    """
    return Command(_INCRBYFLOAT, (b"INCRBYFLOAT", key, amount))


def mget(*keys: Key) -> Command[list[Text | None]]:
    """MGET: read the values of several keys.

    Args:
        *keys: The keys.

    Returns:
        One value for each key, in their order; None where there is no string.

    Since: 1.0.0. Cost: O(keys). Source: redis.io/commands/mget
    """
    return Command(_MGET, (b"MGET", *keys))


def mset(mapping: Items[Key, Value]) -> Command[bool]:
    """MSET: give several keys their values at once.

    Args:
        mapping: The values by key.

    Returns:
        True.

    Raises:
        UsageError: The mapping is empty.

    Since: 1.0.1. Cost: O(keys). Source: redis.io/commands/mset
    """
    return Command(_MSET, (b"MSET", *flattened("MSET", mapping)))


def msetex(
    mapping: Items[Key, Value],
    *,
    ex: Seconds | None = None,
    px: Milliseconds | None = None,
    exat: Instant | None = None,
    pxat: InstantMs | None = None,
    keepttl: bool = False,
    nx: bool = False,
    xx: bool = False,
) -> Command[bool]:
    """MSETEX: give several keys their values and a time to live at once; only Valkey has it, and newer Redis.

    Args:
        mapping: The values by key.
        ex: Time to live; a fraction of a second goes out as PX.
        px: Time to live in milliseconds.
        exat: When the keys shall go; a fraction of a second goes out as PXAT.
        pxat: When the keys shall go, in milliseconds since the epoch.
        keepttl: Keep the time to live that each key has.
        nx: Only where none of the keys exists.
        xx: Only where all of them exist.

    Returns:
        Whether the keys were set, all or none.

    Raises:
        UsageError: The mapping is empty, or two options exclude each other.

    Since: Valkey 9.1.0. Cost: O(keys). Source: valkey.io/commands/msetex
    """
    only_one("MSETEX", nx=nx, xx=xx)
    pairs = flattened("MSETEX", mapping)
    words: list[Arg] = [b"MSETEX", len(pairs) // 2, *pairs]
    if nx or xx:
        words.append(b"NX" if nx else b"XX")
    words += expiry("MSETEX", ex, px, exat, pxat, "KEEPTTL", keepttl)
    return Command(_MSETEX, tuple(words))


def msetnx(mapping: Items[Key, Value]) -> Command[bool]:
    """MSETNX: give several keys their values, only if none of them exists.

    Args:
        mapping: The values by key.

    Returns:
        Whether the keys were set, all or none.

    Raises:
        UsageError: The mapping is empty.

    Since: 1.0.1. Cost: O(keys). Source: redis.io/commands/msetnx
    """
    return Command(_MSETNX, (b"MSETNX", *flattened("MSETNX", mapping)))


def psetex(key: Key, time_ms: Milliseconds, value: Value) -> Command[bool]:
    """PSETEX: give a key a value and a time to live in milliseconds; `set(..., px=)` is its successor.

    Args:
        key: The key.
        time_ms: Time to live in milliseconds.
        value: The value.

    Returns:
        True.

    Since: 2.6.0. Cost: O(1). Source: redis.io/commands/psetex
    """
    return Command(_PSETEX, (b"PSETEX", key, milliseconds("time_ms", time_ms), value))


@overload
def set(
    key: Key,
    value: Value,
    *,
    ex: Seconds | None = None,
    px: Milliseconds | None = None,
    exat: Instant | None = None,
    pxat: InstantMs | None = None,
    keepttl: bool = False,
    nx: bool = False,
    xx: bool = False,
    ifeq: Value | None = None,
    get: Literal[False] = False,
) -> Command[bool]: ...
@overload
def set(
    key: Key,
    value: Value,
    *,
    ex: Seconds | None = None,
    px: Milliseconds | None = None,
    exat: Instant | None = None,
    pxat: InstantMs | None = None,
    keepttl: bool = False,
    nx: bool = False,
    xx: bool = False,
    ifeq: Value | None = None,
    get: Literal[True],
) -> Command[Text | None]: ...
@overload
def set(
    key: Key,
    value: Value,
    *,
    ex: Seconds | None = None,
    px: Milliseconds | None = None,
    exat: Instant | None = None,
    pxat: InstantMs | None = None,
    keepttl: bool = False,
    nx: bool = False,
    xx: bool = False,
    ifeq: Value | None = None,
    get: bool,
) -> Command[bool | Text | None]: ...
def set(
    key: Key,
    value: Value,
    *,
    ex: Seconds | None = None,
    px: Milliseconds | None = None,
    exat: Instant | None = None,
    pxat: InstantMs | None = None,
    keepttl: bool = False,
    nx: bool = False,
    xx: bool = False,
    ifeq: Value | None = None,
    get: bool = False,
) -> Command[Any]:
    """SET: give a key a value, whatever it held before.

    Args:
        key: The key.
        value: The value.
        ex: Time to live; a fraction of a second goes out as PX.
        px: Time to live in milliseconds.
        exat: When the key shall go; a fraction of a second goes out as PXAT.
        pxat: When the key shall go, in milliseconds since the epoch.
        keepttl: Keep the time to live that the key has; otherwise it is lost.
        nx: Only where there is no such key.
        xx: Only where there is one.
        ifeq: Only where the key holds this value (Valkey from 8.1).
        get: Return the former value instead.

    Returns:
        Whether the value was set; with `get` the value before, None where there was none.

    Raises:
        UsageError: Two options that exclude each other.

    Since: 1.0.0 (`keepttl` 6.0.0; `get`, `exat` and `pxat` 6.2.0; `get` with `nx` 7.0.0). Cost: O(1).
    Source: redis.io/commands/set
    """
    if (
        ex is None
        and px is None
        and exat is None
        and pxat is None
        and ifeq is None
        and not (nx or xx or get or keepttl)
    ):
        return Command(_SET, (b"SET", key, value))
    words: list[Arg] = [b"SET", key, value]
    only_one("SET", nx=nx, xx=xx, ifeq=ifeq is not None)
    if nx:
        words.append(b"NX")
    elif xx:
        words.append(b"XX")
    elif ifeq is not None:
        words += (b"IFEQ", ifeq)
    if get:
        words.append(b"GET")
    words += expiry("SET", ex, px, exat, pxat, "KEEPTTL", keepttl)
    return Command(_SET_GET if get else _SET, tuple(words))


def setex(key: Key, time: Seconds, value: Value) -> Command[bool]:
    """SETEX: give a key a value and a time to live; `set(..., ex=)` is its successor.

    Args:
        key: The key.
        time: Time to live; a fraction of a second goes out as PSETEX.
        value: The value.

    Returns:
        True.

    Since: 2.0.0. Cost: O(1). Source: redis.io/commands/setex
    """
    whole, number = seconds("time", time)
    if whole:
        return Command(_SETEX, (b"SETEX", key, number, value))
    return Command(_PSETEX, (b"PSETEX", key, number, value))


def setnx(key: Key, value: Value) -> Command[bool]:
    """SETNX: give a key a value only if it has none; `set(..., nx=True)` is its successor.

    Args:
        key: The key.
        value: The value.

    Returns:
        Whether the value was set.

    Since: 1.0.0. Cost: O(1). Source: redis.io/commands/setnx
    """
    return Command(_SETNX, (b"SETNX", key, value))
