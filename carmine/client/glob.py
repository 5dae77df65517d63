"""Patterns: how to look for exactly the name that somebody gave.

A pure room. Redis patterns know `*`, `?`, `[...]` and the backslash, which takes the meaning from what follows it.
"""

from __future__ import annotations

from typing import Final, TypeVar

from carmine.errors import UsageError

__all__ = ["glob_escape"]

S = TypeVar("S", str, bytes)

_SPECIAL: Final = "\\*?["
"""Outside of brackets `]`, `^` and `-` stand for themselves."""
_TEXT: Final = str.maketrans({letter: f"\\{letter}" for letter in _SPECIAL})


def glob_escape(name: S) -> S:
    """Return a pattern that matches this name and nothing else, to be put into a larger one.

    For SCAN, KEYS, PSUBSCRIBE and whatever else takes Redis patterns: `f"queue:{glob_escape(name)}:*"`.

    Args:
        name: Any text or bytes.
    """
    if isinstance(name, str):
        return name.translate(_TEXT)
    if not isinstance(name, bytes):
        raise UsageError(f"glob_escape takes str or bytes, not {type(name).__name__}")
    return name.decode("latin-1").translate(_TEXT).encode("latin-1")
