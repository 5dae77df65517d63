"""The markers that stand before a frozen value, and bytes that carry one already.

A marker is NUL and one letter. Invariant: no letter is ever given another meaning; values live longer than programs.
"""

from __future__ import annotations

from typing import Final

from carmine.errors import UsageError

__all__ = ["JSON", "MARKS", "NIPPY", "NOTHING", "RAW", "USER", "Raw", "raw"]

RAW: Final = b"\0<"
"""Bytes, as they are. The ancestor writes the same."""
NOTHING: Final = b"\0_"
"""None; nothing follows. The ancestor writes the same."""
JSON: Final = b"\0j"
"""Any other value, as tagged JSON."""
USER: Final = b"\0s"
"""What the serializer that a client was given has written: its own bytes follow."""
NIPPY: Final = b"\0>"
"""What the ancestor freezes everything else with; recognised, never read."""

MARKS: Final = frozenset({RAW, NOTHING, JSON, USER, NIPPY})


class Raw(bytes):
    """Bytes that go out as they are, also where a serializer would put a marker before them."""

    __slots__ = ()


def raw(data: str | bytes | bytearray | memoryview) -> Raw:
    """Return bytes, or a text's UTF-8, as an argument that no serializer touches.

    What was stored so is read as it is, unless it begins with a marker: then `client.with_serializer(None)` reads it.

    Raises:
        UsageError: Neither text nor bytes, or a text that has no UTF-8 form.
    """
    if isinstance(data, str):
        try:
            return Raw(data.encode())
        except UnicodeEncodeError:
            pass
        raise UsageError("raw() takes a str that has a UTF-8 form; this one holds a lone surrogate")
    if not isinstance(data, bytes | bytearray | memoryview):
        raise UsageError(f"raw() takes str or bytes, not {type(data).__name__}")
    return Raw(data)
