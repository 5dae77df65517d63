"""The group "string": what goes out, and what is refused before anything does."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from carmine.commands import string_parts, strings
from carmine.errors import UsageError
from tests.unit.command_tables import check_goes_out, named, public_functions

if TYPE_CHECKING:
    from collections.abc import Callable

    from carmine.commands.command import Command

LATER = datetime(2100, 1, 1, tzinfo=UTC)

GOES_OUT: list[tuple[Any, ...]] = [
    (string_parts.append("k", "v"), (b"APPEND", "k", "v"), ["k"]),
    (strings.decr("k"), (b"DECR", "k"), ["k"]),
    (strings.decr("k", 2), (b"DECRBY", "k", 2), ["k"]),
    (strings.decrby("k", 2), (b"DECRBY", "k", 2), ["k"]),
    (strings.delifeq("k", "v"), (b"DELIFEQ", "k", "v"), ["k"]),
    (strings.get("k"), (b"GET", "k"), ["k"]),
    (strings.get(b"k"), (b"GET", b"k"), [b"k"]),
    (strings.getdel("k"), (b"GETDEL", "k"), ["k"]),
    (strings.getex("k"), (b"GETEX", "k"), ["k"]),
    (strings.getex("k", ex=5), (b"GETEX", "k", b"EX", 5), ["k"]),
    (strings.getex("k", ex=0.5), (b"GETEX", "k", b"PX", 500), ["k"]),
    (strings.getex("k", px=5), (b"GETEX", "k", b"PX", 5), ["k"]),
    (strings.getex("k", exat=LATER), (b"GETEX", "k", b"EXAT", 4102444800), ["k"]),
    (strings.getex("k", pxat=LATER), (b"GETEX", "k", b"PXAT", 4102444800000), ["k"]),
    (strings.getex("k", persist=True), (b"GETEX", "k", b"PERSIST"), ["k"]),
    (string_parts.getrange("k", 0, -1), (b"GETRANGE", "k", 0, -1), ["k"]),
    (strings.getset("k", 1), (b"GETSET", "k", 1), ["k"]),
    (strings.incr("k"), (b"INCR", "k"), ["k"]),
    (strings.incr("k", -1), (b"INCRBY", "k", -1), ["k"]),
    (strings.incrby("k", 7), (b"INCRBY", "k", 7), ["k"]),
    (strings.incrbyfloat("k", 0.5), (b"INCRBYFLOAT", "k", 0.5), ["k"]),
    (string_parts.lcs("a", "b"), (b"LCS", "a", "b"), ["a", "b"]),
    (string_parts.lcs("a", "b", len=True), (b"LCS", "a", "b", b"LEN"), ["a", "b"]),
    (
        string_parts.lcs("a", "b", idx=True, minmatchlen=4, withmatchlen=True),
        (b"LCS", "a", "b", b"IDX", b"MINMATCHLEN", 4, b"WITHMATCHLEN"),
        ["a", "b"],
    ),
    (strings.mget("a", b"b"), (b"MGET", "a", b"b"), ["a", b"b"]),
    (strings.mset({"a": 1, b"b": "x"}), (b"MSET", "a", 1, b"b", "x"), ["a", b"b"]),
    (strings.msetex({"a": 1, "b": 2}, ex=5), (b"MSETEX", 2, "a", 1, "b", 2, b"EX", 5), ["a", "b"]),
    (strings.msetex({"a": 1}, nx=True, keepttl=True), (b"MSETEX", 1, "a", 1, b"NX", b"KEEPTTL"), ["a"]),
    (strings.msetex({"a": 1}, xx=True), (b"MSETEX", 1, "a", 1, b"XX"), ["a"]),
    (strings.msetnx({"a": 1}), (b"MSETNX", "a", 1), ["a"]),
    (strings.psetex("k", 1500, "v"), (b"PSETEX", "k", 1500, "v"), ["k"]),
    (strings.psetex("k", timedelta(seconds=2), "v"), (b"PSETEX", "k", 2000, "v"), ["k"]),
    (strings.set("k", "v"), (b"SET", "k", "v"), ["k"]),
    (strings.set("k", b"v", ex=5, nx=True), (b"SET", "k", b"v", b"NX", b"EX", 5), ["k"]),
    (strings.set("k", 1, ex=1.5, xx=True), (b"SET", "k", 1, b"XX", b"PX", 1500), ["k"]),
    (strings.set("k", 1.5, ex=timedelta(minutes=1), get=True), (b"SET", "k", 1.5, b"GET", b"EX", 60), ["k"]),
    (strings.set("k", "v", px=5), (b"SET", "k", "v", b"PX", 5), ["k"]),
    (
        strings.set("k", "v", px=timedelta(microseconds=1), ifeq="old"),
        (b"SET", "k", "v", b"IFEQ", "old", b"PX", 1),
        ["k"],
    ),
    (strings.set("k", "v", exat=4102444800), (b"SET", "k", "v", b"EXAT", 4102444800), ["k"]),
    (
        strings.set("k", "v", exat=LATER, nx=True, get=True),
        (b"SET", "k", "v", b"NX", b"GET", b"EXAT", 4102444800),
        ["k"],
    ),
    (strings.set("k", "v", exat=4102444800.5), (b"SET", "k", "v", b"PXAT", 4102444800500), ["k"]),
    (strings.set("k", "v", pxat=LATER), (b"SET", "k", "v", b"PXAT", 4102444800000), ["k"]),
    (strings.set("k", "v", keepttl=True), (b"SET", "k", "v", b"KEEPTTL"), ["k"]),
    (strings.setex("k", 5, "v"), (b"SETEX", "k", 5, "v"), ["k"]),
    (strings.setex("k", 0.25, "v"), (b"PSETEX", "k", 250, "v"), ["k"]),
    (strings.setnx("k", "v"), (b"SETNX", "k", "v"), ["k"]),
    (string_parts.setrange("k", 5, "v"), (b"SETRANGE", "k", 5, "v"), ["k"]),
    (string_parts.strlen("k"), (b"STRLEN", "k"), ["k"]),
    (string_parts.substr("k", 0, -1), (b"SUBSTR", "k", 0, -1), ["k"]),
]

wrong: Any = SimpleNamespace(**(vars(string_parts) | vars(strings)))
"""The same functions, without the types that would keep a checked caller from these mistakes."""


@pytest.mark.parametrize("row", GOES_OUT, ids=lambda row: repr(row[1]))
def test_goes_out(row: tuple[Any, ...]) -> None:
    check_goes_out(*row)


def test_every_function_has_a_case() -> None:
    told = {name.replace("-", "_") for name in named(command for command, *_ in GOES_OUT)}
    assert told == public_functions(string_parts, strings)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: wrong.set("k", "v", ex=1, px=1), "SET takes only one of ex, px, exat, pxat, keepttl"),
        (lambda: wrong.set("k", "v", ex=1, keepttl=True), "SET takes only one of ex, px, exat, pxat, keepttl"),
        (lambda: wrong.set("k", "v", nx=True, xx=True), "SET takes only one of nx, xx, ifeq"),
        (lambda: wrong.set("k", "v", nx=True, ifeq="x"), "SET takes only one of nx, xx, ifeq"),
        (lambda: wrong.set("k", "v", ex=True), "ex must be a number of seconds or a timedelta, not bool"),
        (lambda: wrong.set("k", "v", ex="CANARY"), "ex must be a number of seconds or a timedelta, not str"),
        (lambda: wrong.set("k", "v", ex=float("nan")), "ex must be finite"),
        (lambda: wrong.set("k", "v", ex=float("inf")), "ex must be finite"),
        (lambda: wrong.set("k", "v", px=1.5), "px must be a whole number of milliseconds or a timedelta, not float"),
        (lambda: wrong.set("k", "v", px=True), "px must be a whole number of milliseconds or a timedelta, not bool"),
        (
            lambda: wrong.set("k", "v", exat="CANARY"),
            "exat must be seconds since the epoch or an aware datetime, not str",
        ),
        (lambda: wrong.set("k", "v", exat=datetime(2100, 1, 1)), "exat must be an aware datetime"),
        (lambda: wrong.set("k", "v", pxat=datetime(2100, 1, 1)), "pxat must be an aware datetime"),
        (
            lambda: wrong.set("k", "v", pxat=1.5),
            "pxat must be whole milliseconds since the epoch or an aware datetime, not float",
        ),
        (lambda: wrong.getex("k", ex=1, persist=True), "GETEX takes only one of ex, px, exat, pxat, persist"),
        (lambda: wrong.mset({}), "MSET needs at least one pair"),
        (lambda: wrong.mset(["CANARY"]), "MSET takes a mapping, not list"),
        (lambda: wrong.msetnx({}), "MSETNX needs at least one pair"),
        (lambda: wrong.msetex({"a": 1}, nx=True, xx=True), "MSETEX takes only one of nx, xx"),
        (lambda: wrong.msetex({"a": 1}, px=1, exat=1), "MSETEX takes only one of ex, px, exat, pxat, keepttl"),
        (lambda: wrong.lcs("a", "b", len=True, idx=True), "LCS takes only one of len, idx"),
        (lambda: wrong.lcs("a", "b", minmatchlen=4), "LCS takes minmatchlen and withmatchlen only with idx=True"),
        (lambda: wrong.setex("k", "CANARY", "v"), "time must be a number of seconds or a timedelta, not str"),
        (
            lambda: wrong.psetex("k", 0.5, "v"),
            "time_ms must be a whole number of milliseconds or a timedelta, not float",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_refused_before_anything_goes_out(call: Callable[[], Command[Any]], sentence: str) -> None:
    with pytest.raises(UsageError, match=re.escape(sentence)) as caught:
        call()
    assert "CANARY" not in str(caught.value)
