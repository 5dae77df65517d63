"""Something for one call at a time, such as the reading side of a socket."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Seat", "taken"]


class Seat:
    """Whose turn it is, and of which thread.

    Nobody waits for it. Taking it is one step that names the owner as well: a lock knows none, and one thread could not
    tell a call under way from what a signal handler has left behind when it raised between two lines.
    """

    __slots__ = ("_taken",)

    def __init__(self) -> None:
        self._taken: dict[str, list[int]] = {}

    def take(self) -> bool:
        """Take it, if it is free; a thread that has it already is refused like any other."""
        mine = [threading.get_ident()]
        return self._taken.setdefault("by", mine) is mine

    def leave(self) -> None:
        """Let it go."""
        self._taken.clear()

    @property
    def is_taken(self) -> bool:
        """Whether somebody has it."""
        return bool(self._taken)

    @property
    def is_mine(self) -> bool:
        """Whether this thread has it: in a call further out, or because one was struck."""
        return self._taken.get("by") == [threading.get_ident()]


@contextlib.contextmanager
def taken(*seats: Seat) -> Iterator[bool]:
    """Have those that are free, inside the block; gives whether all of them were."""
    mine = [seat for seat in seats if seat.take()]
    try:
        yield len(mine) == len(seats)
    finally:
        for seat in mine:
            seat.leave()
