"""Thawing: from bytes that anybody may have written to a value.

The text is looked at before it is parsed (carmine.freezing.limits), and parsed by JSON's own reader, which hands over
each object as soon as it is complete: no tree is walked, nothing recurses. Invariants: only data and registered
classes come of it; whatever the bytes are, the only exception is ThawError, and it quotes nothing but type names.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any, Final

from carmine.errors import ThawError, UsageError, printable
from carmine.freezing import registry
from carmine.freezing.limits import DEFAULT_LIMITS, Limits, is_spread, overrun
from carmine.freezing.marks import JSON, NIPPY, NOTHING, RAW, USER
from carmine.freezing.scalars import READERS

__all__ = ["thaw"]

_LONGEST_INT: Final = 20
"""Characters of a JSON whole number; what is longer is written in hexadecimal."""

_UNREADABLE: Final = (ValueError, TypeError, ArithmeticError, LookupError, AttributeError, OSError, ImportError)
"""What Python's own constructors raise for parts they cannot take; a zone's name may lead to a file."""


def thaw(data: bytes | bytearray | memoryview, *, limits: Limits = DEFAULT_LIMITS) -> Any:
    """Return the value that was frozen.

    Args:
        data: What `freeze` gave, as it was stored; read it as bytes (`client.binary`).
        limits: What is read at most.

    Raises:
        ThawError: The bytes have no marker, or one of somebody else, or are not what `freeze` writes.
        UsageError: The argument is not bytes.
    """
    if not isinstance(data, bytes | bytearray | memoryview):
        raise UsageError(f"thaw() takes bytes, not {type(data).__name__}; read them through client.binary")
    given = data if type(data) is bytes else bytes(data)
    mark = given[:2]
    if mark == RAW:
        return given[2:]
    if mark == JSON:
        return _thawed(given[2:], limits)
    if mark == NOTHING:
        if len(given) == 2:
            return None
        raise ThawError("the marker of None has something behind it")
    if mark == NIPPY:
        raise ThawError("it was frozen by Nippy, the Clojure library's format, which only Clojure reads")
    if mark == USER:
        raise ThawError("it was written by a serializer of its own; a client that was given that one reads it")
    raise ThawError("it has no marker, so it is not frozen")


def _thawed(text: bytes, limits: Limits) -> Any:
    exceeded = overrun(text, limits)
    if exceeded is not None:
        raise ThawError(exceeded)
    try:
        return _decoder(limits).decode(text.decode())
    except ThawError:
        raise
    except json.JSONDecodeError as problem:
        reason = f"it is no JSON: {problem.msg} (character {problem.pos})"
    except UnicodeDecodeError:
        reason = "it is not UTF-8"
    except RecursionError:
        reason = "the stack of the calling thread is nearly used up"
    except _UNREADABLE as problem:
        reason = f"a part of it cannot be read ({type(problem).__name__})"
    raise ThawError(reason)


@lru_cache(maxsize=8)
def _decoder(limits: Limits) -> json.JSONDecoder:
    return json.JSONDecoder(
        object_pairs_hook=_Reader(limits).object, parse_int=_integer, parse_constant=_refuse_constant
    )


def _integer(text: str) -> int:
    if len(text) > _LONGEST_INT:
        raise ThawError(f"a whole number has more than {_LONGEST_INT} decimal digits")
    return int(text)


def _refuse_constant(text: str) -> float:
    raise ThawError(f"{text} is no JSON")


class _Reader:
    """Makes a value of each JSON object."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits

    def object(self, pairs: list[tuple[str, Any]]) -> Any:
        """Return a dict, or what the tag of the one member says."""
        if len(pairs) == 1 and pairs[0][0].startswith("!"):
            return self._tagged(*pairs[0])
        made = dict(pairs)
        if len(made) != len(pairs):
            raise ThawError("an object has two members of one name")
        return made

    def _tagged(self, tag: str, told: Any) -> Any:
        read = READERS.get(tag)
        try:
            if read is not None:
                if tag in ("!int", "!decimal") and type(told) is str and len(told) > self.limits.digits + 1:
                    raise ThawError(f"a number has more than {self.limits.digits} digits")
                return read(told)
            if tag in _GROUPS:
                return _GROUPS[tag](told)
        except _UNREADABLE as problem:
            reason = f"what stands under {tag!r} is none ({type(problem).__name__})"
        else:
            if tag.startswith("!:"):
                return _registered(tag[2:], told)
            reason = f"the tag {printable(tag, 64)!r} is not known here"
        raise ThawError(reason)


def _registered(name: str, told: Any) -> Any:
    shown = printable(name, 128)
    entry = registry.by_name.get(name)
    if entry is None:
        raise ThawError(f"the class {shown!r} is not registered here: see carmine.freezable")
    try:
        return entry.load(told)
    except Exception as problem:  # noqa: BLE001 - the class's own checks may raise anything
        reason = f"the class {shown!r} does not take what is stored ({type(problem).__name__})"
    raise ThawError(reason)


def _items(told: Any) -> list[Any]:
    if type(told) is not list:
        raise TypeError("an array was expected")
    return told


def _check_keys(keys: list[Any]) -> None:
    if not is_spread(keys):
        raise ThawError("so many keys of one container are numbers, or have one hash, that they may collide on purpose")


def _tuple(told: Any) -> tuple[Any, ...]:
    return tuple(_items(told))


def _set(told: Any) -> set[Any]:
    _check_keys(_items(told))
    made = set(told)
    if len(made) != len(told):
        raise ValueError("a member stands there twice")
    return made


def _frozenset(told: Any) -> frozenset[Any]:
    return frozenset(_set(told))


def _dict(told: Any) -> dict[Any, Any]:
    if any(type(pair) is not list or len(pair) != 2 for pair in _items(told)):
        raise TypeError("pairs were expected")
    _check_keys([key for key, _ in told])
    made = dict(told)
    if len(made) != len(told):
        raise ValueError("a key stands there twice")
    return made


_GROUPS: Final = {"!dict": _dict, "!frozenset": _frozenset, "!set": _set, "!tuple": _tuple}
