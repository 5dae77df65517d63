"""The encoder: one form, whole or not at all, nothing converted that was not meant to be.

It proves docs/protocol.md 13 and SECURITY S-12.
"""

from __future__ import annotations

import array
import decimal
import enum
import math
import sys
import threading
import uuid
from collections import UserString, deque
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import pytest

from carmine.errors import UsageError
from tests.lab.wire import parse_commands

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.protocol.twins import Twin


class Text(str):
    """A str whose methods lie."""

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        return b"lie\r\n$1\r\n"

    def __len__(self) -> int:
        return 1

    def __str__(self) -> str:
        return "lie"


class Data(bytes):
    """Bytes whose methods lie."""

    def __len__(self) -> int:
        return 1

    def __bytes__(self) -> bytes:
        return b"lie"


class Buffer(bytearray):
    """A bytearray whose methods lie."""

    def __len__(self) -> int:
        return 1

    def __bytes__(self) -> bytes:
        return b"lie"


class Whole(int):
    """An int whose methods lie."""

    def __str__(self) -> str:
        return "lie"

    __repr__ = __format__ = __str__  # type: ignore[assignment]

    def __index__(self) -> int:
        return 666

    __int__ = __index__

    def __le__(self, other: object) -> bool:
        return True

    __lt__ = __ge__ = __gt__ = __le__


class Real(float):
    """A float whose methods lie."""

    def __str__(self) -> str:
        return "lie"

    __repr__ = __str__

    def __eq__(self, other: object) -> bool:
        return True

    def __ne__(self, other: object) -> bool:
        return False

    __hash__ = None  # type: ignore[assignment]

    def __float__(self) -> float:
        return 6.66


class Colour(enum.IntEnum):
    RED = 1


class Name(str, enum.Enum):  # noqa: UP042  # the older form, which many still write
    RED = "red"


# word, its bytes
WORDS: list[tuple[Any, bytes]] = [
    ("é€😀", "é€😀".encode()),
    ("", b""),
    ("a\r\n$1\r\n\x00*", b"a\r\n$1\r\n\x00*"),
    (b"\xff\r\n", b"\xff\r\n"),
    (bytearray(b"ab"), b"ab"),
    (memoryview(b"abcd")[1:3], b"bc"),
    (memoryview(bytearray(b"abcd")), b"abcd"),
    (memoryview(array.array("H", [1, 2])), array.array("H", [1, 2]).tobytes()),
    (memoryview(b"abcd").cast("B", (2, 2)), b"abcd"),
    (memoryview(b""), b""),
    (0, b"0"),
    (-1, b"-1"),
    (9, b"9"),
    (10, b"10"),
    (2**63 - 1, b"9223372036854775807"),
    (-(2**63), b"-9223372036854775808"),
    (2**64 - 1, b"18446744073709551615"),
    (2**63, b"9223372036854775808"),
    (1.0, b"1.0"),
    (0.1, b"0.1"),
    (-0.0, b"-0.0"),
    (1e16, b"1e+16"),
    (5e-324, b"5e-324"),
    (1.7976931348623157e308, b"1.7976931348623157e+308"),
    (math.inf, b"inf"),
    (-math.inf, b"-inf"),
    (Text("true"), b"true"),
    (Data(b"true"), b"true"),
    (Buffer(b"true"), b"true"),
    (Whole(5), b"5"),
    (Whole(-5), b"-5"),
    (Whole(2**63), b"9223372036854775808"),
    (Real(1.5), b"1.5"),
    (Colour.RED, b"1"),
    (Name.RED, b"red"),
    ("x" * 70_000, b"x" * 70_000),
    ("é" * 70_000, "é".encode() * 70_000),
    (b"x" * 70_000, b"x" * 70_000),
    (bytearray(b"x" * 70_000), b"x" * 70_000),
]  # fmt: skip


