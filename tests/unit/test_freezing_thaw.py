"""Thawing what others have written: ThawError and nothing else, in bounded time and memory.

docs/freezing.md 3.17, 6 and 7.2.

SECURITY S-30 to S-32: no bytes run code, allocate beyond their size, or hold the reader up.
"""

from __future__ import annotations

import base64
import json
import pickle
import sys
import time
import tracemalloc
import zoneinfo
from typing import TYPE_CHECKING, Any

import pytest

import carmine
from carmine.errors import CarmineError, ThawError
from carmine.freezing import Limits

if TYPE_CHECKING:
    from pathlib import Path

PATIENCE = 10.0
"""Seconds that one hostile text may take on a busy machine; unbounded work would take hours."""


def tagged(tag: str, told: Any) -> bytes:
    return b"\0j" + json.dumps({tag: told}).encode()


# Everything that Python's constructors would take, or raise something of their own for, and freezing does not write.
REFUSED: list[tuple[str, list[Any]]] = [
    ("!int", ["", "0x1f", "1F", "01", "+1", "1_0", " 1", "-0", "g", "\u0661", 5, None, [], {}, True]),
    ("!float", ["NaN", "Inf", "infinity", "1.5", "", 1.5, None, [], {}]),
    ("!str", ["a", "%%%%", "//79", None, 1, [], "YQ", "YQ=", "YR=="]),
    ("!bytes", ["a", "eA", "eB==", "eA==\n", "eA==eA==", "é", None, 1, ["eA=="], {}, "-_-_"]),
    ("!tuple", [None, 1, "ab", {}, {"a": 1}, True]),
    ("!set", [None, 1, "ab", {}, [1, 1], [1, True], [1, 1.0], [[]], [{}], [{"!set": []}]]),
    ("!frozenset", [None, [1, 1], [[]], "a", {"!set": [1]}]),
    ("!dict", [None, {}, [1], [[1]], [[1, 2, 3]], [["a", 1], ["a", 2]], [[[], 1]], "ab", ["ab"], [{"a": 1}]]),
    (
        "!decimal",
        ["", "x", "1_0", " 1", "+1", "01", "1e5", ".5", "5.", "1E5", "nan", "\u0661", 1, None, "0x1", "1E+9" * 9],
    ),
    ("!decimal", ["1E+99999999999999999999999", "-1E-99999999999999999999999", "Infinity ", "inf"]),
    ("!complex", [[], [1.0], [1.0, 2.0, 3.0], [1, 2], ["1", "2"], "ab", None, 1.5, [None, 1.0], {"a": 1.0, "b": 2.0}]),
    ("!uuid", ["", "0" * 32, "{00000000-0000-0000-0000-000000000001}", "urn:uuid:" + "0" * 32, 5, None, [1]]),
    ("!uuid", ["00000000-0000-0000-0000-00000000000G", "00000000-0000-0000-0000-00000000000A"]),
    ("!date", ["", "20240229", "2024-W01-1", "2023-02-29", "0000-01-01", "2024-2-9", "2024-02-29T00:00:00", 5, None]),
    ("!datetime", ["2024-01-01T00:00:00", None, [], ["2024-01-01T00:00:00"], ["2024-01-01T00:00:00", 0]]),
    ("!datetime", [["2024-01-01", 0, None], ["2024-01-01 00:00:00", 0, None], ["2024-01-01T00:00:00Z", 0, None]]),
    ("!datetime", [["2024-01-01T00:00:00+01:00", 0, None], ["2024-01-01T24:00:00", 0, None], [5, 0, None]]),
    ("!datetime", [["2024-01-01T00:00:00", 2, None], ["2024-01-01T00:00:00", True, None], ["", 0, None]]),
    ("!time", [["10:00", 0, None], ["10:00:00+01:00", 0, None], ["10:00:00", None, None], ["25:00:00", 0, None]]),
    (
        "!timedelta",
        [[1, 2], [1, 2, 3, 4], [0, 86400, 0], [0, 0, -1], [1.0, 0, 0], [10**9, 0, 0], "123", None, [True, 0, 0]],
    ),
    ("!timedelta", [[10**19, 0, 0], {"a": 1, "b": 2, "c": 3}]),
]
ZONES: list[Any] = [
    *([], ["offset"], ["zone"], ["zone", 1], ["offset", 1.5], ["offset", True], ["offset", None], "utc", 5, {}, True),
    *(["offset", 86_400_000_000], ["offset", 10**19], ["offset", 0, 5], ["offset", 0, "a", "b"], ["else", "UTC"]),
    *(
        ["zone", "Nowhere/Else"],
        ["zone", "/etc/passwd"],
        ["zone", "../../../etc/passwd"],
        ["zone", ""],
        ["zone", "a\0b"],
    ),
    *(
        ["zone", "Europe"],
        ["zone", "."],
        ["zone", ".."],
        ["zone", "C:\\x"],
        ["zone", "leapseconds"],
        ["zone", "x" * 65],
    ),
    *(
        ["zone", "Europe/../Europe/Paris"],
        ["zone", "Europe/Paris/"],
        ["zone", "é"],
        [["zone"], "UTC"],
        ["zone", "tzdata.zi"],
    ),
]
CASES = [(tag, told) for tag, all_told in REFUSED for told in all_told]
CASES += [("!datetime", ["2024-01-01T00:00:00", 0, zone]) for zone in ZONES]
CASES += [("!time", ["10:00:00", 0, zone]) for zone in ZONES]


