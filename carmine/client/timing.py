"""The public `deadline`, and what it leaves of each wait: deadline.py with the clock bound to it."""

from __future__ import annotations

import math
from time import monotonic
from typing import TYPE_CHECKING

from carmine import _checks
from carmine.client.deadline import Deadline, limit
from carmine.errors import DeadlineExceeded

if TYPE_CHECKING:
    from carmine.types import Seconds

__all__ = ["after", "bounded", "deadline"]


def deadline(seconds: Seconds) -> Deadline:
    """Return a context manager that bounds pool wait, connect, retries and reads of all calls in its block.

    Each call ends in time, with the error of what it waited for (PoolTimeout, ConnectTimeout, ReadTimeout ...), which
    is a TimeoutError; one that would begin too late is not sent. Deadlines nest, and the shortest counts. A plain
    `with` serves both worlds; tasks made inside inherit it, threads do not.

    Args:
        seconds: How long the block may take, as a number or a timedelta; 0 lets nothing be sent.

    Raises:
        UsageError: Not a duration, or a negative one.
    """
    return Deadline(_checks.seconds("deadline", seconds), monotonic)


def bounded(seconds: float | None, usual: float | None, what: str) -> float | None:
    """Return the seconds that a call may take, within the caller's deadline.

    Args:
        seconds: What the call asks for; None for the usual.
        usual: What it takes otherwise; None for no limit.
        what: What is about to be sent, for the message.

    Raises:
        DeadlineExceeded: The time is over; nothing was sent.
    """
    until = limit()
    if until == math.inf:
        return seconds
    left = until - monotonic()
    if left <= 0.0:
        raise DeadlineExceeded(f"the time of carmine.deadline() was over before {what} was sent")
    own = usual if seconds is None else seconds
    return left if own is None else min(own, left)


def after(seconds: float | None) -> float:
    """Return the moment so many seconds from now, or that of `carmine.deadline()` if it is earlier."""
    return min(limit(), math.inf if seconds is None else monotonic() + seconds)
