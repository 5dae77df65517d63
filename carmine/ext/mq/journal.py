"""What the queue says in the log. A log that fails, on a full disk say, breaks nothing: no loop ends by it.

Names of queues and mids are cut and quoted, contents never get here.
"""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing import Final

__all__ = ["inform", "named", "warn"]

_log: Final = logging.getLogger("carmine.mq")


def warn(text: str, *args: object, error: BaseException | None = None) -> None:
    """Write a warning, with the traceback of an error if one is given."""
    with contextlib.suppress(Exception):
        _log.warning(text, *args, exc_info=error, stacklevel=2)


def inform(text: str, *args: object) -> None:
    """Write what is good to know."""
    with contextlib.suppress(Exception):
        _log.info(text, *args, stacklevel=2)


def named(message: Any) -> tuple[str, str, int]:
    """Return what a line tells of a message: its queue, its mid and the attempt."""
    return message.queue.name[:40], message.mid[:40], message.attempt
