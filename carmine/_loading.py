"""Modules that are loaded late, in the middle of a program; nobody forks while one of them is half loaded.

A module that one thread is loading is locked for the others, and a forked child has only the thread that forked: what
was locked then would stay so, and whoever asked for it in the child would wait for ever.
"""

from __future__ import annotations

import contextlib
import os
import threading
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["load", "loading"]

_gate = threading.RLock()  # held for a moment only, but by who forks; a signal's handler may come in
_under_way: list[tuple[int, str]] = []  # of which thread, and what; one that was struck may have left its own behind


def load(name: str) -> Any:
    """Return the module, loaded if it was not."""
    with loading(name):
        return import_module(name)


@contextlib.contextmanager
def loading(name: str) -> Iterator[None]:
    """Load the module inside the block; another thread that forks waits for it."""
    mine = (threading.get_ident(), name)
    with _gate:
        _under_way.append(mine)
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):  # who waited to fork took it for done
            _under_way.remove(mine)


def _before_fork() -> None:
    """Have what the other threads are loading loaded, and keep them from beginning anew until the child is there."""
    _gate.acquire()
    me = threading.get_ident()
    while others := [entry for entry in _under_way if entry[0] != me]:
        _gate.release()
        for entry in others:
            with contextlib.suppress(Exception):  # it is told to the thread that asked for it
                import_module(entry[1])
            with contextlib.suppress(ValueError):
                _under_way.remove(entry)
        _gate.acquire()


_register: Callable[..., None] | None = getattr(os, "register_at_fork", None)
if _register is not None:
    _register(before=_before_fork, after_in_parent=_gate.release, after_in_child=_gate.release)
