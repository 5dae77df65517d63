"""What cannot be frozen: types, cycles, sizes; the error says where, never what (docs/freezing.md 4.5, 6, 7.1)."""

from __future__ import annotations

import contextlib
import enum
import pathlib
import sys
import traceback
from array import array
from collections import Counter, OrderedDict, defaultdict, deque
from datetime import UTC, datetime, timezone, tzinfo
from decimal import Decimal
from fractions import Fraction
from http import HTTPStatus
from pathlib import PurePosixPath
from types import MappingProxyType, SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

import carmine
from carmine.errors import ThawError, UsageError
from carmine.freezing import DEFAULT_LIMITS, Limits, registry

if TYPE_CHECKING:
    from collections.abc import Iterator

CANARY = "canary-5e1"


class Text(str):
    __slots__ = ()


class Number(int):
    pass


class Colour(enum.Enum):
    RED = CANARY


class Size(enum.StrEnum):
    SMALL = CANARY


class Point(NamedTuple):
    x: int
    y: int


class Zone(tzinfo):
    utcoffset = dst = tzname = lambda self, at: None  # never called


class Later(datetime):
    pass


def nameless() -> ZoneInfo:
    import zoneinfo  # noqa: PLC0415 - only here

    for folder in zoneinfo.TZPATH:
        path = pathlib.Path(folder, "Europe", "Paris")
        if path.exists():
            with path.open("rb") as file:
                return ZoneInfo.from_file(file)
    pytest.skip("no zone database in files")


REFUSED: list[tuple[Any, str]] = [
    (object(), "a object cannot be frozen"),
    (Text(CANARY), "a Text cannot be frozen: it would come back as a plain str"),
    (Number(5), "a Number cannot be frozen: it would come back as a plain int"),
    (Size.SMALL, "a Size cannot be frozen: it would come back as a plain str"),
    (HTTPStatus.OK, "a HTTPStatus cannot be frozen: it would come back as a plain int"),
    (Colour.RED, "a Colour cannot be frozen: a dataclass, enum or named tuple can be made known"),
    (Point(1, 2), "a Point cannot be frozen: it would come back as a plain tuple"),
    (OrderedDict(a=1), "a OrderedDict cannot be frozen: it would come back as a plain dict"),
    (defaultdict(int), "a defaultdict .* plain dict"),
    (Counter(CANARY), "a Counter .* plain dict"),
    (Later(2024, 1, 1), "a Later .* plain datetime"),
    (bytearray(CANARY.encode()), "a bytearray .* bytes"),
    (memoryview(CANARY.encode()), "a memoryview .* bytes"),
    (carmine.freeze(CANARY), "stand for a value already"),
    (carmine.raw(CANARY), "stand for a value already"),
    (deque(), "a deque cannot"),
    (range(3), "a range cannot"),
    (Fraction(1, 3), "a Fraction cannot"),
    (PurePosixPath(CANARY), "a PurePosixPath cannot"),
    (array("i", [1]), "a array cannot"),
    (MappingProxyType({}), "a mappingproxy cannot"),
    (SimpleNamespace(a=CANARY), "a SimpleNamespace cannot"),
    (ValueError(CANARY), "a ValueError cannot"),
    (int, "a type cannot"),
    (len, "a builtin_function_or_method cannot"),
    (iter(n for n in [1]), "a generator cannot"),
    (NotImplemented, "a NotImplementedType cannot"),
    (..., "a ellipsis cannot"),
    (datetime(2024, 1, 1, tzinfo=Zone()), "a datetime cannot be frozen: it has the tzinfo Zone"),
    (UTC, "a timezone cannot"),
    (datetime(2024, 1, 1, tzinfo=timezone(datetime(2, 1, 1) - datetime(2, 1, 1), "\ud800")), "whose name holds a lone"),
]


@pytest.mark.parametrize(("value", "told"), REFUSED, ids=[type(value).__name__ for value, _ in REFUSED])
def test_other_types_are_refused(value: Any, told: str) -> None:
    with pytest.raises(UsageError, match=told) as caught:
        carmine.freeze(value)
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize(("value", "told"), REFUSED, ids=[type(value).__name__ for value, _ in REFUSED])
def test_where_it_stands_is_told_and_nothing_else(value: Any, told: str) -> None:  # 7.1
    places = {
        "at entry 1, item 2": {"a": 1, CANARY: [CANARY, CANARY, value]},
        "at entry 0, item 1": {None: (CANARY, value)},
    }
    for where, whole in places.items():
        with pytest.raises(UsageError, match=rf"\({where}\) cannot be frozen") as caught:
            carmine.freeze(whole)
        shown = "".join(traceback.TracebackException.from_exception(caught.value, capture_locals=False).format())
        assert CANARY not in str(caught.value)
        assert CANARY not in shown
        assert caught.value.__context__ is None  # it would hold the frames, and the frames the value


def test_a_zone_without_a_name_is_refused() -> None:  # 3.15
    with pytest.raises(UsageError, match="tzinfo ZoneInfo"):
        carmine.freeze(datetime(2024, 1, 1, tzinfo=nameless()))


def test_a_subclass_as_a_key_is_refused() -> None:
    for key in (Text("k"), Size.SMALL, Number(1)):
        with pytest.raises(UsageError, match="at entry 0"):
            carmine.freeze({key: 1})


def cycles() -> list[Any]:
    plain: list[Any] = []
    plain.append(plain)
    table: dict[Any, Any] = {}
    table["a"] = [table]
    pair: tuple[Any, ...] = ([],)
    pair[0].append(pair)
    numbers: dict[Any, Any] = {}
    numbers[1] = (numbers,)
    return [plain, table, pair, numbers]


