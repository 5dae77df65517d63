"""Keys and their archives: what is done with a few of them, for the store, the worker and the survey.

Invariants: an archive is confirmed when it was read back as it was written, and the key is still what it holds; only
then may the key expire. What comes from the datastore is believed when the envelope says so, and restored when the
server reads its version. A key's own time is what Redis says, or what `dirty` noted of it.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from carmine.ext.mq.core.values import Entry
from carmine.ext.tundra._async.base import AsyncTundraBase
from carmine.ext.tundra.core.failures import StaleArchive
from carmine.ext.tundra.core.values import checked_version, digest, end_of, words_of
from carmine.ext.tundra.errors import DataStoreError, TundraError
from carmine.ext.tundra.keys import mid_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from carmine.ext.tundra.envelope import Sealed

__all__ = ["AsyncArchive"]

_MOST_BYTES: Final = 8 * 1024 * 1024
"""Bytes that are sent to the server in one go, but for a value that alone is longer."""

_NOT_EVICTED: Final = {
    "dirty": "the key has changed, and a worker has not archived it yet",
    "changed": "the key is not what its archive holds: it was changed without dirty(), or its archive was replaced",
    "older": "the archive is of an older server, and cannot be compared with the key; dirty() has it archived anew",
    "unarchived": "the key has no confirmed archive; dirty() and a worker make one",
}


class AsyncArchive(AsyncTundraBase):
    """Works on a few keys; see AsyncTundraStore."""

    # Out. ------------------------------------------------------------------------------------------------------------

    async def _enqueue(self, keys: Sequence[bytes]) -> None:
        """Have keys archived by a worker, also those that one has in its hands."""
        entries = []
        for key in keys:
            mid, content = mid_of(key)
            entries.append(Entry(content, mid=mid, can_requeue=True))
        if not entries:
            return
        for enqueued in await self._queue.enqueue_many(entries):
            if not enqueued.success and enqueued.error != "already-queued":
                raise TundraError(f"a key could not be queued: {enqueued.error}")

    async def _archive(self, key: bytes, generation: int, is_ours: Callable[[], bool]) -> str:
        """Archive a key as it is now.

        Args:
            key: The key.
            generation: A number greater than that of every archive before.
            is_ours: Whether nobody else archives it at the same time; asked before the datastore is written to.

        Returns:
            What settle.lua says; "gone" also where there is no such key, "lost" where it is another's now.

        Raises:
            DataStoreError: It was not stored, or not as it should be.
        """
        taken = await self._run("take", key)
        if not taken:
            return "gone"
        if len(taken) == 1:
            await self._clear([key])
            return "expired"
        dump, own_end = taken
        blob = await self._sealed(key, dump, own_end, generation)
        if not is_ours():
            return "lost"
        await self._shelf.put(key, blob)
        [stored] = await self._shelf.fetch([key])
        if isinstance(stored, DataStoreError):
            raise stored
        if stored != blob:
            raise DataStoreError("what the datastore gave back is not what it was given", key=key, is_transient=True)
        outcome: str = (await self._run("settle", key, (digest(dump), own_end, self._ttl))).decode()
        if outcome == "changed":
            await self._enqueue([key])
        elif outcome == "gone":
            await self._shelf.delete([key])
        elif outcome == "expired":
            await self._clear([key])
        return outcome

    async def _clear(self, keys: Sequence[bytes]) -> None:
        """Delete the archives of keys that are deleted; a new life that began meanwhile is archived again."""
        await self._shelf.delete(keys)
        reborn = [key for key, is_gone in (await self._run_each("forgotten", keys)).items() if not is_gone]
        if reborn:
            told = await self._run_each("dirty", reborn)
            await self._enqueue([key for key in reborn if told[key]])

    async def _compare(
        self, sealed: Mapping[bytes, Sealed], *, is_dry: bool
    ) -> tuple[dict[bytes, str], dict[bytes, Exception]]:
        """Compare keys with their archives, and take them out of memory unless this is dry.

        Returns:
            What evict.lua says of each key, and the reason for each whose archive cannot stand for it.
        """
        outcomes: dict[bytes, str] = {}
        failures: dict[bytes, Exception] = {}
        pipe = self._client.pipeline(raise_errors=False)
        for key, one in sealed.items():
            self._queue_script(pipe, "evict", key, (*words_of(one), int(is_dry)))
        for key, outcome in zip(sealed, await pipe.flush() if sealed else (), strict=True):
            if isinstance(outcome, Exception):
                failures[key] = outcome
                continue
            outcomes[key] = outcome.decode()
            told = _NOT_EVICTED.get(outcomes[key])
            if told is not None:
                failures[key] = StaleArchive(told, key=key)
        return outcomes, failures

    # In. -------------------------------------------------------------------------------------------------------------

    async def _open(self, keys: Sequence[bytes]) -> tuple[dict[bytes, Sealed], dict[bytes, Exception]]:
        """Fetch archives; return what is in those that can be trusted, and the reason for each other."""
        sealed: dict[bytes, Sealed] = {}
        failures: dict[bytes, Exception] = {}
        if not keys:
            return sealed, failures
        version = (await self._know()).rdb_version
        for key, blob in zip(keys, await self._shelf.fetch(keys), strict=True):
            try:
                if isinstance(blob, DataStoreError):
                    raise blob
                opened = await self._unsealed(key, blob)
                checked_version(key, opened, version)
            except TundraError as problem:
                failures[key] = problem
            else:
                sealed[key] = opened
        return sealed, failures

    async def _restore(
        self, keys: Sequence[bytes], *, adopts: bool = False, marks_only: bool = False
    ) -> tuple[Counter[str], dict[bytes, Exception]]:
        """Bring keys back.

        Args:
            keys: The keys.
            adopts: Take in those that have no mark.
            marks_only: Set the mark, and leave the value where it is.

        Returns:
            How many of each outcome of restore.lua, and the reason for each key that could not be brought back.
        """
        sealed, failures = await self._open(keys)
        counts: Counter[str] = Counter()
        for some in _portions(sealed):
            pipe = self._client.pipeline(raise_errors=False)
            for key in some:
                opened = sealed[key]
                payload = b"" if marks_only else opened.payload
                words = (payload, end_of(opened), self._ttl, int(adopts), int(marks_only))
                self._queue_script(pipe, "restore", key, words)
            for key, outcome in zip(some, await pipe.flush(), strict=True):
                if isinstance(outcome, Exception):
                    failures[key] = outcome
                else:
                    counts[outcome.decode()] += 1
        return counts, failures


def _portions(sealed: Mapping[bytes, Sealed]) -> Iterator[list[bytes]]:
    """Yield keys, so many together that their values can be sent in one go."""
    some: list[bytes] = []
    size = 0
    for key, opened in sealed.items():
        size += len(opened.payload)
        if some and size > _MOST_BYTES:
            yield some
            some, size = [], len(opened.payload)
        some.append(key)
    if some:
        yield some
