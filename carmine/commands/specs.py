"""Specs from the table: `spec()` for the command functions, `lookup()` for words that came through the raw door.

The only room that reads `_table.py`. A Spec made here is shared and never changed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from carmine.commands import _table
from carmine.commands.command import Spec
from carmine.commands.flags import ABSOLUTE, BLOCKING, CONTAINER, SECRET, STATE, UNKNOWN, WRITE
from carmine.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from carmine.commands.command import Words
    from carmine.types import Arg

__all__ = ["is_absolute", "lookup", "refusal", "route", "spec"]

_CACHED: Final = 2048
"""Spellings that `lookup` remembers: more than there are commands, and a bound against made-up ones."""

_LONGEST: Final = 16
"""Letters of the longest word that can be a condition; a longer word is a value, and is not looked at."""

_seen: dict[str | bytes, Spec] = {}
_seen_below: dict[str, Spec] = {}


def spec(
    name: str, decode: Callable[[Any], Any] | None = None, *, text: bool | None = None, waits: bool = True
) -> Spec:
    """Return the Spec of a command of the table, for one reply shape.

    Args:
        name: The name in capitals, sub-command included.
        decode: Turns the raw reply into the result; None where the raw reply is the result.
        text: None reads the reply's strings as the client does; True always as str, False always as bytes.
        waits: False for the form of a blocking command that never waits (XREAD without BLOCK).
    """
    flags, keys = _table.COMMANDS[name]
    if not waits:
        return Spec(name, flags & ~BLOCKING, decode=decode, text=text, keys=keys)
    return Spec(name, flags, decode=decode, text=text, block=_table.BLOCK.get(name), keys=keys)


def lookup(words: Words) -> Spec:
    """Return the Spec for words as a caller typed them, any capitals, str or bytes.

    A name of two words is given as two: `("CONFIG", "GET", "maxmemory")`. What the table does not know is taken for
    a write that must not be repeated and whose arguments are nobody's to see; below CLIENT also for one that sets
    state of its connection.

    Raises:
        UsageError: No words, or a first word that is no name: not text, empty, or with a space in it.
    """
    first = words[0] if words else None
    found = _seen.get(first) if isinstance(first, str | bytes) else None
    if found is None:
        name = _name(first)
        found = spec(name) if name in _table.COMMANDS else _unknown(name)
        if isinstance(first, str | bytes) and not found.flags & UNKNOWN:
            if len(_seen) >= _CACHED:
                _seen.clear()
            _seen[first] = found
    if not found.flags & CONTAINER or len(words) == 1:
        return found
    name = f"{found.name} {_text(words[1]).upper()}"
    below = _seen_below.get(name)
    if below is None:
        if name not in _table.COMMANDS:
            return _unknown(found.name, found.flags & STATE)
        below = _seen_below[name] = spec(name)
    return below


def _unknown(name: str, more: int = 0) -> Spec:
    return Spec(name, UNKNOWN | WRITE | SECRET | more)


def _text(word: Arg) -> str:
    """Return a word as text, whatever it holds: for looking up, never for sending."""
    if isinstance(word, str):
        return word
    if isinstance(word, bytes | bytearray | memoryview):
        return bytes(word).decode("latin-1")
    return str(word)


def _name(word: Arg | None) -> str:
    """Return the name in capitals, or refuse it."""
    if word is None or isinstance(word, int | float):
        raise UsageError('a command begins with its name, as str or bytes, such as execute("GET", key)')
    name = _text(word).upper()
    if not name or not name.isprintable() or " " in name:
        raise UsageError(
            "a command's name is one word without spaces; give a name of two words as two: "
            'execute("CONFIG", "GET", "maxmemory")'
        )
    return name


def is_absolute(spec: Spec, words: Words) -> bool:
    """Tell whether these words may be sent again although they write: a second execution changes nothing.

    Args:
        spec: Their Spec.
        words: Name and arguments; a conditional form (SET with NX) is not absolute. Any word that reads like the
            condition counts, a value too: the price is a retry not made.
    """
    if not spec.flags & ABSOLUTE:
        return False
    unless = _table.UNLESS.get(spec.name, ())
    short = (word for word in words[1:] if isinstance(word, str | bytes | bytearray) and len(word) <= _LONGEST)
    return not any(_text(word).upper() in unless for word in short)


def refusal(spec: Spec) -> str:
    """Return why a forbidden command is refused, and what to do instead."""
    return f"{spec.name} is refused: {_table.REFUSED[spec.name]}"


def route(spec: Spec) -> tuple[str, str]:
    """Return the servers' request and response policy for a cluster; two empty texts where they give none."""
    return _table.ROUTES.get(spec.name, ("", ""))
