"""The group "geo": what goes out, what is refused, and the shape of what comes back."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from carmine.commands import geo, geo_radius
from carmine.errors import UsageError
from carmine.types import GeoMember, GeoPoint
from tests.unit.command_tables import check_goes_out, check_shape, named, public_functions

if TYPE_CHECKING:
    from collections.abc import Callable

    from carmine.commands.command import Command

GOES_OUT: list[tuple[Command[Any], tuple[Any, ...], list[Any]]] = [
    (geo.geoadd("g", {"a": (1, 2.5), b"b": (3, 4)}), (b"GEOADD", "g", 1, 2.5, "a", 3, 4, b"b"), ["g"]),
    (geo.geoadd("g", {"a": GeoPoint(1, 2)}, nx=True, ch=True), (b"GEOADD", "g", b"NX", b"CH", 1, 2, "a"), ["g"]),
    (geo.geoadd("g", {"a": (1, 2)}, xx=True), (b"GEOADD", "g", b"XX", 1, 2, "a"), ["g"]),
    (geo.geodist("g", "a", "b"), (b"GEODIST", "g", "a", "b", "m"), ["g"]),
    (geo.geohash("g", "a", "b"), (b"GEOHASH", "g", "a", "b"), ["g"]),
    (geo.geopos("g", "a"), (b"GEOPOS", "g", "a"), ["g"]),
    (
        geo.geosearch("g", member="a", radius=5),
        (b"GEOSEARCH", "g", b"FROMMEMBER", "a", b"BYRADIUS", 5, "m"),
        ["g"],
    ),
    (
        geo.geosearch(
            "g",
            longitude=0,
            latitude=0.0,
            width=3,
            height=4,
            unit="ft",
            sort="DESC",
            count=5,
            any=True,
            withhash=True,
            withdist=True,
            withcoord=True,
        ),
        (
            *(b"GEOSEARCH", "g", b"FROMLONLAT", 0, 0.0, b"BYBOX", 3, 4, "ft", "DESC", b"COUNT", 5, b"ANY"),
            *(b"WITHCOORD", b"WITHDIST", b"WITHHASH"),
        ),
        ["g"],
    ),
    (
        geo.geosearch("g", member="a", radius=5, withdist=False),
        (b"GEOSEARCH", "g", b"FROMMEMBER", "a", b"BYRADIUS", 5, "m"),
        ["g"],
    ),
    (
        geo.geosearch("g", polygon=[(1, 2), (3, 4), (5, 6)]),
        (b"GEOSEARCH", "g", b"BYPOLYGON", 3, 1, 2, 3, 4, 5, 6),
        ["g"],
    ),
    (
        geo.geosearchstore("d", "g", member="a", radius=5, count=1, storedist=True),
        (b"GEOSEARCHSTORE", "d", "g", b"FROMMEMBER", "a", b"BYRADIUS", 5, "m", b"COUNT", 1, b"STOREDIST"),
        ["d", "g"],
    ),
    (
        geo_radius.georadius("g", 1, 2, 3, "mi", withdist=True, sort="ASC"),
        (b"GEORADIUS", "g", 1, 2, 3, "mi", b"WITHDIST", "ASC"),
        ["g"],
    ),
    (
        geo_radius.georadius("g", 1, 2, 3, store="d", count=1),
        (b"GEORADIUS", "g", 1, 2, 3, "m", b"COUNT", 1, b"STORE", "d"),
        ["g", "d"],
    ),
    (
        geo_radius.georadius("g", 1, 2, 3, store="d", storedist=True),
        (b"GEORADIUS", "g", 1, 2, 3, "m", b"STOREDIST", "d"),
        ["g", "d"],
    ),
    (geo_radius.georadius_ro("g", 1, 2, 3), (b"GEORADIUS_RO", "g", 1, 2, 3, "m"), ["g"]),
    (
        geo_radius.georadiusbymember("g", "a", 3, withcoord=True),
        (b"GEORADIUSBYMEMBER", "g", "a", 3, "m", b"WITHCOORD"),
        ["g"],
    ),
    (
        geo_radius.georadiusbymember("g", "a", 3, store="d"),
        (b"GEORADIUSBYMEMBER", "g", "a", 3, "m", b"STORE", "d"),
        ["g", "d"],
    ),
    (
        geo_radius.georadiusbymember_ro("g", "a", 3, count=2, any=True, withhash=True),
        (b"GEORADIUSBYMEMBER_RO", "g", "a", 3, "m", b"WITHHASH", b"COUNT", 2, b"ANY"),
        ["g"],
    ),
]

wrong: Any = SimpleNamespace(**(vars(geo) | vars(geo_radius)))
"""The same functions, without the types that would keep a checked caller from these mistakes."""


@pytest.mark.parametrize(("command", "words", "keys"), GOES_OUT, ids=lambda value: getattr(value, "words", ""))
def test_goes_out(command: Command[Any], words: tuple[Any, ...], keys: list[Any]) -> None:
    check_goes_out(command, words, keys)


def test_every_function_has_a_case() -> None:
    assert named(command for command, *_ in GOES_OUT) == public_functions(geo, geo_radius)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: wrong.geoadd("g", {"a": (1, 2)}, nx=True, xx=True), "GEOADD takes only one of nx, xx"),
        (lambda: wrong.geoadd("g", {}), "GEOADD needs at least one member"),
        (lambda: wrong.geoadd("g", {"CANARY": 5}), "GEOADD takes a mapping of members to"),
        (lambda: wrong.geoadd("g", {"CANARY": (1, 2, 3)}), "GEOADD takes a mapping of members to"),
        (lambda: wrong.geoadd("g", ["CANARY"]), "GEOADD takes a mapping of members to"),
        (lambda: wrong.geosearch("g", member="a"), "GEOSEARCH needs an area"),
        (lambda: wrong.geosearch("g", radius=5), "GEOSEARCH needs a centre"),
        (lambda: wrong.geosearch("g", longitude=5, radius=5), "longitude and latitude together"),
        (lambda: wrong.geosearch("g", member="a", width=5), "width and height together"),
        (lambda: wrong.geosearch("g", member="a", radius=1, width=5, height=5), "only one of radius, width, polygon"),
        (
            lambda: wrong.geosearch("g", member="a", longitude=5, latitude=5, radius=5),
            "only one of member, longitude, polygon",
        ),
        (lambda: wrong.geosearch("g", member="a", polygon=[(1, 2)]), "only one of member, longitude, polygon"),
        (lambda: wrong.geosearch("g", member="a", radius=1, any=True), "GEOSEARCH takes any only with count"),
        (lambda: wrong.geosearchstore("d", "g", member="a"), "GEOSEARCHSTORE needs an area"),
        (lambda: wrong.georadius("g", 1, 2, 3, any=True), "GEORADIUS takes any only with count"),
        (lambda: wrong.georadiusbymember_ro("g", 1, 2, any=True), "GEORADIUSBYMEMBER_RO takes any only with count"),
    ],
)
def test_refused_before_anything_goes_out(call: Callable[[], Command[Any]], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence) as caught:
        call()
    assert "CANARY" not in str(caught.value)


ALL: dict[str, Any] = {"member": "a", "radius": 1}


@pytest.mark.parametrize(
    ("command", "resp2", "resp3", "result"),
    [
        (geo.geodist("g", "a", "b"), "1.5", "1.5", 1.5),
        (geo.geodist("g", "a", "b"), None, None, None),
        (geo.geopos("g", "a", "b"), [["1.5", b"2"], None], [[1.5, 2.0], None], [GeoPoint(1.5, 2.0), None]),
        (geo.geosearch("g", **ALL), ["a"], ["a"], ["a"]),
        (
            geo.geosearch("g", **ALL, withcoord=True, withdist=True, withhash=True),
            [["a", "7.5", 9, ["1", "2"]]],
            [["a", "7.5", 9, [1.0, 2.0]]],
            [GeoMember("a", 7.5, 9, GeoPoint(1.0, 2.0))],
        ),
        (geo.geosearch("g", **ALL, withhash=True), [["a", 9]], [["a", 9]], [GeoMember("a", None, 9, None)]),
        (
            geo.geosearch("g", **ALL, withcoord=True),
            [["a", ["1", "2"]]],
            [["a", [1.0, 2.0]]],
            [GeoMember("a", None, None, GeoPoint(1.0, 2.0))],
        ),
        (geo.geosearch("g", **ALL, withcoord=False), ["a", "b"], ["a", "b"], [GeoMember("a"), GeoMember("b")]),
        (geo_radius.georadius("g", 1, 2, 3), ["a"], ["a"], [GeoMember("a")]),
        (geo_radius.georadius("g", 1, 2, 3, store="d"), 5, 5, 5),
        (geo_radius.georadius_ro("g", 1, 2, 3, withdist=True), [["a", "1"]], [["a", "1"]], [GeoMember("a", 1.0)]),
    ],
    ids=lambda value: getattr(getattr(value, "spec", None), "name", ""),
)
def test_shape(command: Command[Any], resp2: Any, resp3: Any, result: Any) -> None:
    check_shape(command, resp2, resp3, result)


def test_the_specs_of_the_older_searches_are_made_once() -> None:
    first, second = (geo_radius.georadius("g", 1, 2, 3, withdist=True) for _ in range(2))
    assert first.spec is second.spec
    assert first.spec is not geo_radius.georadius("g", 1, 2, 3).spec
