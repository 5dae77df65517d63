"""The parser as a machine (docs/protocol.md 1 and 12): resuming, dying once, one user at a time."""

from __future__ import annotations

import copy
import pickle
import random
import threading
from typing import TYPE_CHECKING, Any

import pytest

from carmine.errors import ProtocolError, UsageError
from carmine.protocol import NEED_DATA, Limits, Verbatim, _parser, _stream, values
from tests.protocol import check_vectors
from tests.protocol.streams import VECTORS, Mode, observe

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.protocol.twins import Twin

STREAM = b"*3\r\n$5\r\nhello\r\n%1\r\n+k\r\n,1.5\r\n~1\r\n:1\r\n>2\r\n+a\r\n"
STREAM += b"$?\r\n;2\r\nxy\r\n;0\r\n|1\r\n+a\r\n:1\r\n-ERR x\r\n=5\r\ntxt:v\r\n"


class Boom(BaseException):
    """As unexpected as KeyboardInterrupt."""


def test_every_way_of_cutting_once_and_twice(twin: Twin) -> None:
    """1.3, 1.4."""
    mode = Mode(attributes=True)
    whole = observe(twin.parser, [STREAM], mode, exact=False)
    assert len(whole) > 6
    for i in range(len(STREAM) + 1):
        for j in range(i, len(STREAM) + 1):
            assert observe(twin.parser, [STREAM[:i], STREAM[i:j], STREAM[j:]], mode, exact=False) == whole


def test_vectors_in_fixed_pieces(twin: Twin) -> None:
    """1.4: also through get_buffer, and for pieces of 2, 3 and 7 bytes."""
    for vector in VECTORS:
        if len(vector.get("bytes_hex", "x" * 2000)) < 2000:
            data = check_vectors.data_of(vector)
            whole = observe(twin.parser, [data], Mode(vector["protocol"]), exact=False)
            for size in (1, 2, 3, 7):
                for by_buffer in (False, True):
                    pieces = [data[i : i + size] for i in range(0, len(data), size)]
                    mode = Mode(vector["protocol"], by_buffer=by_buffer)
                    assert observe(twin.parser, pieces, mode, exact=False) == whole, vector["name"]


def test_a_thousand_replies_in_one_piece(twin: Twin) -> None:
    parser = twin.parser(3)
    parser.feed(b"".join(b"$%d\r\n%d\r\n" % (len(str(i)), i) for i in range(1000)))
    assert [parser.next_reply() for _ in range(1000)] == [b"%d" % i for i in range(1000)]
    assert parser.next_reply() is NEED_DATA
    assert parser.is_idle


def test_falsy_replies_are_replies(twin: Twin) -> None:
    """1.2."""
    parser = twin.parser(3)
    assert parser.next_reply() is NEED_DATA
    parser.feed(b"_\r\n#f\r\n:0\r\n$0\r\n\r\n*0\r\n%0\r\n~0\r\n")
    assert [parser.next_reply() for _ in range(7)] == [None, False, 0, b"", [], {}, set()]
    assert parser.next_reply() is NEED_DATA


def test_replies_before_an_error_come_first_and_the_error_stays(twin: Twin) -> None:
    """1.5, 1.6, 12.1."""
    parser = twin.parser(3)
    parser.feed(b"+a\r\n:1\r\n?oops" + b"x" * 60)
    assert parser.next_reply() == b"a"
    assert parser.next_reply() == 1
    raised = []
    for call in (parser.next_reply, parser.next_reply, parser.feed_eof, parser.next_reply):
        with pytest.raises(ProtocolError) as caught:
            call()
        raised.append(caught.value)
        parser.feed(b"+OK\r\n")
        parser.get_buffer(10)[:5] = b"+OK\r\n"
        parser.received(5)
        assert not parser.is_idle
    assert all(error is raised[0] for error in raised)
    assert raised[0].offset == 8
    assert raised[0].excerpt == b"?oops" + b"x" * 35
    assert str(raised[0]) == f"no RESP3 type begins like this at byte 8 of the replies: {raised[0].excerpt!r}"


def test_offsets_count_from_the_start_of_the_stream(twin: Twin) -> None:
    """12.1: over many buffers, small and large bulks."""
    parser = twin.parser(3)
    good = b"+OK\r\n" * 1000 + b"$200000\r\n" + b"x" * 200_000 + b"\r\n"
    for _ in range(3):
        for at in range(0, len(good), 3000):
            parser.feed(good[at : at + 3000])
            while parser.next_reply() is not NEED_DATA:
                pass
    parser.feed(b"+OK\r\n!")
    parser.feed(b"x\r\n")
    assert parser.next_reply() == b"OK"
    with pytest.raises(ProtocolError) as caught:
        parser.next_reply()
    assert caught.value.offset == 3 * len(good) + 5


