"""The bytes of a stream on their way into the pure parser: taken over, joined when needed, refused for ever.

It knows nothing of RESP but that a line ends with CR. Invariants: no byte is looked at twice for want of others, so
that a value in many pieces costs no more than one in few; once refused, a stream stays refused.
"""

from __future__ import annotations

from typing import Final, NoReturn

from carmine.errors import ProtocolError, UsageError
from carmine.protocol.limits import LARGE_BULK
from carmine.protocol.values import NEED_DATA, NeedData

__all__ = ["Stream"]

_AT_REST: Final = 16384
"""Bytes of the memory that get_buffer gives."""


class Stream:
    """What has come and is not parsed, and how far parsing is."""

    __slots__ = (
        "_base",
        "_busy",
        "_data",
        "_ended",
        "_failure",
        "_lent",
        "_missing",
        "_pending",
        "_position",
        "_scratch",
        "_seen",
        "_torn",
    )

    def __init__(self) -> None:
        self._data = b""  # what is being parsed
        self._position = 0  # of the next byte to parse, in the data
        self._base = 0  # offset of the data's first byte in the stream
        self._pending = bytearray()  # what came since
        self._missing: tuple[int, bool] | None = None  # what the data lack, as _more wants it
        self._seen = 0  # no CR lies before this in `_pending`
        self._scratch = bytearray()
        self._lent = 0  # bytes that get_buffer gave last
        self._failure: ProtocolError | None = None
        self._ended = False
        self._busy = False  # somebody is inside a call
        self._torn = False  # a call is changing the state; after it: it was interrupted

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        """Take over bytes of the stream; what comes after a ProtocolError is ignored.

        Raises:
            ProtocolError: The stream had ended.
        """
        taken = data if type(data) is bytes else memoryview(data).cast("B").tobytes()  # which may run anything
        self._check_free()
        self._take_over(taken)

    def get_buffer(self, hint: int) -> memoryview:
        """Return memory to receive into; `received` says how much of it was used."""
        self._check_free()
        self._lent = min(max(hint, _AT_REST), LARGE_BULK)
        if len(self._scratch) != self._lent:
            self._scratch = bytearray(self._lent)
        return memoryview(self._scratch)

    def received(self, count: int) -> None:
        """Take over the first `count` bytes of the memory that `get_buffer` gave.

        Raises:
            ValueError: That is more than it gave, or it was not asked since the last bytes.
            ProtocolError: The stream had ended.
        """
        self._check_free()
        if not 0 <= count <= self._lent:
            raise ValueError("more bytes than get_buffer gave")
        self._take_over(memoryview(self._scratch)[:count].tobytes())

    def _check_free(self) -> None:
        """Refuse a second user: a parser belongs to one connection, which has one user at a time."""
        if self._busy:
            raise UsageError("this parser is in use by another thread")

    def _take_over(self, data: bytes) -> None:
        self._lent = 0
        if self._failure is not None or self._torn:
            return
        if self._ended and data:
            self._fail("bytes came after the end of the stream", len(self._data) + len(self._pending))
        self._torn = True  # until every byte is in
        if self._position == len(self._data) and not self._pending:
            self._base += self._position
            self._data, self._position, self._missing = data, 0, None
        else:
            self._pending += data
        self._torn = False

    def _more(self, needed: int, is_line: bool) -> bool:
        """Add what came to the data, if that can complete the step they were too short for.

        A step lacks `needed` bytes in all, or a CR if it is a line; until these are there nothing is looked at again,
        so that a value in many pieces costs no more than one in few.
        """
        pending, data, position = self._pending, self._data, self._position
        if not pending:
            return False
        if len(data) - position + len(pending) < needed and not (
            is_line and (data[-1:] == b"\r" or pending.find(b"\r", self._seen) >= 0)
        ):
            self._seen = len(pending)
            return False
        self._missing = None
        self._seen = 0
        self._data = b"".join((data[position:], pending)) if position < len(data) else bytes(pending)
        self._pending = bytearray()
        self._base += position
        self._position = 0
        return True

    def _lack(self, needed: int, is_line: bool = False) -> NeedData:
        self._missing = needed, is_line
        return NEED_DATA

    def _fail(self, reason: str, position: int, quoted: int = 40) -> NoReturn:
        """Refuse the stream, now and for ever, for what stands at `position` of the data."""
        excerpt = self._data[position : position + quoted]
        if position < len(self._data):  # a line's or body's first bytes may be all of it that was looked at
            excerpt += bytes(self._pending[: quoted - len(excerpt)])
        self._data, self._pending, self._position = b"", bytearray(), 0
        self._missing = None
        self._failure = ProtocolError(reason, offset=self._base + position, excerpt=excerpt)
        raise self._failure

    def _refuse(self) -> NoReturn:
        """Raise the error that ended the stream."""
        if self._failure is None:
            self._fail("an earlier call was interrupted inside a reply", self._position, 0)
        raise self._failure.with_traceback(None)
