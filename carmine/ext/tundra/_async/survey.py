"""The whole of a store at once: its figures, whether its archives are sound, and all of them back after a disaster.

Invariants: all keys are walked through page by page and never held together; of the failures all are kept, for they are
what was asked for.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from carmine import _checks
from carmine.errors import UsageError
from carmine.ext.tundra._async.archive import AsyncArchive
from carmine.ext.tundra._async.base import AT_ONCE, BATCH
from carmine.ext.tundra._worlds import aio
from carmine.ext.tundra.core.values import Restored, TundraStats, Verified
from carmine.ext.tundra.keys import names_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from carmine.ext.tundra.envelope import Sealed
    from carmine.types import Key

__all__ = ["AsyncSurvey"]

_PAGE: Final = 16 * BATCH
"""Keys that are read from a scan before they are worked on."""


class AsyncSurvey(AsyncArchive):
    """Looks at all keys; see AsyncTundraStore."""

    async def stats(self) -> TundraStats:
        """Count the marks, and the messages of the queue."""
        evictable = waiting = 0
        first = float("inf")
        for marks in await self._all_marks():
            async with self._client.pipeline() as pipe:
                members, notes = pipe.scard(marks.evictable), pipe.zcard(marks.dirty)
                earliest = pipe.zrange(marks.dirty, 0, 0, withscores=True)
            evictable += members.value
            waiting += notes.value
            first = min(first, *(note.score for note in earliest.value), float("inf"))
        status = await self._queue.status()
        seconds, microseconds = await self._client.time()
        age = max(0.0, seconds + microseconds / 1e6 - first / 1000) if waiting else 0.0
        return TundraStats(evictable, waiting, age, status.queued, status.locked, status.backoff, status.dead)

    async def verify(self, *keys: Key, progress: Callable[[Verified], Any] | None = None) -> Verified:
        """Fetch archives and check that each would be restored; one whose key is in memory is compared with that.

        Nothing is changed.

        Args:
            *keys: The keys; none for all that have a mark, and then all that are in the datastore without one.
            progress: Called with what was found so far, after every page.

        Raises:
            DataStoreError: The datastore cannot be scanned.
        """
        found = _Found(_function("progress", progress))
        if keys:
            await self._verify_page(names_of(keys), found)
            return found.verified()
        for marks in await self._all_marks():
            async for page in self._marked(marks.evictable):
                await self._verify_page(page, found)
        async for page in self._shelf.pages(_PAGE):
            pipe = self._client.pipeline()
            for key in page:
                pipe.sismember(self._marks_of(key).evictable, key)
            unmarked = [key for key, is_marked in zip(page, await pipe.flush(), strict=True) if not is_marked]
            await self._verify_page(unmarked, found, is_marked=False)
        return found.verified()

    async def _marked(self, evictable: bytes) -> AsyncIterator[list[bytes]]:
        """Yield the keys that have a mark, page by page; some perhaps twice, as SSCAN does."""
        page: list[bytes] = []
        async for key in self._client.sscan_iter(evictable, count=_PAGE):
            page.append(key)
            if len(page) >= _PAGE:
                yield page
                page = []
        if page:
            yield page

    async def _verify_page(self, page: Sequence[bytes], found: _Found, *, is_marked: bool = True) -> None:
        async def look(batch: Sequence[bytes]) -> None:
            sealed, failures = await self._open(batch)
            if is_marked:
                failures |= await self._stale(sealed)
            sound = len(batch) - len(failures)
            found.add(Counter(checked=len(batch), sound=sound, unmarked=0 if is_marked else sound), failures)

        if page:
            await aio.each(look, batches(page), AT_ONCE)
            found.tell(found.verified)

    async def _stale(self, sealed: Mapping[bytes, Sealed]) -> dict[bytes, Exception]:
        """Return the keys in memory that are not what their archives hold, though nobody has noted a change."""
        outcomes, _ = await self._compare(sealed, is_dry=True)
        changed = [key for key, outcome in outcomes.items() if outcome == "changed"]
        # a worker may have archived it between the two looks: then the archive of now is what counts
        opened, failures = await self._open(changed)
        outcomes, stale = await self._compare(opened, is_dry=True)
        return failures | {key: problem for key, problem in stale.items() if outcomes.get(key) == "changed"}

    async def restore_all(self, *, values: bool = True, progress: Callable[[Restored], Any] | None = None) -> Restored:
        """Bring back every key that the datastore has, after the server has lost its data.

        A key that is there wins over its archive; one whose own time is over is left out.

        Args:
            values: False to set the marks alone: then `ensure_keys` brings back what is asked for.
            progress: Called with what was done so far, after every page.

        Raises:
            DataStoreError: The datastore cannot be scanned.
        """
        marks_only = not _checks.flag("values", values)
        found = _Found(_function("progress", progress))

        async def bring(batch: Sequence[bytes]) -> None:
            counts, failures = await self._restore(batch, adopts=True, marks_only=marks_only)
            counts["expired"] += counts.pop("forgotten", 0)
            found.add(counts, failures)

        async for page in self._shelf.pages(_PAGE):
            await aio.each(bring, batches(page), AT_ONCE)
            found.tell(found.restored)
        return found.restored()


class _Found:
    """What a walk has found so far."""

    def __init__(self, progress: Callable[[Any], Any] | None) -> None:
        self._progress = progress
        self._counts: Counter[str] = Counter()
        self._failures: dict[bytes, Exception] = {}

    def add(self, counts: Counter[str], failures: dict[bytes, Exception]) -> None:
        self._counts.update(counts)
        self._failures.update(failures)

    def tell(self, report: Callable[[], Any]) -> None:
        if self._progress is not None:
            self._progress(report())

    def verified(self) -> Verified:
        counts = self._counts
        return Verified(counts["checked"], counts["sound"], counts["unmarked"], dict(self._failures))

    def restored(self) -> Restored:
        counts = self._counts
        return Restored(counts["restored"], counts["marked"], counts["here"], counts["expired"], dict(self._failures))


def batches(keys: Sequence[bytes]) -> list[Sequence[bytes]]:
    """Return keys in the portions that are fetched together."""
    return [keys[start : start + BATCH] for start in range(0, len(keys), BATCH)]


def _function(name: str, value: Any) -> Any:
    if value is not None and not callable(value):
        raise UsageError(f"{name} must be a function, not {_checks.kind(value)}")
    return value