@pytest.mark.parametrize(
    "rest", [b"", b"$", b"$3", b"$3\r\n", b"$3\r\nab", b"$3\r\nabc\r", b"*1\r\n", b"|1\r\n", b"$?\r\n", b"+OK\r"]
)
def test_the_end_of_the_stream(twin: Twin, rest: bytes) -> None:
    """1.8."""
    parser = twin.parser(3)
    parser.feed(b"+OK\r\n" + rest)
    assert parser.next_reply() == b"OK"
    if not rest:
        parser.feed_eof()
        assert parser.next_reply() is NEED_DATA
        parser.feed(b"")
        with pytest.raises(ProtocolError, match="bytes came after the end of the stream at byte 5"):
            parser.feed(b"+late\r\n")
    else:
        assert parser.next_reply() is NEED_DATA
        with pytest.raises(ProtocolError, match="the stream ended inside a reply") as caught:
            parser.feed_eof()
        assert caught.value.offset == 5 + len(rest)
    with pytest.raises(ProtocolError):
        parser.next_reply()


def test_late_bytes_through_the_buffer(twin: Twin) -> None:
    """1.8."""
    parser = twin.parser(3)
    parser.feed_eof()
    parser.get_buffer(1)
    with pytest.raises(ProtocolError, match="after the end"):
        parser.received(1)


# ---- interrupted calls


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("server_error", b"*2\r\n:1\r\n-ERR x\r\n+NEXT\r\n"),
        ("Verbatim", b"*2\r\n:1\r\n=5\r\ntxt:v\r\n+NEXT\r\n"),
        ("map_of", b"*2\r\n:1\r\n%1\r\n*0\r\n:1\r\n+NEXT\r\n"),
        ("set_of", b"*2\r\n:1\r\n~1\r\n:1\r\n+NEXT\r\n"),
        ("DecodeError", b"*2\r\n:1\r\n$1\r\n\xff\r\n+NEXT\r\n"),
        ("Push", b"*1\r\n>1\r\n:1\r\n:1\r\n+NEXT\r\n"),
    ],
)
@pytest.mark.parametrize("problem", [MemoryError, KeyboardInterrupt, RecursionError, Boom])
def test_an_interrupted_reply_is_never_gone_on_with(
    twin: Twin, monkeypatch: pytest.MonkeyPatch, name: str, data: bytes, problem: type[BaseException]
) -> None:
    """1.7: whatever breaks in the middle, the bytes that follow are never taken for another reply."""

    def broken(*args: object, **facts: object) -> None:
        raise problem

    module = __import__("carmine._resp")._resp if twin.name == "cython" else _parser
    parser = twin.parser(3, True)
    parser.feed(data)
    with monkeypatch.context() as patch:
        patch.setattr(module, name, broken)
        with pytest.raises(problem):
            parser.next_reply()
    for call in (parser.next_reply, parser.next_reply, parser.feed_eof):
        with pytest.raises(ProtocolError, match="an earlier call was interrupted inside a reply"):
            call()
        parser.feed(b"+OK\r\n")
        assert not parser.is_idle


def test_an_error_that_cannot_be_built_kills_as_well(twin: Twin, monkeypatch: pytest.MonkeyPatch) -> None:
    """1.7."""

    def broken(*args: object, **facts: object) -> None:
        raise MemoryError

    module = __import__("carmine._resp")._resp if twin.name == "cython" else _stream
    parser = twin.parser(3)
    parser.feed(b"?\r\n+OK\r\n")
    with monkeypatch.context() as patch:
        patch.setattr(module, "ProtocolError", broken)
        for _ in range(2):
            with pytest.raises(MemoryError):
                parser.next_reply()
    with pytest.raises(ProtocolError):
        parser.next_reply()


def test_interrupted_while_a_key_is_hashed(twin: Twin, monkeypatch: pytest.MonkeyPatch) -> None:
    """1.7."""

    def interrupted(self: object) -> int:
        raise KeyboardInterrupt

    parser = twin.parser(3)
    parser.feed(b"%1\r\n=5\r\ntxt:k\r\n:1\r\n+OK\r\n")
    with monkeypatch.context() as patch:
        patch.setattr(Verbatim, "__hash__", interrupted)
        with pytest.raises(KeyboardInterrupt):
            parser.next_reply()
    with pytest.raises(ProtocolError, match="interrupted"):
        parser.next_reply()


# ---- one user at a time


