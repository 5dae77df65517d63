"""The memory of a parser (docs/protocol.md 12): lent to receive into, void afterwards, and what can be fed."""

from __future__ import annotations

import random
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from carmine.errors import ProtocolError, UsageError
from carmine.protocol import NEED_DATA, Verbatim

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.protocol.twins import Twin


def test_lent_memory_and_fed_bytes_are_one_stream(twin: Twin) -> None:
    parser = twin.parser(3)
    parser.feed(b"$5\r\nhe")
    view = parser.get_buffer(3)
    assert len(view) >= 3
    view[:3] = b"llo"
    parser.received(3)
    parser.feed(b"\r\n")
    assert parser.next_reply() == b"hello"


@pytest.mark.parametrize("hint", [-(1 << 63), -1, 0, 1, 16_385, 65_536, 1 << 40, (1 << 63) - 1])
def test_any_hint_gives_some_memory(twin: Twin, hint: int) -> None:
    parser = twin.parser(3)
    view = parser.get_buffer(hint)
    assert 16_384 <= len(view) <= 131_072
    assert not view.readonly
    view[:] = b"+" + b"x" * (len(view) - 3) + b"\r\n"
    parser.received(len(view))
    assert parser.next_reply() == bytes(view[1:-2])


def test_only_lent_memory_can_be_received_into(twin: Twin) -> None:
    parser = twin.parser(3)
    with pytest.raises(ValueError, match="more bytes than get_buffer gave"):
        parser.received(1)
    parser.received(0)
    size = len(parser.get_buffer(1))
    for count in (-1, size + 1, 1 << 62):
        with pytest.raises(ValueError, match="more bytes than get_buffer gave"):
            parser.received(count)
    parser.get_buffer(1)[:3] = b"+a\r"
    parser.received(3)
    with pytest.raises(ValueError, match="more bytes"):
        parser.received(1)  # not asked for again
    parser.get_buffer(1)
    parser.feed(b"\n")
    with pytest.raises(ValueError, match="more bytes"):
        parser.received(1)
    assert parser.next_reply() == b"a"


def test_views_outlive_everything(twin: Twin) -> None:
    """1.10: writing into an old view is harmless, even after the parser moved on, failed or died."""
    kept = []
    for round_ in range(40):
        parser = twin.parser(3)
        for size in (10, 70_000, 300_000):
            parser.feed(b"$%d\r\n" % size)
            left = size + 2
            parser.next_reply()
            while left:
                view = parser.get_buffer(left)
                kept.append(view)
                count = min(len(view), left)
                if count == left:
                    view[:count] = (b"x" * left)[:-2] + b"\r\n" if left >= 2 else b"\n"
                else:
                    view[:count] = b"x" * count if left - count >= 2 else b"x" * (count - 1) + b"\r"
                parser.received(count)
                left -= count
            assert parser.next_reply() == b"x" * size
        if round_ % 2:
            parser.feed(b"?")
            with pytest.raises(ProtocolError):
                parser.next_reply()
        del parser
    for view in kept:
        view[:] = bytes(len(view))
        assert bytes(view[-4:]) == bytes(4)


def test_the_loop_that_asks_again_with_a_view_alive(twin: Twin) -> None:
    """1.10: asyncio's way to hand over what was read before start_tls."""
    parser = twin.parser(3)
    data = b"$500000\r\n" + random.Random(1).randbytes(500_000) + b"\r\n+OK\r\n"
    rest, replies = data, []
    view = None
    while rest:
        view = parser.get_buffer(len(rest))  # while the last view is alive
        count = min(len(view), len(rest))
        view[:count] = rest[:count]
        parser.received(count)
        rest = rest[count:]
        while (value := parser.next_reply()) is not NEED_DATA:
            replies.append(value)
    assert replies == [data[9:-7], b"OK"]
    assert view is not None


def test_a_parser_may_be_fed_its_own_memory(twin: Twin) -> None:
    parser = twin.parser(3)
    view = parser.get_buffer(1)
    view[:4] = b"+a\r\n"
    parser.feed(view[:4])
    parser.feed(view[:4])
    assert [parser.next_reply(), parser.next_reply()] == [b"a", b"a"]


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_what_can_be_fed(twin: Twin, kind: Callable[[bytes], Any]) -> None:
    parser = twin.parser(3)
    parser.feed(kind(b"+OK\r\n"))
    assert parser.next_reply() == b"OK"


@pytest.mark.parametrize("data", ["+OK\r\n", None, 5, [43, 79], memoryview(b"+O+K\r\n")[::2]])
def test_what_cannot_be_fed(twin: Twin, data: object) -> None:
    parser = twin.parser(3)
    with pytest.raises((TypeError, BufferError)):
        parser.feed(data)
    assert parser.is_idle


@pytest.mark.parametrize("act", ["next_reply", "feed"])
def test_lent_memory_is_void_once_the_stream_went_on(twin: Twin, act: str) -> None:
    """1.10: what was to be received behind a small reply may not be taken for a part of a large one."""
    parser = twin.parser(3)
    parser.feed(b"+OK\r\n$100000\r\n" + b"x" * 99_990)
    view = parser.get_buffer(1 << 16)
    view[:] = b"y" * len(view)
    if act == "next_reply":
        assert parser.next_reply() == b"OK"
        assert parser.next_reply() is NEED_DATA
    else:
        parser.feed(b"")
    with pytest.raises(ValueError, match="more bytes than get_buffer gave"):
        parser.received(len(view))
    parser.feed(b"x" * 10 + b"\r\n")
    assert [value for value in (parser.next_reply(), parser.next_reply()) if value not in (b"OK", NEED_DATA)] == [
        b"x" * 100_000
    ]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="__buffer__ came with 3.12")
def test_bytes_whose_export_runs_code(twin: Twin, monkeypatch: pytest.MonkeyPatch) -> None:
    """1.9: a feed is refused if somebody entered while its bytes were asked for."""
    entered, leave = threading.Event(), threading.Event()

    def hashed(self: object) -> int:
        entered.set()
        assert leave.wait(30)
        return 1

    class Slow:
        def __buffer__(self, flags: int) -> memoryview:
            user.start()
            assert entered.wait(30)
            return memoryview(b"+LATE\r\n" * 100_000)

    parser = twin.parser(3)
    parser.feed(b"%1\r\n=5\r\ntxt:k\r\n$2\r\nvv\r\n+NEXT\r\n")
    seen: list[object] = []
    user = threading.Thread(target=lambda: seen.append(list(parser.next_reply().values())))
    with monkeypatch.context() as patch:
        patch.setattr(Verbatim, "__hash__", hashed)
        try:
            with pytest.raises(UsageError, match="in use by another thread"):
                parser.feed(Slow())
        finally:
            leave.set()
            user.join(30)
    assert seen == [[b"vv"]]
    assert parser.next_reply() == b"NEXT"
