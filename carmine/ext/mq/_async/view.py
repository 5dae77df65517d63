"""A look at a queue, and the hand on it: counts, contents, pause, clear, dead letters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, overload

from carmine import _checks
from carmine.ext.mq._async.base import AsyncQueueBase
from carmine.ext.mq.core.values import CHUNK, DeadLetter, QueuedMessage, QueueStatus, read_status
from carmine.ext.mq.keys import SUFFIXES, checked_mid

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from carmine.client.lua import ScriptQueue
    from carmine.commands.command import Reply
    from carmine.ext.mq.core.values import MessageStatus

__all__ = ["AsyncQueueView"]

_OUTLIVE: Final = ("fence", "paused")
"""Keys that `clear` leaves: a pause, and the last fence, above which those of the next messages are."""
_PAGE: Final = 1_000


class AsyncQueueView(AsyncQueueBase):
    """What shows a queue and sets it right."""

    @overload
    def message_status(self, mid: str, *, on: None = None) -> Coroutine[Any, Any, MessageStatus | None]: ...
    @overload
    def message_status(self, mid: str, *, on: ScriptQueue) -> Reply[MessageStatus | None]: ...
    def message_status(
        self, mid: str, *, on: ScriptQueue | None = None
    ) -> Reply[MessageStatus | None] | Coroutine[Any, Any, MessageStatus | None]:
        """Return the status of one message, None when the queue has none of that mid.

        Args:
            mid: Its id.
            on: A pipeline or a transaction to go with; then the Reply it will have is returned.
        """
        args = (self._now, checked_mid(mid))
        if on is None:
            return self._message_status(args)
        return self._queue(on, "message_status", args, read_status)

    async def _message_status(self, args: tuple[Any, ...]) -> MessageStatus | None:
        return read_status(await self._run("message_status", args))

    async def status(self) -> QueueStatus:
        """Count the messages by what they are now."""
        return QueueStatus(*await self._run("counts", (self._now,)))

    async def _left(self, backoffs: bool) -> int:
        """Return how many messages a worker has still to handle; with `backoffs` also those that rest first."""
        counts = await self._run("counts", (self._now, "1"))  # in one look: whatever moves on is in one place
        status, (at_once, later) = QueueStatus(*counts[:6]), counts[6:]
        left: int = status.queued + status.locked + at_once
        if backoffs:
            left += status.backoff + later
        return left

    async def size(self) -> int:
        """Return how many messages there are, those included that are done and not collected yet."""
        return await self._client.hlen(self._key("messages"))

    async def content(self, limit: int = 100) -> dict[str, QueuedMessage]:
        """Return some messages as they stand, by their mids; in no order.

        Args:
            limit: How many at most.
        """
        found: dict[str, QueuedMessage] = {}
        cursor: Any = 0
        limit = _checks.whole("limit", limit, least=1)
        while len(found) < limit:
            cursor, *told = await self._run("peek", (self._now, cursor, min(limit, _PAGE)))
            for at in range(0, len(told), 6):
                word, data, status, attempts, backoff, age = told[at : at + 6]
                mid = word.decode(errors="surrogateescape")
                known = read_status(status)
                if known is not None and len(found) < limit:
                    content = self._contents.shown(data)
                    found[mid] = QueuedMessage(mid, content, known, attempts, backoff / 1000, age / 1000)
            if cursor == b"0":
                break
        return found

    async def mids(self, limit: int = 1_000) -> list[str]:
        """Return the ids of some messages, in no order."""
        return list(await self.content(limit))

    async def pause(self) -> None:
        """Hand out no message until `resume`; what is being handled goes on."""
        await self._client.set(self._key("paused"), "1")

    async def resume(self) -> bool:
        """Hand out messages again; False when the queue was not paused."""
        return bool(await self._run("resume", ()))

    async def is_paused(self) -> bool:
        """Tell whether the queue is paused."""
        return await self._client.exists(self._key("paused")) == 1

    async def clear(self) -> None:
        """Remove every message and dead letter at once; who still handles one will find its lease lost.

        A pause stays; so does the last fence, for a day, that the next ones are greater.
        """
        await self._client.unlink(*(self._key(suffix) for suffix in sorted(SUFFIXES - {*_OUTLIVE})))

    async def dead(self, limit: int = 100, *, offset: int = 0) -> list[DeadLetter]:
        """Return dead letters, the oldest first.

        Args:
            limit: How many at most, up to 1,000.
            offset: How many of the oldest to leave out.
        """
        _checks.whole("limit", limit, least=1, most=_PAGE)
        raw = await self._run("dead", (_checks.whole("offset", offset), limit))
        letters = []
        for at in range(0, len(raw), 4):
            word, data, note, died = raw[at : at + 4]
            attempts, born, _, error = note.split(b" ", 3)
            letters.append(
                DeadLetter(
                    word.decode(errors="surrogateescape"),
                    self._contents.shown(data),
                    int(attempts),
                    error.decode(errors="replace"),
                    int(born) / 1000,
                    died / 1000,
                )
            )
        return letters

    async def replay(self, mid: str | None = None) -> int:
        """Put a dead letter back into the queue, or all that are there now; return how many.

        One whose mid is in the queue again stays a dead letter.
        """
        if mid is not None:
            return int((await self._run("replay", (self._now, 0, 0, "", checked_mid(mid))))[0])
        count, passed, until = 0, 0, b""
        while True:
            back, stay, now = await self._run("replay", (self._now, passed, CHUNK, until))
            count += int(back)
            passed += int(stay)
            until = until or now  # those that die meanwhile are not replayed twice
            if back + stay < CHUNK:
                return count

    async def purge_dead(self, mid: str | None = None) -> int:
        """Remove one dead letter, or all of them, for good; return how many."""
        return int(await self._run("purge", () if mid is None else (checked_mid(mid),)))
