"""The store: notes what has changed, brings back what was evicted, and forgets.

All that happens to a key and its marks happens inside one script (scripts/*.lua, docs/tundra.md). Invariants: every key
that can be served is, before an error names the others; a value that is in memory always wins over its archive; a key
whose own time is over stays deleted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from carmine.errors import CarmineError
from carmine.ext.tundra._async.base import AT_ONCE, BATCH
from carmine.ext.tundra._async.flights import Flights
from carmine.ext.tundra._async.survey import AsyncSurvey, batches
from carmine.ext.tundra._async.worker import AsyncTundraWorker
from carmine.ext.tundra._worlds import aio
from carmine.ext.tundra.core.failures import KeysMissing, NotEvicted, NotRestored
from carmine.ext.tundra.freezers import Zlib
from carmine.ext.tundra.keys import names_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from carmine.client._async.client import AsyncClient
    from carmine.ext.tundra._async.flights import Flight
    from carmine.ext.tundra.freezers import Freezer
    from carmine.ext.tundra.mac import MacKey
    from carmine.types import Key, Seconds

__all__ = ["AsyncTundraStore"]

R = TypeVar("R")

_ZLIB: Final = Zlib()


class AsyncTundraStore(AsyncSurvey):
    """Keys of one server of which only the hot ones need to fit in memory.

    >>> await store.ensure_keys("user:1")  # bring it back, if it was evicted
    >>> await client.hset("user:1", "name", "Ann")
    >>> await store.dirty("user:1")  # a worker archives it

    A key belongs to one store. What is done to a key without `dirty`, an expiry that is set or a deletion included,
    Tundra does not know of; `forget` deletes a key and its archive.

    Args:
        client: Any client; its decoding and serializer matter to `read` alone.
        datastore: Where archives are kept.
        queue: The queue of this store's workers, which has the name `tundra:<queue>`.
        freezer: Makes archives smaller, or secret; None leaves them as they are.
        older: Freezers that this store had before.
        mac_keys: The secret that seals archives, and those that it had before; without one there is a checksum and a
            warning.
        allow_unsealed: Take archives without a MAC although there is a key: while some are left from before.
        redis_ttl: Seconds that an archived key stays in memory after it was last asked for; None for as long as memory
            lasts (`evict` takes it out).
        allow_short_ttl: Allow less than ten hours.

    Raises:
        UsageError: An argument that is none. Nothing is sent.
    """

    def __init__(
        self,
        client: AsyncClient[Any],
        datastore: Any,
        *,
        queue: str = "default",
        freezer: Freezer | None = _ZLIB,
        older: Sequence[Freezer | None] = (),
        mac_keys: MacKey | bytes | Sequence[MacKey | bytes] | None = None,
        allow_unsealed: bool = False,
        redis_ttl: Seconds | None = None,
        allow_short_ttl: bool = False,
    ) -> None:
        super().__init__(
            *(client, datastore, queue, freezer, older, mac_keys, allow_unsealed, redis_ttl, allow_short_ttl)
        )
        self._flights = Flights()

    # Out of memory. --------------------------------------------------------------------------------------------------

    async def dirty(self, *keys: Key) -> None:
        """Note that keys have changed: each is archived by a worker, and does not expire before it is.

        A key that is being archived is archived once more. Many keys take two round trips.

        Raises:
            KeysMissing: Some do not exist; the others were queued.
            UsageError: A key that cannot be one; nothing was sent.
            NetworkError: With outcome UNKNOWN they may be queued; to call it again is safe.
        """
        names = names_of(keys)
        if not names:
            return
        told = await self._run_each("dirty", names)
        await self._enqueue([key for key in names if told[key]])
        missing = [key for key in names if not told[key]]
        if missing:
            raise KeysMissing(missing)

    def worker(self, attempts: int = 3, retry_backoff: Any = None, **worker_options: Any) -> AsyncTundraWorker:
        """Return a worker that archives what `dirty` has noted; start it.

        Args:
            attempts: How often a key is tried; then its message becomes a dead letter, and the key stays in memory.
            retry_backoff: The backoff after a failed attempt, as AsyncWorker's `retry`.
            **worker_options: Others of AsyncWorker's: concurrency, lease, throttle, monitor, auto_start ...
        """
        return AsyncTundraWorker(self, attempts=attempts, retry_backoff=retry_backoff, **worker_options)

    async def evict(self, *keys: Key) -> int:
        """Take archived keys out of memory now, each after a look at its archive.

        Returns:
            How many were taken out; those that were out already do not count.

        Raises:
            NotEvicted: Some have no archive, or a damaged one, or have changed since; the others were taken out.
        """
        names = names_of(keys)
        evicted, failures = 0, dict[bytes, Exception]()

        async def take_out(batch: Sequence[bytes]) -> None:
            nonlocal evicted
            sealed, failed = await self._open(batch)
            outcomes, stale = await self._compare(sealed, is_dry=False)
            failures.update(failed | stale)
            evicted += sum(outcome == "evicted" for outcome in outcomes.values())

        await aio.each(take_out, batches(names), AT_ONCE)
        if failures:
            raise NotEvicted(failures)
        return evicted

    # Into memory. ----------------------------------------------------------------------------------------------------

    async def ensure_keys(self, *keys: Key) -> None:
        """Bring back those keys that were evicted; those that are here stay longer, by `redis_ttl`.

        One round trip where all are here. A key that never was archived, or whose own time is over, is left alone.

        Raises:
            NotRestored: Some were evicted and could not be brought back; the others were.
            UsageError: A key that cannot be one; nothing was sent.
        """
        names = names_of(keys)
        if not names:
            return
        away: list[bytes] = []
        for some, places in await self._run_all("ensure", names, (self._ttl,)):
            away += [some[place - 1] for place in places]
        if away:
            failures = await self._bring_back(away)
            if failures:
                raise NotRestored(failures)

    async def read(self, keys: Key | Iterable[Key], fn: Callable[[AsyncClient[Any]], Awaitable[R]]) -> R:
        """Ensure keys, then read: return what a function makes of the client.

        >>> await store.read("user:1", lambda client: client.hgetall("user:1"))

        Args:
            keys: A key, or several.
            fn: Called with the client that the store was made with.

        Raises:
            NotRestored: As `ensure_keys`; then the function is not called.
        """
        some: Any = [keys] if isinstance(keys, str | bytes | bytearray | memoryview) else keys
        await self.ensure_keys(*some)
        return cast("R", await aio.call(fn, self.client))

    async def _bring_back(self, away: Sequence[bytes]) -> dict[bytes, Exception]:
        """Fetch and restore keys, each by one caller at a time; return what became of those that could not be."""
        failures: dict[bytes, Exception] = {}
        while away:
            mine, others = self._flights.board(away, BATCH)
            try:
                await aio.each(self._fly, mine, AT_ONCE)
            finally:
                for flight in mine:
                    self._flights.end(flight, None)
            for flight in mine:
                failures.update(flight.failures)
            again: list[bytes] = []
            for flight, keys in others:
                await flight.wait()
                if flight.is_void:
                    again += keys
                failures.update((key, flight.failures[key]) for key in keys if key in flight.failures)
            away = again
        return failures

    async def _fly(self, flight: Flight) -> None:
        try:
            _, failures = await self._restore(flight.keys)
        except CarmineError as problem:  # the server's, or the network's: nobody knows about any of them
            failures = dict.fromkeys(flight.keys, cast("Exception", problem))
        self._flights.end(flight, failures)

    # For good. -------------------------------------------------------------------------------------------------------

    async def forget(self, *keys: Key) -> int:
        """Delete keys, from memory and from the datastore.

        Returns:
            How many there were.

        Raises:
            DataStoreError: The datastore failed; the keys are deleted, and a worker deletes their archives later.
        """
        names = names_of(keys)
        if not names:
            return 0
        were_here = await self._run_each("forget", names)
        await self._clear(names)
        return sum(were_here.values())
