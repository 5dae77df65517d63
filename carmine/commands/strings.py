"""Commands of the group "string": a key that holds one value of bytes, or a number written out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, overload

from carmine.commands import decoders
from carmine.commands.command import Command, Text
from carmine.commands.specs import spec
from carmine.commands.words import expiry, only_one

if TYPE_CHECKING:
    from carmine.commands.words import InstantMs, Milliseconds
    from carmine.types import Arg, Instant, Key, Seconds

_GET = spec("GET")
_INCR = spec("INCR")
_INCRBY = spec("INCRBY")
_SET = spec("SET", decoders.ok)
_SET_GET = spec("SET")


def get(key: Key) -> Command[Text | None]:
    """GET: return the value of a key.

    Args:
        key: The key of a string.

    Returns:
        The value; None where there is no such key.

    Raises:
        WrongTypeError: The key holds another kind of value.

    Since: 1.0.0. Cost: O(1). Source: redis.io/commands/get
    """
    return Command(_GET, (b"GET", key))


def incr(key: Key, amount: int = 1) -> Command[int]:
    """INCR, INCRBY: add to the whole number that a key holds.

    Args:
        key: The key; a missing one counts as 0.
        amount: What to add; other than 1 it goes out as INCRBY.

    Returns:
        The number after the addition.

    Since: 1.0.0. Cost: O(1). Source: redis.io/commands/incr
    """
    if amount == 1:
        return Command(_INCR, (b"INCR", key))
    return Command(_INCRBY, (b"INCRBY", key, amount))


@overload
def set(
    key: Key,
    value: Arg,
    *,
    ex: Seconds | None = None,
    px: Milliseconds | None = None,
    exat: Instant | None = None,
    pxat: InstantMs | None = None,
    keepttl: bool = False,
    nx: bool = False,
    xx: bool = False,
    ifeq: Arg | None = None,
    get: Literal[False] = False,
) -> Command[bool]: ...
@overload
def set(
    key: Key,
    value: Arg,
    *,
    ex: Seconds | None = None,
    px: Milliseconds | None = None,
    exat: Instant | None = None,
    pxat: InstantMs | None = None,
    keepttl: bool = False,
    nx: bool = False,
    xx: bool = False,
    ifeq: Arg | None = None,
    get: Literal[True],
) -> Command[Text | None]: ...
@overload
def set(
    key: Key,
    value: Arg,
    *,
    ex: Seconds | None = None,
    px: Milliseconds | None = None,
    exat: Instant | None = None,
    pxat: InstantMs | None = None,
    keepttl: bool = False,
    nx: bool = False,
    xx: bool = False,
    ifeq: Arg | None = None,
    get: bool,
) -> Command[bool | Text | None]: ...
def set(
    key: Key,
    value: Arg,
    *,
    ex: Seconds | None = None,
    px: Milliseconds | None = None,
    exat: Instant | None = None,
    pxat: InstantMs | None = None,
    keepttl: bool = False,
    nx: bool = False,
    xx: bool = False,
    ifeq: Arg | None = None,
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
