"""Commands of the group "generic" on the time to live of keys.

Durations are seconds, instants seconds since the epoch or aware datetimes; the commands with a P count milliseconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from carmine.commands import decoders
from carmine.commands.command import Command
from carmine.commands.specs import spec
from carmine.commands.words import condition, instant, instant_ms, milliseconds, seconds

if TYPE_CHECKING:
    from carmine.commands.words import InstantMs, Milliseconds
    from carmine.types import Instant, Key, Seconds


_EXPIRE = spec("EXPIRE", decoders.flag)
_EXPIREAT = spec("EXPIREAT", decoders.flag)
_EXPIRETIME = spec("EXPIRETIME")
_PERSIST = spec("PERSIST", decoders.flag)
_PEXPIRE = spec("PEXPIRE", decoders.flag)
_PEXPIREAT = spec("PEXPIREAT", decoders.flag)
_PEXPIRETIME = spec("PEXPIRETIME")
_PTTL = spec("PTTL")
_TTL = spec("TTL")


def expire(
    key: Key, time: Seconds, *, nx: bool = False, xx: bool = False, gt: bool = False, lt: bool = False
) -> Command[bool]:
    """EXPIRE: give a key a time to live.

    Args:
        key: The key.
        time: Time to live; 0 and less delete the key. A fraction of a second goes out as PEXPIRE, rounded up to
            milliseconds.
        nx: Only a key without a time to live (from 7.0, as the other conditions).
        xx: Only a key that has one.
        gt: Only where the new time is later.
        lt: Only where the new time is earlier.

    Returns:
        Whether the time was set; False where there is no such key.

    Raises:
        UsageError: More than one of the conditions.

    Since: 1.0.0. Cost: O(1). Source: redis.io/commands/expire
    """
    whole, number = seconds("time", time)
    limits = condition("EXPIRE", nx, xx, gt, lt)
    if whole:
        return Command(_EXPIRE, (b"EXPIRE", key, number, *limits))
    return Command(_PEXPIRE, (b"PEXPIRE", key, number, *limits))


def expireat(
    key: Key, when: Instant, *, nx: bool = False, xx: bool = False, gt: bool = False, lt: bool = False
) -> Command[bool]:
    """EXPIREAT: say when a key shall go.

    Args:
        key: The key.
        when: Seconds since the epoch or an aware datetime; the past deletes the key. A fraction of a second goes
            out as PEXPIREAT.
        nx: Only a key without a time to live (from 7.0, as the other conditions).
        xx: Only a key that has one.
        gt: Only where the new time is later.
        lt: Only where the new time is earlier.

    Returns:
        Whether the time was set; False where there is no such key.

    Raises:
        UsageError: More than one of the conditions.

    Since: 1.2.0. Cost: O(1). Source: redis.io/commands/expireat
    """
    whole, number = instant("when", when)
    limits = condition("EXPIREAT", nx, xx, gt, lt)
    if whole:
        return Command(_EXPIREAT, (b"EXPIREAT", key, number, *limits))
    return Command(_PEXPIREAT, (b"PEXPIREAT", key, number, *limits))


def expiretime(key: Key) -> Command[int]:
    """EXPIRETIME: read when a key will go.

    Args:
        key: The key.

    Returns:
        Seconds since the epoch, -1 (no time to live) or -2 (no such key).

    Since: 7.0.0. Cost: O(1). Source: redis.io/commands/expiretime
    """
    return Command(_EXPIRETIME, (b"EXPIRETIME", key))


def persist(key: Key) -> Command[bool]:
    """PERSIST: take a key's time to live away.

    Args:
        key: The key.

    Returns:
        Whether it had one.

    Since: 2.2.0. Cost: O(1). Source: redis.io/commands/persist
    """
    return Command(_PERSIST, (b"PERSIST", key))


def pexpire(
    key: Key, time: Milliseconds, *, nx: bool = False, xx: bool = False, gt: bool = False, lt: bool = False
) -> Command[bool]:
    """PEXPIRE: give a key a time to live in milliseconds.

    Args:
        key: The key.
        time: Time to live in milliseconds; 0 and less delete the key.
        nx: Only a key without a time to live (from 7.0, as the other conditions).
        xx: Only a key that has one.
        gt: Only where the new time is later.
        lt: Only where the new time is earlier.

    Returns:
        Whether the time was set; False where there is no such key.

    Raises:
        UsageError: More than one of the conditions.

    Since: 2.6.0. Cost: O(1). Source: redis.io/commands/pexpire
    """
    limits = condition("PEXPIRE", nx, xx, gt, lt)
    return Command(_PEXPIRE, (b"PEXPIRE", key, milliseconds("time", time), *limits))


def pexpireat(
    key: Key, when: InstantMs, *, nx: bool = False, xx: bool = False, gt: bool = False, lt: bool = False
) -> Command[bool]:
    """PEXPIREAT: say when a key shall go, in milliseconds since the epoch.

    Args:
        key: The key.
        when: Milliseconds since the epoch, or an aware datetime; the past deletes the key.
        nx: Only a key without a time to live (from 7.0, as the other conditions).
        xx: Only a key that has one.
        gt: Only where the new time is later.
        lt: Only where the new time is earlier.

    Returns:
        Whether the time was set; False where there is no such key.

    Raises:
        UsageError: More than one of the conditions.

    Since: 2.6.0. Cost: O(1). Source: redis.io/commands/pexpireat
    """
    limits = condition("PEXPIREAT", nx, xx, gt, lt)
    return Command(_PEXPIREAT, (b"PEXPIREAT", key, instant_ms("when", when), *limits))


def pexpiretime(key: Key) -> Command[int]:
    """PEXPIRETIME: read when a key will go, in milliseconds since the epoch.

    Args:
        key: The key.

    Returns:
        Milliseconds since the epoch, -1 (no time to live) or -2 (no such key).

    Since: 7.0.0. Cost: O(1). Source: redis.io/commands/pexpiretime
    """
    return Command(_PEXPIRETIME, (b"PEXPIRETIME", key))


def pttl(key: Key) -> Command[int]:
    """PTTL: read a key's time to live in milliseconds.

    Args:
        key: The key.

    Returns:
        Milliseconds, -1 (no time to live) or -2 (no such key).

    Since: 2.6.0. Cost: O(1). Source: redis.io/commands/pttl
    """
    return Command(_PTTL, (b"PTTL", key))


def ttl(key: Key) -> Command[int]:
    """TTL: read a key's time to live.

    Args:
        key: The key.

    Returns:
        Seconds, rounded by the server; -1 (no time to live) or -2 (no such key).

    Since: 1.0.0. Cost: O(1). Source: redis.io/commands/ttl
    """
    return Command(_TTL, (b"TTL", key))