class Loud:
    """An object that must not be asked for anything."""

    def __str__(self) -> str:
        raise AssertionError("asked for __str__")

    __repr__ = __str__

    def __bytes__(self) -> bytes:
        raise AssertionError("asked for __bytes__")

    def __buffer__(self, flags: int) -> memoryview:
        raise AssertionError("asked for __buffer__")

    def __index__(self) -> int:
        raise AssertionError("asked for __index__")

    def __float__(self) -> float:
        raise AssertionError("asked for __float__")


def released() -> memoryview:
    """Return a memoryview that is no more."""
    view = memoryview(b"abc")
    view.release()
    return view


# word, what the message says of it
WRONG: list[tuple[Any, str]] = [
    (None, "None"), (True, "True"), (False, "False"), (math.nan, "nan"), (-math.nan, "nan"), (Real("nan"), "nan"),
    (2**64, "64 bits"), (-(2**63) - 1, "64 bits"), (10**5000, "64 bits"), (Whole(2**64), "64 bits"),
    ([], "list"), ([1, 2], "list"),
    ({}, "dict"), ({"a": 1}, "dict"), ((1,), "tuple"), ({1}, "set"), (object(), "object"), (Loud(), "Loud"),
    (Loud, "type"),
    (1j, "complex"), (decimal.Decimal(1), "Decimal"), (Fraction(1), "Fraction"), (uuid.UUID(int=0), "UUID"),
    (range(3), "range"),
    (UserString("a"), "UserString"), (array.array("i", [1]), "array"), (iter("a"), "str_"), ("\ud800", "surrogate"),
    ("x" * 5000 + "\udfff", "surrogate"), (memoryview(b"abcd")[::2], "memoryview"), (released(), "memoryview"),
]  # fmt: skip


def wire(word: bytes) -> bytes:
    """Return a bulk string."""
    return b"$%d\r\n%s\r\n" % (len(word), word)


@pytest.mark.parametrize(("word", "expected"), WORDS, ids=lambda value: repr(value)[:20])
def test_words(twin: Twin, word: Any, expected: bytes) -> None:
    """13.1, 13.3, 13.5, 13.6, 13.7, 13.8: in every place of a command."""
    for at in range(3):
        words = [b"a", b"b"]
        words.insert(at, word)
        plain = [b"a", b"b"]
        plain.insert(at, expected)
        data = twin.encode(*words)
        assert type(data) is bytes
        assert data == b"*3\r\n" + b"".join(map(wire, plain))
        assert twin.encode_many([words, ("PING",)]) == data + b"*1\r\n$4\r\nPING\r\n"


@pytest.mark.parametrize(("word", "told"), WRONG, ids=lambda value: type(value).__name__)
def test_wrong_words(twin: Twin, word: Any, told: str) -> None:
    """13.3, 13.4, 13.5, 13.6, 13.8, 13.9: refused in every place, by type and never by value."""
    for at in range(4):
        words: list[Any] = ["SET", b"x" * 100, 1]
        words.insert(at, word)
        with pytest.raises(UsageError, match=told) as caught:
            twin.encode(*words)
        assert "xxx" not in str(caught.value)
        with pytest.raises(UsageError):
            twin.encode_many([("PING",), words, ("PING",)])


@pytest.mark.parametrize("count", [1, 2, 9, 10, 99, 100, 1000, 100_000])
def test_any_number_of_words(twin: Twin, count: int) -> None:
    """13.1."""
    words = [str(n) for n in range(count)]
    commands, end = parse_commands(data := twin.encode(*words))
    assert end == len(data)
    assert commands == [[word.encode() for word in words]]


@pytest.mark.parametrize(
    "length", [0, 1, 9, 10, 99, 100, 290, 300, 310, 320, 330, 999, 1000, 1024, 65_535, 65_536, 65_537, 1 << 20]
)
def test_any_length(twin: Twin, length: int) -> None:
    """13.1: at the edges of every buffer."""
    for word in (b"x" * length, "x" * length, bytearray(b"x" * length), "é" * length):
        plain = word.encode() if isinstance(word, str) else bytes(word)
        assert twin.encode("K", word, "z") == b"*3\r\n" + wire(b"K") + wire(plain) + wire(b"z")