def during_a_reply(
    twin: Twin, monkeypatch: pytest.MonkeyPatch, act: Callable[[Any], object]
) -> tuple[Any, list[BaseException], Any]:
    """Call `act` on a parser while it builds a reply; return the parser, what `act` raised, and the reply."""
    raised: list[BaseException] = []
    parser = twin.parser(3)

    def hashed(self: object) -> int:
        try:
            act(parser)
        except Exception as error:  # noqa: BLE001  # whatever it is, the test looks at it
            raised.append(error)
        return 1

    parser.feed(b"%1\r\n=5\r\ntxt:k\r\n$2\r\nvv\r\n+NEXT\r\n")
    with monkeypatch.context() as patch:
        patch.setattr(Verbatim, "__hash__", hashed)
        reply = list(parser.next_reply().items())
    return parser, raised, reply


@pytest.mark.parametrize(
    "act",
    [
        lambda parser: parser.feed(b"+X\r\n" * 100_000),
        lambda parser: parser.next_reply(),
        lambda parser: parser.get_buffer(10),
        lambda parser: parser.received(0),
        lambda parser: parser.feed_eof(),
    ],
    ids=["feed", "next_reply", "get_buffer", "received", "feed_eof"],
)
def test_a_second_user_is_refused_and_the_first_not_disturbed(
    twin: Twin, monkeypatch: pytest.MonkeyPatch, act: Callable[[Any], object]
) -> None:
    """1.9: from inside a call, as another thread or a finalizer would."""
    parser, raised, reply = during_a_reply(twin, monkeypatch, act)
    assert [type(error) for error in raised] in ([UsageError], [UsageError] * 2)
    assert "in use by another thread" in str(raised[0])
    assert reply == [(Verbatim("txt", b"k"), b"vv")]
    assert parser.next_reply() == b"NEXT"
    assert parser.is_idle


def test_settings_may_change_in_a_call(twin: Twin, monkeypatch: pytest.MonkeyPatch) -> None:
    """1.9: a setting is no use of the parser, but must not break it either."""

    def act(parser: Any) -> None:
        parser.protocol = 2
        parser.decode = True
        parser.__init__(2, True)

    _, raised, reply = during_a_reply(twin, monkeypatch, act)
    assert raised == []
    assert len(reply) == 1


def test_many_threads_on_one_parser(twin: Twin) -> None:
    """1.9: misuse may raise, but each reply is whole, and the process lives."""
    parser = twin.parser(3)
    stream = b"%1\r\n=5\r\ntxt:k\r\n:1\r\n" * 2000
    wrong: list[object] = []
    start = threading.Barrier(4)

    def use(seed: int) -> None:
        rng = random.Random(seed)
        start.wait(10)
        for _ in range(300):
            try:
                if rng.random() < 0.1:
                    parser.feed(stream[:210])
                else:
                    value = parser.next_reply()
                    if value is not NEED_DATA and value != {Verbatim("txt", b"k"): 1}:
                        wrong.append(value)
            except (UsageError, ProtocolError):
                pass

    threads = [threading.Thread(target=use, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not any(thread.is_alive() for thread in threads)
    assert wrong == []


# ---- the object itself


def test_parsers_are_not_copied(twin: Twin) -> None:
    parser = twin.parser(3)
    if twin.name == "cython":
        for way in (copy.copy, copy.deepcopy, pickle.dumps):
            with pytest.raises(TypeError):
                way(parser)


def test_a_parser_that_was_never_initialised_is_harmless(twin: Twin) -> None:
    cls: Any = twin.parser
    parser = cls.__new__(cls)
    if twin.name == "cython":
        parser.feed(b"+OK\r\n*1\r\n:1\r\n")
        with pytest.raises(ProtocolError, match="a line is longer than the limit"):  # each limit is 0
            parser.next_reply()
    else:
        with pytest.raises(AttributeError):
            parser.feed(b"+OK\r\n")


def test_limits_and_settings_can_be_read_back(twin: Twin) -> None:
    limits = Limits(depth=3)
    parser = twin.parser(2, True, limits, True)
    assert (parser.protocol, parser.decode, parser.push_decode, parser.each, parser.attributes) == (
        2, True, True, False, True,
    )  # fmt: skip
    assert parser.limits is limits
    with pytest.raises(AttributeError):
        parser.limits = limits
    with pytest.raises(AttributeError):
        parser.unknown = 1


def test_need_data_is_one_object() -> None:
    assert repr(NEED_DATA) == "NEED_DATA"
    assert pickle.loads(pickle.dumps(NEED_DATA)) is NEED_DATA
    assert copy.deepcopy(NEED_DATA) is NEED_DATA
    assert values.NEED_DATA is NEED_DATA
