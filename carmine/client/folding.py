"""How a fold over a walk ends early, and how it knows what it has seen. Pure."""

from __future__ import annotations

from typing import Any

__all__ = ["Reduced", "mark_of", "reduced"]


class Reduced:
    """The final value of a fold that ends before its walk does."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value: Any = value


def reduced(value: Any) -> Reduced:
    """Return what a function given to `reduce_scan` or `reduce_hscan` returns to end there.

    Args:
        value: The result.
    """
    return Reduced(value)


def mark_of(field: Any) -> Any:
    """Return something hashable that only this field has: a thawed one may have no hash, or be equal to another."""
    return field if isinstance(field, str | bytes) else (repr(field),)
