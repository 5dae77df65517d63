"""From a Python argument to words: durations, instants, options that exclude each other.

Used by the command functions before anything is sent. What is wrong raises a UsageError that names the option and
the kind of value, never the value. Every duration and instant is counted in whole microseconds first, so that 1.1
seconds are 1100 milliseconds and not 1101; what is finer than the wire's unit is rounded up: a key never goes early.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

from carmine._checks import is_datetime, is_timedelta
from carmine.errors import UsageError

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from carmine.types import Arg, Instant, Items, Seconds

__all__ = [
    "InstantMs",
    "Milliseconds",
    "condition",
    "counted_fields",
    "expiry",
    "flattened",
    "instant",
    "instant_ms",
    "milliseconds",
    "only_one",
    "seconds",
    "switch",
    "wait_ms",
]

Milliseconds: TypeAlias = "int | timedelta"
"""A duration for an option that Redis counts in milliseconds: an int of them, or a timedelta."""

InstantMs: TypeAlias = "int | datetime"
"""A point in time for an option that Redis counts in milliseconds since the epoch: an int, or an aware datetime."""

_EPOCH: Final = 719_163
"""The day 1970-01-01, as `date.toordinal` counts."""
_LONGEST: Final = 1e12
"""Seconds (30,000 years): beyond it lies a mistake, or an overflow on the server."""


def only_one(command: str, **given: bool) -> None:
    """Refuse two options that exclude each other.

    Args:
        command: The command's name, for the message.
        **given: Whether each option was given.
    """
    if sum(given.values()) > 1:
        raise UsageError(f"{command} takes only one of {', '.join(given)}")


def switch(on: bool) -> bytes:
    """Return ON or OFF."""
    return b"ON" if on else b"OFF"


def condition(command: str, nx: bool, xx: bool, gt: bool, lt: bool) -> tuple[Arg, ...]:
    """Return the word of the one condition of EXPIRE and its kin that was given, if any."""
    if not (nx or xx or gt or lt):
        return ()
    only_one(command, nx=nx, xx=xx, gt=gt, lt=lt)
    return (b"NX" if nx else b"XX" if xx else b"GT" if gt else b"LT",)


def counted_fields(command: str, fields: tuple[Arg, ...]) -> tuple[Arg, ...]:
    """Return the words FIELDS count field...; at least one field."""
    if not fields:
        raise UsageError(f"{command} needs at least one field")
    return (b"FIELDS", len(fields), *fields)


def flattened(command: str, mapping: Items[Any, Arg]) -> list[Arg]:
    """Return `[key, value, key, value, ...]` of a mapping with at least one entry.

    Args:
        command: The command's name, for the message.
        mapping: A dict, or anything else with items().
    """
    try:
        words = [word for pair in mapping.items() for word in pair]
    except AttributeError:
        raise UsageError(f"{command} takes a mapping, not {type(mapping).__name__}") from None
    if not words:
        raise UsageError(f"{command} needs at least one pair; the mapping is empty")
    return words


def _number(option: str, value: object, what: str) -> int:
    """Return seconds as microseconds."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise UsageError(f"{option} must be {what}, not {type(value).__name__}")
    if not -_LONGEST <= value <= _LONGEST:  # false for nan too
        raise UsageError(f"{option} must be finite and below 10**12 seconds")
    return value * 1_000_000 if isinstance(value, int) else round(value * 1e6)


def _since_epoch(option: str, value: datetime) -> int:
    """Return an aware datetime as microseconds since the epoch."""
    offset = value.utcoffset()
    if offset is None:
        raise UsageError(f"{option} must be an aware datetime; give it a timezone, such as datetime.UTC")
    minutes = ((value.toordinal() - _EPOCH) * 24 + value.hour) * 60 + value.minute
    return (minutes * 60 + value.second) * 1_000_000 + value.microsecond - _ticks(offset)


def _ticks(value: timedelta) -> int:
    """Return a timedelta as microseconds."""
    return (value.days * 86_400 + value.seconds) * 1_000_000 + value.microseconds


def _fit(ticks: int) -> tuple[bool, int]:
    """Return (True, seconds) if microseconds make whole seconds, else (False, milliseconds), rounded up."""
    if ticks % 1_000_000:
        return False, -(-ticks // 1000)
    return True, ticks // 1_000_000


def seconds(option: str, value: Seconds) -> tuple[bool, int]:
    """Return a duration as (True, whole seconds) or, where it has a fraction, (False, milliseconds)."""
    if type(value) is int:
        return True, value
    if is_timedelta(value):
        return _fit(_ticks(value))
    return _fit(_number(option, value, "a number of seconds or a timedelta"))


def instant(option: str, value: Instant) -> tuple[bool, int]:
    """Return a point in time as (True, whole seconds) or, where it has a fraction, (False, milliseconds)."""
    if type(value) is int:
        return True, value
    if is_datetime(value):
        return _fit(_since_epoch(option, value))
    return _fit(_number(option, value, "seconds since the epoch or an aware datetime"))


def milliseconds(option: str, value: Milliseconds) -> int:
    """Return a duration as milliseconds."""
    if is_timedelta(value):
        return -(-(_ticks(value)) // 1000)
    return _whole(option, value, "a whole number of milliseconds or a timedelta")


def wait_ms(option: str, value: Seconds) -> int:
    """Return a waiting time in seconds as the milliseconds that go out; more than 0 never becomes 0, "for ever"."""
    whole, number = seconds(option, value)
    if number < 0:
        raise UsageError(f"{option} must not be negative; 0 waits for ever")
    return number * 1000 if whole else number


def instant_ms(option: str, value: InstantMs) -> int:
    """Return a point in time as milliseconds since the epoch."""
    if is_datetime(value):
        return -(-_since_epoch(option, value) // 1000)
    return _whole(option, value, "whole milliseconds since the epoch or an aware datetime")


def _whole(option: str, value: object, what: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise UsageError(f"{option} must be {what}, not {type(value).__name__}")
    return value


def expiry(
    command: str,
    ex: Seconds | None,
    px: Milliseconds | None,
    exat: Instant | None,
    pxat: InstantMs | None,
    last: str = "",
    chosen: bool = False,
) -> tuple[Arg, ...]:
    """Return the words of a time to live; none where no option is given.

    Args:
        command: The command's name, for the message.
        ex: Duration; sent as PX where it has a fraction of a second.
        px: Duration in milliseconds.
        exat: Point in time; sent as PXAT where it has a fraction of a second.
        pxat: Point in time in milliseconds.
        last: The option that excludes them all: KEEPTTL or PERSIST.
        chosen: Whether that one was given.
    """
    given = (ex is not None) + (px is not None) + (exat is not None) + (pxat is not None) + chosen
    if given > 1:
        raise UsageError(f"{command} takes only one of ex, px, exat, pxat{last and f', {last.lower()}'}")
    if ex is not None:
        whole, number = seconds("ex", ex)
        return (b"EX" if whole else b"PX", number)
    if px is not None:
        return (b"PX", milliseconds("px", px))
    if exat is not None:
        whole, number = instant("exat", exat)
        return (b"EXAT" if whole else b"PXAT", number)
    if pxat is not None:
        return (b"PXAT", instant_ms("pxat", pxat))
    return (last.encode(),) if chosen else ()
