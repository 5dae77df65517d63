"""Freezing: from a value to the bytes that stand for it.

A value is turned into what JSON can hold, tags included, and JSON's own encoder does the rest. Types are compared
exactly: a subclass of a builtin is another type, which would not come back. Invariant: what cannot be written is a
UsageError that names the type and where it stands, never what it holds.
"""

from __future__ import annotations

import json
import math
from typing import Any, Final, NoReturn

from carmine.errors import UsageError
from carmine.freezing import registry
from carmine.freezing.limits import DEFAULT_LIMITS, Limits, is_spread, overrun
from carmine.freezing.marks import JSON, NOTHING, RAW, Raw
from carmine.freezing.scalars import WRITERS, Unwritable, hexadecimal, surrogates

__all__ = ["SMALLEST", "LARGEST", "freeze"]

SMALLEST: Final = -(1 << 63)
LARGEST: Final = (1 << 64) - 1
"""Whole numbers from SMALLEST to LARGEST are written as JSON's own."""

_encode: Final = json.JSONEncoder(
    ensure_ascii=False, check_circular=False, allow_nan=False, separators=(",", ":")
).encode

_GROUPS: Final[dict[type, str]] = {list: "", tuple: "!tuple", set: "!set", frozenset: "!frozenset"}
_SORTED: Final = (set, frozenset)


def freeze(value: Any, *, limits: Limits = DEFAULT_LIMITS) -> Raw:
    """Return a value as bytes that `thaw` turns back into the same value of the same type.

    As an argument the result goes out as it is, with a serializer or without. Equal values of equal types give equal
    bytes; the order of a dict counts, that of a set does not.

    Args:
        value: None, bool, str, bytes, int, float, complex, Decimal, list, tuple, dict, set, frozenset, UUID,
            datetime, date, time, timedelta, or an instance of a class made known with `freezable`; containers hold the
            same.
        limits: What is written at most; who reads has the same limits unless told otherwise.

    Raises:
        UsageError: A value of another type, also a subclass of one of these; one that contains itself; too large.
    """
    if value is None:
        return Raw(NOTHING)
    if type(value) is bytes:
        return Raw(RAW + value)
    refused: str | None = None
    try:
        text = _written(value, limits)
    except _Refused as problem:
        refused = problem.told()
    except RecursionError:
        refused = f"a {type(value).__name__} cannot be frozen here: the stack of the calling thread is nearly used up"
    except RuntimeError as problem:
        if "during iteration" not in str(problem):  # of a class's own
            raise
        refused = f"a {type(value).__name__} cannot be frozen: it was changed at the same time, by another thread"
    else:
        exceeded = overrun(text, limits)
        if exceeded is None:
            return Raw(JSON + text)
        refused = f"a {type(value).__name__} cannot be frozen: {exceeded}"
    raise UsageError(refused)  # outside the handler: the error keeps no frame that holds the value


def _written(value: object, limits: Limits) -> bytes:
    try:
        return _encode(_Writer(limits).tree(value, limits.depth)).encode()
    except UnicodeEncodeError:
        pass
    try:
        return _encode(_Writer(limits, careful=True).tree(value, limits.depth)).encode()
    except UnicodeEncodeError:
        pass
    raise _Refused(f"a {type(value).__name__}", "the name of a field or member in it holds a lone surrogate")


class _Refused(Exception):
    """A value that cannot be written, on its way out of the containers around it."""

    def __init__(self, what: str, why: str = "") -> None:
        super().__init__(what, why)
        self.steps: list[str] = []

    def told(self) -> str:
        """Return the sentence for the caller."""
        where = f" (at {', '.join(reversed(self.steps))})" if self.steps else ""
        what, why = self.args
        return f"{what}{where} cannot be frozen{why and f': {why}'}"


