"""A second Redis or Valkey as the datastore: one with cheaper memory, or with its data on disk.

Invariants: each archive is one string under prefix + key, without an expiry; so two keys never share anything. What the
second server promises about its disk is its own: see docs/tundra.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from carmine import _checks
from carmine.client.glob import glob_escape
from carmine.errors import CarmineError, NetworkError, PoolError, RetryRule, ServerError, UsageError
from carmine.ext.tundra.datastore import blob_of, key_of, keys_of
from carmine.ext.tundra.errors import DataStoreError, NotStored

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from carmine.client._async.client import AsyncClient

__all__ = ["AsyncRedisDataStore"]

_TOGETHER: Final = 64
"""Archives that are asked for in one round trip: their values come together."""

_REMEMBERED: Final = 100_000
"""Names that a scan remembers, for a server may give one twice."""

_LARGEST: Final = 512 * 1024 * 1024
"""Bytes: the server's own limit for a string (proto-max-bulk-len)."""


class AsyncRedisDataStore:
    """Archives as strings of a second server.

    >>> AsyncRedisDataStore(AsyncClient("redis://archive.example:6379"))

    Args:
        client: A client of the second server. That of the keys themselves is refused by nobody, and archives nothing.
        prefix: What the names of its keys begin with; other keys of that server are never touched.
        limit: Bytes of one archive that are stored at most.

    Raises:
        UsageError: An argument that is none. Nothing is sent.
    """

    def __init__(self, client: AsyncClient[Any], *, prefix: str = "carmine:archive:", limit: int = _LARGEST) -> None:
        if not prefix:
            raise UsageError("prefix cannot be empty: by it archives are told from the server's other keys")
        self._prefix = _checks.text("prefix", prefix).encode()
        self._limit = _checks.whole("limit", limit, least=1, most=_LARGEST)
        self._client = client.binary

    async def aput(self, key: bytes, blob: bytes) -> None:
        """Store bytes under a key; see `DataStore.put`."""
        name, value = self._prefix + key_of(key), blob_of(blob, self._limit)
        try:
            await self._client.set(name, value)
        except CarmineError as problem:
            raise _failure(problem, key) from problem

    async def afetch(self, keys: Sequence[bytes]) -> list[bytes | DataStoreError]:
        """Return what is stored under each key; see `DataStore.fetch`."""
        names = keys_of(keys)
        found: list[bytes | DataStoreError] = []
        for start in range(0, len(names), _TOGETHER):
            some = names[start : start + _TOGETHER]
            pipe = self._client.pipeline(raise_errors=False)
            for key in some:
                pipe.get(self._prefix + key)
            try:
                values = await pipe.flush()
            except CarmineError as problem:
                values = [problem] * len(some)
            for key, value in zip(some, values, strict=True):
                if isinstance(value, Exception):
                    found.append(_failure(value, key))
                else:
                    found.append(NotStored(key=key) if value is None else value)
        return found

    async def adelete(self, keys: Sequence[bytes]) -> None:
        """Delete what is stored under each key; see `DataStore.delete`."""
        names = keys_of(keys)
        for start in range(0, len(names), _TOGETHER):
            pipe = self._client.pipeline()
            for key in names[start : start + _TOGETHER]:
                pipe.unlink(self._prefix + key)
            try:
                await pipe.flush()
            except CarmineError as problem:
                raise _failure(problem, None) from problem

    async def ascan(self) -> AsyncIterator[bytes]:
        """Yield every stored key; see `DataStore.scan`.

        Of a server that shrinks its table meanwhile one key in many may come twice: what was given is remembered for
        the last hundred thousand keys only.
        """
        known: dict[bytes, None] = {}
        try:
            async for name in self._client.scan_iter(glob_escape(self._prefix) + b"*", 1_000, "string"):
                if name in known:
                    continue
                known[name] = None
                if len(known) > _REMEMBERED:
                    del known[next(iter(known))]
                yield name[len(self._prefix) :]
        except CarmineError as problem:
            raise _failure(problem, None) from problem

    def __repr__(self) -> str:
        """Show where it is."""
        return f"<{type(self).__name__} on {self._client!r}>"


def _failure(problem: Exception, key: bytes | None) -> DataStoreError:
    """Return a client's error as a datastore's."""
    is_transient = isinstance(problem, NetworkError | PoolError) or (
        isinstance(problem, ServerError) and problem.retry is not RetryRule.NO
    )
    failure = DataStoreError(
        f"the second server failed: {type(problem).__name__}: {problem}", key=key, is_transient=is_transient
    )
    failure.__cause__ = problem
    return failure
