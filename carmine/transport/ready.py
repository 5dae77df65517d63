"""When a Python socket that would block may be tried again.

Every wait goes through select, which gevent and eventlet replace by their own. Nothing here reads or writes.
"""

from __future__ import annotations

import math
import select
import time
from typing import TYPE_CHECKING

from carmine.protocol.limits import LOOK_UP

if TYPE_CHECKING:
    import socket

__all__ = ["direction", "is_ready", "wait_until"]


def is_ready(sock: socket.socket, read: bool, write: bool, seconds: float) -> bool:
    """Wait until the socket can be read or written, at most so long; return whether it can.

    Raises:
        OSError, ValueError: The socket is closed.
    """
    if hasattr(select, "poll"):
        asked = select.poll()
        asked.register(sock, (select.POLLIN if read else 0) | (select.POLLOUT if write else 0))
        return bool(asked.poll(math.ceil(seconds * 1000)))
    me = [sock]
    return any(select.select(me if read else [], me if write else [], me, seconds))


def direction(problem: OSError, own: str) -> str | None:
    """Return what a socket that would block waits for, "read" or "write", or None when it is broken."""
    if isinstance(problem, (BlockingIOError, InterruptedError)):
        return own
    kind = type(problem).__name__  # ssl is not imported for connections that do without it
    return {"SSLWantReadError": "read", "SSLWantWriteError": "write"}.get(kind)


def wait_until(sock: socket.socket, wanted: str, deadline: float) -> bool:
    """Wait in one direction until it is time to try again; False when the deadline has passed."""
    while (left := deadline - time.monotonic()) > 0:
        try:
            if is_ready(sock, wanted == "read", wanted == "write", min(left, LOOK_UP)):
                return True
        except (OSError, ValueError):  # closed in a forked child: the next attempt will tell
            return True
    return False
