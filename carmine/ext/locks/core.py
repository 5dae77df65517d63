"""What locks decide, apart from any waiting: the scripts and their replies, how long a lease lasts, when to ask again.

Pure: tokens, time and chance come in as arguments. A lease is over for its holder when its time has passed on the
monotonic clock, counted from before the command was sent; the server counts from when it ran it, so the holder's view
ends first. Invariants: a token is 128 random bits, compared in constant time; durations are whole milliseconds in
Redis.
"""

from __future__ import annotations

import pkgutil
from hmac import compare_digest
from typing import TYPE_CHECKING, Any, Final, Generic, NamedTuple, TypeVar

from carmine import _checks
from carmine.client.lua import Program
from carmine.errors import NetworkError, Outcome, PoolError, ServerError, UsageError

if TYPE_CHECKING:
    from carmine.types import Seconds

__all__ = [
    "ACQUIRE",
    "EXTEND",
    "RELEASE",
    "Answer",
    "Locked",
    "Term",
    "is_mine",
    "may_have_run",
    "pause",
    "token_of",
    "wait_of",
]

R = TypeVar("R")

FENCE_MS: Final = 24 * 60 * 60 * 1000
"""How long a fence is kept at least. When it is gone the next one is the server's time, which is greater."""

LONGEST_TTL: Final = 30 * 24 * 60 * 60.0
"""A lease that would outlive its holder by more than a month is taken for a mistake of units."""

POLL: Final = 2.0
"""Seconds after which the first who waits asks again, though nobody told: the ancestor gives back without a word."""

DEAF_POLL: Final = 0.5
"""The same where no word can come, because the server refused the subscription."""

SHARE: Final = 3.0
"""A lease is renewed when this part of its time has passed."""

LATE: Final = "it was not renewed in time"
TAKEN: Final = "the key of the lock holds another token, or is gone"


class Answer(NamedTuple):
    """What the acquiring script says."""

    fence: int | None
    """The fence of a lock that is ours now; None where it is another's."""
    left: float | None
    """Seconds that the other has it for, unless he renews; None where nothing will end it."""


class Locked(NamedTuple, Generic[R]):
    """What a function returned that ran under a lock."""

    result: R


class Term(NamedTuple):
    """How long a lease lasts, by the holder's monotonic clock."""

    sent: float
    """When the command was sent that the server has confirmed."""
    ttl: float

    @property
    def until(self) -> float:
        """When it is over."""
        return self.sent + self.ttl

    @property
    def renew_at(self) -> float:
        """When it is to be renewed."""
        return self.sent + self.ttl / SHARE


# Scripts. ------------------------------------------------------------------------------------------------------------


def _answer(reply: Any) -> Answer:
    taken, number = reply
    if taken:
        return Answer(int(number), None)
    return Answer(None, number / 1000 if number >= 0 else None)


def _program(name: str, decode: Any) -> Program[Any]:
    text = pkgutil.get_data("carmine.ext.locks", f"scripts/{name}.lua")
    if text is None:
        raise UsageError(f"carmine was installed without its scripts: {name}.lua of the locks is not there")
    return Program(text.decode(), decode=decode)


ACQUIRE: Program[Answer] = _program("acquire", _answer)
EXTEND: Program[int] = _program("extend", int)
RELEASE: Program[int] = _program("release", int)


def lasting(token: str, ttl: float) -> tuple[str, int, int]:
    """Return the arguments of the acquiring and of the extending script."""
    milliseconds = round(ttl * 1000)
    return token, milliseconds, max(FENCE_MS, milliseconds)


def may_have_run(problem: BaseException) -> bool:
    """Tell whether a script may have been executed, or may be yet, though its call ended so."""
    if isinstance(problem, NetworkError):
        return problem.outcome is Outcome.UNKNOWN
    return not isinstance(problem, (ServerError, PoolError, UsageError))


# Values. -------------------------------------------------------------------------------------------------------------


def ttl_of(ttl: object) -> float:
    """Return how long a lease lasts, in seconds and whole milliseconds."""
    return round(_checks.seconds("ttl", ttl, least=0.001, most=LONGEST_TTL) * 1000) / 1000


def wait_of(wait: Seconds | None) -> float | None:
    """Return how long to wait for a lock, in seconds; None for as long as it takes."""
    return None if wait is None else _checks.seconds("wait", wait)


def token_of(token: object) -> str:
    """Return a token that came from elsewhere; an ancestor's is another text than ours."""
    if not isinstance(token, str) or not token or not _checks.is_encodable(token):
        raise UsageError("a token is the text that a lease has as .token")
    return token


def is_mine(held: bytes | None, token: str) -> bool:
    """Tell whether a lock's key holds this token."""
    return held is not None and compare_digest(held, token.encode())


def pause(left: float | None, is_heard: bool, chance: float) -> float:
    """Return after how many seconds to ask again for a lock that another holds, if no word comes before.

    Args:
        left: Seconds that the other has it for; None where nothing will end it.
        is_heard: Whether word of its release would be heard.
        chance: A random number in [0, 1), so that many who wait do not ask in step.
    """
    poll = (POLL if is_heard else DEAF_POLL) * (0.75 + 0.5 * chance)
    return poll if left is None else min(poll, left + 0.001)
