"""A session's contents as stored bytes, and back; the header that stands before them.

The stored value is one line of numbers and then the contents, frozen (docs/freezing.md) or written by the user's
serializer, with its marker. The line is `1 <revision> <created> <end> <idle>`: the version of this layout; how often
the contents were written; milliseconds since 1970, by the server's clock, when the session began and when it ends at
the latest (0: never); milliseconds that it may be idle (0: for ever, `-`: as long as its store says). The scripts write
and read the line, this room only looks behind it. Invariants: reading runs no code but the given serializer's; what is
larger than the limit is refused before it is sent.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from carmine.errors import ThawError, UsageError
from carmine.ext.sessions.errors import SessionTooLarge, UnreadableSession
from carmine.freezing import USER, freeze, thaw

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Contents", "behind_header"]

_HEADER: Final = re.compile(rb"1 \d+ \d+ \d+ (?:\d+|-)\n")
_LONGEST_HEADER: Final = 96
"""Bytes; the scripts read as many to find the header."""


def behind_header(stored: bytes) -> bytes:
    """Return the contents of a stored session, still frozen.

    Raises:
        UnreadableSession: It has no header, or that of a later layout.
    """
    found = _HEADER.match(stored, 0, _LONGEST_HEADER)
    if found is None:
        raise UnreadableSession("it does not begin with the header of this version")
    return stored[found.end() :]


class Contents:
    """Turns a session's dict into bytes and back.

    Args:
        serializer: None for carmine's own format, else a checked object or pair of `dumps` and `loads`.
        max_size: How many bytes are stored at most.
    """

    __slots__ = ("_dumps", "_loads", "_max_size")

    def __init__(self, serializer: Any, max_size: int) -> None:
        self._dumps: Callable[[Any], bytes] | None = None
        self._loads: Callable[[bytes], Any] | None = None
        if serializer is not None and serializer is not True:
            self._dumps, self._loads = (
                serializer if isinstance(serializer, tuple) else (serializer.dumps, serializer.loads)
            )
        self._max_size = max_size

    def write(self, data: Mapping[str, Any]) -> bytes:
        """Return contents as they are stored.

        Raises:
            UsageError: They are no mapping, or hold what cannot be frozen; or the serializer failed.
            SessionTooLarge: They take more than `max_size` bytes.
        """
        if not isinstance(data, Mapping):
            raise UsageError(f"a session's contents are a dict, not {type(data).__name__}")
        plain = data if type(data) is dict else dict(data)
        frozen = freeze(plain) if self._dumps is None else USER + self._dumped(plain)
        if len(frozen) > self._max_size:
            raise SessionTooLarge(len(frozen), self._max_size)
        return bytes(frozen)

    def read(self, frozen: bytes) -> dict[str, Any]:
        """Return the contents that were written.

        Raises:
            UnreadableSession: The bytes are none, or hold something else than a dict.
        """
        try:
            loads = self._loads if frozen[:2] == USER else None
            made = thaw(frozen) if loads is None else loads(frozen[2:])
        except ThawError as problem:
            reason = problem.reason
        except Exception as problem:  # noqa: BLE001 - the user's own function may raise anything
            reason = f"the serializer raised {type(problem).__name__}"
        else:
            if isinstance(made, dict):
                return made
            reason = f"they are no dict but {type(made).__name__}"
        raise UnreadableSession(reason)

    def _dumped(self, data: dict[str, Any]) -> bytes:
        assert self._dumps is not None
        try:
            made = self._dumps(data)
        except Exception as problem:
            raise UsageError(f"the serializer could not write the session: it raised {type(problem).__name__}") from (
                problem
            )
        if not isinstance(made, bytes | bytearray | memoryview):
            raise UsageError(f"dumps() of a serializer must return bytes, not {type(made).__name__}")
        return bytes(made)
