"""Commands of the group "geo": members with a place on earth, in a sorted set.

A place is `(longitude, latitude)` in degrees, and comes back as GeoPoint, a few centimetres off. The older commands for
searching are in `geo_radius.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Unpack, overload

from carmine.commands import decoders
from carmine.commands.command import Command, Text
from carmine.commands.geo_words import area_words, details, ordered, points, reader
from carmine.commands.specs import spec
from carmine.commands.words import only_one
from carmine.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from carmine.commands.geo_words import GeoSearch, Sort, Unit
    from carmine.geo_types import GeoMember, GeoPoint
    from carmine.types import Arg, Items, Key, Value

_GEOADD = spec("GEOADD")
_GEODIST = spec("GEODIST", decoders.maybe_double)
_GEOHASH = spec("GEOHASH", text=True)
_GEOPOS = spec("GEOPOS", points)
_GEOSEARCH = spec("GEOSEARCH")
_GEOSEARCHSTORE = spec("GEOSEARCHSTORE")
_GEOSEARCH_WITH = {
    (point, distance, hash): spec("GEOSEARCH", reader(point, distance, hash))
    for point in (False, True)
    for distance in (False, True)
    for hash in (False, True)
}


def geoadd(
    key: Key, places: Items[Value, tuple[float, float]], *, nx: bool = False, xx: bool = False, ch: bool = False
) -> Command[int]:
    """GEOADD: put members at places.

    Args:
        key: The sorted set.
        places: `(longitude, latitude)` by member.
        nx: Only new members.
        xx: Only members that are there.
        ch: Count those that moved, too.

    Returns:
        How many members are new; with `ch` how many are new or moved.

    Raises:
        UsageError: No member, a place that is none, or `nx` and `xx` together.

    Since: 3.2.0 (`nx`, `xx`, `ch` 6.2.0). Cost: O(places * log(members)). Source: redis.io/commands/geoadd
    """
    only_one("GEOADD", nx=nx, xx=xx)
    words: list[Arg] = [b"GEOADD", key]
    words += (token for token, given in ((b"NX", nx), (b"XX", xx), (b"CH", ch)) if given)
    try:
        placed = [(longitude, latitude, member) for member, (longitude, latitude) in places.items()]
    except (AttributeError, TypeError, ValueError):
        raise UsageError("GEOADD takes a mapping of members to (longitude, latitude)") from None
    if not placed:
        raise UsageError("GEOADD needs at least one member; the mapping is empty")
    return Command(_GEOADD, (*words, *(word for place in placed for word in place)))


def geodist(key: Key, member1: Value, member2: Value, unit: Unit = "m") -> Command[float | None]:
    """GEODIST: measure how far two members are apart; None where one is missing.

    Since: 3.2.0. Cost: O(1). Source: redis.io/commands/geodist
    """
    return Command(_GEODIST, (b"GEODIST", key, member1, member2, unit))


def geohash(key: Key, *members: Value) -> Command[list[str | None]]:
    """GEOHASH: read places as Geohash texts of eleven letters; None for a member that is missing.

    Since: 3.2.0. Cost: O(members). Source: redis.io/commands/geohash
    """
    return Command(_GEOHASH, (b"GEOHASH", key, *members))


def geopos(key: Key, *members: Value) -> Command[list[GeoPoint | None]]:
    """GEOPOS: read places; None for a member that is missing.

    Since: 3.2.0. Cost: O(members). Source: redis.io/commands/geopos
    """
    return Command(_GEOPOS, (b"GEOPOS", key, *members))


@overload
def geosearch(
    key: Key,
    *,
    member: Value | None = None,
    **search: Unpack[GeoSearch],
) -> Command[list[Text]]: ...
@overload
def geosearch(
    key: Key,
    *,
    member: Value | None = None,
    withcoord: bool,
    withdist: bool = False,
    withhash: bool = False,
    **search: Unpack[GeoSearch],
) -> Command[list[GeoMember[Text]]]: ...
@overload
def geosearch(
    key: Key,
    *,
    member: Value | None = None,
    withdist: bool,
    withhash: bool = False,
    **search: Unpack[GeoSearch],
) -> Command[list[GeoMember[Text]]]: ...
@overload
def geosearch(
    key: Key,
    *,
    member: Value | None = None,
    withhash: bool,
    **search: Unpack[GeoSearch],
) -> Command[list[GeoMember[Text]]]: ...
@overload
def geosearch(
    key: Key,
    *,
    member: Value | None = None,
    withcoord: bool | None = None,
    withdist: bool | None = None,
    withhash: bool | None = None,
    **search: Unpack[GeoSearch],
) -> Command[list[Text] | list[GeoMember[Text]]]: ...
def geosearch(
    key: Key,
    *,
    member: Value | None = None,
    longitude: float | None = None,
    latitude: float | None = None,
    radius: float | None = None,
    width: float | None = None,
    height: float | None = None,
    polygon: Iterable[tuple[float, float]] | None = None,
    unit: Unit = "m",
    sort: Sort = None,
    count: int | None = None,
    any: bool = False,
    withcoord: bool | None = None,
    withdist: bool | None = None,
    withhash: bool | None = None,
) -> Command[Any]:
    """GEOSEARCH: find members within a circle, a box or a polygon.

    Args:
        key: The sorted set.
        member: The centre is where this member is.
        longitude: Or here, with `latitude`.
        latitude: With `longitude`.
        radius: The area is a circle.
        width: Or a box, with `height`.
        height: With `width`.
        polygon: Or lies between these `(longitude, latitude)`; it takes no centre (Valkey 9.0).
        unit: What the area, and distances in the reply, are counted in.
        sort: The nearest first (ASC), or the farthest.
        count: How many at most: the nearest, unless sorted otherwise.
        any: Whatever `count` members are found first.
        withcoord: Tell where each is.
        withdist: Tell how far each is.
        withhash: Tell each one's place as a number.

    Returns:
        Members; once one of the last three is given, True or False, GeoMember.

    Raises:
        UsageError: Not one centre and one area, or `any` without `count`.

    Wire: Coordinates are text on RESP2, distances on both.

    Since: 6.2.0. Cost: O(members in the box around the area + log(members)). Source: redis.io/commands/geosearch
    """
    area = (radius, width, height, polygon)
    words = (b"GEOSEARCH", key, *area_words("GEOSEARCH", (member, longitude, latitude), area, unit))
    words = (*words, *ordered("GEOSEARCH", sort, count, any))
    if withcoord is None and withdist is None and withhash is None:
        return Command(_GEOSEARCH, words)
    asked = _GEOSEARCH_WITH[bool(withcoord), bool(withdist), bool(withhash)]
    return Command(asked, (*words, *details(withcoord, withdist, withhash)))


def geosearchstore(
    destination: Key,
    source: Key,
    *,
    member: Value | None = None,
    longitude: float | None = None,
    latitude: float | None = None,
    radius: float | None = None,
    width: float | None = None,
    height: float | None = None,
    polygon: Iterable[tuple[float, float]] | None = None,
    unit: Unit = "m",
    sort: Sort = None,
    count: int | None = None,
    any: bool = False,
    storedist: bool = False,
) -> Command[int]:
    """GEOSEARCHSTORE: find members as GEOSEARCH does, and store them.

    Args:
        destination: Where they go, in place of what is there.
        source: The sorted set to search; the others as of `geosearch`.
        member: As there.
        longitude: As there.
        latitude: As there.
        radius: As there.
        width: As there.
        height: As there.
        polygon: As there.
        unit: As there.
        sort: As there.
        count: As there.
        any: As there.
        storedist: Store distances as scores, in place of the places.

    Returns:
        How many were stored.

    Raises:
        UsageError: As of `geosearch`.

    Since: 6.2.0. Cost: As of `geosearch`. Source: redis.io/commands/geosearchstore
    """
    area = (radius, width, height, polygon)
    words = [*area_words("GEOSEARCHSTORE", (member, longitude, latitude), area, unit)]
    words += ordered("GEOSEARCHSTORE", sort, count, any)
    if storedist:
        words.append(b"STOREDIST")
    return Command(_GEOSEARCHSTORE, (b"GEOSEARCHSTORE", destination, source, *words))
