"""What the queue's methods take and give, and how the replies of its scripts become that.

Replies come as str or as bytes: a pipeline reads them as its client does.
"""

from __future__ import annotations

from typing import Any, Final, Literal, NamedTuple, TypeAlias, cast

from carmine import _checks
from carmine.errors import UsageError

__all__ = [
    "CHUNK",
    "DeadLetter",
    "Enqueued",
    "Entry",
    "How",
    "MessageStatus",
    "Outcome",
    "QueueStatus",
    "QueuedMessage",
    "Result",
    "entry_words",
    "how_of",
    "milliseconds",
    "read_each",
    "read_enqueued",
    "read_status",
    "told",
]

CHUNK: Final = 500
"""Messages one call of a script takes at most: Lua cannot hand more than about 8,000 words to one command."""

MessageStatus: TypeAlias = Literal[
    "queued",
    "queued-with-backoff",
    "locked",
    "locked-with-requeue",
    "done-awaiting-gc",
    "done-with-backoff",
    "done-with-requeue",
]

Outcome: TypeAlias = Literal["success", "retry", "error"]
How: TypeAlias = Literal["done", "retry", "back", "dead"]

_LONGEST_ERROR: Final = 1_000
"""Characters of an error that a dead letter keeps."""


class Enqueued(NamedTuple):
    """What became of one message that was to be enqueued.

    Attributes:
        success: Whether it was taken.
        mid: Its id, given or made.
        action: "added" as a new message, or behind the one that is handled now; "updated": it replaced what waited.
        error: Why it was not: the mid is in the queue, is being handled, rests after it was handled; or the queue has
            as many messages as it may hold.
    """

    success: bool
    mid: str | None
    action: Literal["added", "updated"] | None
    error: Literal["already-queued", "locked", "backoff", "full"] | None


_ACTIONS: Final[dict[int, Literal["added", "updated"]]] = {1: "added", 2: "updated"}
_ERRORS: Final[dict[int, Literal["already-queued", "locked", "backoff", "full"]]] = {
    -1: "already-queued",
    -2: "locked",
    -3: "backoff",
    -4: "full",
}


class Entry(NamedTuple):
    """A message for `enqueue_many` with options of its own; they mean what those of `enqueue` mean."""

    msg: Any
    mid: str | None = None
    backoff: Any = None
    lease: Any = None
    can_update: bool = False
    can_requeue: bool = False
    reset_backoff: bool = False


class QueueStatus(NamedTuple):
    """How many messages a queue has, each counted once by what it is now; `dead` letters are beside the total."""

    queued: int
    locked: int
    backoff: int
    done: int
    dead: int
    total: int


class QueuedMessage(NamedTuple):
    """A message as it stands in the queue; a content that cannot be read is `carmine.raw` bytes."""

    mid: str
    content: Any
    status: MessageStatus
    attempts: int
    backoff: float
    age: float


class DeadLetter(NamedTuple):
    """A message whose last attempt failed: its claims, the error, and the seconds since 1970 (server's clock)."""

    mid: str
    content: Any
    attempts: int
    error: str
    born: float
    died: float


class Result(NamedTuple):
    """What a handler makes of a message.

    Attributes:
        status: "success"; "retry": once more; "error": it is over, without another attempt.
        backoff: Seconds to rest: before the next attempt, or, after a success, to refuse the same mid (dedupe window).
            None leaves it to the worker's policy.
        error: What went wrong, for the log and the dead letter.
    """

    status: Outcome = "success"
    backoff: Any = None
    error: object = None


def how_of(result: Result | str) -> tuple[How, int, str]:
    """Return a result as the words of finish.lua: how, backoff in ms, error.

    Raises:
        UsageError: No status that there is, or a backoff that is none.
    """
    status, backoff, error = (result, None, None) if isinstance(result, str) else result
    if status not in ("success", "retry", "error"):
        raise UsageError('the status of a result is "success", "retry" or "error"')
    return ("retry" if status == "retry" else "done"), milliseconds("backoff", backoff), told(error)


def told(error: object) -> str:
    """Return an error as the text that is kept of it."""
    if error is None:
        return ""
    try:
        text = f"{type(error).__name__}: {error}" if isinstance(error, BaseException) else str(error)
    except BaseException as problem:  # noqa: BLE001 - the user's __str__; a message must come to its end without it
        text = f"{type(error).__name__}, whose text cannot be told: {type(problem).__name__}"
    return text[:_LONGEST_ERROR].encode(errors="backslashreplace").decode()


def milliseconds(name: str, value: Any, least: float = 0.0) -> int:
    """Return a duration as whole milliseconds, rounded up so that something stays something; None is 0."""
    if value is None:
        return 0
    return -int(-_checks.seconds(name, value, least=least) * 1000 // 1)


def entry_words(
    mid: str,
    content: Any,
    backoff: Any,
    lease: Any,
    can_update: bool,
    can_requeue: bool,
    reset_backoff: bool,
    *,
    drawn: bool,
) -> tuple[Any, ...]:
    """Return one message as the five words that enqueue.lua takes; `drawn` is for a mid made for this call alone."""
    if backoff is not None:
        backoff = milliseconds("backoff", backoff)
    if lease is not None:
        lease = milliseconds("lease", lease, 0.001)
    flags = 8 if drawn else 0
    if can_update or can_requeue or reset_backoff:
        for name, value in (("can_update", can_update), ("can_requeue", can_requeue), ("reset_backoff", reset_backoff)):
            _checks.flag(name, value)
        flags += can_update + 2 * can_requeue + 4 * reset_backoff
    return mid, content, backoff or 0, lease or 0, flags


def read_enqueued(mid: str, code: int) -> Enqueued:
    """Return what enqueue.lua says of one message."""
    return Enqueued(code > 0, mid, _ACTIONS.get(code), _ERRORS.get(code))


def read_each(mids: list[str], codes: list[int]) -> list[Enqueued]:
    """Return what enqueue.lua says of each message."""
    return [read_enqueued(mid, code) for mid, code in zip(mids, codes, strict=True)]


def read_status(raw: Any) -> MessageStatus | None:
    """Return what message_status.lua says."""
    return cast("MessageStatus | None", raw.decode() if isinstance(raw, bytes) else raw)
