"""The signals that end a worker, heard in both worlds, whichever thread the system gives them to.

TERM and INT: the first asks for a drain, the second for the messages back, and a third ends the process as the system
does. HUP means nothing: a worker outlives the terminal it was started from. A process that a handler forks has none of
this.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType, TracebackType

__all__ = ["Ears", "hear_no_more", "hear_tasks"]

_ENDS: Final = (signal.SIGTERM, signal.SIGINT)


def hear_no_more() -> None:
    """Leave the next signal to the system."""
    for number in _ENDS:
        signal.signal(number, signal.SIG_DFL)


def _mind_the_others() -> None:
    """Ignore hangups, and let the processes that handlers start have signals as they always are."""
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, _nothing)  # not SIG_IGN, which programs that handlers start would inherit
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_be_another)


def _be_another() -> None:
    """Forget the worker's ears in a forked process: what it is told is not for the worker, whose socket it shares."""
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _nothing(number: int, frame: FrameType | None) -> None:
    """Do nothing: the interpreter has written the number where the ears listen."""


class Ears:
    """Hears the signals in the main thread, which waits for nothing else."""

    def __init__(self) -> None:
        self._near, self._far = socket.socketpair()
        self._far.setblocking(False)

    def __enter__(self) -> Self:
        """Begin to hear; what comes from now on is not lost."""
        signal.set_wakeup_fd(self._far.fileno(), warn_on_full_buffer=False)
        for number in _ENDS:
            signal.signal(number, _nothing)
        _mind_the_others()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        """Hear no more."""
        signal.set_wakeup_fd(-1)
        self._near.close()
        self._far.close()

    def wait(self) -> bool:
        """Wait for a signal that ends a worker; False when it was `wake` instead."""
        while (number := self._near.recv(1)[0]) not in _ENDS:
            if not number:
                return False
        return True

    def wake(self) -> None:
        """Have `wait` return, from another thread."""
        self._far.send(b"\0")


def hear_tasks(told: Callable[[], object]) -> None:
    """Have a function called in the running event loop for each signal that ends a worker."""
    loop = asyncio.get_running_loop()
    for number in _ENDS:
        try:
            loop.add_signal_handler(number, told)
        except NotImplementedError:  # Windows, whose loop is woken by each signal
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(told))
    _mind_the_others()
