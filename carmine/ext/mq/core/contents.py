"""Contents of messages as they are stored, and back.

A str is stored as it is, so that every client and the ancestor can read it; everything else is frozen
(docs/freezing.md) or written by the user's serializer, both with a marker. Invariant: what was written here is read as
the same value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from carmine import _checks
from carmine.errors import ThawError, UsageError
from carmine.ext.mq.errors import ContentError
from carmine.freezing import MARKS, NIPPY, USER, Raw, freeze, thaw

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Contents"]

_BARE_NIPPY: Final = b"NPY"
"""How the ancestor's format begins where its client put no marker; a version number follows, no letter."""


class Contents:
    """Turns values into stored bytes and back.

    Args:
        serializer: None or True for carmine's own format, else an object or a pair of `dumps` and `loads`.
        thaw_foreign: Reads what the ancestor has frozen, marker included; None leaves it unread.
    """

    __slots__ = ("_dumps", "_loads", "_thaw_foreign")

    def __init__(self, serializer: Any = None, thaw_foreign: Callable[[bytes], Any] | None = None) -> None:
        self._dumps: Callable[[Any], bytes] | None = None
        self._loads: Callable[[bytes], Any] | None = None
        if serializer is not None and serializer is not True:
            self._dumps, self._loads = (
                serializer if isinstance(serializer, tuple) else (serializer.dumps, serializer.loads)
            )
        self._thaw_foreign = thaw_foreign

    def write(self, value: Any) -> str | Raw:
        """Return a value as it is stored.

        Raises:
            UsageError: It cannot be frozen, or the serializer failed.
        """
        if type(value) is str and not value.startswith(("\0", "NPY")):
            return _checks.text("a message", value)
        if type(value) is Raw:
            return value
        if self._dumps is None or type(value) is str or type(value) is bytes or value is None:
            return freeze(value)
        try:
            data = self._dumps(value)
        except Exception as problem:
            raise UsageError(
                f"the serializer could not write a {type(value).__name__}: it raised {type(problem).__name__}"
            ) from problem
        if not isinstance(data, bytes | bytearray | memoryview):
            raise UsageError(f"dumps() of a serializer must return bytes, not {type(data).__name__}")
        return Raw(USER + data)

    def read(self, data: bytes) -> Any:
        """Return the value that is stored.

        Raises:
            ContentError: It cannot be read; `.is_foreign` where the ancestor has frozen it.
        """
        mark = data[:2]
        if mark == NIPPY or (data[:3] == _BARE_NIPPY and data[3:4] < b" "):
            return self._foreign(data)
        try:
            if mark not in MARKS:
                return data.decode()
            if mark == USER and self._loads is not None:
                return self._loads(data[2:])
            return thaw(data)
        except UnicodeDecodeError:
            reason = "it has no marker and is not UTF-8"
        except ThawError as problem:
            reason = problem.reason
        except KeyboardInterrupt:
            raise
        except BaseException as problem:  # one that leaves by SystemExit must not keep the others from being read
            raise ContentError(f"the serializer raised {type(problem).__name__}") from problem
        raise ContentError(reason)

    def shown(self, data: bytes) -> Any:
        """Return the value that is stored, or its bytes where it cannot be read: for looking at a queue."""
        try:
            return self.read(data)
        except ContentError:
            return Raw(data)

    def _foreign(self, data: bytes) -> Any:
        if self._thaw_foreign is None:
            raise ContentError(
                "it was frozen by Nippy, the Clojure library's format; give the queue a thaw_foreign function",
                is_foreign=True,
            )
        try:
            return self._thaw_foreign(data)
        except KeyboardInterrupt:
            raise
        except BaseException as problem:
            raise ContentError(f"thaw_foreign raised {type(problem).__name__}", is_foreign=True) from problem
