"""Registered dataclasses, enums and named tuples (docs/freezing.md section 4, SECURITY S-34)."""

from __future__ import annotations

import enum
from dataclasses import InitVar, dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

import carmine
from carmine.errors import ThawError, UsageError
from carmine.freezing import registry

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _clean_registry() -> Iterator[None]:
    """Forget what a test registered; the registry lives as long as the process."""
    names, types = dict(registry.by_name), dict(registry.by_type)
    yield
    registry.by_name.clear()
    registry.by_name.update(names)
    registry.by_type.clear()
    registry.by_type.update(types)


@dataclass
class Line:
    article: str
    count: int = 1


@dataclass(frozen=True, slots=True)
class Order:
    number: int
    lines: tuple[Line, ...]
    day: date
    total: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        if self.number < 1:
            raise ValueError("canary: no such order")
        object.__setattr__(self, "total", sum(line.count for line in self.lines))


@dataclass(kw_only=True)
class Only:
    name: str


class Point(NamedTuple):
    x: float
    y: float = 0.0


class Colour(enum.Enum):
    RED = object()
    ROSE = RED
    BLUE = (1, 2)


class Size(enum.IntEnum):
    SMALL = 1


class Word(enum.StrEnum):
    YES = "yes"


class Right(enum.Flag):
    READ = 1
    WRITE = 2


def register_all() -> None:
    for name, cls in {
        "shop.Line": Line,
        "shop.Order": Order,
        "Only": Only,
        "point": Point,
        "colour": Colour,
        "size": Size,
        "word-1": Word,
        "right": Right,
    }.items():
        assert carmine.freezable(name)(cls) is cls


ORDER = Order(7, (Line("a", 2), Line("b")), date(2024, 1, 1))
VALUES: list[tuple[Any, bytes]] = [
    (Line("a"), b'\0j{"!:shop.Line":{"article":"a","count":1}}'),
    (
        ORDER,
        b'\0j{"!:shop.Order":{"number":7,"lines":{"!tuple":[{"!:shop.Line":{"article":"a","count":2}},'
        b'{"!:shop.Line":{"article":"b","count":1}}]},"day":{"!date":"2024-01-01"},"total":3}}',
    ),
    (Only(name="!x"), b'\0j{"!:Only":{"name":"!x"}}'),
    (Point(1.5), b'\0j{"!:point":{"x":1.5,"y":0.0}}'),
    (Colour.BLUE, b'\0j{"!:colour":"BLUE"}'),
    (Size.SMALL, b'\0j{"!:size":"SMALL"}'),
    (Word.YES, b'\0j{"!:word-1":"YES"}'),
    (Right.READ | Right.WRITE, b'\0j{"!:right":3}'),
    (Right(0), b'\0j{"!:right":0}'),
    ({Colour.RED: {Point(1.0, 2.0)}}, b'\0j{"!dict":[[{"!:colour":"RED"},{"!set":[{"!:point":{"x":1.0,"y":2.0}}]}]]}'),
]


@pytest.mark.parametrize(("value", "data"), VALUES, ids=lambda part: ascii(part)[:30])
def test_each_kind(value: Any, data: bytes) -> None:  # 3.13, 3.14
    register_all()
    assert carmine.freeze(value) == data
    thawed = carmine.thaw(data)
    assert type(thawed) is type(value)
    assert thawed == value
    if isinstance(value, enum.Enum) and not isinstance(value, enum.Flag):
        assert thawed is value


def test_an_alias_is_its_member() -> None:
    register_all()
    assert carmine.freeze(Colour.ROSE) == b'\0j{"!:colour":"RED"}'
    assert carmine.thaw(b'\0j{"!:colour":"ROSE"}') is Colour.RED


def test_nothing_is_flattened_before_it_is_registered() -> None:  # 4.5
    for value in (Size.SMALL, Word.YES, Point(1.0), Line("a"), Colour.RED, Right.READ):
        with pytest.raises(UsageError, match=r"carmine\.freezable"):
            carmine.freeze(value)


def test_fields_may_be_added_with_a_default() -> None:  # 4.3
    register_all()
    assert carmine.thaw(b'\0j{"!:shop.Line":{"article":"a"}}') == Line("a", 1)
    assert carmine.thaw(b'\0j{"!:point":{"x":2.0}}') == Point(2.0, 0.0)


def test_a_field_that_is_computed_is_set_as_it_was() -> None:  # 4.2
    register_all()
    made = carmine.thaw(b'\0j{"!:shop.Order":{"number":1,"lines":{"!tuple":[]},"day":null,"total":99}}')
    assert (made.total, made.lines) == (99, ())