@pytest.mark.parametrize("value", cycles(), ids=["list", "dict", "tuple", "dict of numbers"])
def test_a_value_that_contains_itself_is_refused(value: Any) -> None:  # 5.1
    with pytest.raises(UsageError, match=r"\(at .*\) cannot be frozen: it contains itself"):
        carmine.freeze(value)


def test_the_same_part_twice_is_no_cycle() -> None:
    part: list[Any] = []
    assert carmine.freeze([part, part, {"a": part}]) == b'\0j[[],[],{"a":[]}]'


def nested(levels: int, kind: str) -> Any:
    value: Any = None
    for _ in range(levels):
        value = {"list": [value], "dict": {"a": value}, "tuple": (value,), "pairs": {1: value}}[kind]
    return value


@pytest.mark.parametrize(("kind", "each"), [("list", 1), ("dict", 1), ("tuple", 2), ("pairs", 3)])
def test_the_limit_of_depth_is_the_same_both_ways(kind: str, each: int) -> None:  # 6.2
    most = DEFAULT_LIMITS.depth // each
    value = nested(most, kind)
    assert carmine.thaw(carmine.freeze(value)) == value
    with pytest.raises(UsageError, match="deeper than 128 levels"):
        carmine.freeze(nested(most + 1, kind))
    with pytest.raises(UsageError, match="deeper than 128 levels"):
        carmine.freeze(nested(100_000, "list"))


@pytest.mark.parametrize(
    ("value", "limits", "told"),
    [
        ("x" * 9, Limits(size=10), "longer than 10 bytes"),
        ([1, 2, 3, 4], Limits(items=3), "more than 3 items"),
        ({"a": 1, "b": 2}, Limits(items=1), "more than 1 items"),
        (1 << 64, Limits(digits=16), "more than 16 hexadecimal digits"),
        (Decimal("1.23456"), Limits(digits=6), "more than 6 digits"),
    ],
)
def test_the_other_limits_hold_when_writing(value: Any, limits: Limits, told: str) -> None:  # 6.1, 6.3, 6.4
    with pytest.raises(UsageError, match=told):
        carmine.freeze(value, limits=limits)
    assert carmine.thaw(carmine.freeze(value)) == value


def test_a_limit_is_met_exactly() -> None:
    assert carmine.freeze("x" * 8, limits=Limits(size=10)) == b'\0j"xxxxxxxx"'
    assert carmine.freeze([1, 2, 3], limits=Limits(items=3)) == b"\0j[1,2,3]"
    assert carmine.freeze(["[,{,,,,"], limits=Limits(items=1, depth=1)) == b'\0j["[,{,,,,"]'
    assert carmine.freeze(2**64 - 1 << 1, limits=Limits(digits=17))
    assert carmine.freeze(b"x" * 100, limits=Limits(size=10)) == b"\0<" + b"x" * 100  # 6.1


def test_keys_that_collide_are_refused_when_writing_too() -> None:  # 6.5
    modulus = (1 << 61) - 1
    alike = {n * modulus: None for n in range(1, 18)}
    with pytest.raises(UsageError, match=r"a dict \(at item 0\) cannot be frozen: so many of its keys"):
        carmine.freeze([alike])
    with pytest.raises(UsageError, match="a set cannot"):
        carmine.freeze(set(alike))
    alike.popitem()
    assert carmine.thaw(carmine.freeze(alike)) == alike
    many = dict.fromkeys(range(1 << 16))
    assert carmine.thaw(carmine.freeze(many)) == many
    many[-5] = None
    with pytest.raises(UsageError, match="so many of its keys"):
        carmine.freeze(many)
    words = dict.fromkeys(map(str, range(100_000)), True)  # the hash of a text has a secret
    assert carmine.thaw(carmine.freeze(words)) == words
    assert carmine.thaw(carmine.freeze(set(words))) == set(words)


def test_a_thread_with_little_stack_left_gets_the_same_errors() -> None:
    value = nested(100, "list")
    frozen = carmine.freeze(value)

    def dig(levels: int) -> None:
        if levels:
            dig(levels - 1)
            return
        with pytest.raises(UsageError, match="the stack of the calling thread is nearly used up"):
            carmine.freeze(value)
        with contextlib.suppress(ThawError):  # where the JSON reader's C does not count as depth it succeeds
            assert carmine.thaw(frozen) == value

    deep = len(traceback.extract_stack())
    dig(sys.getrecursionlimit() - deep - 150)


def test_uuid_loses_only_where_it_came_from() -> None:  # 5.3
    value = UUID(int=7, version=4)
    assert carmine.thaw(carmine.freeze(value)) == value


@pytest.mark.parametrize("keys", [["a", "b"], [("a",), "b"], ["a"]], ids=["plain", "any keys", "grows to any keys"])
def test_a_dict_that_changes_meanwhile(keys: list[Any]) -> None:
    """Another thread may do so; here it is the first value itself, when its fields are read."""

    class Meddler(NamedTuple):
        inner: Any

        def __iter__(self) -> Iterator[Any]:
            changing["late" + CANARY] = None
            return iter([self.inner])

    before = dict(registry.by_name), dict(registry.by_type)
    carmine.freezable("test.Meddler")(Meddler)
    changing: dict[Any, Any] = {}
    changing.update({key: Meddler(1) for key in keys})
    try:
        with pytest.raises(UsageError, match="a dict cannot be frozen: it was changed at the same time") as caught:
            carmine.freeze(changing)
    finally:
        for known, was in zip((registry.by_name, registry.by_type), before, strict=True):
            known.clear()  # type: ignore[attr-defined]
            known.update(was)  # type: ignore[attr-defined]
    assert CANARY not in str(caught.value)
