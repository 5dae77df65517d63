"""The event loop that a client belongs to: the first one it is used on, and no other after it."""

from __future__ import annotations

from asyncio import get_running_loop
from typing import TYPE_CHECKING

from carmine.errors import UsageError

if TYPE_CHECKING:
    import asyncio

__all__ = ["Home", "wrong_loop"]


def wrong_loop(address: str, own: asyncio.AbstractEventLoop) -> UsageError:
    """Return the error for use on another event loop than the first one."""
    if own.is_closed():
        return UsageError(
            f"this client of {address} belongs to an event loop that is closed; make a new client inside the loop "
            "that uses it"
        )
    return UsageError(f"this client of {address} belongs to another event loop; make one client for each loop")


class Home:
    """One loop, shared by all that a client consists of.

    Attributes:
        loop: The loop; None before the first use.
    """

    __slots__ = ("_address", "loop")

    def __init__(self, address: str) -> None:
        self.loop: asyncio.AbstractEventLoop | None = None
        self._address = address

    def enter(self) -> asyncio.AbstractEventLoop:
        """Belong to the running loop, or refuse it."""
        running = get_running_loop()
        if self.loop is None:
            self.loop = running
        elif self.loop is not running:
            raise wrong_loop(self._address, self.loop)
        return running

    def is_here(self) -> bool:
        """Whether the running loop is the one, or another is refused; False where the own loop is closed."""
        if self.loop is not None and self.loop.is_closed():
            return False
        return self.enter() is self.loop
