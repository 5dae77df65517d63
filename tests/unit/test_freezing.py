"""The freezing format, byte by byte: docs/freezing.md sections 1 to 3 and 5; numbers in comments are its paragraphs."""

from __future__ import annotations

import math
import subprocess
import sys
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal, localcontext
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

import carmine
from carmine.errors import ThawError, UsageError
from carmine.freezing import MARKS, Raw

PARIS = ZoneInfo("Europe/Paris")
NAMED = timezone(timedelta(hours=-3, microseconds=5), "here")

# (value, its bytes): writing gives exactly these, and reading gives exactly the value.
FORMS: list[tuple[Any, bytes]] = [
    (b"", b"\0<"),  # 1.1
    (b"\0<\xff", b"\0<\0<\xff"),
    (None, b"\0_"),  # 1.2
    ("", b'\0j""'),  # 2.1
    ("text", b'\0j"text"'),
    ("\0>", b'\0j"\\u0000>"'),
    ("é\U0001f600\u2028", '\0j"é\U0001f600\u2028"'.encode()),
    (True, b"\0jtrue"),  # 2.2
    (False, b"\0jfalse"),
    (0, b"\0j0"),  # 2.3
    (-(2**63), b"\0j-9223372036854775808"),
    (2**64 - 1, b"\0j18446744073709551615"),
    (0.1, b"\0j0.1"),  # 2.4
    (1e22, b"\0j1e+22"),
    (5e-324, b"\0j5e-324"),
    (-0.0, b"\0j-0.0"),
    (1.0, b"\0j1.0"),
    ([], b"\0j[]"),  # 2.5
    ([1, [None, "a"]], b'\0j[1,[null,"a"]]'),
    ({}, b"\0j{}"),  # 2.6
    ({"b": 1, "a": [2]}, b'\0j{"b":1,"a":[2]}'),
    ({"!x": 1, "b": 2}, b'\0j{"!x":1,"b":2}'),
    ({"": 1}, b'\0j{"":1}'),
    (2**64, b'\0j{"!int":"10000000000000000"}'),  # 3.1
    (-(2**63) - 1, b'\0j{"!int":"-8000000000000001"}'),
    (math.inf, b'\0j{"!float":"inf"}'),  # 3.2
    (-math.inf, b'\0j{"!float":"-inf"}'),
    ("\ud800", b'\0j{"!str":"7aCA"}'),  # 3.3
    ("\ud83d\ude00", b'\0j{"!str":"7aC97biA"}'),  # 3.18
    ([b"x"], b'\0j[{"!bytes":"eA=="}]'),  # 3.4
    ((), b'\0j{"!tuple":[]}'),  # 3.5
    ((1, (2,)), b'\0j{"!tuple":[1,{"!tuple":[2]}]}'),
    (set(), b'\0j{"!set":[]}'),
    ({"b", "a", "c"}, b'\0j{"!set":["a","b","c"]}'),  # 3.16
    (frozenset({10, 9}), b'\0j{"!frozenset":[10,9]}'),
    ({1: "a", "b": None}, b'\0j{"!dict":[[1,"a"],["b",null]]}'),  # 3.6
    ({"!x": 1}, b'\0j{"!dict":[["!x",1]]}'),
    ({"\udfff": 1}, b'\0j{"!dict":[[{"!str":"7b+/"},1]]}'),
    ({(None, True): {2.5}}, b'\0j{"!dict":[[{"!tuple":[null,true]},{"!set":[2.5]}]]}'),
    (Decimal("1.50"), b'\0j{"!decimal":"1.50"}'),  # 3.7
    (Decimal("-0E-7"), b'\0j{"!decimal":"-0E-7"}'),
    (Decimal("1E+999999"), b'\0j{"!decimal":"1E+999999"}'),
    (Decimal("-Infinity"), b'\0j{"!decimal":"-Infinity"}'),
    (complex(-0.0, math.inf), b'\0j{"!complex":[-0.0,"inf"]}'),  # 3.8
    (1.5 + 2j, b'\0j{"!complex":[1.5,2.0]}'),
    (UUID(int=1), b'\0j{"!uuid":"00000000-0000-0000-0000-000000000001"}'),  # 3.9
    (date(1, 2, 3), b'\0j{"!date":"0001-02-03"}'),  # 3.10
    (datetime(2024, 2, 29), b'\0j{"!datetime":["2024-02-29T00:00:00",0,null]}'),  # 3.11
    (datetime(2024, 2, 29, 1, 2, 3, 4, UTC), b'\0j{"!datetime":["2024-02-29T01:02:03.000004",0,["offset",0]]}'),
    (
        datetime(2024, 10, 27, 2, 30, tzinfo=PARIS, fold=1),
        b'\0j{"!datetime":["2024-10-27T02:30:00",1,["zone","Europe/Paris"]]}',
    ),
    (time(23, 59, 59, 999999), b'\0j{"!time":["23:59:59.999999",0,null]}'),
    (time(1, tzinfo=NAMED, fold=1), b'\0j{"!time":["01:00:00",1,["offset",-10799999995,"here"]]}'),
    (timedelta(microseconds=-1), b'\0j{"!timedelta":[-1,86399,999999]}'),  # 3.12
    (timedelta.max, b'\0j{"!timedelta":[999999999,86399,999999]}'),
]


