"""The group "hash": what goes out, and what is refused before anything does."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from carmine.commands import hash_times, hashes
from carmine.errors import UsageError
from tests.unit.command_tables import check_goes_out, named, public_functions

if TYPE_CHECKING:
    from collections.abc import Callable

    from carmine.commands.command import Command

LATER = datetime(2100, 1, 1, tzinfo=UTC)

GOES_OUT: list[tuple[Any, ...]] = [
    (hashes.hdel("h", "f", 1), (b"HDEL", "h", "f", 1), ["h"]),
    (hashes.hexists("h", "f"), (b"HEXISTS", "h", "f"), ["h"]),
    (hash_times.hexpire("h", 5, "f", "g"), (b"HEXPIRE", "h", 5, b"FIELDS", 2, "f", "g"), ["h"]),
    (hash_times.hexpire("h", 0.5, "f", nx=True), (b"HPEXPIRE", "h", 500, b"NX", b"FIELDS", 1, "f"), ["h"]),
    (
        hash_times.hexpire("h", timedelta(hours=1), "f", lt=True),
        (b"HEXPIRE", "h", 3600, b"LT", b"FIELDS", 1, "f"),
        ["h"],
    ),
    (hash_times.hexpireat("h", LATER, "f", xx=True), (b"HEXPIREAT", "h", 4102444800, b"XX", b"FIELDS", 1, "f"), ["h"]),
    (
        hash_times.hexpireat("h", 4102444800.5, "f", gt=True),
        (b"HPEXPIREAT", "h", 4102444800500, b"GT", b"FIELDS", 1, "f"),
        ["h"],
    ),
    (hash_times.hexpiretime("h", "f"), (b"HEXPIRETIME", "h", b"FIELDS", 1, "f"), ["h"]),
    (hashes.hget("h", "f"), (b"HGET", "h", "f"), ["h"]),
    (hashes.hgetall("h"), (b"HGETALL", "h"), ["h"]),
    (hashes.hgetdel("h", "f", "g"), (b"HGETDEL", "h", b"FIELDS", 2, "f", "g"), ["h"]),
    (hashes.hgetex("h", "f"), (b"HGETEX", "h", b"FIELDS", 1, "f"), ["h"]),
    (hashes.hgetex("h", "f", "g", ex=5), (b"HGETEX", "h", b"EX", 5, b"FIELDS", 2, "f", "g"), ["h"]),
    (hashes.hgetex("h", "f", persist=True), (b"HGETEX", "h", b"PERSIST", b"FIELDS", 1, "f"), ["h"]),
    (hashes.hincrby("h", "f"), (b"HINCRBY", "h", "f", 1), ["h"]),
    (hashes.hincrby("h", "f", -3), (b"HINCRBY", "h", "f", -3), ["h"]),
    (hashes.hincrbyfloat("h", "f", 1.5), (b"HINCRBYFLOAT", "h", "f", 1.5), ["h"]),
    (hashes.hkeys("h"), (b"HKEYS", "h"), ["h"]),
    (hashes.hlen("h"), (b"HLEN", "h"), ["h"]),
    (hashes.hmget("h", "f", "g"), (b"HMGET", "h", "f", "g"), ["h"]),
    (hashes.hmset("h", {"f": 1, b"g": 2}), (b"HMSET", "h", "f", 1, b"g", 2), ["h"]),
    (hash_times.hpersist("h", "f"), (b"HPERSIST", "h", b"FIELDS", 1, "f"), ["h"]),
    (hash_times.hpexpire("h", 5, "f", gt=True), (b"HPEXPIRE", "h", 5, b"GT", b"FIELDS", 1, "f"), ["h"]),
    (
        hash_times.hpexpireat("h", LATER, "f", lt=True),
        (b"HPEXPIREAT", "h", 4102444800000, b"LT", b"FIELDS", 1, "f"),
        ["h"],
    ),
    (hash_times.hpexpiretime("h", "f"), (b"HPEXPIRETIME", "h", b"FIELDS", 1, "f"), ["h"]),
    (hash_times.hpttl("h", "f"), (b"HPTTL", "h", b"FIELDS", 1, "f"), ["h"]),
    (hashes.hrandfield("h"), (b"HRANDFIELD", "h"), ["h"]),
    (hashes.hrandfield("h", 2), (b"HRANDFIELD", "h", 2), ["h"]),
    (hashes.hrandfield("h", -2, True), (b"HRANDFIELD", "h", -2, b"WITHVALUES"), ["h"]),
    (hashes.hscan("h"), (b"HSCAN", "h", 0), ["h"]),
    (hashes.hscan("h", 7, "f*", 5), (b"HSCAN", "h", 7, b"MATCH", "f*", b"COUNT", 5), ["h"]),
    (hashes.hscan("h", no_values=True), (b"HSCAN", "h", 0, b"NOVALUES"), ["h"]),
    (hashes.hset("h", "f", 1), (b"HSET", "h", "f", 1), ["h"]),
    (hashes.hset("h", mapping={"f": 1, "g": 2}), (b"HSET", "h", "f", 1, "g", 2), ["h"]),
    (hashes.hset("h", "f", 1, {"g": 2}), (b"HSET", "h", "f", 1, "g", 2), ["h"]),
    (hashes.hsetex("h", {"f": 1, "g": 2}, ex=5), (b"HSETEX", "h", b"EX", 5, b"FIELDS", 2, "f", 1, "g", 2), ["h"]),
    (
        hashes.hsetex("h", {"f": 1}, fnx=True, keepttl=True),
        (b"HSETEX", "h", b"FNX", b"KEEPTTL", b"FIELDS", 1, "f", 1),
        ["h"],
    ),
    (hashes.hsetex("h", {"f": 1}, fxx=True, nx=True), (b"HSETEX", "h", b"NX", b"FXX", b"FIELDS", 1, "f", 1), ["h"]),
    (
        hashes.hsetex("h", {"f": 1}, xx=True, pxat=LATER),
        (b"HSETEX", "h", b"XX", b"PXAT", 4102444800000, b"FIELDS", 1, "f", 1),
        ["h"],
    ),
    (hashes.hsetnx("h", "f", 1), (b"HSETNX", "h", "f", 1), ["h"]),
    (hashes.hstrlen("h", "f"), (b"HSTRLEN", "h", "f"), ["h"]),
    (hash_times.httl("h", "f"), (b"HTTL", "h", b"FIELDS", 1, "f"), ["h"]),
    (hashes.hvals("h"), (b"HVALS", "h"), ["h"]),
]

wrong: Any = SimpleNamespace(**(vars(hash_times) | vars(hashes)))
"""The same functions, without the types that would keep a checked caller from these mistakes."""


@pytest.mark.parametrize("row", GOES_OUT, ids=lambda row: repr(row[1]))
def test_goes_out(row: tuple[Any, ...]) -> None:
    check_goes_out(*row)


def test_every_function_has_a_case() -> None:
    told = {name.replace("-", "_") for name in named(command for command, *_ in GOES_OUT)}
    assert told == public_functions(hash_times, hashes)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: wrong.hset("h"), "HSET needs a field and its value, or a mapping"),
        (lambda: wrong.hset("h", "CANARY"), "HSET takes field and value together, or mapping="),
        (lambda: wrong.hset("h", value="CANARY"), "HSET takes field and value together, or mapping="),
        (lambda: wrong.hset("h", mapping={}), "HSET needs at least one pair"),
        (lambda: wrong.hmset("h", {}), "HMSET needs at least one pair"),
        (lambda: wrong.hsetex("h", {}, ex=1), "HSETEX needs at least one pair"),
        (lambda: wrong.hsetex("h", {"f": 1}, fnx=True, fxx=True), "HSETEX takes only one of fnx, fxx"),
        (lambda: wrong.hsetex("h", {"f": 1}, nx=True, xx=True), "HSETEX takes only one of nx, xx"),
        (
            lambda: wrong.hsetex("h", {"f": 1}, ex=1, keepttl=True),
            "HSETEX takes only one of ex, px, exat, pxat, keepttl",
        ),
        (lambda: wrong.hgetex("h", "f", ex=1, px=1), "HGETEX takes only one of ex, px, exat, pxat, persist"),
        (lambda: wrong.hgetex("h", ex=1), "HGETEX needs at least one field"),
        (lambda: wrong.hgetdel("h"), "HGETDEL needs at least one field"),
        (lambda: wrong.hexpire("h", 1), "HEXPIRE needs at least one field"),
        (lambda: wrong.hexpire("h", 1, "f", nx=True, gt=True), "HEXPIRE takes only one of nx, xx, gt, lt"),
        (
            lambda: wrong.hexpire("h", "CANARY", "f"),
            "time must be a number of seconds or a timedelta, not str",
        ),
        (lambda: wrong.hpexpire("h", 1), "HPEXPIRE needs at least one field"),
        (lambda: wrong.hexpireat("h", 1), "HEXPIREAT needs at least one field"),
        (lambda: wrong.hpexpireat("h", 1), "HPEXPIREAT needs at least one field"),
        (lambda: wrong.httl("h"), "HTTL needs at least one field"),
        (lambda: wrong.hpttl("h"), "HPTTL needs at least one field"),
        (lambda: wrong.hpersist("h"), "HPERSIST needs at least one field"),
        (lambda: wrong.hexpiretime("h"), "HEXPIRETIME needs at least one field"),
        (lambda: wrong.hpexpiretime("h"), "HPEXPIRETIME needs at least one field"),
        (lambda: wrong.hrandfield("h", None, True), "HRANDFIELD takes withvalues only with count"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_refused_before_anything_goes_out(call: Callable[[], Command[Any]], sentence: str) -> None:
    with pytest.raises(UsageError, match=re.escape(sentence)) as caught:
        call()
    assert "CANARY" not in str(caught.value)
