"""The pure-Python parser: bytes in, replies out, resumable at any byte (docs/protocol.md is the grammar).

It never reads, waits, logs or asks the time; never recurses, never restarts a reply, and never allocates for a
declared count. Its Cython twin in `carmine/_resp.pyx` follows the same paragraphs and raises the same errors
at the same offsets.
"""

from __future__ import annotations

from typing import Any, Final, NoReturn

from carmine.errors import DecodeError, server_error
from carmine.protocol._numbers import is_decimal, parse_integer
from carmine.protocol._stream import Stream
from carmine.protocol.limits import (
    DEFAULT_LIMITS,
    MAX_HEADER,
    MAX_NUMBER,
    NULLABLE,
    RESP2_TYPES,
    Limits,
    bounded,
)
from carmine.protocol.values import NEED_DATA, Attributed, Push, Verbatim, map_of, set_of

__all__ = ["Parser"]

_ARRAY, _MAP, _SET, _PUSH, _ATTRIBUTE, _STRING = b"*%~>|$"
_SIMPLE, _ERROR, _INTEGER, _NULL, _BOOLEAN, _DOUBLE, _BIG, _VERBATIM, _BLOB_ERROR, _CHUNK, _END = b"+-:_#,(=!;."
_WRAP = 0
"""The frame left by a complete attribute: it waits for the one value that the attribute describes."""

_CR, _LF = b"\r\n"
_TYPES: Final = {2: frozenset(RESP2_TYPES), 3: frozenset(RESP2_TYPES + b"_#,(=!%~|>;.")}
_LINES: Final = frozenset(b"+-")
_NUMBERS: Final = frozenset(b",(")
_BULKS: Final = frozenset(b"$=!;")
_COUNTED: Final = frozenset(b"$*%~")
_INT64: Final = 1 << 63
_HEADS: Final = {
    (b"%c%d\r\n" % (kind, count))[:4]: (count * (1 + (kind == _MAP)), 4 + (count > 9))
    for kind, first in ((_STRING, 0), (_ARRAY, 1), (_MAP, 1), (_SET, 1))
    for count in range(first, 100)
}
"""The first four bytes of a short string or aggregate: its length or number of values, and how long its header is.

To look these up is several times quicker than to find the line's end and to check and convert what stands before."""
_NO_HEAD: Final = (0, 0)


class _GoOn:
    """The type of _GO_ON: a step that completed no value."""


_GO_ON: Final = _GoOn()

_Frame = tuple[int, int, list[Any], DecodeError | None, bool]
"""Type byte; how many values make it complete (-1: an end mark does); the values; `_bad` and `_in_push` before it."""


