"""The classes that may be frozen beside Python's own: dataclasses, enums and named tuples, by a stable name.

Only what was registered is ever made of bytes, and nothing is found by a name that the bytes give but in here.
Invariants: a name belongs to one class and a class to one name; an instance is read as data (its fields, or the name
of its member), and made by calling its class, so that the class's own checks run.
"""

from __future__ import annotations

import re
import sys
from enum import Enum, Flag
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from carmine.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Entry", "by_name", "by_type", "freezable"]

C = TypeVar("C", bound=type)

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,127}")


class Entry(NamedTuple):
    """What is known about a registered class."""

    name: str
    cls: type
    dump: Callable[[Any], Any]
    """Turns an instance into a dict of its fields, or a member's name or number."""
    load: Callable[[Any], Any]
    """The way back. Raises TypeError, ValueError, LookupError or whatever the class does for what it cannot take."""


by_name: Final[dict[str, Entry]] = {}
by_type: Final[dict[type, Entry]] = {}


def freezable(name: str) -> Callable[[C], C]:
    """Return a decorator that lets a dataclass, enum or named tuple be frozen, by this name.

    The name is what is stored, so it outlives the class's own: keep it when the class is renamed or moved. Fields may
    be added later if they have defaults; a field that is gone makes older values unreadable.

    Args:
        name: Letters, digits, `_`, `.` and `-`, beginning with a letter; best with a prefix of yours, "shop.Order".

    Raises:
        UsageError: The name is taken, or is none; the class is none of the three kinds, is registered already, or
            holds more than its fields tell.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):  # type: ignore[redundant-expr]  # callers may have no types
        raise UsageError(
            "a frozen class's name is 1 to 128 letters, digits, '_', '.' and '-', beginning with a letter or '_'"
        )

    def register(cls: C) -> C:
        entry = _entry(name, cls)
        for known in (by_name.get(name), by_type.get(cls)):
            if known is not None and (known.name != name or not _is_same(known.cls, cls)):
                raise UsageError(
                    f"{cls.__name__} cannot be registered as {name!r}: "
                    f"{known.cls.__name__} is registered as {known.name!r}"
                )
        by_name[name] = by_type[cls] = entry
        return cls

    return register


def _is_same(known: type, cls: type) -> bool:
    """Whether it is the same class, perhaps defined anew by reloading its module."""
    return (known.__module__, known.__qualname__) == (cls.__module__, cls.__qualname__)


def _entry(name: str, cls: object) -> Entry:
    if not isinstance(cls, type):
        raise UsageError(f"a class is registered, not an object; this is a {type(cls).__name__}")
    if issubclass(cls, Flag):
        return Entry(name, cls, lambda member: member.value, _flag_loader(cls))
    if issubclass(cls, Enum):
        return Entry(name, cls, lambda member: member.name, _member_loader(cls))
    if issubclass(cls, tuple):
        fields = getattr(cls, "_fields", None)
        if isinstance(fields, tuple) and cls.__new__ is not tuple.__new__:
            return Entry(name, cls, lambda row: dict(zip(fields, row, strict=True)), _loader(cls, frozenset(fields)))
    elif hasattr(cls, "__dataclass_fields__") and not issubclass(cls, _HOLDERS):
        return _dataclass_entry(name, cls)
    raise UsageError(f"{cls.__name__} is no dataclass, enum or named tuple, or holds more than its fields")


_HOLDERS: Final = (str, bytes, bytearray, int, float, complex, list, dict, set, frozenset, BaseException)
"""What a dataclass may not be as well: its fields would not tell it all."""


def _flag_loader(cls: type[Flag]) -> Callable[[Any], Any]:
    def load(number: Any) -> Flag:
        if type(number) is not int:
            raise TypeError("a flag is a whole number")
        return cls(number)

    return load


def _member_loader(cls: type[Enum]) -> Callable[[Any], Any]:
    def load(member: Any) -> Enum:
        if type(member) is not str:
            raise TypeError("a member is told by its name")
        return cls.__members__[member]

    return load


def _loader(cls: type, names: frozenset[str], later: frozenset[str] = frozenset()) -> Callable[[Any], Any]:
    def load(fields: Any) -> Any:
        if type(fields) is not dict or not fields.keys() <= names | later:
            raise TypeError("the fields are not those of the class")
        made = cls(**{name: value for name, value in fields.items() if name in names})
        for name in later & fields.keys():
            object.__setattr__(made, name, fields[name])  # past a frozen class's own
        return made

    return load


def _dataclass_entry(name: str, cls: type) -> Entry:
    # whoever made a dataclass has imported the module, which takes longer than all of this library
    fields = sys.modules["dataclasses"].fields(cls)
    if any(field._field_type.name == "_FIELD_INITVAR" for field in cls.__dataclass_fields__.values()):  # type: ignore[attr-defined]
        raise UsageError(f"{cls.__name__} takes an InitVar, which no field remembers")
    names = frozenset(field.name for field in fields if field.init)
    every = tuple(field.name for field in fields)
    return Entry(
        name,
        cls,
        lambda value: {field: getattr(value, field) for field in every},
        _loader(cls, names, frozenset(every) - names),
    )
