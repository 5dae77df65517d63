"""What clients say to a server, by the server's own MONITOR: round trips are counted, not timed."""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING, Final, Self

from tests.lab.wire import RawClient

if TYPE_CHECKING:
    from types import TracebackType

    from tests.lab.servers import RedisServer

_LINE: Final = re.compile(rb"\d+\.\d+ \[\d+ ([^\]]*)\] (.*)", re.DOTALL)
_WORD: Final = re.compile(rb'"((?:[^"\\]|\\.)*)"')
_HANDSHAKE: Final = {"HELLO", "CLIENT", "SELECT", "AUTH"}
_numbers = itertools.count()


class Traffic:
    """The commands of the clients on TCP, since the block began; not those of a script, nor the laboratory's own.

    Args:
        server: Whose MONITOR is read, over its unix socket.
    """

    def __init__(self, server: RedisServer) -> None:
        self._server = server

    def __enter__(self) -> Self:
        self._raw = RawClient(str(self._server.unix_path))
        assert self._raw.call("MONITOR") == b"OK"
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._raw.close()

    def take(self) -> list[list[str]]:
        """Return the commands since the block began, or since the last call: their words as MONITOR shows them."""
        end = f"end-of-traffic-{next(_numbers)}"
        self._server.call("ECHO", end)
        found: list[list[str]] = []
        while True:
            line = self._raw.read()
            assert isinstance(line, bytes)
            if end.encode() in line:
                return found
            told = _LINE.fullmatch(line)
            assert told is not None, line
            words = [word.decode() for word in _WORD.findall(told[2])]
            if not told[1].startswith((b"unix:", b"lua")) and words[0].upper() not in _HANDSHAKE:
                found.append(words)

    def names(self) -> list[str]:
        """Return the names of the same commands."""
        return [words[0].upper() for words in self.take()]
