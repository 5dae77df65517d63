"""What Tundra's calls return, and how the replies of its scripts become that. Pure."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from carmine import _checks
from carmine.errors import UsageError
from carmine.ext.tundra.core.failures import IncompatibleVersion
from carmine.ext.tundra.errors import DataStoreError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from carmine.ext.tundra.envelope import Sealed

__all__ = [
    "NEVER",
    "SHORTEST_TTL",
    "Restored",
    "TundraStats",
    "Verified",
    "checked_fetch",
    "checked_ttl",
    "checked_version",
    "digest",
    "end_of",
    "failed_fetch",
    "server_name",
    "words_of",
]

SHORTEST_TTL: Final = 36_000.0
"""Seconds (10 hours, the ancestor's bound) that a key stays in memory at least after its last use: a shorter time turns
the datastore into a part of every request."""

NEVER: Final = -1
"""What scripts take and give for "no end"."""

_FOREIGN: Final = range(12, 80)
"""RDB versions that Valkey refuses: they are those of Redis after the two went separate ways."""


class TundraStats(NamedTuple):
    """How a store stands.

    Attributes:
        evictable: Keys that have a confirmed archive, in memory or not.
        waiting: Keys that were noted as changed and whose archive is not confirmed yet.
        oldest: Seconds since the earliest note among them; 0 where there is none.
        queued: Messages that wait for a worker.
        locked: Messages that a worker has.
        backoff: Messages that rest before the next attempt.
        dead: Messages whose last attempt failed; their keys stay in memory.
    """

    evictable: int
    waiting: int
    oldest: float
    queued: int
    locked: int
    backoff: int
    dead: int


class Verified(NamedTuple):
    """What `verify` found.

    Attributes:
        checked: Archives that were looked at.
        sound: Those that would be restored as they are.
        unmarked: Those among the sound that no mark tells of: `restore_all` would take them in.
        failures: The others, each with its reason.
    """

    checked: int
    sound: int
    unmarked: int
    failures: dict[bytes, Exception]


class Restored(NamedTuple):
    """What `restore_all` did.

    Attributes:
        restored: Keys brought back.
        marked: Keys that `ensure_keys` will bring back.
        here: Keys that were there already, and stay as they are.
        expired: Keys whose own time is over.
        failures: Keys that could not be brought back, each with its reason.
    """

    restored: int
    marked: int
    here: int
    expired: int
    failures: dict[bytes, Exception]


def checked_ttl(ttl: Any, allow_short: bool) -> int:
    """Return how long a key stays in memory, in ms; 0 for as long as memory lasts.

    Raises:
        UsageError: It is below ten hours, and nobody said that this is meant.
    """
    _checks.flag("allow_short_ttl", allow_short)
    if ttl is None:
        return 0
    seconds = _checks.seconds("redis_ttl", ttl, least=0.001)
    if seconds < SHORTEST_TTL and not allow_short:
        raise UsageError(
            "redis_ttl is below 10 hours, which makes the datastore a part of every request; "
            "say allow_short_ttl=True if that is meant"
        )
    return round(seconds * 1000)


def checked_fetch(keys: Sequence[bytes], got: object) -> list[bytes | DataStoreError]:
    """Return what a datastore gave, as it should be: anything else is an error of the key that it stands for."""
    if not isinstance(got, list | tuple) or len(got) != len(keys):
        told = f"{len(got)} values" if isinstance(got, list | tuple) else f"a {_checks.kind(got)}"
        return [DataStoreError(f"the datastore gave {told} for {len(keys)} keys", key=key) for key in keys]
    checked: list[bytes | DataStoreError] = []
    for key, value in zip(keys, got, strict=True):
        if isinstance(value, bytes | DataStoreError):
            checked.append(value)
        else:
            checked.append(DataStoreError(f"the datastore gave a {_checks.kind(value)} for a key", key=key))
    return checked


def failed_fetch(keys: Sequence[bytes], problem: Exception) -> list[bytes | DataStoreError]:
    """Return the error of each key, where a datastore raised."""
    if isinstance(problem, DataStoreError) and len(keys) == 1:
        return [problem]
    failures: list[bytes | DataStoreError] = []
    for key in keys:
        is_transient = getattr(problem, "is_transient", False) is True
        failure = DataStoreError(
            f"the datastore raised {type(problem).__name__}: {problem}", key=key, is_transient=is_transient
        )
        failure.__cause__ = problem
        failures.append(failure)
    return failures


def checked_version(key: bytes, sealed: Sealed, target: int) -> None:
    """Refuse a payload that the server would refuse with an error which does not tell damage from version.

    Args:
        key: Whose it is.
        sealed: What was in the envelope.
        target: The RDB version of the server.

    Raises:
        IncompatibleVersion: The server reads lower versions, or those of another family.
    """
    version = sealed.rdb_version
    if version > target or (target >= _FOREIGN.stop and version in _FOREIGN):
        raise IncompatibleVersion(
            f"the archive was dumped by {sealed.server or 'a server'} in RDB version {version}, and this server, of "
            f"version {target}, does not read that; bring it back on a server of that kind",
            key=key,
        )


def digest(dump: bytes) -> str:
    """Return a DUMP's SHA-1, which the server can compute too."""
    return hashlib.sha1(dump, usedforsecurity=False).hexdigest()


def words_of(sealed: Sealed) -> tuple[str, int, int, int]:
    """Return what evict.lua compares with: the DUMP's digest, length and version, and the end of the key's own time."""
    return digest(sealed.payload), len(sealed.payload), sealed.rdb_version, end_of(sealed)


def end_of(sealed: Sealed) -> int:
    """Return when the archive says that the key's own time ends."""
    return NEVER if sealed.expires_at_ms is None else sealed.expires_at_ms


def server_name(info: dict[str, Any]) -> str:
    """Return a server's name and version as envelopes tell it."""
    for field in ("valkey_version", "redis_version"):
        if field in info:
            return f"{field.partition('_')[0]} {info[field]}"
    return "unknown"
