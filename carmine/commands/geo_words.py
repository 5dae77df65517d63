"""What the commands on places share: the words of a search, and the shape of what it finds.

Pure, as `words.py` and `decoders.py`: it knows no command.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypedDict

from carmine.commands.words import only_one
from carmine.errors import UsageError
from carmine.geo_types import GeoMember, GeoPoint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from carmine.types import Arg, Value

__all__ = ["GeoOrder", "GeoRadius", "GeoSearch", "Sort", "Unit", "area_words", "details", "ordered", "points", "reader"]

Unit: TypeAlias = "Literal['m', 'km', 'ft', 'mi']"
"""What distances are counted in: metres, kilometres, feet or miles."""

Sort: TypeAlias = "Literal['ASC', 'DESC'] | None"
"""The nearest first, the farthest first, or as it comes."""


class GeoOrder(TypedDict, total=False):
    """In what order, and how many."""

    count: int | None
    any: bool
    sort: Sort


class GeoRadius(GeoOrder, total=False):
    """What every form of the older searches takes that gives members."""

    withcoord: bool
    withdist: bool
    withhash: bool


class GeoSearch(GeoOrder, total=False):
    """What every form of `geosearch` takes; its definition says what each is for."""

    longitude: float | None
    latitude: float | None
    radius: float | None
    width: float | None
    height: float | None
    polygon: Iterable[tuple[float, float]] | None
    unit: Unit


def _point(raw: Any) -> GeoPoint | None:
    return None if raw is None else GeoPoint(*map(float, raw))


def points(raw: Any) -> list[GeoPoint | None]:
    """`[[longitude, latitude], null, ...]`, numbers as text on RESP2 -> a list of GeoPoint and None."""
    return list(map(_point, raw))


def reader(point: bool, distance: bool, hash: bool) -> Callable[[Any], list[GeoMember[Any]]]:
    """Return the decoder of a search's reply: which parts of each member the server tells, in its own order."""

    def read(raw: Any) -> list[GeoMember[Any]]:
        found = []
        for each in raw:
            member, *told = each if type(each) is list else [each]
            parts = iter(told)
            far = float(next(parts)) if distance else None
            number = next(parts) if hash else None
            found.append(GeoMember(member, far, number, _point(next(parts)) if point else None))
        return found

    return read


def details(withcoord: bool | None, withdist: bool | None, withhash: bool | None) -> tuple[Arg, ...]:
    """Return the words that ask for more than members."""
    asked = {b"WITHCOORD": withcoord, b"WITHDIST": withdist, b"WITHHASH": withhash}
    return tuple(word for word, given in asked.items() if given)


def ordered(command: str, sort: Sort, count: int | None, any: bool) -> list[Arg]:
    """Return the words of order and number."""
    if any and count is None:
        raise UsageError(f"{command} takes any only with count")
    words: list[Arg] = [] if sort is None else [sort]
    if count is not None:
        words += (b"COUNT", count)
    return [*words, b"ANY"] if any else words


def area_words(
    command: str,
    centre: tuple[Value | None, float | None, float | None],
    area: tuple[float | None, float | None, float | None, Iterable[tuple[float, float]] | None],
    unit: str,
) -> list[Arg]:
    """Return the words that say where to search."""
    member, longitude, latitude = centre
    radius, width, height, polygon = area
    if (longitude is None) is not (latitude is None) or (width is None) is not (height is None):
        raise UsageError(f"{command} takes longitude and latitude together, and width and height together")
    only_one(command, radius=radius is not None, width=width is not None, polygon=polygon is not None)
    only_one(command, member=member is not None, longitude=longitude is not None, polygon=polygon is not None)
    if polygon is not None:
        corners = [degree for corner in polygon for degree in corner]
        return [b"BYPOLYGON", len(corners) // 2, *corners]
    words: list[Arg]
    if member is not None:
        words = [b"FROMMEMBER", member]
    elif longitude is not None and latitude is not None:
        words = [b"FROMLONLAT", longitude, latitude]
    else:
        raise UsageError(f"{command} needs a centre: a member, or longitude and latitude")
    if radius is not None:
        return [*words, b"BYRADIUS", radius, unit]
    if width is not None and height is not None:
        return [*words, b"BYBOX", width, height, unit]
    raise UsageError(f"{command} needs an area: a radius, or width and height")
