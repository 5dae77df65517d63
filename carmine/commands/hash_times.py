"""Commands of the group "hash" on the time to live of single fields; from Redis 7.4 and Valkey 9.0.

Each answers one number for each field, in their order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from carmine.commands.command import Command
from carmine.commands.specs import spec
from carmine.commands.words import condition, counted_fields, instant, instant_ms, milliseconds, seconds

if TYPE_CHECKING:
    from carmine.commands.words import InstantMs, Milliseconds
    from carmine.types import Instant, Key, Seconds, Value


_HEXPIRE = spec("HEXPIRE")
_HEXPIREAT = spec("HEXPIREAT")
_HEXPIRETIME = spec("HEXPIRETIME")
_HPERSIST = spec("HPERSIST")
_HPEXPIRE = spec("HPEXPIRE")
_HPEXPIREAT = spec("HPEXPIREAT")
_HPEXPIRETIME = spec("HPEXPIRETIME")
_HPTTL = spec("HPTTL")
_HTTL = spec("HTTL")


def hexpire(
    key: Key,
    time: Seconds,
    *fields: Value,
    nx: bool = False,
    xx: bool = False,
    gt: bool = False,
    lt: bool = False,
) -> Command[list[int]]:
    """HEXPIRE: give fields a time to live.

    Args:
        key: The key of a hash.
        time: Time to live; a fraction of a second goes out as HPEXPIRE.
        *fields: The fields.
        nx: Only fields without a time to live.
        xx: Only fields that have one.
        gt: Only where the new time is later.
        lt: Only where the new time is earlier.

    Returns:
        For each field 1 (set), 2 (the time is past: deleted), 0 (the condition was not met) or -2 (no such field).

    Raises:
        UsageError: No field, or more than one of the conditions.

    Since: 7.4.0, Valkey 9.0.0. Cost: O(fields). Source: redis.io/commands/hexpire
    """
    whole, number = seconds("time", time)
    limits = (*condition("HEXPIRE", nx, xx, gt, lt), *counted_fields("HEXPIRE", fields))
    if whole:
        return Command(_HEXPIRE, (b"HEXPIRE", key, number, *limits))
    return Command(_HPEXPIRE, (b"HPEXPIRE", key, number, *limits))


def hexpireat(
    key: Key,
    when: Instant,
    *fields: Value,
    nx: bool = False,
    xx: bool = False,
    gt: bool = False,
    lt: bool = False,
) -> Command[list[int]]:
    """HEXPIREAT: say when fields shall go.

    Args:
        key: The key of a hash.
        when: Seconds since the epoch or an aware datetime; a fraction of a second goes out as HPEXPIREAT.
        *fields: The fields.
        nx: Only fields without a time to live.
        xx: Only fields that have one.
        gt: Only where the new time is later.
        lt: Only where the new time is earlier.

    Returns:
        For each field 1 (set), 2 (the time is past: deleted), 0 (the condition was not met) or -2 (no such field).

    Raises:
        UsageError: No field, or more than one of the conditions.

    Since: 7.4.0, Valkey 9.0.0. Cost: O(fields). Source: redis.io/commands/hexpireat
    """
    whole, number = instant("when", when)
    limits = (*condition("HEXPIREAT", nx, xx, gt, lt), *counted_fields("HEXPIREAT", fields))
    if whole:
        return Command(_HEXPIREAT, (b"HEXPIREAT", key, number, *limits))
    return Command(_HPEXPIREAT, (b"HPEXPIREAT", key, number, *limits))


def hexpiretime(key: Key, *fields: Value) -> Command[list[int]]:
    """HEXPIRETIME: read when fields will go.

    Args:
        key: The key of a hash.
        *fields: The fields.

    Returns:
        For each field seconds since the epoch, -1 (no time to live) or -2 (no such field).

    Raises:
        UsageError: No field.

    Since: 7.4.0, Valkey 9.0.0. Cost: O(fields). Source: redis.io/commands/hexpiretime
    """
    return Command(_HEXPIRETIME, (b"HEXPIRETIME", key, *counted_fields("HEXPIRETIME", fields)))


def hpersist(key: Key, *fields: Value) -> Command[list[int]]:
    """HPERSIST: take the time to live of fields away.

    Args:
        key: The key of a hash.
        *fields: The fields.

    Returns:
        For each field 1 (taken away), -1 (it had none) or -2 (no such field).

    Raises:
        UsageError: No field.

    Since: 7.4.0, Valkey 9.0.0. Cost: O(fields). Source: redis.io/commands/hpersist
    """
    return Command(_HPERSIST, (b"HPERSIST", key, *counted_fields("HPERSIST", fields)))


def hpexpire(
    key: Key,
    time: Milliseconds,
    *fields: Value,
    nx: bool = False,
    xx: bool = False,
    gt: bool = False,
    lt: bool = False,
) -> Command[list[int]]:
    """HPEXPIRE: give fields a time to live in milliseconds.

    Args:
        key: The key of a hash.
        time: Time to live in milliseconds.
        *fields: The fields.
        nx: Only fields without a time to live.
        xx: Only fields that have one.
        gt: Only where the new time is later.
        lt: Only where the new time is earlier.

    Returns:
        For each field 1 (set), 2 (the time is past: deleted), 0 (the condition was not met) or -2 (no such field).

    Raises:
        UsageError: No field, or more than one of the conditions.

    Since: 7.4.0, Valkey 9.0.0. Cost: O(fields). Source: redis.io/commands/hpexpire
    """
    number = milliseconds("time", time)
    limits = (*condition("HPEXPIRE", nx, xx, gt, lt), *counted_fields("HPEXPIRE", fields))
    return Command(_HPEXPIRE, (b"HPEXPIRE", key, number, *limits))


def hpexpireat(
    key: Key,
    when: InstantMs,
    *fields: Value,
    nx: bool = False,
    xx: bool = False,
    gt: bool = False,
    lt: bool = False,
) -> Command[list[int]]:
    """HPEXPIREAT: say when fields shall go, in milliseconds since the epoch.

    Args:
        key: The key of a hash.
        when: Milliseconds since the epoch, or an aware datetime.
        *fields: The fields.
        nx: Only fields without a time to live.
        xx: Only fields that have one.
        gt: Only where the new time is later.
        lt: Only where the new time is earlier.

    Returns:
        For each field 1 (set), 2 (the time is past: deleted), 0 (the condition was not met) or -2 (no such field).

    Raises:
        UsageError: No field, or more than one of the conditions.

    Since: 7.4.0, Valkey 9.0.0. Cost: O(fields). Source: redis.io/commands/hpexpireat
    """
    limits = (*condition("HPEXPIREAT", nx, xx, gt, lt), *counted_fields("HPEXPIREAT", fields))
    return Command(_HPEXPIREAT, (b"HPEXPIREAT", key, instant_ms("when", when), *limits))


def hpexpiretime(key: Key, *fields: Value) -> Command[list[int]]:
    """HPEXPIRETIME: read when fields will go, in milliseconds since the epoch.

    Args:
        key: The key of a hash.
        *fields: The fields.

    Returns:
        For each field milliseconds since the epoch, -1 (no time to live) or -2 (no such field).

    Raises:
        UsageError: No field.

    Since: 7.4.0, Valkey 9.0.0. Cost: O(fields). Source: redis.io/commands/hpexpiretime
    """
    return Command(_HPEXPIRETIME, (b"HPEXPIRETIME", key, *counted_fields("HPEXPIRETIME", fields)))


def hpttl(key: Key, *fields: Value) -> Command[list[int]]:
    """HPTTL: read the time to live of fields in milliseconds.

    Args:
        key: The key of a hash.
        *fields: The fields.

    Returns:
        For each field milliseconds, -1 (no time to live) or -2 (no such field).

    Raises:
        UsageError: No field.

    Since: 7.4.0, Valkey 9.0.0. Cost: O(fields). Source: redis.io/commands/hpttl
    """
    return Command(_HPTTL, (b"HPTTL", key, *counted_fields("HPTTL", fields)))


def httl(key: Key, *fields: Value) -> Command[list[int]]:
    """HTTL: read the time to live of fields.

    Args:
        key: The key of a hash.
        *fields: The fields.

    Returns:
        For each field seconds, -1 (no time to live) or -2 (no such field).

    Raises:
        UsageError: No field.

    Since: 7.4.0, Valkey 9.0.0. Cost: O(fields). Source: redis.io/commands/httl
    """
    return Command(_HTTL, (b"HTTL", key, *counted_fields("HTTL", fields)))