class Parser(Stream):
    """Parse a stream of RESP2 or RESP3 replies.

    Args:
        protocol: 2 or 3. A RESP3 type on a RESP2 stream is a ProtocolError. May be set between two replies.
        decode: Give strings as text (True) or bytes. May be set before each reply.
        limits: Bounds on what is accepted.
        attributes: Wrap a value that has attributes in Attributed; False drops them.
    """

    __slots__ = (
        "_bad",
        "_body",
        "_in_push",
        "_is_push",
        "_limits",
        "_max_depth",
        "_max_bulk",
        "_max_elements",
        "_max_line",
        "_protocol",
        "_stack",
        "_streamed",
        "_types",
        "attributes",
        "decode",
        "each",
        "push_decode",
    )

    def __init__(
        self, protocol: int = 3, decode: bool = False, limits: Limits = DEFAULT_LIMITS, attributes: bool = False
    ) -> None:
        self.protocol = protocol
        self.decode: bool = decode
        self.push_decode: bool = decode
        self.each: bool = False
        self.attributes: bool = attributes
        self._limits = limits
        self._max_depth, self._max_bulk, self._max_elements, self._max_line, _ = bounded(limits)
        super().__init__()
        self._stack: list[_Frame] = []
        self._body: tuple[int, int] | None = None  # type and length of a bulk whose header was read
        self._streamed = 0  # bytes of the streamed string's chunks so far
        self._bad: DecodeError | None = None  # the first string of this reply that is not UTF-8
        self._in_push = False
        self._is_push = False  # a push was completed by the step just done

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
    def limits(self) -> Limits:
        """The bounds on what is accepted."""
        return self._limits

    @property
    def is_idle(self) -> bool:
        """Whether the stream stands between two replies, with no byte left over."""
        return (
            self._position == len(self._data)
            and not (self._pending or self._stack or self._torn)
            and self._body is None
            and self._failure is None
        )

    @property
    def is_in_push(self) -> bool:
        """Whether what has come of the next reply is the beginning of a push; `carmine.transport` asks."""
        if self._stack:
            return self._stack[0][0] == _PUSH
        begun = self._data[self._position : self._position + 1] or self._pending[:1]
        return self._body is None and begun == b">"

    def feed_eof(self) -> None:
        """Say that the stream has ended; replies that were not read before are lost.

        Raises:
            ProtocolError: It ended inside a reply.
        """
        self._check_free()
        if self._failure is not None or self._torn:
            self._refuse()
        if not self.is_idle:
            self._fail("the stream ended inside a reply", len(self._data) + len(self._pending))
        self._ended = True

    def next_reply(self) -> Any:
        """Return the next reply or push, or NEED_DATA.

        An error reply is returned as a ServerError. A text that is not UTF-8 makes its whole reply a DecodeError;
        with `each` set, only the element of the outer array that holds it.

        Raises:
            ProtocolError: The stream is not RESP, or exceeds a limit; the same for ever after.
        """
        self._lent = 0
        if not (self._stack or self._torn) and self._body is None and self._position < len(self._data):
            # The commonest replies, short and whole, need none of what follows.
            data, start = self._data, self._position
            kind = data[start]
            if kind == _STRING:
                count, width = _HEADS.get(data[start : start + 4], _NO_HEAD)
                if not width:
                    end = data.find(b"\r\n", start, start + 20)
                    line = data[start + 1 : end]
                    if end > 0 and line.isdigit() and line[0] != 48:
                        count, width = int(line), end + 2 - start
                start += width
                end = start + count
                if data[end : end + 2] == b"\r\n" == data[start - 2 : start] and count <= self._max_bulk and width:
                    if not self.decode:
                        self._position = end + 2
                        return data[start:end]
                    try:
                        text = data[start:end].decode()
                        self._position = end + 2
                        return text
                    except UnicodeDecodeError:
                        pass
            elif kind == _INTEGER:
                end = data.find(b"\r\n", start)
                line = data[start + 1 : end]
                if 1 < end - start < 19 and line.isdigit():
                    self._position = end + 2
                    return int(line)
            elif data[start : start + 5] == b"+OK\r\n" and self._max_line > 1:
                self._position = start + 5
                return "OK" if self.decode else b"OK"
        self._check_free()
        if self._failure is not None or self._torn:
            self._refuse()
        self._busy = self._torn = True
        try:
            value = self._parse()
            self._torn = False  # stays when anything is raised: half a reply is never gone on with
        finally:
            self._busy = False
        return value

    def _parse(self) -> Any:
        stack = self._stack
        if self._missing is not None and not self._more(*self._missing):
            return NEED_DATA
        while True:
            # One step: a body, or a line. It ends with a value to deliver, or goes on.
            if self._body is not None:
                value = self._take_body()
            else:
                value = self._run() if self._bad is None else _GO_ON
                if value is _GO_ON:
                    value = self._take_line()
            if value is _GO_ON:
                continue
            if value is NEED_DATA:
                if self._missing is None or not self._more(*self._missing):
                    return NEED_DATA
                continue
            # Deliver the value: into the open aggregate, which may complete it, or to the caller.
            while stack and not self._is_push:
                kind, target, items, _, _ = stack[-1]
                if self._bad is not None and self.each and len(stack) == 1 and kind == _ARRAY:
                    value, self._bad = self._bad, None
                items.append(value)
                if len(items) != target:
                    if target < 0 and len(items) > self._max_elements * (1 + (kind == _MAP)):
                        self._fail("an aggregate has more elements than the limit", self._position)
                    break
                value = self._close()
                if value is _GO_ON:
                    break
            else:
                if self._is_push:  # no reply, no element: it leaves the replies around it as they are
                    self._is_push = False
                elif self._bad is not None:
                    value, self._bad = self._bad, None
                return value

    def _run(self) -> Any:
        """Take what is short, common and whole, until something else comes.

        Most replies are such throughout; whatever is rarer, wrong or incomplete is left to the other steps. Returns a
        value that has still to be delivered, or _GO_ON.
        """
        data, position, stack = self._data, self._position, self._stack
        as_text = self.push_decode if self._in_push else self.decode
        resp3 = self._protocol == 3
        kind, target, items, _, _ = stack[-1] if stack else (_WRAP, 1, [], None, False)
        value: Any
        try:
            while target > 0:
                what = data[position]
                if what in _COUNTED:
                    count, width = _HEADS.get(data[position : position + 4], _NO_HEAD)
                    start = position + width
                    if not width:
                        start = data.find(b"\r\n", position, position + 20) + 2
                        line = data[position + 1 : start - 2]
                        if start < 2 or what != _STRING or not line.isdigit() or line[0] == 48:
                            break
                        count = int(line)
                    elif data[start - 1] != _LF:
                        break
                    if what == _STRING:
                        end = start + count
                        if data[end : end + 2] != b"\r\n" or count > self._max_bulk:
                            break
                        value = data[start:end].decode() if as_text else data[start:end]
                        position = end + 2
                    elif len(stack) >= self._max_depth or count > self._max_elements or not (resp3 or what == _ARRAY):
                        break
                    else:
                        kind, target, items = what, count, []
                        stack.append((what, count, items, None, self._in_push))
                        position = start
                        continue
                else:
                    cr = data.find(b"\r\n", position)
                    if cr < 0:
                        break
                    line = data[position + 1 : cr]
                    if what == _INTEGER and line.isdigit() and len(line) < 19:
                        value = int(line)
                    elif what == _SIMPLE and b"\n" not in line and b"\r" not in line and len(line) <= self._max_line:
                        value = line.decode() if as_text else line
                    elif what == _DOUBLE and resp3 and len(line) < MAX_NUMBER and is_decimal(line):
                        value = float(line)
                    elif what == _NULL and resp3 and not line:
                        value = None
                    else:
                        break
                    position = cr + 2
                while len(items) + 1 == target:
                    if not stack or kind in (_PUSH, _WRAP, _ATTRIBUTE):
                        self._position = position
                        return value
                    items.append(value)
                    value = items if kind == _ARRAY else map_of(items) if kind == _MAP else set_of(items)
                    stack.pop()
                    kind, target, items, _, _ = stack[-1] if stack else (_WRAP, 1, [], None, False)
                if target < 0:
                    self._position = position
                    return value
                items.append(value)
        except (IndexError, UnicodeDecodeError):
            pass
        self._position = position
        return _GO_ON

    def _take_body(self) -> Any:
        """Return the value of the bulk whose body begins here; a chunk goes to its string."""
        assert self._body is not None
        kind, length = self._body
        data, start = self._data, self._position
        end = start + length
        if len(data) < end + 2:
            return self._lack(length + 2)
        if data[end] != _CR or data[end + 1] != _LF:
            self._fail("a bulk string does not end with CRLF", end)
        self._body = None
        self._position = end + 2
        whole = data[start:end]
        if kind == _STRING:
            return self._text(whole)
        if kind == _CHUNK:
            self._stack[-1][2].append(whole)
            return _GO_ON
        if kind == _BLOB_ERROR:
            return server_error(whole.decode("utf-8", "replace"))
        if whole[3:4] != b":":
            self._fail("a verbatim string has no colon after its format", start, min(length, 40))
        return Verbatim(whole[:3].decode("latin-1"), self._text(whole[4:]))

    def _take_line(self) -> Any:
        """Return the value of the line that begins here, or open what it is the header of."""
        data, start, stack = self._data, self._position, self._stack
        size = len(data)
        if start >= size:
            return self._lack(1)
        kind = data[start]
        if kind not in self._types:
            self._fail(f"no RESP{self._protocol} type begins like this", start)
        if (kind == _CHUNK) != (bool(stack) and stack[-1][0] == _STRING):
            self._fail("a chunk and a streamed string belong together", start)
        limit = self._max_line if kind in _LINES else MAX_NUMBER if kind in _NUMBERS else MAX_HEADER
        cr = data.find(b"\r", start + 1)
        if (size if cr < 0 else cr) - start - 1 > limit:
            self._fail("a line is longer than the limit", start)
        if cr < 0 or cr + 1 >= size:
            return self._lack(limit + 2, True)
        if data[cr + 1] != _LF:
            self._fail("a CR is not followed by LF", start)
        line = data[start + 1 : cr]
        if kind in b"$*%~>|=!;":
            return self._take_header(kind, line, start, cr + 2)
        value: Any = None
        if kind in _LINES:
            if b"\n" in line:
                self._fail("a line holds LF", start)
            value = self._text(line) if kind == _SIMPLE else server_error(line.decode("utf-8", "replace"))
        elif kind == _INTEGER:
            value = parse_integer(line)
            if value is None or not -_INT64 <= value < _INT64:
                self._fail("an integer is not a signed 64-bit decimal", start)
        elif kind == _NULL:
            if line:
                self._fail("a null is not empty", start)
        elif kind == _BOOLEAN:
            if line not in (b"t", b"f"):
                self._fail("a boolean is neither t nor f", start)
            value = line == b"t"
        elif kind == _DOUBLE:
            if not is_decimal(line):
                self._fail("a double is not a decimal number, inf or nan", start)
            value = float(line)
        elif kind == _BIG:
            value = parse_integer(line)
            if value is None:
                self._fail("a big number is not a decimal", start)
        else:
            if line:
                self._fail("an end mark is not empty", start)
            if not stack or stack[-1][1] >= 0 or stack[-1][0] == _WRAP:
                self._fail("an end mark stands outside a streamed aggregate", start)
            if stack[-1][0] == _MAP and len(stack[-1][2]) % 2:
                self._fail("a streamed map ends after a key", start)
            value = self._close()
        self._position = cr + 2
        return value

    def _take_header(self, kind: int, line: bytes, start: int, position: int) -> Any:
        """Open the bulk or aggregate of this header; return its value where that is complete already."""
        if line.isdigit() and (line[0] != 48 or len(line) == 1):
            count = int(line)
        elif line == b"-1" and kind in NULLABLE:
            count = -1
        elif line == b"?" and self._protocol == 3 and kind in _COUNTED:
            count = -2
        else:
            self._fail("a length is not a plain decimal", start)
        self._position = position
        if kind in _BULKS:
            if count > (self._max_bulk - self._streamed if kind == _CHUNK else self._max_bulk):
                self._fail("a bulk string is longer than the limit", start)
            if count == -1:
                return None
            if count == -2:
                self._open(kind, -1, start)
                self._streamed = 0
            elif kind == _CHUNK and not count:
                return self._text(b"".join(self._stack.pop()[2]))
            elif kind == _VERBATIM and count < 4:
                self._fail("a verbatim string is shorter than its format", start)
            else:
                self._body = kind, count
                if kind == _CHUNK:
                    self._streamed += count
            return _GO_ON
        if count == -1:
            return None
        if count > self._max_elements:
            self._fail("an aggregate has more elements than the limit", start)
        self._open(kind, -1 if count < 0 else count * 2 if kind in (_MAP, _ATTRIBUTE) else count, start)
        return _GO_ON if count else self._close()

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

    def _open(self, kind: int, target: int, start: int) -> None:
        if len(self._stack) >= self._max_depth:
            self._fail("a reply is nested deeper than the limit", start)
        self._stack.append((kind, target, [], self._bad, self._in_push))
        if kind == _PUSH:
            self._in_push = True

    def _close(self) -> Any:
        """Turn the innermost frame into its value; _GO_ON when it was an attribute, which is none."""
        kind, _, items, bad, in_push = self._stack.pop()
        if kind == _ARRAY:
            return items
        if kind == _MAP:
            return map_of(items)
        if kind == _SET:
            return set_of(items)
        if kind == _WRAP:
            return Attributed(items[1], items[0]) if self.attributes else items[1]
        self._bad = bad
        if kind == _PUSH:
            self._in_push = in_push
            self._is_push = True
            push: Any = Push(items)
            while self._stack and self._stack[-1][0] == _WRAP:
                attributes = self._stack.pop()[2][0]
                if self.attributes:
                    push = Attributed(push, attributes)
            return push
        self._stack.append((_WRAP, 2, [map_of(items)], bad, in_push))
        return _GO_ON

    def _fail(self, reason: str, position: int, quoted: int = 40) -> NoReturn:
        self._stack.clear()
        self._body = self._bad = None
        super()._fail(reason, position, quoted)
