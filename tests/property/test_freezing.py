"""Properties of freezing: what is frozen thaws to the same value; other bytes give a value or ThawError."""

from __future__ import annotations

import random
import time
from datetime import UTC, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import carmine
from carmine.errors import ThawError, UsageError
from tests.lab.matrix import scaled
from tests.unit.test_freezing import FORMS, same
from tests.unit.test_freezing_thaw import CASES, tagged

zones = st.one_of(
    st.none(),
    st.just(UTC),
    st.sampled_from(["Europe/Paris", "America/St_Johns", "UTC", "Etc/GMT+3"]).map(ZoneInfo),
    st.builds(
        timezone, st.timedeltas(timedelta(hours=-23), timedelta(hours=23)), st.text(st.characters(codec="utf-8"))
    ),
)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(1 << 200), 1 << 200),
    st.floats(allow_nan=False),
    st.complex_numbers(allow_nan=False),
    st.text(st.characters()),  # surrogates too
    st.binary(),
    st.decimals(allow_nan=False),
    st.uuids(),
    st.dates(),
    st.times(timezones=zones),
    st.datetimes(timezones=zones, allow_imaginary=True),
    st.timedeltas(),
    st.sampled_from(["!int", "!dict", "!:x", "\0j", "[", "]", "\\", '"', ",", "\ud83d\ude00"]),
)


def hashable(children: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(st.lists(children, max_size=4).map(tuple), st.frozensets(children, max_size=4))


keys = st.recursive(scalars, hashable, max_leaves=6)


def containers(children: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(
        st.lists(children, max_size=5),
        st.lists(children, max_size=5).map(tuple),
        st.dictionaries(keys, children, max_size=5),
        st.dictionaries(st.text(max_size=3), children, max_size=5),
        st.sets(keys, max_size=5),
        st.frozensets(keys, max_size=5),
    )


values = st.recursive(scalars, containers, max_leaves=20)


@settings(deadline=None, max_examples=scaled(4000))
@given(value=values)
def test_what_is_frozen_thaws_to_the_same_value(value: Any) -> None:
    frozen = carmine.freeze(value)
    thawed = carmine.thaw(frozen)
    assert same(thawed, value), (value, frozen, thawed)
    assert carmine.freeze(thawed) == frozen


@settings(deadline=None, max_examples=scaled(4000))
@given(
    data=st.one_of(st.binary(), st.text().map(str.encode)), mark=st.sampled_from([b"", b"\0<", b"\0j", b"\0_", b"\0s"])
)
def test_any_bytes_give_a_value_or_a_thaw_error(data: bytes, mark: bytes) -> None:
    attempt(mark + data)


def attempt(data: bytes) -> bool:
    """Thaw bytes; whether that gave a value, which must then be one that can be frozen."""
    try:
        value = carmine.thaw(data)
    except ThawError:
        return False
    try:
        again = carmine.thaw(carmine.freeze(value))
    except UsageError:  # what is read from decimal digits may be longer in carmine's own form
        return True
    assert type(again) is type(value)
    return True


PIECES = [
    *(
        b"[",
        b"]",
        b"{",
        b"}",
        b'"',
        b",",
        b":",
        b"\\",
        b"\\u",
        b"\\ud800",
        b"null",
        b"true",
        b"-",
        b"0",
        b"1e",
        b"e999",
    ),
    *(
        b"!",
        b'{"!',
        b"!set",
        b"!dict",
        b"!int",
        b"!str",
        b"\0",
        b"\xff",
        b"\xed\xa0\x80",
        b"'",
        b"[[[[[[",
        b"]]]]]]",
        b"99999",
    ),
]


def mutated(rng: random.Random, data: bytes, others: list[bytes]) -> bytes:
    """Return bytes with a few faults: bits, cuts, pieces of others, pieces of the grammar."""
    made = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at = rng.randint(2, max(2, len(made)))
        match rng.randrange(5):
            case 0 if len(made) > 2:
                made[rng.randrange(2, len(made))] ^= 1 << rng.randrange(8)
            case 1:
                del made[at : at + rng.randint(1, 6)]
            case 2:
                made[at:at] = rng.choice(PIECES)
            case 3:
                other = rng.choice(others)
                start = rng.randrange(len(other) + 1)
                made[at:at] = other[start : start + rng.randint(1, 20)]
            case _:
                made[at : at + rng.randint(0, 3)] = rng.choice(others)[2:]
    return bytes(made)


@pytest.mark.slow
def test_mutated_values_give_a_value_or_a_thaw_error() -> None:
    """100,000 of them at full scale (S-31); a seed of its own, so that a failure comes back."""
    rng = random.Random(20260731)
    seeds = [data for _, data in FORMS if data[:2] == b"\0j"]
    seeds += [tagged(tag, told) for tag, told in CASES]
    seeds += [b'\0j{"a":[1,{"!tuple":[null,{"!dict":[[1,{"!bytes":"eA=="}]]}]}],"b":{"!set":["x",2.5]}}']
    taken = 0
    count = scaled(100_000)
    longest = 0.0
    for _ in range(count):
        data = mutated(rng, rng.choice(seeds), seeds)
        began = time.perf_counter()
        try:
            taken += attempt(data)
        except BaseException as problem:
            problem.add_note(repr(data))
            raise
        longest = max(longest, time.perf_counter() - began)
    assert count / 100 < taken < count * 0.9, "too few mutants live, or too many, to prove anything"
    assert longest < 5
