"""Tundra's worker: a queue's worker that archives keys, and beside it the sweep.

The sweep finds what no message tells of: keys whose own time is over, so that their archives go too, and keys that were
noted as changed by somebody who died before he could queue them. Invariant: whatever fails, the key stays in memory.
"""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING, Any, Final

from carmine import _checks
from carmine.errors import UsageError
from carmine.ext.mq._async.worker import AsyncWorker
from carmine.ext.tundra._worlds import aio
from carmine.ext.tundra.keys import key_of_message, mid_of

if TYPE_CHECKING:
    from carmine.ext.mq._async.message import AsyncMessage
    from carmine.ext.tundra._async.archive import AsyncArchive
    from carmine.types import Seconds

__all__ = ["AsyncTundraWorker"]

_OVERLOOKED: Final = 60.0
"""Seconds after which a key that was noted as changed is queued again; one that is queued already stays as it is."""

_PATIENCE: Final = 5.0
"""Seconds that a stop waits for a sweep."""

_MOST: Final = 500
"""Keys that one sweep works on, of each kind."""

_log = logging.getLogger("carmine.tundra")


class AsyncTundraWorker(AsyncWorker):
    """Archives what `dirty` has noted: DUMP, freeze, put, read back, and only then the key may expire.

    Made by `store.worker()`; started, stopped and asked as every AsyncWorker is.

    Args:
        store: Whose keys are archived.
        attempts: How often a key is tried before its message becomes a dead letter.
        retry_backoff: The backoff after a failed attempt.
        sweep_every: Seconds between two sweeps.
        **options: Others of AsyncWorker's, but those by which a message would be dropped.
    """

    def __init__(
        self,
        store: AsyncArchive,
        *,
        attempts: int = 3,
        retry_backoff: Any = None,
        sweep_every: Seconds = 5.0,
        **options: Any,
    ) -> None:
        for name in ("at_most_once", "on_exception", "max_attempts", "retry"):
            if name in options:
                raise UsageError(f"a worker of Tundra has no option {name!r}: it has attempts, and drops nothing")
        self._store = store
        self._sweep_every = _checks.seconds("sweep_every", sweep_every, least=0.001)
        self._sweeper: aio.Job[None] | None = None
        self._sweeping_ends = aio.Signal()
        super().__init__(
            store.client, store._queue, self._handle, max_attempts=attempts, retry=retry_backoff, **options
        )

    def start(self, delay: Seconds = 0.0) -> None:
        """Begin to work; harmless where it does already.

        Args:
            delay: Seconds before the first key is archived.

        Raises:
            UsageError: It is stopping; wait for that first.
        """
        super().start(delay)
        if self._sweeper is None:
            self._sweeping_ends = aio.Signal()
            self._sweeper = aio.spawn(self._sweep_on, self._sweeping_ends)

    async def stop(self, timeout: Seconds | None = 30.0) -> bool:  # noqa: ASYNC109 - both worlds have it
        """Archive nothing more, let what is being archived come to its end, and stop; see AsyncWorker.

        Args:
            timeout: Seconds that archives on their way have.

        Returns:
            Whether all of them came to their end.
        """
        sweeper, self._sweeper = self._sweeper, None
        self._sweeping_ends.give()
        try:
            return await super().stop(timeout)
        finally:
            if sweeper is not None:
                with contextlib.suppress(TimeoutError):  # a datastore that does not answer holds nobody up
                    await sweeper.join(_PATIENCE)

    async def _handle(self, message: AsyncMessage) -> None:
        """Archive the key that a message is about."""
        key = key_of_message(message.mid, message.content)
        await self._store._archive(key, message.fence, lambda: not message.cancelled)

    # The sweep. ------------------------------------------------------------------------------------------------------

    async def _sweep_on(self, ends: aio.Signal) -> None:
        """Sweep again and again, until the end; the first time at once."""
        has_failed = False
        await self._warn()
        while True:
            try:
                await self.sweep()
                has_failed = False
            except Exception as problem:  # noqa: BLE001 - whatever it was, there is a next time
                if not has_failed:
                    _log.warning("a sweep of %r failed, and is tried again: %s", self, type(problem).__name__)
                has_failed = True
            if await ends.wait(self._sweep_every):
                return

    async def sweep(self) -> int:
        """Find keys whose own time is over and delete what is left of them; queue keys that were overlooked.

        Returns:
            How many keys there were of both kinds.
        """
        store, found = self._store, 0
        for marks in await store._all_marks():
            words = (_MOST, int(_OVERLOOKED * 1000))
            over, overlooked = await store._sweep(marks, words)
            if over:
                dead = [key for key, is_dead in (await store._run_each("expire", over)).items() if is_dead]
                if dead:
                    await store._clear(dead)
            if overlooked:
                await store._enqueue(await self._living(overlooked))
            found += len(over) + len(overlooked)
        return found

    async def _living(self, keys: list[bytes]) -> list[bytes]:
        """Return those keys whose messages are not dead letters: they wait for somebody to look at them."""
        mids = [mid_of(key)[0] for key in keys]
        died = await self._store._client.zmscore(self._store._queue._key("dead"), *mids)
        return [key for key, since in zip(keys, died, strict=True) if since is None]

    async def _warn(self) -> None:
        """Say that the server evicts keys by itself, if it does."""
        try:
            info = await self._store._client.info("memory")
        except Exception:  # noqa: BLE001 - it is a courtesy, and the user's rights may not reach so far
            return
        if str(info.get("maxmemory_policy", "")).startswith("allkeys-") and info.get("maxmemory"):
            _log.warning(
                "%r: the server's maxmemory-policy is %s: it evicts keys that have no archive yet; choose noeviction "
                "or a volatile- policy", self, info["maxmemory_policy"]
            )  # fmt: skip
