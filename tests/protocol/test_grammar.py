"""The grammar as a table: each row cites the paragraph of docs/protocol.md that it proves."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from carmine.errors import ProtocolError, ServerError, WrongTypeError
from carmine.protocol import NEED_DATA, Attributed, Members, Pairs, Push, Verbatim
from tests.protocol.streams import told

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.protocol.twins import Twin

DOCUMENT = Path(__file__).parents[2] / "docs" / "protocol.md"


def error(message: str) -> Any:
    """Return an error reply that equals any other of the same text."""
    return ServerError(message)


# paragraph, stream, the values it gives; bytes mode, RESP3, attributes asked for
ACCEPTED: list[tuple[str, bytes, list[Any]]] = [
    ("1.5", b"+a\r\n:1\r\n", [b"a", 1]),
    ("2.3", b":+5\r\n:-0\r\n:007\r\n:-9223372036854775808\r\n:9223372036854775807\r\n", [5, 0, 7, -(2**63), 2**63 - 1]),
    ("2.3", b":" + b"0" * 31 + b"7\r\n", [7]),
    ("3.1", b"+OK\r\n", [b"OK"]),
    ("3.2", b"-ERR no\r\n", [error("ERR no")]),
    ("3.3", b":-42\r\n", [-42]),
    ("3.4", b"$5\r\nhello\r\n$0\r\n\r\n", [b"hello", b""]),
    ("3.5", b"*2\r\n:1\r\n*0\r\n", [[1, []]]),
    ("3.6", b"$-1\r\n", [None]),
    ("3.7", b"*-1\r\n*1\r\n*-1\r\n", [None, [None]]),
    ("3.8", b"_\r\n", [None]),
    ("3.9", b"#t\r\n#f\r\n", [True, False]),
    ("3.10", b",-1.5e3\r\n,inf\r\n,-inf\r\n,nan\r\n", [-1500.0, math.inf, -math.inf, math.nan]),
    ("3.11", b"(-349287349287349287349287\r\n(1\r\n", [-349287349287349287349287, 1]),
    ("3.11", b"(" + b"9" * 65_536 + b"\r\n", [10**65_536 - 1]),
    ("3.12", b"!10\r\nERR a\r\nb c\r\n", [error("ERR a\r\nb c")]),
    ("3.13", b"=8\r\ntxt:text\r\n=4\r\nmkd:\r\n", [Verbatim("txt", b"text"), Verbatim("mkd", b"")]),
    ("3.14", b"~2\r\n+a\r\n+b\r\n", [{b"a", b"b"}]),
    ("3.15", b"%2\r\n+a\r\n:1\r\n+b\r\n*0\r\n%0\r\n", [{b"a": 1, b"b": []}, {}]),
    ("3.21", b"+\r\n+  a \x00\xff \r\n", [b"", b"  a \x00\xff "]),
    ("3.22", b"$6\r\n\r\n$1\r\n\r\n", [b"\r\n$1\r\n"]),
    ("3.24", b",10\r\n,-0\r\n,+1.25\r\n,1e400\r\n,4E-2\r\n,-nan\r\n", [10.0, -0.0, 1.25, math.inf, 0.04, math.nan]),
    ("3.25", b"(0\r\n(+12\r\n(-0001\r\n", [0, 12, -1]),
    ("3.26", b"=6\r\n\xff\x00::\r\n\r\n", [Verbatim("\xff\x00:", b"\r\n")]),
    ("3.27", b"~-1\r\n", [None]),
    ("3.28", b"%2\r\n+a\r\n:1\r\n$1\r\na\r\n:2\r\n", [{b"a": 2}]),
    ("4.1", b"*2\r\n-ERR a\r\n!5\r\nERR b\r\n", [[error("ERR a"), error("ERR b")]]),
    ("4.1", b"%1\r\n-ERR k\r\n-ERR v\r\n", [{error("ERR k"): error("ERR v")}]),
    ("5.1", b"$?\r\n;4\r\nHell\r\n;1\r\no\r\n;0\r\n$?\r\n;0\r\n", [b"Hello", b""]),
    ("5.3", b"*?\r\n:1\r\n.\r\n%?\r\n+k\r\n:1\r\n.\r\n~?\r\n:1\r\n.\r\n*?\r\n.\r\n", [[1], {b"k": 1}, {1}, []]),
    ("5.4", b"*?\r\n%?\r\n+k\r\n$?\r\n;1\r\nv\r\n;0\r\n.\r\n*1\r\n~?\r\n.\r\n.\r\n", [[{b"k": b"v"}, [set()]]]),
    ("6.1", b"%3\r\n+a\r\n:1\r\n+b\r\n:2\r\n+a\r\n:3\r\n", [{b"a": 3, b"b": 2}]),
    ("6.2", b"%2\r\n:1\r\n+a\r\n#t\r\n+b\r\n", [Pairs([(1, b"a"), (True, b"b")])]),
    ("6.2", b"%2\r\n,0\r\n+a\r\n,-0\r\n+b\r\n", [Pairs([(0.0, b"a"), (-0.0, b"b")])]),
    ("6.2", b"%3\r\n:1\r\n+a\r\n,1\r\n+b\r\n:1\r\n+c\r\n", [Pairs([(1, b"a"), (1.0, b"b"), (1, b"c")])]),
    ("6.3", b"%1\r\n*0\r\n:1\r\n", [Pairs([([], 1)])]),
    ("6.3", b"%1\r\n|1\r\n+a\r\n:1\r\n+k\r\n:2\r\n", [Pairs([(Attributed(b"k", {b"a": 1}), 2)])]),
    ("6.3", b"%1\r\n=5\r\ntxt:k\r\n:1\r\n", [{Verbatim("txt", b"k"): 1}]),
    ("6.4", b"~3\r\n:1\r\n:2\r\n:1\r\n", [{1, 2}]),
    ("6.4", b"~3\r\n:1\r\n#t\r\n:1\r\n", [Members([1, True, 1])]),
    ("6.4", b"~2\r\n*0\r\n*0\r\n", [Members([[], []])]),
    ("7.2", b"-WRONGTYPE Operation\r\n- x\r\n-\xff\r\n", [
        WrongTypeError("WRONGTYPE Operation"), error(" x"), error("\ufffd"),
    ]),
    ("8.1", b"|1\r\n+a\r\n:1\r\n+v\r\n+w\r\n", [Attributed(b"v", {b"a": 1}), b"w"]),
    ("8.1", b"*2\r\n:1\r\n|1\r\n+a\r\n:1\r\n:2\r\n", [[1, Attributed(2, {b"a": 1})]]),
    ("8.2", b"|0\r\n:1\r\n", [Attributed(1, {})]),
    ("8.3", b"|1\r\n+a\r\n:1\r\n|1\r\n+b\r\n:2\r\n:3\r\n", [Attributed(Attributed(3, {b"b": 2}), {b"a": 1})]),
    ("8.3", b"|1\r\n+a\r\n:1\r\n>1\r\n+x\r\n+OK\r\n", [Attributed(Push([b"x"]), {b"a": 1}), b"OK"]),
    ("8.4", b"|1\r\n|0\r\n+a\r\n*0\r\n:3\r\n", [Attributed(3, Pairs([(Attributed(b"a", {}), [])]))]),
    ("9.2", b"*2\r\n:1\r\n>1\r\n+x\r\n:2\r\n", [Push([b"x"]), [1, 2]]),
    ("9.2", b"%1\r\n+k\r\n>1\r\n+x\r\n:2\r\n", [Push([b"x"]), {b"k": 2}]),
    ("9.3", b">0\r\n>1\r\n:1\r\n", [Push(), Push([1])]),
    ("9.4", b">2\r\n+a\r\n>1\r\n+b\r\n+c\r\n", [Push([b"b"]), Push([b"a", b"c"])]),
]  # fmt: skip

# paragraph, stream, reason, offset; everything before the last line is fine
REFUSED: list[tuple[str, bytes, str, int]] = [
    ("2.1", b"+a\rb\r\n", "a CR is not followed by LF", 0),
    ("2.1", b"+a\n\r\n", "a line holds LF", 0),
    ("2.1", b":1\n:2\r\n", "an integer is not", 0),
    ("2.2", b"$01\r\na\r\n", "a length is not a plain decimal", 0),
    ("2.2", b"$+1\r\na\r\n", "a length is not a plain decimal", 0),
    ("2.2", b"* 1\r\n", "a length is not a plain decimal", 0),
    ("2.2", b"$-2\r\n", "a length is not a plain decimal", 0),
    ("2.2", b"*1_0\r\n", "a length is not a plain decimal", 0),
    ("2.2", b"$\r\n", "a length is not a plain decimal", 0),
    ("2.3", b":9223372036854775808\r\n", "an integer is not a signed 64-bit decimal", 0),
    ("2.3", b":-9223372036854775809\r\n", "an integer is not a signed 64-bit decimal", 0),
    ("2.3", b":\r\n", "an integer is not", 0),
    ("2.3", b":-\r\n", "an integer is not", 0),
    ("2.4", b":1_0\r\n", "an integer is not", 0),
    ("2.4", b": 1\r\n", "an integer is not", 0),
    ("2.4", b",1_0\r\n", "a double is not", 0),
    ("2.4", b",infinity\r\n", "a double is not", 0),
    ("2.4", b",0x1p3\r\n", "a double is not", 0),
    ("2.4", b"(1_0\r\n", "a big number is not a decimal", 0),
    ("2.4", ":\u0661\r\n".encode(), "an integer is not", 0),
    ("2.5", b"*" + b"1" * 33, "a line is longer than the limit", 0),
    ("2.5", b":" + b"0" * 33, "a line is longer than the limit", 0),
    ("2.5", b"," + b"1" * 65_537, "a line is longer than the limit", 0),
    ("2.5", b"(" + b"1" * 65_537 + b"\r\n", "a line is longer than the limit", 0),
    ("3.20", b"+OK\r\nHTTP/1.1 400\r\n", "no RESP3 type begins like this", 5),
    ("3.20", b"\x15\x03\x01\x00\x02", "no RESP3 type begins like this", 0),
    ("3.22", b"$2\r\nabc\r\n", "a bulk string does not end with CRLF", 6),
    ("3.22", b"$2\r\na\r\n\r\n", "a bulk string does not end with CRLF", 6),
    ("3.23", b"_x\r\n", "a null is not empty", 0),
    ("3.23", b"#T\r\n", "a boolean is neither t nor f", 0),
    ("3.23", b"#tt\r\n", "a boolean is neither t nor f", 0),
    ("3.24", b",5.\r\n", "a double is not", 0),
    ("3.24", b",.5\r\n", "a double is not", 0),
    ("3.24", b",1e\r\n", "a double is not", 0),
    ("3.24", b",+inf\r\n", "a double is not", 0),
    ("3.24", b",\r\n", "a double is not", 0),
    ("3.25", b"(\r\n", "a big number is not", 0),
    ("3.25", b"(1.5\r\n", "a big number is not", 0),
    ("3.26", b"=3\r\ntxt\r\n", "a verbatim string is shorter than its format", 0),
    ("3.26", b"=4\r\ntext\r\n", "a verbatim string has no colon after its format", 4),
    ("3.27", b"%-1\r\n", "a length is not", 0),
    ("3.27", b">-1\r\n", "a length is not", 0),
    ("3.27", b"|-1\r\n", "a length is not", 0),
    ("3.27", b"=-1\r\n", "a length is not", 0),
    ("3.27", b"!-1\r\n", "a length is not", 0),
    ("5.2", b"$?\r\n+a\r\n", "a chunk and a streamed string belong together", 4),
    ("5.2", b"$?\r\n>0\r\n", "a chunk and a streamed string belong together", 4),
    ("5.2", b"$?\r\n|0\r\n", "a chunk and a streamed string belong together", 4),
    ("5.2", b";1\r\na\r\n", "a chunk and a streamed string belong together", 0),
    ("5.2", b"*?\r\n;0\r\n", "a chunk and a streamed string belong together", 4),
    ("5.3", b".\r\n", "an end mark stands outside a streamed aggregate", 0),
    ("5.3", b"*1\r\n.\r\n", "an end mark stands outside a streamed aggregate", 4),
    ("5.3", b"*?\r\n|0\r\n.\r\n", "an end mark stands outside a streamed aggregate", 8),
    ("5.3", b"%?\r\n+k\r\n.\r\n", "a streamed map ends after a key", 8),
    ("5.3", b"*?\r\n.x\r\n", "an end mark is not empty", 4),
    ("5.4", b">?\r\n", "a length is not", 0),
    ("5.4", b"|?\r\n", "a length is not", 0),
    ("5.4", b"!?\r\n", "a length is not", 0),
    ("5.4", b"=?\r\n", "a length is not", 0),
]  # fmt: skip


def parse(parser: Callable[..., Any], data: bytes, **options: Any) -> list[Any]:
    """Return what a whole stream gives."""
    one = parser(options.pop("protocol", 3), **options)
    one.feed(data)
    values = []
    while (value := one.next_reply()) is not NEED_DATA:
        values.append(value)
    one.feed_eof()
    return values


def row(case: tuple[Any, ...]) -> str:
    """Name a row of the tables."""
    return f"{case[0]}-{case[1][:24]!r}"


@pytest.mark.parametrize("case", ACCEPTED, ids=row)
def test_accepted(twin: Twin, case: tuple[str, bytes, list[Any]]) -> None:
    _, data, values = case
    assert told(parse(twin.parser, data, attributes=True)) == told(values)


@pytest.mark.parametrize("case", REFUSED, ids=row)
def test_refused(twin: Twin, case: tuple[str, bytes, str, int]) -> None:
    _, data, reason, offset = case
    for pieces in ([data], [data[i : i + 1] for i in range(len(data))]):
        parser = twin.parser(3)
        with pytest.raises(ProtocolError) as caught:  # noqa: PT012  # it may come with any piece
            for piece in pieces:
                parser.feed(piece)
                while parser.next_reply() is not NEED_DATA:
                    pass
        assert caught.value.reason.startswith(reason)
        assert caught.value.offset == offset
        assert data[offset:].startswith(caught.value.excerpt)


@pytest.mark.parametrize("first", range(256), ids="{:#04x}".format)
def test_first_bytes(twin: Twin, first: int) -> None:
    """3.20: what a reply may begin with, in each version."""
    for version, known in ((2, b"+-:$*"), (3, b"+-:$*_#,(!=~%|>;.")):
        parser = twin.parser(version)
        parser.feed(bytes([first]))
        if first not in known:
            with pytest.raises(ProtocolError, match=f"no RESP{version} type begins like this at byte 0"):
                parser.next_reply()
        elif first in b";":  # known, but never first
            with pytest.raises(ProtocolError, match="a chunk and a streamed string belong together"):
                parser.next_reply()
        else:
            assert parser.next_reply() is NEED_DATA


def test_streamed_forms_are_resp3(twin: Twin) -> None:
    """2.2, 5: RESP2 has none."""
    for data in (b"$?\r\n", b"*?\r\n"):
        with pytest.raises(ProtocolError, match="a length is not a plain decimal"):
            parse(twin.parser, data, protocol=2)


def test_protocol_is_switched_between_two_replies(twin: Twin) -> None:
    parser = twin.parser(2)
    parser.feed(b"+OK\r\n%1\r\n+proto\r\n:3\r\n_\r\n")
    assert parser.next_reply() == b"OK"
    parser.protocol = 3
    assert parser.next_reply() == {b"proto": 3}
    parser.protocol = 2
    with pytest.raises(ProtocolError, match="no RESP2 type"):
        parser.next_reply()


@pytest.mark.parametrize("version", [0, 1, 4, -1])
def test_other_protocols_do_not_exist(twin: Twin, version: int) -> None:
    with pytest.raises(ValueError, match="protocol must be 2 or 3"):
        twin.parser(version)


def test_attributes_are_dropped_unless_asked_for(twin: Twin) -> None:
    """8.2."""
    data = b"*2\r\n|1\r\n+a\r\n*1\r\n:1\r\n:2\r\n|1\r\n+b\r\n:1\r\n:3\r\n|1\r\n*0\r\n:1\r\n>1\r\n+p\r\n+OK\r\n"
    assert told(parse(twin.parser, data)) == told([[2, 3], Push([b"p"]), b"OK"])


def test_every_paragraph_that_is_cited_exists_and_the_tables_cite_most() -> None:
    paragraphs = set(re.findall(r"\*\*(\d+\.\d+)\*\*", DOCUMENT.read_text(encoding="utf-8")))
    cited = {case[0] for case in ACCEPTED} | {case[0] for case in REFUSED}
    assert cited <= paragraphs
    types = {f"3.{n}" for n in range(1, 16)} | {f"3.{n}" for n in range(20, 29)}
    assert types <= cited, "a type without a row"


def test_every_citation_in_this_folder_exists() -> None:
    paragraphs = set(re.findall(r"\*\*(\d+\.\d+)\*\*", DOCUMENT.read_text(encoding="utf-8")))
    cited = set()
    for file in Path(__file__).parent.glob("test_*.py"):
        for text in re.findall(r'"""(\d[\d., ]*)[ :."]', file.read_text(encoding="utf-8")):
            cited |= set(re.findall(r"\d+\.\d+", text))
    assert cited <= paragraphs
    assert len(cited) > 30
