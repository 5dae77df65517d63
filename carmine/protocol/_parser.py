"""The pure-Python parser: bytes in, replies out, resumable at any byte (docs/protocol.md is the grammar).

It never reads, waits, logs or asks the time; never recurses, never restarts a reply, and never allocates for a
declared count. Its Cython twin in `carmine/_resp.pyx` follows the same paragraphs and raises the same errors
at the same offsets.
"""

from __future__ import annotations

import re
from typing import Any, Final, NoReturn

from carmine.errors import DecodeError, ProtocolError, server_error
from carmine.protocol.limits import (
    DEFAULT_LIMITS,
    LARGE_BULK,
    MAX_HEADER,
    MAX_NUMBER,
    NULLABLE,
    RESP2_TYPES,
    Limits,
)
from carmine.protocol.values import NEED_DATA, Attributed, Push, Verbatim, map_of, set_of

__all__ = ["Parser"]

_ARRAY, _MAP, _SET, _PUSH, _ATTRIBUTE, _STREAM = b"*%~>|$"
_WRAP = 0
"""The frame left by a complete attribute: it waits for the one value that the attribute describes."""

_CR, _LF = 13, 10
_TYPES: Final = {2: frozenset(RESP2_TYPES), 3: frozenset(RESP2_TYPES + b"_#,(=!%~|>;.")}
_LINES: Final = frozenset(b"+-")
_NUMBERS: Final = frozenset(b",(")
_BULKS: Final = frozenset(b"$=!;")
_DOUBLE: Final = re.compile(rb"[+-]?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|-?inf|-?nan")
_INT64: Final = 1 << 63
_DIGITS_AT_ONCE: Final = 4000  # below CPython's limit of 4,300 digits for int()

_Frame = tuple[int, int, list[Any], DecodeError | None, bool]


def _parse_integer(digits: bytes) -> int | None:
    """Return the integer of an optional sign and ASCII digits, of any length, or None."""
    body = digits[1:] if digits[:1] in (b"-", b"+") else digits
    if not body.isdigit():
        return None
    value = 0
    for start in range(0, len(body), _DIGITS_AT_ONCE):
        part = body[start : start + _DIGITS_AT_ONCE]
        value = value * 10 ** len(part) + int(part)
    return -value if digits[:1] == b"-" else value


