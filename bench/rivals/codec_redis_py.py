"""redis-py's own parser and packer, which it uses where hiredis is missing.

The parser reads from a socket; it is given one that hands out bytes from memory, in pieces as large as it asks for.
"""

from __future__ import annotations

from types import SimpleNamespace

import redis
from redis._parsers.encoders import Encoder
from redis._parsers.resp3 import _RESP3Parser
from redis.connection import PythonRespSerializer

from bench import blobs
from bench.rivals.work import Work, repeated


class Source:
    """What the parser takes for a socket."""

    def __init__(self) -> None:
        self._data = b""
        self._start = 0

    def fill(self, received: bytes) -> None:
        """Offer these bytes next."""
        self._data, self._start = received, 0

    def recv(self, size: int) -> bytes:
        """Return the next bytes, at most ``size``."""
        chunk = self._data[self._start : self._start + size]
        self._start += len(chunk)
        return chunk

    def settimeout(self, _seconds: float | None) -> None:
        """Accept the call that a socket would."""


class Rival:
    """No server is used."""

    def __init__(self, _address: tuple[str, int]) -> None:
        pass

    def versions(self) -> dict[str, str]:
        """Return the package's version."""
        return {"redis": redis.__version__}

    def parse_small(self) -> Work:
        """100 small replies in one piece."""
        return self._parse(blobs.SMALL, blobs.SMALL_COUNT)

    def parse_map(self) -> Work:
        """A map of 1,000 pairs."""
        return self._parse(blobs.MAP)

    def parse_array(self) -> Work:
        """An array of 1,000 bulks."""
        return self._parse(blobs.ARRAY)

    def parse_text(self) -> Work:
        """An array of 1,000 bulks, decoded."""
        return self._parse(blobs.TEXT, decode=True)

    def encode(self) -> Work:
        """SET with a value of 64 bytes."""
        return self._encode(blobs.COMMAND)

    def encode_wide(self) -> Work:
        """HSET with 100 pairs."""
        return self._encode(blobs.WIDE_COMMAND)

    def close(self) -> None:
        """Nothing is open."""

    @staticmethod
    def _encode(words: tuple[str, ...]) -> Work:
        serializer = PythonRespSerializer(6000, Encoder("utf-8", "strict", False).encode)
        work = repeated(serializer.pack, *words)
        return Work(work.run, lambda: b"".join(serializer.pack(*words)))

    @staticmethod
    def _parse(blob: bytes, replies: int = 1, *, decode: bool = False) -> Work:
        source = Source()
        parser = _RESP3Parser(65536)
        encoder = Encoder("utf-8", "strict", decode)
        parser.on_connect(SimpleNamespace(_sock=source, socket_timeout=None, encoder=encoder))
        fill, take = source.fill, parser.read_response

        def run(count: int) -> None:
            for _ in range(count):
                fill(blob)
                for _ in range(replies):
                    take()

        def answer() -> object:
            fill(blob)
            return [take() for _ in range(replies)]

        return Work(run, answer)
