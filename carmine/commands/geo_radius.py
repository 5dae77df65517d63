"""Commands of the group "geo" that GEOSEARCH has replaced, for programs that are on their way from them.

They give GeoMember whatever is asked: what was not is None. New programs call `geosearch`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Unpack, overload

from carmine.commands.command import Command, Text
from carmine.commands.geo_words import details, ordered, reader
from carmine.commands.specs import spec

if TYPE_CHECKING:
    from carmine.commands.command import Spec
    from carmine.commands.geo_words import GeoOrder, GeoRadius, Sort, Unit
    from carmine.geo_types import GeoMember
    from carmine.types import Arg, Key, Value

_GEORADIUS_STORE = spec("GEORADIUS")
_GEORADIUSBYMEMBER_STORE = spec("GEORADIUSBYMEMBER")


def _asked(name: str, words: tuple[Arg, ...], told: tuple[bool, bool, bool], order: list[Arg]) -> Command[Any]:
    """Return the command that gives members; its Spec depends on what they are told with."""
    found = _SPECS.get((name, told))
    if found is None:
        found = _SPECS[name, told] = spec(name, reader(*told))
    return Command(found, (*words, *details(*told), *order))


_SPECS: dict[tuple[str, tuple[bool, bool, bool]], Spec] = {}


@overload
def georadius(
    key: Key,
    longitude: float,
    latitude: float,
    radius: float,
    unit: Unit = "m",
    **search: Unpack[GeoRadius],
) -> Command[list[GeoMember[Text]]]: ...
@overload
def georadius(
    key: Key,
    longitude: float,
    latitude: float,
    radius: float,
    unit: Unit = "m",
    *,
    store: Key,
    storedist: bool = False,
    **search: Unpack[GeoOrder],
) -> Command[int]: ...
@overload
def georadius(
    key: Key,
    longitude: float,
    latitude: float,
    radius: float,
    unit: Unit = "m",
    *,
    store: Key | None = None,
    storedist: bool = False,
    **search: Unpack[GeoRadius],
) -> Command[list[GeoMember[Text]] | int]: ...
def georadius(
    key: Key,
    longitude: float,
    latitude: float,
    radius: float,
    unit: Unit = "m",
    *,
    withcoord: bool = False,
    withdist: bool = False,
    withhash: bool = False,
    count: int | None = None,
    any: bool = False,
    sort: Sort = None,
    store: Key | None = None,
    storedist: bool = False,
) -> Command[Any]:
    """GEORADIUS: find members around a place; `geosearch` has replaced it.

    Args:
        key: The sorted set.
        longitude: The centre.
        latitude: The centre.
        radius: How far around.
        unit: What it and distances are counted in.
        withcoord: Tell where each is.
        withdist: Tell how far each is.
        withhash: Tell each one's place as a number.
        count: How many at most.
        any: Whatever `count` members are found first.
        sort: The nearest first (ASC), or the farthest.
        store: Store them here instead.
        storedist: Store distances as scores, in place of the places.

    Returns:
        GeoMember, or how many were stored.

    Raises:
        UsageError: `any` without `count`.

    Since: 3.2.0. Cost: As of `geosearch`. Source: redis.io/commands/georadius
    """
    words = (b"GEORADIUS", key, longitude, latitude, radius, unit)
    order = ordered("GEORADIUS", sort, count, any)
    if store is None:
        return _asked("GEORADIUS", words, (withcoord, withdist, withhash), order)
    return Command(_GEORADIUS_STORE, (*words, *order, b"STOREDIST" if storedist else b"STORE", store))


def georadius_ro(
    key: Key,
    longitude: float,
    latitude: float,
    radius: float,
    unit: Unit = "m",
    *,
    withcoord: bool = False,
    withdist: bool = False,
    withhash: bool = False,
    count: int | None = None,
    any: bool = False,
    sort: Sort = None,
) -> Command[list[GeoMember[Text]]]:
    """GEORADIUS_RO: find members around a place; replicas may answer it. As `georadius`.

    Since: 3.2.10. Cost: As of `geosearch`. Source: redis.io/commands/georadius_ro
    """
    words = (b"GEORADIUS_RO", key, longitude, latitude, radius, unit)
    order = ordered("GEORADIUS_RO", sort, count, any)
    return _asked("GEORADIUS_RO", words, (withcoord, withdist, withhash), order)


@overload
def georadiusbymember(
    key: Key,
    member: Value,
    radius: float,
    unit: Unit = "m",
    **search: Unpack[GeoRadius],
) -> Command[list[GeoMember[Text]]]: ...
@overload
def georadiusbymember(
    key: Key,
    member: Value,
    radius: float,
    unit: Unit = "m",
    *,
    store: Key,
    storedist: bool = False,
    **search: Unpack[GeoOrder],
) -> Command[int]: ...
@overload
def georadiusbymember(
    key: Key,
    member: Value,
    radius: float,
    unit: Unit = "m",
    *,
    store: Key | None = None,
    storedist: bool = False,
    **search: Unpack[GeoRadius],
) -> Command[list[GeoMember[Text]] | int]: ...
def georadiusbymember(
    key: Key,
    member: Value,
    radius: float,
    unit: Unit = "m",
    *,
    withcoord: bool = False,
    withdist: bool = False,
    withhash: bool = False,
    count: int | None = None,
    any: bool = False,
    sort: Sort = None,
    store: Key | None = None,
    storedist: bool = False,
) -> Command[Any]:
    """GEORADIUSBYMEMBER: find members around a member; `geosearch` has replaced it. As `georadius`.

    Since: 3.2.0. Cost: As of `geosearch`. Source: redis.io/commands/georadiusbymember
    """
    words = (b"GEORADIUSBYMEMBER", key, member, radius, unit)
    order = ordered("GEORADIUSBYMEMBER", sort, count, any)
    if store is None:
        return _asked("GEORADIUSBYMEMBER", words, (withcoord, withdist, withhash), order)
    return Command(_GEORADIUSBYMEMBER_STORE, (*words, *order, b"STOREDIST" if storedist else b"STORE", store))


def georadiusbymember_ro(
    key: Key,
    member: Value,
    radius: float,
    unit: Unit = "m",
    *,
    withcoord: bool = False,
    withdist: bool = False,
    withhash: bool = False,
    count: int | None = None,
    any: bool = False,
    sort: Sort = None,
) -> Command[list[GeoMember[Text]]]:
    """GEORADIUSBYMEMBER_RO: find members around a member; replicas may answer it. As `georadius`.

    Since: 3.2.10. Cost: As of `geosearch`. Source: redis.io/commands/georadiusbymember_ro
    """
    words = (b"GEORADIUSBYMEMBER_RO", key, member, radius, unit)
    order = ordered("GEORADIUSBYMEMBER_RO", sort, count, any)
    return _asked("GEORADIUSBYMEMBER_RO", words, (withcoord, withdist, withhash), order)