@pytest.mark.parametrize(("tag", "told"), CASES, ids=ascii)
def test_what_would_not_be_written_is_refused(tag: str, told: Any) -> None:  # 3.17
    for data in (tagged(tag, told), b'\0j[{"a":' + tagged(tag, told)[2:] + b"}]"):
        with pytest.raises(ThawError, match=rf"what stands under '{tag}' is none") as caught:
            carmine.thaw(data)
        assert caught.value.__context__ is None


def test_no_name_of_a_zone_is_a_path(monkeypatch: pytest.MonkeyPatch) -> None:  # 3.15
    asked: list[str] = []

    class Recorder:
        def __init__(self, name: str) -> None:
            asked.append(name)
            raise KeyError(name)

    monkeypatch.setattr(zoneinfo, "ZoneInfo", Recorder)
    names = [
        "../x",
        "/etc/passwd",
        "a/../b",
        "a//b",
        "a/",
        "",
        ".",
        "..",
        "a\0b",
        "a\\b",
        "C:x",
        "a b",
        "a.b",
        "x" * 65,
    ]
    for name in [*names, "a/b/c/d/e", "Europe/Paris\n", "\u0435/b", "Europe/Paris"]:
        with pytest.raises(ThawError):
            carmine.thaw(tagged("!time", ["10:00:00", 0, ["zone", name]]))
    assert asked == ["Europe/Paris"]


@pytest.mark.parametrize(
    "tag", ["!", "!x", "!Int", "! int", "!int ", "!py/object", "!!python/object", "!\x1b[2J", "!" * 999]
)
def test_unknown_tags_are_refused_and_shown_harmlessly(tag: str) -> None:
    with pytest.raises(ThawError, match="is not known here") as caught:
        carmine.thaw(tagged(tag, 1))
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    "text",
    [
        *(
            b"",
            b" ",
            b"nul",
            b"truE",
            b"[",
            b"]",
            b"{",
            b"}",
            b'"',
            b"[1,]",
            b"[,1]",
            b"[1 2]",
            b"{1:2}",
            b'{"a"}',
            b"01",
            b"1.",
        ),
        *(
            b".5",
            b"+1",
            b"--1",
            b"1e",
            b"0x1",
            b"'a'",
            b'"\\x"',
            b'"\\u12"',
            b'"\n"',
            b'"\0"',
            b"1 1",
            b"[1]]",
            b"[}",
            b"{]",
        ),
        *(
            b"NaN",
            b"Infinity",
            b"-Infinity",
            b"\xff",
            b'"\xff"',
            b'"\xed\xa0\x80"',
            b"\xef\xbb\xbf1",
            b"1\0",
            b"\xf8\x88\x80",
        ),
        *(b'{"a":1,"a":2}', b'{"!int":"1","!int":"1"}', b"undefined", b"[1]//x", b"1" * 21, b"-" + b"9" * 20, b"1_0"),
    ],
)
def test_what_is_no_json_is_refused(text: bytes) -> None:  # 2.3, 2.6, 2.7
    with pytest.raises(ThawError) as caught:
        carmine.thaw(b"\0j" + text)
    assert str(caught.value).startswith("this value cannot be thawed: ")
    assert caught.value.__context__ is None


