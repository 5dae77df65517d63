"""The deadline: one limit for all that happens inside a block, however many waits that takes.

It belongs to the context (contextvars), in both worlds: a task inherits it from the task that made it, a thread starts
without one. The clock comes in as an argument (timing.py binds it). Invariants: an inner deadline never outlasts an
outer one; it ends with its block, also for tasks that go on, whoever ends the block (a generator's may end in another
thread or task, and before or after its neighbours), and also where an exception strikes the end itself; where none is
set nothing is paid but a look at an empty set.
"""

from __future__ import annotations

import math
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final, Self
from weakref import ref

from carmine.errors import CarmineError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

__all__ = ["OPEN", "Deadline", "limit"]


class _Held(ref["Deadline"]):
    """A reference from outside the block; it can be looked for in a set when its deadline has gone as well."""

    __slots__ = ()
    __hash__ = object.__hash__


OPEN: Final[set[_Held]] = set()
"""Deadlines whose block runs now, of all threads; false while there is none, which is all that a fast path asks.

The block alone holds its deadline: where a signal's exception strikes before the first or after the last line of it,
the deadline goes with the traceback, instead of counting for ever.
"""


class Deadline:
    """A block in which every call ends in time.

    Attributes:
        seconds: What was asked for.
        until: The instant at which it ends, by the clock; inf before the block.
    """

    __slots__ = ("__weakref__", "_clock", "_ref", "seconds", "until")

    def __init__(self, seconds: float, clock: Callable[[], float]) -> None:
        self.seconds: float = seconds
        self.until: float = math.inf
        self._clock = clock
        self._ref: _Held | None = None

    @property
    def left(self) -> float:
        """Seconds that are left; 0 when it is over."""
        return max(0.0, self.until - self._clock())

    def __enter__(self) -> Self:
        """Begin to count."""
        if self._ref is not None:
            raise UsageError("a deadline is for one block: make another one with carmine.deadline()")
        self.until = min(self._clock() + self.seconds, limit())
        self._ref = _Held(self, OPEN.discard)  # no Python runs there, which a signal could interrupt
        OPEN.add(self._ref)
        _nested.set(tuple(filter(OPEN.__contains__, (*_nested.get(), self._ref))))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let the outer deadline, if there is one, count again; say on a timeout's note whose limit it was."""
        if self._ref is not None:
            OPEN.discard(self._ref)
        _nested.set(tuple(filter(OPEN.__contains__, _nested.get())))
        if isinstance(error, TimeoutError) and isinstance(error, CarmineError) and not self.left:
            error.add_note(f"the limit was carmine.deadline({self.seconds:g})")

    def __repr__(self) -> str:
        """Show how much is left."""
        if self.until == math.inf:
            return f"<deadline of {self.seconds:g} s, not begun>"
        return f"<deadline of {self.seconds:g} s, {self.left:.3g} s left>"


_nested: ContextVar[tuple[_Held, ...]] = ContextVar("carmine_deadlines", default=())
"""The blocks around the caller, the outermost first; some may have ended elsewhere."""


def limit() -> float:
    """Return the instant at which the caller's time is over, by the clock; inf where there is no deadline."""
    if not OPEN:
        return math.inf
    known = (one() for one in _nested.get() if one in OPEN)
    return min((one.until for one in known if one is not None), default=math.inf)
