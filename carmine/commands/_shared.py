"""Methods of rarely used groups, written once: the async and the pipeline facade take them from the sync one.

Their files hold what type checkers read, the signatures; a method is made of the sync one when it is first asked for,
and stands in its class from then on (ADR 14). This module knows no command.
"""

from __future__ import annotations

from functools import WRAPPER_ASSIGNMENTS, update_wrapper
from types import FunctionType
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["SharedMethod", "awaited", "queued", "share_methods"]

Method: TypeAlias = FunctionType
Making: TypeAlias = "Callable[[Method], Method]"


class SharedMethod:
    """Stands in a facade where a method will be, until somebody asks for it; then the method takes its place.

    Args:
        facade: The class that it belongs to.
        method: The sync facade's method.
        make: Makes this world's method of that one.
    """

    __slots__ = ("_facade", "_make", "_method")

    def __init__(self, facade: type, method: Method, make: Making) -> None:
        self._facade = facade
        self._method = method
        self._make = make

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        """Make the method, put it in this object's place, and answer for it this once."""
        made = self._make(self._method)
        made.__module__ = self._facade.__module__
        made.__qualname__ = f"{self._facade.__name__}.{made.__name__}"
        setattr(self._facade, made.__name__, made)
        return made if instance is None else made.__get__(instance, owner)


def share_methods(facade: type, origin: type, make: Making) -> None:
    """Give a facade the public methods of the origin that it has not written out itself."""
    for name, method in vars(origin).items():
        if isinstance(method, FunctionType) and not name.startswith("_") and name not in vars(facade):
            setattr(facade, name, SharedMethod(facade, method, make))


def awaited(method: Method) -> Method:
    """Return a coroutine function that awaits what the method returns: here its `_execute` gives an awaitable."""

    async def call(self: Any, *args: Any, **options: Any) -> Any:
        return await method(self, *args, **options)

    made = update_wrapper(call, method, WRAPPER_ASSIGNMENTS)
    assert isinstance(made, FunctionType)
    return made


def queued(method: Method) -> Method:
    """Return the same code as a method of a pipeline: where it says `_execute`, it means `_queue`."""
    code = method.__code__
    names = tuple("_queue" if name == "_execute" else name for name in code.co_names)
    code = code.replace(co_names=names)
    made = FunctionType(code, method.__globals__, method.__name__, method.__defaults__, method.__closure__)
    made.__kwdefaults__ = method.__kwdefaults__
    made.__annotations__ = {**method.__annotations__, "return": f"Reply[{method.__annotations__['return']}]"}
    made.__doc__ = method.__doc__
    return made
