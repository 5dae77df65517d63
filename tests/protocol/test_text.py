"""Text mode (docs/protocol.md 10): what is decoded, and what a string that is not UTF-8 spoils."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from carmine.errors import DecodeError
from carmine.protocol import NEED_DATA, Attributed, Push, Verbatim
from tests.protocol.streams import told

if TYPE_CHECKING:
    from tests.protocol.twins import Twin

BAD = b"$1\r\n\xff\r\n"


def replies(twin: Twin, data: bytes, *, each: bool = False, attributes: bool = False, push: bool = True) -> list[Any]:
    """Return what a stream gives in text mode, whole and byte by byte alike."""
    ways = []
    for pieces in ([data], [data[i : i + 1] for i in range(len(data))]):
        parser = twin.parser(3, True, attributes=attributes)
        parser.each, parser.push_decode = each, push
        seen = []
        for piece in pieces:
            parser.feed(piece)
            while (value := parser.next_reply()) is not NEED_DATA:
                seen.append(value)
        assert parser.is_idle
        ways.append(seen)
    assert told(ways[0]) == told(ways[1])
    return ways[0]


def test_every_kind_of_string_is_decoded(twin: Twin) -> None:
    """10.1, 10.5."""
    data = "+é\r\n$5\r\na€b\r\n=7\r\ntxt:€\r\n*1\r\n+x\r\n$3\r\n\ufeff\r\n$1\r\n\x00\r\n+OK\r\n$2\r\nOK\r\n".encode()
    assert replies(twin, data) == ["é", "a€b", Verbatim("txt", "€"), ["x"], "\ufeff", "\x00", "OK", "OK"]
    assert replies(twin, b"%1\r\n+k\r\n~1\r\n+m\r\n") == [{"k": {"m"}}]


def test_numbers_and_formats_are_not_text(twin: Twin) -> None:
    assert told(replies(twin, b":1\r\n,1\r\n(1\r\n=4\r\n\xff\xfe\xfd:\r\n")) == told([1, 1.0, 1, Verbatim("ÿþý", "")])


def test_a_streamed_string_is_decoded_as_one(twin: Twin) -> None:
    """5.1: its chunks may cut a character."""
    assert replies(twin, b"$?\r\n;1\r\n\xc3\r\n;1\r\n\xa9\r\n;0\r\n") == ["é"]
    (bad,) = replies(twin, b"$?\r\n;1\r\na\r\n;1\r\n\xff\r\n;0\r\n")
    assert told(bad) == told(DecodeError(b"a\xff"))


@pytest.mark.parametrize(
    "data",
    [
        BAD,
        b"+\xff\r\n",
        b"=5\r\ntxt:\xff\r\n",
        b"*2\r\n:1\r\n" + BAD,
        b"*2\r\n" + BAD + b":1\r\n",
        b"*3\r\n*1\r\n" + BAD + b"+fine\r\n$1\r\n\xfe\r\n",
        b"%1\r\n" + BAD + b":1\r\n",
        b"%1\r\n:1\r\n" + BAD,
        b"~1\r\n" + BAD,
        b"*?\r\n*1\r\n*1\r\n" + BAD + b".\r\n",
        b"|1\r\n+a\r\n:1\r\n" + BAD,
        b"*2\r\n" + BAD + b">1\r\n+p\r\n:1\r\n",
        b"$1\r\n\xff\r\n",
    ],
)
def test_a_bad_string_spoils_its_whole_reply_and_no_other(twin: Twin, data: bytes) -> None:
    """10.2."""
    seen = replies(twin, b"+before\r\n" + data + b"*1\r\n+after\r\n")
    seen = [value for value in seen if not isinstance(value, Push)]
    assert seen[0] == "before"
    assert seen[2] == ["after"]
    assert isinstance(seen[1], DecodeError)
    assert seen[1].data == b"\xff"


def test_the_first_bad_string_is_the_one_reported(twin: Twin) -> None:
    """10.2."""
    (bad,) = replies(twin, b"*2\r\n$2\r\na\xff\r\n$2\r\nb\xff\r\n")
    assert bad.data == b"a\xff"


def test_large_strings(twin: Twin) -> None:
    """10.2: those that are received into their own object too."""
    long = b"x" * 200_000
    (good, bad) = replies_in_pieces(twin, b"$200000\r\n" + long + b"\r\n$200001\r\n" + long + b"\xff\r\n")
    assert good == long.decode()
    assert bad.data == long + b"\xff"


def replies_in_pieces(twin: Twin, data: bytes) -> list[Any]:
    """Return what a long stream gives in pieces of 10,000 bytes."""
    parser = twin.parser(3, True)
    seen = []
    for at in range(0, len(data), 10_000):
        parser.feed(data[at : at + 10_000])
        while (value := parser.next_reply()) is not NEED_DATA:
            seen.append(value)
    return seen


def test_each_element_is_a_reply_of_its_own(twin: Twin) -> None:
    """10.3."""
    data = b"*5\r\n+a\r\n" + BAD + b"*2\r\n:1\r\n$1\r\n\xfe\r\n%1\r\n:1\r\n$1\r\n\xfd\r\n+z\r\n"
    (reply,) = replies(twin, data, each=True)
    assert [reply[0], reply[4]] == ["a", "z"]
    assert [error.data for error in reply[1:4]] == [b"\xff", b"\xfe", b"\xfd"]
    assert isinstance(replies(twin, data)[0], DecodeError)


@pytest.mark.parametrize("data", [BAD, b"%1\r\n:1\r\n" + BAD, b"~1\r\n" + BAD, b"|0\r\n*1\r\n" + BAD])
def test_each_is_about_arrays(twin: Twin, data: bytes) -> None:
    """10.3."""
    (reply,) = replies(twin, data, each=True)
    assert isinstance(reply, DecodeError)


def test_each_in_a_streamed_array(twin: Twin) -> None:
    """10.3."""
    (reply,) = replies(twin, b"*?\r\n" + BAD + b"+b\r\n.\r\n", each=True)
    assert [reply[0].data, reply[1]] == [b"\xff", "b"]


def test_attributes_spoil_no_reply(twin: Twin) -> None:
    """10.4."""
    data = b"|1\r\n" + BAD + b"$1\r\n\xfe\r\n+v\r\n*1\r\n|1\r\n+k\r\n" + BAD + b"+w\r\n"
    assert replies(twin, data) == ["v", ["w"]]
    first, second = replies(twin, data, attributes=True)
    assert first.value == "v"
    ((key, value),) = first.attributes.items()
    assert (key.data, value.data) == (b"\xff", b"\xfe")
    assert isinstance(second[0], Attributed)
    attributes: Any = second[0].attributes
    assert attributes["k"].data == b"\xff"


def test_pushes_spoil_no_reply_and_have_their_own_setting(twin: Twin) -> None:
    """9.5, 10.4."""
    data = b"*2\r\n+a\r\n>2\r\n+p\r\n" + BAD + b"+b\r\n"
    push, reply = replies(twin, data)
    assert reply == ["a", "b"]
    assert push[0] == "p"
    assert push[1].data == b"\xff"
    push, reply = replies(twin, data, push=False)
    assert (push, reply) == ([b"p", b"\xff"], ["a", "b"])


def test_a_push_within_a_spoilt_reply_is_whole(twin: Twin) -> None:
    """10.4."""
    push, reply = replies(twin, b"*2\r\n" + BAD + b">1\r\n+p\r\n+b\r\n")
    assert push == ["p"]
    assert reply.data == b"\xff"


def test_the_setting_belongs_to_each_reply(twin: Twin) -> None:
    """10.1."""
    parser = twin.parser(3)
    parser.feed(b"+a\r\n+a\r\n" + BAD + BAD + b"+OK\r\n+OK\r\n")
    seen = []
    for decode in (False, True, False, True, False, True):
        parser.decode = decode
        seen.append(parser.next_reply())
    assert seen[:3] == [b"a", "a", b"\xff"]
    assert seen[3].data == b"\xff"
    assert seen[4:] == [b"OK", "OK"]


@pytest.mark.parametrize("bad", [b"\x80", b"\xc3", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc0\x80", b"\xe2\x82"])
def test_what_is_not_utf8(twin: Twin, bad: bytes) -> None:
    """10.1: surrogates, overlong forms and cut characters are not."""
    (reply,) = replies(twin, b"$%d\r\n%s\r\n" % (len(bad), bad))
    assert reply.data == bad
