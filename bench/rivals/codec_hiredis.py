"""hiredis's reader and packer alone."""

from __future__ import annotations

import hiredis  # type: ignore[import-not-found]

from bench import blobs
from bench.rivals.work import Work, repeated


class Rival:
    """No server is used."""

    def __init__(self, _address: tuple[str, int]) -> None:
        pass

    def versions(self) -> dict[str, str]:
        """Return the package's version."""
        return {"hiredis": hiredis.__version__}

    def parse_small(self) -> Work:
        """100 small replies in one piece."""
        return self._parse(hiredis.Reader(), blobs.SMALL, blobs.SMALL_COUNT)

    def parse_map(self) -> Work:
        """A map of 1,000 pairs."""
        return self._parse(hiredis.Reader(), blobs.MAP)

    def parse_array(self) -> Work:
        """An array of 1,000 bulks."""
        return self._parse(hiredis.Reader(), blobs.ARRAY)

    def parse_text(self) -> Work:
        """An array of 1,000 bulks, decoded."""
        return self._parse(hiredis.Reader(encoding="utf-8"), blobs.TEXT)

    def encode(self) -> Work:
        """SET with a value of 64 bytes."""
        pack = hiredis.pack_command

        def run(count: int) -> None:
            # The tuple is part of the call here, as the words are arguments elsewhere.
            name, key, value = blobs.COMMAND
            for _ in range(count):
                pack((name, key, value))

        return Work(run, lambda: pack(blobs.COMMAND))

    def encode_wide(self) -> Work:
        """HSET with 100 pairs."""
        return repeated(hiredis.pack_command, blobs.WIDE_COMMAND)

    def close(self) -> None:
        """Nothing is open."""

    @staticmethod
    def _parse(reader: hiredis.Reader, blob: bytes, replies: int = 1) -> Work:
        feed, take = reader.feed, reader.gets

        def run(count: int) -> None:
            for _ in range(count):
                feed(blob)
                for _ in range(replies):
                    take()

        def answer() -> object:
            feed(blob)
            return [take() for _ in range(replies)]

        return Work(run, answer)
