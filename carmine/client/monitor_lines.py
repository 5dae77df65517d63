r"""The lines of MONITOR: `1339518083.107412 [0 127.0.0.1:60866] "keys" "*"`. Pure, for both worlds.

A word is quoted as in a C string: \\ \" \n \r \t \a \b, and \xHH for each other byte that is not printable ASCII.
"""

from __future__ import annotations

import re
from typing import Any, Final, Generic, NamedTuple, TypeVar

from carmine.errors import ProtocolError

__all__ = ["MonitorLine", "parse_line"]

T = TypeVar("T")

_LINE: Final = re.compile(rb'(\d+\.\d+) \[(\d+) (.*?)\] (".*")', re.DOTALL)
_WORD: Final = re.compile(rb'"((?:[^"\\]|\\.)*)"(?: |$)', re.DOTALL)
_ESCAPE: Final = re.compile(rb"\\(x[0-9a-fA-F]{2}|.)", re.DOTALL)
_PLAIN: Final = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"a": b"\a", b"b": b"\b"}


class MonitorLine(NamedTuple, Generic[T]):
    """A command that the server executed."""

    time: float
    """When, by the server's clock: seconds since the epoch."""
    db: int
    address: str
    """Who sent it: host and port, "unix:" and a path, or "lua" for a script."""
    words: list[T]
    """The command; as text, bytes that are not UTF-8 show as backslashed hexadecimals."""


def parse_line(line: bytes, text: bool) -> MonitorLine[Any]:
    """Return what a line says.

    Raises:
        ProtocolError: It is no line of MONITOR.
    """
    found = _LINE.fullmatch(line)
    if found is None:
        raise ProtocolError("a line of MONITOR that Redis does not document", offset=0, excerpt=line[:40])
    at, db, address, rest = found.groups()
    words: list[Any] = []
    position = 0
    while position < len(rest):
        word = _WORD.match(rest, position)
        if word is None:
            raise ProtocolError("a word in a line of MONITOR is not quoted", offset=position, excerpt=b"")
        raw = _ESCAPE.sub(_unescape, word[1])
        words.append(raw.decode(errors="backslashreplace") if text else raw)
        position = word.end()
    return MonitorLine(float(at), int(db), address.decode(errors="backslashreplace"), words)


def _unescape(found: re.Match[bytes]) -> bytes:
    code = found[1]
    if len(code) == 3:
        return bytes((int(code[1:], 16),))
    return _PLAIN.get(code, code)
