"""The texts of numbers, as docs/protocol.md 2.3, 3.24 and 3.25 have them: narrower than int() and float() are."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["is_decimal", "parse_integer"]

_DECIMAL: Final = re.compile(rb"[+-]?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|-?inf|-?nan")
_DIGITS: Final = 4000  # at once: below CPython's limit of 4,300 digits for int()


def parse_integer(digits: bytes) -> int | None:
    """Return the integer of an optional sign and ASCII digits, of any length, or None."""
    body = digits[1:] if digits[:1] in (b"-", b"+") else digits
    if not body.isdigit():
        return None
    first = (len(body) - 1) % _DIGITS + 1
    value = int(body[:first])
    for start in range(first, len(body), _DIGITS):
        value = value * 10**_DIGITS + int(body[start : start + _DIGITS])
    return -value if digits[:1] == b"-" else value


def is_decimal(line: bytes) -> bool:
    """Whether the text is a double of the grammar; a plain one is known without the expression."""
    if line.replace(b".", b"", 1).isdigit() and line[0] != 46 != line[-1]:
        return True
    return _DECIMAL.fullmatch(line) is not None
