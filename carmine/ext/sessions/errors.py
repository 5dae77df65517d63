"""What sessions raise besides the client's own errors. Pure. Invariant: no message holds an id or any contents."""

from __future__ import annotations

from carmine.errors import CarmineError, UsageError

__all__ = [
    "SessionError",
    "SessionGone",
    "SessionSealed",
    "SessionTooLarge",
    "SessionUnavailable",
    "UnreadableSession",
    "is_outage",
]


class SessionError(CarmineError):
    """Something about a session that is neither the network's fault nor the server's."""


class SessionGone(SessionError):
    """The session is not there any more: deleted, replaced by another id, or over. Nothing was stored."""


class SessionTooLarge(SessionError):
    """The contents are larger than the store's `max_size`; nothing was sent."""

    size: int
    limit: int

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(
            f"the session's contents take {size} bytes, and the store's max_size is {limit}: keep them in a key of "
            "their own, and its name in the session"
        )
        self.size = size
        self.limit = limit

    def __reduce__(self) -> tuple[type[SessionTooLarge], tuple[int, int]]:
        """Pickle by the two numbers."""
        return type(self), (self.size, self.limit)


class SessionSealed(SessionError):
    """The session was changed after it was saved: the headers of the response were on their way."""


class SessionUnavailable(SessionError):
    """The server that holds the sessions could not be asked; what it failed with is the cause."""


class UnreadableSession(SessionError):
    """What is stored is no session that this carmine can read; `.reason` says why, the bytes stay where they are."""

    reason: str

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        """Say what is wrong with it."""
        return f"the contents of a session cannot be read: {self.reason}"


def is_outage(problem: BaseException) -> bool:
    """Tell whether the server or the way to it has failed, and neither the caller nor the session's own state."""
    return isinstance(problem, CarmineError) and not isinstance(problem, (UsageError, SessionError))
