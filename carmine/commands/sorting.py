"""Commands of the group "generic" that sort: the items of a list, set or sorted set, by themselves or by other keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict, Unpack, overload

from carmine.commands.arguments import some_args
from carmine.commands.command import Command, Text
from carmine.commands.specs import spec
from carmine.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from carmine.types import Arg, Key


def _sorting(
    words: list[Arg],
    by: Arg | None,
    offset: int | None,
    num: int | None,
    get: Arg | Iterable[Arg] | None,
    desc: bool,
    alpha: bool,
) -> list[Arg]:
    """Append the options that SORT and SORT_RO share."""
    if (offset is None) != (num is None):
        raise UsageError("SORT takes offset and num together")
    if by is not None:
        words += (b"BY", by)
    if offset is not None and num is not None:
        words += (b"LIMIT", offset, num)
    for pattern in () if get is None else some_args("SORT", get):
        words += (b"GET", pattern)
    if desc:
        words.append(b"DESC")
    if alpha:
        words.append(b"ALPHA")
    return words


class SortOptions(TypedDict, total=False):
    """What every form of `sort` takes; its definition says what each is for."""

    by: Arg | None
    offset: int | None
    num: int | None
    desc: bool
    alpha: bool


_SORT = spec("SORT")
_SORT_RO = spec("SORT_RO")


@overload
def sort(
    key: Key,
    *,
    get: None = None,
    store: None = None,
    **options: Unpack[SortOptions],
) -> Command[list[Text]]: ...
@overload
def sort(
    key: Key,
    *,
    get: Arg | Iterable[Arg],
    store: None = None,
    **options: Unpack[SortOptions],
) -> Command[list[Text | None]]: ...
@overload
def sort(
    key: Key,
    *,
    get: Arg | Iterable[Arg] | None = None,
    store: Key,
    **options: Unpack[SortOptions],
) -> Command[int]: ...
@overload
def sort(
    key: Key,
    *,
    get: Arg | Iterable[Arg] | None = None,
    store: Key | None,
    **options: Unpack[SortOptions],
) -> Command[list[Text] | list[Text | None] | int]: ...
def sort(
    key: Key,
    *,
    by: Arg | None = None,
    offset: int | None = None,
    num: int | None = None,
    get: Arg | Iterable[Arg] | None = None,
    desc: bool = False,
    alpha: bool = False,
    store: Key | None = None,
) -> Command[Any]:
    """SORT: read the items of a list, set or sorted set in order, or keep them under another key.

    Args:
        key: The key to read.
        by: A pattern: sort by the keys that it makes, `*` standing for the item; one without `*` does not sort.
        offset: How many items to leave out; needs `num`.
        num: How many items to take.
        get: A pattern, or several: give the values of the keys that they make; "#" is the item itself.
        desc: From high to low.
        alpha: Sort as text, not as numbers.
        store: Keep the outcome as a list under this key.

    Returns:
        The items; with `get` one value for each pattern and item, None where there is no such key; with `store`
        their number.

    Raises:
        UsageError: `offset` without `num`, or the reverse.

    Since: 1.0.0. Cost: O(n + m log m), n items of which m are given. Source: redis.io/commands/sort
    """
    words = _sorting([b"SORT", key], by, offset, num, get, desc, alpha)
    if store is not None:
        words += (b"STORE", store)
    return Command(_SORT, tuple(words))


@overload
def sort_ro(
    key: Key,
    *,
    get: None = None,
    **options: Unpack[SortOptions],
) -> Command[list[Text]]: ...
@overload
def sort_ro(
    key: Key,
    *,
    get: Arg | Iterable[Arg],
    **options: Unpack[SortOptions],
) -> Command[list[Text | None]]: ...
def sort_ro(
    key: Key,
    *,
    by: Arg | None = None,
    offset: int | None = None,
    num: int | None = None,
    get: Arg | Iterable[Arg] | None = None,
    desc: bool = False,
    alpha: bool = False,
) -> Command[Any]:
    """SORT_RO: read the items of a list, set or sorted set in order; a replica may answer it.

    Args:
        key: The key to read.
        by: A pattern: sort by the keys that it makes, `*` standing for the item; one without `*` does not sort.
        offset: How many items to leave out; needs `num`.
        num: How many items to take.
        get: A pattern, or several: give the values of the keys that they make; "#" is the item itself.
        desc: From high to low.
        alpha: Sort as text, not as numbers.

    Returns:
        The items; with `get` one value for each pattern and item, None where there is no such key.

    Raises:
        UsageError: `offset` without `num`, or the reverse.

    Since: 7.0.0. Cost: O(n + m log m), n items of which m are given. Source: redis.io/commands/sort_ro
    """
    return Command(_SORT_RO, tuple(_sorting([b"SORT_RO", key], by, offset, num, get, desc, alpha)))
