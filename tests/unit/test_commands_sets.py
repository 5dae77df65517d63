"""The group "set": what goes out, what is refused, and the shape of what comes back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from carmine.commands import sets
from carmine.errors import UsageError
from carmine.types import ScanPage
from tests.unit.command_tables import check_goes_out, check_shape, named, public_functions

if TYPE_CHECKING:
    from carmine.commands.command import Command

GOES_OUT = [
    (sets.sadd("a", 1, "x", b"y"), (b"SADD", "a", 1, "x", b"y"), ["a"]),
    (sets.scard("a"), (b"SCARD", "a"), ["a"]),
    (sets.sdiff("a", b"b"), (b"SDIFF", "a", b"b"), ["a", b"b"]),
    (sets.sdiffstore("d", "a", "b"), (b"SDIFFSTORE", "d", "a", "b"), ["d", "a", "b"]),
    (sets.sinter("a", "b"), (b"SINTER", "a", "b"), ["a", "b"]),
    (sets.sintercard(["a", "b"]), (b"SINTERCARD", 2, "a", "b"), ["a", "b"]),
    (sets.sintercard("ab", 0), (b"SINTERCARD", 1, "ab", b"LIMIT", 0), ["ab"]),
    (sets.sinterstore("d", "a"), (b"SINTERSTORE", "d", "a"), ["d", "a"]),
    (sets.sismember("a", 1), (b"SISMEMBER", "a", 1), ["a"]),
    (sets.smembers("a"), (b"SMEMBERS", "a"), ["a"]),
    (sets.smismember("a", "x", "y"), (b"SMISMEMBER", "a", "x", "y"), ["a"]),
    (sets.smove("a", "b", "x"), (b"SMOVE", "a", "b", "x"), ["a", "b"]),
    (sets.spop("a"), (b"SPOP", "a"), ["a"]),
    (sets.spop("a", 0), (b"SPOP", "a", 0), ["a"]),
    (sets.srandmember("a"), (b"SRANDMEMBER", "a"), ["a"]),
    (sets.srandmember("a", -3), (b"SRANDMEMBER", "a", -3), ["a"]),
    (sets.srem("a", "x"), (b"SREM", "a", "x"), ["a"]),
    (sets.sscan("a"), (b"SSCAN", "a", 0), ["a"]),
    (sets.sscan("a", 7, "x*", 5), (b"SSCAN", "a", 7, b"MATCH", "x*", b"COUNT", 5), ["a"]),
    (sets.sunion("a", "b"), (b"SUNION", "a", "b"), ["a", "b"]),
    (sets.sunionstore("d", "a", "b"), (b"SUNIONSTORE", "d", "a", "b"), ["d", "a", "b"]),
]


@pytest.mark.parametrize(("command", "words", "keys"), GOES_OUT, ids=lambda value: getattr(value, "words", ""))
def test_goes_out(command: Command[Any], words: tuple[Any, ...], keys: list[Any]) -> None:
    check_goes_out(command, words, keys)


def test_every_function_has_a_case() -> None:
    assert named(command for command, *_ in GOES_OUT) == public_functions(sets)


def test_sintercard_without_keys_is_refused() -> None:
    with pytest.raises(UsageError, match="SINTERCARD needs at least one key"):
        sets.sintercard([])


@pytest.mark.parametrize(
    ("command", "resp2", "resp3", "result"),
    [
        (sets.smembers("a"), ["x", "y"], {"x", "y"}, {"x", "y"}),
        (sets.smembers("a"), [], set(), set()),
        (sets.sdiff("a"), [b"x"], {b"x"}, {b"x"}),
        (sets.sinter("a"), ["x"], {"x"}, {"x"}),
        (sets.sunion("a"), ["x"], {"x"}, {"x"}),
        (sets.sismember("a", "x"), 1, 1, True),
        (sets.sismember("a", "x"), 0, 0, False),
        (sets.smismember("a", "x", "y"), [1, 0], [1, 0], [True, False]),
        (sets.smove("a", "b", "x"), 0, 0, False),
        (sets.spop("a"), "x", "x", "x"),
        (sets.spop("a", 2), ["x", "y"], {"x", "y"}, {"x", "y"}),
        (sets.srandmember("a", -2), ["x", "x"], ["x", "x"], ["x", "x"]),
        (sets.sscan("a"), ["0", ["x", "y"]], ["0", ["x", "y"]], ScanPage(0, ["x", "y"])),
        (sets.sscan("a"), [b"18446744073709551615", []], [b"18446744073709551615", []], ScanPage((1 << 64) - 1, [])),
    ],
)
def test_shape(command: Command[Any], resp2: Any, resp3: Any, result: Any) -> None:
    check_shape(command, resp2, resp3, result)
