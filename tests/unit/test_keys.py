"""Names of keys: the plain join, and what it does not promise (SECURITY S-17)."""

from __future__ import annotations

import enum
from typing import Any

import pytest

import carmine
from carmine import keys
from carmine.errors import UsageError


class Kind(enum.IntEnum):
    USER = 7


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        (("a",), "a"),
        (("a", "b"), "a:b"),
        (("user", 7, "name"), "user:7:name"),
        ((-1, 0, 10**30), f"-1:0:{10**30}"),
        (("a", "", "b"), "a::b"),
        (("", ""), ":"),
        (("ä", "日本"), "ä:日本"),
        (("{tag}", "x"), "{tag}:x"),
        (("user", Kind.USER), "user:7"),
        ((b"a", b"\xff"), b"a:\xff"),
        (("ä", 1, b"\xff"), b"\xc3\xa4:1:\xff"),
    ],
)
def test_parts_are_joined_by_colons(parts: tuple[Any, ...], expected: object) -> None:
    made = carmine.key(*parts)
    assert made == expected
    assert type(made) is type(expected)


@pytest.mark.parametrize("part", [None, True, 1.0, ["a"], ("a",), {"a": 1}, bytearray(b"a"), object()])
def test_other_parts_are_refused(part: Any) -> None:
    with pytest.raises(
        UsageError, match=rf"^part 2 of a key's name must be str, int or bytes, not {type(part).__name__}"
    ):
        carmine.key("a", part)


def test_no_parts_are_no_key() -> None:
    with pytest.raises(UsageError, match="got none"):
        carmine.key()


def test_text_that_cannot_be_bytes_is_refused() -> None:
    with pytest.raises(UsageError, match="lone surrogate"):
        carmine.key("\ud800", b"x")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("a", "b:c"), ("a:b", "c")),
        (("a", "", "b"), ("a:", "b")),
        (("tenant", "1:admin"), ("tenant", 1, "admin")),
        (("a", 1), ("a", "1")),
    ],
)
def test_s17_the_join_is_the_ancestors_and_not_injective(one: tuple[Any, ...], other: tuple[Any, ...]) -> None:
    """S-17: it says so; keys that the library itself owns are not made by it where a part may come from strangers."""
    assert carmine.key(*one) == carmine.key(*other)
    assert "not injective" in (keys.__doc__ or "")
