"""What an error reporter would show of an exception: every message, note and local of every frame it passed."""

from __future__ import annotations

import traceback

CANARY = "CANARY-9f3"


def shown(error: BaseException) -> str:
    """Return all of it, except for the frame of the test itself, which holds the secret on purpose."""
    outer = error.__traceback__
    report = traceback.TracebackException(
        type(error), error, outer.tb_next if outer is not None else None, capture_locals=True
    )
    return "".join(report.format()) + repr(error) + repr(error.args) + repr(vars(error))
