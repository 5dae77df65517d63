"""The group "generic": what goes out, and what is refused before anything does."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from carmine.commands import key_times, keys, sorting
from carmine.errors import UsageError
from tests.unit.command_tables import check_goes_out, named, public_functions

if TYPE_CHECKING:
    from collections.abc import Callable

    from carmine.commands.command import Command

LATER = datetime(2100, 1, 1, tzinfo=UTC)

GOES_OUT: list[tuple[Any, ...]] = [
    (keys.copy("a", "b"), (b"COPY", "a", "b"), ["a", "b"]),
    (keys.copy("a", "b", 3, True), (b"COPY", "a", "b", b"DB", 3, b"REPLACE"), ["a", "b"]),
    (keys.delete("a", b"b"), (b"DEL", "a", b"b"), ["a", b"b"]),
    (keys.dump("k"), (b"DUMP", "k"), ["k"]),
    (keys.exists("a", "b"), (b"EXISTS", "a", "b"), ["a", "b"]),
    (key_times.expire("k", 5), (b"EXPIRE", "k", 5), ["k"]),
    (key_times.expire("k", -1), (b"EXPIRE", "k", -1), ["k"]),
    (key_times.expire("k", 0.5, nx=True), (b"PEXPIRE", "k", 500, b"NX"), ["k"]),
    (key_times.expire("k", 1.1, xx=True), (b"PEXPIRE", "k", 1100, b"XX"), ["k"]),
    (key_times.expire("k", 0.0001), (b"PEXPIRE", "k", 1), ["k"]),
    (key_times.expire("k", 2.0, gt=True), (b"EXPIRE", "k", 2, b"GT"), ["k"]),
    (key_times.expire("k", timedelta(days=1), lt=True), (b"EXPIRE", "k", 86400, b"LT"), ["k"]),
    (key_times.expireat("k", 4102444800), (b"EXPIREAT", "k", 4102444800), ["k"]),
    (key_times.expireat("k", LATER, nx=True), (b"EXPIREAT", "k", 4102444800, b"NX"), ["k"]),
    (key_times.expireat("k", 4102444800.25), (b"PEXPIREAT", "k", 4102444800250), ["k"]),
    (key_times.expiretime("k"), (b"EXPIRETIME", "k"), ["k"]),
    (keys.keys(), (b"KEYS", "*"), []),
    (keys.keys("a*"), (b"KEYS", "a*"), []),
    (keys.migrate("h", 6380, "k"), (b"MIGRATE", "h", 6380, "k", 0, 1000), ["k"]),
    (
        keys.migrate("h", 6380, ["k"], 2, 0.5, copy=True, password="p"),
        (b"MIGRATE", "h", 6380, "k", 2, 500, b"COPY", b"AUTH", "p"),
        ["k"],
    ),
    (
        keys.migrate("h", 6380, ["a", "b"], 0, timedelta(seconds=5), replace=True, username="u", password="p"),
        (b"MIGRATE", "h", 6380, b"", 0, 5000, b"REPLACE", b"AUTH2", "u", "p", b"KEYS", "a", "b"),
        ["a", "b"],
    ),
    (keys.move("k", 2), (b"MOVE", "k", 2), ["k"]),
    (keys.object_encoding("k"), (b"OBJECT", b"ENCODING", "k"), ["k"]),
    (keys.object_freq("k"), (b"OBJECT", b"FREQ", "k"), ["k"]),
    (keys.object_help(), (b"OBJECT", b"HELP"), []),
    (keys.object_idletime("k"), (b"OBJECT", b"IDLETIME", "k"), ["k"]),
    (keys.object_refcount("k"), (b"OBJECT", b"REFCOUNT", "k"), ["k"]),
    (key_times.persist("k"), (b"PERSIST", "k"), ["k"]),
    (key_times.pexpire("k", 5), (b"PEXPIRE", "k", 5), ["k"]),
    (key_times.pexpire("k", timedelta(microseconds=1500), nx=True), (b"PEXPIRE", "k", 2, b"NX"), ["k"]),
    (key_times.pexpireat("k", 4102444800000), (b"PEXPIREAT", "k", 4102444800000), ["k"]),
    (key_times.pexpireat("k", LATER, gt=True), (b"PEXPIREAT", "k", 4102444800000, b"GT"), ["k"]),
    (key_times.pexpiretime("k"), (b"PEXPIRETIME", "k"), ["k"]),
    (key_times.pttl("k"), (b"PTTL", "k"), ["k"]),
    (keys.randomkey(), (b"RANDOMKEY",), []),
    (keys.rename("a", "b"), (b"RENAME", "a", "b"), ["a", "b"]),
    (keys.renamenx("a", "b"), (b"RENAMENX", "a", "b"), ["a", "b"]),
    (keys.restore("k", 0, b"x"), (b"RESTORE", "k", 0, b"x"), ["k"]),
    (
        keys.restore("k", timedelta(seconds=1), b"x", replace=True, idletime=5),
        (b"RESTORE", "k", 1000, b"x", b"REPLACE", b"IDLETIME", 5),
        ["k"],
    ),
    (
        keys.restore("k", 4102444800000, b"x", absttl=True, freq=5),
        (b"RESTORE", "k", 4102444800000, b"x", b"ABSTTL", b"FREQ", 5),
        ["k"],
    ),
    (keys.scan(), (b"SCAN", 0), []),
    (keys.scan(7, "a*", 5, "hash"), (b"SCAN", 7, b"MATCH", "a*", b"COUNT", 5, b"TYPE", "hash"), []),
    (sorting.sort("k"), (b"SORT", "k"), ["k"]),
    (
        sorting.sort("k", by="w_*", offset=1, num=2, get=["#", "d_*"], desc=True, alpha=True, store="d"),
        (b"SORT", "k", b"BY", "w_*", b"LIMIT", 1, 2, b"GET", "#", b"GET", "d_*", b"DESC", b"ALPHA", b"STORE", "d"),
        ["k", "d"],
    ),
    (sorting.sort("k", get="d_*"), (b"SORT", "k", b"GET", "d_*"), ["k"]),
    (sorting.sort_ro("k"), (b"SORT_RO", "k"), ["k"]),
    (sorting.sort_ro("k", by="nosort", desc=True), (b"SORT_RO", "k", b"BY", "nosort", b"DESC"), ["k"]),
    (keys.touch("a", "b"), (b"TOUCH", "a", "b"), ["a", "b"]),
    (key_times.ttl("k"), (b"TTL", "k"), ["k"]),
    (keys.type("k"), (b"TYPE", "k"), ["k"]),
    (keys.unlink("a", "b"), (b"UNLINK", "a", "b"), ["a", "b"]),
    (keys.wait(1, 0), (b"WAIT", 1, 0), [], math.inf),
    (keys.wait(1, 0.5), (b"WAIT", 1, 500), [], 0.5),
    (keys.wait(1, 0.0001), (b"WAIT", 1, 1), [], 0.001),
    (keys.waitaof(1, 2, timedelta(seconds=2)), (b"WAITAOF", 1, 2, 2000), [], 2.0),
]

wrong: Any = SimpleNamespace(**(vars(key_times) | vars(keys) | vars(sorting)))
"""The same functions, without the types that would keep a checked caller from these mistakes."""


@pytest.mark.parametrize("row", GOES_OUT, ids=lambda row: repr(row[1]))
def test_goes_out(row: tuple[Any, ...]) -> None:
    check_goes_out(*row)


def test_every_function_has_a_case() -> None:
    told = {
        "delete" if name == "del" else name.replace("-", "_") for name in named(command for command, *_ in GOES_OUT)
    }
    assert told == public_functions(key_times, keys, sorting)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: wrong.expire("k", 1, nx=True, lt=True), "EXPIRE takes only one of nx, xx, gt, lt"),
        (lambda: wrong.expire("k", None), "time must be a number of seconds or a timedelta, not NoneType"),
        (lambda: wrong.expireat("k", 1, xx=True, gt=True), "EXPIREAT takes only one of nx, xx, gt, lt"),
        (lambda: wrong.pexpire("k", 1, gt=True, lt=True), "PEXPIRE takes only one of nx, xx, gt, lt"),
        (lambda: wrong.pexpire("k", 0.5), "time must be a whole number of milliseconds or a timedelta, not float"),
        (lambda: wrong.pexpireat("k", 1, nx=True, xx=True), "PEXPIREAT takes only one of nx, xx, gt, lt"),
        (lambda: wrong.migrate("h", 1, []), "MIGRATE needs at least one key"),
        (lambda: wrong.migrate("h", 1, "k", username="CANARY"), "MIGRATE takes username only with password"),
        (lambda: wrong.migrate("h", 1, "k", timeout=-1), "timeout must not be negative"),
        (lambda: wrong.sort("k", offset=1), "SORT takes offset and num together"),
        (lambda: wrong.sort_ro("k", num=1), "SORT takes offset and num together"),
        (
            lambda: wrong.restore("k", 0.5, b"CANARY"),
            "ttl must be a whole number of milliseconds or a timedelta, not float",
        ),
        (lambda: wrong.wait(1, -0.5), "timeout must not be negative; 0 waits for ever"),
        (lambda: wrong.waitaof(1, 1, "CANARY"), "timeout must be a number of seconds or a timedelta, not str"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_refused_before_anything_goes_out(call: Callable[[], Command[Any]], sentence: str) -> None:
    with pytest.raises(UsageError, match=re.escape(sentence)) as caught:
        call()
    assert "CANARY" not in str(caught.value)
