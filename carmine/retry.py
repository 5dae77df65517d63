"""Whether a failed command may be tried again, and after how long.

A pure room: it looks at the error's facts and never sleeps, reads a clock or draws a random number; the chance comes
in as an argument. Invariants: nothing that may have been executed is sent twice unless that is harmless; a final
error is final at once; every wait is bounded by `cap`, and so is the number of attempts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from carmine import _checks
from carmine._frozen import Frozen
from carmine.errors import HandshakeFailed, NetworkError, Outcome, ProtocolError, RetryRule, ServerError, UsageError

if TYPE_CHECKING:
    from carmine.types import Seconds

__all__ = ["Retry"]

_MOST_DOUBLINGS: Final = 62
"""2.0 to this power is far above any cap, and far below where a float overflows."""


class Retry(Frozen):
    """A policy of trying again: so many attempts in all, with growing, jittered waits between them.

    Attributes:
        attempts: How often a command is tried at most, the first time included; 1 never tries again.
        absolute_writes: Whether a write that has the same effect when it is done twice (SET, HSET, DEL, as the
            command table says) may be repeated after an outcome of UNKNOWN. Off by default: between the two, another
            client may have written.
        base: Seconds; the longest wait before the second attempt. It doubles with each attempt.
        cap: Seconds; no wait is longer.
        jitter: The share of each wait that is left to chance, 0 to 1. 1 (full jitter) spreads the clients that lost
            the same server best.
    """

    __slots__ = ("absolute_writes", "attempts", "base", "cap", "jitter")

    attempts: int
    absolute_writes: bool
    base: float
    cap: float
    jitter: float

    def __init__(
        self,
        attempts: int = 3,
        *,
        absolute_writes: bool = False,
        base: Seconds = 0.05,
        cap: Seconds = 1.0,
        jitter: float = 1.0,
    ) -> None:
        """Check and keep the policy.

        Raises:
            UsageError: A value of the wrong type or out of its range.
        """
        self._put(
            attempts=_checks.whole("Retry attempts", attempts, least=1),
            absolute_writes=_checks.flag("Retry absolute_writes", absolute_writes),
            base=_checks.seconds("Retry base", base),
            cap=_checks.seconds("Retry cap", cap),
            jitter=_checks.share("Retry jitter", jitter),
        )

    def delay(self, attempt: int, chance: float) -> float:
        """Return the seconds to wait after attempt number `attempt` (1 is the first) failed.

        Args:
            attempt: How many attempts were made.
            chance: A random number in [0, 1), drawn by the caller.
        """
        ceiling = min(self.cap, self.base * 2.0 ** min(attempt - 1, _MOST_DOUBLINGS))
        return ceiling * (1.0 - self.jitter + self.jitter * chance)

    def decide(
        self,
        error: BaseException,
        *,
        attempt: int,
        chance: float,
        readonly: bool,
        absolute_write: bool = False,
        compound: bool = False,
    ) -> float | None:
        """Return the seconds to wait before the next attempt, or None: give the error to the caller.

        Args:
            error: What the attempt ended with; an error's `__cause__` counts.
            attempt: How many attempts were made, this one included.
            chance: A random number in [0, 1), drawn by the caller.
            readonly: Whether nothing that was to be sent writes.
            absolute_write: Whether doing it twice has the effect of doing it once; ignored unless the policy opted in.
            compound: Whether several commands stand behind one error (a pipeline, a transaction, a script): then an
                error reply does not prove that nothing was executed.
        """
        if attempt >= self.attempts:
            return None
        if isinstance(error, ServerError):
            wanted = error.retry is RetryRule.WAIT and (readonly or not compound)
        elif isinstance(error, NetworkError):
            repeatable = readonly or (absolute_write and not compound and self.absolute_writes)
            wanted = (error.outcome is Outcome.NOT_SENT or repeatable) and not _is_final(error)
        else:
            wanted = False
        return self.delay(attempt, chance) if wanted else None

    def _show(self) -> str:
        """Show how to make this value."""
        return (
            f"Retry({self.attempts}, absolute_writes={self.absolute_writes}, "
            f"base={self.base:g}, cap={self.cap:g}, jitter={self.jitter:g})"
        )


def _is_final(error: NetworkError) -> bool:
    """Tell whether the next attempt would end the same way, or costs time that the caller did not grant."""
    cause = error.__cause__
    if isinstance(cause, ServerError):  # a refused handshake: a wrong password stays wrong, LOADING passes
        return cause.retry is not RetryRule.WAIT
    if isinstance(error, TimeoutError):  # the time the caller allowed is used up; again would be to allow it twice
        return True
    # A ValueError below is about what was given, not about the way there: a name that cannot be looked up
    # (UnicodeError), a certificate that is not trusted (ssl.SSLCertVerificationError is a ValueError as well).
    return isinstance(error, HandshakeFailed) or isinstance(cause, ValueError | ProtocolError | UsageError)
