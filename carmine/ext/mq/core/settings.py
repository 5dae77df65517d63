"""What a worker is told, checked; and how long it waits when the server fails.

Pure: chance comes in as an argument.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

from carmine import _checks
from carmine.errors import UsageError
from carmine.ext.mq.core.policies import Policy

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["Settings", "Trouble", "exp_backoff"]

_SHORTEST_LEASE: Final = 0.05
"""Seconds: three renewals of a shorter one would be a load of their own."""


_MOST_HANDS: Final = 10_000


class Settings:
    """The options of a worker, checked; see Worker."""

    __slots__ = (
        *("at_most_once", "concurrency", "delay", "drops", "lease", "monitor", "policy", "sleeps", "throttle"),
    )

    def __init__(
        self,
        *,
        concurrency: int,
        lease: Any,
        retry: Any,
        max_attempts: int | None,
        never: tuple[type[BaseException], ...],
        on_exception: Literal["retry", "drop"],
        at_most_once: bool,
        throttle: Any,
        idle_backoff: Callable[[int], Any] | None,
        sleeps: Sequence[Any],
        monitor: Callable[..., Any] | None,
        auto_start: Any,
    ) -> None:
        self.concurrency: int = _checks.whole("concurrency", concurrency, least=1, most=_MOST_HANDS)
        self.lease: float = _checks.seconds("lease", lease, least=_SHORTEST_LEASE)
        given: Any = never  # what the types say, a caller without a checker may not
        if not isinstance(given, tuple) or not all(_is_exception(kind) for kind in given):
            raise UsageError("never must be a tuple of exception classes")
        self.policy: Policy = Policy(retry, max_attempts=max_attempts, never=never)
        if on_exception not in ("retry", "drop"):
            raise UsageError('on_exception must be "retry" or "drop"')
        self.drops: bool = on_exception == "drop"
        self.at_most_once: bool = _checks.flag("at_most_once", at_most_once)
        self.throttle: float | Callable[..., Any] | None = throttle
        if throttle is not None and not callable(throttle):
            self.throttle = _checks.seconds("throttle", throttle)
        if idle_backoff is not None:
            _callable("idle_backoff", idle_backoff)
            sleeps = [idle_backoff(dry_runs) for dry_runs in range(1, 6)]
        self.sleeps: tuple[float, ...] = tuple(_checks.seconds("idle_backoff", each, least=0.001) for each in sleeps)
        if monitor is not None:
            _callable("monitor", monitor)
        self.monitor: Callable[..., Any] | None = monitor
        is_switch = isinstance(auto_start, bool)
        self.delay: float | None = (
            (0.0 if auto_start else None) if is_switch else _checks.seconds("auto_start", auto_start)
        )

    def pause_after(self, size: int) -> float:
        """Return the seconds to wait after a claim, from a queue that has so many messages."""
        throttle = self.throttle
        if throttle is None:
            return 0.0
        if callable(throttle):
            throttle = throttle(size)
        return 0.0 if throttle is None else _checks.seconds("throttle", throttle)


def _is_exception(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseException)


def _callable(name: str, value: object) -> None:
    if not callable(value):
        raise UsageError(f"{name} must be a function, not {_checks.kind(value)}")


class Trouble:
    """Counts failures in a row, and says how long to wait after each: twice as long, up to a cap, spread by chance."""

    __slots__ = ("_base", "_cap", "count")

    def __init__(self, base: float = 0.05, cap: float = 5.0) -> None:
        self._base = base
        self._cap = cap
        self.count: int = 0

    def delay(self, chance: float) -> float:
        """Count one more; return the seconds to wait, at least half of the bound."""
        longest = min(self._cap, self._base * 2.0 ** min(self.count, 32))
        self.count += 1
        return longest * (0.5 + 0.5 * chance)

    def is_over(self) -> bool:
        """Note that something worked; True where it had failed before."""
        had = self.count
        self.count = 0
        return had > 0


def exp_backoff(attempt: int, *, base: float = 1.0, factor: float = 2.0, most: float = 3600.0) -> float:
    """Return the seconds before the next attempt, growing with each; without chance (`Exponential` has it).

    Args:
        attempt: Which one failed, or which poll in a row had no work; counted from 1.
        base: Seconds after the first.
        factor: By how much each is longer than the one before.
        most: Seconds that none exceeds.
    """
    return float(min(most, base * float(factor) ** min(max(attempt, 1) - 1, 64)))
