"""The group "sorted-set": what goes out, what is refused, and the shape of what comes back."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest

from carmine.commands import sorted_set_algebra as algebra
from carmine.commands import sorted_set_ranges as ranges
from carmine.commands import sorted_sets as zsets
from carmine.errors import UsageError
from carmine.types import PoppedMember, PoppedMembers, Ranking, ScanPage, ScoredMember
from tests.unit.command_tables import check_goes_out, check_shape, named, public_functions

if TYPE_CHECKING:
    from collections.abc import Callable

    from carmine.commands.command import Command

PLAIN = [
    (zsets.zadd("z", {"a": 1, b"b": 2.5}), (b"ZADD", "z", 1, "a", 2.5, b"b"), ["z"]),
    (zsets.zadd("z", {"a": 1}, nx=True, ch=True), (b"ZADD", "z", b"NX", b"CH", 1, "a"), ["z"]),
    (
        zsets.zadd("z", {7: -math.inf}, xx=True, gt=True, incr=True),
        (b"ZADD", "z", b"XX", b"GT", b"INCR", -math.inf, 7),
        ["z"],
    ),
    (zsets.zadd("z", {"a": 1}, lt=True), (b"ZADD", "z", b"LT", 1, "a"), ["z"]),
    (zsets.zcard("z"), (b"ZCARD", "z"), ["z"]),
    (zsets.zincrby("z", 1.5, "a"), (b"ZINCRBY", "z", 1.5, "a"), ["z"]),
    (zsets.zmpop(["y", "z"], "MIN"), (b"ZMPOP", 2, "y", "z", "MIN"), ["y", "z"]),
    (zsets.zmpop("z", "MAX", 2), (b"ZMPOP", 1, "z", "MAX", b"COUNT", 2), ["z"]),
    (zsets.zmscore("z", "a", "b"), (b"ZMSCORE", "z", "a", "b"), ["z"]),
    (zsets.zpopmax("z"), (b"ZPOPMAX", "z"), ["z"]),
    (zsets.zpopmax("z", 2), (b"ZPOPMAX", "z", 2), ["z"]),
    (zsets.zpopmin("z"), (b"ZPOPMIN", "z"), ["z"]),
    (zsets.zpopmin("z", 0), (b"ZPOPMIN", "z", 0), ["z"]),
    (zsets.zrandmember("z"), (b"ZRANDMEMBER", "z"), ["z"]),
    (zsets.zrandmember("z", -2), (b"ZRANDMEMBER", "z", -2), ["z"]),
    (zsets.zrandmember("z", 2, True), (b"ZRANDMEMBER", "z", 2, b"WITHSCORES"), ["z"]),
    (zsets.zrank("z", "a"), (b"ZRANK", "z", "a"), ["z"]),
    (zsets.zrank("z", "a", True), (b"ZRANK", "z", "a", b"WITHSCORE"), ["z"]),
    (zsets.zrem("z", "a", "b"), (b"ZREM", "z", "a", "b"), ["z"]),
    (zsets.zrevrank("z", "a"), (b"ZREVRANK", "z", "a"), ["z"]),
    (zsets.zrevrank("z", "a", withscore=True), (b"ZREVRANK", "z", "a", b"WITHSCORE"), ["z"]),
    (zsets.zscan("z"), (b"ZSCAN", "z", 0), ["z"]),
    (
        zsets.zscan("z", 3, "a*", 10, noscores=True),
        (b"ZSCAN", "z", 3, b"MATCH", "a*", b"COUNT", 10, b"NOSCORES"),
        ["z"],
    ),
    (zsets.zscore("z", "a"), (b"ZSCORE", "z", "a"), ["z"]),
]

RANGES = [
    (ranges.zcount("z", "-inf", "(5"), (b"ZCOUNT", "z", "-inf", "(5"), ["z"]),
    (ranges.zlexcount("z", "-", "[b"), (b"ZLEXCOUNT", "z", "-", "[b"), ["z"]),
    (ranges.zrange("z", 0, -1), (b"ZRANGE", "z", 0, -1), ["z"]),
    (ranges.zrange("z", 0, -1, withscores=True), (b"ZRANGE", "z", 0, -1, b"WITHSCORES"), ["z"]),
    (ranges.zrange("z", 0, 1, rev=True), (b"ZRANGE", "z", 0, 1, b"REV"), ["z"]),
    (
        ranges.zrange("z", "(5", -math.inf, byscore=True, rev=True, offset=0, num=2, withscores=True),
        (b"ZRANGE", "z", "(5", -math.inf, b"BYSCORE", b"REV", b"LIMIT", 0, 2, b"WITHSCORES"),
        ["z"],
    ),
    (
        ranges.zrange("z", "-", "+", bylex=True, offset=1, num=-1),
        (b"ZRANGE", "z", "-", "+", b"BYLEX", b"LIMIT", 1, -1),
        ["z"],
    ),
    (ranges.zrangebylex("z", "-", "+"), (b"ZRANGEBYLEX", "z", "-", "+"), ["z"]),
    (
        ranges.zrangebylex("z", "-", "+", offset=0, num=1),
        (b"ZRANGEBYLEX", "z", "-", "+", b"LIMIT", 0, 1),
        ["z"],
    ),
    (
        ranges.zrangebyscore("z", 1, "+inf", offset=0, num=1, withscores=True),
        (b"ZRANGEBYSCORE", "z", 1, "+inf", b"WITHSCORES", b"LIMIT", 0, 1),
        ["z"],
    ),
    (ranges.zrangebyscore("z", 1, 2), (b"ZRANGEBYSCORE", "z", 1, 2), ["z"]),
    (ranges.zrangestore("d", "z", 0, -1), (b"ZRANGESTORE", "d", "z", 0, -1), ["d", "z"]),
    (
        ranges.zrangestore("d", "z", 5, 1, byscore=True, rev=True, offset=0, num=9),
        (b"ZRANGESTORE", "d", "z", 5, 1, b"BYSCORE", b"REV", b"LIMIT", 0, 9),
        ["d", "z"],
    ),
    (ranges.zremrangebylex("z", "[a", "(b"), (b"ZREMRANGEBYLEX", "z", "[a", "(b"), ["z"]),
    (ranges.zremrangebyrank("z", 0, 1), (b"ZREMRANGEBYRANK", "z", 0, 1), ["z"]),
    (ranges.zremrangebyscore("z", 0, "(1"), (b"ZREMRANGEBYSCORE", "z", 0, "(1"), ["z"]),
    (ranges.zrevrange("z", 0, -1), (b"ZREVRANGE", "z", 0, -1), ["z"]),
    (ranges.zrevrange("z", 0, -1, True), (b"ZREVRANGE", "z", 0, -1, b"WITHSCORES"), ["z"]),
    (
        ranges.zrevrangebylex("z", "+", "-", offset=0, num=1),
        (b"ZREVRANGEBYLEX", "z", "+", "-", b"LIMIT", 0, 1),
        ["z"],
    ),
    (ranges.zrevrangebyscore("z", 2, 1), (b"ZREVRANGEBYSCORE", "z", 2, 1), ["z"]),
    (
        ranges.zrevrangebyscore("z", 2, 1, withscores=True),
        (b"ZREVRANGEBYSCORE", "z", 2, 1, b"WITHSCORES"),
        ["z"],
    ),
]

ALGEBRA = [
    (algebra.zdiff(["y", "z"]), (b"ZDIFF", 2, "y", "z"), ["y", "z"]),
    (algebra.zdiff("z", True), (b"ZDIFF", 1, "z", b"WITHSCORES"), ["z"]),
    (algebra.zdiffstore("d", ["y", "z"]), (b"ZDIFFSTORE", "d", 2, "y", "z"), ["d", "y", "z"]),
    (algebra.zinter(["y", "z"]), (b"ZINTER", 2, "y", "z"), ["y", "z"]),
    (
        algebra.zinter({"y": 2, "z": 0.5}, "MAX", withscores=True),
        (b"ZINTER", 2, "y", "z", b"WEIGHTS", 2, 0.5, b"AGGREGATE", "MAX", b"WITHSCORES"),
        ["y", "z"],
    ),
    (algebra.zintercard(("y", "z"), 5), (b"ZINTERCARD", 2, "y", "z", b"LIMIT", 5), ["y", "z"]),
    (algebra.zintercard("z"), (b"ZINTERCARD", 1, "z"), ["z"]),
    (algebra.zinterstore("d", ["z"], "MIN"), (b"ZINTERSTORE", "d", 1, "z", b"AGGREGATE", "MIN"), ["d", "z"]),
    (algebra.zunion("z"), (b"ZUNION", 1, "z"), ["z"]),
    (algebra.zunion({b"z": 3}, withscores=True), (b"ZUNION", 1, b"z", b"WEIGHTS", 3, b"WITHSCORES"), [b"z"]),
    (
        algebra.zunionstore("d", {"y": 1, "z": 2}, "SUM"),
        (b"ZUNIONSTORE", "d", 2, "y", "z", b"WEIGHTS", 1, 2, b"AGGREGATE", "SUM"),
        ["d", "y", "z"],
    ),
]

BLOCKING = [
    (zsets.bzmpop(["y", "z"], "MIN"), (b"BZMPOP", 0, 2, "y", "z", "MIN"), ["y", "z"], math.inf),
    (zsets.bzmpop("z", "MAX", 0.5, 2), (b"BZMPOP", 0.5, 1, "z", "MAX", b"COUNT", 2), ["z"], 0.5),
    (zsets.bzpopmax("z"), (b"BZPOPMAX", "z", 0), ["z"], math.inf),
    (zsets.bzpopmin(["y", "z"], 2), (b"BZPOPMIN", "y", "z", 2), ["y", "z"], 2.0),
]


@pytest.mark.parametrize(
    ("command", "words", "keys", "waits"),
    [*((*case, None) for case in PLAIN + RANGES + ALGEBRA), *BLOCKING],
    ids=lambda value: getattr(value, "words", ""),
)
def test_goes_out(command: Command[Any], words: tuple[Any, ...], keys: list[Any], waits: float | None) -> None:
    check_goes_out(command, words, keys, waits)


def test_every_function_has_a_case() -> None:
    tested = named([*(case[0] for case in PLAIN + RANGES + ALGEBRA), *(case[0] for case in BLOCKING)])
    assert tested == public_functions(zsets, ranges, algebra)


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: zsets.zadd("z", {}), "ZADD needs at least one member"),
        (lambda: zsets.zadd("z", {"a": 1}, nx=True, xx=True), "only one of nx, xx"),
        (lambda: zsets.zadd("z", {"a": 1}, nx=True, gt=True), "only one of nx, gt, lt"),
        (lambda: zsets.zadd("z", {"a": 1}, gt=True, lt=True), "only one of nx, gt, lt"),
        (lambda: zsets.zadd("z", {"a": 1, "b": 2}, incr=True), "with incr takes one member"),
        (lambda: zsets.zrandmember("z", None, True), "only with a count"),
        (lambda: zsets.bzpopmin([]), "BZPOPMIN needs at least one key"),
        (lambda: zsets.bzpopmin("z", -1), "timeout"),
        (lambda: zsets.zmpop([], "MIN"), "ZMPOP needs at least one key"),
        (lambda: ranges.zrange("z", 0, 1, byscore=True, bylex=True), "only one of byscore, bylex"),
        (lambda: ranges.zrange("z", 0, 1, byscore=True, offset=1), "offset and num together"),
        (lambda: ranges.zrange("z", 0, 1, byscore=True, num=1), "offset and num together"),
        (lambda: ranges.zrange("z", 0, 1, offset=0, num=1), "only with byscore or bylex"),
        (lambda: ranges.zrangestore("d", "z", 0, 1, offset=0, num=1), "only with byscore or bylex"),
        (lambda: ranges.zrangebyscore("z", 0, 1, num=1), "offset and num together"),
        (lambda: ranges.zrevrangebylex("z", "+", "-", offset=1), "offset and num together"),
        (lambda: algebra.zunion({}), "ZUNION needs at least one key"),
        (lambda: algebra.zinterstore("d", []), "ZINTERSTORE needs at least one key"),
        (lambda: algebra.zdiff(None), "not as NoneType"),  # type: ignore[call-overload]
    ],
)
def test_refused_before_a_byte_is_sent(call: Callable[[], Command[Any]], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        call()


SCORED = [ScoredMember("a", 1.0), ScoredMember("b", math.inf)]
FLAT = ["a", "1", "b", "inf"]
NESTED = [["a", 1.0], ["b", math.inf]]
WITH_SCORES = [
    ranges.zrange("z", 0, -1, withscores=True),
    ranges.zrevrange("z", 0, -1, withscores=True),
    ranges.zrangebyscore("z", 0, 9, withscores=True),
    ranges.zrevrangebyscore("z", 9, 0, withscores=True),
    algebra.zunion("z", withscores=True),
    algebra.zinter("z", withscores=True),
    algebra.zdiff("z", withscores=True),
    zsets.zrandmember("z", 2, withscores=True),
    zsets.zpopmin("z", 2),
    zsets.zpopmax("z", 2),
]


@pytest.mark.parametrize("command", WITH_SCORES, ids=lambda command: command.spec.name)
def test_members_with_scores(command: Command[Any]) -> None:
    check_shape(command, FLAT, NESTED, SCORED)
    check_shape(command, [], [], [])
    check_shape(command, [b"a", b"-inf"], [[b"a", -math.inf]], [ScoredMember(b"a", -math.inf)])


@pytest.mark.parametrize(
    ("command", "resp2", "resp3", "result"),
    [
        (zsets.zadd("z", {"a": 1}), 1, 1, 1),
        (zsets.zadd("z", {"a": 1}, incr=True), "3", 3.0, 3.0),
        (zsets.zadd("z", {"a": 1}, incr=True), None, None, None),
        (zsets.zincrby("z", 1, "a"), b"1e+25", 1e25, 1e25),
        (zsets.zscore("z", "a"), "-inf", -math.inf, -math.inf),
        (zsets.zscore("z", "a"), None, None, None),
        (zsets.zmscore("z", "a", "b"), ["1", None], [1.0, None], [1.0, None]),
        (zsets.zrank("z", "a"), 2, 2, 2),
        (zsets.zrank("z", "a", True), [2, "4"], [2, 4.0], Ranking(2, 4.0)),
        (zsets.zrevrank("z", "a", True), None, None, None),
        (zsets.zpopmin("z"), ["a", "1"], ["a", 1.0], ScoredMember("a", 1.0)),
        (zsets.zpopmax("z"), [], [], None),
        (zsets.bzpopmin("z"), ["z", "a", "1"], ["z", "a", 1.0], PoppedMember("z", "a", 1.0)),
        (zsets.bzpopmax("z"), None, None, None),
        (zsets.zmpop("z", "MIN"), ["z", [["a", "1"], ["b", "inf"]]], ["z", NESTED], PoppedMembers("z", SCORED)),
        (zsets.bzmpop("z", "MIN"), ["z", [["a", "1"], ["b", "inf"]]], ["z", NESTED], PoppedMembers("z", SCORED)),
        (zsets.bzmpop("z", "MIN"), None, None, None),
        (zsets.zscan("z"), ["5", FLAT], ["5", FLAT], ScanPage(5, SCORED)),
        (zsets.zscan("z", noscores=True), ["0", ["a", "b"]], ["0", ["a", "b"]], ScanPage(0, ["a", "b"])),
        (ranges.zrange("z", 0, -1), ["a"], ["a"], ["a"]),
    ],
)
def test_shape(command: Command[Any], resp2: Any, resp3: Any, result: Any) -> None:
    check_shape(command, resp2, resp3, result)
