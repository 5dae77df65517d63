"""Checks of the values a caller gives: whole numbers, switches, durations, text.

A pure room below all others but the errors. Each check returns the value in its one stored form, or raises a
UsageError of one sentence that names the option and the kind of value it got, never the value itself: a password
put in the wrong place must not travel in an error.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final, TypeGuard

from carmine.errors import UsageError

if TYPE_CHECKING:
    from datetime import datetime, timedelta

__all__ = [
    "LONGEST",
    "LONGEST_WAIT",
    "SHORTEST_WAIT",
    "flag",
    "is_datetime",
    "is_timedelta",
    "kind",
    "seconds",
    "share",
    "text",
    "whole",
]

LONGEST: Final = 1e9
"""Seconds (31 years): the longest duration anything accepts; who wants more wants no limit."""

LONGEST_WAIT: Final = 2_147_483.0
"""Seconds (24 days): the longest wait, whose milliseconds still fit the C int that poll() takes."""

SHORTEST_WAIT: Final = 0.001
"""Seconds: below this a socket's timeout would be rounded to 0, which the system reads as "for ever"."""


def is_timedelta(value: object) -> TypeGuard[timedelta]:
    """Tell whether it is a timedelta. Who holds one has imported `datetime`; nobody else pays 0.6 MiB for it."""
    module = sys.modules.get("datetime")
    return module is not None and isinstance(value, module.timedelta)


def is_datetime(value: object) -> TypeGuard[datetime]:
    """Tell whether it is a datetime, without importing what that is."""
    module = sys.modules.get("datetime")
    return module is not None and isinstance(value, module.datetime)


def kind(value: object) -> str:
    """Return the name of the value's type, as messages show it."""
    return type(value).__name__


def whole(name: str, value: object, *, least: int = 0, most: int | None = None) -> int:
    """Return a whole number between `least` and `most`; bool and float are not one."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise UsageError(f"{name} must be a whole number, not {kind(value)}")
    if value < least or (most is not None and value > most):
        bounds = f"{least} or more" if most is None else f"between {least} and {most}"
        raise UsageError(f"{name} must be {bounds}")
    return int(value)


def flag(name: str, value: object) -> bool:
    """Return True or False, and nothing that merely counts as one."""
    if not isinstance(value, bool):
        raise UsageError(f"{name} must be True or False, not {kind(value)}")
    return value


def seconds(name: str, value: object, *, least: float = 0.0, most: float = LONGEST) -> float:
    """Return a duration as float seconds; a number or a timedelta, finite, within the bounds."""
    if is_timedelta(value):
        value = value.total_seconds()
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise UsageError(f"{name} must be a number of seconds or a timedelta, not {kind(value)}")
    if not least <= value <= most:  # false for NaN too
        raise UsageError(f"{name} must be between {least:.12g} and {most:.12g} seconds")
    return float(value)


def share(name: str, value: object) -> float:
    """Return a number between 0 and 1."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0.0 <= value <= 1.0:
        raise UsageError(f"{name} must be a number between 0 and 1")
    return float(value)


def text(name: str, value: object) -> str:
    """Return a str that can be sent as UTF-8."""
    if not isinstance(value, str):
        raise UsageError(f"{name} must be a str, not {kind(value)}")
    if not is_encodable(value):
        raise UsageError(f"{name} holds a lone surrogate, which UTF-8 cannot carry")
    return value


def is_encodable(value: str) -> bool:
    """Tell whether UTF-8 can carry the text, without an exception that would hold it."""
    return value.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in value)