DEEP = 10**6
BOMBS: list[tuple[str, bytes, str]] = [
    ("open arrays", b"[" * DEEP, "its brackets do not match"),
    ("open objects", b'{"a":' * DEEP, "its brackets do not match|more than"),
    ("nested arrays", b"[" * DEEP + b"]" * DEEP, "deeper than 128"),
    ("just too deep", b"[" * 129 + b"]" * 129, "deeper than 128"),
    ("deep after a string", b'["]]]]]",' + b"[" * 129 + b"]" * 129 + b"]", "deeper than 128"),
    ("deep after an escaped quote", b'["\\"",' + b"[" * 129 + b"]" * 129 + b"]", "deeper than 128"),
    ("nested objects", b'{"a":' * 200 + b"1" + b"}" * 200, "deeper than 128"),
    ("deep, then broken", b"[" * 200 + b"x" + b"]" * 200, "deeper than 128"),
    ("deep behind an open string", b'"' + b"[" * DEEP, "Unterminated"),
    ("escaped quotes", b'"' + b'\\"' * DEEP, "Unterminated"),
    ("a string of quotes", b"[[[" * 50 + b'"' * DEEP, "do not match"),
    ("backslashes", b"[" * 200 + b'"' + b"\\" * DEEP, "do not match"),
    ("wide and short", b"[" + b"[]," * (1 << 20) + b"[]]", "more than 1048576 items"),
    ("many numbers", b"[" + b"1," * (1 << 20) + b"1]", "more than 1048576 items"),
    ("a long number", b"1" * DEEP, "more than 20 decimal digits"),
    ("a long hexadecimal number", b'{"!int":"' + b"f" * ((1 << 20) + 2) + b'"}', "more than 1048576 digits"),
    ("a long decimal", b'{"!decimal":"' + b"1" * ((1 << 20) + 2) + b'"}', "more than 1048576 digits"),
    ("too long", b'"' + b"x" * (1 << 26) + b'"', "longer than 67108864 bytes"),
    (
        "alike",
        json.dumps({"!set": [n * ((1 << 61) - 1) for n in range(1, 8)] + [f"x{n}" for n in range(9)]}).encode(),
        "",
    ),
    (
        "colliding members",
        b'{"!set":[' + b",".join(b'{"!int":"%x"}' % (n * ((1 << 61) - 1)) for n in range(1, 20_000)) + b"]}",
        "collide on purpose",
    ),
    (
        "colliding keys",
        b'{"!dict":['
        + b",".join(b'[{"!tuple":[{"!int":"%x"}]},1]' % (n * ((1 << 61) - 1)) for n in range(1, 20_000))
        + b"]}",
        "collide on purpose",
    ),
    ("many numbers as keys", b'{"!set":[' + b",".join(b"%d" % n for n in range(65_537)) + b"]}", "collide on purpose"),
]


@pytest.mark.parametrize(("text", "reason"), [case[1:] for case in BOMBS], ids=[case[0] for case in BOMBS])
def test_bombs_do_not_go_off(text: bytes, reason: str) -> None:  # 6, S-32
    began = time.monotonic()
    if reason:
        with pytest.raises(ThawError, match=reason):
            carmine.thaw(b"\0j" + text)
    else:
        carmine.thaw(b"\0j" + text)
    assert time.monotonic() - began < PATIENCE


