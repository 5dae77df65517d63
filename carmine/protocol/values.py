"""Values of RESP that no builtin type can hold, and the rules by which maps and sets become Python's.

Nothing is mangled: where dict or set would lose a pair or a member, a list that says so takes its place.
Both twins call these functions on their slow path, so the rule exists once.
"""

from __future__ import annotations

from typing import Any, Final, TypeVar, final

from carmine.protocol.limits import NUMBER_KEYS

__all__ = ["NEED_DATA", "Attributed", "Members", "NeedData", "Pairs", "Push", "Verbatim", "is_push", "map_of", "set_of"]

T = TypeVar("T")


@final
class NeedData:
    """The type of NEED_DATA: no reply is complete yet. None and False are replies, so neither could say it."""

    __slots__ = ()

    def __repr__(self) -> str:
        """Return its public name."""
        return "NEED_DATA"

    def __reduce__(self) -> str:
        """Pickle as the one instance."""
        return "NEED_DATA"


NEED_DATA: Final = NeedData()


class _List(list[T]):
    """A list that shows what it stands for."""

    __slots__ = ()

    def __repr__(self) -> str:
        """Show the class around the elements."""
        return f"{type(self).__name__}({super().__repr__()})"


class Push(_List[Any]):
    """An out-of-band message of RESP3: never the reply of a command."""

    __slots__ = ()


class Pairs(_List[tuple[Any, Any]]):
    """A map whose keys Python's dict cannot hold: `[(key, value)]`, in wire order."""

    __slots__ = ()


class Members(_List[Any]):
    """A set whose members Python's set cannot hold, in wire order."""

    __slots__ = ()


class _Value:
    """Equality and repr by the slots of a small value."""

    __slots__: tuple[str, ...] = ()

    def __eq__(self, other: object) -> bool:
        """Compare by type and parts."""
        if type(other) is not type(self):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self.__slots__)

    def __repr__(self) -> str:
        """Show the parts by name."""
        return f"{type(self).__name__}({', '.join(f'{name}={getattr(self, name)!r}' for name in self.__slots__)})"


@final
class Verbatim(_Value):
    """A verbatim string: `.data` (str or bytes, as asked) and its three-letter `.format`, such as "txt"."""

    __slots__ = ("format", "data")

    def __init__(self, format: str, data: str | bytes) -> None:
        self.format: str = format
        self.data: str | bytes = data

    def __hash__(self) -> int:
        """Hash by the parts."""
        return hash((self.format, self.data))


@final
class Attributed(_Value):
    """A value with the attributes that the server sent before it: `.value`, and `.attributes` as a map.

    It has no hash, as its attributes have none.
    """

    __slots__ = ("value", "attributes")

    def __init__(self, value: Any, attributes: dict[Any, Any] | Pairs) -> None:
        self.value: Any = value
        self.attributes: dict[Any, Any] | Pairs = attributes


def is_push(value: Any) -> bool:
    """Whether a value is a push, with attributes or without."""
    while isinstance(value, Attributed):
        value = value.value
    return isinstance(value, Push)


def _alike(a: Any, b: Any) -> bool:
    """Whether two keys that Python calls equal are the same value on the wire: 1, True, 1.0 and -0.0 are not."""
    return type(a) is type(b) and (type(a) is not float or repr(a) == repr(b))


def _collapses(keys: list[Any]) -> bool:
    """Whether hashing these keys would merge only true repetitions. Raises TypeError for one without a hash."""
    first: dict[Any, Any] = {}
    return all(_alike(first.setdefault(key, key), key) for key in keys)


def _too_many_numbers(keys: list[Any]) -> bool:
    """Whether so many keys are numbers that a peer could have chosen them to collide."""
    return len(keys) > NUMBER_KEYS and sum(type(key) is int or type(key) is float for key in keys) > NUMBER_KEYS


def map_of(flat: list[Any]) -> dict[Any, Any] | Pairs:
    """Return the map of `[key, value, key, value, ...]`.

    A repeated key keeps its first place and its last value. Keys that dict would confuse (1 and True), cannot hash,
    or could be made slow by (more than NUMBER_KEYS numbers) make it Pairs.
    """
    keys, values = flat[::2], flat[1::2]
    try:
        if not _too_many_numbers(keys):
            result = dict(zip(keys, values, strict=True))
            if len(result) == len(keys) or _collapses(keys):
                return result
    except TypeError:
        pass
    return Pairs(zip(keys, values, strict=True))


def set_of(items: list[Any]) -> set[Any] | Members:
    """Return the set of `items`, or Members by the rule of map_of."""
    try:
        if not _too_many_numbers(items):
            result = set(items)
            if len(result) == len(items) or _collapses(items):
                return result
    except TypeError:
        pass
    return Members(items)
