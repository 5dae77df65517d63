"""The base of values that never change once they are made: addresses, policies, credentials, options.

A pure room, below all others. A value lists its parts in `__slots__`, checks them in its constructor and sets them
with `_put`; comparing, hashing, pickling and copying follow from the parts. (A frozen dataclass does as much, but its
import alone takes longer than that of this library's whole transport.)
"""

from __future__ import annotations

from typing import Any, NoReturn, Self

__all__ = ["Frozen"]


class Frozen:
    """A value made of its slots."""

    __slots__: tuple[str, ...] = ()

    def _put(self, **parts: object) -> None:
        """Set parts, from the constructor only."""
        for name, value in parts.items():
            object.__setattr__(self, name, value)

    def _parts(self) -> tuple[Any, ...]:
        return tuple(getattr(self, name) for name in self.__slots__)

    def __repr__(self) -> str:
        try:
            return self._show()
        except AttributeError:  # a constructor raised, and a reporter prints the locals of its frame
            return f"<{type(self).__name__}, not made>"

    def _show(self) -> str:
        return object.__repr__(self)

    def __eq__(self, other: object) -> bool:
        return self._parts() == other._parts() if type(self) is type(other) and isinstance(other, Frozen) else False

    def __hash__(self) -> int:
        return hash(self._parts())

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self._parts())

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"{type(self).__name__} never changes: {name!r} cannot be set")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"{type(self).__name__} never changes: {name!r} cannot be deleted")


def _rebuild(cls: type[Frozen], parts: tuple[Any, ...]) -> Frozen:
    value = cls.__new__(cls)
    value._put(**dict(zip(cls.__slots__, parts, strict=True)))
    return value