class Parser:
    """Parse a stream of RESP2 or RESP3 replies.

    Args:
        protocol: 2 or 3. A RESP3 type on a RESP2 stream is a ProtocolError. May be set between two replies.
        decode: Give strings as text (True) or bytes. May be set before each reply.
        limits: Bounds on what is accepted.
        attributes: Wrap a value that has attributes in Attributed; False drops them.
    """

    __slots__ = (
        "_bad",
        "_base",
        "_body",
        "_buffer",
        "_failure",
        "_in_push",
        "_position",
        "_protocol",
        "_scanned",
        "_scratch",
        "_stack",
        "_types",
        "attributes",
        "decode",
        "each",
        "limits",
        "push_decode",
    )

    def __init__(
        self, protocol: int = 3, decode: bool = False, limits: Limits = DEFAULT_LIMITS, attributes: bool = False
    ) -> None:
        self.protocol = protocol
        self.decode = decode
        self.push_decode = decode
        self.each = False
        self.limits = limits
        self.attributes = attributes
        self._buffer = bytearray()
        self._scratch: bytearray | None = None
        self._position = 0  # of the next byte to parse, in the buffer
        self._base = 0  # offset of the buffer's first byte in the stream
        self._scanned = 0  # no CR lies between the position and here
        self._stack: list[_Frame] = []
        self._body: tuple[int, int] | None = None  # type and length of a bulk whose header was read
        self._bad: DecodeError | None = None
        self._in_push = False
        self._failure: ProtocolError | None = None

    @property
    def protocol(self) -> int:
        """The RESP version of the stream, 2 or 3."""
        return self._protocol

    @protocol.setter
    def protocol(self, version: int) -> None:
        if version not in _TYPES:
            raise ValueError("protocol must be 2 or 3")
        self._protocol = version
        self._types = _TYPES[version]

    @property
    def is_idle(self) -> bool:
        """Whether the stream stands between two replies, with no byte left over."""
        return self._position == len(self._buffer) and not self._stack and self._body is None and self._failure is None

    @property
    def is_in_push(self) -> bool:
        """Whether what has come of the next reply is the beginning of a push."""
        if self._stack:
            return self._stack[0][0] == _PUSH
        return self._body is None and self._buffer[self._position : self._position + 1] == b">"

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        """Take over bytes of the stream."""
        if self._failure is None:
            self._drop_parsed()
            self._buffer += data

    def get_buffer(self, hint: int) -> memoryview:
        """Return memory to receive into; `received` says how much of it was used."""
        if self._scratch is None:
            self._scratch = bytearray(LARGE_BULK)
        return memoryview(self._scratch)

    def received(self, count: int) -> None:
        """Take over the first `count` bytes of the memory that `get_buffer` gave."""
        if self._scratch is not None:
            self.feed(memoryview(self._scratch)[:count])

    def feed_eof(self) -> None:
        """Say that the stream has ended.

        Raises:
            ProtocolError: It ended inside a reply.
        """
        if self._failure is not None:
            raise self._failure
        if not self.is_idle:
            self._fail("the stream ended inside a reply", len(self._buffer))

    def next_reply(self) -> Any:
        """Return the next reply or push, or NEED_DATA.

        An error reply is returned as a ServerError. A text that is not UTF-8 makes its whole reply a DecodeError;
        with `each` set, only the element of the outer array that holds it.

        Raises:
            ProtocolError: The stream is not RESP, or exceeds a limit; the same for ever after.
        """
        if self._failure is not None:
            raise self._failure.with_traceback(None)
        buffer, size, stack = self._buffer, len(self._buffer), self._stack
        position = self._position
        while True:
            # One step: a body, or a line. It ends with a value to deliver, or goes on.
            if self._body is not None:
                kind, length = self._body
                end = position + length
                if size < end + 2:
                    return self._pause(position, position)
                if buffer[end] != _CR or buffer[end + 1] != _LF:
                    self._fail("a bulk string does not end with CRLF", end)
                self._body = None
                data = bytes(memoryview(buffer)[position:end])
                if kind == _STREAM or kind == 59:
                    if kind == 59:  # a chunk of a streamed string
                        stack[-1][2].append(data)
                        position = end + 2
                        continue
                    value: Any = self._text(data)
                elif kind == 33:
                    value = server_error(data.decode("utf-8", "replace"))
                else:
                    if data[3] != 58:
                        self._fail("a verbatim string has no colon after its format", position, min(length, 40))
                    value = Verbatim(data[:3].decode("latin-1"), self._text(data[4:]))
                position = end + 2
            else:
                if position >= size:
                    return self._pause(position, position)
                kind = buffer[position]
                if kind not in self._types:
                    self._fail(f"no RESP{self._protocol} type begins like this", position)
                if stack and (stack[-1][0] == _STREAM) != (kind == 59):
                    self._fail("a chunk and a streamed string belong together", position)
                if kind == 59 and not stack:
                    self._fail("a chunk and a streamed string belong together", position)
                limit = (
                    self.limits.line if kind in _LINES else MAX_NUMBER if kind in _NUMBERS else MAX_HEADER
                )
                cr = buffer.find(b"\r", max(self._scanned, position + 1))
                if cr < 0 or cr + 1 >= size:
                    if (size if cr < 0 else cr) - position - 1 > limit:
                        self._fail("a line is longer than the limit", position)
                    return self._pause(position, size if cr < 0 else cr)
                if cr - position - 1 > limit:
                    self._fail("a line is longer than the limit", position)
                if buffer[cr + 1] != _LF:
                    self._fail("a CR is not followed by LF", position)
                line = bytes(memoryview(buffer)[position + 1 : cr])
                start, position = position, cr + 2
                if kind == _STREAM and line.isdigit() and (line[0] != 48 or len(line) == 1):
                    length = int(line)
                    if length > self.limits.bulk:
                        self._fail("a bulk string is longer than the limit", start)
                    self._body = kind, length
                    continue
                if kind in _LINES:
                    if b"\n" in line:
                        self._fail("a line holds LF", start)
                    value = self._text(line) if kind == 43 else server_error(line.decode("utf-8", "replace"))
                elif kind == 58:
                    number = _parse_integer(line)
                    if number is None or not -_INT64 <= number < _INT64:
                        self._fail("an integer is not a signed 64-bit decimal", start)
                    value = number
                elif kind in _BULKS:
                    length = self._length(kind, line, start)
                    if length == -2:
                        self._open(_STREAM, -1, start)
                        continue
                    if length >= 0 and (kind != 59 or length):
                        if kind == 61 and length < 4:
                            self._fail("a verbatim string is shorter than its format", start)
                        self._body = kind, length
                        continue
                    value = None
                    if kind == 59:
                        chunks = stack.pop()[2]
                        value = self._text(b"".join(chunks))
                elif kind == 95:
                    if line:
                        self._fail("a null is not empty", start)
                    value = None
                elif kind == 35:
                    if line not in (b"t", b"f"):
                        self._fail("a boolean is neither t nor f", start)
                    value = line == b"t"
                elif kind == 44:
                    if not _DOUBLE.fullmatch(line):
                        self._fail("a double is not a decimal number, inf or nan", start)
                    value = float(line)
                elif kind == 40:
                    value = _parse_integer(line)
                    if value is None:
                        self._fail("a big number is not a decimal", start)
                elif kind == 46:
                    if line:
                        self._fail("an end mark is not empty", start)
                    value = self._end_streamed(start)
                else:
                    count = self._length(kind, line, start)
                    if count == -1:
                        value = None
                    else:
                        self._open(kind, count * 2 if count > 0 and kind in b"%|" else count, start)
                        if count:
                            continue
                        value = self._close()
                        if value is NEED_DATA:
                            continue
                        if kind == _PUSH:
                            self._position = self._scanned = position
                            return value
            # Deliver the value: into the open aggregate, which may complete it, or to the caller.
            while True:
                if not stack:
                    self._position = self._scanned = position
                    if self._bad is not None:
                        value, self._bad = self._bad, None
                    return value
                kind, remaining, items, bad, in_push = stack[-1]
                if self.each and len(stack) == 1 and kind == _ARRAY and self._bad is not None:
                    value, self._bad = self._bad, None
                items.append(value)
                if remaining != 1:
                    stack[-1] = kind, remaining - 1, items, bad, in_push
                    break
                value = self._close()
                if value is NEED_DATA:
                    break
                if kind == _PUSH:  # no reply, no element: it leaves the replies around it as they are
                    self._position = self._scanned = position
                    return value

    def _pause(self, position: int, scanned: int) -> Any:
        self._position, self._scanned = position, scanned
        self._drop_parsed()
        return NEED_DATA

    def _drop_parsed(self) -> None:
        if self._position:
            del self._buffer[: self._position]
            self._base += self._position
            self._scanned -= self._position
            self._position = 0

    def _fail(self, reason: str, position: int, quoted: int = 40) -> NoReturn:
        excerpt = bytes(self._buffer[position : position + quoted])
        self._failure = ProtocolError(reason, offset=self._base + position, excerpt=excerpt)
        self._buffer = bytearray()
        self._stack.clear()
        self._position = self._scanned = 0
        self._body = self._bad = None
        raise self._failure

    def _text(self, data: bytes) -> Any:
        if not (self.push_decode if self._in_push else self.decode):
            return data
        try:
            return data.decode()
        except UnicodeDecodeError:
            bad = DecodeError(data)
            if self._bad is None:
                self._bad = bad
            return bad

    def _length(self, kind: int, line: bytes, start: int) -> int:
        """Return the length or count of a header; -1 is null, -2 streamed."""
        if line.isdigit() and (line[0] != 48 or len(line) == 1):
            length = int(line)
            if kind in _BULKS:
                if length > self.limits.bulk:
                    self._fail("a bulk string is longer than the limit", start)
            elif length > self.limits.elements:
                self._fail("an aggregate has more elements than the limit", start)
            return length
        if line == b"-1" and kind in NULLABLE:
            return -1
        if line == b"?" and self._protocol == 3 and kind in b"$*%~":
            return -2
        self._fail("a length is not a plain decimal", start)

    def _open(self, kind: int, count: int, start: int) -> None:
        if len(self._stack) >= self.limits.depth:
            self._fail("a reply is nested deeper than the limit", start)
        self._stack.append((kind, -1 if count == -2 else count, [], self._bad, self._in_push))
        if kind == _PUSH:
            self._in_push = True

    def _end_streamed(self, start: int) -> Any:
        """Complete the innermost aggregate by its end mark."""
        if not self._stack or self._stack[-1][1] >= 0:
            self._fail("an end mark stands outside a streamed aggregate", start)
        kind, _, items, _, _ = self._stack[-1]
        if kind == _MAP and len(items) % 2:
            self._fail("a streamed map ends after a key", start)
        return self._close()

    def _close(self) -> Any:
        """Turn the innermost frame into its value; NEED_DATA when it was an attribute, which is none."""
        kind, _, items, bad, in_push = self._stack.pop()
        if kind == _ARRAY:
            return items
        if kind == _MAP:
            return map_of(items)
        if kind == _SET:
            return set_of(items)
        if kind == _WRAP:
            return Attributed(items[1], map_of(items[0])) if self.attributes else items[1]
        self._bad = bad
        if kind == _PUSH:
            self._in_push = in_push
            push: Any = Push(items)
            while self._stack and self._stack[-1][0] == _WRAP:
                attributes = self._stack.pop()[2][0]
                if self.attributes:
                    push = Attributed(push, map_of(attributes))
            return push
        self._stack.append((_WRAP, 1, [items], bad, in_push))
        return NEED_DATA
