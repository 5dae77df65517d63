"""What Tundra's calls raise about several keys at once, and about versions and values. Pure.

Invariants: as in errors.py, no message holds a key's name; which keys it were is in the attributes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from carmine.ext.tundra.errors import EnvelopeError, TundraError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["IncompatibleVersion", "KeysMissing", "NotEvicted", "NotRestored", "StaleArchive"]


class KeysMissing(TundraError):
    """Keys that were to be noted as changed do not exist; the others were noted. `.keys` names them."""

    keys: tuple[bytes, ...]

    def __init__(self, keys: Sequence[bytes]) -> None:
        super().__init__(
            f"{_some(len(keys))} to be archived and not there; those that are there were queued", key=_only(keys)
        )
        self.keys = tuple(keys)

    def __reduce__(self) -> tuple[type[KeysMissing], tuple[object, ...]]:
        return type(self), (self.keys,)


class _Failures(TundraError):
    _told = ""

    failures: dict[bytes, Exception]

    def __init__(self, failures: Mapping[bytes, Exception]) -> None:
        first = next(iter(failures.values()))
        super().__init__(
            f"{_some(len(failures))} {self._told}; the first because: {type(first).__name__}: {first}",
            key=_only(tuple(failures)),
        )
        self.failures = dict(failures)

    @property
    def keys(self) -> tuple[bytes, ...]:
        """The keys that it concerns."""
        return tuple(self.failures)

    def __reduce__(self) -> tuple[type[_Failures], tuple[object, ...]]:
        return type(self), (self.failures,)


class NotRestored(_Failures):
    """Keys that were evicted could not be brought back; the others were. `.failures` says why, by key."""

    _told = "archived and could not be brought back, the others were"


class NotEvicted(_Failures):
    """Keys stay in memory, for their archives cannot stand for them; the others were evicted. `.failures` says why."""

    _told = "not evicted, the others were"


class IncompatibleVersion(EnvelopeError):
    """The archived value was dumped by a server whose format this one does not read; nothing was sent to it."""


class StaleArchive(TundraError):
    """The archive is sound, and not what the key holds: it was changed without `dirty`, or its archive was replaced."""


def _some(count: int) -> str:
    return "one key is" if count == 1 else f"{count} keys are"


def _only(keys: Sequence[bytes]) -> bytes | None:
    return keys[0] if len(keys) == 1 else None