@pytest.mark.parametrize(
    "data",
    [
        b'\0j{"!:shop.Line":{}}',
        b'\0j{"!:shop.Line":{"article":"a","price":1}}',
        b'\0j{"!:shop.Line":{"article":"a","__class__":1}}',
        b'\0j{"!:shop.Line":["a",1]}',
        b'\0j{"!:shop.Line":"a"}',
        b'\0j{"!:shop.Line":null}',
        b'\0j{"!:shop.Line":{"!dict":[[1,2]]}}',
        b'\0j{"!:shop.Order":{"number":0,"lines":[],"day":null}}',
        b'\0j{"!:shop.Order":{"number":1,"lines":5,"day":null}}',
        b'\0j{"!:point":[1,2]}',
        b'\0j{"!:point":{"y":1}}',
        b'\0j{"!:colour":"GREEN"}',
        b'\0j{"!:colour":"__class__"}',
        b'\0j{"!:colour":"mro"}',
        b'\0j{"!:colour":1}',
        b'\0j{"!:colour":["RED"]}',
        b'\0j{"!:size":1}',
        b'\0j{"!:right":64}',
        b'\0j{"!:right":"READ"}',
        b'\0j{"!:right":true}',
    ],
)
def test_what_the_class_does_not_take_is_refused(data: bytes) -> None:  # 4.2, 4.3
    register_all()
    with pytest.raises(ThawError, match=r"the class '[\w.]+' does not take what is stored \(\w+\)") as caught:
        carmine.thaw(data)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    "name", ["nobody", "builtins.eval", "os.system", "", "Line", "carmine.Client", "\x1b[2J", "x" * 500]
)
def test_only_the_registry_is_asked(name: str) -> None:  # 4.4, S-34
    register_all()
    with pytest.raises(ThawError, match="is not registered here") as caught:
        carmine.thaw(carmine.raw('\0j{"!:' + name.replace("\x1b", "\\u001b") + '":{"article":"a"}}'))
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 250


def test_a_registered_value_is_told_by_class_and_field() -> None:  # 7.1
    register_all()
    with pytest.raises(UsageError, match=r"a Lines \(at item 0, field 'lines' of Order\) cannot be frozen"):
        carmine.freeze([Order(1, Lines(), date(2024, 1, 1))])
    gone = Line("a")
    del gone.article
    with pytest.raises(UsageError, match="a Line cannot be frozen: it lacks one of its fields"):
        carmine.freeze(gone)


class Lines(tuple[Any, ...]):
    __slots__ = ()


def test_a_cycle_through_an_instance_is_refused() -> None:
    register_all()
    only = Only(name="a")
    only.name = [only]  # type: ignore[assignment]  # on purpose
    with pytest.raises(UsageError, match=r"field 'name' of Only, item 0\) cannot be frozen: it contains itself"):
        carmine.freeze(only)


class Plain:
    x = 1


@dataclass
class WithInitVar:
    x: int
    y: InitVar[int]


@dataclass
class AlsoDict(dict[str, int]):
    x: int = 0


@dataclass
class AlsoError(Exception):
    x: int = 0


@pytest.mark.parametrize(
    ("cls", "told"),
    [
        (Plain, "Plain is no dataclass, enum or named tuple"),
        (int, "int is no dataclass"),
        (tuple, "tuple is no dataclass"),
        (Lines, "Lines is no dataclass"),
        (AlsoDict, "or holds more than its fields"),
        (AlsoError, "or holds more than its fields"),
        (WithInitVar, "takes an InitVar"),
        (Line("a"), "a class is registered, not an object; this is a Line"),
        (None, "not an object; this is a NoneType"),
    ],
)
def test_what_cannot_be_registered(cls: Any, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        carmine.freezable("name")(cls)
    assert "name" not in registry.by_name


@pytest.mark.parametrize("name", ["", "1a", "a b", "a:b", "é", "a" * 129, "a\n", None, 5, b"a"])
def test_names_that_cannot_be(name: Any) -> None:
    with pytest.raises(UsageError, match="a frozen class's name"):
        carmine.freezable(name)


def test_one_name_for_one_class() -> None:
    carmine.freezable("one")(Line)
    with pytest.raises(UsageError, match="Point cannot be registered as 'one': Line is registered as 'one'"):
        carmine.freezable("one")(Point)
    with pytest.raises(UsageError, match="Line cannot be registered as 'two': Line is registered as 'one'"):
        carmine.freezable("two")(Line)
    assert set(registry.by_type) >= {Line}
    assert Point not in registry.by_type
    carmine.freezable("one")(Line)  # the same again, as when a module is run twice


def test_a_class_made_anew_takes_the_place_of_the_old() -> None:
    def make() -> type:
        @carmine.freezable("again")
        class Again(NamedTuple):
            x: int

        return Again

    old, new = make(), make()
    assert old is not new
    assert type(carmine.thaw(carmine.freeze(new(1)))) is new
    assert type(carmine.thaw(carmine.freeze(old(1)))) is new
