"""The shape in which a queue's texts and contents reach a screen or a script.

Mids, contents, errors and names of queues come from whoever may write to the server. Invariants: no control character
of theirs leaves this room, in a table or as JSON; nothing is longer than its limit; what was never thawed is shown as
such, in hexadecimal digits.
"""

from __future__ import annotations

import json
import reprlib
import time
from typing import TYPE_CHECKING, Any, Final

from carmine.errors import printable
from carmine.freezing import Raw

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["age", "as_json", "cell", "line", "many", "moment", "name"]

_NAME: Final = 80
"""Characters of a name or a mid that a table shows."""
_DIGITS: Final = 4_000
"""Digits of the longest whole number that Python writes out without being asked to."""
_JSON_KINDS: Final = (str, bool, type(None))


class _Short(reprlib.Repr):
    """A repr whose cost and length have a bound, whatever the value."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.maxstring = self.maxother = self.maxlong = limit
        self.maxlist = self.maxtuple = self.maxdict = self.maxset = self.maxfrozenset = self.maxdeque = limit // 4

    def repr_int(self, x: int, level: int) -> str:
        """Return a whole number; one too long to be written out is told by its size."""
        return f"<int of {x.bit_length()} bits>" if x.bit_length() > _DIGITS * 3 else super().repr_int(x, level)


def name(text: str, limit: int = _NAME) -> str:
    """Return a name, a mid or an error, fit for one line of a terminal."""
    return printable(text, limit)


def many(count: int, what: str) -> str:
    """Return a number of things."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def cell(value: Any, limit: int) -> str:
    """Return a content as a table shows it: its repr; one that cannot be read as its bytes.

    Args:
        value: The thawed value, or the Raw bytes of one that cannot be thawed.
        limit: Characters at most, but for three dots.
    """
    if type(value) is Raw:
        return printable(f"cannot be read, {len(value)} bytes: {value[: limit // 2].hex()}", limit)
    return printable(_Short(limit).repr(value), limit)


def as_json(value: Any, limit: int) -> dict[str, Any]:
    """Return a content as scripts get it: `form` tells what `content` is.

    "json": the value itself; "repr": Python's text of a value that JSON has no word for; "cut": the first `limit`
    characters of either; "unreadable": the first bytes of one that cannot be thawed, in hexadecimal digits.
    """
    if type(value) is Raw:
        return {"form": "unreadable", "content": value[: limit // 2].hex()}
    form, text = "json", ""
    if _is_json(value):
        text = json.dumps(value)
    else:
        form, text = "repr", _Short(limit).repr(value)
    if len(text) > limit:
        return {"form": "cut", "content": text[:limit]}
    return {"form": form, "content": value if form == "json" else text}


def line(told: Mapping[str, Any]) -> str:
    """Return one JSON object in one line of ASCII, without a control character."""
    return json.dumps(told, ensure_ascii=True, allow_nan=False).replace("\x7f", "\\u007f")


def age(seconds: float) -> str:
    """Return a duration as people read one, in whole units; nothing for none."""
    if seconds <= 0:
        return ""
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"


def moment(seconds: float) -> str:
    """Return a time of the server's clock in this machine's zone; one that is none as the number it is."""
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))
    except (OverflowError, OSError, ValueError):
        return f"{seconds:g}"


def _is_json(value: Any) -> bool:
    """Tell whether JSON gives back exactly this value."""
    kind = type(value)
    if kind in _JSON_KINDS:
        return True
    if kind is int:
        return bool(value.bit_length() <= _DIGITS * 3)
    if kind is float:
        return bool(value - value == 0.0)  # neither inf nor nan
    if kind is list:
        return all(map(_is_json, value))
    if kind is dict:
        return all(type(key) is str and _is_json(each) for key, each in value.items())
    return False
