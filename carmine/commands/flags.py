"""The bits of a Spec, and the questions that are answered by a spec and the words together.

Pure, and the hot path's own room: a client asks one `spec.flags & BIT` per command and comes here only when the bit
is set. Nothing here knows the table; a Spec carries all it needs.

A key specification (`Spec.keys`) is `("range", begin, last, step, limit)` or `("count", begin, at, first, step)`, the
two ways in which Redis describes where keys stand. `begin` is an index among the words, or `(token, start)`:
the word after `token`, looked for from index `start` on (backwards when negative). In a range `last` counts from
`begin`, or from the end when negative; a `limit` of 2 or more takes only that part of the words that remain.
In a count, the number of keys stands at `begin + at` and the first key at `begin + first`. `("filled", begin, ...)` is
one word that is a key unless it is empty (MIGRATE, whose keys may stand at the end instead).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from carmine.commands.command import Spec, Words
    from carmine.types import Arg

__all__ = [
    "ABSOLUTE",
    "BLOCKING",
    "CONTAINER",
    "FORBIDDEN",
    "NO_MULTI",
    "READONLY",
    "SECRET",
    "STATE",
    "SUBSCRIBE",
    "UNKNOWN",
    "WRITE",
    "block_seconds",
    "command_keys",
    "may_block",
]

READONLY: Final = 1 << 0
"""Changes nothing: may be sent again after an unknown outcome."""
WRITE: Final = 1 << 1
"""May change data."""
ABSOLUTE: Final = 1 << 2
"""A write whose repetition changes neither state nor reply; `specs.is_absolute` looks at the words as well."""
BLOCKING: Final = 1 << 3
"""May wait on the server, for as long as `block_seconds` says."""
STATE: Final = 1 << 4
"""Sets state of its connection, or needs it: has no place outside a pinned connection."""
SUBSCRIBE: Final = 1 << 5
"""Answered by pushes, one for each channel."""
FORBIDDEN: Final = 1 << 6
"""Would end the pairing of commands and replies; `specs.refusal` says what to do instead."""
SECRET: Final = 1 << 7
"""Its arguments may hold a password: never to be logged or shown."""
CONTAINER: Final = 1 << 8
"""Has sub-commands: the second word belongs to its name."""
NO_MULTI: Final = 1 << 9
"""The server refuses it inside MULTI."""
UNKNOWN: Final = 1 << 10
"""Not in the table: taken for a write that must not be repeated, with no key known and nothing fit for a log."""

_MS: Final = {"s": 1.0, "ms": 1e-3}


def _token(word: Arg) -> str:
    """Return the word in capitals if it can be a token, else an empty string."""
    if isinstance(word, str):
        return word.upper()
    if isinstance(word, bytes | bytearray | memoryview):
        return bytes(word).upper().decode("latin-1")
    return ""


def _find(words: Words, token: str, start: int, stop: str | None = None) -> int | None:
    """Return the index after `token`, looked for from `start` (backwards when negative), not beyond `stop`."""
    step = 1 if start >= 0 else -1
    index = start if start >= 0 else len(words) + start
    while 0 < index < len(words):
        seen = _token(words[index])
        if seen == token:
            return index + 1
        if seen == stop:
            return None
        index += step
    return None


def _number(word: Any) -> float | None:
    """Return the word as a number, or None: the server will refuse it better than we could."""
    if isinstance(word, memoryview):
        word = bytes(word)
    try:
        return float(word)
    except (TypeError, ValueError):
        return None


def block_seconds(spec: Spec, words: Words) -> float | None:
    """Return how many seconds this blocking command may wait by its own argument: math.inf when it says 0.

    None where it does not block (XREAD without BLOCK) or where the argument is missing or no number.
    """
    if spec.block is None:
        return None
    unit, where = spec.block
    if isinstance(where, str):
        index = _find(words, where, 1, stop="STREAMS")
        if index is None:
            return None
    else:
        index = where if where >= 0 else len(words) + where
    if not 0 < index < len(words):
        return None
    told = _number(words[index])
    if told is None or not 0 <= told < math.inf:
        return None
    return told * _MS[unit] if told else math.inf


def may_block(spec: Spec, words: Words) -> bool:
    """Return whether a command marked as blocking may make the server wait: it does not where its option is missing.

    A timeout that cannot be read counts: the server may read it otherwise.
    """
    if spec.block is None or not isinstance(spec.block[1], str):
        return True
    return _find(words, spec.block[1], 1, stop="STREAMS") is not None


def command_keys(spec: Spec, words: Words) -> list[Any]:
    """Return the keys among the words, in the order of the specification; empty when it names none.

    Words that do not fit the specification (too few, a count that is no number) give what can be found:
    the server refuses such a command.
    """
    found: list[Any] = []
    for kind, begin, a, b, c in spec.keys:
        first = begin if isinstance(begin, int) else _find(words, begin[0], begin[1])
        if first is None:
            continue
        if kind == "range":
            found += _range(words, first, a, b, c)
        elif kind == "filled":
            found += [word for word in words[first : first + 1] if _token(word)]
        else:
            count = _number(words[first + a]) if first + a < len(words) else None
            if count is not None and count > 0:
                start = first + b
                stop = min(len(words), start + int(min(count, len(words))) * c)
                found += words[start:stop:c]
    return found


def _range(words: Words, first: int, last: int, step: int, limit: int) -> Words:
    if last >= 0:
        end = first + last
    elif limit <= 1:
        end = len(words) + last
    else:
        end = first + (len(words) - first) // limit + last
    return words[first : end + 1 : step]