def same(a: Any, b: Any) -> bool:
    """Whether two values are the same, types and all; == would take 1 for True and -0.0 for 0.0."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a.items(), b.items(), strict=True))
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, set | frozenset):
        return len(a) == len(b) and all(any(same(x, y) for y in b) for x in a)
    if isinstance(a, datetime | time):
        return a.replace(tzinfo=None) == b.replace(tzinfo=None) and a.fold == b.fold and same(a.tzinfo, b.tzinfo)
    if isinstance(a, timezone):
        return repr(a) == repr(b)
    if isinstance(a, int):
        return bool(a == b)
    return repr(a) == repr(b)


@pytest.mark.parametrize(("value", "data"), FORMS, ids=lambda part: ascii(part)[:40])
def test_each_form(value: Any, data: bytes) -> None:
    frozen = carmine.freeze(value)
    assert type(frozen) is Raw
    assert frozen == data
    thawed = carmine.thaw(data)
    assert same(thawed, value), thawed


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, Raw])
def test_what_is_thawed_may_be_any_bytes_and_raw_data_are_plain_bytes(kind: Any) -> None:
    assert carmine.thaw(kind(b"\0j[1]")) == [1]
    data = carmine.thaw(kind(b"\0<data"))
    assert type(data) is bytes
    assert data == b"data"


def test_an_int_of_any_size() -> None:  # 3.1: Python's own limit is 4,300 decimal digits
    for value in (10**5000, -(10**300_000), 7**100_000):
        assert carmine.thaw(carmine.freeze(value)) == value


def test_a_nan_is_a_nan_of_its_own() -> None:  # 3.2, 5.2
    assert carmine.freeze(math.nan) == b'\0j{"!float":"nan"}'
    first, second = carmine.thaw(carmine.freeze([math.nan, math.nan]))
    assert math.isnan(first)
    assert math.isnan(second)
    assert first is not second
    back = carmine.thaw(carmine.freeze(complex(math.nan, 1)))
    assert math.isnan(back.real)
    assert back.imag == 1
    assert len(carmine.thaw(carmine.freeze({math.nan, float("nan")}))) == 2


def test_a_decimal_does_not_depend_on_the_context() -> None:  # 3.7
    value = Decimal("1.0000000000000000000000000000000000000001E-400")
    with localcontext(prec=3, capitals=0, Emin=-10, Emax=10) as context:
        context.clear_traps()
        frozen = carmine.freeze(value)
        assert str(carmine.thaw(frozen)) == "1.0000000000000000000000000000000000000001e-400"
    assert frozen.count(b"E-400") == 1
    assert str(carmine.thaw(frozen)) == str(value)
    for text in ("NaN", "-NaN", "sNaN123", "NaN7"):
        assert str(carmine.thaw(carmine.freeze(Decimal(text)))) == text


def test_the_order_of_a_dict_is_kept_and_that_of_a_set_is_settled() -> None:  # 3.16
    assert list(carmine.thaw(carmine.freeze({"z": 1, "a": 2}))) == ["z", "a"]
    assert list(carmine.thaw(carmine.freeze({9: 1, 1: 2}))) == [9, 1]
    program = "import carmine, sys; sys.stdout.buffer.write(carmine.freeze({str(n) for n in range(50)}))"
    written = {
        subprocess.run(
            [sys.executable, "-c", program], env={"PYTHONHASHSEED": seed}, check=True, capture_output=True
        ).stdout
        for seed in ("1", "2")
    }
    assert len(written) == 1


def test_parts_are_not_shared() -> None:  # 5.1
    part = [1]
    first, second = carmine.thaw(carmine.freeze([part, part]))
    assert first == second == [1]
    assert first is not second


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"\0j [ 1 ,\t2 ]\r\n", [1, 2]),  # 2.7
        (b"\0j1e999", math.inf),
        (b'\0j"\\u00e9\\ud83d\\ude00"', "é\U0001f600"),
    ],
)
def test_json_that_others_write(data: bytes, value: Any) -> None:
    assert carmine.thaw(data) == value


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "no marker"),
        (b"\0", "no marker"),
        (b"text", "no marker"),
        (b"\0x1", "no marker"),  # 1.7
        (b"\0J1", "no marker"),
        (b"\0_0", "something behind it"),  # 1.8
        (b"\0>NPY\0", "Nippy"),  # 1.5
        (b"\0sdata", "a serializer of its own"),  # 1.4
    ],
)
def test_what_is_not_ours_is_refused_by_name(data: bytes, reason: str) -> None:
    with pytest.raises(ThawError, match=reason) as caught:
        carmine.thaw(data)
    assert reason in caught.value.reason
    assert caught.value.command is None


@pytest.mark.parametrize("data", ["\0j1", None, 5, [b"\0j1"]])
def test_thaw_takes_bytes(data: Any) -> None:
    with pytest.raises(UsageError, match=r"thaw\(\) takes bytes"):
        carmine.thaw(data)


def test_raw_is_bytes_of_its_own_kind() -> None:
    assert carmine.raw(b"\0j1") == b"\0j1"
    assert carmine.raw(bytearray(b"x")) == carmine.raw(memoryview(b"x")) == carmine.raw("x") == b"x"
    assert carmine.raw("é\0") == b"\xc3\xa9\0"
    assert type(carmine.raw(b"")) is Raw
    assert len({mark[1] for mark in MARKS}) == len(MARKS) == 5
    with pytest.raises(UsageError, match="lone surrogate") as caught:
        carmine.raw("canary\ud800")
    assert "canary" not in str(caught.value)
    with pytest.raises(UsageError, match="not int"):
        carmine.raw(5)  # type: ignore[arg-type]  # on purpose


ORDERS = (
    "import carmine.freezing; import carmine; carmine.freeze",
    "from carmine.freezing.reader import thaw; import carmine; carmine.freeze; carmine.thaw",
    "import carmine; carmine.freeze; import carmine.freezing; carmine.freezing.freeze; carmine.freeze",
)


@pytest.mark.parametrize("order", ORDERS)
def test_the_function_is_the_function_whatever_was_imported_first(order: str) -> None:  # docs/adr/0008
    program = f"{order}; assert carmine.freeze(1) == b'\\0j1'; assert carmine.thaw(b'\\0j1') == 1"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_import_of_carmine_does_not_load_it() -> None:
    program = (
        "import sys, carmine; before = set(sys.modules); assert 'carmine.freezing' not in before;"
        "assert not before & {'json', 'decimal', 'uuid', 'zoneinfo'}, before;"
        "carmine.thaw(carmine.freeze({1: b'x'})); assert 'carmine.freezing' in sys.modules;"
        "assert not set(sys.modules) & {'pickle', '_pickle', 'marshal.loads', 'dataclasses', 'asyncio', 'ssl'}"
    )
    subprocess.run([sys.executable, "-S", "-c", program], check=True)
