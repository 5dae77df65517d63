"""Each limit from both sides (docs/protocol.md 11): exactly at it is accepted, one more is refused."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

from carmine.errors import ProtocolError
from carmine.protocol import DEFAULT_LIMITS, NEED_DATA, Limits
from carmine.protocol.limits import MAX_HEADER, MAX_NUMBER, bounded

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.protocol.twins import Twin

LONG, DEEP = "a bulk string is longer than the limit", "a reply is nested deeper than the limit"
MANY, LINE = "an aggregate has more elements than the limit", "a line is longer than the limit"

# paragraph, limits, accepted, refused, reason, offset of the refusal
EDGES: list[tuple[str, Limits, bytes, bytes, str, int]] = [
    ("11.1", Limits(depth=2), b"*1\r\n*1\r\n:1\r\n", b"*1\r\n*1\r\n*1\r\n", DEEP, 8),
    ("11.1", Limits(depth=2), b"%1\r\n:1\r\n~0\r\n", b"%1\r\n:1\r\n~1\r\n~0\r\n", DEEP, 12),
    ("11.1", Limits(depth=2), b"*1\r\n|0\r\n:1\r\n", b"*1\r\n|0\r\n*0\r\n", DEEP, 8),
    ("11.1", Limits(depth=1), b"$?\r\n;0\r\n", b"*1\r\n$?\r\n", DEEP, 4),
    ("11.1", Limits(depth=0), b":1\r\n", b"*0\r\n", DEEP, 0),
    ("11.1", Limits(depth=1), b">1\r\n:1\r\n", b">1\r\n*0\r\n", DEEP, 4),
    ("11.2", Limits(bulk=3), b"$3\r\nabc\r\n", b"$4\r\n", LONG, 0),
    ("11.2", Limits(bulk=0), b"$0\r\n\r\n", b"$1\r\n", LONG, 0),
    ("11.2", Limits(bulk=5), b"=5\r\ntxt:a\r\n", b"=6\r\n", LONG, 0),
    ("11.2", Limits(bulk=3), b"!3\r\nERR\r\n", b"!4\r\n", LONG, 0),
    ("11.2", Limits(bulk=150), b"$150\r\n" + b"x" * 150 + b"\r\n", b"*1\r\n$151\r\n" + b"x" * 151 + b"\r\n", LONG, 4),
    ("11.2", Limits(bulk=3), b"*2\r\n$3\r\nabc\r\n:1\r\n", b"*2\r\n$4\r\nabcd\r\n", LONG, 4),
    ("5.5", Limits(bulk=3), b"$?\r\n;2\r\nab\r\n;1\r\nc\r\n;0\r\n", b"$?\r\n;2\r\nab\r\n;2\r\n", LONG, 12),
    ("11.3", Limits(elements=2), b"*2\r\n:1\r\n:2\r\n", b"*3\r\n", MANY, 0),
    ("11.3", Limits(elements=1), b"%1\r\n:1\r\n:2\r\n", b"%2\r\n", MANY, 0),
    ("11.3", Limits(elements=1), b"|1\r\n:1\r\n:2\r\n:3\r\n", b"|2\r\n", MANY, 0),
    ("11.3", Limits(elements=1), b"~1\r\n:1\r\n", b"~2\r\n", MANY, 0),
    ("11.3", Limits(elements=1), b">1\r\n:1\r\n", b">2\r\n", MANY, 0),
    ("11.3", Limits(elements=0), b"*0\r\n", b"*1\r\n", MANY, 0),
    ("11.3", Limits(elements=1), b"*1\r\n*1\r\n:1\r\n", b"*1\r\n*2\r\n", MANY, 4),
    ("5.5", Limits(elements=2), b"*?\r\n:1\r\n:2\r\n.\r\n", b"*?\r\n:1\r\n:2\r\n:3\r\n", MANY, 16),
    ("5.5", Limits(elements=1), b"%?\r\n:1\r\n:2\r\n.\r\n", b"%?\r\n:1\r\n:2\r\n:3\r\n", MANY, 16),
    ("5.5", Limits(elements=1), b"~?\r\n*1\r\n:1\r\n.\r\n", b"~?\r\n:1\r\n*1\r\n:2\r\n", MANY, 16),
    ("11.4", Limits(line=2), b"+OK\r\n", b"+abc\r\n", LINE, 0),
    ("11.4", Limits(line=2), b"-ab\r\n", b"-abc", LINE, 0),
    ("11.4", Limits(line=0), b"+\r\n", b"+a", LINE, 0),
    ("11.4", Limits(line=2), b"*2\r\n+ab\r\n+a\r\n", b"*2\r\n+abc\r\n+a\r\n", LINE, 4),
    ("11.6", Limits(), b":" + b"0" * MAX_HEADER + b"\r\n", b":" + b"0" * (MAX_HEADER + 1), LINE, 0),
    ("11.7", Limits(), b"," + b"1" * MAX_NUMBER + b"\r\n", b"," + b"1" * (MAX_NUMBER + 1), LINE, 0),
    ("11.7", Limits(), b"(" + b"1" * MAX_NUMBER + b"\r\n", b"(" + b"1" * (MAX_NUMBER + 1), LINE, 0),
]  # fmt: skip


def first_reply(parser: Callable[..., Any], limits: Limits, pieces: list[bytes]) -> Any:
    """Return the first value that a stream gives."""
    one = parser(3, limits=limits)
    for piece in pieces:
        one.feed(piece)
        if (value := one.next_reply()) is not NEED_DATA:
            assert one.is_idle
            return value
    return NEED_DATA


@pytest.mark.parametrize("edge", EDGES, ids=lambda edge: f"{edge[0]}-{edge[2][:12]!r}")
def test_edge(twin: Twin, edge: tuple[str, Limits, bytes, bytes, str, int]) -> None:
    _, limits, accepted, refused, reason, offset = edge
    step = 1 if len(refused) < 1000 else 999
    for data, fine in ((accepted, True), (refused, False)):
        for pieces in ([data], [data[i : i + step] for i in range(0, len(data), step)]):
            if fine:
                assert first_reply(twin.parser, limits, pieces) is not NEED_DATA
            else:
                with pytest.raises(ProtocolError) as caught:
                    first_reply(twin.parser, limits, pieces)
                assert (caught.value.reason, caught.value.offset) == (reason, offset)


@pytest.mark.parametrize("kind", [b"*", b"~", b"%", b"|", b">"])
def test_default_depth(twin: Twin, kind: bytes) -> None:
    """4.2, 11.1: 1024 levels are fine, 1025 are not; |, % and > nest in their first value."""
    level = kind + b"1\r\n"
    parser = twin.parser(3)
    parser.feed(level * DEFAULT_LIMITS.depth)
    assert parser.next_reply() is NEED_DATA
    parser.feed(level)
    with pytest.raises(ProtocolError, match="nested deeper"):
        parser.next_reply()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"*4294967296\r\n", MANY),
        (b"*99999999999999999999\r\n", MANY),
        (b"%18446744073709551615\r\n", MANY),
        (b"$1099511627777\r\n", LONG),
        (b"$9223372036854775807\r\n", LONG),
        (b"$18446744073709551617\r\n", LONG),
        (b"$" + b"9" * 32 + b"\r\n", LONG),
    ],
)
def test_default_counts(twin: Twin, data: bytes, reason: str) -> None:
    """11.2, 11.3: no count wraps around."""
    with pytest.raises(ProtocolError, match=reason):
        first_reply(twin.parser, DEFAULT_LIMITS, [data])


@pytest.mark.parametrize("data", [b"*4294967295\r\n", b"%4294967295\r\n", b"$1099511627776\r\n"])
def test_large_counts_wait_for_their_bytes(twin: Twin, data: bytes) -> None:
    """4.3, 11.9."""
    assert first_reply(twin.parser, DEFAULT_LIMITS, [data, b":1\r\n"]) is NEED_DATA


def test_absurd_limits_are_bounded(twin: Twin) -> None:
    """11.8: also where C would overflow."""
    huge = Limits(*[1 << 80] * 5)
    most = sys.maxsize // 4
    assert bounded(huge) == Limits(*[most] * 5)
    for data in (b"*%d\r\n" % most, b"%%%d\r\n" % most, b"$%d\r\n" % most):
        assert first_reply(twin.parser, huge, [data]) is NEED_DATA
        with pytest.raises(ProtocolError):
            first_reply(twin.parser, huge, [data.replace(b"%d" % most, b"%d" % (most + 1))])
    with pytest.raises(ProtocolError):
        first_reply(twin.parser, Limits(*[-1] * 5), [b"*0\r\n"])
    assert first_reply(twin.parser, Limits(*[-1] * 5), [b"$0\r\n\r\n"]) == b""


@pytest.mark.parametrize("limits", [Limits(), None])
def test_limits_need_not_be_given(twin: Twin, limits: Limits | None) -> None:
    parser = twin.parser(3) if limits is None else twin.parser(3, limits=limits)
    assert parser.limits == DEFAULT_LIMITS