class _Writer:
    """Turns one value into what JSON can hold.

    Args:
        limits: What is written at most.
        careful: Whether texts are looked at for lone surrogates, which UTF-8 cannot carry.
    """

    def __init__(self, limits: Limits, *, careful: bool = False) -> None:
        self.limits = limits
        self.careful = careful
        self.open: set[int] = set()

    def tree(self, value: Any, room: int) -> Any:
        """Return one value's form; `room` says how many levels of JSON may still be opened."""
        kind = type(value)
        if kind is str:
            return {"!str": surrogates(value)} if self.careful and _has_surrogate(value) else value
        if kind is int and SMALLEST <= value <= LARGEST:
            return value
        if value is None or kind is bool or (kind is float and math.isfinite(value)):
            return value
        if kind in _GROUPS or kind is dict or kind in registry.by_type:
            return self._container(value, kind, room)
        return self._scalar(value, kind)

    def _scalar(self, value: Any, kind: type) -> Any:
        known = WRITERS.get(kind)
        if known is None:
            _refuse(value)
        tag, write = known
        if kind is int and value.bit_length() > 4 * self.limits.digits:
            raise _Refused("an int", f"it has more than {self.limits.digits} hexadecimal digits")
        try:
            written = hexadecimal(value) if kind is int else write(value)
        except Unwritable as problem:
            raise _Refused(f"a {kind.__name__}", f"it has {problem}") from None
        if tag == "!decimal" and len(written) > self.limits.digits:
            raise _Refused("a Decimal", f"it has more than {self.limits.digits} digits")
        return {tag: written}

    def _container(self, value: Any, kind: type, room: int) -> Any:
        if room <= 0:
            raise _Refused(f"a {kind.__name__}", f"it is nested deeper than {self.limits.depth} levels of JSON")
        if id(value) in self.open:
            raise _Refused(f"a {kind.__name__}", "it contains itself")
        self.open.add(id(value))
        try:
            if kind is dict:
                return self._dict(value, room)
            if kind in _GROUPS:
                return self._group(value, kind, room)
            return self._registered(value, registry.by_type[kind], room)
        finally:
            self.open.discard(id(value))

    def _group(self, value: Any, kind: type, room: int) -> Any:
        tag = _GROUPS[kind]
        made: list[Any] = []
        room -= 2 if tag else 1
        try:
            made.extend(self.tree(item, room) for item in value)  # up to the one that is refused
        except _Refused as refused:
            refused.steps.append(f"item {len(made)}")
            raise
        if kind in _SORTED:
            _check_spread(value, kind)
            made.sort(key=_encode)  # the order of a set differs from process to process
        return {tag: made} if tag else made

    def _dict(self, value: dict[Any, Any], room: int) -> Any:
        if self._is_plain(value):
            made: dict[str, Any] = {}
            try:
                for key, item in value.items():
                    made[key] = self.tree(item, room - 1)
            except _Refused as refused:
                refused.steps.append(f"entry {len(made)}")
                raise
            return made
        _check_spread(value, dict)
        pairs: list[list[Any]] = []
        try:
            for key, item in value.items():
                pairs.append([self.tree(key, room - 3), self.tree(item, room - 3)])
        except _Refused as refused:
            refused.steps.append(f"entry {len(pairs)}")
            raise
        return {"!dict": pairs}

    def _is_plain(self, value: dict[Any, Any]) -> bool:
        """Whether a JSON object can be written that is not taken for a tag."""
        if not all(type(key) is str for key in value):
            return False
        if len(value) == 1 and next(iter(value)).startswith("!"):
            return False
        return not (self.careful and any(map(_has_surrogate, value)))

    def _registered(self, value: Any, entry: registry.Entry, room: int) -> Any:
        try:
            told = entry.dump(value)
        except AttributeError:
            told = None
        if type(told) is str or type(told) is int:
            return {f"!:{entry.name}": self.tree(told, room - 1)}
        if type(told) is not dict:
            raise _Refused(f"a {entry.cls.__name__}", "it lacks one of its fields, or is no named member")
        made: dict[str, Any] = {}
        for name, item in told.items():
            try:
                made[name] = self.tree(item, room - 2)
            except _Refused as refused:
                refused.steps.append(f"field {name!r} of {entry.cls.__name__}")
                raise
        return {f"!:{entry.name}": made}


_REGISTER: Final = "a dataclass, enum or named tuple can be made known with carmine.freezable"


def _refuse(value: object) -> NoReturn:
    kind = type(value)
    if kind is Raw:
        raise _Refused("what freeze() or raw() gave", "it is bytes that stand for a value already")
    if isinstance(value, bytearray | memoryview):
        raise _Refused(f"a {kind.__name__}", "it would come back as bytes; freeze bytes(...) of it")
    base = next((known for known in kind.__mro__ if known in WRITERS or known in _GROUPS or known in (dict, str)), None)
    if base is not None:
        raise _Refused(f"a {kind.__name__}", f"it would come back as a plain {base.__name__}; {_REGISTER}")
    raise _Refused(f"a {kind.__name__}", _REGISTER)


def _check_spread(keys: Any, kind: type) -> None:
    if not is_spread(keys):
        raise _Refused(f"a {kind.__name__}", "so many of its keys are numbers, or have one hash, that they may collide")


def _has_surrogate(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False
