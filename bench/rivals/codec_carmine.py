"""carmine's parser and encoder alone; the twin is the one CARMINE_IMPL names."""

from __future__ import annotations

from importlib import metadata

from bench import blobs
from bench.rivals.work import Work, repeated
from carmine import protocol


class Rival:
    """No server is used."""

    def __init__(self, _address: tuple[str, int]) -> None:
        pass

    def versions(self) -> dict[str, str]:
        """Return the package's version and the twin."""
        return {"carmine": metadata.version("carmine-redis"), "twin": protocol.__impl__}

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

    def drip_64k(self) -> Work:
        """64 KiB in pieces of one byte."""
        return self._drip(64 * 1024)

    def drip_1m(self) -> Work:
        """1 MiB in pieces of one byte."""
        return self._drip(1024 * 1024)

    def encode(self) -> Work:
        """SET with a value of 64 bytes."""
        return repeated(protocol.encode, *blobs.COMMAND)

    def encode_wide(self) -> Work:
        """HSET with 100 pairs."""
        return repeated(protocol.encode, *blobs.WIDE_COMMAND)

    def close(self) -> None:
        """Nothing is open."""

    @staticmethod
    def _parse(blob: bytes, replies: int = 1, *, decode: bool = False) -> Work:
        parser = protocol.Parser(decode=decode)
        feed, take = parser.feed, parser.next_reply

        def run(count: int) -> None:
            for _ in range(count):
                feed(blob)
                for _ in range(replies):
                    take()

        def answer() -> object:
            feed(blob)
            return [take() for _ in range(replies)]

        return Work(run, answer)

    @staticmethod
    def _drip(size: int) -> Work:
        parser = protocol.Parser()
        pieces = [bytes([byte]) for byte in blobs.drip(size)]
        feed, take, need = parser.feed, parser.next_reply, protocol.NEED_DATA

        def once() -> object:
            reply: object = need
            for piece in pieces:
                feed(piece)
                reply = take()
            return reply

        return repeated(once)
