"""How long sessions last: what a store is told, as the scripts want it. Pure.

A session ends when nobody has used it for its idle time (`ttl`), and at its absolute end however much it is used
(`absolute_ttl`, counted from its beginning). Both are kept by the server, in whole milliseconds.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from carmine import _checks

if TYPE_CHECKING:
    from typing import Literal

    from carmine.types import Seconds

__all__ = ["DAYS_30", "UNSET", "IdleArg", "Lifetimes", "Unset", "idle_word"]

DAYS_30: Final = 30 * 24 * 60 * 60.0

_LONGEST_COOKIE: Final = 400 * 24 * 60 * 60
"""Seconds. Browsers keep no cookie for longer (RFC 6265bis)."""


class Unset(Enum):
    """The argument was not given."""

    UNSET = "unset"

    def __repr__(self) -> str:
        """Show what it stands for in signatures."""
        return "<as the store says>"


UNSET: Final = Unset.UNSET


class Lifetimes(NamedTuple):
    """What a store knows about the length of sessions; milliseconds, 0 for without limit."""

    idle_ms: int
    absolute_ms: int

    @classmethod
    def of(cls, ttl: Seconds | None, absolute_ttl: Seconds | None) -> Lifetimes:
        """Check and convert.

        Raises:
            UsageError: A duration is none, or shorter than a millisecond.
        """
        return cls(_milliseconds("ttl", ttl), _milliseconds("absolute_ttl", absolute_ttl))

    @property
    def cookie_age(self) -> int:
        """Seconds that a browser is to keep the cookie: as long as the session can be idle."""
        longest = min(filter(None, (self.idle_ms, self.absolute_ms)), default=_LONGEST_COOKIE * 1000)
        return min(_LONGEST_COOKIE, -(-longest // 1000))


IdleArg: TypeAlias = "Seconds | Literal[Unset.UNSET] | None"
"""An idle time as an argument: a duration, None for ever, or as the store says."""


def idle_word(ttl: IdleArg, default: str) -> str:
    """Return an idle time as it stands in the header; `default` where none was given."""
    return default if ttl is UNSET else str(_milliseconds("ttl", ttl))


def _milliseconds(name: str, duration: Seconds | None) -> int:
    return 0 if duration is None else round(_checks.seconds(name, duration, least=0.001) * 1000)
