"""A monitor that is ready to use: it warns when a queue is longer than it should be."""

from __future__ import annotations

import logging
import threading
from time import monotonic
from typing import TYPE_CHECKING, Any

from carmine import _checks

if TYPE_CHECKING:
    from collections.abc import Callable

    from carmine.types import Seconds

__all__ = ["monitor_fn"]

_log = logging.getLogger("carmine.mq")


def monitor_fn(max_size: int, every: Seconds = 600.0) -> Callable[[int, int, Any, Any], None]:
    """Return a `monitor` for workers that logs a warning while a queue has more messages than it should.

    Args:
        max_size: How many are all right.
        every: Seconds between two warnings, at least.
    """
    most, pause = _checks.whole("max_size", max_size), _checks.seconds("every", every)
    guard, quiet_until = threading.Lock(), [float("-inf")]

    def monitor(queue_size: int, dry_runs: int, poll: Any, worker: Any) -> None:
        with guard:
            now = monotonic()
            if queue_size <= most or now < quiet_until[0]:
                return
            quiet_until[0] = now + pause
        _log.warning("%r has %d messages to handle, more than %d", worker, queue_size, most)

    return monitor
