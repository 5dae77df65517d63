"""Compare and set: a value replaced if it is still what it was, and the loop around that.

`swap` reads, asks a function for the new value, and writes if nobody else has written meanwhile, else begins again
with what it was told: one round trip for each attempt after the first. Invariants: a value is compared as it is stored,
never as it was read; a function that raises leaves everything as it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from carmine import _checks
from carmine._bridge import aio
from carmine.client._async.script import AsyncScripting
from carmine.client.cas import (
    ABORT,
    DELETE,
    FIELD,
    HMSETNX,
    MISSING,
    STRING,
    Swapped,
    compared,
    pairs,
    reread,
    stored,
    untouched,
)
from carmine.commands.specs import spec
from carmine.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from carmine.client.cas import Mark
    from carmine.client.lua import Program
    from carmine.client.serializing import Serializing
    from carmine.commands.command import Words
    from carmine.types import Arg, Key

__all__ = ["AsyncSwapping"]

T = TypeVar("T", bound=str | bytes)

_GET: Final = spec("GET", text=False)
_HGET: Final = spec("HGET", text=False)


class AsyncSwapping(AsyncScripting, Generic[T]):
    """What a client has for compare and set."""

    __slots__ = ()

    if TYPE_CHECKING:
        _text: bool
        _serializing: Serializing | None

    async def compare_and_set(self, key: Key, old: Arg | T | Mark, new: Arg | T | Mark) -> bool:
        """Set a key's value if it is still what it was; one script, one round trip.

        The time to live stays. Above 40 bytes `old` goes out as its SHA-1.

        Args:
            key: The key of a string.
            old: The value that it must have; carmine.MISSING if there must be none.
            new: The value to store; carmine.DELETE deletes the key.

        Returns:
            Whether it was written.

        Raises:
            WrongTypeError: The key holds something else than a string; below 7.0 another ServerError says so.
        """
        words = compared(stored(self._serializing, old), stored(self._serializing, new))
        return bool(await self._run(STRING, (key,), words) == 1)

    async def compare_and_hset(self, key: Key, field: Arg | T, old: Arg | T | Mark, new: Arg | T | Mark) -> bool:
        """Set a field of a hash if it is still what it was; one script, one round trip.

        Args:
            key: The key of a hash.
            field: The field.
            old: The value that it must have; carmine.MISSING if there must be none.
            new: The value to store; carmine.DELETE deletes the field.

        Returns:
            Whether it was written.
        """
        words = compared(stored(self._serializing, old), stored(self._serializing, new), field)
        return bool(await self._run(FIELD, (key,), words) == 1)

    async def swap(
        self, key: Key, fn: Callable[[T | None, bool], Any], attempts: int | None = None, abort: Any = None
    ) -> Any:
        """Replace a key's value by what a function makes of it, again from the start when somebody was quicker.

        The function may run many times and should do nothing else. The time to live stays.

        Args:
            key: The key of a string.
            fn: Called with the value (None if there is none) and whether it is missing. It returns the new value;
                or carmine.DELETE; or carmine.ABORT, to leave everything as it is; or `swapped(new, returned)`.
            attempts: How often at most; None for as long as it takes, which `carmine.deadline()` bounds.
            abort: What to return after ABORT, or when the attempts have run out.

        Returns:
            The new value as the function gave it, None after DELETE; or what `swapped` says; or `abort`.
        """
        return await self._swap(STRING, _GET, key, (), fn, attempts, abort)

    async def hswap(
        self,
        key: Key,
        field: Arg | T,
        fn: Callable[[T | None, bool], Any],
        attempts: int | None = None,
        abort: Any = None,
    ) -> Any:
        """Replace the value of a hash's field by what a function makes of it; see `swap`.

        Args:
            key: The key of a hash.
            field: The field.
            fn: As for `swap`.
            attempts: As for `swap`.
            abort: As for `swap`.
        """
        return await self._swap(FIELD, _HGET, key, (field,), fn, attempts, abort)

    async def hmsetnx(self, key: Key, mapping: Mapping[Arg | T, Arg | T]) -> bool:
        """Set fields of a hash if it has none of them; one script, one round trip.

        Args:
            key: The key of a hash.
            mapping: Fields and their values, at least one.

        Returns:
            Whether they were set.
        """
        return await self._run(HMSETNX, (key,), pairs(mapping))

    async def _swap(
        self,
        program: Program[Any],
        get: Any,
        key: Key,
        more: Words,
        fn: Callable[[Any, bool], Any],
        attempts: int | None,
        abort: Any,
    ) -> Any:
        if not callable(fn):
            raise UsageError(f"swap takes a function of the value and of whether it is missing, not {_checks.kind(fn)}")
        left = attempts if attempts is None else _checks.whole("attempts", attempts, least=1)
        found = await self._execute(get, (get.name, key, *more))
        while True:
            value = None if found is None else reread(self._serializing, self._text, found)
            given: Any = await aio.call(fn, value, found is None)
            new, returned = given if type(given) is Swapped else (given, None if given is DELETE else given)
            if new is ABORT:
                return abort
            old = MISSING if found is None else untouched(self._serializing, found)
            told = await self._run(program, (key,), compared(old, stored(self._serializing, new), *more, tell=True))
            if told == 1:
                return returned
            left = left and left - 1
            if left == 0:
                return abort
            found = told[0] if told else None
