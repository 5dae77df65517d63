"""How long to wait before the next attempt, and when there is none.

Pure: chance comes in as a number between 0 and 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from carmine import _checks
from carmine.errors import UsageError

__all__ = ["Backoff", "Exponential", "Policy"]

Backoff: TypeAlias = "Exponential | Callable[[int], Any] | Sequence[Any] | float"
"""Seconds before the next attempt: by a function of the attempt that failed, in a row (the last one repeats), or one
number."""


class Exponential:
    """A backoff that grows with each attempt; with jitter it is anything from 0 to that.

    Args:
        base: Seconds after the first attempt.
        factor: By how much each is longer than the one before.
        most: Seconds that none exceeds.
        jitter: Spread them over the whole range (full jitter), so that what failed together does not come together.
    """

    __slots__ = ("_base", "_factor", "_jitter", "_most")

    def __init__(self, base: Any = 1.0, *, factor: Any = 2.0, most: Any = 3600.0, jitter: bool = True) -> None:
        self._base, self._most = _checks.seconds("base", base), _checks.seconds("most", most)
        if not isinstance(factor, int | float) or isinstance(factor, bool) or not 1.0 <= factor <= 1000.0:
            raise UsageError("factor must be a number between 1 and 1000")
        self._factor = float(factor)
        self._jitter = _checks.flag("jitter", jitter)

    def seconds(self, attempt: int, chance: float) -> float:
        """Return the seconds after an attempt, counted from 1."""
        exponent = min(max(attempt, 1) - 1, 64)  # 1000 ** 64 is still a float
        return min(self._most, self._base * self._factor**exponent) * (chance if self._jitter else 1.0)


class Policy:
    """What becomes of a message whose attempt failed.

    Args:
        retry: The backoff: Exponential, a function of the attempt, a row of seconds or one number.
        max_attempts: After how many there is no further one; None for no bound.
        never: Exceptions after which there is none.
    """

    __slots__ = ("_never", "_retry", "max_attempts")

    def __init__(
        self, retry: Any = None, *, max_attempts: int | None = 20, never: tuple[type[BaseException], ...] = ()
    ) -> None:
        self.max_attempts: int | None = (
            None if max_attempts is None else _checks.whole("max_attempts", max_attempts, least=1)
        )
        self._retry = _checked(Exponential() if retry is None else retry)
        self._never = never

    def is_exhausted(self, attempt: int) -> bool:
        """Tell whether no attempt may follow this one."""
        return self.max_attempts is not None and attempt >= self.max_attempts

    def pause(self, attempt: int, chance: float, error: BaseException | None = None) -> float | None:
        """Return the seconds before the next attempt, or None when there is none.

        Args:
            attempt: Which one failed, counted from 1.
            chance: A random number from 0 to 1.
            error: What it raised, if it did.
        """
        if self.is_exhausted(attempt) or (error is not None and isinstance(error, self._never)):
            return None
        retry = self._retry
        if isinstance(retry, Exponential):
            retry = retry.seconds(attempt, chance)
        elif callable(retry):
            retry = retry(attempt)
        elif isinstance(retry, tuple):
            retry = retry[min(attempt, len(retry)) - 1]
        return _checks.seconds("retry", retry)


def _checked(retry: Any) -> Any:
    if isinstance(retry, Exponential) or callable(retry):
        return retry
    if isinstance(retry, str | bytes) or not isinstance(retry, Sequence):
        return _checks.seconds("retry", retry)
    if not retry:
        raise UsageError("retry has no number in it; max_attempts=1 is the way to say: no second attempt")
    return tuple(_checks.seconds("retry", each) for each in retry)
