"""Streams to try on parsers, and what a parser makes of them, told so that two parsers can be compared."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from carmine.errors import DecodeError, ProtocolError, ServerError
from carmine.protocol import DEFAULT_LIMITS, NEED_DATA, Attributed, Limits, Verbatim
from tests.protocol import check_vectors

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Sequence

__all__ = ["FILE", "VECTORS", "Mode", "chunks_of", "observe", "random_mode", "random_stream", "told"]

FILE = Path(__file__).with_name("resp_vectors.json")
VECTORS: list[dict[str, Any]] = json.loads(FILE.read_text(encoding="utf-8"))["vectors"]

_SMALL = [check_vectors.data_of(one) for one in VECTORS if "bytes_hex" in one and len(one["bytes_hex"]) < 2000]
_TOKENS = (
    b"+OK\r\n", b"+\xff\r\n", b"-ERR a b\r\n", b":1\r\n", b":-1\r\n", b":007\r\n", b"$0\r\n\r\n", b"$2\r\nOK\r\n",
    b"$3\r\na\r\n\r\n", b"$12\r\nabcdefghijkl\r\n", b"$2\r\n\xc3\xa9\r\n", b"$1\r\n\xff\r\n", b"$-1\r\n", b"*-1\r\n",
    b"*0\r\n", b"*1\r\n", b"*2\r\n", b"*3\r\n", b"*10\r\n", b"%0\r\n", b"%1\r\n", b"%2\r\n", b"~1\r\n", b"~2\r\n",
    b"~-1\r\n", b"|0\r\n", b"|1\r\n", b">0\r\n", b">1\r\n", b">2\r\n", b"_\r\n", b"#t\r\n", b"#f\r\n", b",1\r\n",
    b",-0.0\r\n", b",1.5e3\r\n", b",inf\r\n", b",nan\r\n", b"(1\r\n", b"(-123456789012345678901234567890\r\n",
    b"=5\r\ntxt:x\r\n", b"=5\r\ntxt:\xff\r\n", b"!5\r\nERR x\r\n", b"$?\r\n", b";1\r\nx\r\n", b";1\r\n\xff\r\n",
    b";0\r\n", b"*?\r\n", b"%?\r\n", b"~?\r\n", b".\r\n",
    b"$100\r\n" + b"x" * 100 + b"\r\n", b":1" + b"0" * 18 + b"\r\n",
)  # fmt: skip


class Mode(NamedTuple):
    """How a parser is used."""

    protocol: int = 3
    decode: bool = False
    push_decode: bool = False
    each: bool = False
    attributes: bool = False
    limits: Limits = DEFAULT_LIMITS
    by_buffer: bool = False


def random_mode(rng: random.Random) -> Mode:
    """Return any way of use; one in four has limits that small streams reach."""
    limits = DEFAULT_LIMITS
    if rng.random() < 0.25:
        limits = Limits(rng.randint(0, 4), rng.randint(0, 12), rng.randint(0, 4), rng.randint(0, 12))
    flags = [rng.random() < 0.5 for _ in range(5)]
    return Mode(rng.choice((2, 3, 3, 3)), flags[0], flags[1], flags[2], flags[3], limits, flags[4])


def random_stream(rng: random.Random) -> bytes:
    """Return replies, whole or mutilated."""
    kind = rng.random()
    if kind < 0.35:
        data = b"".join(check_vectors.gen_tree(rng, 4)[0] for _ in range(rng.randint(1, 3)))
    elif kind < 0.65:
        data = rng.choice(_SMALL) + rng.choice(_SMALL)
    else:
        data = b"".join(rng.choice(_TOKENS) for _ in range(rng.randint(1, 14)))
    changed = bytearray(data)
    for _ in range(rng.choice((0, 0, 1, 2, 3))):
        what, at = rng.randint(0, 3), rng.randint(0, max(0, len(changed) - 1))
        if what == 0 and changed:
            changed[at] = rng.choice(b"\r\n$*+-:0159?;.,#%~>|=!(_\x00\xff ")
        elif what == 1 and changed:
            del changed[at]
        elif what == 2:
            changed.insert(at, rng.randint(0, 255))
        else:
            del changed[at:]
    return bytes(changed)


def chunks_of(data: bytes, rng: random.Random) -> list[bytes]:
    """Return the stream whole, byte by byte or cut at random."""
    kind = rng.randint(0, 2)
    if kind == 0:
        return [data]
    if kind == 1:
        return [data[i : i + 1] for i in range(len(data))]
    cut: list[bytes] = check_vectors.by_random(data, rng)
    return cut


def told(value: Any) -> Any:
    """Return a value with every type spelt out, so that 1, True and 1.0 differ and nan equals itself."""
    if isinstance(value, ServerError):
        return type(value).__name__, value.message, str(value)
    if isinstance(value, DecodeError):
        return "DecodeError", value.data
    if isinstance(value, Attributed):
        return "Attributed", told(value.value), told(value.attributes)
    if isinstance(value, Verbatim):
        return "Verbatim", value.format, told(value.data)
    if isinstance(value, dict):
        return "dict", [(told(key), told(item)) for key, item in value.items()]
    if isinstance(value, set):
        return "set", sorted(repr(told(item)) for item in value)
    if isinstance(value, (list, tuple)):
        return type(value).__name__, [told(item) for item in value]
    if isinstance(value, float):
        return "float", repr(value)
    return type(value).__name__, value


def _give(parser: Any, chunk: bytes, by_buffer: bool) -> None:
    if not by_buffer:
        parser.feed(chunk)
        return
    while chunk:
        with parser.get_buffer(len(chunk)) as view:
            size = min(len(view), len(chunk))
            view[:size] = chunk[:size]
        parser.received(size)
        chunk = chunk[size:]


def _error(error: ProtocolError, exact: bool) -> tuple[Any, ...]:
    # an excerpt ends where the bytes that have come end: it depends on how they are cut
    return ("ProtocolError", error.reason, error.offset, *((error.excerpt, str(error)) if exact else ()))


def observe(parser: Callable[..., Any], chunks: Sequence[bytes], mode: Mode, *, exact: bool = True) -> list[Any]:
    """Return all that can be seen of a parser while and after it gets the chunks.

    Without `exact`, only what may not depend on how the stream is cut.
    """
    one = parser(mode.protocol, mode.decode, mode.limits, mode.attributes)
    one.push_decode, one.each = mode.push_decode, mode.each
    seen: list[Any] = []
    for chunk in chunks:
        _give(one, chunk, mode.by_buffer)
        try:
            while (value := one.next_reply()) is not NEED_DATA:
                seen.append(told(value))
                if exact:
                    seen.append(one.is_idle)
        except ProtocolError as error:
            seen.append(_error(error, exact))
            break
    last = seen[-1:]
    dead = bool(last) and isinstance(last[0], tuple) and last[0][0] == "ProtocolError"
    seen.append(one.is_idle)
    try:
        one.feed_eof()
    except ProtocolError as error:
        if not dead:
            seen.append(_error(error, exact))
        elif _error(error, exact) != last[0]:
            seen.append("the error changed")
    for late in (lambda: one.feed(b"+OK\r\n"), one.next_reply, one.next_reply, one.feed_eof):
        try:  # whatever came before: after the end there is nothing more
            seen.append(told(late()))
        except ProtocolError as error:
            seen.append(_error(error, exact))
    return seen