def test_a_deep_text_is_refused_before_the_reader_sees_it_whatever_the_limit_of_recursion() -> None:
    """Without Python's limit the JSON reader's C would run off the end of the stack."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(10**9 if sys.version_info < (3, 12) else 10**8)
    try:
        for text in (b"[" * DEEP, b"[" * DEEP + b"]" * DEEP, b'{"a":' * DEEP, b"[" * DEEP + b'"' + b"]" * DEEP):
            with pytest.raises(ThawError):
                carmine.thaw(b"\0j" + text)
    finally:
        sys.setrecursionlimit(before)


def test_python_s_limit_on_digits_plays_no_part() -> None:
    if not hasattr(sys, "set_int_max_str_digits"):
        pytest.skip("this Python has no such limit")
    before = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)  # as some programs do; a decimal int of 10**6 digits would take a minute then
    try:
        began = time.monotonic()
        with pytest.raises(ThawError, match="20 decimal digits"):
            carmine.thaw(b"\0j" + b"7" * 10**6)
        assert time.monotonic() - began < PATIENCE
    finally:
        sys.set_int_max_str_digits(before)
    assert carmine.thaw(carmine.freeze(10**4300)) == 10**4300


def test_memory_is_bounded_by_the_items() -> None:  # 6.3
    tracemalloc.start()
    try:
        with pytest.raises(ThawError):
            carmine.thaw(b"\0j[" + b"{}," * (1 << 21) + b"{}]")
        refused = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        assert len(carmine.thaw(b"\0j[" + b"{}," * 50_000 + b"{}]")) == 50_001
        taken = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert refused < 4 * (3 << 21)  # copies of the text, no values
    assert taken < 50_001 * 150


def test_limits_of_one_s_own() -> None:
    small = Limits(size=30, depth=2, items=3, digits=4)
    assert carmine.thaw(b"\0j[[1,2]]", limits=small) == [[1, 2]]
    for text, reason in {
        b'"' + b"x" * 29 + b'"': "longer than 30 bytes",
        b"[[[]]]": "deeper than 2 levels",
        b"[1,2,3,4]": "more than 3 items",
        b'{"!int":"123456"}': "more than 4 digits",
        b'{"!decimal":"123456"}': "more than 4 digits",
    }.items():
        with pytest.raises(ThawError, match=reason):
            carmine.thaw(b"\0j" + text, limits=small)
    assert carmine.thaw(b"\0<" + b"x" * 100, limits=small) == b"x" * 100


class Bomb:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return self.path.write_text, ("boom",)


def test_a_pickle_stays_bytes(tmp_path: Path) -> None:  # S-30
    path = tmp_path / "boom"
    bombs = [pickle.dumps(Bomb(path), protocol) for protocol in range(pickle.HIGHEST_PROTOCOL + 1)]
    for bomb in bombs:
        text = base64.b64encode(bomb).decode()
        for data in (bomb, b"\0j" + bomb, b"\0s" + bomb, b"\0>" + bomb, b"\0_" + bomb, tagged("!pickle", text)):
            with pytest.raises(ThawError):
                carmine.thaw(data)
        assert carmine.thaw(b"\0<" + bomb) == bomb
        assert carmine.thaw(tagged("!bytes", text)) == bomb
    assert not path.exists()
    pickle.loads(bombs[-1])
    assert path.exists(), "the bomb would not have gone off"


def test_the_error_is_one_of_ours_and_travels() -> None:
    with pytest.raises(CarmineError) as caught:
        carmine.thaw(b"\0j[")
    assert isinstance(caught.value, ThawError)
    again = pickle.loads(pickle.dumps(caught.value))
    assert (type(again), str(again), again.reason, again.command) == (
        ThawError,
        str(caught.value),
        caught.value.reason,
        None,
    )
    named = ThawError("reason", command="HGETALL")
    assert str(named) == "a value in the reply to HGETALL cannot be thawed: reason"
    assert str(pickle.loads(pickle.dumps(named))) == str(named)
