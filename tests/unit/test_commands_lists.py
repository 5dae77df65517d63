"""The group "list": what goes out, what is refused, and the shape of what comes back."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from carmine.commands import lists
from carmine.errors import UsageError
from carmine.types import Popped, PoppedItems
from tests.unit.command_tables import check_goes_out, check_shape, named, public_functions

if TYPE_CHECKING:
    from collections.abc import Callable

    from carmine.commands.command import Command

GOES_OUT = [
    (lists.blmove("a", "b"), (b"BLMOVE", "a", "b", "LEFT", "RIGHT", 0), ["a", "b"], math.inf),
    (lists.blmove("a", "b", 1.5, "RIGHT", "LEFT"), (b"BLMOVE", "a", "b", "RIGHT", "LEFT", 1.5), ["a", "b"], 1.5),
    (lists.blmpop(["a", "b"], "LEFT"), (b"BLMPOP", 0, 2, "a", "b", "LEFT"), ["a", "b"], math.inf),
    (lists.blmpop("ab", "RIGHT", 2, count=3), (b"BLMPOP", 2, 1, "ab", "RIGHT", b"COUNT", 3), ["ab"], 2.0),
    (lists.blpop("ab"), (b"BLPOP", "ab", 0), ["ab"], math.inf),
    (lists.blpop(iter((b"a", b"b")), timedelta(milliseconds=250)), (b"BLPOP", b"a", b"b", 0.25), [b"a", b"b"], 0.25),
    (lists.blpop("a", 1e-9), (b"BLPOP", "a", 0.0011), ["a"], 0.0011),
    (lists.brpop(("a",), 3), (b"BRPOP", "a", 3), ["a"], 3.0),
    (lists.brpoplpush("a", "b", 1), (b"BRPOPLPUSH", "a", "b", 1), ["a", "b"], 1.0),
    (lists.lindex("a", -1), (b"LINDEX", "a", -1), ["a"], None),
    (lists.linsert("a", "BEFORE", "x", 1), (b"LINSERT", "a", "BEFORE", "x", 1), ["a"], None),
    (lists.llen("a"), (b"LLEN", "a"), ["a"], None),
    (lists.lmove("a", "b", "RIGHT"), (b"LMOVE", "a", "b", "RIGHT", "RIGHT"), ["a", "b"], None),
    (lists.lmpop(("a", "b"), "LEFT"), (b"LMPOP", 2, "a", "b", "LEFT"), ["a", "b"], None),
    (lists.lmpop("a", "LEFT", 0), (b"LMPOP", 1, "a", "LEFT", b"COUNT", 0), ["a"], None),
    (lists.lpop("a"), (b"LPOP", "a"), ["a"], None),
    (lists.lpop("a", 0), (b"LPOP", "a", 0), ["a"], None),
    (lists.lpos("a", "x"), (b"LPOS", "a", "x"), ["a"], None),
    (
        lists.lpos("a", "x", -1, 0, 0),
        (b"LPOS", "a", "x", b"RANK", -1, b"COUNT", 0, b"MAXLEN", 0),
        ["a"],
        None,
    ),
    (lists.lpos("a", "x", count=2), (b"LPOS", "a", "x", b"COUNT", 2), ["a"], None),
    (lists.lpush("a", 1, 2.5, b"c"), (b"LPUSH", "a", 1, 2.5, b"c"), ["a"], None),
    (lists.lpushx("a", "x"), (b"LPUSHX", "a", "x"), ["a"], None),
    (lists.lrange("a", 0, -1), (b"LRANGE", "a", 0, -1), ["a"], None),
    (lists.lrem("a", -2, "x"), (b"LREM", "a", -2, "x"), ["a"], None),
    (lists.lset("a", 0, "x"), (b"LSET", "a", 0, "x"), ["a"], None),
    (lists.ltrim("a", 1, 2), (b"LTRIM", "a", 1, 2), ["a"], None),
    (lists.rpop("a"), (b"RPOP", "a"), ["a"], None),
    (lists.rpop("a", 2), (b"RPOP", "a", 2), ["a"], None),
    (lists.rpoplpush("a", "b"), (b"RPOPLPUSH", "a", "b"), ["a", "b"], None),
    (lists.rpush("a", "x", "y"), (b"RPUSH", "a", "x", "y"), ["a"], None),
    (lists.rpushx("a", "x"), (b"RPUSHX", "a", "x"), ["a"], None),
]


@pytest.mark.parametrize(("command", "words", "keys", "waits"), GOES_OUT, ids=lambda value: getattr(value, "words", ""))
def test_goes_out(command: Command[Any], words: tuple[Any, ...], keys: list[Any], waits: float | None) -> None:
    check_goes_out(command, words, keys, waits)


def test_every_function_has_a_case() -> None:
    assert named(command for command, *_ in GOES_OUT) == public_functions(lists)


@pytest.mark.parametrize(
    "call",
    [
        lambda: lists.blpop([]),
        lambda: lists.blpop(7),  # type: ignore[arg-type]
        lambda: lists.lmpop((), "LEFT"),
        lambda: lists.blmpop({}, "LEFT"),
        lambda: lists.blpop("a", -1),
        lambda: lists.blpop("a", -0.5),
        lambda: lists.blpop("a", timedelta(seconds=-1)),
        lambda: lists.brpop("a", math.nan),
        lambda: lists.brpop("a", math.inf),
        lambda: lists.blmove("a", "b", True),
        lambda: lists.blmove("a", "b", None),  # type: ignore[arg-type]
        lambda: lists.brpoplpush("a", "b", "1"),  # type: ignore[arg-type]
    ],
)
def test_refused_before_a_byte_is_sent(call: Callable[[], Command[Any]]) -> None:
    with pytest.raises(UsageError):
        call()


def test_a_positive_timeout_never_becomes_for_ever() -> None:
    # Redis 6.2 counts whole milliseconds, takes 0 of them for "for ever", and makes 0 of 0.001 s.
    for short in (0.0004, 0.001, timedelta(microseconds=1)):
        assert lists.blpop("a", short).words[-1] == 0.0011
    assert lists.blpop("a", 0.0).words[-1] == 0


@pytest.mark.parametrize(
    ("command", "resp2", "resp3", "result"),
    [
        (lists.blpop("k"), ["k", "v"], ["k", "v"], Popped("k", "v")),
        (lists.brpop("k"), None, None, None),
        (lists.lmpop("k", "LEFT"), [b"k", [b"a", b"b"]], [b"k", [b"a", b"b"]], PoppedItems(b"k", [b"a", b"b"])),
        (lists.blmpop("k", "LEFT"), None, None, None),
        (lists.lpop("k"), "v", "v", "v"),
        (lists.lpop("k", 2), ["a", "b"], ["a", "b"], ["a", "b"]),
        (lists.lpos("k", "v"), 0, 0, 0),
        (lists.lset("k", 0, "v"), "OK", "OK", True),
        (lists.ltrim("k", 0, 0), b"OK", b"OK", True),
    ],
)
def test_shape(command: Command[Any], resp2: Any, resp3: Any, result: Any) -> None:
    check_shape(command, resp2, resp3, result)
