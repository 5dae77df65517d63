"""Coercions of replies, and functions made of functions."""

from __future__ import annotations

from typing import Any

import pytest

from carmine import as_bool, as_float, as_int, as_map, compose
from carmine.errors import UsageError


@pytest.mark.parametrize(
    ("function", "reply", "made"),
    [
        (as_int, "7", 7),
        (as_int, b"-7", -7),
        (as_int, 7.0, 7),
        (as_int, None, None),
        (as_float, "1.5", 1.5),
        (as_float, b"inf", float("inf")),
        (as_float, 2, 2.0),
        (as_float, None, None),
        (as_bool, 1, True),
        (as_bool, "1", True),
        (as_bool, b"true", True),
        (as_bool, "OK", True),
        (as_bool, True, True),
        (as_bool, 0, False),
        (as_bool, b"0", False),
        (as_bool, "false", False),
        (as_bool, None, None),
        (as_map, ["a", 1, "b", 2], {"a": 1, "b": 2}),
        (as_map, [["a", 1], ("b", 2)], {"a": 1, "b": 2}),
        (as_map, {"a": 1}, {"a": 1}),
        (as_map, [], {}),
        (as_map, None, None),
    ],
)
def test_coercions(function: Any, reply: Any, made: Any) -> None:
    got = function(reply)
    assert got == made
    assert type(got) is type(made)


@pytest.mark.parametrize(
    ("function", "reply"),
    [
        (as_int, "x"),
        (as_int, ""),
        (as_float, b"x"),
        (as_bool, 2),
        (as_bool, "yes"),
        (as_map, ["a"]),
        (as_map, "ab"),
        (as_map, 7),
    ],
)
def test_what_is_no_such_thing(function: Any, reply: Any) -> None:
    with pytest.raises(ValueError, match=r"."):
        function(reply)


def test_a_map_by_functions() -> None:
    assert as_map(["a", "1"], keys=str.upper, values=lambda key, value: (key, int(value))) == {"A": ("A", 1)}


def test_compose() -> None:
    assert compose(str, lambda n: n + 1, int)("4") == "5"
    assert compose(len)("abc") == 3
    for odd in ((), (int, 1), (None,)):
        with pytest.raises(UsageError, match="compose takes functions"):
            compose(*odd)
