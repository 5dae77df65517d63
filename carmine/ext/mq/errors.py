"""The queue's own exceptions; what the network and the server do wrong keeps its classes of carmine.errors."""

from __future__ import annotations

from carmine.errors import CarmineError

__all__ = ["ContentError", "LayoutError", "QueueError"]


class QueueError(CarmineError):
    """Something is wrong with a queue or a message, and neither the caller nor the network is the cause."""


class LayoutError(QueueError):
    """The queue was written by a newer carmine, whose layout this one does not know; nothing was changed."""


class ContentError(QueueError):
    """A message's content cannot be read; `.reason` says why, the bytes stay where they are.

    `.is_foreign` tells that it is in the ancestor's format, which Clojure reads and a `thaw_foreign` function may.
    """

    reason: str
    is_foreign: bool

    def __init__(self, reason: str, *, is_foreign: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.is_foreign = is_foreign

    def __str__(self) -> str:
        """Say what is wrong with it."""
        return f"the message's content cannot be read: {self.reason}"
