"""The groups "bitmap" and "hyperloglog": what goes out, and what is refused before anything does."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from carmine.commands import bitmaps, hyperloglog
from carmine.errors import UsageError
from tests.unit.command_tables import check_goes_out, named, public_functions

if TYPE_CHECKING:
    from collections.abc import Callable

    from carmine.commands.command import Command

GOES_OUT: list[tuple[Command[Any], tuple[Any, ...], list[Any]]] = [
    (bitmaps.bitcount("k"), (b"BITCOUNT", "k"), ["k"]),
    (bitmaps.bitcount("k", 0), (b"BITCOUNT", "k", 0, -1), ["k"]),
    (bitmaps.bitcount("k", 1, 2, "BIT"), (b"BITCOUNT", "k", 1, 2, "BIT"), ["k"]),
    (
        bitmaps.bitfield("k", ("GET", "u8", 0), ("OVERFLOW", "SAT"), ("INCRBY", "i5", "#1", -3), ("SET", "u1", 9, 1)),
        (b"BITFIELD", "k", "GET", "u8", 0, "OVERFLOW", "SAT", "INCRBY", "i5", "#1", -3, "SET", "u1", 9, 1),
        ["k"],
    ),
    (bitmaps.bitfield("k"), (b"BITFIELD", "k"), ["k"]),
    (
        bitmaps.bitfield_ro("k", ("u8", 0), ("i5", "#1")),
        (b"BITFIELD_RO", "k", "GET", "u8", 0, "GET", "i5", "#1"),
        ["k"],
    ),
    (bitmaps.bitop("NOT", "d", "a"), (b"BITOP", "NOT", "d", "a"), ["d", "a"]),
    (bitmaps.bitop("XOR", "d", "a", "b"), (b"BITOP", "XOR", "d", "a", "b"), ["d", "a", "b"]),
    (bitmaps.bitpos("k", False), (b"BITPOS", "k", 0), ["k"]),
    (bitmaps.bitpos("k", 1, 2), (b"BITPOS", "k", 1, 2), ["k"]),
    (bitmaps.bitpos("k", 1, 0, -1, "BYTE"), (b"BITPOS", "k", 1, 0, -1, "BYTE"), ["k"]),
    (bitmaps.getbit("k", 7), (b"GETBIT", "k", 7), ["k"]),
    (bitmaps.setbit("k", 7, True), (b"SETBIT", "k", 7, 1), ["k"]),
    (bitmaps.setbit("k", 7, 0), (b"SETBIT", "k", 7, 0), ["k"]),
    (hyperloglog.pfadd("h", "a", 1), (b"PFADD", "h", "a", 1), ["h"]),
    (hyperloglog.pfcount("h", "i"), (b"PFCOUNT", "h", "i"), ["h", "i"]),
    (hyperloglog.pfmerge("d", "h"), (b"PFMERGE", "d", "h"), ["d", "h"]),
]

wrong: Any = SimpleNamespace(**vars(bitmaps))
"""The same functions, without the types that would keep a checked caller from these mistakes."""


@pytest.mark.parametrize(("command", "words", "keys"), GOES_OUT, ids=lambda value: getattr(value, "words", ""))
def test_goes_out(command: Command[Any], words: tuple[Any, ...], keys: list[Any]) -> None:
    check_goes_out(command, words, keys)


def test_every_function_has_a_case() -> None:
    assert named(command for command, *_ in GOES_OUT) == public_functions(bitmaps, hyperloglog)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: wrong.bitcount("k", end=5), "BITCOUNT takes end and unit only with start"),
        (lambda: wrong.bitcount("k", unit="BIT"), "BITCOUNT takes end and unit only with start"),
        (lambda: wrong.bitcount("k", 0, 1, "CANARY"), "BITCOUNT takes .*BYTE.* as its unit"),
        (lambda: wrong.bitpos("k", 1, end=5), "BITPOS takes end only with start"),
        (lambda: wrong.bitpos("k", 1, 0, unit="BIT"), "BITPOS takes end only with start, and unit only with end"),
        (lambda: wrong.bitpos("k", 2), "BITPOS takes a bit"),
        (lambda: wrong.bitpos("k", "CANARY"), "BITPOS takes a bit"),
        (lambda: wrong.setbit("k", 0, "1"), "SETBIT takes a bit"),
        (lambda: wrong.setbit("k", 0, 1.0), "SETBIT takes a bit"),
        (lambda: wrong.setbit("k", 0, None), "SETBIT takes a bit"),
        (lambda: wrong.bitfield("k", ("GET", "u8")), "BITFIELD takes steps"),
        (lambda: wrong.bitfield("k", ("CANARY", "u8", 0)), "BITFIELD takes steps"),
        (lambda: wrong.bitfield("k", "GET"), "BITFIELD takes steps"),
        (lambda: wrong.bitfield("k", ()), "BITFIELD takes steps"),
        (lambda: wrong.bitfield("k", (["GET"], "u8", 0)), "BITFIELD takes steps"),
        (lambda: wrong.bitfield_ro("k", ("u8",)), "BITFIELD takes steps"),
    ],
)
def test_refused_before_anything_goes_out(call: Callable[[], Command[Any]], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence) as caught:
        call()
    assert "CANARY" not in str(caught.value)
