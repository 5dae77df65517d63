"""Vector sets: what goes out, what is refused, and the shape of what comes back."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from carmine.commands import vectors
from carmine.errors import UsageError
from carmine.types import ScoredMember, VectorData, VectorMatch
from tests.unit.command_tables import check_goes_out, check_shape, named, public_functions

if TYPE_CHECKING:
    from collections.abc import Callable

    from carmine.commands.command import Command

GOES_OUT: list[tuple[Command[Any], tuple[Any, ...], list[Any]]] = [
    (vectors.vadd("v", [1, 0.5], "a"), (b"VADD", "v", b"VALUES", 2, 1, 0.5, "a"), ["v"]),
    (
        vectors.vadd(
            "v",
            b"12345678",
            "a",
            reduce=1,
            cas=True,
            quantization="Q8",
            ef=5,
            attributes={"y": "\u00e4"},
            numlinks=8,
        ),
        (
            *(b"VADD", "v", b"REDUCE", 1, b"FP32", b"12345678", "a", b"CAS", "Q8", b"EF", 5),
            *(b"SETATTR", '{"y":"\\u00e4"}', b"M", 8),
        ),
        ["v"],
    ),
    (vectors.vadd("v", (n for n in (1, 2)), "a"), (b"VADD", "v", b"VALUES", 2, 1, 2, "a"), ["v"]),
    (vectors.vcard("v"), (b"VCARD", "v"), ["v"]),
    (vectors.vdim("v"), (b"VDIM", "v"), ["v"]),
    (vectors.vemb("v", "a"), (b"VEMB", "v", "a"), ["v"]),
    (vectors.vemb("v", "a", raw=True), (b"VEMB", "v", "a", b"RAW"), ["v"]),
    (vectors.vgetattr("v", "a"), (b"VGETATTR", "v", "a"), ["v"]),
    (vectors.vinfo("v"), (b"VINFO", "v"), ["v"]),
    (vectors.vismember("v", "a"), (b"VISMEMBER", "v", "a"), ["v"]),
    (vectors.vlinks("v", "a"), (b"VLINKS", "v", "a"), ["v"]),
    (vectors.vlinks("v", "a", withscores=True), (b"VLINKS", "v", "a", b"WITHSCORES"), ["v"]),
    (vectors.vrandmember("v"), (b"VRANDMEMBER", "v"), ["v"]),
    (vectors.vrandmember("v", 0), (b"VRANDMEMBER", "v", 0), ["v"]),
    (vectors.vrem("v", "a"), (b"VREM", "v", "a"), ["v"]),
    (vectors.vsetattr("v", "a", "{}"), (b"VSETATTR", "v", "a", "{}"), ["v"]),
    (vectors.vsim("v", element=0), (b"VSIM", "v", b"ELE", 0), ["v"]),
    (
        vectors.vsim(
            "v",
            vector=[1],
            withattribs=True,
            count=3,
            epsilon=0.1,
            ef=9,
            filter=".y",
            filter_ef=4,
            truth=True,
            nothread=True,
        ),
        (
            *(b"VSIM", "v", b"VALUES", 1, 1, b"WITHSCORES", b"WITHATTRIBS", b"COUNT", 3, b"EPSILON", 0.1, b"EF", 9),
            *(b"FILTER", ".y", b"FILTER-EF", 4, b"TRUTH", b"NOTHREAD"),
        ),
        ["v"],
    ),
]

wrong: Any = SimpleNamespace(**vars(vectors))
"""The same functions, without the types that would keep a checked caller from these mistakes."""


@pytest.mark.parametrize(("command", "words", "keys"), GOES_OUT, ids=lambda value: getattr(value, "words", ""))
def test_goes_out(command: Command[Any], words: tuple[Any, ...], keys: list[Any]) -> None:
    check_goes_out(command, words, keys)


def test_every_function_has_a_case() -> None:
    assert named(command for command, *_ in GOES_OUT) == public_functions(vectors)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: wrong.vadd("v", [], "a"), "VADD takes a vector as numbers"),
        (lambda: wrong.vadd("v", "CANARY", "a"), "VADD takes a vector as numbers"),
        (lambda: wrong.vadd("v", 5, "a"), "VADD takes a vector as numbers"),
        (lambda: wrong.vadd("v", [1], "a", attributes=["CANARY"]), "VADD takes attributes as JSON text"),
        (lambda: wrong.vsetattr("v", "a", {"x": {"CANARY"}}), "VSETATTR takes attributes as JSON text"),
        (lambda: wrong.vsetattr("v", "a", {"x": float("nan")}), "VSETATTR takes attributes as JSON text"),
        (lambda: wrong.vsim("v"), "VSIM takes either an element or a vector"),
        (lambda: wrong.vsim("v", element="a", vector=[1]), "VSIM takes either an element or a vector"),
    ],
)
def test_refused_before_anything_goes_out(call: Callable[[], Command[Any]], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence) as caught:
        call()
    assert "CANARY" not in str(caught.value)


@pytest.mark.parametrize(
    ("command", "resp2", "resp3", "result"),
    [
        (vectors.vadd("v", [1], "a"), 1, True, True),
        (vectors.vemb("v", "a"), ["1.5", b"-2"], [1.5, -2.0], [1.5, -2.0]),
        (vectors.vemb("v", "a"), None, None, None),
        (
            vectors.vemb("v", "a", raw=True),
            [b"int8", b"\xff", b"2.5", b"0.5"],
            [b"int8", b"\xff", 2.5, 0.5],
            VectorData("int8", b"\xff", 2.5, 0.5),
        ),
        (vectors.vemb("v", "a", raw=True), [b"bin", b"", b"1"], [b"bin", b"", 1.0], VectorData("bin", b"", 1.0, None)),
        (vectors.vinfo("v"), ["size", 2], {"size": 2}, {"size": 2}),
        (
            vectors.vlinks("v", "a", withscores=True),
            [[], ["b", "0.5"]],
            [{}, {"b": 0.5}],
            [[], [ScoredMember("b", 0.5)]],
        ),
        (
            vectors.vsim("v", element="a", withscores=True),
            ["a", "1", "b", "0.5"],
            {"a": 1.0, "b": 0.5},
            [ScoredMember("a", 1.0), ScoredMember("b", 0.5)],
        ),
        (
            vectors.vsim("v", element="a", withattribs=True),
            [b"a", b"1", None, b"b", b"0.5", b"{}"],
            {b"a": [1.0, None], b"b": [0.5, b"{}"]},
            [VectorMatch(b"a", 1.0, None), VectorMatch(b"b", 0.5, "{}")],
        ),
        (vectors.vsim("v", element="a", withattribs=True), [], {}, []),
    ],
    ids=lambda value: getattr(getattr(value, "spec", None), "name", ""),
)
def test_shape(command: Command[Any], resp2: Any, resp3: Any, result: Any) -> None:
    check_shape(command, resp2, resp3, result)
