"""Functions that make something of a reply: for `parse` of a `wcar` block, and for use anywhere.

Pure. None, the reply of what is not there, stays None.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar, overload

from carmine.errors import CarmineError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["ParserError", "as_bool", "as_float", "as_int", "as_map", "compose"]

K = TypeVar("K")
V = TypeVar("V")

_TRUE: Final = frozenset({1, "1", b"1", "true", b"true", "OK", b"OK"})
_FALSE: Final = frozenset({0, "0", b"0", "false", b"false"})


class ParserError(CarmineError):
    """A parser raised at a reply; what it raised is the `__cause__`."""


@overload
def as_int(reply: None) -> None: ...
@overload
def as_int(reply: str | bytes | float) -> int: ...
def as_int(reply: str | bytes | float | None) -> int | None:
    """Return a reply as a whole number.

    Raises:
        ValueError: It is none.
    """
    return reply if reply is None else int(reply)


@overload
def as_float(reply: None) -> None: ...
@overload
def as_float(reply: str | bytes | float) -> float: ...
def as_float(reply: str | bytes | float | None) -> float | None:
    """Return a reply as a floating-point number.

    Raises:
        ValueError: It is none.
    """
    return reply if reply is None else float(reply)


@overload
def as_bool(reply: None) -> None: ...
@overload
def as_bool(reply: str | bytes | float) -> bool: ...
def as_bool(reply: str | bytes | float | None) -> bool | None:
    """Return a reply as a truth value: 1, "1", "true" and "OK" are True; 0, "0" and "false" are False.

    Raises:
        ValueError: It is neither.
    """
    if reply is None:
        return None
    if reply in _TRUE:
        return True
    if reply in _FALSE:
        return False
    raise ValueError("neither 1, true or OK, nor 0 or false")


def as_map(
    reply: Any, keys: Callable[[Any], Any] | None = None, values: Callable[[Any, Any], Any] | None = None
) -> Any:
    """Return a flat list of keys and values as a dict; a dict and a list of pairs work as well.

    Args:
        reply: `[key, value, key, value, ...]`.
        keys: Makes each key.
        values: Makes each value, called with the key that was made and the value.

    Raises:
        ValueError: It has an odd number of elements, or is no list.
    """
    if reply is None:
        return None
    if isinstance(reply, dict):
        pairs = [*reply.items()]
    elif not isinstance(reply, list | tuple):
        raise ValueError(f"a list of keys and values is wanted, not {type(reply).__name__}")
    elif reply and all(isinstance(item, list | tuple) and len(item) == 2 for item in reply):
        pairs = [(item[0], item[1]) for item in reply]
    elif len(reply) % 2:
        raise ValueError("an odd number of elements are no keys and values")
    else:
        pairs = [*zip(reply[::2], reply[1::2], strict=True)]
    made: dict[Any, Any] = {}
    for key, value in pairs:
        key = key if keys is None else keys(key)
        made[key] = value if values is None else values(key, value)
    return made


def compose(*functions: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return one function that calls the last given first: `compose(f, g)(x)` is `f(g(x))`.

    Raises:
        UsageError: Something among them cannot be called, or there is none.
    """
    if not functions or not all(map(callable, functions)):
        raise UsageError("compose takes functions, at least one")

    def composed(reply: Any) -> Any:
        for function in reversed(functions):
            reply = function(reply)
        return reply

    return composed