def test_a_command_needs_a_name(twin: Twin) -> None:
    """13.2."""
    with pytest.raises(UsageError, match="a command needs a name"):
        twin.encode()
    nothing: tuple[list[str] | tuple[()], ...] = ((), [])
    for empty in nothing:
        with pytest.raises(UsageError, match="a command needs a name"):
            twin.encode_many([("PING",), empty])
    assert twin.encode_many([]) == b""


@pytest.mark.parametrize("words", ["PING", b"PING", bytearray(b"PING"), memoryview(b"PING"), None, 5, Loud()])
def test_a_command_is_a_sequence_of_words(twin: Twin, words: Any) -> None:
    """13.2."""
    with pytest.raises(UsageError, match="a command is a sequence of words, not a "):
        twin.encode_many([("GET", "k"), words])


def test_commands_come_from_any_iterable(twin: Twin) -> None:
    expected = b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n" * 3
    assert twin.encode_many([("GET", "k"), ["GET", "k"], deque(["GET", "k"])]) == expected
    assert twin.encode_many(word for word in [("GET", "k")] * 3) == expected


def test_a_failing_iterable_gives_nothing(twin: Twin) -> None:
    """13.9."""

    def commands() -> Iterator[tuple[str, ...]]:
        yield ("PING",)
        raise LookupError

    with pytest.raises(LookupError):
        twin.encode_many(commands())


def test_the_number_of_words_is_the_number_announced(twin: Twin) -> None:
    """13.8: a sequence that changes while it is encoded cannot break the frame."""

    class Growing(list[Any]):
        def __iter__(self) -> Iterator[Any]:
            for n in range(5):
                self.append(n)
                yield b"%d" % n

        def __len__(self) -> int:
            return 2

    commands, _ = parse_commands(twin.encode_many([Growing(["a"])]))
    assert commands == [[b"0", b"1", b"2", b"3", b"4"]]


def test_arguments_are_left_as_they_were(twin: Twin) -> None:
    """No export stays behind, no reference, no cached UTF-8 of a long text."""
    word, view, text = bytearray(b"x" * 70_000), memoryview(bytearray(b"abc")), "é" * 50_000
    before = sys.getrefcount(word), sys.getrefcount(view), sys.getsizeof(text)
    for _ in range(10):
        twin.encode("SET", word, view, text)
    assert (sys.getrefcount(word), sys.getrefcount(view), sys.getsizeof(text)) == before
    word.append(1)
    view.release()


def test_a_bytearray_that_another_thread_resizes(twin: Twin) -> None:
    """13.8 (S-13): length and bytes belong together, whatever happens."""
    word = bytearray()
    stop = threading.Event()
    problems: list[BaseException] = []

    def resize() -> None:
        n = 0
        while not stop.is_set():
            n = (n * 7 + 13) % 5000
            try:
                word[:] = b"%d" % (n % 10) * n
            except BaseException as error:  # noqa: BLE001
                problems.append(error)

    thread = threading.Thread(target=resize)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    thread.start()
    try:
        for _ in range(3000):
            ((_, argument, last),), end = parse_commands(data := twin.encode("SET", word, "end"))
            assert end == len(data)
            assert last == b"end"
            assert len(set(argument)) <= 1, "two moments in one argument"
    finally:
        stop.set()
        thread.join(30)
        sys.setswitchinterval(interval)
    assert problems == []


def test_errors_hold_no_value(twin: Twin) -> None:
    """13.3: neither in the message, nor in what a traceback shows of the arguments."""
    secret = {"password": "CANARY-9f3"}
    with pytest.raises(UsageError) as caught:
        twin.encode("AUTH", secret)
    assert "CANARY" not in str(caught.value) + repr(caught.value.args)
    assert str(caught.value) == (
        "a dict is no command argument; send str, bytes, int or float, or give the client a serializer"
    )
