"""The zstd freezer: smaller and faster than zlib; an extra below Python 3.14.

Invariants: those of freezers.py. What it writes is one zstd frame with a checksum, as the `zstd` program reads it.
"""

from __future__ import annotations

import sys
from typing import Final

from carmine import _checks
from carmine.errors import MissingExtra
from carmine.ext.tundra.errors import FreezerError
from carmine.ext.tundra.freezers import LARGEST, whole, within

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    try:
        from backports import zstd
    except ModuleNotFoundError as _exc:
        raise MissingExtra("zstd needs backports.zstd below Python 3.14: pip install 'carmine-redis[tundra]'") from _exc

__all__ = ["Zstd"]

_WINDOW_LOG: Final = 27
"""Frames may look back 128 MiB, as far as the format wants every reader to; what needs more memory is refused."""


class Zstd:
    """Compress with zstd.

    Args:
        level: 1 (fast) to 19 (small).
        limit: Bytes that thawing makes at most.
    """

    __slots__ = ("_level", "_limit")

    name: Final = "zstd"

    def __init__(self, level: int = 3, *, limit: int = LARGEST) -> None:
        self._level = _checks.whole("level", level, least=1, most=19)
        self._limit = _checks.whole("limit", limit, least=1)

    def __repr__(self) -> str:
        return f"Zstd({getattr(self, '_level', None)})"  # None where the constructor has refused its arguments

    def freeze(self, data: bytes) -> bytes:
        """Compress into one frame."""
        within(data, self._limit)
        parameter = zstd.CompressionParameter
        options: dict[int, int] = {parameter.compression_level: self._level, parameter.checksum_flag: 1}
        return zstd.compress(data, options=options)

    def thaw(self, data: bytes) -> bytes:
        """Decompress one frame, within the limit."""
        stream = zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: _WINDOW_LOG})
        try:
            thawed = stream.decompress(data, self._limit + 1)
        except zstd.ZstdError as exc:
            raise FreezerError("the frozen bytes are no zstd frame, or damaged") from exc
        whole(thawed, self._limit, is_ended=stream.eof, rest=stream.unused_data if stream.eof else b"")
        return thawed
